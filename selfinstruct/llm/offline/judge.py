"""The built-in model as judge and reviser: it knows the truth from its book, and says it, or errs at a given rate."""

from __future__ import annotations

import json
import random
from typing import Any, NamedTuple

from selfinstruct.llm.offline import book, flaws
from selfinstruct.llm.offline.book import Answer, Entry
from selfinstruct.llm.offline.quirks import Quirks

QUESTIONS = ("valid_task", "suitable_input", "correct_output")


class Row(NamedTuple):
    """What is to be judged or revised."""

    instruction: str
    input: str
    output: str


class Truth(NamedTuple):
    """The three questions answered by the book, and what it says to the row where it knows that."""

    is_valid: bool
    is_suitable: bool
    is_correct: bool
    known: Answer | None


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
    """A task that is not in the book is invalid, an input that is not in it unsuitable."""
    entry = book.find(row.instruction)
    known = entry.answer(row.input) if entry else None
    is_correct = known is not None and known.output == row.output.strip()
    return Truth(entry is not None, known is not None, is_correct, known)


def verdict(row: Row, quirks: Quirks | None, rng: random.Random) -> dict[str, Any]:
    """A score and a reason for each question; the opposite of the truth as often as `judge_wrong` says."""
    found = truth(row)
    rate = quirks.share("judge_wrong") if quirks else 0.0
    said = {}
    for question, holds in zip(QUESTIONS, found[:3], strict=True):
        errs = rate > 0 and rng.random() < rate
        said[question] = {"reason": _reason(question, row, found), "score": _score(holds, errs, rng)}
    return said


def revision(row: Row, quirks: Quirks | None, rng: random.Random) -> dict[str, str]:
    """The right output, with another input where that was unsuitable; wrong again as often as `wrong` says."""
    entry, found = book.find(row.instruction), truth(row)
    if entry is None:
        return {"critique": "Nothing can be said against it.", "input": row.input, "output": row.output}
    known = found.known or entry.answers[0]
    critique = "Nothing is wrong." if found.is_correct else _reason("correct_output", row, found)
    return {"critique": critique, "input": known.input, "output": perhaps_wrong(known, entry, quirks, rng)}


def perhaps_wrong(known: Answer, entry: Entry, quirks: Quirks | None, rng: random.Random) -> str:
    """The right answer, or another one as often as the quirk `wrong` says."""
    rate = quirks.share("wrong") if quirks else 0.0
    return wrong(known, entry, rng) if rate and rng.random() < rate else known.output


def wrong(known: Answer, entry: Entry, rng: random.Random) -> str:
    """A wrong answer out of the book, or the right one with another label, number or word in it."""
    return rng.choice(known.wrong).output if known.wrong else flaws.wrong(known.output, entry.labels, rng)


def _reason(question: str, row: Row, found: Truth) -> str:
    if question == "valid_task":
        return "People ask for this." if found.is_valid else "Nobody could say what is wanted here."
    if question == "suitable_input":
        return "The task can be done on it." if found.is_suitable else "The task cannot be done on it."
    if found.is_correct:
        return "It does what was asked, and nothing in it is wrong."
    if found.known is None:
        return "There is no right answer to this."
    faults = {one.output: one.fault for one in found.known.wrong}
    return f"It {faults.get(row.output.strip()) or 'is not what the input asks for'}.".replace("..", ".")


def _score(holds: bool, errs: bool, rng: random.Random) -> int:
    """Sure of itself for the most part where it is right, less where it errs."""
    if errs:
        return rng.choices((2, 3), (3, 7))[0] if holds else rng.choices((4, 5), (7, 3))[0]
    return rng.choices((5, 4), (8, 2))[0] if holds else rng.choices((1, 2, 3), (7, 2, 1))[0]
