"""The offline model as judge and reviser: it knows the truth by computing it, and says it, or errs at a given rate."""

from __future__ import annotations

import json
import random
from typing import Any, NamedTuple

from selfinstruct.llm.offline import flaws, knowledge
from selfinstruct.llm.offline.family import Family
from selfinstruct.llm.offline.quirks import Quirks
from selfinstruct.llm.offline.wording import Params

QUESTIONS = ("valid_task", "suitable_input", "correct_output")


class Row(NamedTuple):
    """What is to be judged or revised."""

    instruction: str
    input: str
    output: str


class Truth(NamedTuple):
    """The three questions answered by computation, and the right output where there is one."""

    is_valid: bool
    is_suitable: bool
    is_correct: bool
    right: str | None


def row_in(message: str) -> Row:
    """The row in a message: the first line that is a JSON object with these keys; all empty where there is none."""
    for line in message.splitlines():
        if line.startswith("{") and '"instruction"' in line:
            try:
                value = json.loads(line)
            except (ValueError, RecursionError):
                continue
            return Row(*(str(value.get(key, "")) for key in Row._fields))
    return Row("", "", "")


def truth(row: Row) -> Truth:
    """A task of no family is invalid; an input is suitable if its family can work with it, and wants one."""
    known = knowledge.identify(row.instruction)
    if known is None:
        return Truth(is_valid=False, is_suitable=False, is_correct=False, right=None)
    family, params = known
    right = family.answer(params, row.input)
    is_suitable = right is not None and (family.make_input is not None or not row.input.strip())
    return Truth(is_valid=True, is_suitable=is_suitable, is_correct=right == row.output.strip(), right=right)


def verdict(row: Row, quirks: Quirks | None, rng: random.Random) -> dict[str, Any]:
    """A score and a reason for each question; the opposite of the truth as often as `judge_wrong` says."""
    found = truth(row)
    rate = quirks.share("judge_wrong") if quirks else 0.0
    said = {}
    for question, holds in zip(QUESTIONS, found[:3], strict=True):
        errs = rate > 0 and rng.random() < rate
        said[question] = {"reason": _reason(question, found), "score": _score(holds, errs, rng)}
    return said


def revision(row: Row, quirks: Quirks | None, rng: random.Random) -> dict[str, str]:
    """The right output, with another input where that was unsuitable; wrong again as often as `wrong` says."""
    found = truth(row)
    known = knowledge.identify(row.instruction)
    given, output = row.input, found.right
    if known is not None and not found.is_suitable:
        given = next(iter(known[0].inputs(known[1], rng, 1)), "")
        output = known[0].answer(known[1], given)
    if known is None or output is None:
        return {"critique": "Nothing can be said against it.", "input": row.input, "output": row.output}
    critique = "Nothing is wrong." if found.is_correct else f"The output has to be {output}."
    return {"critique": critique, "input": given, "output": perhaps_wrong(output, *known, quirks, rng)}


def perhaps_wrong(right: str, family: Family, params: Params, quirks: Quirks | None, rng: random.Random) -> str:
    """The right answer, or another one as often as the quirk `wrong` says."""
    rate = quirks.share("wrong") if quirks else 0.0
    if rate and rng.random() < rate:
        return flaws.wrong(right, family.labels(params) if family.labels else (), rng)
    return right


def _reason(question: str, found: Truth) -> str:
    if question == "valid_task":
        return "A rule is known for it." if found.is_valid else "No rule is known for it."
    if question == "suitable_input":
        return "The rule can work with it." if found.is_suitable else "The rule cannot work with it."
    return f"The rule gives {found.right}." if found.right is not None else "The rule gives nothing."


def _score(holds: bool, errs: bool, rng: random.Random) -> int:
    """Sure of itself for the most part where it is right, less where it errs."""
    if errs:
        return rng.choices((2, 3), (3, 7))[0] if holds else rng.choices((4, 5), (7, 3))[0]
    return rng.choices((5, 4), (8, 2))[0] if holds else rng.choices((1, 2, 3), (7, 2, 1))[0]
