"""Grow instruction data from seed tasks with any language model (Self-Instruct, Wang et al. 2022)."""

__version__ = "0.1.0"
