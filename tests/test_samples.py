"""Several answers to a question: best of n, attempts of two models, tasks with an answer; what stays of the others."""

from __future__ import annotations

import json
import os
import random
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from selfinstruct.config.loading import load
from selfinstruct.config.shaping import pool_settings
from selfinstruct.errors import ConfigError
from selfinstruct.models.offline.server import OfflineServer
from selfinstruct.pool.explain import explain
from selfinstruct.pool.reader import snapshot
from selfinstruct.runner.replay import replay
from selfinstruct.settings import Settings
from selfinstruct.types import Completion, Prompt, Task
from tests.builders import assert_it_adds_up, exported, grow, rows
from tests.processes import generate, kills
from tests.test_judging import TASK, follow, outcome, scores

EVERYTHING = """
[recipe]
steps = ["sample", "attempts", "judge"]
[sample]
answers = 3
by = "{by}"
[attempts]
answers = 2
max_weak = 1
min_strong = 0.5
min_gap = 0
right_by = "{right_by}"
[judge]
enabled = true
revise = true
[agreement]
answers = 3
[stages.respond]
temperature = 0.7
"""


def file(folder: Path, text: str) -> Path:
    path = folder / "c.toml"
    path.write_text(text, encoding="utf-8")
    return path


def chosen(folder: Path, text: str) -> Settings:
    return pool_settings(load(file(folder, text + "[filters]\nchecks = []\n"), {}), "m")


def says(**texts: Callable[[Prompt], str] | str) -> Callable[[Prompt], str]:
    """A model that says these texts at these stages, and that a task works on nothing."""

    def said(prompt: Prompt) -> str:
        text = texts.get(prompt.stage, '{"missing": "nothing", "inputs": []}')
        return text if isinstance(text, str) else text(prompt)

    return said


def number(prompt: Prompt) -> int:
    return prompt.index // 1_000_000


def row_judged(prompt: Prompt) -> dict[str, str]:
    return dict(json.loads(prompt.messages[-1].content.removeprefix("The row:\n")))


@pytest.mark.parametrize(
    ("points", "output", "others"),
    [
        ([3, 5, 4], "two", [("one", 2.0), ("three", 1.0)]),
        ([5, 5, 1], "one", [("two", 0.0), ("three", 4.0)]),
        ([1, None, 2], "three", [("one", 1.0), ("two", None)]),
        ([None, None, None], "one", [("two", None), ("three", None)]),
    ],
)
def test_the_answer_with_most_points_becomes_the_output(
    tmp_path: Path, points: list[int | None], output: str, others: list[tuple[str, float | None]]
) -> None:
    given = dict(zip(["one", "two", "three"], points, strict=True))

    def judge(prompt: Prompt) -> str:
        score = given[row_judged(prompt)["output"]]
        return "nothing to read" if score is None else scores(output=score)

    model = says(respond="one", sample=lambda prompt: ["two", "three"][number(prompt) - 1], judge=judge)
    settings = chosen(tmp_path, '[recipe]\nsteps = ["sample"]\n[sample]\nanswers = 3\n')
    end, prompts = follow(model, settings, TASK)
    assert outcome(end) == ([output], [])
    assert [(one.output, one.margin) for one in end.samples] == others
    assert {one.of_request for one in end.samples} == {end.instances[0].request_id}
    asked = [prompt for prompt in prompts if prompt.stage == "sample"]
    assert {prompt.messages for prompt in asked} == {next(p.messages for p in prompts if p.stage == "respond")}


def test_equal_answers_and_faulty_ones_are_not_judged(tmp_path: Path) -> None:
    model = says(
        respond="one", sample=lambda prompt: ["one", "", "[insert name]"][number(prompt) - 1], judge=scores(output=2)
    )
    text = '[recipe]\nsteps = ["sample"]\n[filters]\nchecks = ["placeholder", "empty_output"]\n'
    settings = pool_settings(load(file(tmp_path, text), {}), "m")
    end, prompts = follow(model, settings, TASK)
    assert outcome(end) == (["one"], ["placeholder"])
    assert [prompt.stage for prompt in prompts].count("judge") == 1
    assert end.samples == ()


def test_by_pairs_a_preference_that_depends_on_the_order_is_a_tie(tmp_path: Path) -> None:
    """Two beats one in both orders; three is taken for better than whatever stands first or second with it."""

    def compare(prompt: Prompt) -> str:
        shown = json.loads(prompt.messages[-1].content)
        pair = (shown["first"], shown["second"])
        better = {("one", "two"): "second", ("two", "one"): "first"}.get(pair, "first")
        return json.dumps({"reason": "because it is so", "better": better})

    model = says(respond="one", sample=lambda prompt: ["two", "three"][number(prompt) - 1], compare=compare)
    settings = chosen(tmp_path, '[recipe]\nsteps = ["sample"]\n[sample]\nanswers = 3\nby = "pairs"\n')
    end, prompts = follow(model, settings, TASK)
    assert outcome(end) == (["two"], [])
    assert [(one.output, one.margin) for one in end.samples] == [("one", 2.0), ("three", 1.0)]
    assert [prompt.stage for prompt in prompts].count("compare") == 6


def test_models_take_turns_and_the_judge_does_not_look_twice(tmp_path: Path) -> None:
    text = (
        '[recipe]\nsteps = ["sample", "judge"]\n[sample]\nanswers = 4\nstages = ["sample", "large"]\n'
        '[stages.large]\nname = "large"\n[judge]\nenabled = true\n'
    )
    settings = chosen(tmp_path, text)
    assert settings.stages["large"].model == "large"
    assert settings.stages["large"].sampling["temperature"] == 0.8
    model = says(
        respond="one", sample=lambda prompt: f"s{number(prompt)}", large=lambda prompt: f"l{number(prompt)}",
        judge=lambda prompt: scores(output=5 if row_judged(prompt)["output"] == "l2" else 3),
    )  # fmt: skip
    end, prompts = follow(model, settings, TASK)
    assert outcome(end) == (["l2"], [])
    assert [one.output for one in end.samples] == ["one", "s1", "s3"]
    assert [prompt.stage for prompt in prompts].count("judge") == 4
    assert [one.outcome for one in end.verdicts] == ["passed"]


@pytest.mark.parametrize(
    ("weak", "strong", "reasons"),
    [
        ("yyyy", "yyyy", ["too_easy"]),
        ("nnnn", "ynnn", ["too_hard"]),
        ("yynn", "yynn", ["no_gap"]),
        ("yynn", "yyyn", []),
        ("ynnn", "yyyy", []),
        ("ffff", "yyyy", []),
        ("fffy", "yyyy", ["too_easy"]),
        ("nnnn", "eeyy", []),
    ],
)
def test_rows_stay_that_tell_a_strong_model_from_a_weak_one(
    tmp_path: Path, weak: str, strong: str, reasons: list[str]
) -> None:
    """y: right, n: wrong, e: empty, f: the request failed."""
    texts = {"y": "It is so.\nAnswer: 5", "n": "6", "e": " "}

    def model(prompt: Prompt) -> str | Completion:
        if prompt.stage == "respond":
            return "5"
        if prompt.stage not in {"weak", "strong"}:
            return '{"missing": "nothing", "inputs": []}'
        letter = (weak if prompt.stage == "weak" else strong)[number(prompt)]
        return Completion(f"{prompt.stage}{prompt.index}", "failed", "", "x") if letter == "f" else texts[letter]

    settings = chosen(tmp_path, '[recipe]\nsteps = ["attempts"]\n')
    end, _ = follow(model, settings, Task("t", "How much is two and three?", False))
    assert outcome(end) == ([] if reasons else ["5"], reasons)
    if not reasons:
        right = [one.is_right for one in end.samples if one.step == "strong"]
        assert right == [letter == "y" for letter in strong]


def test_an_open_question_is_attempted_only_if_the_judge_says_what_is_right(tmp_path: Path) -> None:
    long = "It was a long day, and nobody knew how it would end."
    text = '[recipe]\nsteps = ["attempts"]\n[attempts]\nanswers = 2\nright_by = "{}"\n'
    task = Task("t", "Write a story.", False)

    def judge(prompt: Prompt) -> str:
        return scores(output=5 if row_judged(prompt)["output"].startswith("strong") else 2)

    model = says(respond=long, weak="weak " + long, strong="strong " + long, judge=judge)
    end, prompts = follow(model, chosen(tmp_path, text.format("answer")), task)
    assert outcome(end) == ([long], [])
    assert end.samples == ()
    assert {prompt.stage for prompt in prompts} == {"inputs", "respond"}
    end, prompts = follow(model, chosen(tmp_path, text.format("judge")), task)
    assert outcome(end) == ([long], [])
    assert [(one.step, one.is_right) for one in end.samples] == [("weak", False)] * 2 + [("strong", True)] * 2


def test_an_answer_without_its_unit_is_not_wrong(tmp_path: Path) -> None:
    settings = chosen(tmp_path, "[agreement]\nanswers = 5\nmin_share = 0.2\n[stages.respond]\ntemperature = 1\n")
    answers = ["32 legs", "32", "thirty-two", "31", "32 legs"]
    task = Task("t", "How many legs have three spiders and two dogs?", False)
    end, _ = follow(says(respond=lambda prompt: answers[number(prompt)]), settings, task)
    assert outcome(end) == (["32 legs"], [])
    assert [one.is_right for one in end.samples] == [None, None, False, True]


def test_a_text_about_questions_and_answers_is_not_cut(tmp_path: Path) -> None:
    quiz = "1. What is Peru's capital?\nAnswer: Lima\n\n2. What is Chile's capital?\nAnswer: Santiago"
    for reasoning, text in (("free", "It is so.\nAnswer: Lima"), ("step_by_step", quiz)):
        settings = chosen(tmp_path, f'[recipe]\nreasoning = "{reasoning}"\nbefore_answer = "strip"\n')
        assert outcome(follow(says(respond=text), settings, TASK)[0]) == ([text], [])


def test_an_attempt_that_a_check_refuses_is_wrong_and_not_kept(tmp_path: Path) -> None:
    text = '[recipe]\nsteps = ["attempts"]\n[attempts]\nanswers = 1\n[filters]\nchecks = ["refusal"]\n'
    settings = pool_settings(load(file(tmp_path, text), {}), "m")
    model = says(respond="5", weak="I'm sorry, but I cannot help with that.", strong="5")
    end, _ = follow(model, settings, Task("t", "How much is two and three?", False))
    assert [(one.step, one.output, one.is_right) for one in end.samples] == [("weak", "", False), ("strong", "5", True)]


@pytest.mark.parametrize(
    ("answers", "kept", "reasons"),
    [
        (["7", "It is 7.\nAnswer: 7", "8"], ["7"], []),
        (["8", "8", "7"], [], ["answer_disagrees"]),
        (["8", "9", "7"], [], ["no_agreement"]),
    ],
)
def test_a_task_stays_if_most_answers_are_the_one_it_came_with(
    tmp_path: Path, answers: list[str], kept: list[str], reasons: list[str]
) -> None:
    settings = chosen(
        tmp_path, "[recipe]\nwith_answer = true\n[agreement]\nanswers = 3\n[stages.respond]\ntemperature = 1\n"
    )
    task = Task("t", "How much is three and four?", None, answer="7")
    end, prompts = follow(says(respond=lambda prompt: answers[number(prompt)]), settings, task)
    assert outcome(end) == (kept, reasons)
    assert {prompt.stage for prompt in prompts} == {"respond"}
    assert [one.is_right for one in end.samples] == ([True, False] if kept else [])


@pytest.mark.parametrize(
    ("before", "output", "reasoning"),
    [
        ("keep", "One.\nTwo.\nAnswer: - a\n- b", ""),
        ("strip", "- a\n- b", ""),
        ("reasoning", "- a\n- b", "One.\nTwo."),
    ],
)
def test_steps_before_an_answer_stay_go_or_are_kept_apart(
    tmp_path: Path, before: str, output: str, reasoning: str
) -> None:
    settings = chosen(tmp_path, f'[recipe]\nreasoning = "least_to_most"\nbefore_answer = "{before}"\n')
    end, prompts = follow(says(respond="One.\nTwo.\nAnswer: - a\n- b"), settings, TASK)
    (row,) = end.instances
    assert (row.output, row.reasoning) == (output, reasoning)
    assert "smaller questions" in prompts[-1].messages[0].content


@pytest.mark.parametrize(
    ("text", "line"),
    [
        ("[recipe]\nwith_answer = true\n", "recipe.with_answer needs several answers to compare"),
        ('[recipe]\nname = "paper"\nreasoning = "step_by_step"\n', "recipe.reasoning: the recipe paper"),
        ('[recipe]\nsteps = ["sample"]\n[sample]\nstages = ["respond"]\n', "sample.stages: respond is the name of"),
        ('[recipe]\nsteps = ["samples"]\n', "did you mean sample"),
        ("[attempts]\nmax_weak = 0.5\n", "add 'attempts' to recipe.steps"),
        ('[recipe]\nsteps = ["sample"]\n[sample]\nstages = ["lage"]\n', "has no table \\[stages.lage\\]"),
        ('[recipe]\nsteps = ["sample"]\n[sample]\nstages = []\n', "names none; wanted is one at least"),
        ('[recipe]\nname = "original"\nsteps = ["attempts"]\n', "has no step attempts"),
        (
            (
                '[model]\nbase_url = "http://127.0.0.1:1/v1"\n[stages.weak]\ntemperature = 0\n'
                '[recipe]\nsteps = ["attempts"]\n'
            ),
            "stages.weak: at temperature 0",
        ),
    ],
)
def test_settings_that_cannot_be_used_are_one_line(tmp_path: Path, text: str, line: str) -> None:
    with pytest.raises(ConfigError, match=line) as found:
        chosen(tmp_path, text)
    assert "\n" not in str(found.value)


# --- pools -----------------------------------------------------------------------------------------------------------


def content(pool: Path) -> tuple[bytes, Any]:
    samples = "SELECT task_id, number, request_id, output, step, is_right, margin FROM samples ORDER BY 1, 2"
    return exported(pool), rows(pool, samples)


@pytest.mark.parametrize(("by", "right_by"), [("points", "answer"), ("pairs", "judge")])
def test_a_pool_with_all_steps_adds_up_whatever_the_concurrency(tmp_path: Path, by: str, right_by: str) -> None:
    config = file(tmp_path, EVERYTHING.format(by=by, right_by=right_by))
    with OfflineServer(quirk="wrong=0.4,judge_wrong=0.1") as server:
        told = {"config": config, "base_url": [server.base_url], "model": "offline", "target": 12}
        assert grow(tmp_path / "p", concurrency=1, **told).exit_code == 0
        assert grow(tmp_path / "q", concurrency=64, **told).exit_code == 0
    assert content(tmp_path / "p") == content(tmp_path / "q")
    now = assert_it_adds_up(tmp_path / "p")
    assert now["samples"] > 12
    with snapshot(tmp_path / "p") as pool:
        shown = list(pool.rows(sampled=True))
    assert {one.step for row in shown for one in row.samples} >= {"sample", "weak", "strong"}
    assert any(row.share_right("strong") is not None for row in shown)
    (row, best) = next((row, one) for row in shown for one in row.samples if one.step == "sample")
    (told,) = explain(tmp_path / "p", row.task_id)
    assert any(label == "by sample" and text.endswith(best.output) for label, text in told.lines)


def test_other_bounds_are_tried_without_a_request(tmp_path: Path) -> None:
    text = EVERYTHING.format(by="points", right_by="answer")
    with OfflineServer(quirk="wrong=0.4") as server:
        grow(
            tmp_path / "p", config=file(tmp_path, text), base_url=[server.base_url], model="offline", target=12
        )  # fmt: skip
        before = server.stats()["requests"]
        narrower = file(tmp_path, text.replace("max_weak = 1", "max_weak = 0.5"))
        replay([tmp_path / "p"], load(narrower, {"pool": tmp_path / "q"}), [].append)
        assert server.stats()["requests"] == before
    reasons = dict(rows(tmp_path / "q", "SELECT reason, COUNT(*) FROM rejections GROUP BY 1"))
    assert reasons["too_easy"] > 0


@pytest.mark.slow
@pytest.mark.timeout(1200)
def test_killed_with_all_steps_on_the_bytes_are_the_same(tmp_path: Path) -> None:
    """Six kills in CI; `make soak` sets KILLS to 20."""
    wanted = int(os.environ.get("KILLS", "6"))
    config = file(tmp_path, EVERYTHING.format(by="points", right_by="judge"))
    generator, killed, pools = random.Random(5), 0, 0
    quirks = "wrong=0.3,judge_wrong=0.1"
    with OfflineServer(quirk=quirks) as server:
        grow(tmp_path / "p", config=config, base_url=[server.base_url], model="offline", target=20, concurrency=16)
    while killed < wanted:
        pools += 1
        pool = tmp_path / f"p{pools}"
        with OfflineServer(quirk=quirks, latency="fixed:0.05", fault="429=5%:0.1,503=4%,drop=1%") as server:
            command = generate(pool, server.base_url, 20, "--concurrency", 16, "--config", config)
            killed += sum(1 for _ in kills(command, pool, min(7, wanted - killed), generator))
            assert server.stats()["asked_again"]["after_answer"] <= 16 * 7
        assert content(pool) == content(tmp_path / "p")
        assert_it_adds_up(pool)
