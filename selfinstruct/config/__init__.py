"""The configuration: read and checked once, at the edge."""

from pathlib import Path

DEFAULT_POOL = Path("outputs/pool")
"""Where a pool is unless another folder is named."""
LIMITS = "Limits and pace"
"""The group of options that bound a run."""
