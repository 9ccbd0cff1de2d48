"""Steps of the user's own: what they ask and give, in runs that are killed, replayed, bounded, and in any order."""

from __future__ import annotations

import asyncio
import json
import random
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import selfinstruct as si
from selfinstruct import algorithm
from selfinstruct.ask import at_once
from selfinstruct.cli import commands as cli
from selfinstruct.config.loading import load
from selfinstruct.config.shaping import pool_settings
from selfinstruct.errors import Halted
from selfinstruct.models.offline.server import OfflineServer
from selfinstruct.pool.explain import explain
from selfinstruct.pool.reader import status
from selfinstruct.runner import pump
from selfinstruct.runner.forecast import forecast
from selfinstruct.settings import Settings
from selfinstruct.types import Completion, Finished, Prompt, Task
from tests.builders import assert_it_adds_up, exported, grow, rows, task
from tests.processes import generate, kills

SHORTER = """
import asyncio
from dataclasses import replace


async def shorter(task, rows, ask):
    answers = await asyncio.gather(*(ask(f"{task.instruction}\\n\\n{row.input}", index=1) for row in rows))
    found = []
    for row, answer in zip(rows, answers):
        if answer.failure or len(row.output) < 30:
            found.append(row)
        elif len(answer.text) % 4 == 0:
            found.append(f"too_even: {len(answer.text)} characters")
        else:
            found.append(replace(row, output=f"{answer.text} Indeed."))
    return found


async def tidy(task, rows, ask):
    return [replace(row, output=row.output.replace(" Indeed.", " Quite so.")) for row in rows]
"""
OF_STEP = "SELECT COUNT(*) FROM requests WHERE stage = 'shorter'"
REJECTIONS = "SELECT kind, reason, request_id, request_position, text, input, evidence FROM rejections ORDER BY 1, 3, 4"


def written(folder: Path, text: str, name: str = "own.py") -> Path:
    path = folder / name
    path.write_text(text, encoding="utf-8")
    return path


def config(folder: Path, steps: Iterable[object], more: str = "", name: str = "c.toml") -> Path:
    return written(folder, f"recipe.steps = {json.dumps([*map(str, steps)])}\n{more}", name)


def content(pool: Path) -> list[Any]:
    """All that follows from the answers to finished tasks."""
    finished = "SELECT id, state FROM tasks WHERE origin = 'generated' AND state != 'pending' ORDER BY position"
    return [exported(pool), rows(pool, finished), rows(pool, REJECTIONS)]


# --- whole runs -----------------------------------------------------------------------------------------------------


def test_a_step_changes_and_refuses_rows_and_each_form_is_kept(tmp_path: Path) -> None:
    own = written(tmp_path, SHORTER)
    chosen = config(tmp_path, ["default", f"{own}:shorter", f"{own}:tidy"])
    command = ["generate", str(tmp_path / "p"), "--config", str(chosen), "--target", "20", "--quiet"]
    assert cli.run(command) == 0
    now = assert_it_adds_up(tmp_path / "p")
    assert (now["tasks"], now["tasks_pending"]) == (20, 0)
    assert min(now["rejections"]["too_even"], now["rejections"]["changed"]) > 0
    assert {one["stage"] for one in now["usage"]} == {"propose", "inputs", "respond", "shorter"}
    steps = now["yield"]["instances"]["steps"]
    assert steps["seen"] - steps["left"] == now["rejections"]["changed"]
    assert steps["left"] == now["instances"]
    changed = rows(
        tmp_path / "p",
        "SELECT i.output, c.text, r.task_id = i.task_id, r.stage FROM instances i "
        "JOIN requests r ON r.id = i.request_id JOIN completions c ON c.request_id = r.id "
        "WHERE i.output LIKE '% Quite so.'",
    )
    assert len(changed) > 5
    for output, answer, is_of_the_task, stage in changed:
        assert (output, is_of_the_task, stage) == (f"{answer} Quite so.", 1, "shorter")
    assert not rows(tmp_path / "p", "SELECT 1 FROM instances WHERE output LIKE '% Indeed.'")
    text = changed[0][0][:60]
    ((identity,),) = rows(
        tmp_path / "p", f"SELECT task_id FROM instances WHERE output LIKE '{text.replace(chr(39), '_')}%'"
    )[:1]
    lines = explain(tmp_path / "p", identity)[0].lines
    assert any(label == "by" and told.startswith("shorter, request ") for label, told in lines)
    assert any(told.startswith("changed: by the step tidy") for _, told in lines)
    assert {"shorter", "respond"} == {
        one.stage for one in si.Pool(tmp_path / "p").answers().itertuples() if one.stage not in {"propose", "inputs"}
    }
    written(tmp_path, "raise SystemExit\n")
    assert cli.run([*command[:-3], "--target", "21", "--quiet"]) == 2
    own.unlink()
    assert grow(tmp_path / "p", target=22, config=config(tmp_path, ["default"])).exit_code == 0


def test_a_function_of_a_program_is_a_step_and_the_judge_may_come_after_it(tmp_path: Path) -> None:
    @si.step
    async def louder(task, rows, ask):  # type: ignore[no-untyped-def]
        from dataclasses import replace

        answer = await ask([{"role": "user", "content": f"Is it loud? {task.instruction}"}], schema={"type": "object"})
        assert (answer.finish_reason != "", answer.data) == (True, None)
        return [replace(row, output=row.output.upper()) for row in rows]

    by_name = config(tmp_path, ["default"])
    assert pool_settings(load(by_name, {}), "m").recipe.steps == si.steps.default == ("judge",)
    more: dict[str, Any] = {"judge": {"enabled": True}, "target": 12, "quiet": True}
    pool = si.generate(tmp_path / "p", steps=[louder, *si.steps.default], **more)
    assert (pool.rows().output == pool.rows().output.str.upper()).all()
    assert pool.rows().output_score.notna().all(), "it judged what it was shown"
    with pytest.raises(si.errors.ConfigError, match="add 'judge' where it belongs"):
        si.generate(tmp_path / "q", steps=[louder], **more)
    assert cli.run(["replay", str(tmp_path / "p"), "--pool", str(tmp_path / "r"), "--config", str(by_name)]) == 0
    for name in ("p", "r"):
        assert_it_adds_up(tmp_path / name)


@pytest.mark.timeout(600)
def test_killed_and_resumed_gives_the_same_bytes_and_asks_nothing_twice(tmp_path: Path) -> None:
    own = written(tmp_path, SHORTER)
    chosen = config(tmp_path, ["default", f"{own}:shorter", f"{own}:tidy"])
    grow(tmp_path / "undisturbed", target=20, config=chosen, concurrency=1)
    killed, asked_again_at_most, concurrency = 0, 0, 8
    with OfflineServer(latency="fixed:0.02") as slow:
        command = generate(tmp_path / "p", slow.base_url, 20, "--config", chosen, "--concurrency", concurrency)
        for _ in kills(command, tmp_path / "p", 3, random.Random(5), f"{OF_STEP} AND state = 'answered'", 8):
            killed += 1
            asked_again_at_most += concurrency
            assert_it_adds_up(tmp_path / "p")
        assert sum(count - 1 for count in slow.seen.values()) <= asked_again_at_most
    assert killed
    assert rows(tmp_path / "p", "SELECT COUNT(*) - COUNT(DISTINCT request_id) FROM completions") == [(0,)]
    assert content(tmp_path / "p") == content(tmp_path / "undisturbed")


def test_a_bound_ends_a_run_within_a_step_and_the_next_one_goes_on(tmp_path: Path) -> None:
    own = written(tmp_path, SHORTER)
    chosen = config(tmp_path, ["default", f"{own}:shorter"])
    ends = []
    while not ends or ends[-1] == 3:
        ends.append(grow(tmp_path / "p", target=10, config=chosen, max_requests=9, concurrency=3).exit_code)
        assert_it_adds_up(tmp_path / "p")
    assert (ends[-1], len(ends) > 3) == (0, True)
    assert rows(tmp_path / "p", "SELECT MAX(n) FROM (SELECT COUNT(*) AS n FROM attempts GROUP BY run)") == [(9,)]
    assert rows(tmp_path / "p", "SELECT COUNT(*) - COUNT(DISTINCT request) FROM attempts") == [(0,)]
    grow(tmp_path / "q", target=10, config=chosen)
    assert exported(tmp_path / "p") == exported(tmp_path / "q")


def test_a_task_left_open_is_finished_by_its_own_steps_though_no_longer_listed(tmp_path: Path) -> None:
    own = written(tmp_path, SHORTER)
    with OfflineServer() as server:
        options: dict[str, Any] = {"base_url": [server.base_url], "model": "offline", "target": 10}
        chosen = config(tmp_path, ["default", f"{own}:shorter"])
        assert grow(tmp_path / "p", config=chosen, max_requests=20, **options).exit_code == 3
        before = rows(tmp_path / "p", f"{OF_STEP} AND state = 'answered'")
        own.unlink()
        assert grow(tmp_path / "p", **options).exit_code == 0
        assert rows(tmp_path / "p", f"{OF_STEP} AND state = 'answered'") > before
        assert max(server.seen.values()) == 1


def test_a_replay_with_the_step_changed_asks_nothing_and_the_next_run_only_what_is_new(tmp_path: Path) -> None:
    own = written(tmp_path, SHORTER)
    chosen = config(tmp_path, ["default", f"{own}:shorter"])
    with OfflineServer() as server:
        options: dict[str, Any] = {"base_url": [server.base_url], "model": "offline", "target": 12, "config": chosen}
        assert grow(tmp_path / "p", **options).exit_code == 0
        answers = rows(tmp_path / "p", "SELECT COUNT(*) FROM completions")

        def replayed(name: str, text: str) -> dict[str, Any]:
            written(tmp_path, text)
            assert (
                cli.run(["replay", str(tmp_path / "p"), "--pool", str(tmp_path / name), "--config", str(chosen)]) == 0
            )
            assert rows(tmp_path / name, "SELECT COUNT(*) FROM completions") == answers
            return assert_it_adds_up(tmp_path / name)

        assert replayed("same", SHORTER)["tasks"] == 12
        assert exported(tmp_path / "same") == exported(tmp_path / "p")
        milder = replayed("milder", SHORTER.replace("% 4 == 0", "% 4 == 1"))
        assert milder["rejections"]["too_even"] != status(tmp_path / "p")["rejections"]["too_even"]
        other = replayed("other", SHORTER.replace("index=1", "index=2"))
        assert (other["tasks"], other["tasks_pending"] >= 12) == (0, True)
        server.seen.clear()
        assert grow(tmp_path / "other", **options).exit_code == 0
        assert max(server.seen.values()) == 1
        asked = rows(
            tmp_path / "other",
            "SELECT r.stage, COUNT(*) FROM requests r JOIN attempts a ON a.request = r.number GROUP BY 1",
        )
        assert dict(asked).keys() == {"shorter"}


def test_a_step_that_always_fails_ends_the_run_soon_and_is_named(tmp_path: Path) -> None:
    own = written(
        tmp_path, "async def mine(task, rows, ask):\n    return [(await ask('Well?')).nothing for _ in rows]\n"
    )
    chosen = config(tmp_path, ["default", f"{own}:mine"])
    outcome = grow(tmp_path / "p", target=100, config=chosen, concurrency=8)
    assert outcome.exit_code == 4
    assert "the step mine failed on " in outcome.reason
    assert "'nothing' (own.py:2); mend it; rounds that are planned keep the code" in outcome.reason
    now = assert_it_adds_up(tmp_path / "p")
    assert (now["tasks"], now["rejections"]["step_error"] >= 8) == (0, True)


def test_a_step_that_waits_for_something_else_than_a_model_is_named_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pump, "LOOK_S", 0.05)
    monkeypatch.setattr(pump, "SILENCE_S", 0.3)
    monkeypatch.setattr(pump, "GRACE_S", 0.1)
    source = (
        "import asyncio\n\nasync def hears():\n    await asyncio.sleep(0 if {quick} else 1000)\n\n"
        "async def mine(task, rows, ask):\n    if task.id != 'rehearsal':\n        await hears()\n    return rows\n"
    )
    for quick, count in (("True", 0), ("False", 1)):
        told: list[str] = []
        own = written(tmp_path, source.format(quick=quick))
        chosen = config(tmp_path, ["default", f"{own}:mine"])
        more = {"target": 1, "max_minutes": 0.03, "round_size": 1}
        outcome = grow(tmp_path / quick, config=chosen, tell=told, **more)
        assert outcome.exit_code == (3 if count else 0)
        named = [line for line in told if line.startswith("mine (own.py:4) waits for something else than a model")]
        tasks = {line.partition(", at: ")[2] for line in named}
        assert (bool(tasks), len(tasks)) == (bool(count), len(named))


@pytest.mark.parametrize(
    ("body", "evidence"),
    [
        ("return [row.nothing for row in rows]", "mine: AttributeError: "),
        ("raise SystemExit", "mine: SystemExit (own.py:2)"),
        ("return rows[1:]", "mine: gave 0 for 1 rows"),
        ("return None", "mine: gave None; wanted is a list"),
        ("return [3]", "mine: gave 3 for a row"),
        ("return [type(rows[0])(3, 'a')]", "mine: gave Instance(input=3, output='a', turns=()) for a row"),
        ("await ask([{'role': 'robot', 'content': 'a'}])", "mine: ValueError: ask was given [{'role': 'robot', "),
        ("await ask('')", "mine: ValueError: ask was given ''; wanted is a text"),
        ("await ask('a', index=-1)", "mine: ValueError: ask was given the index -1; wanted is a whole number from 0"),
        ("await ask('a', schema='b')", "mine: ValueError: ask was given the schema 'b'"),
    ],
)
def test_what_a_step_does_wrong_refuses_its_rows_and_is_the_evidence(tmp_path: Path, body: str, evidence: str) -> None:
    end = at_once(algorithm.finish(TASK, _one_row, _with_step(tmp_path, f"    {body}\n"), SEEDS))
    assert [(one.reason, one.text) for one in end.rejections] == [("step_error", "It is three.")]
    assert end.rejections[0].evidence.startswith(evidence)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("def mine(task, rows, ask):\n    return rows\n", "mine is not async; wanted is an async function"),
        ("async def mine(task, rows):\n    return rows\n", "mine has other parameters"),
        ("mine = 3\n", "mine is no function"),
        ("async def mine(task, rows, ask):\n    return nothing\n", "'nothing' is not defined (own.py:2); tried on"),
        ("async def other(task, rows, ask):\n    return rows\n", "has no function mine"),
        ("async def mine(task, rows, ask):\n    return rows\nrespond = mine\n", "respond is the name of another stage"),
    ],
)  # fmt: skip
def test_a_step_that_cannot_be_used_is_one_line_before_anything_is_asked(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], text: str, said: str
) -> None:
    own = written(tmp_path, text)
    chosen = config(tmp_path, ["default", f"{own}:{'respond' if 'respond' in text else 'mine'}"])
    assert cli.run(["generate", str(tmp_path / "p"), "--config", str(chosen), "--target", "3"]) == 2
    line = capsys.readouterr().err.splitlines()[-1]
    assert line.startswith("error: recipe.steps: ")
    assert said in line
    assert not (tmp_path / "p" / "pool.db").exists()


def test_a_stage_of_a_step_has_settings_and_a_forecast_of_its_own(tmp_path: Path) -> None:
    own = written(tmp_path, SHORTER)
    chosen = config(tmp_path, ["default", f"{own}:shorter"], "[stages.shorter]\nmax_tokens = 777\n")
    with OfflineServer() as server:
        options: dict[str, Any] = {"base_url": [server.base_url], "model": "offline", "pool": tmp_path / "p"}
        wanted = load(chosen, {**options, "target": 100})
        assert {one.name: one.requests for one in forecast(wanted).stages}["shorter"] == 200
        grow(config=chosen, target=10, **options)
    sampling = "SELECT DISTINCT stage = 'shorter' FROM requests WHERE json_extract(sampling, '$.max_tokens') = 777"
    assert rows(tmp_path / "p", sampling) == [(1,)]
    ((count,),) = rows(tmp_path / "p", OF_STEP)
    assert {one.name: one.requests for one in forecast(wanted).stages}["shorter"] == pytest.approx(9 * count)


# --- in any order ---------------------------------------------------------------------------------------------------

TASK = Task("t1", "Add up the two numbers that are given to you.", False)
SEEDS = [task("Explain why the sky is blue in two sentences.")]
TWICE = """
import asyncio
from dataclasses import replace


async def twice(task, rows, ask):
    async def one(row):
        first = await ask(f"Again: {row.input}")
        second = await ask(f"Again: {row.input}", index=1)
        if first.text == "no":
            return "not_again"
        return row if second.failure else replace(row, output=first.text + second.text)

    common, *found = await asyncio.gather(ask("Anything?"), *map(one, rows))
    return found if common.text else ["nothing: at all" for _ in rows]


async def once_more(task, rows, ask):
    answers = await asyncio.gather(*(ask("Anything?") for _ in rows))
    return [replace(row, output=answer.text + row.output) for row, answer in zip(rows, answers)]
"""


def _with_step(folder: Path, body: str) -> Settings:
    """Settings with one step, no check and no judge."""
    own = written(folder, f"async def mine(task, rows, ask):\n{body}")
    return pool_settings(load(config(folder, [f"{own}:mine"], "filters.checks = []\n"), {}), "m")


async def _one_row(prompt: Prompt) -> Completion:
    """A model by which every task gets one row."""
    text = '{"missing": "sums", "inputs": ["1 + 2"]}' if prompt.stage == "inputs" else "It is three."
    return Completion(prompt.stage, "answer", text, "stop")


@pytest.fixture(scope="module", params=["own steps", "points", "pairs", "judge first", "judge last"])
def judged(tmp_path_factory: pytest.TempPathFactory, request: pytest.FixtureRequest) -> Settings:
    """Settings with several steps, among them a judge that revises."""
    folder = tmp_path_factory.mktemp("steps")
    own = written(folder, TWICE)
    more = "[judge]\nenabled = true\nrevise = true\n[filters]\nchecks = []\n"
    steps = {
        "own steps": [f"{own}:twice", f"{own}:once_more", "judge"],
        "judge first": ["judge", f"{own}:once_more", "sample", "attempts"],
        "judge last": ["sample", f"{own}:twice", "judge", "attempts"],
    }.get(request.param, ["sample", "attempts", "judge"])
    if request.param != "own steps":
        by, right_by = ("pairs", "answer") if request.param == "pairs" else ("points", "judge")
        more += f'[sample]\nanswers = 3\nby = "{by}"\n[attempts]\nanswers = 2\nright_by = "{right_by}"\n'
        more += "[agreement]\nanswers = 3\n[stages.respond]\ntemperature = 0.7\n"
    return pool_settings(load(config(folder, steps, more), {}), "m")


def _answer(prompt: Prompt, identity: str, words: random.Random) -> Completion:
    """What a model says, which follows from the question alone."""
    draw = random.Random(f"{words.getstate()[1][0]}{identity}")  # type: ignore[index]
    if prompt.stage == "inputs":
        text = json.dumps({"missing": "sums", "inputs": [f"{number} + 2" for number in range(draw.randint(0, 3))]})
    elif prompt.stage == "judge":
        scores = {name: {"reason": "because", "score": draw.choice([5, 5, 5, 1])} for name in
                  ("valid_task", "suitable_input", "correct_output")}  # fmt: skip
        text = json.dumps(scores)
    elif prompt.stage == "compare":
        text = json.dumps({"reason": "because", "better": draw.choice(["first", "second", "neither", 5])})
    elif prompt.stage == "revise":
        text = json.dumps({"critique": "", "input": draw.choice("abc"), "output": draw.choice("abc")})
    else:
        text = draw.choice(["a", "a", "b", "no", ""])
    kind: Any = draw.choice(["answer"] * 9 + ["failed"])
    return Completion(identity, kind, text, "stop")


def finished(chosen: Settings, seed: int, order: int) -> tuple[Finished, list[str]]:
    """How a task ends, and what was asked, where answers come in a random order."""
    asked: list[str] = []
    draw, words = random.Random(order), random.Random(seed)

    async def ask(prompt: Prompt) -> Completion:
        identity = algorithm.plan_request(prompt, chosen, 0, TASK.id).id
        asked.append(identity)
        for _ in range(draw.randint(0, 9)):
            await asyncio.sleep(0)
        return _answer(prompt, identity, words)

    return asyncio.run(algorithm.finish(TASK, ask, chosen, SEEDS)), asked


def test_what_a_step_makes_of_a_missing_answer_is_never_decided(tmp_path: Path) -> None:
    async def stops(prompt: Prompt) -> Completion:
        if prompt.stage == "mine":
            raise Halted
        return await _one_row(prompt)

    body = "    try:\n        await ask('Well?')\n    except Exception:\n        pass\n    return rows\n"
    with pytest.raises(Halted):
        at_once(algorithm.finish(TASK, stops, _with_step(tmp_path, body), SEEDS))


@given(st.integers(0, 10**6), st.integers(0, 10**6))
@settings(deadline=None, max_examples=60)
def test_the_order_of_arrival_decides_nothing_and_every_candidate_ends_once(
    judged: Settings, seed: int, order: int
) -> None:
    end, asked = finished(judged, seed, order)
    other, asked_then = finished(judged, seed, order + 1)
    assert end == other
    assert sorted(asked) == sorted(set(asked)) == sorted(asked_then)
    ended = [(one.request_id, one.position) for one in (*end.instances, *end.samples, *end.rejections)]
    assert len(ended) == len(set(ended))
    assert "step_error" not in {one.reason for one in end.rejections}
