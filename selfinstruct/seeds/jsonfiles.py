"""JSON Lines and JSON arrays as rows, each with its line."""

from __future__ import annotations

import io
import json
import re

from selfinstruct.seeds.faults import Place, SeedFault, kind
from selfinstruct.seeds.rows import OBJECT_REMEDY, Rows, as_row, not_utf8

_BOM = b"\xef\xbb\xbf"
_SPACE = re.compile(r"[ \t\n\r]*")


def _malformed(error: Exception, place: Place, rule: str) -> SeedFault:
    """The fault that a failed parse of JSON comes down to."""
    match error:
        case json.JSONDecodeError():
            what = error.msg[:1].lower() + error.msg[1:].removesuffix(" at")
            found = f"malformed JSON at column {error.colno} ({what})"
        case RecursionError():
            found = "JSON nested too deeply"
        case _:
            found = "JSON with a number too long to read"
    return SeedFault(place, "", found, "valid JSON", rule)


def json_lines(raw: bytes) -> Rows:
    """The objects of JSON Lines; a line that cannot be read is a fault, and the next one is read."""
    offset = len(_BOM) if raw.startswith(_BOM) else 0
    stream = io.BytesIO(raw)
    stream.seek(offset)
    for number, line in enumerate(stream, 1):
        place = Place(number)
        try:
            text = line.decode("utf-8")
            if text.strip():
                yield as_row(json.loads(text), place)
        except UnicodeDecodeError as error:
            yield not_utf8(line[error.start], offset + error.start, place)
        except (ValueError, RecursionError) as error:
            yield _malformed(error, place, "write one complete JSON object a line")
        offset += len(line)


def json_array(text: str) -> Rows:
    """The objects of a JSON array, each with the line it begins on; nothing is read behind malformed JSON."""
    decode = json.JSONDecoder().raw_decode
    position, line, counted, number = _blank_to(text, 0), 1, 0, 1
    if text[position] != "[":
        try:
            value, _ = decode(text, position)
        except (ValueError, RecursionError) as error:
            lineno = error.lineno if isinstance(error, json.JSONDecodeError) else 1
            yield _malformed(error, Place(lineno), "write one JSON list of tasks")
        else:
            found = f"{kind(value)} where a list of tasks belongs"
            yield SeedFault(Place(), "", found, "a list of tasks", "write [{...}, {...}] with one {...} a task")
        return
    position = _blank_to(text, position + 1)
    if text[position : position + 1] == "]":
        yield SeedFault(Place(), "", "an empty list", "at least one task", OBJECT_REMEDY)
        return
    while True:
        line, counted = line + text.count("\n", counted, position), position
        try:
            value, position = decode(text, position)
            yield as_row(value, Place(line, number))
            position = _blank_to(text, position)
            if text[position : position + 1] == "]":
                rest = _blank_to(text, position + 1)
                if rest < len(text):
                    raise json.JSONDecodeError("Extra data", text, rest)
                return
            if text[position : position + 1] != ",":
                raise json.JSONDecodeError("Expecting ',' or ']'", text, position)
        except (ValueError, RecursionError) as error:
            at = error.lineno if isinstance(error, json.JSONDecodeError) else line
            yield _malformed(error, Place(at, number), "correct it there; what follows was not read")
            return
        position, number = _blank_to(text, position + 1), number + 1


def _blank_to(text: str, position: int) -> int:
    match = _SPACE.match(text, position)
    return match.end() if match else position
