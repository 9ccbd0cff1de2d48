"""What a server says in the body of an error, whatever form it gave it: OpenAI's, others' JSON, HTML or plain text."""

from __future__ import annotations

import html
import json
import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from selfinstruct.types import storable

_LONGEST = 500
_READ = 100_000
_DEEPEST = 8
_MESSAGES = (
    "message", "detail", "msg", "error_msg", "error_message", "error_description", "error", "errors", "details",
    "title", "reason", "description",
)  # fmt: skip
"""Where the words for people may stand, the first that is there first."""
_TOLD = frozenset(
    (*_MESSAGES, "code", "type", "status", "error_code", "error_type", "reasons", "innererror", "violations", "quotaid",
     "metadata", "raw", "retrydelay", "cause")
)  # fmt: skip
"""Keys under which a server speaks of the error. Others may repeat what it was asked, or what the model wrote."""
_URL = re.compile(r"\b(https?|www)[:.]\S+")
_TITLE = re.compile(r"<(title|h1)\b[^<>]*>([^<]*)<", re.IGNORECASE)
_TAG = re.compile(r"<(?:style|script)\b[^<]*</|<[^<>]*>", re.IGNORECASE)
_WAIT = re.compile(
    r"(?:try again|retry|retrydelay|wait)\W+(?:in |after |for )?"
    r"(?:(\d+)h)?(?:(\d+)m(?!s|in))?(?:(\d+(?:\.\d+)?) ?(ms|min|hour|s\b|sec))?"
)
_UNITS_S = {"ms": 0.001, "min": 60.0, "hour": 3600.0}


@dataclass(frozen=True, slots=True)
class Said:
    """An error in the server's own words."""

    message: str
    """For people, on one line of bearable length; empty: it says nothing."""
    param: str | None
    """The parameter it complains of."""
    code: str
    """A name for the error, such as `insufficient_quota`; empty where it has none but a number."""
    words: str
    """Whatever it says of the error, in small letters and without addresses of web pages, to look for marks in."""

    @property
    def wait_s(self) -> float | None:
        """How long it asks to wait in words, in seconds; None: it does not."""
        found = next((one for one in _WAIT.finditer(self.words) if any(one.groups())), None)
        if found is None:
            return None
        hours, minutes, seconds, unit = found.groups()
        return int(hours or 0) * 3600.0 + int(minutes or 0) * 60.0 + float(seconds or 0) * _UNITS_S.get(unit, 1.0)


def said(content: bytes) -> Said:
    """What the body of an error says."""
    text = content[:_READ].decode("utf-8", "replace")
    try:
        body = json.loads(text)
    except (ValueError, RecursionError):
        body = None
    if not isinstance(body, dict | list | str):
        message = _line(_of_html(text) if text.lstrip()[:1] == "<" else text)
        return Said(message, None, "", _marks([message]))
    message = _line(_message(body))
    error = _error(body)
    param = error.get("param")
    code = error.get("code")
    name = storable(code[:100]) if isinstance(code, str) and not code.isdigit() else ""
    return Said(message, param if isinstance(param, str) else _place(body), name, _marks(_told(body)))


def _line(text: str) -> str:
    return " ".join(storable(text).split())[:_LONGEST]


def _marks(texts: Iterator[str] | list[str]) -> str:
    return _URL.sub(" ", " ".join(" ".join(texts).lower().split())[: 8 * _LONGEST])


def _of_html(text: str) -> str:
    """The title of a page, or its first words."""
    titles = [title for _, title in _TITLE.findall(text) if title.strip()]
    return html.unescape(titles[0] if titles else _TAG.sub(" ", text))


def _error(body: Any) -> dict[str, Any]:
    """The object that tells of the error."""
    while isinstance(body, list) and body:
        body = body[0]
    inner = body.get("error") if isinstance(body, dict) else None
    found = inner if isinstance(inner, dict) else body
    return found if isinstance(found, dict) else {}


def _message(value: Any, depth: int = 0) -> str:
    if depth > _DEEPEST:
        return ""
    if isinstance(value, str):
        inner = _inside(value)
        return value if inner is None else _message(inner, depth + 1) or value
    if isinstance(value, list):
        return next((found for one in value[:8] if (found := _message(one, depth + 1))), "")
    if not isinstance(value, dict):
        return ""
    by_name = {str(key).lower(): inner for key, inner in value.items()}
    found = next((text for name in _MESSAGES if (text := _message(by_name.get(name), depth + 1))), "")
    upstream = by_name.get("metadata")
    raw = _message(upstream.get("raw"), depth + 1) if isinstance(upstream, dict) else ""
    return f"{found}: {raw}" if raw else found


def _told(value: Any, depth: int = 0) -> Iterator[str]:
    """All that is said of the error, at any depth."""
    if depth > _DEEPEST:
        return
    if isinstance(value, str):
        inner = _inside(value)
        if inner is None:
            yield value
        else:
            yield from _told(inner, depth + 1)
    elif isinstance(value, int | float):
        yield str(value)[:20]
    elif isinstance(value, list):
        for one in value[:20]:
            yield from _told(one, depth + 1)
    elif isinstance(value, dict):
        for key, inner in value.items():
            name = str(key).lower()
            if name in _TOLD:
                if name == "retrydelay":
                    yield "retrydelay"
                yield from _told(inner, depth + 1)


def _inside(text: str) -> Any:
    """The JSON that a gateway has put into a text; None: it is only a text."""
    if text.lstrip()[:1] not in {"{", "["}:
        return None
    try:
        found = json.loads(text)
    except (ValueError, RecursionError):
        return None
    return found if isinstance(found, dict | list) else None


def _place(body: Any) -> str | None:
    """The parameter that FastAPI's list of faults names."""
    details = body.get("detail") if isinstance(body, dict) else None
    first = details[0] if isinstance(details, list) and details else None
    place = first.get("loc") if isinstance(first, dict) else None
    return str(place[-1]) if isinstance(place, list) and place else None
