"""A book that the built-in model answers from: tasks that people ask, with inputs, right answers and some wrong ones.

Its own, `book.jsonl`, holds a task a line: `kind`, `instruction`, `is_classification`, `instances` of `input` and
`output`, and `bad`, wrong outputs of an instance (by its number) with their fault in words.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import Any, NamedTuple

from selfinstruct.types import Task

FILE = Path(__file__).with_name("book.jsonl")


class Answer(NamedTuple):
    """An input of a task, empty where it needs none, the right output, and wrong ones with their faults."""

    input: str
    output: str
    wrong: Mapping[str, str]


class Entry(NamedTuple):
    """A task of the book. `labels` are the answers of a classification, each once."""

    kind: str
    instruction: str
    is_classification: bool
    answers: tuple[Answer, ...]
    needs_input: bool
    labels: tuple[str, ...]

    def answer(self, text: str) -> Answer | None:
        """What the book says to this input; None where it does not know the input."""
        wanted = _flat(text)
        return next((one for one in self.answers if _flat(one.input) == wanted), None)


class Book:
    """Tasks in the order of their file, found by their instruction."""

    def __init__(self, entries: Iterable[Entry]) -> None:
        self.entries = tuple(entries)
        self._by_instruction = {_flat(entry.instruction): entry for entry in self.entries}

    def find(self, instruction: str) -> Entry | None:
        """The task with this instruction, whatever its white space and what is demanded after it; None: none is."""
        text = _flat(instruction)
        begun = (entry for known, entry in self._by_instruction.items() if text.startswith(f"{known} "))
        return self._by_instruction.get(text) or next(begun, None)


@cache
def built_in() -> Book:
    """The book that comes with the package."""
    return Book(_entry(json.loads(line)) for line in FILE.read_text(encoding="utf-8").splitlines())


def book_of(tasks: Iterable[Task]) -> Book:
    """A book of tasks of the user's; what else could be answered to them is not known."""
    return Book(
        _with("own", one.instruction, bool(one.is_classification), [Answer(*row.texts, {}) for row in one.instances])
        for one in tasks
    )


def entries() -> tuple[Entry, ...]:
    """All tasks of the built-in book."""
    return built_in().entries


def find(instruction: str) -> Entry | None:
    """The task of the built-in book with this instruction; None where it has none."""
    return built_in().find(instruction)


def _entry(row: dict[str, Any]) -> Entry:
    wrong: list[dict[str, str]] = [{} for _ in row["instances"]]
    for bad in row.get("bad", ()):
        wrong[bad["instance"]][bad["output"]] = bad["fault"]
    answers = [Answer(one["input"], one["output"], wrong[at]) for at, one in enumerate(row["instances"])]
    return _with(row["kind"], row["instruction"], row["is_classification"], answers)


def _with(kind: str, instruction: str, is_classification: bool, answers: Sequence[Answer]) -> Entry:
    labels = tuple(dict.fromkeys(one.output for one in answers)) if is_classification else ()
    return Entry(kind, instruction, is_classification, tuple(answers), answers[0].input != "", labels)


def _flat(text: str) -> str:
    return " ".join(text.split())
