"""The real vLLM, in an environment of its own that SELFINSTRUCT_VLLM_PYTHON names; `make test-vllm` sets it."""

from __future__ import annotations

import contextlib
import ctypes
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.vllm.processes import Seen, descendants, everything, wait_until
from tests.vllm.serving import HERE, Serving, vllm_options

_SET_CHILD_SUBREAPER = 36  # <linux/prctl.h>
_SHARED: list[Serving] = []


@pytest.fixture(scope="session", autouse=True)
def _orphans_are_ours() -> None:
    """Whoever loses its parent becomes a child of the tests, and so is found."""
    if sys.platform == "linux":
        ctypes.CDLL(None, use_errno=True).prctl(_SET_CHILD_SUBREAPER, 1, 0, 0, 0)


@pytest.fixture(autouse=True)
def _no_process_is_left(_orphans_are_ours: None) -> Iterator[None]:
    """No process outlives the test that began it; those that do are killed, so that they harm no other test."""
    known = {(one.pid, one.started) for one in everything()}

    def left() -> list[Seen]:
        shared = {one.pid for serving in _SHARED for one in serving.family}
        return [
            one
            for one in descendants(os.getpid())
            if one.state not in "ZX" and one.pid not in shared and (one.pid, one.started) not in known
        ]

    yield
    try:
        wait_until(lambda: not left(), 20, "the end of all that the test has begun")
    except AssertionError:
        found = left()
        while family := left():
            for one in family:
                with contextlib.suppress(ProcessLookupError):
                    os.kill(one.pid, signal.SIGKILL)
        pytest.fail(f"left behind, and killed now: {found}")


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
    options = vllm_options(models / "chat", stuck_s=30, max_restarts=20)
    with Serving(options, tmp_path_factory.mktemp("server") / "vllm.log") as serving:
        _SHARED.append(serving)
        yield serving
        _SHARED.clear()
