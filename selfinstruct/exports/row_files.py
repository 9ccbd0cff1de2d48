"""The files of an export, each as a function that takes one row after another."""

from __future__ import annotations

import csv
import json
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import Any

import orjson

from selfinstruct.errors import ConfigError
from selfinstruct.exports.formats import FORMATS, Form, Unfit, Wording, form_named, title
from selfinstruct.exports.more_forms import MORE_FORMS, Answers
from selfinstruct.exports.templates import Quoter, Shape, on_one_line, template_of
from selfinstruct.own import in_words
from selfinstruct.pool.records import Row
from selfinstruct.types import Turn

Write = Callable[[Row], Unfit | Sequence[str]]
"""Writes a row; the rule that made each of its lines, or why there are none. Most forms know no rules."""
ONE_LINE = ("",)

COLUMNS = (
    "task_id", "instance", "origin", "round", "parents", "model", "output_model", "recipe", "nearest_score",
    "is_classification", "instruction", "input", "output", "valid_score", "input_score", "output_score", "topic",
    "source", "system", "weak_share", "strong_share", "drawn", "turns", "is_edited",
)  # fmt: skip
"""The columns of the tables: the lineage of a row, its texts, what was said of it."""
NUMBERS = (
    "round", "nearest_score", "valid_score", "input_score", "output_score", "weak_share", "strong_share"
)  # fmt: skip
"""Those that hold a number or nothing."""
TURN = ("user", "assistant")
"""What a table holds of a turn after the output: a list of structs in Parquet, JSON in CSV."""
TABLES = {"parquet": "dataset.parquet", "csv": "dataset.csv"}
NAMES = (*FORMATS, *TABLES)
"""The formats that `all` stands for, in the order in which files are listed: each carries every row."""
KNOWN = (*NAMES, *MORE_FORMS)
"""All formats."""

_BATCH = 10_000
_BATCH_CHARS = 32_000_000
"""The most rows of a Parquet row group, and the characters after which it ends; more are not held in memory."""
_BUFFER = 1 << 20
_FORMULA = ("=", "+", "-", "@", "\t", "\r", "\n", "\uff1d", "\uff0b", "\uff0d", "\uff20")
"""The beginnings of a formula in a spreadsheet: signs, their full-width forms, and white space before them."""


def file_name(name: str, split: str | None) -> str:
    """The name of the file of a format, or of one side of a split.

    MLX LM looks for `train.jsonl`, `valid.jsonl` and `test.jsonl` (`mlx_lm/LORA.md`, "Local Datasets").
    """
    if name == "mlx":
        return f"{split or 'train'}.jsonl"
    stem, _, ending = TABLES.get(name, f"{title(name)}.jsonl").rpartition(".")
    return f"{stem}-{split}.{ending}" if split else f"{stem}.{ending}"


def opened(
    name: str, path: Path, wording: Wording, answers: Answers | None = None, quoter: Quoter | None = None
) -> AbstractContextManager[Write]:
    """The file of a format, opened for writing rows. Those that share a quoter quote each row once."""
    if name == "csv":
        return _csv(path, wording)
    if name == "parquet":
        return _parquet(path)
    if name in FORMATS and not wording.mixed_prompts:  # whose prompts depend on the row's id too
        return _templated(path, FORMATS[name](wording), quoter or Quoter())
    return _lines(path, name, wording, answers or Answers())


@contextmanager
def _templated(path: Path, form: Form, quoter: Quoter) -> Iterator[Write]:
    templates: dict[Shape, bytes | Unfit] = {}
    with path.open("wb", _BUFFER) as file:

        def write(row: Row) -> Unfit | Sequence[str]:
            if quoter.row is not row:
                quoter.see(row)
            template = templates.get(quoter.shape)
            if template is None:
                template = templates[quoter.shape] = template_of(form, quoter.shape)
            if isinstance(template, Unfit):
                return template
            file.write(template % quoter.texts)
            return ONE_LINE

        yield write


@contextmanager
def _lines(path: Path, name: str, wording: Wording, answers: Answers) -> Iterator[Write]:
    more = MORE_FORMS[name](wording, answers) if name in MORE_FORMS else None
    form = form_named(name)(wording) if more is None else more
    with path.open("wb") as file:

        def write(row: Row) -> Unfit | Sequence[str]:
            found = form(row)
            if isinstance(found, Unfit):
                return found
            if isinstance(found, dict):
                put(row, found)
                return ONE_LINE
            for one in found:
                put(row, one)
            return [one.get("rule", "") for one in found]

        def put(row: Row, found: dict[str, Any]) -> None:
            try:
                line = on_one_line(orjson.dumps(found))
                if b"null" in line:  # which is also what becomes of NaN
                    json.dumps(found, allow_nan=False, default=str)
            except (TypeError, ValueError) as error:
                said = f"row {row.id} gave {in_words(found)[:60]}, which JSON cannot hold ({error})"
                raise ConfigError(f"--format {name}: {said}; wanted texts as keys, and values of JSON") from error
            file.write(line + b"\n")

        yield write


@contextmanager
def _csv(path: Path, wording: Wording) -> Iterator[Write]:
    """Every value is quoted, so that all kinds of line ends in a text stay as they are."""
    with path.open("w", encoding="utf-8", newline="") as file:
        table = csv.writer(file, quoting=csv.QUOTE_ALL, lineterminator="\n")
        table.writerow(COLUMNS)

        def write(row: Row) -> Sequence[str]:
            table.writerow([_harmless(value) for value in _values(row)] if wording.csv_safe else _values(row))
            return ONE_LINE

        yield write


@contextmanager
def _parquet(path: Path) -> Iterator[Write]:
    import pyarrow as pa  # noqa: PLC0415 - takes a third of a second
    import pyarrow.parquet as pq  # noqa: PLC0415

    types = dict.fromkeys(COLUMNS, pa.string()) | {
        "instance": pa.int32(), "round": pa.int32(), "parents": pa.list_(pa.string()), "is_classification": pa.bool_(),
        "is_edited": pa.bool_(),
        **dict.fromkeys(("valid_score", "input_score", "output_score"), pa.int32()),
        **dict.fromkeys(("nearest_score", "weak_share", "strong_share"), pa.float64()),
        "turns": pa.list_(pa.struct([(name, pa.string()) for name in TURN])),
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

        def write(row: Row) -> Sequence[str]:
            values = list(_values(row))
            for name in ("parents", "turns"):
                values[COLUMNS.index(name)] = json.loads(values[COLUMNS.index(name)])
            nonlocal chars
            waiting.append(values)
            chars += row.characters + len(row.system)
            if len(waiting) == _BATCH or chars > _BATCH_CHARS:
                flush()
                chars = 0
            return ONE_LINE

        yield write
        if waiting:
            flush()


def _harmless(value: Any) -> Any:
    """The value, with ' before a text that a spreadsheet would run as a formula."""
    return "'" + value if isinstance(value, str) and value.lstrip(" ").startswith(_FORMULA) else value


def _turn(one: Turn) -> dict[str, str]:
    return {name: getattr(one, name) for name in TURN}


def _values(row: Row) -> tuple[Any, ...]:
    """A row in the order of `COLUMNS`."""
    nearest, weak, strong = (
        None if value is None else round(value, 4)
        for value in (row.nearest_score, row.share_right("weak"), row.share_right("strong"))
    )
    return (
        row.task_id, row.number, row.origin, row.round, row.parents, row.model, row.output_model, row.recipe, nearest,
        row.is_classification, row.instruction, row.input, row.output, *row.scores, row.topic, row.source,
        row.system, weak, strong, row.drawn, json.dumps([_turn(one) for one in row.turns], ensure_ascii=False),
        row.is_edited,
    )  # fmt: skip
