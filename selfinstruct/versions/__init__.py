"""Versions of a pool's training data that passed a gate, and what is trained on them."""
