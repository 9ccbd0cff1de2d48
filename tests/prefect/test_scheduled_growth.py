"""A pool that grows by a schedule: a real Prefect server, a real process worker, the offline model behind HTTP."""

from __future__ import annotations

import os
import re
import signal
from collections.abc import Iterator
from datetime import datetime
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest

from selfinstruct.errors import PoolInUse
from selfinstruct.pool.opening import Writer, is_pool
from tests.builders import exported, grow, rows
from tests.prefect.conftest import MODEL_KEY
from tests.prefect.serving import FINAL, Prefect, model_server, wait_for

pytestmark = [pytest.mark.worker, pytest.mark.timeout(2400), pytest.mark.filterwarnings("default")]

MORE = 50


@pytest.fixture(scope="module")
def model() -> Iterator[str]:
    """A model server slow enough to be met in the middle of a run."""
    with model_server("--latency", "fixed:1", key=MODEL_KEY) as url:
        yield url


@pytest.fixture(scope="module")
def settings(pools: Path) -> Path:
    path = pools / "settings.toml"
    path.write_text('concurrency = 8\n[model]\napi_key_env = "MODEL_KEY"\n', encoding="utf-8")
    return path


def config(pool: Path, settings: Path, model: str, **more: Any) -> dict[str, Any]:
    """The parameter of a run; its key comes out of a Secret block."""
    return {
        "pool": str(pool), "file": str(settings), "base_url": [model], "model": "offline",
        "secrets": {"MODEL_KEY": "model-key"}, **more,
    }  # fmt: skip


def runs_of(pool: Path) -> list[tuple[Any, ...]]:
    """(job, goal, exit code, process) of each run that the pool knows, in order."""
    return rows(pool, "SELECT job, goal, exit_code, pid FROM runs ORDER BY id") if is_pool(pool) else []


def finished(pool: Path) -> int:
    return int(rows(pool, "SELECT COUNT(*) FROM tasks WHERE origin = 'generated' AND state = 'done'")[0][0])


def at_work(pool: Path, run: int, beyond: int) -> int | None:
    """The process of the run with this index, once more tasks than that are finished and while it goes on."""
    known = runs_of(pool)
    there = len(known) > run and known[run][2] is None and beyond < finished(pool) < known[run][1]
    return int(known[run][3]) if there else None


def in_the_middle(pool: Path) -> tuple[int, int] | None:
    """(index, process) of the third run or a later one, when it has finished a few tasks and goes on."""
    index = len(runs_of(pool)) - 1
    process = at_work(pool, index, index * MORE + 3) if index >= 2 else None
    return (index, process) if process is not None else None


def is_free(pool: Path) -> bool:
    """Nobody grows this pool."""
    try:
        Writer.open(pool).close()
    except PoolInUse:
        return False
    return True


def started_while_at_work(prefect: Prefect, deployment: str) -> str:
    """A run that was due while another one worked, and so was left out; its id.

    It starts seconds after it is made; one that starts when the other has ended is no such run, and does no harm:
    another one is made.
    """
    for _ in range(10):
        extra = prefect.start(deployment)
        if prefect.ended(extra)["type"] == "CANCELLED":
            return extra
    raise AssertionError("ten runs that were due while another one worked, and none was left out")


def uninterrupted(folder: Path, tasks: int, settings: Path, monkeypatch: pytest.MonkeyPatch) -> bytes:
    """What one run of `generate` of so many tasks exports."""
    monkeypatch.setenv("MODEL_KEY", MODEL_KEY)
    with model_server(key=MODEL_KEY) as url:
        assert grow(folder, target=tasks, config=settings, base_url=[url], model="offline").exit_code == 0
    return exported(folder)


def test_a_pool_grows_by_schedule_through_a_kill_to_the_bytes_of_one_run(
    prefect: Prefect, pools: Path, model: str, settings: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pool = pools / "nightly"
    deployment = prefect.deploy("grow-nightly", config(pool, settings, model, more=MORE), [{"interval": 20}])
    try:
        wait_for("the second run at work", lambda: at_work(pool, 1, MORE), 360, 0.02)
        extra = started_while_at_work(prefect, deployment)
        index, victim = wait_for("a run to kill", lambda: in_the_middle(pool), 600, 0.02)
        os.kill(victim, signal.SIGKILL)
        wait_for(
            "two runs after the kill", lambda: len([one for one in runs_of(pool) if one[2] == 0]) >= index + 2, 600
        )
    finally:
        prefect.ask(f"/deployments/{deployment}/pause_deployment", {})

    def all_ended() -> list[dict[str, Any]] | None:
        runs = prefect.runs(deployment)
        return runs if all(one["state_type"] in FINAL for one in runs) else None

    ended = wait_for("the end of all runs", all_ended, 300)
    worked = [one for one in ended if one["state_type"] != "CANCELLED"]
    assert len(worked) >= 5
    # each ran to the goal that was stored when it started; the killed one was finished by the next, none was stacked
    known = runs_of(pool)
    assert [one[0] for one in known] == [one["id"] for one in worked]
    assert [one[1] for one in known] == [MORE * (n + 1 if n <= index else n) for n in range(len(known))]
    states = [*["COMPLETED"] * index, "CRASHED", *["COMPLETED"] * (len(known) - index - 1)]
    assert [one["state_type"] for one in worked] == states
    for one, (_, goal, _, _) in zip(worked, known, strict=True):
        if one["state_type"] == "COMPLETED":
            assert one["states"][-1]["message"] == f"the target of {goal} tasks is reached"
    # none overlaps
    for (_, ended_at), (started_at, _) in pairwise(rows(pool, "SELECT started_at, ended_at FROM runs ORDER BY id")):
        assert ended_at is None or ended_at <= started_at
    left_out = [one for one in ended if one["state_type"] == "CANCELLED"]
    assert all("left out: " in one["states"][-1]["message"] for one in left_out)
    assert extra in {one["id"] for one in left_out}
    total = known[-1][1]
    assert finished(pool) == total
    assert exported(pool) == uninterrupted(pools / "at-once", total, settings, monkeypatch)
    check_artifacts(prefect, total)


def check_artifacts(prefect: Prefect, total: int) -> None:
    """The pages show the progress, a table of rounds and a summary."""
    found = {
        str(one["key"]).rpartition("-")[2]: one
        for one in prefect.ask("/artifacts/latest/filter", {})
        if re.fullmatch(r"nightly-[0-9a-f]{6}-[a-z]+", one["key"] or "")
    }
    assert found["progress"]["data"] == 100.0
    assert f"to {total} tasks" in found["progress"]["description"]
    assert "mostly rejected" in found["rounds"]["data"]
    assert f"| tasks accepted, with instances | {MORE} | {total} |" in found["summary"]["data"]
    assert "near\\_duplicate" in found["summary"]["data"]
    assert "Answered by offline at http" in found["summary"]["data"]
    assert "| instruction | input | output |" in found["summary"]["data"]


def test_a_cancelled_run_stops_within_15_s_and_leaves_a_good_pool(
    prefect: Prefect, pools: Path, model: str, settings: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pool = pools / "cancelled"
    deployment = prefect.deploy("grow-nightly", config(pool, settings, model, target=2000), called="cancelled")
    run = prefect.start(deployment)
    wait_for("the run at work", lambda: at_work(pool, 0, 10), 180)
    prefect.run("flow-run", "cancel", run)
    wait_for("the pool to be free", lambda: is_free(pool), 90)
    assert prefect.ended(run)["name"] == "Cancelled"
    states = prefect.ask(f"/flow_run_states/?flow_run_id={run}")
    asked = datetime.fromisoformat(next(one["timestamp"] for one in states if one["name"] == "Cancelling"))
    ((stopped,),) = rows(pool, "SELECT ended_at FROM runs")
    assert (datetime.fromisoformat(stopped) - asked).total_seconds() < 15
    assert runs_of(pool)[0][1:3] == (2000, 130)
    assert rows(pool, "PRAGMA integrity_check") == [("ok",)]
    total = finished(pool) + 20
    monkeypatch.setenv("MODEL_KEY", MODEL_KEY)
    with model_server(key=MODEL_KEY) as url:
        assert grow(pool, target=total, config=settings, base_url=[url], model="offline").exit_code == 0
    assert exported(pool) == uninterrupted(pools / "cancelled-not", total, settings, monkeypatch)


def test_a_run_leaves_a_pool_alone_that_a_person_grows(
    prefect: Prefect, pools: Path, model: str, settings: Path
) -> None:
    pool = pools / "busy"
    deployment = prefect.deploy("grow-nightly", config(pool, settings, model, target=5), called="busy")
    held = Writer.open(pool)
    try:
        state = prefect.ended(prefect.start(deployment))
        assert state["type"] == "CANCELLED"
        assert "left out: " in state["message"]
        assert "another run is growing this pool" in state["message"]
    finally:
        held.close()
    assert prefect.ended(prefect.start(deployment))["message"] == "the target of 5 tasks is reached"


def test_a_run_of_another_pool_works_beside_one_of_the_same_deployment(
    prefect: Prefect, pools: Path, model: str, settings: Path
) -> None:
    pool, other = pools / "long", pools / "short"
    deployment = prefect.deploy("grow-nightly", config(pool, settings, model, target=2000), called="two-pools")
    run = prefect.start(deployment)
    wait_for("the run at work", lambda: at_work(pool, 0, 1), 360)
    body = {
        "state": {"type": "SCHEDULED"},
        "parameters": {"config": config(other, settings, model, target=5)},
    }
    beside = prefect.ask(f"/deployments/{deployment}/create_flow_run", body)["id"]
    assert prefect.ended(beside)["message"] == "the target of 5 tasks is reached"
    assert at_work(pool, 0, 1)
    assert prefect.ask(f"/flow_runs/{beside}")["name"] == "short to 5"
    prefect.run("flow-run", "cancel", run)
    assert prefect.ended(run)["name"] == "Cancelled"


def test_a_run_that_is_tried_again_does_not_add_twice(
    prefect: Prefect, pools: Path, model: str, settings: Path
) -> None:
    pool = pools / "retried"
    deployment = prefect.deploy("grow-nightly", config(pool, settings, model, more=12), called="retried")
    run = prefect.start(deployment)
    assert prefect.ended(run)["message"] == "the target of 12 tasks is reached"
    again = {"state": {"type": "SCHEDULED", "name": "AwaitingRetry"}, "force": True}
    assert prefect.ask(f"/flow_runs/{run}/set_state", again)["status"] == "ACCEPT"
    wait_for("the second attempt", lambda: "reached before" in (prefect.state(run)["message"] or ""), 180)
    assert finished(pool) == 12


def test_wrong_parameters_are_refused_by_the_deployment_with_the_fields_name(
    prefect: Prefect, pools: Path, model: str, settings: Path
) -> None:
    prefect.deploy("grow-nightly", config(pools / "x", settings, model, more=1))

    def refusal(parameters: str) -> str:
        said = prefect.run("deployment", "run", "grow/grow-nightly", "-p", f"config={parameters}", wanted=1)
        return " ".join(said.split())

    assert "config.more" in refusal('{"pool": "x", "more": 0}')
    assert "poool" in refusal('{"poool": "x", "more": 5}')
    assert "config.target" in refusal('{"pool": "x", "target": "many"}')
    assert "config.base_url" in refusal('{"pool": "x", "more": 5, "base_url": ["http://u:p@h/v1"]}')
    assert "config.base_url" in refusal('{"pool": "x", "more": 5, "base_url": ["http://h/v1?api_key=p"]}')
    assert "config.base_url" in refusal('{"pool": "x", "more": 5, "base_url": ["http://[::1"]}')
    assert "LD_PRELOAD" in refusal('{"pool": "x", "more": 5, "secrets": {"LD_PRELOAD": "model-key"}}')
    assert "config.more" in refusal('{"pool": "x", "more": ' + "9" * 30 + "}")
    assert "no-such" in prefect.run("deployment", "run", "grow/no-such", wanted=1)


def test_what_a_run_cannot_do_is_one_clear_line(prefect: Prefect, pools: Path, model: str, settings: Path) -> None:
    wrong = [
        ({"more": 1, "target": 2}, "give one of more, target and target_rows"),
        ({"more": 1, "secrets": {"MODEL_KEY": "none-such"}}, "Prefect has no Secret block named 'none-such'"),
        ({"more": 1, "file": str(pools / "none.toml")}, "none.toml: no such file"),
        ({"more": 1, "model": "no-such-model"}, "no-such-model"),
        ({"more": 1, "model": None, "base_url": []}, "no model is named"),
    ]
    deployment = prefect.deploy("grow-nightly", config(pools / "wrong", settings, model, more=1), called="wrong")
    for change, wanted in wrong:
        parameters = {"config": {**config(pools / "wrong", settings, model), **change}}
        body = {"state": {"type": "SCHEDULED"}, "parameters": parameters}
        run = prefect.ask(f"/deployments/{deployment}/create_flow_run", body)["id"]
        state = prefect.ended(run)
        assert state["type"] == "FAILED"
        assert wanted in state["message"]
        if "target" not in change:  # Prefect checks parameters before there is a run to log for
            lines = prefect.told(run, wanted)
            assert not any("Traceback" in line for line in lines), lines
