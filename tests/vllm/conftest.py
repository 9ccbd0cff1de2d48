"""The real vLLM, in an environment of its own that SELFINSTRUCT_VLLM_PYTHON names; `make test-vllm` sets it."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.vllm.serving import HERE, Serving, vllm_options


@pytest.fixture(scope="session")
def models(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with two tiny models: `chat`, and `base` without a chat template."""
    folder = tmp_path_factory.mktemp("models")
    python = os.environ["SELFINSTRUCT_VLLM_PYTHON"]
    subprocess.run([python, str(HERE / "make_tiny_model.py"), str(folder)], check=True)
    return folder


@pytest.fixture(scope="session")
def serving(models: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Serving]:
    """One guarded server for all tests that need no other. Those that do it harm find it up again."""
    options = vllm_options(models / "chat", stuck_s=8, max_restarts=20)
    with Serving(options, tmp_path_factory.mktemp("server") / "vllm.log") as serving:
        yield serving
