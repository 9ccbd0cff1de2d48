"""CSV and Parquet as rows."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

from selfinstruct.seeds.columns import TURNS, columns_of, plain
from selfinstruct.seeds.faults import Place, SeedFault, listed, quoted
from selfinstruct.seeds.rows import Row, Rows, Source, as_row, useless

if TYPE_CHECKING:
    from pyarrow import RecordBatch


def likely_delimiter(header: str) -> tuple[str, int]:
    """The delimiter that makes the most known fields of a header line, else the most fields, and how many are known."""
    if header.lstrip().startswith("|"):  # a table of Markdown, with a line of dashes among its rows
        return ",", 0
    marks = ",;\t|"
    cells = {mark: tuple(cell.strip(' "\r\n') for cell in header.split(mark)) for mark in marks}
    known = {mark: len(columns_of(names).any()) for mark, names in cells.items()}
    best = max(marks, key=lambda mark: (known[mark], len(cells[mark])))
    return best, known[best]


def csv_table(text: str) -> Source:
    """The rows of a CSV file with a header, each with the line it begins on; delimited by comma, semicolon, tab, |."""
    header_line = next((line for line in text.splitlines() if line.strip()), "")
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=likely_delimiter(header_line)[0], strict=True)
    # The limit is the module's own and guards against runaway quotes; here the whole text is in memory anyway.
    previous = csv.field_size_limit(len(text) + 1)
    try:
        records = list(_csv_records(reader))
    finally:
        csv.field_size_limit(previous)
    if not records:
        return Source("CSV", iter(()))
    if isinstance(records[0], SeedFault):
        return useless(records[0])
    place, cells = records[0]
    columns = [cell.strip() for cell in cells]
    repeated = {name for name in columns_of(tuple(columns)).any() if columns.count(name) > 1}
    if repeated:
        found = f"the header has {listed(sorted(repeated))} twice"
        return useless(SeedFault(place, min(repeated), found, "every column once", "remove one of them"))
    if len(records) == 1:
        found = "a header and no rows"
        return useless(SeedFault(place, "", found, "at least one task", "write one task a row below the header"))
    return Source("CSV", _csv_rows(columns, records[1:]), tuple(filter(None, columns)), place)


def _csv_records(reader: Iterator[list[str]]) -> Iterator[tuple[Place, list[str]] | SeedFault]:
    """Each record with the line it begins on; blank ones are passed over, and a fault ends the reading."""
    while True:
        place = Place(getattr(reader, "line_num", 0) + 1)
        try:
            cells = next(reader)
        except StopIteration:
            return
        except csv.Error as error:
            said = str(error)
            found, remedy = f"malformed CSV ({said})", "correct it; what follows was not read"
            if "unexpected end" in said:
                found, remedy = "a quoted cell that is never closed", 'close it with ", and write " inside a cell as ""'
            elif "expected after" in said:
                found, remedy = "text behind the closing quote of a cell", 'write " inside a quoted cell as ""'
            yield SeedFault(place, "", found, "valid CSV", remedy)
            return
        if any(cell.strip() for cell in cells):
            yield place, cells


def _csv_rows(columns: list[str], records: list[tuple[Place, list[str]] | SeedFault]) -> Rows:
    nested = [name for name in columns if plain(name) in {"instances", *TURNS}]
    for record in records:
        if isinstance(record, SeedFault):
            yield record
            continue
        place, cells = record
        if len(cells) != len(columns):
            found = f"{len(cells)} cell{'s' * (len(cells) != 1)} where the header has {len(columns)}"
            wanted = f"{len(columns)} cells"
            yield SeedFault(place, "", found, wanted, "give every row as many; quote cells that hold the delimiter")
            continue
        fields: dict[str, object] = dict(zip(columns, cells, strict=True))
        yield _with_nested(fields, nested, place)


def _with_nested(fields: dict[str, object], nested: Sequence[str], place: Place) -> Row | SeedFault:
    for name in nested:
        cell = str(fields[name]).strip()
        if plain(name) in TURNS[3:] and not cell.startswith("["):
            continue  # a word for much else than turns
        try:
            fields[name] = json.loads(cell) if cell else None
        except (ValueError, RecursionError):
            remedy = 'write the cell as JSON, such as [{"input": "", "output": "Paris"}]'
            return SeedFault(place, name, f'"{name}" is not JSON: {quoted(cell)}', "a list in JSON", remedy)
    return Row(place, fields)


def parquet_table(raw: bytes) -> Source:
    """The rows of a Parquet file, nested lists included, each with its number."""
    import pyarrow as pa  # noqa: PLC0415 - takes longer to import than other files take to read
    import pyarrow.parquet as pq  # noqa: PLC0415

    if not raw.startswith(b"PAR1"):
        return useless(SeedFault(Place(), "", "not a Parquet file", "a Parquet file", "write the file anew"))
    unreadable = (pa.ArrowException, OSError)
    try:
        file = pq.ParquetFile(pa.BufferReader(raw))
    except unreadable as error:
        return useless(_not_parquet(error, Place()))
    if file.metadata.num_rows == 0:
        found = "a Parquet file without rows"
        return useless(SeedFault(Place(), "", found, "at least one task", "write one task a row"))

    def rows() -> Rows:
        number = 0
        try:
            for batch in file.iter_batches(batch_size=1024):
                for row in _batch_rows(batch, number):
                    number += 1
                    yield row
        except unreadable as error:
            yield _not_parquet(error, Place(None, number + 1))

    return Source("Parquet", rows(), tuple(file.schema_arrow.names))


def _batch_rows(batch: RecordBatch, before: int) -> Rows:
    try:
        for number, value in enumerate(batch.to_pylist(), before + 1):
            yield as_row(value, Place(None, number))
    except UnicodeDecodeError as error:
        if batch.num_rows > 1:
            for index in range(batch.num_rows):
                yield from _batch_rows(batch.slice(index, 1), before + index)
            return
        found = f"text that is not UTF-8 (byte 0x{error.object[error.start]:02x})"
        yield SeedFault(Place(None, before + 1), "", found, "UTF-8 text", "write it as UTF-8")


def _not_parquet(error: Exception, place: Place) -> SeedFault:
    said = (str(error).splitlines() or [""])[0].strip().rstrip(".")
    return SeedFault(place, "", f"not readable as Parquet ({said})", "a Parquet file", "write the file anew")
