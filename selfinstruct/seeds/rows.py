"""The rows of a seed file, their places, and the faults found in them."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

from selfinstruct.hub import said

Severity = Literal["error", "warning", "note"]
_INDEX = re.compile(r"\[[0-9]+\]")
_VALUE = re.compile(r'"(?:[^"\\]|\\.)*"|[0-9]+')


@dataclass(frozen=True, slots=True)
class Place:
    """A place in a file, counted from 1: a line, an item of a JSON array, or (without a line) a row of Parquet."""

    line: int | None = None
    item: int | None = None

    def __str__(self) -> str:
        if self.line is None:
            return "the file" if self.item is None else f"row {self.item}"
        return f"line {self.line}" if self.item is None else f"line {self.line}, item {self.item}"


@dataclass(frozen=True, slots=True)
class SeedFault:
    """One thing that is wrong (error) or doubtful (warning) in a seed file."""

    place: Place
    field: str
    """Such as `output` or `instances[1].output`; empty where no single field is at fault."""
    found: str
    remedy: str
    severity: Severity = "error"
    count: int = 1
    """Rows with this fault, whatever the values in it; `place` is that of the first."""

    @property
    def line(self) -> int | None:
        """The line in the file; None for the whole file and for Parquet."""
        return self.place.line

    def text(self, path: Path) -> str:
        """One line that names the file and the place, what was found and what to do."""
        if self.count > 1:
            return f"{said(path)}: {self.count:,} rows: {self.found}; first at {self.place}; {self.remedy}"
        where = said(path) if self.line is None else f"{said(path)}:{self.line}"
        if self.place.item is not None:
            where += f": {'row' if self.line is None else 'item'} {self.place.item}"
        return f"{where}: {self.found}; {self.remedy}"


class Faults:
    """Faults in the order found. Those that differ only in values are one, with a count."""

    def __init__(self) -> None:
        self._first: dict[tuple[str, str, str], SeedFault] = {}

    def add(self, fault: SeedFault) -> None:
        """Add a fault, or count it with an earlier one of its kind."""
        kind = (fault.severity, _INDEX.sub("", fault.field), _VALUE.sub("", fault.found))
        first = self._first.get(kind)
        self._first[kind] = replace(first, count=first.count + fault.count) if first else fault

    def folded(self) -> tuple[SeedFault, ...]:
        """One fault for each kind."""
        return tuple(self._first.values())


@dataclass(frozen=True, slots=True)
class FileObject:
    """One object of a file, not yet read as a task."""

    place: Place
    fields: Mapping[str, object]


Rows = Iterator[FileObject | SeedFault]


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
    """The JSON type of a value, in words."""
    if value is None:
        return "null"
    if isinstance(value, bool):
        return f"the truth value {str(value).lower()}"
    words = {int: "a number", float: "a number", str: "text", list: "a list", dict: "an object", bytes: "bytes"}
    return words.get(type(value), f"of type {type(value).__name__}")
