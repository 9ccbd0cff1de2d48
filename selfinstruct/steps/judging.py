"""The judge: another look at the instances that passed every rule, and a second try for those that do not satisfy it.

The rubric is the three questions by which Wang et al. 2022 (section 3.3) checked rows by hand: a valid task, a
suitable input, a correct output? Revision by principles, critique first, follows Bai et al. 2022 (Constitutional AI,
section 3.1). A verdict is no candidate; a revised instance is one.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

from selfinstruct.ask import Ask, gather
from selfinstruct.checks.faults import reject, reject_piece, rejection
from selfinstruct.recipes.json_answers import read_object
from selfinstruct.recipes.templates import conversation
from selfinstruct.settings import JudgeSettings, Settings
from selfinstruct.types import (
    APART,
    BEST,
    QUESTIONS,
    Api,
    Completion,
    Finished,
    InstanceCandidate,
    JudgeVerdict,
    Prompt,
    Rejection,
    Schema,
    Task,
    storable,
)

JUDGE = "judge"
REVISE = "revise"
STAGES = (JUDGE, REVISE)
"""After those of any recipe."""
API: Api = "chat"
DEFAULT_SAMPLING: Mapping[str, Mapping[str, Any]] = {
    JUDGE: {"temperature": 0.2, "max_tokens": 1024},
    REVISE: {"temperature": 0.3, "max_tokens": 2048},
}
"""Not 0, so that asking again after an answer that cannot be read may give another one."""
ATTEMPTS = 3
"""How often the judge is asked about one form of an instance until its answer can be read."""
PASSED = "passed"
INVALID = "judged_invalid"
UNREADABLE = "judge_unreadable"
REVISED = "revised"
_CURABLE = {"judged_input", "judged_output"}
_REASONS = {"valid": INVALID, "input": "judged_input", "output": "judged_output"}
_SCORES = range(1, 6)
_SPELLED = re.compile(r"\s*([1-5])(?:\.0+)?\s*(?:(?:/|of|out of)\s*5)?\s*")
_SCORE = {
    "type": "object",
    "properties": {
        "reason": {"type": "string", "minLength": 10, "maxLength": 500},
        "score": {"type": "integer", "enum": list(range(1, 6))},
    },
    "required": ["reason", "score"],
    "additionalProperties": False,
}


def _schema(name: str, properties: Mapping[str, Any]) -> Schema:
    body = {"type": "object", "properties": dict(properties), "required": list(properties)}
    return Schema(name, {**body, "additionalProperties": False})


VERDICT = _schema("verdict", dict.fromkeys(QUESTIONS.values(), _SCORE))
REVISION = _schema("revision", {key: {"type": "string", "maxLength": most}
                                for key, most in (("critique", 1500), ("input", 4000), ("output", 8000))})  # fmt: skip

Validate = Callable[[Sequence[InstanceCandidate], InstanceCandidate], InstanceCandidate | Rejection]
"""What the rules make of an instance beside those that stand: the instance that passes, or its rejection."""
_Verdicts = dict[int, JudgeVerdict]
"""By the position of the instance's first form."""


async def judge(
    task: Task,
    kept: tuple[InstanceCandidate, ...],
    rejected: tuple[Rejection, ...],
    ask: Ask,
    settings: Settings,
    validate: Validate,
) -> Finished:
    """Which of the instances that passed the rules stay, after the judge has seen them and their revisions.

    One verdict that the task is invalid ends all of its instances.
    """
    rules = settings.judge
    if not rules.enabled or not kept:
        return Finished(task, kept, rejected)
    standing = {one.position: one for one in kept}
    first = await _hear(standing, 0, task, ask, settings, rules)
    unfit = [one for one in kept if first[one.position].outcome in _CURABLE]
    if not rules.revise or not unfit or _is_invalid(first.values()):
        return _decide(task, standing, first, tuple(first.values()), rejected, rules)
    answers = await gather(
        ask(revise_prompt(task, one, _found(first[one.position]), settings, rules.principles)) for one in unfit
    )
    gone = list(rejected)
    beside = [one for one in kept if one not in unfit]
    again: dict[int, InstanceCandidate] = {}
    for one, answer in zip(unfit, answers, strict=True):
        revised = _read_revision(task, answer)
        if isinstance(revised, Rejection):
            gone.append(revised)
            continue
        del standing[one.position]
        gone.append(_reject(task, one, REVISED, _found(first[one.position])))
        passed = validate(beside, revised)
        if isinstance(passed, Rejection):
            gone.append(passed)
        else:
            beside.append(passed)
            again[one.position] = passed
    standing = {one.position: there for one in kept if (there := {**standing, **again}.get(one.position))}
    second = await _hear(again, ATTEMPTS, task, ask, settings, rules)
    verdicts = (*first.values(), *second.values())
    return _decide(task, standing, {**first, **second}, verdicts, tuple(gone), rules)


def _decide(
    task: Task,
    standing: Mapping[int, InstanceCandidate],
    heard: _Verdicts,
    verdicts: tuple[JudgeVerdict, ...],
    rejected: tuple[Rejection, ...],
    rules: JudgeSettings,
) -> Finished:
    """The end: each instance that stands is kept or rejected by the last verdict on it."""
    invalid = next((one for one in verdicts if one.outcome == INVALID), None)
    kept, gone = [], list(rejected)
    for place, one in standing.items():
        verdict = heard[place]
        if invalid is not None:
            whose = "" if verdict is invalid else "said of another instance: "
            gone.append(_reject(task, one, INVALID, whose + _found(invalid)))
        elif verdict.outcome == PASSED or (verdict.outcome == UNREADABLE and rules.unreadable == "keep"):
            kept.append(one)
        else:
            gone.append(_reject(task, one, verdict.outcome, _found(verdict)))
    return Finished(task, tuple(kept), tuple(gone), verdicts)


async def _hear(
    cases: Mapping[int, InstanceCandidate], start: int, task: Task, ask: Ask, settings: Settings, rules: JudgeSettings
) -> _Verdicts:
    """The verdicts on these instances, by their place.

    An answer that cannot be read is asked for again, under another index and so with another seed. All are asked
    before any is heard, so that what is asked does not depend on which answer came first.
    """
    found: _Verdicts = {}
    unclear = dict(cases)
    for attempt in range(start, start + ATTEMPTS):
        places = list(unclear)
        prompts = [judge_prompt(task, unclear[place], place + APART * attempt, settings) for place in places]
        for place, answer in zip(places, await gather(map(ask, prompts)), strict=True):
            found[place] = _read_verdict(task, cases[place], answer, rules)
            if found[place].outcome != UNREADABLE or answer.kind == "failed":
                del unclear[place]
        if not unclear or _is_invalid(found.values()):
            break
    return {place: found[place] for place in cases}


def _is_invalid(verdicts: Iterable[JudgeVerdict]) -> bool:
    return any(one.outcome == INVALID for one in verdicts)


def judge_prompt(task: Task, instance: InstanceCandidate, index: int, settings: Settings) -> Prompt:
    """What the judge is asked about an instance."""
    return Prompt(
        JUDGE, index, conversation(settings.prompts[JUDGE], {"row": _row(task, instance)}), VERDICT, is_exact=True
    )


def revise_prompt(
    task: Task, instance: InstanceCandidate, found: str, settings: Settings, principles: Sequence[str]
) -> Prompt:
    """What the reviser is asked about an instance in which the judge found this."""
    values = {
        "row": _row(task, instance),
        "principles": "\n".join(f"- {principle}" for principle in principles),
        "found": found,
    }
    return Prompt(REVISE, instance.position, conversation(settings.prompts[REVISE], values), REVISION, is_exact=True)


def _row(task: Task, instance: InstanceCandidate) -> str:
    row = {"instruction": task.instruction, "input": instance.input, "output": instance.output}
    return json.dumps(row, ensure_ascii=False)


def _read_verdict(
    task: Task, instance: InstanceCandidate, completion: Completion, rules: JudgeSettings
) -> JudgeVerdict:
    said = (read_object(completion.text) if completion.kind == "answer" else None) or {}
    read = {name: score for name, key in QUESTIONS.items() if (score := _score(said.get(key))) is not None}
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


def _score(said: Any) -> tuple[int | None, str] | None:
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
