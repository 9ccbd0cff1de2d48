"""The Prefect flow, run for real against a Prefect server and a pool."""

from __future__ import annotations

import asyncio
import gc
import logging
import os
import signal
import subprocess
import sys
import time
import warnings
from collections.abc import Iterator
from pathlib import Path

import pytest

import flows  # noqa: F401 - sets what Prefect reads when it is imported
from selfinstruct.store.reading import status
from tests.builders import ROOT, exported, grow

pytestmark = [
    pytest.mark.prefect,
    pytest.mark.timeout(300),
    pytest.mark.filterwarnings("default"),
]


@pytest.fixture(scope="module")
def prefect(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The URL of a Prefect server of our own, on an empty database."""
    os.environ["PREFECT_HOME"] = str(tmp_path_factory.mktemp("prefect"))
    from prefect.settings import PREFECT_API_URL, get_current_settings
    from prefect.testing.utilities import prefect_test_harness

    with prefect_test_harness(server_startup_timeout=180):
        url = str(PREFECT_API_URL.value() or get_current_settings().api.url)
        yield url
    with warnings.catch_warnings():  # Prefect leaves sockets to the garbage collector; not another test's fault
        warnings.simplefilter("ignore")
        gc.collect()


def test_the_flow_grows_a_pool_as_generate_does_with_a_task_for_each_step(prefect: str, tmp_path: Path) -> None:
    from flows.grow import GrowConfig
    from flows.grow import grow as flow

    done = asyncio.run(flow(GrowConfig(pool=tmp_path / "p", target=40)))
    assert done["exit_code"] == 0
    asyncio.run(flow(GrowConfig(pool=tmp_path / "p", more=10)))
    grow(tmp_path / "q", target=50)
    assert exported(tmp_path / "p") == exported(tmp_path / "q")
    names = asyncio.run(_task_runs())
    rounds = status(tmp_path / "p")["rounds"]
    for step in ("sample", "prompt", "filter", "grow"):
        assert {f"{step}-{number}" for number in range(rounds)} <= names, step
    assert len(names) <= 6 * rounds + 12


def test_nothing_that_a_terminal_obeys_is_logged() -> None:
    from flows.reporting import _Short

    for words in ({"msg": "a \x1b[31mmodel of %s", "args": ("x\x07",)}, {"msg": "100%\x1b]0;b"}):
        record = logging.makeLogRecord(words)
        assert _Short().filter(record)
        assert record.getMessage().isprintable()
        assert record.getMessage().startswith(("a [31mmodel of x", "100% ]0;b"))


async def _task_runs() -> set[str]:
    from prefect.client.orchestration import get_client

    async with get_client() as client:
        return {run.name for run in await client.read_task_runs(limit=200)}


def test_wrong_parameters_are_refused_with_the_fields_name(prefect: str) -> None:
    from prefect.exceptions import ParameterTypeError

    from flows.grow import grow as flow

    with pytest.raises(ParameterTypeError, match="more"):
        asyncio.run(flow({"pool": "p", "more": 0}))  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("options", "url", "wanted", "code"),
    [
        (["--cron", "0 2 * * *", "--more", "5"], "http://127.0.0.1:9/api", "no Prefect server answers at", 5),
        (["--cron", "0 2 * *", "--more", "5"], None, "--cron: '0 2 * *' is no cron expression", 2),
        (["--cron", "0 2 * * *", "--more", "5", "--timezone", "Mars"], None, "'Mars' is no time zone", 2),
        (["--cron", "0 2 * * *"], None, "give one of --more and --target", 2),
        (["--cron", "0 2 * * *", "--target", "5", "--config", "none.toml"], None, "none.toml: the config file", 2),
    ],
)
def test_a_schedule_that_cannot_be_served_is_one_clear_line(
    prefect: str, tmp_path: Path, options: list[str], url: str | None, wanted: str, code: int
) -> None:
    command = [sys.executable, "-m", "selfinstruct", "schedule", "--pool", str(tmp_path / "p"), *options]
    environment = {**os.environ, "PREFECT_API_URL": url or prefect}
    found = subprocess.run(command, check=False, cwd=ROOT, env=environment, capture_output=True, text=True)
    assert found.returncode == code
    assert found.stderr.count("\n") == 1
    assert wanted in found.stderr


def test_a_flow_says_what_generate_would_and_nothing_else(prefect: str, tmp_path: Path) -> None:
    """No telemetry, no warnings; each line is whole, and Prefect has them too."""
    code = (
        "import asyncio, sys, flows; from flows.grow import GrowConfig, grow;"
        "asyncio.run(grow(GrowConfig(pool=sys.argv[1], target=100)))"
    )
    environment = {**os.environ, "PREFECT_API_URL": prefect, "NO_COLOR": "1", "COLUMNS": "300"}
    environment.pop("PREFECT_LOGGING_LEVEL", None)
    found = subprocess.run(
        [sys.executable, "-c", code, str(tmp_path / "p")], check=True, cwd=ROOT, env=environment,
        capture_output=True, text=True,
    )  # fmt: skip
    lines = found.stderr.splitlines()
    assert found.stdout == ""
    assert any(" of 100 finished" in line for line in lines), found.stderr
    for line in lines:
        assert " | INFO    | Flow run " in line, found.stderr
        assert "round " in line or "Finished in state Completed" in line or "Beginning flow run" in line, found.stderr
    told = asyncio.run(_logs())
    assert {line.partition(" - ")[2] for line in lines if " - round " in line} <= told


async def _logs() -> set[str]:
    from prefect.client.orchestration import get_client

    async with get_client() as client:
        return {log.message for log in await client.read_logs(limit=200)}


def test_the_schedule_is_served_as_a_deployment(prefect: str, tmp_path: Path) -> None:
    command = [
        sys.executable,
        "-m",
        "selfinstruct",
        "schedule",
        "--pool",
        str(tmp_path / "nightly"),
        "--cron",
        "0 2 * * *",
        "--more",
        "5",
    ]
    environment = {**os.environ, "PREFECT_API_URL": prefect}
    process = subprocess.Popen(command, cwd=ROOT, env=environment, stderr=subprocess.PIPE, text=True)
    try:
        until = time.monotonic() + 90
        found = None
        while found is None and time.monotonic() < until and process.poll() is None:
            found = asyncio.run(_deployment("grow/nightly"))
            time.sleep(0.5)
        assert found is not None, (
            process.stderr.read() if process.stderr and process.poll() is not None else "no deployment"
        )
        cron, parameters, limit = found
        assert cron == "0 2 * * *"
        assert parameters == {"config": {"pool": str(tmp_path / "nightly"), "more": 5}}
        assert limit == 1
    finally:
        process.send_signal(signal.SIGTERM)
        try:
            process.communicate(timeout=30)
        except subprocess.TimeoutExpired:
            process.kill()
            process.communicate()


async def _deployment(name: str) -> tuple[str, dict[str, object], int | None] | None:
    from prefect.client.orchestration import get_client
    from prefect.exceptions import ObjectNotFound

    async with get_client() as client:
        try:
            found = await client.read_deployment_by_name(name)
        except ObjectNotFound:
            return None
    limit = found.global_concurrency_limit
    schedule: object = found.schedules[0].schedule
    return str(getattr(schedule, "cron", "")), found.parameters, limit.limit if limit else None
