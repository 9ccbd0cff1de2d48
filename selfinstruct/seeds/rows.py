"""Rows of a file: objects with their places, before anyone asks what they say."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

from selfinstruct.seeds.faults import Place, SeedFault, kind

OBJECT_REMEDY = 'write each task as {"instruction": ..., "instances": [{"input": ..., "output": ...}]}'


@dataclass(frozen=True, slots=True)
class Row:
    """One object of a file, not yet read as a task."""

    place: Place
    fields: Mapping[str, object]


Rows = Iterator[Row | SeedFault]


@dataclass(frozen=True, slots=True)
class Source:
    """The rows of a file. A table also has columns, which hold for all its rows, and the place where they are named."""

    container: str
    rows: Rows
    columns: tuple[str, ...] | None = None
    header: Place = field(default_factory=Place)


def useless(fault: SeedFault) -> Source:
    """The source that a file comes down to whose rows cannot be had at all."""
    return Source("", iter([fault]))


def as_row(value: object, place: Place) -> Row | SeedFault:
    """A value of a file as a row, which only an object is."""
    if isinstance(value, dict):
        return Row(place, value)
    return SeedFault(place, "", f"{kind(value)} where an object belongs", "an object", OBJECT_REMEDY)


def not_utf8(byte: int, offset: int, place: Place) -> SeedFault:
    """The fault of a byte that UTF-8 does not have there; the offset counts from the start of the file, from 0."""
    found = f"not UTF-8: byte 0x{byte:02x} at byte offset {offset}"
    return SeedFault(place, "", found, "UTF-8 text", "save the file as UTF-8")
