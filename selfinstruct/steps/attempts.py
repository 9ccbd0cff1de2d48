"""Difficulty: how often a weak and a strong model answer the question of a row rightly, and which rows stay for that.

Rows that the weak model answers too, that even the strong one does not, or that do not tell the two apart teach little.
Both are asked the question of the row as the recipe asks it, at the stages `weak` and `strong`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from fractions import Fraction

from selfinstruct.ask import Ask, gather
from selfinstruct.checks.faults import Fault, reject, rejection
from selfinstruct.settings import MOST_ANSWERS, Settings
from selfinstruct.short_answers import is_definite, is_same
from selfinstruct.steps.judging import TRIES, Validate, hear, judge_prompt, numbers
from selfinstruct.steps.sampling import prompt, taken
from selfinstruct.types import APART, Finished, InstanceCandidate, Prompt, Rejection, Sample, Task

ATTEMPTS = "attempts"
WEAK, STRONG = STAGES = ("weak", "strong")


async def attempts(done: Finished, ask: Ask, settings: Settings, validate: Validate) -> Finished:
    """The task with the rows that are neither too easy nor too hard, each with what the two models answered."""
    places = numbers(done.instances)
    found = await gather(
        _attempted(done.task, one, place, ask, settings, validate)
        for one, place in zip(done.instances, places, strict=True)
    )
    kept, gone, samples = list[InstanceCandidate](), list(done.rejections), list(done.samples)
    for one, given in zip(done.instances, found, strict=True):
        fault = _fault(given, settings)
        if fault is None:
            kept.append(one)
            samples += given
        else:
            gone.append(rejection(one, fault, done.task))
    return replace(done, instances=tuple(kept), rejections=tuple(gone), samples=tuple(samples))


def asked_about(task: Task, one: InstanceCandidate, settings: Settings) -> list[Prompt]:
    """All that is asked about a row whose output is short and definite."""
    found = [prompt(stage, task, one, one.position, number, settings)
             for stage in STAGES for number in range(settings.attempts.answers)]  # fmt: skip
    if settings.attempts.right_by == "answer":
        return found
    starts = [_start(stage, number) for stage in STAGES for number in range(settings.attempts.answers)]
    return found + [judge_prompt(task, one, one.position + APART * start, settings) for start in starts]


async def _attempted(
    task: Task, one: InstanceCandidate, place: int, ask: Ask, settings: Settings, validate: Validate
) -> Sequence[Sample]:
    """What the two models answer to the question of a row, as far as it can be told whether they are right.

    Of an answer that the checks refuse the text is not kept, since nobody should learn from it, not even as a bad one.
    """
    if settings.attempts.right_by == "answer" and not is_definite(task, one.output):
        return ()
    asked = [(stage, number) for stage in STAGES for number in range(settings.attempts.answers)]
    answers = await gather(ask(prompt(stage, task, one, place, number, settings)) for stage, number in asked)
    given = [(stage, number, taken(one, answer, place, settings))
             for (stage, number), answer in zip(asked, answers, strict=True) if answer.kind == "answer"]  # fmt: skip
    are_right = await gather(
        _is_right(task, one, attempt, place, _start(stage, number), ask, settings) for stage, number, attempt in given
    )
    return [
        Sample(
            attempt.request_id, place, one.request_id, one.position, _text(attempt, validate), stage, is_right,
            source=attempt.source,
        )
        for (stage, _, attempt), is_right in zip(given, are_right, strict=True)
        if is_right is not None
    ]  # fmt: skip


def _text(attempt: InstanceCandidate, validate: Validate) -> str:
    return "" if isinstance(validate((), attempt), Rejection) else attempt.output


async def _is_right(
    task: Task, one: InstanceCandidate, attempt: InstanceCandidate, place: int, start: int, ask: Ask, settings: Settings
) -> bool | None:
    """Whether an attempt is right; None where the judge's words cannot be read."""
    if not attempt.output or attempt.finish_reason == "length":
        return False
    if settings.attempts.right_by == "answer":
        return is_same(attempt.output, one.output) if is_definite(task, attempt.output) else False
    verdict = (await hear({place: attempt}, start, task, ask, settings))[place]
    return None if verdict.output is None else verdict.output >= settings.judge.min_output


def _start(stage: str, number: int) -> int:
    """Where the judge's questions about an attempt begin: after those about the samples."""
    return 2 * TRIES * ((1 + MOST_ANSWERS) * (1 + STAGES.index(stage)) + number)


def _fault(given: Sequence[Sample], settings: Settings) -> Fault | None:
    """Why a row does not stay; None where it does, or where a model gave nothing to go by."""
    rules = settings.attempts
    right = {stage: [bool(one.is_right) for one in given if one.step == stage] for stage in STAGES}
    if not all(right.values()):
        return None
    weak, strong = (Fraction(sum(right[stage]), len(right[stage])) for stage in STAGES)
    said = ", ".join(f"{sum(right[stage])} of {len(right[stage])} answers of the {stage} model" for stage in STAGES)
    if weak > Fraction(rules.max_weak):
        return reject("too_easy", f"right are {said}")
    if strong < Fraction(rules.min_strong):
        return reject("too_hard", f"right are {said}")
    if strong - weak < Fraction(rules.min_gap):
        return reject("no_gap", f"right are {said}")
    return None
