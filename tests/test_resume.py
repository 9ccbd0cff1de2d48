"""Runs that go on where an earlier one ended: under another model, in another context, after a kill."""

from __future__ import annotations

import asyncio
import shutil
import sqlite3
import subprocess
import sys
import tempfile
import threading
from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path
from typing import Any, TypeVar

import pytest

from selfinstruct.cli import commands as cli
from selfinstruct.config.loading import load
from selfinstruct.errors import PoolError
from selfinstruct.models.offline.server import OfflineServer
from selfinstruct.pool.contents import load_contents
from selfinstruct.pool.opening import Writer
from selfinstruct.pool.reader import status
from selfinstruct.runner.pump import Growth
from selfinstruct.runner.run import run
from selfinstruct.types import Task
from tests.builders import ROOT, exported, grow, jsonl, made_pool, rows, seed_row
from tests.servers import ScriptedServer, completion, short_server

Result = TypeVar("Result")


def change(pool: Path, *sql: str) -> None:
    """Do to a pool's database what nothing in the program would do."""
    connection = sqlite3.connect(pool / "pool.db")
    with connection:
        for one in sql:
            connection.execute(one)
    connection.close()


def asked_of(tmp_path: Path, temperature: float) -> Path:
    path = tmp_path / f"{temperature}.toml"
    path.write_text(f"[stages.propose]\ntemperature = {temperature}\n")
    return path


def test_a_model_changed_and_changed_back_loses_no_request(tmp_path: Path) -> None:
    pool, one, other = tmp_path / "p", asked_of(tmp_path, 0.9), asked_of(tmp_path, 1.1)
    with OfflineServer() as server:
        options: dict[str, Any] = {"base_url": [server.base_url], "model": "offline", "target": 40}
        for config, sent in ((one, 2), (other, 1), (one, 1), (other, 1), (one, 2)):
            assert grow(pool, config=config, max_requests=sent, **options).exit_code == 3
            now = rows(pool, "SELECT COUNT(*) FROM requests WHERE round = 0 AND state != 'superseded'")
            assert now == [(8,)]
        assert grow(pool, config=one, **options).exit_code == 0
        assert max(server.seen.values()) == 1
    answered = "SELECT DISTINCT COUNT(*) FROM requests WHERE stage = 'propose' AND state = 'answered' GROUP BY round"
    assert rows(pool, answered) == [(8,)]


def test_follow_ups_of_a_model_changed_and_changed_back_are_asked_once(tmp_path: Path) -> None:
    pool, configs = tmp_path / "p", []
    for temperature in (0.2, 0.4):
        configs.append(tmp_path / f"{temperature}.toml")
        configs[-1].write_text(f"[stages.inputs]\ntemperature = {temperature}\n")
    with OfflineServer() as server:
        options: dict[str, Any] = {"base_url": [server.base_url], "model": "offline", "target": 40, "concurrency": 4}
        for place, sent in ((0, 16), (1, 2), (0, 2), (1, 2), (0, 2)):
            assert grow(pool, config=configs[place], max_requests=sent, **options).exit_code == 3
        assert rows(pool, "SELECT COUNT(*) > 0 FROM requests WHERE stage = 'inputs' AND state = 'superseded'") == [(1,)]
        assert grow(pool, config=configs[0], **options).exit_code == 0
        assert max(server.seen.values()) == 1
    by_task = "SELECT DISTINCT COUNT(*) FROM requests WHERE stage = 'inputs' AND state = 'answered' GROUP BY task_id"
    assert rows(pool, by_task) == [(1,)]
    assert rows(pool, "SELECT COUNT(*) FROM completions c JOIN requests r ON r.id = c.request_id "
                      "WHERE r.state = 'superseded'") == [(0,)]  # fmt: skip


def test_requests_that_an_earlier_version_gave_up_are_asked(tmp_path: Path) -> None:
    pool = tmp_path / "p"
    with OfflineServer() as server:
        options: dict[str, Any] = {"base_url": [server.base_url], "model": "offline", "target": 20}
        assert grow(pool, max_requests=3, **options).exit_code == 3
        change(pool, "UPDATE requests SET state = 'superseded' WHERE state = 'open'")
        assert grow(pool, **options).exit_code == 0
        assert max(server.seen.values()) == 1
    grow(tmp_path / "q", target=20)
    assert exported(pool) == exported(tmp_path / "q")


def test_an_open_round_without_requests_is_an_error(tmp_path: Path) -> None:
    pool = tmp_path / "p"
    assert grow(pool, target=60, max_requests=3).exit_code == 3
    change(pool, "DELETE FROM requests WHERE round = 0")
    with pytest.raises(PoolError, match="round 0 has no requests"):
        grow(pool, target=60)


def test_rounds_are_stored_in_order_however_long_one_takes(tmp_path: Path) -> None:
    stored: list[list[int]] = []

    async def around(phase: str, number: int, work: Callable[[], Awaitable[Result]]) -> Result:
        if phase == "sample":
            await asyncio.sleep(0.3 if number % 2 == 0 else 0)
        result = await work()
        if phase == "sample":
            stored.append([row[0] for row in rows(tmp_path / "p", "SELECT number FROM rounds ORDER BY number")])
        return result

    config = load(None, {"pool": tmp_path / "p", "target": 90, "lookahead": 3})
    assert asyncio.run(run(config, lambda _: None, around)).exit_code == 0
    assert len(stored) >= 3
    assert stored == [list(range(count)) for count in range(1, len(stored) + 1)]


def test_a_task_is_shown_as_it_was_proposed_whether_a_run_knows_or_reads_it(tmp_path: Path) -> None:
    """What a task turned out to be is known at no fixed time, so no prompt may depend on it."""
    seeds = jsonl(tmp_path / "seeds.jsonl", [seed_row("Name a river."), seed_row("Spell a word.", 1)])
    model = tmp_path / "model.py"
    model.write_text(
        "import json, zlib\n\n\nasync def answer(messages):\n"
        "    text = json.dumps(messages)\n"
        "    if 'is_classification' not in text:\n"
        "        return json.dumps({'missing': '', 'inputs': []}) if 'missing' in text else 'A rose is a rose.'\n"
        "    names = [f'{zlib.crc32((text + str(one)).encode()):x}' for one in range(4)]\n"
        "    tasks = [{'instruction': f'Write a poem on {one}.', 'is_classification': True} for one in names]\n"
        "    return json.dumps({'tasks': tasks})\n"
    )
    given = {"seeds": seeds, "backend": f"{model}:answer", "round_size": 1, "rouge_threshold": 1.0}
    for target in (10, 20, 60):
        grow(tmp_path / "p", target=target, **given)
    grow(tmp_path / "q", target=60, **given)
    turned_out = "SELECT COUNT(*) FROM tasks WHERE is_classification <> as_proposed"
    assert rows(tmp_path / "p", turned_out) != [(0,)]
    prompts = "SELECT messages FROM questions WHERE stage = 'propose' ORDER BY round, position"
    assert rows(tmp_path / "p", prompts) == rows(tmp_path / "q", prompts)


@pytest.mark.parametrize("target", [5, 60])
def test_a_round_that_was_left_out_is_planned_by_the_next_run(tmp_path: Path, target: int) -> None:
    pool = tmp_path / "p"
    assert grow(pool, target=60, max_requests=4).exit_code == 3
    assert rows(pool, "SELECT number, state FROM rounds") == [(0, "planned"), (1, "planned")]
    of_round = "(SELECT id FROM requests WHERE round = 0)"
    change(
        pool,
        f"DELETE FROM completions WHERE request_id IN {of_round}",
        "DELETE FROM requests WHERE round = 0",
        "DELETE FROM rounds WHERE number = 0",
    )
    assert grow(pool, target=target).exit_code == 0
    grow(tmp_path / "q", target=target)
    assert exported(pool) == exported(tmp_path / "q")
    assert rows(pool, "SELECT MIN(number), COUNT(*) - MAX(number) FROM rounds") == [(0, 1)]


def test_how_many_tasks_there_is_room_for_is_reckoned_where_it_changes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    room = Growth.room
    threads: set[int] = set()

    def seen(growth: Growth) -> int:
        threads.add(threading.get_ident())
        return int(room.__get__(growth))

    monkeypatch.setattr(Growth, "room", property(seen))
    assert grow(tmp_path / "p", target=10).exit_code == 0
    assert threads == {threading.get_ident()}


@pytest.mark.parametrize("recipe", ["chat", "paper"])
def test_what_is_open_is_fitted_to_a_shorter_context(tmp_path: Path, recipe: str) -> None:
    pool = tmp_path / "p"
    options: dict[str, Any] = {"model": "offline", "recipe": recipe, "target": 40}
    with short_server(32768) as server:
        outcome = grow(pool, base_url=[server.base_url], max_requests=12, **options)
        assert outcome.exit_code == 3
        assert grow(pool, base_url=[server.base_url], max_requests=12, **options).exit_code == 3
    open_before = {row[0] for row in rows(pool, "SELECT id FROM requests WHERE state = 'open'")}
    assert open_before
    told: list[str] = []
    with short_server(2048) as server:
        assert grow(pool, base_url=[server.base_url], tell=told, **options).exit_code == 0
    assert "changed: context_length is 2048 instead of 32768, open requests too" in told
    failed = rows(pool, "SELECT stage, finish_reason FROM requests r JOIN completions c ON c.request_id = r.id "
                        "WHERE kind = 'failed'")  # fmt: skip
    assert failed == []
    asked_before = rows(
        pool, "SELECT COUNT(*) FROM requests WHERE stage = 'propose' AND round = 0 AND state = 'answered'"
    )
    assert asked_before == [(8,)]


def test_the_window_counts_what_this_run_judged(tmp_path: Path) -> None:
    pool = tmp_path / "p"
    for target in (60, 70, 90):
        growths: list[Growth] = []
        config = load(None, {"pool": pool, "target": target})
        assert asyncio.run(run(config, lambda _: None, started=growths.append)).exit_code == 0
        assert all(accepted <= judged for accepted, judged in growths[0].window)
    judged = sum(judged for _, judged in growths[0].window)
    assert sum(accepted for accepted, _ in growths[0].window) < judged


@pytest.mark.parametrize("name", ["a#b", "a?mode=rwc", "a%20b", "a b", "ä&immutable=1"])
def test_any_name_of_a_folder_will_do(tmp_path: Path, name: str, capsys: pytest.CaptureFixture[str]) -> None:
    pool = str(tmp_path / name)
    for arguments in (
        ["generate", "--pool", pool, "--target", "3"],
        ["status", pool],
        ["generate", "--pool", pool, "--target", "5"],
        ["export", pool],
        ["report", pool],
        ["replay", pool, "--pool", pool + "2"],
    ):
        assert cli.run(arguments) == 0, capsys.readouterr().err
    assert sorted(path.name for path in tmp_path.iterdir()) == sorted([name, name + "2"])
    assert status(Path(pool))["tasks"] == 5


def test_a_pool_with_many_unfinished_tasks_opens_in_one_pass(tmp_path: Path) -> None:
    """Counted in steps of the database, which do not depend on what else the machine does."""

    def steps(count: int) -> int:
        folder = tmp_path / str(count)
        tasks = [
            Task(f"t{number}", f"Write about thing {number} in a few plain words.", False) for number in range(count)
        ]
        made_pool(folder, tasks)
        change(folder, "UPDATE tasks SET state = 'pending' WHERE position % 2", "UPDATE tasks SET state = 'done' WHERE "
               "NOT position % 2")  # fmt: skip
        taken = 0

        def step() -> int:
            nonlocal taken
            taken += 1
            return 0

        pool = Writer.open(folder)
        connect = pool.connect
        try:
            with connect() as connection:
                connection.set_progress_handler(step, 100)
                found = load_contents(connection)
        finally:
            pool.close()
        assert [one.done_before.tasks for one in found.tasks] == [number // 2 + 1 for number in range(1, count, 2)]
        return taken

    assert steps(2000) < 3 * steps(1000)


@pytest.fixture
def for_anyone() -> Iterator[Path]:
    """A folder that every user may enter."""
    folder = Path(tempfile.mkdtemp())
    folder.chmod(0o755)
    yield folder
    shutil.rmtree(folder)


def without_rights(pool: Path) -> subprocess.CompletedProcess[str]:
    """`status` by a user who may write nowhere; as root too, by giving up that right for its file accesses."""
    grow(pool.parent / "other", target=1)
    code = (
        "import contextlib, ctypes, io, os, sys; from selfinstruct.cli import commands as cli\n"
        "with contextlib.redirect_stdout(io.StringIO()): cli.run(['status', sys.argv[1]])  # imports all there is\n"
        "os.geteuid() or ctypes.CDLL(None).setfsuid(65534); sys.exit(cli.run(['status', sys.argv[2]]))"
    )
    command = [sys.executable, "-c", code, str(pool.parent / "other"), str(pool)]
    return subprocess.run(command, cwd=ROOT, check=False, capture_output=True, text=True)


def test_a_pool_in_a_folder_that_cannot_be_written_can_be_read(for_anyone: Path) -> None:
    pool = for_anyone / "p"
    grow(pool, target=5)
    (pool / "pool.db").chmod(0o444)
    pool.chmod(0o555)
    found = without_rights(pool)
    assert (found.returncode, found.stderr) == (0, "")
    assert "accepted tasks" in found.stdout


def test_a_pool_of_a_killed_run_in_such_a_folder_says_what_is_in_the_way(for_anyone: Path) -> None:
    pool = for_anyone / "p"
    grow(pool, target=5)
    connection = sqlite3.connect(pool / "pool.db")
    connection.execute("CREATE TABLE more (a)")
    for name in ("pool.db", "pool.db-wal"):
        shutil.copy(pool / name, for_anyone / name)
    connection.close()
    shutil.rmtree(pool)
    pool.mkdir()
    for name in ("pool.db", "pool.db-wal"):
        shutil.move(for_anyone / name, pool / name)
    pool.chmod(0o555)
    found = without_rights(pool)
    assert found.returncode == 2
    assert "folder that can be written" in found.stderr
    assert found.stderr.count("\n") == 1


def test_broken_text_has_the_same_evidence_after_a_resume(tmp_path: Path) -> None:
    """A NUL in an instruction that one run reads and another one judges."""
    seeds = jsonl(
        tmp_path / "s.jsonl", [seed_row(f"Name {number} uses of salt in a kitchen.", number) for number in range(9)]
    )
    texts = ["Describe the harbour of a small town.", "Write about\\u0000 the life of a lighthouse keeper."]

    async def answer(place: int, path: str, body: dict[str, Any], request: Any) -> Any:
        del path, request
        if place == 0:
            told = ", ".join(f'{{"instruction": "{text}", "is_classification": false}}' for text in texts)
            return completion(f'{{"tasks": [{told}]}}')
        if "new_tasks" in str(body):
            return completion(
                '{"tasks": [{"instruction": "List five tools that a carpenter uses.", "is_classification": false}]}'
            )
        if "task_inputs" in str(body):
            return completion('{"missing": "nothing", "inputs": []}')
        return completion("The water is calm and the boats are blue.")

    evidence = []
    for targets in ((2,), (1, 2)):
        with ScriptedServer(answer) as server:
            for target in targets:
                pool = tmp_path / str(len(targets))
                grow(pool, seeds=seeds, base_url=[server.base_url], round_size=1, lookahead=1, target=target)
            evidence += rows(pool, "SELECT evidence, text FROM rejections WHERE reason = 'broken_text'")
    assert len(evidence) == 2
    assert evidence[0] == evidence[1]
