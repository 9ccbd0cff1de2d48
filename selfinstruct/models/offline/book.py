"""The book that the built-in model answers from: tasks that people ask, with inputs, right answers and some wrong ones.

`book.jsonl` holds a task a line: `kind`, `instruction`, `is_classification`, `instances` of `input` and `output`, and
`bad`, wrong outputs of an instance (by its number) with their fault in words.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import Any, NamedTuple

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


@cache
def entries() -> tuple[Entry, ...]:
    """All tasks, in the order of the file."""
    return tuple(_entry(json.loads(line)) for line in FILE.read_text(encoding="utf-8").splitlines())


def find(instruction: str) -> Entry | None:
    """The task with this instruction, whatever its white space; None where the book has none."""
    return _by_instruction().get(_flat(instruction))


@cache
def _by_instruction() -> dict[str, Entry]:
    return {_flat(entry.instruction): entry for entry in entries()}


def _entry(row: dict[str, Any]) -> Entry:
    wrong: list[dict[str, str]] = [{} for _ in row["instances"]]
    for bad in row.get("bad", ()):
        wrong[bad["instance"]][bad["output"]] = bad["fault"]
    answers = tuple(Answer(one["input"], one["output"], wrong[at]) for at, one in enumerate(row["instances"]))
    labels = tuple(dict.fromkeys(one.output for one in answers)) if row["is_classification"] else ()
    needs_input = answers[0].input != ""
    return Entry(row["kind"], row["instruction"], row["is_classification"], answers, needs_input, labels)


def _flat(text: str) -> str:
    return " ".join(text.split())
