"""The laws, on whole runs: through the real client, HTTP, the built-in model and the database."""

from __future__ import annotations

import asyncio
import json
import math
import random
import re
import signal
import sqlite3
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web

from selfinstruct.cli import commands as cli
from selfinstruct.models.offline.protocol import Model, answer_chat
from selfinstruct.models.offline.server import OfflineServer
from selfinstruct.pool.reader import status
from selfinstruct.pool.records import Position
from selfinstruct.report.page import ShownPool, write_report
from tests.builders import ROOT, assert_it_adds_up, exported, grow, rows
from tests.processes import counted, generate, killed_once, kills, running, wait_until
from tests.servers import GatedServer, ScriptedServer

TARGET = 60
SELF = [sys.executable, "-m", "selfinstruct"]


@pytest.fixture(scope="module")
def reference(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    """What an undisturbed run exports."""
    pool = tmp_path_factory.mktemp("reference") / "pool"
    assert grow(pool, target=TARGET).exit_code == 0
    assert_it_adds_up(pool)
    return exported(pool)


@pytest.mark.parametrize("concurrency", [1, 64])
def test_the_target_is_reached_exactly_and_concurrency_changes_nothing(
    tmp_path: Path, reference: bytes, concurrency: int
) -> None:
    pool = tmp_path / "pool"
    assert grow(pool, target=TARGET, concurrency=concurrency).exit_code == 0
    now = assert_it_adds_up(pool)
    assert (now["tasks"], now["tasks_pending"]) == (TARGET, 0)
    assert exported(pool) == reference


def test_some_tasks_and_then_more_are_the_same_as_all_at_once(tmp_path: Path, reference: bytes) -> None:
    pool = tmp_path / "pool"
    for target in (1, 17, 40):
        grow(pool, target=target)
        assert assert_it_adds_up(pool)["tasks"] == target
    grow(pool, more=TARGET - 40)
    assert exported(pool) == reference


ROWS = 70


@pytest.fixture(scope="module")
def reference_in_rows(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    """What a pool of this many rows exports, grown one request at a time."""
    pool = tmp_path_factory.mktemp("rows") / "pool"
    outcome = grow(pool, target_rows=ROWS, concurrency=1)
    grown = counts_of_instances(pool)
    assert sum(grown[:-1]) < ROWS <= sum(grown), "no task is there but those that it takes"
    assert outcome.reason.startswith(f"the target of {ROWS} rows is reached")
    assert max(grown) > 1
    return exported(pool)


def counts_of_instances(pool: Path) -> list[int]:
    """How many instances each generated task has, in order."""
    sql = (
        "SELECT COUNT(i.task_id) FROM tasks t LEFT JOIN instances i ON i.task_id = t.id "
        "WHERE t.origin = 'generated' GROUP BY t.id ORDER BY t.position"
    )
    return [row[0] for row in rows(pool, sql)]


@pytest.mark.parametrize("concurrency", [3, 64])
def test_a_target_in_rows_is_reached_by_the_same_tasks_whatever_is_in_flight(
    tmp_path: Path, reference_in_rows: bytes, concurrency: int
) -> None:
    with OfflineServer(latency="uniform:0,0.05") as server:
        arguments = {"target_rows": ROWS, "concurrency": concurrency, "base_url": [server.base_url], "model": "offline"}
        assert grow(tmp_path / "p", **arguments).exit_code == 0
    assert_it_adds_up(tmp_path / "p")
    assert exported(tmp_path / "p") == reference_in_rows


def test_some_rows_and_then_more_are_the_same_as_all_at_once(tmp_path: Path, reference_in_rows: bytes) -> None:
    pool = tmp_path / "pool"
    for wanted in (1, 23, 60, ROWS):
        grow(pool, target_rows=wanted)
        now = status(pool)
        assert now["instances"] >= wanted
        assert (now["goal"], now["goal_rows"]) == (None, wanted)
        assert now["tasks_pending"] == 0
    assert exported(pool) == reference_in_rows
    assert "was reached before" in grow(pool, target_rows=ROWS).reason
    tasks = status(pool)["tasks"]
    grow(pool, more=2)  # tasks again
    assert status(pool)["tasks"] == tasks + 2


@pytest.mark.timeout(300)
def test_killed_at_random_moments_a_target_in_rows_is_reached_by_the_same_tasks(
    tmp_path: Path, reference_in_rows: bytes
) -> None:
    pool = tmp_path / "pool"
    with OfflineServer(latency="fixed:0.02") as server:
        command = generate(pool, server.base_url, TARGET, "--concurrency", 8)
        place = command.index("--target")
        command[place : place + 2] = ["--target-rows", str(ROWS)]
        killed = sum(1 for _ in kills(command, pool, 3, random.Random(5), step=25))
    assert killed
    assert exported(pool) == reference_in_rows


def test_nothing_is_asked_beyond_the_target_and_a_reached_one_ends_at_once(tmp_path: Path) -> None:
    pool = tmp_path / "pool"
    grow(pool, target=10)
    now = status(pool)
    ((followed,),) = rows(pool, "SELECT COUNT(DISTINCT task_id) FROM requests WHERE task_id NOT NULL")
    assert now["tasks"] + now["tasks_without_instances"] == followed
    assert "was reached before" in grow(pool, target=5).reason
    assert status(pool)["requests"] == now["requests"]


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


@pytest.mark.timeout(600)
def test_killed_at_random_moments_and_resumed_gives_the_same_bytes(tmp_path: Path, reference: bytes) -> None:
    """What was journaled is never asked again, only what was in flight may be."""
    generator = random.Random(7)
    killed = pools = 0
    while killed < 6:
        pools += 1
        assert pools < 6, "runs end before they can be killed"
        pool, concurrency, asked_again_at_most = tmp_path / f"pool{pools}", (4, 16)[pools % 2], 0
        with OfflineServer(latency="fixed:0.02") as server:
            command = generate(pool, server.base_url, TARGET, "--concurrency", concurrency)
            for _ in kills(command, pool, min(3, 6 - killed), generator, step=60):
                killed += 1
                asked_again_at_most += concurrency
                assert_it_adds_up(pool)
            assert sum(count - 1 for count in server.seen.values()) <= asked_again_at_most
            assert counted(pool) <= len(server.seen)
        assert exported(pool) == reference
        assert_it_adds_up(pool)


@pytest.mark.timeout(600)
def test_killed_while_its_database_is_made_a_pool_is_made_by_the_next_run(tmp_path: Path, reference: bytes) -> None:
    generator = random.Random(8)
    killed, pools = 0, 0
    with OfflineServer(latency="fixed:0.05") as server:
        while killed < 2:
            pools += 1
            assert pools < 8, "runs end before they can be killed"
            pool = tmp_path / f"pool{pools}"
            later_s = generator.uniform(0, 0.03)

            def is_made(pool: Path = pool, later_s: float = later_s) -> bool:
                if not (pool / "pool.db").exists():
                    return False
                time.sleep(later_s)
                return True

            command = generate(pool, server.base_url, TARGET)
            killed += killed_once(is_made, command)
            assert subprocess.run(command, cwd=ROOT, check=False, capture_output=True).returncode == 0
            assert exported(pool) == reference


@pytest.mark.timeout(300)
def test_ctrl_c_lets_what_is_in_flight_finish_and_the_same_command_goes_on(tmp_path: Path, reference: bytes) -> None:
    pool = tmp_path / "pool"
    with GatedServer(let_through=40) as server:
        command = generate(pool, server.base_url, TARGET, "--concurrency", 2)
        with running(command) as process:
            wait_until(lambda: len(server.bodies) == 42 and counted(pool) == 40, process)
            process.send_signal(signal.SIGINT)
            server.let_through = math.inf
            assert process.wait() == 130
        assert len(server.bodies) == status(pool)["completions"] < TARGET + 40
        assert_it_adds_up(pool)
        assert subprocess.run(command, cwd=ROOT, check=False, capture_output=True).returncode == 0
        assert server.repeated == 0
    assert exported(pool) == reference


@pytest.mark.timeout(300)
def test_every_finished_row_is_exported_published_and_shown_while_earlier_tasks_are_open(tmp_path: Path) -> None:
    """The first accepted tasks get no answer; the run is stopped by Ctrl-C, twice, and later goes on to its target."""
    pool, stuck = tmp_path / "pool", 3
    model, is_free, held = Model(), threading.Event(), set[str]()

    async def answer(_: int, __: str, body: dict[str, Any], ___: web.Request) -> web.Response:
        prompt = json.dumps(body["messages"])
        if "tasks as JSON" not in prompt and len(held) < stuck:
            held.add(prompt)
        while prompt in held and not is_free.is_set():  # noqa: ASYNC110 - set by another thread
            await asyncio.sleep(0.01)
        return web.json_response(answer_chat(body, model))

    done = "SELECT COUNT(*) FROM tasks WHERE origin = 'generated' AND state = 'done'"
    with ScriptedServer(answer, models=("offline",)) as server:
        command = generate(pool, server.base_url, TARGET, "--concurrency", 16)
        with running(command, stderr=subprocess.PIPE, text=True) as process:
            wait_until(lambda: counted(pool, done) >= 12, process)
            process.send_signal(signal.SIGINT)
            assert process.stderr is not None
            assert any("stopping" in line for line in process.stderr)
            process.send_signal(signal.SIGINT)
            process.communicate()
            assert process.wait() == 130
        now = assert_it_adds_up(pool)
        (first_open,) = rows(pool, "SELECT MIN(position) FROM tasks WHERE state = 'pending'")[0]
        assert counted(pool, f"{done} AND position > {first_open}") >= 12, "there are gaps before what is finished"
        assert len((pool / "export" / "alpaca.jsonl").read_text("utf-8").splitlines()) == now["instances"]
        sides = ["alpaca-train.jsonl", "alpaca-test.jsonl"]
        told = subprocess.run(
            [*SELF, "export", pool, "--format", "alpaca", "--split", "train=0.5,test=0.5"],
            cwd=ROOT, check=True, capture_output=True, text=True,
        ).stderr  # fmt: skip
        assert f"{now['tasks_pending']} tasks are still open" in told
        assert "may change sides" in told
        left_out = json.loads((pool / "export" / "manifest.json").read_text("utf-8"))["left_out"]["rows"]
        split = sum(len((pool / "export" / side).read_text("utf-8").splitlines()) for side in sides)
        assert split + left_out.get("bridges_splits", 0) == now["instances"]

        assert cli.run(["publish", str(pool)]) == 0
        version = json.loads((pool / "versions" / "1" / "manifest.json").read_text("utf-8"))
        assert (version["figures"]["tasks"], version["figures"]["rows"]) == (now["tasks"], now["instances"])
        before = exported(pool)
        is_free.set()
        assert subprocess.run(command, cwd=ROOT, check=False, capture_output=True).returncode == 0
    assert set(before.splitlines()) < set(exported(pool).splitlines())
    undisturbed = tmp_path / "undisturbed"
    grow(undisturbed, target=TARGET)
    assert exported(pool) == exported(undisturbed)

    write_report([ShownPool(pool, Position(**version["position"]), 1)], tmp_path / "then.html")
    shown = json.loads(re.findall(r'id="figures">([^<]*)<', (tmp_path / "then.html").read_text("utf-8"))[0])
    assert (shown[0]["status"]["tasks"], shown[0]["status"]["instances"]) == (now["tasks"], now["instances"])


def test_half_of_the_propose_requests_of_the_demo_show_a_generated_task(tmp_path: Path) -> None:
    pool = tmp_path / "pool"
    grow(pool, target=200)
    [(asked,)] = rows(pool, "SELECT COUNT(*) FROM requests WHERE stage = 'propose'")
    [(showing,)] = rows(
        pool,
        "SELECT COUNT(*) FROM requests r WHERE stage = 'propose' AND EXISTS "
        "(SELECT 1 FROM json_each(r.demonstrations) d JOIN tasks t ON t.id = d.value WHERE t.origin = 'generated')",
    )
    assert showing >= asked / 2
