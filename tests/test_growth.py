"""The laws, on whole runs: through the real client, HTTP, the built-in model and the database."""

from __future__ import annotations

import os
import random
import signal
import sqlite3
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from selfinstruct.llm.offline.server import OfflineServer
from selfinstruct.store.reading import status
from tests.builders import ROOT, exported, grow

TARGET = 60


@pytest.fixture(scope="module")
def reference(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    """What an undisturbed run exports."""
    pool = tmp_path_factory.mktemp("reference") / "pool"
    assert grow(pool, target=TARGET).exit_code == 0
    assert_it_adds_up(pool)
    return exported(pool)


def assert_it_adds_up(pool: Path) -> dict[str, Any]:
    now = status(pool)
    ended = now["tasks"] + now["tasks_pending"] + now["tasks_without_instances"] + now["instances"] + now["waiting"]
    assert now["candidates"] == ended + sum(now["rejections"].values())
    return now


def test_the_target_is_reached_exactly(tmp_path: Path, reference: bytes) -> None:
    pool = tmp_path / "pool"
    outcome = grow(pool, target=TARGET)
    assert outcome.exit_code == 0
    now = assert_it_adds_up(pool)
    assert (now["tasks"], now["tasks_pending"]) == (TARGET, 0)
    assert exported(pool) == reference


@pytest.mark.parametrize("concurrency", [1, 3, 64])
def test_concurrency_changes_nothing_in_the_export(tmp_path: Path, reference: bytes, concurrency: int) -> None:
    pool = tmp_path / "pool"
    grow(pool, target=TARGET, concurrency=concurrency)
    assert exported(pool) == reference


def test_some_tasks_and_then_more_are_the_same_as_all_at_once(tmp_path: Path, reference: bytes) -> None:
    pool = tmp_path / "pool"
    for target in (1, 17, 40):
        grow(pool, target=target)
        assert assert_it_adds_up(pool)["tasks"] == target
    grow(pool, more=TARGET - 40)
    assert exported(pool) == reference


def test_a_reached_target_ends_at_once(tmp_path: Path) -> None:
    pool = tmp_path / "pool"
    grow(pool, target=5)
    requests = status(pool)["requests"]
    assert "was reached before" in grow(pool, target=5).reason
    assert status(pool)["requests"] == requests


def test_more_goes_on_to_the_goal_of_the_run_before_if_that_was_not_reached(tmp_path: Path) -> None:
    pool, told = tmp_path / "pool", list[str]()
    grow(pool, target=5)
    with sqlite3.connect(pool / "pool.db") as connection:
        connection.execute("INSERT INTO runs (started_at, host, pid, goal, more) VALUES ('', '', 0, 15, 10)")
    connection.close()
    grow(pool, more=10, tell=told)
    assert status(pool)["tasks"] == 15
    assert any("going on to the goal" in line for line in told)
    grow(pool, more=10)
    assert status(pool)["tasks"] == 25


def test_no_instances_are_asked_for_beyond_the_target(tmp_path: Path) -> None:
    pool = tmp_path / "pool"
    grow(pool, target=10)
    now = status(pool)
    assert now["tasks"] + now["tasks_without_instances"] == _count(
        pool, "SELECT COUNT(DISTINCT task_id) FROM requests WHERE task_id NOT NULL"
    )


def _count(pool: Path, sql: str) -> int:
    connection = sqlite3.connect(pool / "pool.db")
    try:
        return int(connection.execute(sql).fetchone()[0])
    finally:
        connection.close()


@pytest.fixture
def server() -> Iterator[OfflineServer]:
    with OfflineServer(latency_s=0.02) as running:
        yield running


def _command(pool: Path, server: OfflineServer, *more: str) -> list[str]:
    return [
        sys.executable, "-m", "selfinstruct", "generate", "--pool", str(pool), "--target", str(TARGET),
        "--base-url", server.base_url, "--model", "offline", *more,
    ]  # fmt: skip


def _start(command: list[str], hash_seed: int) -> subprocess.Popen[bytes]:
    environment = {**os.environ, "PYTHONHASHSEED": str(hash_seed)}
    return subprocess.Popen(command, cwd=ROOT, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)


def test_killed_at_random_moments_and_resumed_gives_the_same_bytes(
    tmp_path: Path, reference: bytes, server: OfflineServer
) -> None:
    """Twenty kills over several pools; what was journaled is never asked again, only what was in flight may be."""
    generator = random.Random(7)
    kills, pools = 0, 0
    while kills < 20:
        pools += 1
        pool = tmp_path / f"pool{pools}"
        concurrency = generator.choice([4, 16])
        asked_again_at_most = 0
        server.seen.clear()
        for attempt in range(100):
            process = _start(_command(pool, server, "--concurrency", str(concurrency)), attempt)
            try:
                process.wait(timeout=generator.uniform(1.2, 2.2) if kills < 20 and attempt < 8 else 60)
            except subprocess.TimeoutExpired:
                process.send_signal(signal.SIGKILL)
                process.wait()
                kills += 1
                asked_again_at_most += concurrency
                if (pool / "pool.db").exists() and _has_tables(pool):
                    assert_it_adds_up(pool)
                continue
            assert process.returncode == 0
            break
        repeated = sum(count - 1 for count in server.seen.values())
        assert repeated <= asked_again_at_most
        assert _count(pool, "SELECT COUNT(*) FROM completions") <= len(server.seen)
        assert exported(pool) == reference
        assert_it_adds_up(pool)


def _has_tables(pool: Path) -> bool:
    return bool(_count(pool, "SELECT COUNT(*) FROM sqlite_master WHERE name = 'meta'"))


def test_it_adds_up_at_every_moment_of_a_run(tmp_path: Path, server: OfflineServer) -> None:
    pool = tmp_path / "pool"
    process = _start(_command(pool, server, "--concurrency", "2"), 0)
    looks = 0
    while process.poll() is None:
        if (pool / "pool.db").exists() and _has_tables(pool):
            assert_it_adds_up(pool)
            looks += 1
        time.sleep(0.02)
    assert process.returncode == 0
    assert looks > 10


def test_ctrl_c_lets_what_is_in_flight_finish_and_the_same_command_goes_on(
    tmp_path: Path, reference: bytes, server: OfflineServer
) -> None:
    pool = tmp_path / "pool"
    process = _start(_command(pool, server, "--concurrency", "2"), 0)
    while not (pool / "pool.db").exists() or not _has_tables(pool) or status(pool)["completions"] < 10:
        time.sleep(0.05)
    process.send_signal(signal.SIGINT)
    assert process.wait(timeout=20) == 130
    assert sum(server.seen.values()) == status(pool)["completions"]
    assert_it_adds_up(pool)
    again = subprocess.run(_command(pool, server), cwd=ROOT, check=False, capture_output=True)
    assert again.returncode == 0
    assert max(server.seen.values()) == 1
    assert exported(pool) == reference


def test_half_of_the_propose_requests_of_the_demo_show_a_generated_task(tmp_path: Path) -> None:
    pool = tmp_path / "pool"
    grow(pool, target=200)
    asked = _count(pool, "SELECT COUNT(*) FROM requests WHERE stage = 'propose'")
    showing = _count(
        pool,
        "SELECT COUNT(*) FROM requests r WHERE stage = 'propose' AND EXISTS "
        "(SELECT 1 FROM json_each(r.demonstrations) d JOIN tasks t ON t.id = d.value WHERE t.origin = 'generated')",
    )
    assert showing >= asked / 2
