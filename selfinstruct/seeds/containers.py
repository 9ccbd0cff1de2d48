"""The rows of JSON Lines, JSON, CSV and Parquet files. Which it is follows from the content, then from the name."""

from __future__ import annotations

import csv
import difflib
import io
import json
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from importlib import resources
from pathlib import Path
from typing import TYPE_CHECKING

from selfinstruct.errors import ConfigError
from selfinstruct.given_files import Unreadable, read_data
from selfinstruct.hub import fetched
from selfinstruct.seeds.columns import TURNS, columns_of, plain
from selfinstruct.seeds.forms import recognise
from selfinstruct.seeds.rows import FileObject, Place, Rows, SeedFault, kind, listed, quoted

if TYPE_CHECKING:
    from pyarrow import RecordBatch
    from pyarrow.parquet import ParquetFile

_BOM = b"\xef\xbb\xbf"
_FILE = Place()
_SPACE = re.compile(r"[ \t\n\r]*")
_OBJECT = 'write each task as {"instruction": ..., "instances": [{"input": ..., "output": ...}]}'
_WRITE = 'write its tasks as JSON Lines, JSON, CSV or Parquet, such as {"instruction": "...", "output": "..."} a line'
_FETCH = "if a download failed, fetch the file again; JSON Lines, JSON, CSV and Parquet are read"


Values = Iterator[tuple[Place, object] | SeedFault]
"""What stands at each place of a file."""


@dataclass(frozen=True, slots=True)
class Source:
    """The rows of a file. A table also has the names of its columns and the place of its header."""

    container: str
    """`JSON Lines`, `JSON array`, `CSV` or `Parquet`; empty for a file that cannot be read."""
    rows: Rows
    columns: tuple[str, ...] | None = None
    header: Place = field(default_factory=Place)


def shipped() -> Mapping[str, Path]:
    """The seed files that come with the package, by name, such as `en`."""
    for folder in (Path(str(resources.files("selfinstruct"))) / "seed_files", Path(__file__).parents[2] / "seeds"):
        if (folder / "en.jsonl").is_file():
            return {path.stem: path for path in sorted(folder.glob("*.jsonl"))}
    return {}


def default_seeds() -> Path:
    """The seed file of a pool for which none is named.

    Raises:
        ConfigError: it is missing.
    """
    if "en" not in shipped():
        raise ConfigError("the default seeds are missing from this installation; name a file by --seeds")
    return shipped()["en"]


def seed_file(path: Path) -> Path:
    """The file at this path, or else the shipped one of this name."""
    return path if path.is_file() or path.name != str(path) else shipped().get(path.name, path)


def open_source(path: Path) -> Source:
    """The rows of a file, with a fault in place of each that cannot be read; an unreadable file is one fault."""
    try:
        raw, suffix = read_data(fetched(path, ("train",)), "a seed file: .jsonl, .json, .csv or .parquet")
    except Unreadable as error:
        return _useless(error.found, error.remedy + (_or_shipped(path) if error.found == "no such file" else ""))
    if not re.search(rb"\S", raw.removeprefix(_BOM)):
        found = "only blank lines" if raw.removeprefix(_BOM) else "the file is empty"
        return _useless(found, "write one task a line")
    return _parquet(raw) if raw.startswith(b"PAR1") else _text(raw, suffix)


def _text(raw: bytes, suffix: str) -> Source:
    container = _text_container(suffix, raw)
    if isinstance(container, SeedFault):
        return Source("", iter([container]))
    if container == "JSON Lines":
        return Source(container, map(_as_row, json_lines(raw)))
    text = decoded(raw)
    if isinstance(text, SeedFault):
        return Source("", iter([text]))
    return _csv(text) if container == "CSV" else Source(container, _json_values(text))


def decoded(raw: bytes) -> str | SeedFault:
    """The text of a file in UTF-8."""
    try:
        return raw.decode("utf-8").removeprefix("\ufeff")
    except UnicodeDecodeError as error:
        return _not_utf8(raw[error.start], error.start, Place(raw.count(b"\n", 0, error.start) + 1))


def _useless(found: str, remedy: str, place: Place = _FILE, name: str = "") -> Source:
    """The source for a file whose rows cannot be read at all."""
    return Source("", iter([SeedFault(place, name, found, remedy)]))


def _or_shipped(path: Path) -> str:
    names = shipped()
    near = difflib.get_close_matches(path.stem.casefold(), names, 1)
    meant = f" (did you mean {near[0]}?)" if near else ""
    return f", or seeds that come with the package: {', '.join(names)}{meant}"


def _text_container(suffix: str, raw: bytes) -> str | SeedFault:
    lines = [line for line in raw.removeprefix(_BOM).split(b"\n", 64) if line.strip()]
    first_line = lines[0].decode("utf-8", "replace").strip()
    like_json = first_line[:1] in {"{", "["}
    is_table = _likely_delimiter(first_line)[1] > 0
    is_readable = first_line and "\ufffd" not in first_line
    if is_readable and not is_table and _is_plain_text(suffix, lines):
        return SeedFault(_FILE, "", f"plain text, which begins with {quoted(first_line)}", _FETCH)
    if suffix in {".csv", ".tsv"} and not (like_json and _is_json(lines[0])):
        return "CSV"
    if like_json or suffix in {".jsonl", ".ndjson", ".json"}:
        return "JSON Lines" if _is_json_lines(suffix, lines) else "JSON array"
    if is_table:
        return "CSV"
    if suffix == ".parquet":
        return SeedFault(_FILE, "", "not a Parquet file", "write the file again")
    return SeedFault(_FILE, "", f"begins with {quoted(first_line, 20)}, which no seed file does", _WRITE)


def _is_plain_text(suffix: str, lines: list[bytes]) -> bool:
    """Is this file, named as one of rows, plain text, such as the answer to a failed download?"""
    if suffix in {".csv", ".tsv"}:
        return len(lines) == 1 and not any(mark in lines[0] for mark in (b",", b";", b"\t", b"|"))
    begins = (b"{", b"[", b'"', b"}", b"]")
    return suffix in {".jsonl", ".ndjson", ".json"} and not any(
        line.lstrip().startswith(begins) or _is_json(line) for line in lines
    )


def _is_json_lines(suffix: str, lines: list[bytes]) -> bool:
    """Is this JSON line by line? `.json` files often are, and `.jsonl` files sometimes hold an array."""
    begins, more = lines[0].lstrip()[:1], len(lines) > 1
    if begins == b"[":
        return more and _is_json(lines[0])
    if suffix == ".json" and not more:
        return False
    if begins == b"{" and (not more or _is_json(lines[0]) or lines[1].lstrip().startswith(b"{")):
        return True
    # The second line of an object over several lines begins with a name or ends it.
    return suffix in {".jsonl", ".ndjson"} and not (begins == b"{" and more and lines[1].lstrip()[:1] in {b'"', b"}"})


def _is_json(line: bytes) -> bool:
    try:
        json.loads(line)
    except (ValueError, RecursionError):
        return False
    return True


def _as_row(read: tuple[Place, object] | SeedFault) -> FileObject | SeedFault:
    if isinstance(read, SeedFault):
        return read
    place, value = read
    if isinstance(value, dict):
        return FileObject(place, value)
    return SeedFault(place, "", f"{kind(value)} where an object belongs", _OBJECT)


def _not_utf8(byte: int, offset: int, place: Place) -> SeedFault:
    return SeedFault(place, "", f"not UTF-8: byte 0x{byte:02x} at byte offset {offset}", "save the file as UTF-8")


def malformed(error: Exception, place: Place, remedy: str) -> SeedFault:
    """The fault of JSON that cannot be read."""
    if isinstance(error, json.JSONDecodeError):
        what = error.msg[:1].lower() + error.msg[1:].removesuffix(" at")
        return SeedFault(place, "", f"malformed JSON at column {error.colno} ({what})", remedy)
    what = "nested too deeply" if isinstance(error, RecursionError) else "with a number too long to read"
    return SeedFault(place, "", f"JSON {what}", remedy)


def json_lines(raw: bytes) -> Values:
    """The value of each line of JSON Lines. A line that cannot be read is a fault; reading goes on after it."""
    offset = len(_BOM) if raw.startswith(_BOM) else 0
    stream = io.BytesIO(raw)
    stream.seek(offset)
    for number, line in enumerate(stream, 1):
        place = Place(number)
        try:
            text = line.decode("utf-8")
            if text.strip():
                yield place, json.loads(text.rstrip("\r\n"))
        except UnicodeDecodeError as error:
            yield _not_utf8(line[error.start], offset + error.start, place)
        except (ValueError, RecursionError) as error:
            yield malformed(error, place, "write one complete JSON object a line")
        offset += len(line)


def _json_values(text: str) -> Rows:
    """The objects of a JSON array, or one object after another, each with its first line. Malformed JSON ends them."""
    decode = json.JSONDecoder().raw_decode
    position, line, counted, number = _blank_to(text, 0), 1, 0, 1
    is_array = text[position] == "["
    if is_array:
        position = _blank_to(text, position + 1)
        if text[position : position + 1] == "]":
            yield SeedFault(_FILE, "", "an empty list", _OBJECT)
            return
    while True:
        line, counted = line + text.count("\n", counted, position), position
        place = Place(line, number if is_array else None)
        try:
            value, position = decode(text, position)
            position = _blank_to(text, position)
            yield from _wrapped(value, place) if number == 1 and position == len(text) else [_as_row((place, value))]
            if not is_array and position == len(text):
                return
            if is_array and text[position : position + 1] == "]":
                rest = _blank_to(text, position + 1)
                if rest < len(text):
                    raise json.JSONDecodeError("Extra data", text, rest)
                return
            if text[position : position + 1] == ",":
                position = _blank_to(text, position + 1)
            elif is_array:
                raise json.JSONDecodeError("Expecting ',' or ']'", text, position)
        except (ValueError, RecursionError) as error:
            at = error.lineno if isinstance(error, json.JSONDecodeError) else line
            yield malformed(error, Place(at, place.item), "correct it there; what follows was not read")
            return
        number += 1


def _wrapped(value: object, place: Place) -> Rows:
    """The rows in the only value of a file: an object that is no task may hold a list of tasks."""
    if isinstance(value, dict) and (recognise(value) is None or isinstance(value.get("data"), list)):
        lists = [one for one in value.values() if isinstance(one, list) and one and isinstance(one[0], dict)]
        if len(lists) == 1 and recognise(lists[0][0]) is not None:
            yield from (_as_row((Place(None, number), one)) for number, one in enumerate(lists[0], 1))
            return
    yield _as_row((place, value))


def _blank_to(text: str, position: int) -> int:
    match = _SPACE.match(text, position)
    return match.end() if match else position


def _likely_delimiter(header: str) -> tuple[str, int]:
    """The delimiter that gives the most known names in a header, else the most names; and how many are known."""
    if header.lstrip().startswith("|"):  # a table in Markdown, which has a line of dashes among its rows
        return ",", 0
    marks = ",;\t|"
    cells = {mark: tuple(cell.strip(' "\r\n') for cell in header.split(mark)) for mark in marks}
    known = {mark: len(columns_of(names).any()) for mark, names in cells.items()}
    best = max(marks, key=lambda mark: (known[mark], len(cells[mark])))
    return best, known[best]


def _csv(text: str) -> Source:
    """The rows of a CSV file with a header, each with the line it begins on."""
    header_line = next((line for line in text.splitlines() if line.strip()), "")
    records = csv_records(text, _likely_delimiter(header_line)[0], strict=True)
    records = [one for one in records if isinstance(one, SeedFault) or any(cell.strip() for cell in one[1])]
    if not records:
        return Source("CSV", iter(()))
    if isinstance(records[0], SeedFault):
        return Source("", iter([records[0]]))
    place, cells = records[0]
    columns = [cell.strip() for cell in cells]
    repeated = sorted(name for name in columns_of(tuple(columns)).any() if columns.count(name) > 1)
    if repeated:
        found = f"the header has {listed(dict.fromkeys(repeated))} twice"
        return _useless(found, "remove one of them", place, repeated[0])
    if len(records) == 1:
        return _useless("a header and no rows", "write one task a row below the header", place)
    return Source("CSV", _csv_rows(columns, records[1:]), tuple(filter(None, columns)), place)


def csv_records(text: str, delimiter: str, *, strict: bool) -> list[tuple[Place, list[str]] | SeedFault]:
    """Each record with the line it begins on; a fault ends them."""
    previous = csv.field_size_limit(len(text) + 1)  # the whole text is in memory anyway
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=delimiter, strict=strict)
    found: list[tuple[Place, list[str]] | SeedFault] = []
    place = Place(1)
    try:
        for cells in reader:
            found.append((place, cells))
            place = Place(reader.line_num + 1)
    except csv.Error as error:
        what, remedy = f"malformed CSV ({error})", "correct it; what follows was not read"
        if "unexpected end" in str(error):
            what, remedy = "a quoted cell that is never closed", 'close it with ", and write " inside a cell as ""'
        elif "expected after" in str(error):
            what, remedy = "text after the closing quote of a cell", 'write " inside a quoted cell as ""'
        found.append(SeedFault(place, "", what, remedy))
    finally:
        csv.field_size_limit(previous)
    return found


def _csv_rows(columns: list[str], records: Sequence[tuple[Place, list[str]] | SeedFault]) -> Rows:
    nested = [name for name in columns if plain(name) in {"instances", *TURNS}]
    for record in records:
        if isinstance(record, SeedFault):
            yield record
            continue
        place, cells = record
        if len(cells) != len(columns):
            found = f"{len(cells)} cell{'s' * (len(cells) != 1)} where the header has {len(columns)}"
            remedy = f"write {len(columns)} cells in every row; quote cells that hold the delimiter"
            yield SeedFault(place, "", found, remedy)
            continue
        yield _with_nested(dict(zip(columns, cells, strict=True)), nested, place)


def _with_nested(fields: dict[str, object], nested: Sequence[str], place: Place) -> FileObject | SeedFault:
    for name in nested:
        cell = str(fields[name]).strip()
        if plain(name) in TURNS[3:] and not cell.startswith("["):
            continue  # these names are used for much else than turns
        try:
            fields[name] = json.loads(cell) if cell else None
        except (ValueError, RecursionError):
            remedy = 'write the cell as JSON, such as [{"input": "", "output": "Paris"}]'
            return SeedFault(place, name, f'"{name}" is not JSON: {quoted(cell)}', remedy)
    return FileObject(place, fields)


def _parquet(raw: bytes) -> Source:
    """The rows of a Parquet file, nested lists included, each with its number."""
    file = parquet_file(raw)
    if isinstance(file, SeedFault):
        return Source("", iter([file]))
    if file.metadata.num_rows == 0:
        return _useless("a Parquet file without rows", "write one task a row")
    return Source("Parquet", map(_as_row, parquet_values(file)), tuple(file.schema_arrow.names))


def parquet_file(raw: bytes) -> ParquetFile | SeedFault:
    """A Parquet file of these bytes."""
    import pyarrow as pa  # noqa: PLC0415 - takes longer to import than other files take to read
    import pyarrow.parquet as pq  # noqa: PLC0415

    try:
        return pq.ParquetFile(pa.BufferReader(raw))
    except (pa.ArrowException, OSError) as error:
        return _not_parquet(error, _FILE)


def parquet_values(file: ParquetFile) -> Values:
    """Each row as an object, with its number from 1. A fault of the file ends them, text that is not UTF-8 does not."""
    import pyarrow as pa  # noqa: PLC0415

    number = 0
    try:
        for batch in file.iter_batches(batch_size=1024):
            yield from _batch_values(batch, number)
            number += batch.num_rows
    except (pa.ArrowException, OSError) as error:
        yield _not_parquet(error, Place(None, number + 1))


def _batch_values(batch: RecordBatch, before: int) -> Values:
    try:
        for number, value in enumerate(batch.to_pylist(), before + 1):
            yield Place(None, number), value
    except UnicodeDecodeError as error:
        if batch.num_rows > 1:
            for index in range(batch.num_rows):
                yield from _batch_values(batch.slice(index, 1), before + index)
            return
        found = f"text that is not UTF-8 (byte 0x{error.object[error.start]:02x})"
        yield SeedFault(Place(None, before + 1), "", found, "write it as UTF-8")


def _not_parquet(error: Exception, place: Place) -> SeedFault:
    said = (str(error).splitlines() or [""])[0].strip().rstrip(".")
    return SeedFault(place, "", f"not readable as Parquet ({said})", "write the file again")
