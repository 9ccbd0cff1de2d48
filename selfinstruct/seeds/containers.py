"""Files of rows: JSON Lines, JSON arrays, CSV and Parquet, told apart by what they hold before what they are called."""

from __future__ import annotations

import json
import re
from pathlib import Path

from selfinstruct.seeds.faults import Place, SeedFault, quoted
from selfinstruct.seeds.jsonfiles import json_array, json_lines
from selfinstruct.seeds.rows import Source, not_utf8, useless
from selfinstruct.seeds.tables import csv_table, likely_delimiter, parquet_table

_BOM = b"\xef\xbb\xbf"
_FILE = Place()
_TASK_FILE = "a seed file: .jsonl, .json, .csv or .parquet"
_SAVE = "save it as .jsonl, .json, .csv or .parquet"
_NOT_OURS = {b"\x1f\x8b": "gzip data", b"PK\x03\x04": "a ZIP archive or a spreadsheet", b"(\xb5/\xfd": "zstd data"}


def open_source(path: Path) -> Source:
    """The rows of a file, with a fault in the place of each that cannot be read; a useless file is a single fault."""
    raw = _bytes(path)
    if isinstance(raw, SeedFault):
        return useless(raw)
    container = _container(path.suffix.lower(), raw)
    if isinstance(container, SeedFault):
        return useless(container)
    if container == "Parquet":
        return parquet_table(raw)
    if container == "JSON Lines":
        return Source(container, json_lines(raw))
    text = _decoded(raw)
    if isinstance(text, SeedFault):
        return useless(text)
    return csv_table(text) if container == "CSV" else Source(container, json_array(text))


def _bytes(path: Path) -> bytes | SeedFault:
    try:
        raw = path.read_bytes()
    except FileNotFoundError:
        return SeedFault(_FILE, "", "no such file", _TASK_FILE, f"name {_TASK_FILE}")
    except IsADirectoryError:
        return SeedFault(_FILE, "", "a directory", _TASK_FILE, "name one seed file in it")
    except OSError as error:
        return SeedFault(_FILE, "", f"cannot be read ({error.strerror})", _TASK_FILE, "make it readable")
    if not re.search(rb"\S", raw.removeprefix(_BOM)):
        found = "only blank lines" if raw.removeprefix(_BOM) else "the file is empty"
        return SeedFault(_FILE, "", found, "at least one task", "write one task a line")
    return raw


def _container(suffix: str, raw: bytes) -> str | SeedFault:
    if raw.startswith(b"PAR1") or suffix == ".parquet":
        return "Parquet"
    if packed := next((name for magic, name in _NOT_OURS.items() if raw.startswith(magic)), ""):
        return SeedFault(_FILE, "", packed, _TASK_FILE, f"unpack it, or {_SAVE}")
    if encoding := _wide_encoding(raw):
        return SeedFault(_FILE, "", f"{encoding} text", "UTF-8 text", "save the file as UTF-8")
    return _text_container(suffix, raw)


def _text_container(suffix: str, raw: bytes) -> str | SeedFault:
    lines = [line for line in raw.removeprefix(_BOM).split(b"\n", 64) if line.strip()]
    first_line = lines[0].decode("utf-8", "replace").strip()
    like_json = first_line[:1] in {"{", "["}
    if suffix in {".csv", ".tsv"} and not (like_json and _is_json(lines[0])):
        return "CSV"
    if like_json or suffix in {".jsonl", ".ndjson", ".json"}:
        return "JSON Lines" if _is_json_lines(suffix, lines) else "JSON array"
    if likely_delimiter(first_line)[1]:
        return "CSV"
    found = f"begins with {quoted(first_line, 20)}, which no seed file does"
    return SeedFault(_FILE, "", found, _TASK_FILE, _SAVE)


def _is_json_lines(suffix: str, lines: list[bytes]) -> bool:
    """Whether JSON is meant line by line; `.json` files often are, and `.jsonl` files sometimes hold an array."""
    begins, more = lines[0].lstrip()[:1], len(lines) > 1
    if begins == b"[":
        return more and _is_json(lines[0])
    if suffix in {".jsonl", ".ndjson"}:
        return True
    return begins == b"{" and (not more or _is_json(lines[0]) or lines[1].lstrip().startswith(b"{"))


def _wide_encoding(raw: bytes) -> str:
    """UTF-16 or UTF-32 by byte order mark, or by the zero bytes that plain letters have in them; empty otherwise."""
    head = raw[:4]
    if head in {b"\xff\xfe\0\0", b"\0\0\xfe\xff"} or re.fullmatch(rb"\0{3}[^\0]|[^\0]\0{3}", head, re.DOTALL):
        return "UTF-32"
    if head[:2] in {b"\xff\xfe", b"\xfe\xff"} or re.fullmatch(rb"(\0[^\0]){2}|([^\0]\0){2}", head, re.DOTALL):
        return "UTF-16"
    return ""


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
