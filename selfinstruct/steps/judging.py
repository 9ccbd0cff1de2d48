"""The judge: another look at the instances that passed every rule, and a second try for those that do not satisfy it.

The rubric is the three questions by which Wang et al. 2022 (section 3.3) checked rows by hand: a valid task, a
suitable input, a correct output? Revision by principles, critique first, follows Bai et al. 2022 (Constitutional AI,
section 3.1). A verdict is no candidate; a revised instance is one.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from typing import Any

from selfinstruct.ask import Ask, gather
from selfinstruct.checks.faults import reject, reject_piece, rejection
from selfinstruct.recipes.json_answers import object_of, read_object, schema_of
from selfinstruct.recipes.templates import conversation
from selfinstruct.settings import JudgeSettings, Settings
from selfinstruct.types import (
    APART,
    BEST,
    QUESTIONS,
    USE,
    Completion,
    Finished,
    InstanceCandidate,
    JudgeVerdict,
    Prompt,
    Rejection,
    Task,
    storable,
)

JUDGE = "judge"
REVISE = "revise"
STAGES = (JUDGE, REVISE)
DEFAULT_SAMPLING: Mapping[str, Mapping[str, Any]] = {
    JUDGE: {"temperature": 0.2, "max_tokens": 1024},
    REVISE: {"temperature": 0.3, "max_tokens": 2048},
}
"""Not 0, so that asking again after an answer that cannot be read may give another one."""
TRIES = 3
"""How often the judge is asked about one form of an instance until its answer can be read."""
PASSED = "passed"
INVALID = "judged_invalid"
UNREADABLE = "judge_unreadable"
REVISED = "revised"
_CURABLE = {"judged_input", "judged_output"}
_REASONS = {"valid": INVALID, "input": "judged_input", "output": "judged_output"}
_SCORES = range(1, 6)
_SPELLED = re.compile(r"\s*([1-5])(?:\.0+)?\s*(?:(?:/|of|out of)\s*5)?\s*")
SCORE = object_of({
    "reason": {"type": "string", "minLength": 10, "maxLength": 500},
    "score": {"type": "integer", "enum": list(range(1, 6))},
})  # fmt: skip
VERDICT = schema_of("verdict", dict.fromkeys(QUESTIONS.values(), SCORE))
REVISION = schema_of("revision", {key: {"type": "string", "maxLength": most}
                                for key, most in (("critique", 1500), ("input", 4000), ("output", 8000))})  # fmt: skip

Validate = Callable[[Sequence[InstanceCandidate], InstanceCandidate], InstanceCandidate | Rejection]
"""What the rules make of an instance beside those that stand: the instance that passes, or its rejection."""
_Verdicts = dict[int, JudgeVerdict]
"""By the number of the instance's first form."""


async def judge(done: Finished, ask: Ask, settings: Settings, validate: Validate) -> Finished:
    """Which of the instances stay, after the judge has seen them and their revisions; all where it is switched off.

    One verdict that the task is invalid ends all of its instances.
    """
    task, rules = done.task, settings.judge
    if not rules.enabled or not done.instances:
        return done
    standing = dict(zip(numbers(done.instances), done.instances, strict=True))
    first = await hear(standing, 0, task, ask, settings, done.verdicts)
    unfit = {number: one for number, one in standing.items() if first[number].outcome in _CURABLE}
    if not rules.revise or not unfit or _is_invalid(first.values()):
        return _decide(done, standing, first, tuple(first.values()), rules)
    answers = await gather(
        ask(revise_prompt(task, one, number, _found(first[number]), settings)) for number, one in unfit.items()
    )
    gone = list(done.rejections)
    beside = [one for number, one in standing.items() if number not in unfit]
    again: dict[int, InstanceCandidate] = {}
    for (number, one), answer in zip(unfit.items(), answers, strict=True):
        revised = _read_revision(task, answer)
        if isinstance(revised, Rejection):
            gone.append(revised)
            continue
        del standing[number]
        gone.append(_reject(task, one, REVISED, _found(first[number])))
        passed = validate(beside, revised)
        if isinstance(passed, Rejection):
            gone.append(passed)
        else:
            beside.append(passed)
            again[number] = passed
    standing = {number: there for number in first if (there := {**standing, **again}.get(number))}
    second = await hear(again, TRIES, task, ask, settings)
    verdicts = (*first.values(), *second.values())
    return _decide(replace(done, rejections=tuple(gone)), standing, {**first, **second}, verdicts, rules)


def numbers(instances: Sequence[InstanceCandidate]) -> Sequence[int]:
    """A number for each instance of a task: its position as the recipe read it, or its place where two share one."""
    found = [one.position % APART for one in instances]
    return found if len({*found}) == len(found) else range(len(found))


def _decide(
    done: Finished,
    standing: Mapping[int, InstanceCandidate],
    heard: _Verdicts,
    verdicts: tuple[JudgeVerdict, ...],
    rules: JudgeSettings,
) -> Finished:
    """The end: each instance that stands is kept or rejected by the last verdict on it."""
    invalid = next((one for one in verdicts if one.outcome == INVALID), None)
    task, kept, gone = done.task, [], list(done.rejections)
    for number, one in standing.items():
        verdict = heard[number]
        if invalid is not None:
            whose = "" if verdict is invalid else "said of another instance: "
            gone.append(_reject(task, one, INVALID, whose + _found(invalid)))
        elif verdict.outcome == PASSED or (verdict.outcome == UNREADABLE and rules.unreadable == "keep"):
            kept.append(one)
        else:
            gone.append(_reject(task, one, verdict.outcome, _found(verdict)))
    return replace(
        done, instances=tuple(kept), rejections=tuple(gone), verdicts=tuple(dict.fromkeys((*done.verdicts, *verdicts)))
    )


async def hear(
    cases: Mapping[int, InstanceCandidate],
    start: int,
    task: Task,
    ask: Ask,
    settings: Settings,
    earlier: Iterable[JudgeVerdict] = (),
) -> dict[int, JudgeVerdict]:
    """The verdicts on these instances, by their number: earlier ones, or what the judge says now.

    Its questions about them are numbered from `start`, `TRIES` at most.

    An answer that cannot be read is asked for again, under another index and so with another seed. All are asked
    before any is heard, so that what is asked does not depend on which answer came first.
    """
    known = {(one.source, one.request_id, one.position): one for one in earlier}
    keys = {number: (one.source, one.request_id, one.position) for number, one in cases.items()}
    found: _Verdicts = {number: known[key] for number, key in keys.items() if key in known}
    unclear = {number: one for number, one in cases.items() if number not in found}
    for attempt in range(start, start + TRIES):
        asked = list(unclear)
        prompts = [judge_prompt(task, unclear[number], number + APART * attempt, settings) for number in asked]
        for number, answer in zip(asked, await gather(map(ask, prompts)), strict=True):
            found[number] = _read_verdict(task, cases[number], answer, settings.judge)
            if found[number].outcome != UNREADABLE or answer.kind == "failed":
                del unclear[number]
        if not unclear or _is_invalid(found.values()):
            break
    return {number: found[number] for number in cases}


def _is_invalid(verdicts: Iterable[JudgeVerdict]) -> bool:
    return any(one.outcome == INVALID for one in verdicts)


def asked_about(task: Task, one: InstanceCandidate, settings: Settings) -> list[Prompt]:
    """All that is asked about a row, if the judge finds a fault in it and its answers can be read."""
    if not settings.judge.enabled:
        return []
    revised = [revise_prompt(task, one, one.position, "A fault.", settings)] if settings.judge.revise else []
    return [judge_prompt(task, one, one.position, settings), *revised]


def judge_prompt(task: Task, instance: InstanceCandidate, index: int, settings: Settings) -> Prompt:
    """What the judge is asked about an instance."""
    values = {"row": _row(task, instance), "passage": _passage(task)}
    return Prompt(JUDGE, index, conversation(settings.prompts[JUDGE], values), VERDICT, is_exact=True)


def revise_prompt(task: Task, instance: InstanceCandidate, index: int, found: str, settings: Settings) -> Prompt:
    """What the reviser is asked about an instance in which the judge found this."""
    values = {
        "row": _row(task, instance),
        "principles": "\n".join(f"- {principle}" for principle in settings.judge.principles),
        "found": found,
        "passage": _passage(task),
    }
    return Prompt(REVISE, index, conversation(settings.prompts[REVISE], values), REVISION, is_exact=True)


def _passage(task: Task) -> str:
    """The passage that the output is to be supported by, where the row does not hold it; empty where it does."""
    return task.passage.titled if task.passage is not None and task.drawn.get(USE) == "closed_book" else ""


def _row(task: Task, instance: InstanceCandidate) -> str:
    row = {"instruction": task.asked, "input": instance.input, "output": instance.output}
    return json.dumps(row, ensure_ascii=False)


def _read_verdict(
    task: Task, instance: InstanceCandidate, completion: Completion, rules: JudgeSettings
) -> JudgeVerdict:
    said = (read_object(completion.text) if completion.kind == "answer" else None) or {}
    found = ((name, score_in(said.get(key))) for name, key in QUESTIONS.items())
    read: dict[str, tuple[int | None, str]] = {name: score for name, score in found if score is not None}
    least = {"valid": rules.min_valid, "input": rules.min_input, "output": rules.min_output}
    if len(read) == len(QUESTIONS):
        outcome = next((_REASONS[name] for name, (score, _) in read.items() if (score or 0) < least[name]), PASSED)
    else:
        failed = completion.kind == "failed"
        why = (
            f"the request failed: {completion.text}" if failed else "no reason and score from 1 to 5 for each question"
        )
        outcome, read = UNREADABLE, dict.fromkeys(QUESTIONS, (None, ""))
        read["valid"] = (None, why)
    return JudgeVerdict(
        instance.request_id, instance.position, instance.source, task.id, completion.request_id, outcome,
        *read["valid"], *read["input"], *read["output"],
    )  # fmt: skip


def score_in(said: Any) -> tuple[int, str] | None:
    """The score and the reason in the answer to one question, as loosely as models write them."""
    value, reason = (said.get("score"), said.get("reason")) if isinstance(said, dict) else (said, "")
    if isinstance(value, str) and (found := _SPELLED.fullmatch(value)):
        value = int(found[1])
    if isinstance(value, bool) or not isinstance(value, int | float) or value not in _SCORES:
        return None
    if not isinstance(reason, str) or not reason.strip():
        return None
    return int(value), storable(reason.strip())


def _read_revision(task: Task, completion: Completion) -> InstanceCandidate | Rejection:
    """The revised instance, a candidate of the request that asked for it, or why there is none."""
    said = (read_object(completion.text) if completion.kind == "answer" else None) or {}
    given, output = _as_text(said.get("input")), _as_text(said.get("output"))
    if given is not None and output is not None:
        return InstanceCandidate(completion.request_id, 0, given, output, completion.finish_reason, completion.source)
    why = f"the request failed: {completion.text}" if completion.kind == "failed" else "no input and output in it"
    text = completion.text if completion.kind == "answer" else ""
    return reject_piece(completion, 0, text, reject("unreadable", why), task)


def _as_text(said: Any) -> str | None:
    """A text, also where a model gives a number, a list or a table in its place; None where there is none."""
    if isinstance(said, str):
        return said.strip()
    return None if said is None or isinstance(said, bool) else json.dumps(said, ensure_ascii=False)


def _found(verdict: JudgeVerdict) -> str:
    """What a verdict says of the question it rejects by."""
    if verdict.outcome == INVALID:
        return f"valid task {verdict.valid} of {BEST}: {verdict.valid_reason}"
    if verdict.outcome == "judged_input":
        return f"suitable input {verdict.input} of {BEST}: {verdict.input_reason}"
    if verdict.outcome == "judged_output":
        return f"correct output {verdict.output} of {BEST}: {verdict.output_reason}"
    return verdict.valid_reason


def _reject(task: Task, candidate: InstanceCandidate, reason: str, evidence: str) -> Rejection:
    return rejection(candidate, reject(reason, evidence), task)
