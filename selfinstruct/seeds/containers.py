"""Files of rows: JSON Lines, JSON arrays, CSV and Parquet, told apart by what they hold before what they are called."""

from __future__ import annotations

import difflib
import json
import re
from pathlib import Path

from selfinstruct.given_files import Data, Unreadable, read_data
from selfinstruct.seeds.faults import Place, SeedFault, quoted
from selfinstruct.seeds.jsonfiles import json_lines, json_values
from selfinstruct.seeds.rows import Source, not_utf8, useless
from selfinstruct.seeds.shipped import shipped
from selfinstruct.seeds.tables import csv_table, likely_delimiter, parquet_table

_BOM = b"\xef\xbb\xbf"
_FILE = Place()
_TASK_FILE = "a seed file: .jsonl, .json, .csv or .parquet"
_WRITE = 'write its tasks as JSON Lines, JSON, CSV or Parquet, such as {"instruction": "...", "output": "..."} a line'
_FETCH = "if a download failed, fetch the file again; JSON Lines, JSON, CSV and Parquet are read"


def open_source(path: Path) -> Source:
    """The rows of a file, with a fault in the place of each that cannot be read; a useless file is a single fault."""
    data = _data(path)
    if isinstance(data, SeedFault):
        return useless(data)
    raw, container = data.raw, _container(data.suffix, data.raw)
    if isinstance(container, SeedFault):
        return useless(container)
    if container == "Parquet":
        return parquet_table(raw)
    if container == "JSON Lines":
        return Source(container, json_lines(raw))
    text = _decoded(raw)
    if isinstance(text, SeedFault):
        return useless(text)
    return csv_table(text) if container == "CSV" else Source(container, json_values(text))


def _data(path: Path) -> Data | SeedFault:
    data = read_data(path, _TASK_FILE)
    if isinstance(data, Unreadable):
        remedy = data.remedy + (_or_shipped(path) if data.found == "no such file" else "")
        return SeedFault(_FILE, "", data.found, _TASK_FILE, remedy)
    raw = data.raw
    if not re.search(rb"\S", raw.removeprefix(_BOM)):
        found = "only blank lines" if raw.removeprefix(_BOM) else "the file is empty"
        return SeedFault(_FILE, "", found, "at least one task", "write one task a line")
    return data


def _or_shipped(path: Path) -> str:
    """The seeds that come with the package, and which of them this name is like."""
    names = shipped()
    near = difflib.get_close_matches(path.stem.casefold(), names, 1)
    return f", or seeds that come with the package: {', '.join(names)}" + (
        f" (did you mean {near[0]}?)" if near else ""
    )


def _container(suffix: str, raw: bytes) -> str | SeedFault:
    return "Parquet" if raw.startswith(b"PAR1") else _text_container(suffix, raw)


def _text_container(suffix: str, raw: bytes) -> str | SeedFault:
    lines = [line for line in raw.removeprefix(_BOM).split(b"\n", 64) if line.strip()]
    first_line = lines[0].decode("utf-8", "replace").strip()
    like_json = first_line[:1] in {"{", "["}
    is_table = likely_delimiter(first_line)[1] > 0
    is_readable = first_line and "\ufffd" not in first_line
    if is_readable and not is_table and _is_plain_text(suffix, lines):
        return SeedFault(_FILE, "", f"plain text, which begins with {quoted(first_line)}", _TASK_FILE, _FETCH)
    if suffix in {".csv", ".tsv"} and not (like_json and _is_json(lines[0])):
        return "CSV"
    if like_json or suffix in {".jsonl", ".ndjson", ".json"}:
        return "JSON Lines" if _is_json_lines(suffix, lines) else "JSON array"
    if is_table:
        return "CSV"
    if suffix == ".parquet":
        return SeedFault(_FILE, "", "not a Parquet file", "a Parquet file", "write the file anew")
    found = f"begins with {quoted(first_line, 20)}, which no seed file does"
    return SeedFault(_FILE, "", found, _TASK_FILE, _WRITE)


def _is_plain_text(suffix: str, lines: list[bytes]) -> bool:
    """Whether a file that is called one of rows holds none, such as what a failed download leaves."""
    if suffix in {".csv", ".tsv"}:
        return len(lines) == 1 and not any(mark in lines[0] for mark in (b",", b";", b"\t", b"|"))
    begins = (b"{", b"[", b'"', b"}", b"]")
    return suffix in {".jsonl", ".ndjson", ".json"} and not any(
        line.lstrip().startswith(begins) or _is_json(line) for line in lines
    )


def _is_json_lines(suffix: str, lines: list[bytes]) -> bool:
    """Whether JSON is meant line by line; `.json` files often are, and `.jsonl` files sometimes hold an array."""
    begins, more = lines[0].lstrip()[:1], len(lines) > 1
    if begins == b"[":
        return more and _is_json(lines[0])
    if suffix == ".json" and not more:
        return False
    if begins == b"{" and (not more or _is_json(lines[0]) or lines[1].lstrip().startswith(b"{")):
        return True
    # An object over several lines goes on with a name or its end.
    return suffix in {".jsonl", ".ndjson"} and not (begins == b"{" and more and lines[1].lstrip()[:1] in {b'"', b"}"})


def _is_json(line: bytes) -> bool:
    try:
        json.loads(line)
    except (ValueError, RecursionError):
        return False
    return True


def _decoded(raw: bytes) -> str | SeedFault:
    try:
        return raw.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        # "utf-8-sig" counts from behind the byte order mark.
        start = error.start + (len(_BOM) if raw.startswith(_BOM) else 0)
        return not_utf8(raw[start], start, Place(raw.count(b"\n", 0, start) + 1))
