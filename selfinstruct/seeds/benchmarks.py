"""Files of benchmarks and test sets, read as texts that are to be kept out of a pool."""

from __future__ import annotations

import csv
import io
import itertools
import json
import os
from collections.abc import Container, Iterable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path

from selfinstruct.errors import ConfigError
from selfinstruct.given_files import Unreadable, read_data
from selfinstruct.types import Exclusion, digest

_BOM = "\ufeff"
_DELIMITERS = ",;\t|"
Row = tuple[int, object]
"""The number of a row, from 1, and what it holds."""


def read_exclusions(paths: Iterable[Path]) -> tuple[Exclusion, ...]:
    """What these files hold, by content: the same texts under two names are one exclusion.

    Other texts under the same name get a number behind it.

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
    """The name, with a number behind it where it is taken."""
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
        raw, suffix = read_data(path, "the file of a benchmark or test set; --exclude may be repeated")
    except Unreadable as error:
        raise ConfigError(f"{path}: {error}") from None
    rows = tuple((number, texts) for number, value in _rows(path, raw, suffix) if (texts := tuple(_texts_in(value))))
    if not rows:
        raise ConfigError(f"{path}: there is no text in it; an exclusion is JSON Lines, JSON, CSV, Parquet or text")
    name = os.fsencode(path.name).decode(errors="replace").removesuffix(".gz")
    return Exclusion(digest([[number, list(texts)] for number, texts in rows]), name, rows)


def _rows(path: Path, raw: bytes, suffix: str) -> Iterator[Row]:
    if raw.startswith(b"PAR1") or (suffix == ".parquet" and raw[:1] not in {b"{", b"["}):
        yield from _parquet(path, raw)
        return
    try:
        text = raw.decode("utf-8").removeprefix(_BOM)
    except UnicodeDecodeError as error:
        line = raw.count(b"\n", 0, error.start) + 1
        raise ConfigError(f"{path}:{line}: this is not UTF-8 text (byte 0x{raw[error.start]:02x})") from None
    begins = text.lstrip()[:1]
    if suffix in {".csv", ".tsv"}:
        yield from _csv(path, text, suffix)
    elif suffix in {".jsonl", ".ndjson", ".json", ".parquet"} or begins == "{":
        yield from _json(path, text, suffix)
    else:
        yield from enumerate(text.splitlines(), 1)


def _json(path: Path, text: str, suffix: str) -> Iterator[Row]:
    """The items of a list, those of all lists of an object and then its other values, or a value a line."""
    try:
        value = json.loads(text)
    except RecursionError:
        raise ConfigError(f"{path}: JSON nested too deeply") from None
    except ValueError:
        yield from _json_lines(path, text)
        return
    is_row = isinstance(value, dict) and len(text.splitlines()) == 1 and suffix != ".json"
    if isinstance(value, dict) and not is_row:
        lists = [one for one in value.values() if isinstance(one, list)]
        others = [one for one in value.values() if not isinstance(one, list)]
        value = [*itertools.chain(*lists), *others] if lists else value
    yield from enumerate(value if isinstance(value, list) else [value], 1)


def _json_lines(path: Path, text: str) -> Iterator[Row]:
    for number, line in enumerate(text.split("\n"), 1):
        if not line.strip():
            continue
        try:
            yield number, json.loads(line)
        except (ValueError, RecursionError) as error:
            what = getattr(error, "msg", "nested too deeply")
            raise ConfigError(f"{path}:{number}: this is not JSON ({what}); one value a line is wanted") from None


def _csv(path: Path, text: str, suffix: str) -> Iterator[Row]:
    first = text.split("\n", 1)[0]
    delimiter = "\t" if suffix == ".tsv" else max(_DELIMITERS, key=first.count)
    limit = csv.field_size_limit(len(text) + 1)
    try:
        yield from enumerate(csv.reader(io.StringIO(text, newline=""), delimiter=delimiter), 1)
    except csv.Error as error:
        raise ConfigError(f"{path}: this is not CSV ({error})") from None
    finally:
        csv.field_size_limit(limit)


def _parquet(path: Path, raw: bytes) -> Iterator[Row]:
    import pyarrow as pa  # noqa: PLC0415 - takes longer to import than other files take to read
    import pyarrow.parquet as pq  # noqa: PLC0415

    try:
        number = 0
        for batch in pq.ParquetFile(pa.BufferReader(raw)).iter_batches(batch_size=4096):
            for value in batch.to_pylist():
                number += 1
                yield number, value
    except (pa.ArrowException, OSError, UnicodeDecodeError) as error:
        said = (str(error).splitlines() or [""])[0].rstrip(".")
        raise ConfigError(f"{path}: this is not readable as Parquet ({said})") from None


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
