"""The pool as figures: one HTML file."""
