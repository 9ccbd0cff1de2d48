"""What can be wrong with a seed file, where, and how it is said in one line."""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

Severity = Literal["error", "warning"]


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
    """Rows with this same warning; the place is that of the first."""

    @property
    def line(self) -> int | None:
        """The line in the file; None for the file as a whole and for Parquet."""
        return self.place.line

    def text(self, path: Path) -> str:
        """One line that names the file and the place, what was found and what to do."""
        where = str(path) if self.place.line is None else f"{path}:{self.place.line}"
        if self.place.item is not None:
            where += f": {'row' if self.place.line is None else 'item'} {self.place.item}"
        more = f" ({self.count} rows, the first is named)" if self.count > 1 else ""
        return f"{where}: {self.found}; {self.remedy}{more}"


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
