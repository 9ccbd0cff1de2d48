"""The pool as training data."""
