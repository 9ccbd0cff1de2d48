"""The book that the built-in model answers from: tasks that people ask, with inputs and right answers, some wrong ones.

`book.jsonl` holds a task a line: `kind`, `instruction`, `is_classification`, `instances` of `input` and `output`, and
`bad`, wrong outputs of an instance (by its number) with their fault in words.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import NamedTuple

FILE = Path(__file__).with_name("book.jsonl")


class Wrong(NamedTuple):
    """An output that looks right and is not."""

    output: str
    fault: str


@dataclass(frozen=True, slots=True)
class Answer:
    """An input of a task, empty where it needs none, with what is to be said."""

    input: str
    output: str
    wrong: tuple[Wrong, ...] = ()


@dataclass(frozen=True, slots=True)
class Entry:
    """A task of the book."""

    kind: str
    instruction: str
    is_classification: bool
    answers: tuple[Answer, ...]

    @property
    def needs_input(self) -> bool:
        """Whether the instruction speaks of something that it does not hold."""
        return self.answers[0].input != ""

    @property
    def labels(self) -> tuple[str, ...]:
        """The answers of a classification, each once."""
        return tuple(dict.fromkeys(one.output for one in self.answers)) if self.is_classification else ()

    def answer(self, text: str) -> Answer | None:
        """What the book says to this input; None where it does not know the input."""
        wanted = _flat(text)
        return next((one for one in self.answers if _flat(one.input) == wanted), None)


@cache
def entries() -> tuple[Entry, ...]:
    """All tasks, in the order of the file."""
    return tuple(map(_entry, FILE.read_text(encoding="utf-8").splitlines()))


@cache
def of_kind(kind: str) -> Sequence[Entry]:
    """The tasks of one kind."""
    return [entry for entry in entries() if entry.kind == kind]


@cache
def kinds() -> tuple[str, ...]:
    """All kinds, in the order of the file."""
    return tuple(dict.fromkeys(entry.kind for entry in entries()))


def find(instruction: str) -> Entry | None:
    """The task with this instruction, whatever its white space; None where the book has none."""
    return _by_instruction().get(_flat(instruction))


def check(instruction: str, text: str, output: str) -> bool | None:
    """Whether the output is what the book says to the input; None for an instruction that it does not have."""
    entry = find(instruction)
    if entry is None:
        return None
    known = entry.answer(text)
    return known is not None and known.output == output.strip()


@cache
def _by_instruction() -> dict[str, Entry]:
    return {_flat(entry.instruction): entry for entry in entries()}


def _entry(line: str) -> Entry:
    row = json.loads(line)
    wrong = row.get("bad", ())
    answers = tuple(
        Answer(
            one["input"], one["output"], tuple(Wrong(b["output"], b["fault"]) for b in wrong if b["instance"] == place)
        )
        for place, one in enumerate(row["instances"])
    )
    return Entry(row["kind"], row["instruction"], row["is_classification"], answers)


def _flat(text: str) -> str:
    return " ".join(text.split())
