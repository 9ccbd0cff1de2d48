"""Removing tasks and putting them back: what is left out where, who goes along, and that nothing is lost by it."""

from __future__ import annotations

import json
import math
import random
import re
import shutil
import time
from pathlib import Path
from typing import Any

import hypothesis
import pytest
from hypothesis import HealthCheck, given
from hypothesis import strategies as st

from selfinstruct.cli import commands as cli
from selfinstruct.errors import ConfigError
from selfinstruct.models.offline.server import OfflineServer
from selfinstruct.pool.condition import matching
from selfinstruct.pool.edits import Kind, Selection, change
from selfinstruct.pool.reader import snapshot, status
from selfinstruct.runner.rounds import Generated
from tests.builders import exported, grow, jsonl, rows, seed_row
from tests.processes import counted, generate, kills, running
from tests.servers import GatedServer

NOW = "2026-01-01T00:00:00.000Z"


def run(*arguments: object) -> int:
    return cli.run([str(one) for one in arguments])


def remove(pool: Path, *arguments: object) -> int:
    return run("remove", pool, *arguments, "--reason", "looked wrong")


def generated(pool: Path) -> list[str]:
    return [row[0] for row in rows(pool, "SELECT id FROM tasks WHERE origin = 'generated' ORDER BY position")]


def removed(pool: Path) -> set[str]:
    return {row[0] for row in rows(pool, "SELECT task_id FROM removed")}


def adds_up(pool: Path) -> dict[str, Any]:
    now = status(pool)
    tasks = now["tasks"] + now["tasks_pending"] + now["tasks_without_instances"]
    ended = tasks + now["instances"] + now["samples"] + now["waiting"]
    assert now["candidates"] == ended + sum(now["rejections"].values())
    return now


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A pool of several generations: small rounds, each shows tasks of the ones before."""
    pool = tmp_path_factory.mktemp("made") / "pool"
    grow(pool, target=60, round_size=2, lookahead=1)
    return pool


@pytest.fixture
def pool(made: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(made, tmp_path / "pool"))


def parents_of(pool: Path) -> dict[str, list[str]]:
    return {row[0]: json.loads(row[1]) for row in rows(pool, "SELECT id, parents FROM tasks")}


def generation(task: str, parents: dict[str, list[str]]) -> int:
    """0 for a seed, 1 for a task that seeds alone were shown for."""
    return 1 + max(generation(one, parents) for one in parents[task]) if parents[task] else 0


# --- nothing is lost ------------------------------------------------------------------------------------------------


def test_remove_and_restore_leave_the_export_byte_for_byte_as_before(pool: Path) -> None:
    before, now = exported(pool), status(pool)
    tasks = generated(pool)
    assert remove(pool, tasks[3], tasks[10], "--descendants") == 0
    assert remove(pool, "--where", "length(instruction) % 2 = 0") == 0
    assert 3 < status(pool)["removed"] < 60
    assert exported(pool) != before
    assert run("restore", pool, "--all") == 0
    assert exported(pool) == before
    assert status(pool) == now


def test_what_is_removed_leaves_exports_and_samples_and_nothing_else(
    pool: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    before = adds_up(pool)
    assert remove(pool, "--where", "origin = 'seed'") == 0  # a condition takes generated tasks alone
    assert "and fits none of these but 175 seeds; name seeds by their ids" in capsys.readouterr().out
    assert remove(pool, "--where", "origin = 'nothing'") == 0
    assert "no task is selected" in capsys.readouterr().out
    with snapshot(pool) as opened:
        all_rows = list(opened.rows())
    gone = {row.task_id for row in all_rows[::2]}
    assert remove(pool, *gone) == 0
    assert f"{len(gone)} tasks removed by event 1" in capsys.readouterr().out
    with snapshot(pool) as opened:
        assert list(opened.rows()) == [row for row in all_rows if row.task_id not in gone]
    now = adds_up(pool)
    assert now == {**before, "removed": len(gone)}
    assert run("status", pool) == 0
    assert re.search(rf"^  removed +{len(gone)} ", capsys.readouterr().out, re.MULTILINE)
    assert len(exported(pool).splitlines()) == 2 * sum(row.task_id not in gone for row in all_rows)


def test_events_are_told_by_explain_by_task_and_by_reason(pool: Path, capsys: pytest.CaptureFixture[str]) -> None:
    task = generated(pool)[5]
    assert run("remove", pool, task, "--reason", "sums that are WRONG") == 0
    assert run("restore", pool, task, "--reason", "it was right") == 0
    assert run("remove", pool, "--where", f"id = '{task}'", "--reason", "no, wrong") == 0
    capsys.readouterr()
    assert run("explain", pool, task) == 0
    told = capsys.readouterr().out
    assert told.index("sums that are WRONG (event 1") < told.index("it was right (event 2") < told.index("(event 3")
    assert run("explain", pool, "are wrong") == 0
    assert capsys.readouterr().out.startswith("event 1\n")
    assert run("explain", pool, "no, wrong") == 0
    assert f"id = '{task}'" in capsys.readouterr().out


def test_a_dry_run_names_the_tasks_and_changes_nothing(pool: Path, capsys: pytest.CaptureFixture[str]) -> None:
    before = (pool / "pool.db").read_bytes()
    assert remove(pool, "--where", "round >= 0", "--dry-run") == 0
    out, err = capsys.readouterr()
    count = len(generated(pool))
    assert out.startswith(f"{count} tasks would be removed\n")
    assert f"  and {count - 5} more" in out
    assert "nothing was changed" in err
    assert rows(pool, "SELECT COUNT(*) FROM events") == [(0,)]
    assert (pool / "pool.db").read_bytes() == before


def test_only_what_an_event_took_is_put_back_by_its_number(pool: Path, capsys: pytest.CaptureFixture[str]) -> None:
    tasks = generated(pool)
    assert remove(pool, *tasks[:3]) == remove(pool, tasks[0][:12]) == 0
    assert "nothing to be removed" in capsys.readouterr().out
    assert remove(pool, *tasks[:6]) == 0
    assert rows(pool, "SELECT event, COUNT(*) FROM event_tasks GROUP BY event") == [(1, 3), (2, 3)]
    assert run("restore", pool, "--event", 1) == 0
    assert removed(pool) == set(tasks[3:6])
    assert run("restore", pool, "--where", f"id = '{tasks[4]}'") == 0
    assert removed(pool) == {tasks[3], tasks[5]}
    assert run("restore", pool, "--event", 9) == 2


# --- one row of several ---------------------------------------------------------------------------------------------


def with_several_rows(pool: Path) -> tuple[str, int]:
    """A task that has several rows, and how many."""
    sql = (
        "SELECT t.id, COUNT(*) FROM tasks t JOIN instances i ON i.task_id = t.id WHERE t.origin = 'generated' "
        "GROUP BY t.id HAVING COUNT(*) > 1"
    )
    task, count = rows(pool, sql)[0]
    return str(task), int(count)


def exported_rows(pool: Path) -> list[str]:
    with snapshot(pool) as opened:
        return [row.id for row in opened.rows()]


def test_a_row_is_removed_without_its_siblings_and_the_last_one_takes_the_task(
    pool: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    before, everything = exported(pool), exported_rows(pool)
    task, count = with_several_rows(pool)
    with snapshot(pool) as opened:
        until = opened.position()
    assert remove(pool, f"{task[:9]}/1") == 0
    with snapshot(pool, until) as then:  # as a version has it
        assert [row.id for row in then.rows()] == everything
    assert "1 row removed by event 1" in capsys.readouterr().out
    assert exported_rows(pool) == [one for one in everything if one != f"{task}/1"]
    assert removed(pool) == set()
    assert (status(pool)["removed"], status(pool)["removed_rows"]) == (0, 1)
    assert remove(pool, f"{task}/1") == 0
    assert "nothing to be removed" in capsys.readouterr().out
    with snapshot(pool) as opened:
        assert len(opened.some_rows(10**6)) == len(everything) - 1
    assert run("explain", pool, task) == 0
    assert f"event 1, of {task}/1 alone" in capsys.readouterr().out
    assert remove(pool, *(f"{task}/{number}" for number in range(count))) == 0
    assert removed(pool) == {task}
    assert run("restore", pool, f"{task}/0") == 0
    assert removed(pool) == set()
    assert exported_rows(pool) == [one for one in everything if not one.startswith(task) or one == f"{task}/0"]
    assert run("edit", pool, f"{task}/1", "--output", "Else.") == 2
    assert run("restore", pool, "--all") == 0
    assert exported(pool) == before


def test_a_row_of_a_removed_task_comes_back_alone_and_an_event_puts_back_what_it_took(pool: Path) -> None:
    before = exported(pool)
    task, _ = with_several_rows(pool)
    assert remove(pool, task) == 0
    assert run("restore", pool, f"{task}/1") == 0
    assert [one for one in exported_rows(pool) if one.startswith(task)] == [f"{task}/1"]
    assert run("restore", pool, "--event", 1) == 0
    assert exported(pool) == before
    assert remove(pool, f"{task}/0", task) == 0  # the task, as it is named too
    assert run("restore", pool, "--event", 4) == 0
    assert exported(pool) == before
    assert remove(pool, f"{task}/99") == 2


OPERATIONS = st.lists(
    st.tuples(st.sampled_from(["remove", "restore"]), st.integers(0, 3), st.sampled_from([None, 0, 1])), max_size=12
)


@hypothesis.settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(operations=OPERATIONS)
def test_the_last_event_that_took_a_row_decides(pool: Path, operations: list[tuple[Kind, int, int | None]]) -> None:
    change(pool, "restore", Selection(everything=True), "", NOW)
    everything = exported_rows(pool)
    tasks = sorted({one.split("/")[0] for one in everything if one.endswith("/1")})[:4]
    wanted = dict.fromkeys(everything, "restore")
    for kind, place, number in operations:
        name = tasks[place] if number is None else f"{tasks[place]}/{number}"
        change(pool, kind, Selection((name,)), "x", NOW)
        wanted |= dict.fromkeys((one for one in everything if one == name or one.split("/")[0] == name), kind)
    assert exported_rows(pool) == [one for one in everything if wanted[one] == "restore"]
    left = {one.split("/")[0] for one, kind in wanted.items() if kind == "restore"}
    assert removed(pool) == {one.split("/")[0] for one in everything} - left


# --- descendants ----------------------------------------------------------------------------------------------------


def test_descendants_of_a_pool_of_three_generations_are_exactly_the_family(
    pool: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    parents = parents_of(pool)
    depth = {task: generation(task, parents) for task in generated(pool)}
    assert max(depth.values()) >= 3

    def family_of(founder: str) -> set[str]:
        family = {founder}
        while grown := {task for task in parents if task not in family and family & set(parents[task])}:
            family |= grown
        return family

    founder = next(
        task for task in depth if len({depth[one] for one in family_of(task)}) >= 3 and len(family_of(task)) < 40
    )
    family = family_of(founder)
    assert remove(pool, founder, "--descendants") == 0
    assert removed(pool) == family
    assert f"{len(family)} tasks removed by event 1, {len(family) - 1} descendants" in capsys.readouterr().out
    left = {row[0] for row in rows(pool, "SELECT id FROM tasks")} - family
    assert all(family.isdisjoint(parents[task]) for task in left)
    assert run("restore", pool, "--event", 1) == 0
    assert remove(pool, founder) == 0
    assert removed(pool) == {founder}


def test_a_seed_can_be_removed_with_all_it_bore_but_one_seed_stays(tmp_path: Path) -> None:
    seeds = [seed_row(text, number) for number, text in enumerate(
        ["Explain how tides work at the sea.", "Name four uses of salt at home.", "List the planets by size."]
    )]  # fmt: skip
    pool = tmp_path / "p"
    config = tmp_path / "c.toml"
    config.write_text("[recipe]\ndemonstrations = 1\ngenerated_demonstrations = 0\n")
    grow(pool, target=12, seeds=jsonl(tmp_path / "s.jsonl", seeds), config=config, round_size=2)
    parents = parents_of(pool)
    bore = {task for task, shown in parents.items() if shown == ["s1"]}
    assert 0 < len(bore) < 12
    assert remove(pool, "s1", "--descendants") == 0
    assert removed(pool) == {"s1"} | bore
    now = adds_up(pool)
    assert (now["seeds"], now["seeds_removed"], now["removed"]) == (3, 1, len(bore))
    assert remove(pool, "s0", "s2") == 2
    assert removed(pool) == {"s1"} | bore
    grow(pool, target=60, config=config, round_size=2)
    shown = {row[0] for row in rows(pool, SHOWN_SINCE.format(event=1))}
    assert shown == {"s0", "s2"}


# --- demonstrations -------------------------------------------------------------------------------------------------

SHOWN_SINCE = """SELECT DISTINCT d.value
FROM requests q JOIN rounds r ON r.number = q.round, json_each(q.demonstrations) d
WHERE q.stage = 'propose' AND r.last_event >= {event}"""


def test_rounds_planned_after_a_removal_do_not_show_what_was_removed(pool: Path) -> None:
    tasks = generated(pool)
    gone = set(tasks[::2])
    last = rows(pool, "SELECT MAX(number) FROM rounds")[0][0]
    assert remove(pool, *gone) == 0
    grow(pool, target=110, round_size=2, lookahead=1)
    assert set(rows(pool, f"SELECT last_event FROM rounds WHERE number <= {last}")) == {(0,)}
    assert set(rows(pool, f"SELECT last_event FROM rounds WHERE number > {last}")) == {(1,)}
    shown = {row[0] for row in rows(pool, SHOWN_SINCE.format(event=1))}
    assert shown & set(tasks)
    assert not shown & gone
    now = adds_up(pool)
    assert (now["tasks"], now["removed"]) == (110, len(gone))  # removed tasks count towards the target


def test_a_removed_task_still_keeps_its_like_out(pool: Path) -> None:
    assert remove(pool, "--where", "1") == 0
    grow(pool, target=90, round_size=2, lookahead=1)
    texts = [row[0] for row in rows(pool, "SELECT instruction FROM tasks")]
    assert len(set(texts)) == len(texts)
    assert rows(pool, "SELECT 1 FROM rejections j JOIN removed r ON r.task_id = j.nearest_task")


def test_a_view_without_some_is_the_list_without_them() -> None:
    rows_ = [(f"t{number}", f"text {number}", None, number // 3, {}) for number in range(30)]
    generator = random.Random(5)
    for _ in range(200):
        gone = sorted(generator.sample(range(30), generator.randrange(31)))
        until = generator.randrange(-1, 12)
        wanted = [row[0] for place, row in enumerate(rows_) if place not in gone and row[3] <= until]
        view = Generated(list(rows_)).until(until, gone)
        assert [task.id for task in view] == wanted
        assert len(view) == len(wanted)


@pytest.mark.timeout(600)
def test_killed_and_resumed_after_removals_gives_the_same_bytes(pool: Path, tmp_path: Path) -> None:
    assert remove(pool, *generated(pool)[5:30]) == 0
    assert run("restore", pool, *generated(pool)[7:12]) == 0
    before = Path(shutil.copytree(pool, tmp_path / "before"))
    grow(pool, target=110, round_size=2, concurrency=16)
    asked = """
        SELECT id, demonstrations FROM requests
        WHERE stage = 'propose' AND round <= (SELECT MAX(round) FROM tasks) ORDER BY round, position
    """  # how many rounds are begun ahead of the last that was needed depends on when answers come
    generator = random.Random(5)
    killed = pools = 0
    with OfflineServer(latency="fixed:0.05") as server:
        while killed < 4:
            pools += 1
            assert pools < 8, "runs end before they can be killed"
            other = Path(shutil.copytree(before, tmp_path / f"other{pools}"))
            command = generate(other, server.base_url, 110, "--round-size", 2, "--concurrency", 4)
            for _ in kills(command, other, 4 - killed, generator):
                killed += 1
            assert exported(other) == exported(pool)
            assert rows(other, asked) == rows(pool, asked)
            assert removed(other) == removed(pool)


@pytest.mark.timeout(600)
def test_a_removal_while_a_run_is_going_holds_from_its_next_round(tmp_path: Path) -> None:
    pool = tmp_path / "p"
    with GatedServer() as server:
        command = generate(pool, server.base_url, 120, "--round-size", 2, "--lookahead", 1)
        with running(command) as process:
            while counted(pool, "SELECT COUNT(*) FROM tasks WHERE origin = 'generated'") < 20:
                assert process.poll() is None
                if server.is_waited_for:
                    server.let_through += 1
                time.sleep(0.01)
            tasks = generated(pool)
            assert remove(pool, *tasks) == 0
            server.let_through = math.inf
            assert process.wait() == 0
    events = dict(rows(pool, "SELECT number, last_event FROM rounds"))
    assert set(events.values()) == {0, 1}
    assert sorted(events.values()) == [events[number] for number in sorted(events)]
    shown = {row[0] for row in rows(pool, SHOWN_SINCE.format(event=1))}
    assert shown
    assert not shown & set(tasks)
    assert adds_up(pool)["tasks"] == 120


def test_a_forecast_shows_what_the_next_round_would_show(pool: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert remove(pool, "--where", "1") == 0
    capsys.readouterr()
    assert run("generate", "--pool", pool, "--target", "200", "--dry-run", "--show-prompts") == 0
    out = capsys.readouterr().out
    assert "--- propose request 1" in out
    for (text,) in rows(pool, "SELECT instruction FROM tasks WHERE origin = 'generated'"):
        assert json.dumps(text, ensure_ascii=False) not in out


def test_a_replay_judges_what_was_removed_and_says_so(
    pool: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert remove(pool, *generated(pool)[:4]) == 0
    assert run("replay", pool, "--pool", tmp_path / "again") == 0
    assert "tasks removed here are decided on like all others" in capsys.readouterr().err
    assert set(generated(pool)[:4]) <= set(generated(tmp_path / "again"))
    assert status(tmp_path / "again")["removed"] == 0


# --- conditions -----------------------------------------------------------------------------------------------------


def found(pool: Path, condition: str, **more: Any) -> list[str]:
    return matching(pool, condition, "origin = 'generated'", **more)


@pytest.mark.parametrize(
    ("condition", "same"),
    [
        ("round > 1 AND nearest_score > 0.3", "round > 1 AND nearest_score > 0.3"),
        ("instruction LIKE '%o%' -- all with an o", "instruction LIKE '%o%'"),
        (
            "EXISTS (SELECT 1 FROM instances i WHERE i.task_id = tasks.id AND length(i.output) > 40)",
            "id IN (SELECT task_id FROM instances WHERE length(output) > 40)",
        ),
        ("state = 'without_instances'", "state = 'without_instances'"),
        (
            "EXISTS (SELECT 1 FROM json_each(parents) WHERE value LIKE 'en-%7')",
            "id IN (SELECT t.id FROM tasks t, json_each(t.parents) p WHERE p.value LIKE 'en-%7')",
        ),
        ("1", "1"),
    ],
)
def test_a_condition_takes_what_its_sql_says(made: Path, condition: str, same: str) -> None:
    wanted = rows(made, f"SELECT id FROM tasks WHERE origin = 'generated' AND ({same}) ORDER BY position")
    assert wanted
    assert found(made, condition) == [row[0] for row in wanted]


@pytest.mark.parametrize(
    ("condition", "said"),
    [
        ("", "empty"),
        ("  ", "empty"),
        ("rond > 1", "no such column: rond"),
        ("round >", "incomplete input"),
        ("instruction LIKE '%", "unrecognized token"),
        ("1; DROP TABLE tasks", "one statement"),
        ("1) OR (1", "syntax error"),
        ("1) UNION SELECT name FROM sqlite_master WHERE (1", "syntax error"),
        ("1 LIMIT 1", "syntax error"),
        ("1 /*", "incomplete input"),
        ("id = ?", "bindings"),
        ("EXISTS (SELECT 1 FROM completions)", "may not use the table completions"),
        ("EXISTS (SELECT 1 FROM sqlite_master)", "may not use the table sqlite_master"),
        ("EXISTS (SELECT 1 FROM pragma_database_list)", "may not use"),
        ("load_extension('x.so')", "may not use the function load_extension"),
        ("length(randomblob(900000000)) > 1", "may not use the function randomblob"),
        ("writefile('x', 'y')", "no such function"),
        ("(WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n) SELECT max(i) FROM n)", "may not use"),
        ("length(replace(hex(printf('%.9000000c', 'a')), '6', '666666666')) > 1", "too big"),
        ("(SELECT COUNT(*) FROM tasks a, tasks b, tasks c, tasks d, tasks e) > 1", "takes longer"),
        ("id = '\ud800'", "UTF-8"),
    ],
)
def test_a_condition_that_wants_more_than_it_may_is_one_clear_line(made: Path, condition: str, said: str) -> None:
    with pytest.raises(ConfigError, match="--where: ") as refused:
        found(made, condition, limit_s=1 if said == "takes longer" else 60)
    assert said in str(refused.value)
    assert "\n" not in str(refused.value)


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["remove", "POOL", "--reason", "x"], "in one way: by ID... or --where"),
        (["remove", "POOL", "t0123456", "--where", "1", "--reason", "x"], "in one way: by ID... or --where"),
        (["remove", "POOL", "--where", "1"], "--reason"),
        (["remove", "POOL", "--where", "1", "--reason", " "], "--reason"),
        (["remove", "POOL", "t0123456", "--reason", "x"], "t0123456: no such task"),
        (["remove", "POOL", "en-0", "--reason", "x"], "en-0: no such task"),
        (["remove", "POOL", "t", "--reason", "x"], "t: no such task"),
        (["remove", "POOL", "--where", "foo", "--reason", "x"], "no such column: foo"),
        (["remove", "NONE", "--where", "1", "--reason", "x"], "no such pool"),
        (["restore", "POOL"], "by ID..., --where EXPR, --event N, or --all"),
        (["restore", "POOL", "--all", "--event", "1"], "by ID..., --where EXPR, --event N, or --all"),
        (
            ["restore", "POOL", "--event", "99999999999999999999"],
            "--event 99999999999999999999: there is no such event",
        ),
        (["remove", "POOL", "t0123456", "--reason", "bad\udcff"], "--reason: this is not UTF-8 text"),
        (["remove", "POOL", "t0123456\udcff", "--reason", "x"], "ID: this is not UTF-8 text"),
        (["restore", "POOL", "t0123456\udcff"], "ID: this is not UTF-8 text"),
        (["explain", "POOL", "t0123456\udcff"], "no task, candidate, rejection or event is 't0123456?'"),
    ],
)
def test_wrong_use_is_one_clear_line_and_changes_nothing(
    made: Path, arguments: list[str], said: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    places = {"POOL": str(made), "NONE": str(tmp_path / "none")}
    assert run(*(places.get(one, one) for one in arguments)) == 2
    err = capsys.readouterr().err
    assert said in err
    assert err.startswith("error: ")
    assert err.count("\n") == 1
    assert rows(made, "SELECT COUNT(*) FROM events") == [(0,)]
