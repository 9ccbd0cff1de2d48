"""The files of an export, each as a function that takes one row after another."""

from __future__ import annotations

import csv
import json
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import Any

import orjson

from selfinstruct.errors import ConfigError
from selfinstruct.exports.formats import FORMATS, Unfit, Wording, form_named, title
from selfinstruct.own import in_words
from selfinstruct.pool.records import Row

Write = Callable[[Row], Unfit | None]
"""Writes a row, or returns why this form cannot carry it."""

COLUMNS = (
    "task_id", "instance", "origin", "round", "parents", "model", "output_model", "recipe", "nearest_score",
    "is_classification", "instruction", "input", "output",
)  # fmt: skip
"""The columns of the tables: the lineage of a row, then its texts."""
TABLES = {"parquet": "dataset.parquet", "csv": "dataset.csv"}
NAMES = (*FORMATS, *TABLES)
"""All formats, in the order in which files are listed."""

_BATCH = 10_000
_BATCH_CHARS = 32_000_000
"""The most rows of a Parquet row group, and the characters after which it ends; more are not held in memory."""
_FORMULA = ("=", "+", "-", "@", "\t", "\r", "\n", "\uff1d", "\uff0b", "\uff0d", "\uff20")
"""The beginnings of a formula in a spreadsheet: signs, their full-width forms, and white space before them."""
_LINE_ENDS = {character.encode(): b"\\u%04x" % ord(character) for character in "\x85\u2028\u2029"}
"""Line ends for some readers, though not in JSON; escaped they are the same text."""


def file_name(name: str, split: str | None) -> str:
    """The name of the file of a format, or of one side of a split."""
    stem, _, ending = TABLES.get(name, f"{title(name)}.jsonl").rpartition(".")
    return f"{stem}-{split}.{ending}" if split else f"{stem}.{ending}"


def opened(name: str, path: Path, wording: Wording) -> AbstractContextManager[Write]:
    """The file of a format, opened for writing rows."""
    if name == "csv":
        return _csv(path, wording)
    if name == "parquet":
        return _parquet(path)
    return _lines(path, name, wording)


@contextmanager
def _lines(path: Path, name: str, wording: Wording) -> Iterator[Write]:
    form = form_named(name)(wording)
    with path.open("wb") as file:

        def write(row: Row) -> Unfit | None:
            found = form(row)
            if isinstance(found, Unfit):
                return found
            try:
                line = orjson.dumps(found)
            except TypeError as error:
                said = f"row {row.id} gave {in_words(found)[:60]}, which JSON cannot hold ({error})"
                raise ConfigError(f"--format {name}: {said}; wanted texts as keys, and values of JSON") from error
            if b"\xc2\x85" in line or b"\xe2\x80" in line:
                for character, escape in _LINE_ENDS.items():
                    line = line.replace(character, escape)
            file.write(line + b"\n")
            return None

        yield write


@contextmanager
def _csv(path: Path, wording: Wording) -> Iterator[Write]:
    """Every value is quoted, so that all kinds of line ends in a text stay as they are."""
    with path.open("w", encoding="utf-8", newline="") as file:
        table = csv.writer(file, quoting=csv.QUOTE_ALL, lineterminator="\n")
        table.writerow(COLUMNS)

        def write(row: Row) -> None:
            table.writerow([_harmless(value) for value in _values(row)] if wording.csv_safe else _values(row))

        yield write


@contextmanager
def _parquet(path: Path) -> Iterator[Write]:
    import pyarrow as pa  # noqa: PLC0415 - takes a third of a second
    import pyarrow.parquet as pq  # noqa: PLC0415

    types = dict.fromkeys(COLUMNS, pa.string()) | {
        "instance": pa.int32(), "round": pa.int32(), "parents": pa.list_(pa.string()), "nearest_score": pa.float64(),
        "is_classification": pa.bool_(),
    }  # fmt: skip
    schema = pa.schema(list(types.items()))
    waiting: list[list[Any]] = []
    chars = 0
    with pq.ParquetWriter(path, schema, compression="zstd") as table:

        def flush() -> None:
            columns = zip(schema.types, zip(*waiting, strict=True), strict=True)
            arrays = [pa.array(column, type=type_) for type_, column in columns]
            table.write_table(pa.Table.from_arrays(arrays, schema=schema))
            waiting.clear()

        def write(row: Row) -> None:
            values = list(_values(row))
            values[COLUMNS.index("parents")] = json.loads(row.parents)
            nonlocal chars
            waiting.append(values)
            chars += len(row.instruction) + len(row.instance.input) + len(row.instance.output)
            if len(waiting) == _BATCH or chars > _BATCH_CHARS:
                flush()
                chars = 0

        yield write
        if waiting:
            flush()


def _harmless(value: Any) -> Any:
    """The value, with ' before a text that a spreadsheet would run as a formula."""
    return "'" + value if isinstance(value, str) and value.lstrip(" ").startswith(_FORMULA) else value


def _values(row: Row) -> tuple[Any, ...]:
    """A row in the order of `COLUMNS`."""
    nearest = None if row.nearest_score is None else round(row.nearest_score, 4)
    return (
        row.task_id, row.number, row.origin, row.round, row.parents, row.model, row.output_model, row.recipe, nearest,
        row.is_classification, row.instruction, row.instance.input, row.instance.output,
    )  # fmt: skip
