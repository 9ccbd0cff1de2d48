"""Versions of a pool's training data, each behind a gate, and what is trained on them."""
