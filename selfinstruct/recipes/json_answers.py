"""Asking for JSON, and reading it out of what a model really sends: fenced, wrapped in words, or cut in the middle."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from selfinstruct.types import Schema

_NUMBERING = re.compile(r"^\s*(?:(?:task|instruction)\s*)?\d{1,3}\s*[.):]\s+", re.IGNORECASE)
_QUOTES = (('"', '"'), ("“", "”"), ("'", "'"), ("「", "」"))  # noqa: RUF100
_DECODER = json.JSONDecoder(strict=False)


@dataclass(frozen=True, slots=True)
class Items:
    """The elements of a list that an answer holds, and the rest of it where the answer breaks off."""

    whole: tuple[Any, ...]
    broken: str = ""


def object_of(properties: Mapping[str, Any]) -> dict[str, Any]:
    """The JSON schema of an object with just these properties."""
    return {
        "type": "object",
        "properties": dict(properties),
        "required": list(properties),
        "additionalProperties": False,
    }


def schema_of(name: str, properties: Mapping[str, Any]) -> Schema:
    """The form of an answer that is such an object."""
    return Schema(name, object_of(properties))


def read_object(text: str) -> dict[str, Any] | None:
    """The first JSON object in a text, whatever stands around it; None when there is none that is whole.

    Nor is one looked for within what is nested too deeply: from each of its braces that would take as long again.
    """
    for start in (found.start() for found in re.finditer(r"\{(?=\s*[\"}])", text)):
        try:
            value, _ = _DECODER.raw_decode(text, start)
        except json.JSONDecodeError:
            continue
        except RecursionError:
            return None
        return value if isinstance(value, dict) else None
    return None


def read_items(text: str, key: str) -> Items | None:
    """The elements of the list named `key` in a JSON answer, or of a bare list; None when there is no such list.

    A list that breaks off gives its whole elements, and what is left of the last one as `broken`.
    """
    opening = re.search(rf'"{re.escape(key)}"\s*:\s*\[', text) or re.search(r"\[(?=\s*[{\"\]])", text)
    if opening is None:
        return None
    items: list[Any] = []
    place = opening.end()
    while True:
        place += len(text[place:]) - len(text[place:].lstrip(" \t\r\n,"))
        if place >= len(text):
            return Items(tuple(items))
        if text[place] == "]":
            return Items(tuple(items))
        try:
            value, place = _DECODER.raw_decode(text, place)
        except (json.JSONDecodeError, RecursionError):
            return Items(tuple(items), text[place:])
        items.append(value)


def tidy_instruction(text: str) -> str:
    """An instruction without the numbering or the quotation marks that a model put around the whole of it."""
    tidied = _NUMBERING.sub("", text.strip()).strip()
    for opening, closing in _QUOTES:
        inner = tidied[1:-1]
        if len(tidied) > 2 and tidied.startswith(opening) and tidied.endswith(closing):
            if opening not in inner and closing not in inner:
                return inner.strip()
            break
    return tidied
