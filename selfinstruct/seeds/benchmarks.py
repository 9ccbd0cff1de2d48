"""Files of benchmarks and test sets, read as texts that are to be kept out of a pool."""

from __future__ import annotations

import itertools
import json
import os
from collections.abc import Container, Iterable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path

from selfinstruct.errors import ConfigError
from selfinstruct.given_files import Unreadable, read_data
from selfinstruct.hub import fetched, is_on_hub, said
from selfinstruct.seeds.containers import (
    Values,
    csv_records,
    decoded,
    json_lines,
    malformed,
    parquet_file,
    parquet_values,
)
from selfinstruct.seeds.rows import Place, SeedFault
from selfinstruct.types import Exclusion, digest


def read_exclusions(paths: Iterable[Path]) -> tuple[Exclusion, ...]:
    """What these files hold, by content: the same texts under two names are one exclusion.

    Other texts under the same name get a number after it.

    Raises:
        ConfigError: a file that cannot be read, or holds no text.
    """
    found: dict[str, Exclusion] = {}
    for path in paths:
        exclusion = read_exclusion(path)
        if exclusion.id not in found:
            taken = {one.name for one in found.values()}
            found[exclusion.id] = replace(exclusion, name=free_name(exclusion.name, taken))
    return tuple(found.values())


def free_name(name: str, taken: Container[str]) -> str:
    """The name, with a number after it where it is taken."""
    number, free = 1, name
    while free in taken:
        number += 1
        free = f"{name} ({number})"
    return free


def read_exclusion(path: Path) -> Exclusion:
    """The texts of a file, row by row: JSON Lines, JSON, CSV, Parquet, or plain text with one text a line.

    Of a row, every text counts, however deep it stands; names of fields and numbers do not. The rows of a CSV file
    begin with its first line, since headers are often missing. The file may be packed.

    Raises:
        ConfigError: one line that says what is wrong with the file.
    """
    try:
        file = fetched(path, ("test", "validation"))
        raw, suffix = read_data(file, "the file of a benchmark or test set; --exclude may be repeated")
    except Unreadable as error:
        raise ConfigError(f"{said(path)}: {error}") from None
    rows = []
    for found in _values(raw, suffix):
        if isinstance(found, SeedFault):
            raise ConfigError(found.text(path))
        place, value = found
        if texts := tuple(_texts_in(value)):
            rows.append((place.item or place.line or 0, texts))
    if not rows:
        raise ConfigError(
            f"{said(path)}: there is no text in it; an exclusion is JSON Lines, JSON, CSV, Parquet or text"
        )
    name = said(path) if is_on_hub(path) else os.fsencode(path.name).decode(errors="replace").removesuffix(".gz")
    return Exclusion(digest([[number, list(texts)] for number, texts in rows]), name, tuple(rows))


def _values(raw: bytes, suffix: str) -> Values:
    if raw.startswith(b"PAR1") or (suffix == ".parquet" and raw[:1] not in {b"{", b"["}):
        file = parquet_file(raw)
        return iter([file]) if isinstance(file, SeedFault) else parquet_values(file)
    text = decoded(raw)
    if isinstance(text, SeedFault):
        return iter([text])
    if suffix in {".csv", ".tsv"}:
        first = text.split("\n", 1)[0]
        records = csv_records(text, "\t" if suffix == ".tsv" else max(",;\t|", key=first.count), strict=False)
        return (one if isinstance(one, SeedFault) else (Place(None, n), one[1]) for n, one in enumerate(records, 1))
    if suffix in {".jsonl", ".ndjson", ".json", ".parquet"} or text.lstrip()[:1] == "{":
        return _json(raw, text, suffix)
    return _items(text.splitlines())


def _items(values: Iterable[object]) -> Values:
    return ((Place(None, number), value) for number, value in enumerate(values, 1))


def _json(raw: bytes, text: str, suffix: str) -> Values:
    """The items of a list, those of all lists of an object and then its other values, or a value a line."""
    try:
        value = json.loads(text)
    except RecursionError as error:
        return iter([malformed(error, Place(), "take the texts out of it")])
    except ValueError:
        return json_lines(raw)
    is_row = isinstance(value, dict) and len(text.splitlines()) == 1 and suffix != ".json"
    if isinstance(value, dict) and not is_row:
        lists = [one for one in value.values() if isinstance(one, list)]
        others = [one for one in value.values() if not isinstance(one, list)]
        value = [*itertools.chain(*lists), *others] if lists else value
    return _items(value if isinstance(value, list) else [value])


def _texts_in(value: object) -> Iterator[str]:
    """Every text in a value that can be seen, in order."""
    if isinstance(value, str):
        if value.strip():
            yield value
    elif isinstance(value, dict):
        yield from _texts_in(list(value.values()))
    elif isinstance(value, Sequence) and not isinstance(value, bytes | bytearray):
        for one in value:
            yield from _texts_in(one)
