"""The command `schedule` as a user starts it, with no Prefect server there; on each Prefect that may be installed."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import urllib.request
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import pytest

from selfinstruct.errors import PoolInUse
from selfinstruct.pool.opening import Writer, is_pool
from tests.builders import ROOT, rows
from tests.prefect.conftest import MODEL_KEY
from tests.prefect.serving import model_server, wait_for

pytestmark = [pytest.mark.worker, pytest.mark.timeout(2400), pytest.mark.filterwarnings("default")]

LONG_S = 900
"""For what takes half a minute where nothing else is going on, and a minute of waiting for the schedule."""


class Schedule:
    """A schedule that is due each minute, with nothing but a config file; what it says is in a log."""

    def __init__(self, pool: Path, settings: str, more: int) -> None:
        self.pool, self.more = pool, more
        self.file, self.log = pool.with_suffix(".toml"), pool.with_suffix(".log")
        self.file.write_text(f"more = {more}\n{settings}", encoding="utf-8")

    @contextmanager
    def running(self) -> Iterator[subprocess.Popen[bytes]]:
        kept = {name: value for name, value in os.environ.items() if not name.startswith(("PREFECT", "SELFINSTRUCT"))}
        environment = {
            **kept, "PREFECT_HOME": str(self.pool.parent / "home"), "PREFECT_RUNNER_POLL_FREQUENCY": "2",
            "PYTHONPATH": str(ROOT), "NO_COLOR": "1", "COLUMNS": "400", "OPENAI_API_KEY": MODEL_KEY,
        }  # fmt: skip
        command = [sys.executable, "-m", "selfinstruct", "schedule", "--pool", str(self.pool), "--cron", "* * * * *"]
        command += ["--config", str(self.file)]
        with self.log.open("wb") as log:
            process = subprocess.Popen(command, cwd=ROOT, env=environment, stdout=log, stderr=log)
        try:
            yield process
        finally:
            process.kill()
            process.wait()

    def told(self) -> str:
        return self.log.read_text(encoding="utf-8")

    def grown(self, tasks: int, process: subprocess.Popen[bytes]) -> bool:
        assert process.poll() is None, self.told()
        found = finished(self.pool)
        return found >= tasks

    def server(self) -> str:
        return re.findall(r"its pages are at (\S+)", self.told())[-1]


def finished(pool: Path) -> int:
    sql = "SELECT COUNT(*) FROM tasks WHERE origin = 'generated' AND state = 'done'"
    return int(rows(pool, sql)[0][0]) if is_pool(pool) else 0


def answers(url: str) -> bool:
    try:
        with urllib.request.urlopen(f"{url}/api/health", timeout=5):
            return True
    except OSError:
        return False


def is_free(pool: Path) -> bool:
    """No run grows this pool."""
    try:
        Writer.open(pool).close()
    except PoolInUse:
        return False
    return True


def test_two_schedules_with_a_file_each_and_no_server_grow_their_pools_and_leave_nothing_running(
    tmp_path: Path,
) -> None:
    with model_server(key=MODEL_KEY) as url, ExitStack() as stack:
        real = Schedule(tmp_path / "real", f'[model]\nname = "offline"\nbase_url = "{url}"\n', 5)
        toy = Schedule(tmp_path / "toy", '[model]\nbackend = "offline"\n', 3)
        first, second = stack.enter_context(real.running()), stack.enter_context(toy.running())
        wait_for("the first pool to grow", lambda: real.grown(5, first), LONG_S)
        wait_for("the second pool to grow", lambda: toy.grown(3, second), LONG_S)
        assert f"Flow run 'real +5' - growing {real.pool} from 0 to 5 tasks with offline at {url}" in real.told()
        assert "with the built-in offline model" in toy.told()
        assert real.server() != toy.server()
        with urllib.request.urlopen(f"{toy.server()}/ui-settings", timeout=30) as answer:
            assert json.load(answer)["api_url"] == f"{toy.server()}/api", "its pages ask this server"
        assert (real.pool / "prefect" / "prefect.db").exists()
        with real.running() as third:
            assert third.wait(LONG_S) == 2
        assert "another schedule serves this pool" in real.told()


def test_a_schedule_that_is_ended_ends_its_server_and_its_run_and_goes_on_when_started_again(tmp_path: Path) -> None:
    with model_server("--latency", "fixed:1", key=MODEL_KEY) as url:
        one = Schedule(tmp_path / "p", f'[model]\nname = "offline"\nbase_url = "{url}"\n', 4000)
        seen = 0
        for number in (signal.SIGTERM, signal.SIGKILL):
            with one.running() as process:
                wait_for("a run at work", lambda: one.grown(seen + 1, process), LONG_S)  # noqa: B023 - called at once
                server = one.server()
                assert answers(server)
                process.send_signal(number)
                assert process.wait(120) == (0 if number == signal.SIGTERM else -number), one.told()
                wait_for("the server to end", lambda: not answers(server), 60)  # noqa: B023
                wait_for("the run to end", lambda: is_free(one.pool), 60)
                assert "Traceback" not in one.told()
            seen = finished(one.pool)
        assert [row[0] for row in rows(one.pool, "SELECT exit_code FROM runs ORDER BY id")] == [130, None]


def test_a_schedule_whose_server_is_lost_says_so_and_ends(tmp_path: Path) -> None:
    one = Schedule(tmp_path / "p", '[model]\nbackend = "offline"\n', 3)
    with one.running() as process:
        wait_for("the pool to grow", lambda: one.grown(3, process), LONG_S)
        port = one.server().rpartition(":")[2]
        servers = [
            int(entry.parent.name)
            for entry in Path("/proc").glob("[0-9]*/cmdline")
            if f"--port\0{port}" in entry.read_bytes().decode(errors="replace")
        ]
        assert servers
        os.kill(max(servers), signal.SIGKILL)
        assert process.wait(LONG_S) == 5, one.told()
    assert f"{one.pool / 'prefect' / 'server.log'} says why" in one.told()
