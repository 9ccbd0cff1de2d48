"""A run on a real Ray Serve: replicas that come, go and die behind one URL change nothing and lose nothing."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import urllib.request
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest

from tests.builders import ROOT, assert_it_adds_up, exported, grow, rows
from tests.processes import counted, generate, running, wait_until

pytestmark = [
    pytest.mark.skipif("RAY_PYTHON" not in os.environ, reason="make test-ray sets it"),
    pytest.mark.timeout(600),
]

TARGET = 300
IN_FLIGHT = 16
REPLICA = "ray::ServeReplica:default:Book"


class Ray:
    """A deployment behind one URL, and what its replicas wrote down."""

    def __init__(self, url: str, log: Path, process: subprocess.Popen[str]) -> None:
        self.url, self.log, self._process = url, log, process

    def scale(self, replicas: int) -> None:
        """Returns once there are so many replicas."""
        self.send(replicas)
        self.wait()

    def send(self, replicas: int) -> None:
        assert self._process.stdin is not None
        self._process.stdin.write(f"{replicas}\n")
        self._process.stdin.flush()

    def wait(self) -> None:
        assert self._process.stdout is not None
        assert any("scaled" in line for line in iter(self._process.stdout.readline, "")), "Ray ended"

    def notes(self) -> list[list[str]]:
        """What came and what was answered: (asked or answered, question, replica), in order."""
        return [line.split() for line in self.log.read_text().splitlines()] if self.log.exists() else []

    def replicas(self) -> set[str]:
        """The processes that answered so far."""
        return {replica for what, _, replica in self.notes() if what == "answered"}


@contextmanager
def _serving(folder: Path) -> Iterator[Ray]:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    log = folder / "questions.log"
    quiet = {"RAY_USAGE_STATS_ENABLED": "0", "RAY_AUTH_MODE": "disabled", "PYTHONPATH": str(ROOT)}
    command = [os.environ["RAY_PYTHON"], str(ROOT / "tests" / "ray" / "serve_book.py"), str(port), str(log)]
    with subprocess.Popen(
        command, env={**os.environ, **quiet}, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL,
        text=True, start_new_session=True,
    ) as process:  # fmt: skip
        ray = Ray(f"http://127.0.0.1:{port}/v1", log, process)
        try:
            ray.wait()
            with urllib.request.urlopen(f"{ray.url}/models", timeout=60) as answer:
                assert b"offline" in answer.read()
            yield ray
            assert process.stdin is not None
            process.stdin.close()
            assert process.wait(60) == 0
        finally:
            with suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)


@pytest.fixture
def ray(tmp_path: Path) -> Iterator[Ray]:
    with _serving(tmp_path) as serving:
        yield serving


def test_replicas_come_go_and_die_and_the_bytes_are_those_of_a_quiet_run(ray: Ray, tmp_path: Path) -> None:
    pool, quiet = tmp_path / "pool", tmp_path / "quiet"
    with running(generate(pool, ray.url, TARGET, "--concurrency", IN_FLIGHT)) as process:
        wait_until(lambda: counted(pool) > 10, process)
        ray.scale(3)
        wait_until(lambda: len(ray.replicas()) == 3, process)
        before = Counter(what for what, _, _ in ray.notes())["answered"]
        victim = max(ray.replicas())
        assert REPLICA in Path(f"/proc/{victim}/cmdline").read_text()
        os.kill(int(victim), signal.SIGKILL)
        wait_until(lambda: Counter(what for what, _, _ in ray.notes())["answered"] > before + 20, process)
        ray.send(1)
        assert process.wait() == 0
    ray.wait()
    assert_it_adds_up(pool)
    answers = rows(
        pool, "SELECT COUNT(*), COUNT(DISTINCT request_id), COUNT(*) FILTER (WHERE kind = 'failed') FROM completions"
    )
    assert answers[0][0] == answers[0][1]
    assert answers[0][2] == 0
    lost = Counter(question for what, question, _ in ray.notes() if what == "asked")
    assert sum(lost.values()) - len(lost) <= IN_FLIGHT, "only what the killed replica had is asked again"
    twice = Counter(question for what, question, _ in ray.notes() if what == "answered")
    assert max(twice.values()) == 1
    assert len(ray.replicas()) >= 3
    grow(quiet, target=TARGET)
    assert exported(pool) == exported(quiet)
