"""Processes that never outlive their test, and kills of runs at moments at which there is something to lose."""

from __future__ import annotations

import contextlib
import os
import random
import signal
import sqlite3
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

from tests.builders import ROOT

COMPLETIONS = "SELECT COUNT(*) FROM completions"


@contextlib.contextmanager
def running(command: Sequence[str], **options: Any) -> Iterator[subprocess.Popen[Any]]:
    """A process that has ended when this is left, whatever happens. Its output is thrown away unless asked for."""
    quiet = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
    with subprocess.Popen(command, cwd=ROOT, **{**quiet, **options}) as process:
        try:
            yield process
        finally:
            process.kill()


def generate(pool: Path, base_url: str, target: int, *more: object) -> list[str]:
    """The command that grows a pool by the offline model at this address."""
    options = ["--pool", pool, "--target", target, "--base-url", base_url, "--model", "offline", *more]
    return [sys.executable, "-m", "selfinstruct", "generate", *map(str, options)]


def counted(pool: Path, sql: str = COMPLETIONS) -> int:
    """What a query counts in a pool's database; 0 while there is none or its tables are not made."""
    path = pool / "pool.db"
    if not path.exists():
        return 0
    with contextlib.closing(sqlite3.connect(f"{path.as_uri()}?mode=ro", uri=True)) as connection:
        try:
            return int(connection.execute(sql).fetchone()[0])
        except sqlite3.OperationalError:
            return 0


def wait_until(reached: Callable[[], bool], process: subprocess.Popen[Any]) -> None:
    """Returns once this is so; a process that ends before fails the test. The test's own time-out is the only one."""
    while not reached():
        assert process.poll() is None, f"the process ended with {process.returncode} before what was waited for"
        time.sleep(0.005)


def killed_once(reached: Callable[[], bool], command: Sequence[str], hash_seed: int = 0) -> bool:
    """Whether a command was still at work when it was killed, once this was so; False: it had ended, and well."""
    with running(command, env={**os.environ, "PYTHONHASHSEED": str(hash_seed)}) as process:
        while process.poll() is None and not reached():
            time.sleep(0.005)
    assert process.returncode in {0, -signal.SIGKILL}
    return process.returncode == -signal.SIGKILL


def kills(
    command: Sequence[str], pool: Path, most: int, generator: random.Random, sql: str = COMPLETIONS, step: int = 16
) -> Iterator[None]:
    """Grows a pool to its target, killed up to `most` times on the way; yields after each kill.

    Each kill comes once the query counts 1 to `step` more than when the command was started. A run that ends before, as
    a fast one may while this process is held up, is not killed.
    """
    for number in range(most):
        enough = counted(pool, sql) + generator.randint(1, step)
        if not killed_once(lambda: counted(pool, sql) >= enough, command, number):  # noqa: B023 - called at once
            return
        assert counted(pool, sql) >= enough, "what was committed is there after the kill"
        yield
    assert not killed_once(lambda: False, command)
