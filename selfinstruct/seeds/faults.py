"""What can be wrong with a seed file, where, and how it is said in one line."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

Severity = Literal["error", "warning", "note"]
_INDEX = re.compile(r"\[[0-9]+\]")
_VALUE = re.compile(r'"(?:[^"\\]|\\.)*"|[0-9]+')


@dataclass(frozen=True, slots=True)
class Place:
    """Where in a file, counted from 1: a line, an item of a JSON array with its line, or (no line) a row of Parquet."""

    line: int | None = None
    item: int | None = None

    def __str__(self) -> str:
        if self.line is None:
            return "the file" if self.item is None else f"row {self.item}"
        return f"line {self.line}" if self.item is None else f"line {self.line}, item {self.item}"


@dataclass(frozen=True, slots=True)
class SeedFault:
    """One thing wrong (error) or doubtful (warning) in a seed file."""

    place: Place
    field: str
    """As in `output` or `instances[1].output`; empty where no one field is at fault."""
    found: str
    wanted: str
    remedy: str
    severity: Severity = "error"
    count: int = 1
    """Rows with this same fault, whatever the values in it; the place is that of the first."""

    @property
    def line(self) -> int | None:
        """The line in the file; None for the file as a whole and for Parquet."""
        return self.place.line

    def text(self, path: Path) -> str:
        """One line that names the file and the place, what was found and what to do."""
        if self.count > 1:
            return f"{path}: {self.count:,} rows: {self.found}; first at {self.place}; {self.remedy}"
        where = str(path) if self.place.line is None else f"{path}:{self.place.line}"
        if self.place.item is not None:
            where += f": {'row' if self.place.line is None else 'item'} {self.place.item}"
        return f"{where}: {self.found}; {self.remedy}"


class Faults:
    """Faults in the order in which they were found first, those of one kind folded into one."""

    def __init__(self) -> None:
        self._first: dict[tuple[str, str, str], SeedFault] = {}

    def add(self, fault: SeedFault) -> None:
        """Take in one more; what differs from an earlier one in values alone is counted there."""
        kind = (fault.severity, _INDEX.sub("", fault.field), _VALUE.sub("", fault.found))
        first = self._first.get(kind)
        self._first[kind] = replace(first, count=first.count + fault.count) if first else fault

    def folded(self) -> tuple[SeedFault, ...]:
        """One for each kind, with its count."""
        return tuple(self._first.values())

    def total(self) -> int:
        """How many there are."""
        return sum(fault.count for fault in self._first.values())


def quoted(text: str, limit: int = 40) -> str:
    """Foreign text in double quotes, on one line, cut to about `limit` characters."""
    cut = text if len(text) <= limit else text[:limit] + "..."
    return "".join(c if c.isprintable() else json.dumps(c)[1:-1] for c in json.dumps(cut, ensure_ascii=False))


def listed(names: Iterable[str], limit: int = 6) -> str:
    """Names in quotes, as in `"a", "b" and "c"`."""
    every = list(names)
    shown = [quoted(name) for name in every[:limit]]
    if len(every) > limit:
        shown.append(f"{len(every) - limit} more")
    return " and ".join([", ".join(shown[:-1]), shown[-1]]) if len(shown) > 1 else "".join(shown)


def kind(value: object) -> str:
    """What a value is, in words of JSON."""
    if value is None:
        return "null"
    if isinstance(value, bool):
        return f"the truth value {str(value).lower()}"
    words = {int: "a number", float: "a number", str: "text", list: "a list", dict: "an object", bytes: "bytes"}
    return words.get(type(value), f"of type {type(value).__name__}")
