"""The algorithm: what a plan depends on, and how candidates are screened in order."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from selfinstruct import algorithm
from selfinstruct.algorithm import Accepted, Screening
from selfinstruct.recipes import RECIPES
from selfinstruct.settings import Settings
from selfinstruct.types import Candidate, Completion, Rejection, StageModel, Task
from tests.builders import ROOT, answer, changed, proposals, settings, task

SETTINGS = settings()
SEEDS = [task(f"Explain topic number {number} in plain words.", number) for number in range(12)]
GENERATED = [Task(f"t{number}", f"Describe thing {number} briefly and clearly.", False) for number in range(5)]


def test_a_plan_is_the_same_in_any_process() -> None:
    code = (
        "from tests.test_rounds import *; import json;"
        "print(json.dumps([r.id for r in algorithm.plan_round(3, SETTINGS, SEEDS, GENERATED)]))"
    )
    found = {
        subprocess.run(
            [sys.executable, "-c", code], cwd=ROOT, env={**os.environ, "PYTHONHASHSEED": seed}, check=True,
            capture_output=True, text=True,
        ).stdout
        for seed in ("0", "1")
    }  # fmt: skip
    assert found == {json.dumps([one.id for one in algorithm.plan_round(3, SETTINGS, SEEDS, GENERATED)]) + "\n"}


def test_six_seeds_and_two_generated_tasks_are_shown_when_there_are_any() -> None:
    for request in algorithm.plan_round(0, SETTINGS, SEEDS, []):
        assert len(set(request.demonstrations)) == 8
    shown = [request.demonstrations for request in algorithm.plan_round(2, SETTINGS, SEEDS, GENERATED)]
    assert {sum(one.startswith("t") for one in ids) for ids in shown} == {2}
    assert len({tuple(ids) for ids in shown}) == len(shown)


@pytest.mark.parametrize(
    ("name", "changed"),
    [
        ("seed", changed(SETTINGS, seed=43)),
        ("model", changed(SETTINGS, stages={**SETTINGS.stages, "propose": StageModel("other", "chat", {})})),
        (
            "sampling",
            changed(SETTINGS, stages={**SETTINGS.stages, "propose": StageModel("offline", "chat", {"extra_body": {}})}),
        ),
        ("guidance", changed(SETTINGS, guidance="Be brief.")),
    ],
)
def test_a_request_id_changes_with_all_that_decides_the_answer(name: str, changed: Settings) -> None:
    before = {request.id for request in algorithm.plan_round(0, SETTINGS, SEEDS, [])}
    assert before.isdisjoint(request.id for request in algorithm.plan_round(0, changed, SEEDS, [])), name


def test_a_request_planned_again_for_the_same_model_is_the_same() -> None:
    request = algorithm.plan_round(0, SETTINGS, SEEDS, [])[0]
    assert algorithm.plan_again(request, SETTINGS) == request
    other = changed(SETTINGS, stages={name: replace(one, model="b") for name, one in SETTINGS.stages.items()})
    again = algorithm.plan_again(request, other)
    assert (again.model, again.demonstrations) == ("b", request.demonstrations)
    assert again.id != request.id


@pytest.mark.parametrize(("recipe", "length"), [("chat", 2_600), ("paper", 1_800)])
def test_a_request_planned_again_for_a_shorter_context_is_as_one_planned_for_it(recipe: str, length: int) -> None:
    seeds = [
        task(f"Explain topic number {number} in plain words. {'More of it. ' * 40}", number) for number in range(12)
    ]
    shown = {seed.id: seed for seed in seeds}
    long = settings(recipe, topics=("bees", "bridges", "harbours"), context_length=32_768)
    short = changed(long, context_length=length)
    planned = algorithm.plan_round(0, long, seeds, [])
    again = [algorithm.plan_again(one, short, 0, [shown[id_] for id_ in one.demonstrations]) for one in planned]
    assert again == algorithm.plan_round(0, short, seeds, [])
    assert all(one.left_out for one in again)
    assert {one.topic for one in again} == {one.topic for one in planned}
    for before, after in zip(planned, again, strict=True):
        back = algorithm.plan_again(after, long, 0, [shown[id_] for id_ in after.demonstrations])
        assert (back, after.id != before.id) == (after, True)


def test_a_round_is_read_in_order_of_request_and_position() -> None:
    requests = algorithm.plan_round(0, SETTINGS, SEEDS, [])[:3]
    texts = [proposals("A a.", "B b."), "nothing", proposals("C c.")]
    answers = {one.id: answer(one, text) for one, text in zip(requests, texts, strict=True)}
    candidates, rejections = algorithm.read_round(requests, dict(reversed(answers.items())), SETTINGS)
    assert [one.instruction for one in candidates] == ["A a.", "B b.", "C c."]
    assert [(one.reason, one.request_id) for one in rejections] == [("unreadable", requests[1].id)]


def knowing(*known: tuple[str, str], tokenizer: str = "unicode") -> Screening:
    return Screening(tokenizer, lambda start: known[start:])


def screened(texts: list[str], *, of: Settings = SETTINGS, shown: tuple[str, ...] = ()) -> list[str]:
    screening = knowing(*((seed.id, seed.instruction) for seed in SEEDS), tokenizer=of.filters.tokenizer)
    decisions = [screening.decide(Candidate("r", place, text), shown, of) for place, text in enumerate(texts)]
    return ["accepted" if isinstance(one, Accepted) else one.reason for one in decisions]


def test_a_repeat_within_one_round_is_rejected() -> None:
    text = "Write a short poem about the sea at night."
    assert screened([text, text, "Write a short poem about the lake at night."]) == [
        "accepted",
        "near_duplicate",
        "near_duplicate",
    ]


def test_of_two_near_duplicates_the_earlier_wins() -> None:
    one, other = "Name three rivers that flow through Germany.", "Name three rivers that flow through France."
    assert screened([one, other]) == ["accepted", "near_duplicate"]
    assert screened([other, one]) == ["accepted", "near_duplicate"]


def test_a_copy_of_a_seed_is_rejected_with_the_seed_as_evidence() -> None:
    screening = knowing(("s1", "Explain topic number one in plain words."), tokenizer="unicode")
    decision = screening.decide(Candidate("r", 0, "Explain topic number two in plain words."), (), SETTINGS)
    assert isinstance(decision, Rejection)
    assert (decision.reason, decision.nearest, round(decision.score or 0, 4)) == ("near_duplicate", "s1", 0.8571)


def test_a_score_of_exactly_the_threshold_is_accepted() -> None:
    seven_of_ten = "sort a2 a3 a4 a5 a6 a7 b8 b9 b10"
    screening = knowing(("s", "sort a2 a3 a4 a5 a6 a7 c8 c9 c10"), tokenizer="unicode")
    loose = changed(SETTINGS, min_words=1)
    assert isinstance(screening.decide(Candidate("r", 0, seven_of_ten), (), loose), Accepted)


def test_a_shown_demonstration_is_no_new_task() -> None:
    assert screened(["Sort these words by length, please!"], shown=("sort these words by length please",)) == [
        "copy_of_demonstration"
    ]


def test_another_tokenizer_from_one_round_to_the_next_is_used_for_all_that_is_known() -> None:
    screening = knowing(("s", "把下面的句子翻译成英文。"), tokenizer="rouge_score")
    text = Candidate("r", 0, "把下面的句子翻译成法文。")
    assert isinstance(screening.decide(text, (), changed(SETTINGS, tokenizer="rouge_score")), Accepted)
    decision = screening.decide(Candidate("r", 1, "把下面的句子翻译成德文。"), (), SETTINGS)
    assert isinstance(decision, Rejection)


@given(st.lists(st.text(max_size=40), max_size=12))
def test_every_candidate_gets_exactly_one_decision(texts: list[str]) -> None:
    assert len(screened(texts)) == len(texts)


@pytest.mark.parametrize("recipe", sorted(RECIPES))
@given(text=st.text())
def test_no_propose_answer_whatever_vanishes(recipe: str, text: str) -> None:
    chosen = settings(recipe, round_size=1)
    requests = algorithm.plan_round(0, chosen, SEEDS, [])
    candidates, rejections = algorithm.read_round(requests, {requests[0].id: answer(requests[0], text)}, chosen)
    assert len(candidates) + len(rejections) >= 1


@pytest.mark.parametrize("recipe", sorted(RECIPES))
def test_a_failed_propose_request_is_one_rejection(recipe: str) -> None:
    chosen = settings(recipe, round_size=1)
    requests = algorithm.plan_round(0, chosen, SEEDS, [])
    failed = Completion(requests[0].id, "failed", "too long", "too_long")
    candidates, rejections = algorithm.read_round(requests, {requests[0].id: failed}, chosen)
    assert (len(candidates), [one.reason for one in rejections]) == (0, ["unreadable"])
