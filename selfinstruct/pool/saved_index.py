"""The novelty index of a large pool in a file, so that the next run opens it instead of building it again.

The database is the truth: a file that is missing, torn, of another version or of another pool is simply not used, and
tasks accepted after it was written are added from the database.
"""

from __future__ import annotations

import contextlib
import os
import zipfile
from collections.abc import Callable
from pathlib import Path

import numpy as np

from selfinstruct.similarity.index import Index

SAVED_FROM = 20_000
"""Smaller pools are indexed in a second or two."""
_NAME = "novelty.npz"


def load_index(folder: Path, tokenizer: str, at: Callable[[int], tuple[str, str] | None]) -> Index | None:
    """The saved index of the pool in this folder, which holds its first instructions; None where there is none.

    `at` gives the id and instruction at a place of the pool, by which the file is checked.
    """
    path = folder / _NAME
    if not path.is_file():
        return None
    try:
        with path.open("rb") as file, np.load(file, allow_pickle=False) as arrays:
            return Index.from_arrays({name: arrays[name] for name in arrays.files}, at, tokenizer)
    except (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile):
        return None


def save_index(folder: Path, index: Index, saved_from: int = SAVED_FROM) -> None:
    """Write the index of a large pool, whole or not at all; a disk that cannot take it costs time, never data."""
    if len(index) < saved_from:
        return
    temporary = folder / f".{_NAME}.{os.getpid()}"
    try:
        with temporary.open("wb") as file:
            np.savez(file, **index.to_arrays())  # type: ignore[arg-type]
        temporary.replace(folder / _NAME)
    except OSError:
        with contextlib.suppress(OSError):
            temporary.unlink()
