"""Best of n: several answers to the question of each row, of which the best becomes its output.

The first answer is the one that the row has; others are asked for at the stages of `sample.stages` in turn. They pass
the checks before the judge sees them. It scores each one, or compares each two in both orders, where a preference that
depends on the order counts as a tie. The others stay with the row, with the margin by which they were worse.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from itertools import permutations
from typing import Any

from selfinstruct.ask import Ask, gather
from selfinstruct.recipes.json_answers import read_object, schema_of
from selfinstruct.recipes.responding import parted, question
from selfinstruct.recipes.templates import conversation
from selfinstruct.settings import Settings
from selfinstruct.steps.judging import TRIES, Validate, hear, judge_prompt, numbers
from selfinstruct.types import (
    APART,
    Completion,
    Finished,
    InstanceCandidate,
    JudgeVerdict,
    Prompt,
    Rejection,
    Sample,
    Task,
    canonical_json,
)

SAMPLE = "sample"
COMPARE = "compare"
DEFAULT_SAMPLING: Mapping[str, Any] = {"temperature": 0.8, "max_tokens": 1536}
"""Of answers that are to differ."""
_SIDES = ("first", "second", "neither")
COMPARISON = schema_of(
    "comparison",
    {
        "reason": {"type": "string", "minLength": 10, "maxLength": 500},
        "better": {"type": "string", "enum": list(_SIDES)},
    },
)
_Options = list[InstanceCandidate]
"""The answers to one question that passed the checks, the row as it was first."""
_Scores = list[float | None]


async def sample(done: Finished, ask: Ask, settings: Settings, validate: Validate) -> Finished:
    """The task with the best of several answers to each of its rows."""
    if not done.instances:
        return done
    task, places = done.task, numbers(done.instances)
    answers = await gather(
        _answers(task, one, place, ask, settings) for one, place in zip(done.instances, places, strict=True)
    )
    gone, options = list(done.rejections), list[_Options]()
    for one, given in zip(done.instances, answers, strict=True):
        beside = [other for other in done.instances if other is not one]
        options.append([one])
        for candidate in given:
            passed = validate(beside, candidate)
            if isinstance(passed, Rejection):
                gone.append(passed)
            elif all(passed.output != other.output for other in options[-1]):
                options[-1].append(passed)
    rate = _points if settings.sample.by == "points" else _comparisons
    rated = await gather(
        rate(task, some, place, ask, settings, done.verdicts) for some, place in zip(options, places, strict=True)
    )
    kept, samples, verdicts = list[InstanceCandidate](), list(done.samples), list(done.verdicts)
    for some, (scores, heard) in zip(options, rated, strict=True):
        best = max(range(len(some)), key=lambda place: _rank(scores[place], place))
        kept.append(some[best])
        verdicts += heard[best : best + 1]
        samples += [
            Sample(
                one.request_id, one.position, some[best].request_id, some[best].position, one.output, SAMPLE,
                margin=_margin(scores[best], scores[place]), source=one.source,
            )
            for place, one in enumerate(some)
            if place != best
        ]  # fmt: skip
    return replace(
        done, instances=tuple(kept), rejections=tuple(gone), verdicts=tuple(verdicts), samples=tuple(samples)
    )


def asked_about(task: Task, one: InstanceCandidate, settings: Settings) -> list[Prompt]:
    """All that is asked about a row whose answers differ, pass the checks and can be read."""
    count = settings.sample.answers
    found = _further(task, one, one.position, settings)
    if settings.sample.by == "points":
        return found + [
            judge_prompt(task, one, one.position + APART * _start(place), settings) for place in range(count)
        ]
    return found + [
        _comparison(task, one, one, one.position + APART * place, settings) for place in range(count * (count - 1))
    ]


async def _answers(
    task: Task, one: InstanceCandidate, place: int, ask: Ask, settings: Settings
) -> Sequence[InstanceCandidate]:
    """Further answers to the question of a row, as candidates."""
    given = await gather(map(ask, _further(task, one, place, settings)))
    return [taken(one, answer, place, settings) for answer in given if answer.kind == "answer" and answer.text.strip()]


def taken(one: InstanceCandidate, answer: Completion, place: int, settings: Settings) -> InstanceCandidate:
    """The row with another answer, a candidate of the request that brought it."""
    reasoning, output = parted(answer, settings)
    return InstanceCandidate(
        answer.request_id, place, one.input, output, answer.finish_reason, answer.source, reasoning
    )


def prompt(stage: str, task: Task, one: InstanceCandidate, place: int, number: int, settings: Settings) -> Prompt:
    """The question of a row at a stage; the number tells several answers of it apart."""
    return Prompt(stage, place + APART * number, question(task, one.input, settings), is_exact=True)


def _further(task: Task, one: InstanceCandidate, place: int, settings: Settings) -> list[Prompt]:
    """The questions for all answers but the first; stages take turns."""
    stages = settings.sample.stages
    numbers = range(1, settings.sample.answers)
    return [prompt(stages[(number - 1) % len(stages)], task, one, place, number, settings) for number in numbers]


async def _points(
    task: Task, some: _Options, place: int, ask: Ask, settings: Settings, earlier: Sequence[JudgeVerdict]
) -> tuple[_Scores, list[JudgeVerdict]]:
    """What the judge gives each answer, from 1 to 5; None where its words cannot be read."""
    heard = await gather(
        hear({place: one}, _start(number), task, ask, settings, earlier) for number, one in enumerate(some)
    )
    verdicts = [verdict[place] for verdict in heard]
    return [verdict.output for verdict in verdicts], verdicts


def _start(number: int) -> int:
    """Where the judge's questions about an answer begin: after those that the step `judge` may ask."""
    return 2 * TRIES * (1 + number)


async def _comparisons(
    task: Task, some: _Options, place: int, ask: Ask, settings: Settings, earlier: Sequence[JudgeVerdict]
) -> tuple[_Scores, list[JudgeVerdict]]:
    """How many of the others each answer beats in both orders, less those that beat it."""
    del earlier
    pairs = list(permutations(range(len(some)), 2))
    index = {pair: number for number, pair in enumerate(permutations(range(settings.sample.answers), 2))}
    given = await gather(
        ask(_comparison(task, some[one], some[other], place + APART * index[one, other], settings))
        for one, other in pairs
    )
    better = {pair: _better(answer) for pair, answer in zip(pairs, given, strict=True)}
    scores: _Scores = [0.0 for _ in some]
    for (one, other), said in better.items():
        if said == "first" and better[other, one] == "second":
            scores[one] = (scores[one] or 0) + 1
            scores[other] = (scores[other] or 0) - 1
    return scores, []


def _comparison(
    task: Task, first: InstanceCandidate, second: InstanceCandidate, index: int, settings: Settings
) -> Prompt:
    shown = {
        "instruction": task.asked, "input": first.input, "first": first.output, "second": second.output
    }  # fmt: skip
    values = {"shown": canonical_json(shown)}
    return Prompt(COMPARE, index, conversation(settings.prompts[COMPARE], values), COMPARISON, is_exact=True)


def _better(answer: Completion) -> str:
    """`first`, `second` or `neither`; the last also where it cannot be read."""
    said = (read_object(answer.text) if answer.kind == "answer" else None) or {}
    found = str(said.get("better", "")).strip().casefold()
    return found if found in _SIDES else "neither"


def _rank(score: float | None, place: int) -> tuple[bool, float, int]:
    """The higher the better; of equal ones the earlier answer."""
    return score is not None, score or 0.0, -place


def _margin(best: float | None, other: float | None) -> float | None:
    return None if best is None or other is None else best - other
