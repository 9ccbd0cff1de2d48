"""Runs under faults, kills, full disks and damaged files: nothing is lost, nothing is asked twice, nothing leaks."""

from __future__ import annotations

import contextlib
import math
import os
import random
import shutil
import signal
import sqlite3
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from selfinstruct.cli import commands as cli
from selfinstruct.models.offline.server import OfflineServer
from selfinstruct.pool.reader import status
from tests.builders import ROOT, exported, grow
from tests.processes import counted, generate, kills, running, wait_until
from tests.servers import GatedServer, without_schemas

TARGET = 40
FAULTS = "429=5%:0.1,503=4%,500=4%,cut=2%,html=2%,empty=1%,abort=1%,drop=1%"
"""Twenty percent in all."""
KEY = "sk-marked-7f3a9c51e2d84b60"


def command(pool: Path, url: str, *more: str) -> list[str]:
    return generate(pool, url, TARGET, "--concurrency", 16, *more)


@pytest.fixture(scope="module")
def reference(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    """What an undisturbed run exports."""
    pool = tmp_path_factory.mktemp("reference") / "pool"
    grow(pool, target=TARGET)
    return exported(pool)


def count(pool: Path, sql: str) -> int:
    connection = sqlite3.connect(pool / "pool.db")
    try:
        return int(connection.execute(sql).fetchone()[0])
    finally:
        connection.close()


def test_a_run_with_faults_of_transport_exports_the_same_bytes(tmp_path: Path, reference: bytes) -> None:
    with OfflineServer(fault=FAULTS) as server:
        grow(tmp_path / "p", target=TARGET, base_url=[server.base_url], model="offline", concurrency=16)
        assert server.stats()["asked_again"]["after_answer"] == 0
        assert sum(server.stats()["faults"].values()) > 5
    assert exported(tmp_path / "p") == reference
    assert count(tmp_path / "p", "SELECT COUNT(*) - COUNT(DISTINCT request_id) FROM completions") == 0
    assert count(tmp_path / "p", "SELECT COUNT(*) FROM requests WHERE state = 'open' AND task_id IS NOT NULL") == 0


@pytest.mark.slow
@pytest.mark.timeout(3600)
def test_killed_at_random_moments_of_a_run_with_faults(tmp_path: Path, reference: bytes) -> None:
    """Six kills in CI; `make soak` sets KILLS to 200."""
    generator = random.Random(11)
    wanted, killed, pools = int(os.environ.get("KILLS", "6")), 0, 0
    while killed < wanted:
        pools += 1
        assert pools < wanted, "runs end before they can be killed"
        pool = tmp_path / f"p{pools}"
        asked_again_at_most = 0
        with OfflineServer(latency="fixed:0.05", fault=FAULTS) as server:
            for _ in kills(command(pool, server.base_url), pool, min(6, wanted - killed), generator):
                killed += 1
                asked_again_at_most += 16
            assert server.stats()["asked_again"]["after_answer"] <= asked_again_at_most
        assert exported(pool) == reference
        assert count(pool, "SELECT COUNT(*) - COUNT(DISTINCT request_id) FROM completions") == 0


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of one megabyte."""
    place = tmp_path / "disk"
    place.mkdir()
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=1m", "tmpfs", str(place)], check=False, capture_output=True, text=True
    )
    if mounted.returncode:
        pytest.skip(f"FULL DISK NOT TESTED: no file system can be mounted here ({mounted.stderr.strip()})")
    try:
        yield place
    finally:
        subprocess.run(["umount", "-l", str(place)], check=False)


def test_a_full_disk_ends_the_run_with_one_line_and_loses_nothing(
    small_disk: Path, tmp_path: Path, reference: bytes, capsys: pytest.CaptureFixture[str]
) -> None:
    with OfflineServer() as server:
        arguments = command(small_disk / "p", server.base_url)[3:]
        assert cli.run(arguments) == 2
        err = capsys.readouterr().err.splitlines()
        assert "full" in err[-1]
        kept = status(small_disk / "p")["completions"]
        assert kept > 0
        shutil.copytree(small_disk / "p", tmp_path / "p")
        arguments[arguments.index("--pool") + 1] = str(tmp_path / "p")
        assert cli.run(arguments) == 0
        assert server.stats()["asked_again"]["after_answer"] <= 16
    assert exported(tmp_path / "p") == reference


def test_a_database_that_is_busy_for_a_while_is_waited_for(tmp_path: Path, reference: bytes) -> None:
    pool = tmp_path / "p"
    with GatedServer(let_through=8) as server, running(command(pool, server.base_url)) as process:
        wait_until(lambda: counted(pool) == 8, process)
        with contextlib.closing(sqlite3.connect(pool / "pool.db", isolation_level=None, timeout=10)) as connection:
            connection.execute("BEGIN IMMEDIATE")
            server.let_through = math.inf
            time.sleep(2)
            assert process.poll() is None
            assert counted(pool) == 8
            connection.execute("ROLLBACK")
        assert process.wait() == 0
    assert exported(pool) == reference


def test_a_torn_database_is_one_clear_line_with_what_can_still_be_read(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    pool = tmp_path / "p"
    grow(pool, target=TARGET)
    path = pool / "pool.db"
    connection = sqlite3.connect(path)
    connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    connection.close()
    whole = path.read_bytes()
    path.write_bytes(whole[: len(whole) // 2] + b"\0" * (len(whole) - len(whole) // 2))
    for arguments in (["status", str(pool)], ["generate", "--pool", str(pool), "--target", "50"]):
        assert cli.run(arguments) == 2
        err = capsys.readouterr().err
        assert err.count("\n") == 1, err
        assert "pool.db" in err
        assert "still readable: " in err


def test_two_runs_at_once_are_one_run_and_one_clear_line(tmp_path: Path, reference: bytes) -> None:
    """Started together; neither can finish before the other has found the pool taken."""
    with GatedServer() as server:
        start = command(tmp_path / "p", server.base_url)
        with running(start, stderr=subprocess.PIPE) as one, running(start, stderr=subprocess.PIPE) as other:
            while one.poll() is None and other.poll() is None:
                time.sleep(0.01)
            late, first = (one, other) if one.poll() is not None else (other, one)
            assert late.returncode == 2
            assert b"another run is growing this pool" in late.stderr.read()
            server.let_through = math.inf
            first.communicate()
            assert first.returncode == 0
        assert server.repeated == 0
    assert exported(tmp_path / "p") == reference


def test_a_clock_that_jumps_changes_nothing(tmp_path: Path, reference: bytes) -> None:
    code = (
        "import random, sys, time; jump = random.Random(5); real = time.time;"
        "time.time = lambda: real() + jump.choice([-4e8, 0, 4e8]);"
        "from selfinstruct.cli.commands import run; sys.exit(run(sys.argv[1:]))"
    )
    with OfflineServer(fault="429=10%:0.1,500=5%") as server:
        arguments = [sys.executable, "-c", code, *command(tmp_path / "p", server.base_url)[3:]]
        subprocess.run(arguments, cwd=ROOT, check=True, capture_output=True)
    assert exported(tmp_path / "p") == reference


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_the_key_is_written_nowhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Everything once with a marked key, against a server that echoes the Authorization header in its errors."""
    monkeypatch.setenv("OPENAI_API_KEY", KEY)
    written = b""
    pool = tmp_path / "p"
    for right, faults in ((KEY, FAULTS), ("another", "")):
        with OfflineServer(api_key=right, echo_key=True, fault=faults) as server:
            server.answers["chat/completions"] = without_schemas
            url = server.base_url.replace("http://", f"http://me:{KEY}@")
            for base_url in (server.base_url, url):
                for arguments in (command(pool, base_url, "--more", "3")[3:], command(pool, base_url)[3:]):
                    words = [word for word in arguments if word not in {"--target", str(TARGET)}]
                    asked = words if "--more" in words else [*words, "--target", "4"]
                    found = subprocess.run(
                        [sys.executable, "-m", "selfinstruct", *asked], cwd=ROOT, check=False, capture_output=True
                    )
                    written += found.stdout + found.stderr
    for arguments in (
        ["status", str(pool)],
        ["explain", str(pool), "near"],
        ["export", str(pool)],
        ["replay", str(pool), "--pool", str(tmp_path / "r")],
    ):
        found = subprocess.run(
            [sys.executable, "-m", "selfinstruct", *arguments], cwd=ROOT, check=False, capture_output=True
        )
        written += found.stdout + found.stderr
    assert KEY.encode() not in written
    assert b"tasks" in written
    files = [path for path in tmp_path.rglob("*") if path.is_file()]
    assert len(files) > 4
    for path in files:
        assert KEY.encode() not in path.read_bytes(), path


def test_an_outage_in_the_middle_is_waited_for_with_few_probes(tmp_path: Path, reference: bytes) -> None:
    told: list[str] = []
    with OfflineServer(latency="fixed:0.2", outage="1:6:refuse") as server:
        grow(tmp_path / "p", target=TARGET, base_url=[server.base_url], model="offline", concurrency=4, tell=told)
    assert exported(tmp_path / "p") == reference
    assert threading.active_count() < 10
    assert any("does not answer" in line or "nothing answers" in line or "waiting" in line for line in told), told


NEVER_ENDS = {
    "a loop": "while True: pass",
    "a pattern": "re.match('(a+)+$', 'a' * 60 + 'b')",
    "a call that lets no error pass": "with contextlib.suppress(Exception): time.sleep(1000)",
}
OWN_CODE = """
import contextlib, re, time
from pathlib import Path

{kind}def own({given}):
    if Path({hangs!r}).exists() and {now}:
        Path({begun!r}).touch()
        {what}
    return {gives}
"""


INSTANCES = ("task, instance", "task.id != 'rehearsal'")
STEP = ("task, rows, ask", "task.id != 'rehearsal'")


@pytest.mark.parametrize(
    ("way", "given", "now", "number"),
    [
        *((way, *INSTANCES, signal.SIGINT) for way in NEVER_ENDS),
        ("a loop", "task, instance", "True", signal.SIGINT),
        ("a loop", "instruction", "'a' in instruction", signal.SIGTERM),
        ("a pattern", "instruction", "True", signal.SIGINT),
        ("a loop", *STEP, signal.SIGTERM),
    ],
)
def test_a_signal_ends_a_check_or_step_that_never_ends_and_the_pool_is_whole(
    tmp_path: Path, way: str, given: str, now: str, number: signal.Signals
) -> None:
    hangs, begun, config = tmp_path / "hangs", tmp_path / "begun", tmp_path / "c.toml"
    kind, gives, listed = ("async ", "rows", "recipe.steps") if "rows" in given else ("", "None", "filters.checks")
    where = {"hangs": str(hangs), "begun": str(begun)}
    source = OWN_CODE.format(kind=kind, what=NEVER_ENDS[way], given=given, now=now, gives=gives, **where)
    (tmp_path / "own.py").write_text(source, encoding="utf-8")
    config.write_text(f'{listed} = ["default", "{tmp_path}/own.py:own"]\n', encoding="utf-8")
    grow(tmp_path / "calm", config=config, target=4)
    hangs.touch()
    command = [sys.executable, "-m", "selfinstruct", "generate", "--config", str(config), "--target", "4"]
    with running([*command, "--pool", str(tmp_path / "pool")]) as process:
        wait_until(begun.exists, process)
        process.send_signal(number)
        assert process.wait(30) == 130
    hangs.unlink()
    grow(tmp_path / "pool", config=config, target=4)
    assert exported(tmp_path / "pool") == exported(tmp_path / "calm")
