"""JSON Lines and JSON arrays as rows, each with its line."""

from __future__ import annotations

import io
import json
import re

from selfinstruct.seeds.faults import Place, SeedFault
from selfinstruct.seeds.forms import recognise
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


def json_values(text: str) -> Rows:
    """The objects of a JSON array, or objects one after the other, each with the line it begins on.

    Nothing is read after malformed JSON.
    """
    decode = json.JSONDecoder().raw_decode
    position, line, counted, number = _blank_to(text, 0), 1, 0, 1
    is_array = text[position] == "["
    if is_array:
        position = _blank_to(text, position + 1)
        if text[position : position + 1] == "]":
            yield SeedFault(Place(), "", "an empty list", "at least one task", OBJECT_REMEDY)
            return
    while True:
        line, counted = line + text.count("\n", counted, position), position
        place = Place(line, number if is_array else None)
        try:
            value, position = decode(text, position)
            position = _blank_to(text, position)
            yield from _wrapped(value, place) if number == 1 and position == len(text) else [as_row(value, place)]
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
            yield _malformed(error, Place(at, place.item), "correct it there; what follows was not read")
            return
        number += 1


def _wrapped(value: object, place: Place) -> Rows:
    """The only value of a file as rows: an object that is no task may hold the list of them."""
    if isinstance(value, dict) and (recognise(value) is None or isinstance(value.get("data"), list)):
        lists = [one for one in value.values() if isinstance(one, list) and one and isinstance(one[0], dict)]
        if len(lists) == 1 and recognise(lists[0][0]) is not None:
            yield from (as_row(one, Place(None, number)) for number, one in enumerate(lists[0], 1))
            return
    yield as_row(value, place)


def _blank_to(text: str, position: int) -> int:
    match = _SPACE.match(text, position)
    return match.end() if match else position
