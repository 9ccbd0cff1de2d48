"""Instructions that end in the middle."""

from __future__ import annotations

import regex

from selfinstruct.checks.faults import Fault, reject
from selfinstruct.checks.word_lists import words
from selfinstruct.checks.wording import excerpt, quoted

_COMMAS = tuple(",،、，;；")
_ANSWER_LABEL = regex.compile(r"(?:^|[.?!]\s+|\n\s*)(?:answer|output|translation|result)\s*+[:：]$", regex.IGNORECASE)
_ELLIPSIS = regex.compile(r"(?:(?<!\.)\.{3,}|(?<!…)…+)$")
_OPEN_QUOTE = regex.compile(r'(?:^|[\s(\[])"(?=[\p{L}\p{N}])')
_NAMED_END = regex.compile(r"(?:^|\s)(?P<word>called|considered\s+to\s+be|(?:known|referred\s+to|defined)\s+as)[.]?$")
_OPEN_WORD = regex.compile(r"(?:\w+ ){3}(?P<word>an?|the|and|my|your)$")
_MAY_BE_OPEN = ("called", "be", "as", "a", "an", "the", "and", "my", "your")
"""How a text ends in which one of these two is found, but for a full stop."""
_ASKED_FOR = regex.compile(r"\b(?:what|how|which|who|whom|whatever)\b", regex.IGNORECASE)


def unfinished(text: str) -> Fault | None:
    """`unfinished` for a text that ends in the middle.

    That is: a comma; a colon that announces nothing ("the following sentence:" announces the input, "Answer:" the
    answer); an open quotation mark; an ellipsis where nothing is to be completed; "that is considered to be a".
    """
    text = text.rstrip()
    found = _open_end(text) or _open_quote(text) or _open_name(text)
    return reject("unfinished", found) if found else None


def _open_end(text: str) -> str | None:
    tail = excerpt(text[-40:])
    if text.endswith(_COMMAS):
        return f'ends "{tail}"'
    if text.endswith((":", "：")) and not words("announces").search(text) and not _ANSWER_LABEL.search(text[-60:]):
        return f'nothing follows "{tail}"'
    dots = _ELLIPSIS.search(text) if text.endswith(("...", "…")) else None
    if dots is None or words("to_complete").search(text):
        return None
    goes_on = text[: dots.start()].rstrip(" ,")[-1:].isdigit()  # a sequence, such as "1, 4, 7, ..."
    return None if goes_on else f'ends "{tail}"'


def _open_quote(text: str) -> str | None:
    if "„" not in text and text.count("“") > text.count("”") + text.count('"'):
        return f'"“" is not closed: {quoted(text[text.rindex("“") :][:60])}'
    opened = list(_OPEN_QUOTE.finditer(text)) if text.count('"') % 2 else []
    if opened and opened[-1].end() == text.rindex('"') + 1:
        return f"a quotation is not closed: {excerpt(text[opened[-1].start() :][:60])}"
    return None


def _open_name(text: str) -> str | None:
    if not text.removesuffix(".").endswith(_MAY_BE_OPEN):
        return None
    found = _NAMED_END.search(text)
    if found and _ASKED_FOR.search(text[: found.start()]):
        return None
    found = found or _OPEN_WORD.search(text)
    return f'ends with "{found["word"]}"' if found else None
