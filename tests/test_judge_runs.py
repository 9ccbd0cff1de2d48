"""Whole runs with judge, revision and agreement switched on: the laws hold, the figures are those of the answers."""

from __future__ import annotations

import json
import random
import re
import time
from collections import Counter, defaultdict
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from selfinstruct.cli import commands as cli
from selfinstruct.config.loading import load
from selfinstruct.models.offline.server import OfflineServer
from selfinstruct.pool.explain import explain
from selfinstruct.pool.reader import status
from selfinstruct.runner.forecast import forecast
from selfinstruct.types import BY_JUDGE
from tests.builders import assert_it_adds_up, book_says, exported, grow, rows
from tests.processes import counted, generate, kills, running
from tests.servers import GatedServer

TARGET = 60
QUIRKS = "wrong=25%,judge_wrong=8%,badjson=4%,refusal=2%,rut=60%"
"""In its rut the model asks more often for short answers, which can agree."""
SEED = 4
"""One by which the judge errs often enough in everything that it is asked."""
CONFIG = f"""
seed = {SEED}
[judge]
enabled = true
revise = true

[agreement]
answers = 4
min_share = 0.7

[stages.respond]
temperature = 0.7
"""
VERDICTS = (
    "SELECT source, request_id, request_position, task_id, judge_request, outcome, valid_score, valid_reason, "
    "input_score, input_reason, output_score, output_reason FROM verdicts ORDER BY 1, 2, 3"
)
REJECTIONS = "SELECT kind, reason, request_id, request_position, text, input, evidence FROM rejections ORDER BY 1, 3, 4"
FINISHED = "SELECT id FROM tasks WHERE origin = 'generated' AND state != 'pending' ORDER BY position"


@pytest.fixture(scope="module")
def config(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("config") / "c.toml"
    path.write_text(CONFIG, encoding="utf-8")
    return path


def run(pool: Path, server: OfflineServer, config: Path | None, **options: Any) -> Any:
    wanted = {"target": TARGET, "seed": SEED, "concurrency": 16, **options}
    return grow(pool, config=config, base_url=[server.base_url], model="offline", **wanted)


@pytest.fixture(scope="module")
def server() -> Iterator[OfflineServer]:
    with OfflineServer(quirk=QUIRKS) as running:
        yield running


@pytest.fixture(scope="module")
def reference(tmp_path_factory: pytest.TempPathFactory, server: OfflineServer, config: Path) -> Path:
    """A pool that grew undisturbed."""
    pool = tmp_path_factory.mktemp("reference") / "pool"
    assert run(pool, server, config).exit_code == 0
    return pool


@pytest.fixture(scope="module")
def plain(tmp_path_factory: pytest.TempPathFactory, server: OfflineServer) -> Path:
    """A pool that grew without a judge, to more tasks than the judge was shown."""
    pool = tmp_path_factory.mktemp("plain") / "pool"
    run(pool, server, None, target=2 * TARGET)
    return pool


def content(pool: Path) -> list[Any]:
    """All that follows from the answers: exports, verdicts, and the rejections of finished tasks."""
    return [exported(pool), rows(pool, VERDICTS), rows(pool, FINISHED), rows(pool, REJECTIONS)]


def test_the_target_is_exact_and_everything_adds_up(reference: Path) -> None:
    now = assert_it_adds_up(reference)
    assert (now["tasks"], now["tasks_pending"]) == (TARGET, 0)
    assert now["tasks_without_instances"] > 0, "a task that lost all instances made the judging go on"
    used = {one["stage"] for one in now["usage"]}
    assert used == {"propose", "inputs", "respond", "judge", "revise"}
    wanted = {"judged_invalid", "judged_output", "revised", "no_agreement"}
    assert wanted <= now["rejections"].keys(), now["rejections"]


def test_the_yield_of_each_stage_is_what_its_reasons_left(reference: Path) -> None:
    now = status(reference)
    lost = dict(rows(reference, "SELECT kind || ' ' || reason, COUNT(*) FROM rejections GROUP BY 1"))
    waiting = {"instruction": now["waiting"]}
    for kind, last in (("instruction", now["tasks"] + now["tasks_without_instances"]), ("instance", now["instances"])):
        stages = now["yield"][f"{kind}s"]
        seen, left = zip(*((one["seen"], one["left"]) for one in stages.values()), strict=True)
        assert left[-1] == last
        assert seen[2:] == left[1:-1]
        assert seen[1] == left[0] - waiting.get(kind, 0)
    tasks, instances = now["yield"]["instructions"], now["yield"]["instances"]
    assert list(tasks) == ["read", "rules", "novelty", "decontamination"]
    assert list(instances) == ["read", "rules", "decontamination", "judge", "steps"]
    assert tasks["novelty"]["seen"] - tasks["novelty"]["left"] == lost["instruction near_duplicate"]
    assert tasks["decontamination"]["seen"] == tasks["decontamination"]["left"]
    by_judge = [f"instance {reason}" for reason in BY_JUDGE]
    assert instances["judge"]["seen"] - instances["judge"]["left"] == sum(lost.get(one, 0) for one in by_judge) > 0
    assert instances["read"]["seen"] - instances["read"]["left"] >= lost["instance no_agreement"]


@pytest.mark.parametrize(("concurrency", "targets"), [(1, [TARGET]), (64, [1, 13, TARGET])])
def test_concurrency_and_steps_to_the_target_change_nothing(
    tmp_path: Path, reference: Path, server: OfflineServer, config: Path, concurrency: int, targets: list[int]
) -> None:
    for target in targets:
        run(tmp_path / "p", server, config, target=target, concurrency=concurrency)
        assert assert_it_adds_up(tmp_path / "p")["tasks"] == target
    assert content(tmp_path / "p")[:3] == content(reference)[:3]


@pytest.mark.timeout(600)
def test_killed_at_random_moments_and_resumed_gives_the_same_bytes(
    tmp_path: Path, server: OfflineServer, config: Path
) -> None:
    generator = random.Random(3)
    target, killed, pools, concurrency = 16, 0, 0, 8
    run(tmp_path / "undisturbed", server, config, target=target)
    with OfflineServer(latency="fixed:0.02", quirk=QUIRKS) as slow:
        while killed < 3:
            pools += 1
            assert pools < 5, "runs end before they can be killed"
            pool, asked_again_at_most = tmp_path / f"p{pools}", 0
            command = generate(pool, slow.base_url, target, "--config", config, "--concurrency", concurrency)
            slow.seen.clear()
            for _ in kills(command, pool, 3 - killed, generator, "SELECT COUNT(*) FROM verdicts", 8):
                killed += 1
                asked_again_at_most += concurrency
                assert_it_adds_up(pool)
            assert sum(count - 1 for count in slow.seen.values()) <= asked_again_at_most
            assert rows(pool, "SELECT COUNT(*) - COUNT(DISTINCT request_id) FROM completions") == [(0,)]
            assert content(pool)[:3] == content(tmp_path / "undisturbed")[:3]
            assert_it_adds_up(pool)


def test_rows_shown_at_the_end_bear_their_scores(
    reference: Path, server: OfflineServer, config: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    options = ["--config", config, "--target", TARGET, "--base-url", server.base_url, "--model", "offline"]
    assert cli.run(["generate", str(reference), *map(str, options)]) == 0
    scores = re.compile(r"^judge        task [3-5], input [3-5], output [45], of 5$", re.MULTILINE)
    shown = scores.findall(capsys.readouterr().out)
    assert len(shown) == 3


def test_a_budget_holds_for_the_judge_too_and_the_run_goes_on_to_the_same_bytes(
    tmp_path: Path, reference: Path, server: OfflineServer, config: Path
) -> None:
    runs = 0
    while (outcome := run(tmp_path / "p", server, config, max_requests=70)).exit_code == 3:
        runs += 1
        assert_it_adds_up(tmp_path / "p")
    assert outcome.exit_code == 0
    assert runs > 3
    assert max(count for (count,) in rows(tmp_path / "p", "SELECT COUNT(*) FROM attempts GROUP BY run")) <= 70
    assert content(tmp_path / "p")[:3] == content(reference)[:3]


def test_it_adds_up_at_every_moment_of_a_run(tmp_path: Path, config: Path) -> None:
    """The run goes on by one answer with each look at it."""
    pool, looks, saw_verdicts = tmp_path / "p", 0, 0
    with GatedServer(quirk=QUIRKS) as server:
        command = generate(pool, server.base_url, 20, "--config", config, "--concurrency", 4)
        with running(command) as process:
            while process.poll() is None:
                if server.is_waited_for:
                    now = assert_it_adds_up(pool)
                    if now["judge"]:
                        judge = dict(now["judge"])
                        saved, judged = judge.pop("saved"), judge.pop("judged")
                        assert judged == sum(judge.values())
                        assert saved <= judge["revised"]
                        saw_verdicts += 1
                    looks += 1
                    server.let_through += 1
                time.sleep(0.005)
            assert process.returncode == 0
        assert looks == len(server.bodies) == counted(pool)
    assert saw_verdicts > 10


def test_instructions_and_demonstrations_do_not_depend_on_the_judge(plain: Path, reference: Path) -> None:
    ids = "SELECT id, instruction, parents FROM tasks WHERE origin = 'generated' ORDER BY position"
    judged = rows(reference, ids)
    assert len(judged) > TARGET
    assert rows(plain, ids)[: len(judged)] == judged


# --- the figures, counted once more from the answers ------------------------------------------------------------------


def raw(pool: Path, stage: str) -> list[tuple[Any, ...]]:
    """(task, index, last message, answer) of each request of a stage."""
    return [
        (task, index, json.loads(messages)[-1][1], text)
        for task, index, messages, text in rows(
            pool,
            "SELECT r.task_id, r.position, r.messages, c.text FROM questions r JOIN completions c "
            f"ON c.request_id = r.id WHERE r.stage = '{stage}' ORDER BY r.position",
        )
    ]


def said(answer: str) -> list[int] | None:
    """The three scores in a verdict, as the offline model writes them."""
    try:
        return [value["score"] for value in json.loads(answer).values()]
    except (ValueError, AttributeError, TypeError):
        return None


def first_forms(pool: Path) -> dict[str, dict[int, list[int] | None]]:
    """The scores of the first readable verdict on the first form of each instance, by task and position."""
    found: dict[str, dict[int, list[int] | None]] = defaultdict(dict)
    for task, index, _, answer in raw(pool, "judge"):
        if index < 3_000_000 and not found[task].get(index % 1_000_000):
            found[task][index % 1_000_000] = said(answer)
    return found


def test_the_yield_is_that_of_the_answers(reference: Path) -> None:
    revisions = {(task, index): answer for task, index, _, answer in raw(reference, "revise")}
    second_invalid = {
        task
        for task, index, _, answer in raw(reference, "judge")
        if index >= 3_000_000 and (said(answer) or [5])[0] < 3
    }
    counted: Counter[str] = Counter()
    for task, verdicts in first_forms(reference).items():
        invalid = any(one and one[0] < 3 for one in verdicts.values())
        for index, one in verdicts.items():
            revision = revisions.get((task, index))
            if invalid:
                outcome = "judged_invalid"
            elif one is None:
                outcome = "judge_unreadable"
            elif revision is not None and said(revision.replace('"critique"', "")) is None and is_row(revision):
                outcome = "revised"
            elif task in second_invalid:
                outcome = "judged_invalid"
            else:
                outcome = "judged_input" if one[1] < 3 else "judged_output" if one[2] < 4 else "passed"
            counted[outcome] += 1
    now = status(reference)["judge"]
    assert now.pop("judged") == counted.total()
    assert 0 < now.pop("saved") <= now["revised"]
    assert {name: count for name, count in now.items() if count} == dict(counted)


def is_row(answer: str) -> bool:
    try:
        return {"input", "output"} <= json.loads(answer).keys()
    except ValueError:
        return False


def test_a_judge_makes_an_export_more_right(plain: Path, reference: Path) -> None:
    def share(pool: Path) -> float:
        found = rows(
            pool,
            "SELECT t.instruction, i.input, i.output FROM tasks t JOIN instances i ON i.task_id = t.id "
            "WHERE t.origin = 'generated'",
        )
        return sum(book_says(*row) is True for row in found) / len(found)

    assert share(plain) < 0.85, "25 % of the answers are wrong"
    assert share(reference) > 0.93


def test_outputs_by_agreement_are_those_of_most_answers(reference: Path) -> None:
    answers: dict[tuple[str, int], list[str]] = defaultdict(list)
    for task, index, _, answer in raw(reference, "respond"):
        answers[task, index % 1_000_000].append(answer.strip())
    several = {key: texts for key, texts in answers.items() if len(texts) > 1}
    assert len(several) > 15
    assert {len(texts) for texts in several.values()} == {4}
    taken = {
        (task, position): (output, reason)
        for task, position, output, reason in rows(
            reference,
            "SELECT task_id, request_position, output, 'kept' FROM instances WHERE request_id IN "
            "(SELECT id FROM requests WHERE stage = 'inputs') UNION ALL "
            "SELECT j.task_id, j.request_position, j.text, j.reason FROM rejections j WHERE j.kind = 'instance' "
            "AND j.request_id IN (SELECT id FROM requests WHERE stage = 'inputs')",
        )
    }
    disagreed = 0
    for key, texts in several.items():
        output, reason = taken[key]
        best, votes = Counter(texts).most_common(1)[0]
        assert (reason == "no_agreement") == (votes < 3), (key, texts)
        assert output == best
        disagreed += votes < 3
    found = status(reference)["agreement"]
    assert found == {"asked": len(several), "no_agreement": disagreed}


def test_explain_shows_verdicts_and_all_answers(reference: Path) -> None:
    task = rows(
        reference,
        "SELECT v.task_id FROM verdicts v JOIN requests r ON r.task_id = v.task_id AND r.stage = 'respond' "
        "AND r.position >= 3000000 JOIN tasks t ON t.id = v.task_id WHERE t.state = 'done' "
        "AND v.outcome = 'passed' ORDER BY 1 LIMIT 1",
    )[0][0]
    labels = [label for label, _ in explain(reference, task)[0].lines]
    assert {"judged", "  correct output", "answer 1 of input 1", "answer 4 of input 1"} <= set(labels)
    lines = dict(explain(reference, "revised")[0].lines)
    assert lines["judged"].startswith(("judged_output", "judged_input"))


# --- other settings, other ends --------------------------------------------------------------------------------------


def test_a_replay_judges_by_other_scores_without_asking(tmp_path: Path, reference: Path) -> None:
    path = tmp_path / "c.toml"
    path.write_text(CONFIG.replace("revise = true", "min_output = 5"), encoding="utf-8")
    assert cli.run(["replay", str(reference), "--pool", str(tmp_path / "r"), "--config", str(path)]) == 0
    now = assert_it_adds_up(tmp_path / "r")
    fours = [
        verdicts
        for verdicts in first_forms(reference).values()
        for one in verdicts.values()
        if one and one[0] >= 3 and one[1] >= 3 and one[2] < 5 and all(not v or v[0] >= 3 for v in verdicts.values())
    ]
    assert now["rejections"]["judged_output"] == len(fours)
    open_ = "SELECT COUNT(*) FROM requests WHERE task_id IN (SELECT id FROM tasks WHERE state = 'pending')"
    assert rows(tmp_path / "r", open_) == [(0,)], "pending is only what the source had not followed up"
    path.write_text("", encoding="utf-8")
    assert cli.run(["replay", str(reference), "--pool", str(tmp_path / "u"), "--config", str(path)]) == 0
    assert assert_it_adds_up(tmp_path / "u")["judge"] is None
    assert rows(tmp_path / "u", "SELECT COUNT(*) FROM completions") == rows(
        reference, "SELECT COUNT(*) FROM completions"
    )


def test_what_a_replay_finds_unjudged_is_judged_by_the_next_run(
    tmp_path: Path, plain: Path, reference: Path, server: OfflineServer, config: Path
) -> None:
    assert cli.run(["replay", str(plain), "--pool", str(tmp_path / "r"), "--config", str(config)]) == 0
    now = assert_it_adds_up(tmp_path / "r")
    assert (now["tasks"], now["judge"]) == (0, None)
    assert now["tasks_pending"] >= 2 * TARGET / 3, "what passed the rules waits for the judge"
    run(tmp_path / "r", server, config)
    now = assert_it_adds_up(tmp_path / "r")
    assert now["tasks"] == TARGET
    assert now["judge"]["judged"] > TARGET
    first = "SELECT id, instruction FROM tasks WHERE origin = 'generated' ORDER BY position LIMIT 30"
    assert [text for _, text in rows(tmp_path / "r", first)] == [text for _, text in rows(reference, first)]


def test_a_judge_switched_on_later_judges_what_is_planned_from_then_on(
    tmp_path: Path, server: OfflineServer, config: Path
) -> None:
    told: list[str] = []
    run(tmp_path / "p", server, None, target=20)
    run(tmp_path / "p", server, config, target=60, tell=told)
    assert any(line.startswith("changed: judge is ") for line in told), told
    judged = rows(tmp_path / "p", "SELECT MIN(t.round) FROM verdicts v JOIN tasks t ON t.id = v.task_id")[0][0]
    planned = rows(tmp_path / "p", "SELECT MAX(number) FROM rounds WHERE run = 1")[0][0]
    assert judged == planned + 1
    assert_it_adds_up(tmp_path / "p")


def test_the_recipe_for_base_models_is_judged_too(tmp_path: Path, server: OfflineServer) -> None:
    path = tmp_path / "c.toml"
    path.write_text(CONFIG.partition("[agreement]")[0], encoding="utf-8")
    for name, concurrency in (("a", 3), ("b", 32)):
        run(tmp_path / name, server, path, target=30, recipe="paper", concurrency=concurrency)
        assert assert_it_adds_up(tmp_path / name)["tasks"] == 30
    assert content(tmp_path / "a")[:3] == content(tmp_path / "b")[:3]
    assert rows(tmp_path / "a", "SELECT DISTINCT api FROM requests WHERE stage IN ('judge', 'revise')") == [("chat",)]
    assert status(tmp_path / "a")["judge"]["saved"] > 0


def test_a_judge_that_rejects_everything_ends_the_run(tmp_path: Path, server: OfflineServer) -> None:
    path = tmp_path / "c.toml"
    path.write_text("[judge]\nenabled = true\nmin_valid = 5\nmin_input = 5\nmin_output = 5\n", encoding="utf-8")
    with OfflineServer(quirk="judge_wrong=100%") as wrong:
        outcome = run(tmp_path / "p", wrong, path)
    assert outcome.exit_code == 4
    assert "almost no task keeps an instance: " in outcome.reason
    assert "judged_" in outcome.reason
    assert status(tmp_path / "p")["tasks_without_instances"] < 400


def test_the_forecast_counts_the_judge_and_further_answers(
    tmp_path: Path, reference: Path, server: OfflineServer, config: Path
) -> None:
    options = {"base_url": [server.base_url], "model": "offline", "target": 100}
    plain = {one.name: one for one in forecast(load(None, {"pool": tmp_path / "n", **options})).stages}
    new = {one.name: one for one in forecast(load(config, {"pool": tmp_path / "n", **options})).stages}
    assert {"judge", "revise"} & plain.keys() == set()
    assert new["judge"].requests >= 200
    assert new["respond"].requests > plain["respond"].requests
    assert min(new[stage].prompt_tokens / new[stage].requests for stage in ("judge", "revise")) > 100
    grown = {one.name: one for one in forecast(load(config, {"pool": reference, **options})).stages}
    for one in status(reference)["usage"]:
        assert grown[one["stage"]].requests == pytest.approx(one["requests"] / TARGET * (100 - TARGET)), one["stage"]


@pytest.mark.parametrize(
    ("text", "fault"),
    [
        ("[agreement]\nanswers = 3\n[recipe]\nname = 'paper'\n", "the recipe paper writes inputs and outputs at once"),
        ("[agreement]\nanswers = 3\n[model]\ntemperature = 0\n", "at temperature 0 all answers are the same"),
        ("[judge]\nmin_output = 6\n", "judge.min_output"),
        ("[judge]\nrevise = true\nprinciples = []\n", "a revision needs principles"),
        ("[judge]\nenabled = true\n[recipe]\nname = 'original'\n", "which has no judge"),
        ("diversify = 'auto'\n[recipe]\nname = 'original'\n", "which has no diversify"),
        ("[filters]\nlanguages = ['de']\n[recipe]\nname = 'original'\n", "which looks at no languages"),
        ("[judge]\nmin_outputs = 3\n", "unknown key 'judge.min_outputs'"),
    ],
)
def test_a_wrong_configuration_is_one_clear_line(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], text: str, fault: str
) -> None:
    path = tmp_path / "c.toml"
    path.write_text(text, encoding="utf-8")
    assert cli.run(["generate", "--pool", str(tmp_path / "p"), "--config", str(path)]) == 2
    err = capsys.readouterr().err
    assert fault in err
    assert err.count("\n") == 1
