"""Real trainers, in an environment of their own; `make test-trainers` makes it and names the project's Python."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import pytest

from tests.trainers.exports import ROOT, SPLIT, exported_forms, selfinstruct

sys.path.insert(0, str(ROOT / "examples"))
os.environ["OMP_NUM_THREADS"] = "1"  # tiny models gain nothing by more, and wait for each other where others compute


@pytest.fixture(scope="session")
def pool(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A pool that the built-in model grew."""
    folder = tmp_path_factory.mktemp("grown") / "pool"
    selfinstruct("generate", "--pool", folder, "--target", "80")
    return folder


@pytest.fixture(scope="session")
def exported(pool: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An export of it in all forms, split."""
    return exported_forms(pool, tmp_path_factory.mktemp("exported") / "export", *SPLIT)
