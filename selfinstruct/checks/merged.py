"""The remains of a longer answer in what should be one text."""

from __future__ import annotations

from collections import deque

import regex

from selfinstruct.checks.faults import Fault, reject
from selfinstruct.checks.wording import quoted

_INPUT = regex.compile(r"(?:^|\n)[ \t]*+\**+Input\s*+\d*+\**+\s*+:", regex.IGNORECASE)
_OUTPUT = regex.compile(r"\n[ \t]*+\**+Output\s*+\d*+\**+\s*+:", regex.IGNORECASE)
_INLINE = regex.compile(r"(?<=[.!?]\s)(?P<given>input)\s*+:|(?<=\s)output\s*+:", regex.IGNORECASE)
_LONGEST_INLINE = 2000
"""Characters between "input:" and "output:" of an example within a line."""
_EXAMPLE = regex.compile(r"\b(?:examples?|e\.g\.|for instance|format)\b|例如|示例|格式", regex.IGNORECASE)
_RUN_ON = regex.compile(r"(?:(?<=[.!?])[ \t]+|\n[ \t]*)(?:[2-9]|[1-9]\d)[.)][ \t]*\p{Lu}[^\n]*")
"""A list that ran on after a finished sentence: "... in two lines. 8. Next the"."""
_FIRST_STEP = regex.compile(r"(?:^|\s)1[.)]")


def own_instance(text: str) -> str | None:
    """The text from a line "Input:" on that a line "Output:" follows; None: there is no such pair."""
    given = _INPUT.search(text)
    return text[given.start() :] if given and _OUTPUT.search(text, given.end()) else None


def merged_tasks(text: str) -> Fault | None:
    """`merged_tasks` for the remains of an answer around an instruction.

    That is: an example of its own ("Input:" followed by "Output:"), or an item of a list that has no first item.
    "List 3 tips", numbered steps and instructions of several sentences are one task.
    """
    example = None if _EXAMPLE.search(text) else _inline_instance(text) or own_instance(text)
    found = example or _run_on(text)
    return reject("merged_tasks", quoted(found)) if found else None


def _inline_instance(text: str) -> str | None:
    """The text from the first "input:" after a sentence to an "output:" that follows soon enough."""
    begun: deque[regex.Match[str]] = deque()
    for found in _INLINE.finditer(text):
        if found["given"]:
            begun.append(found)
            continue
        while begun and found.start() - begun[0].end() > _LONGEST_INLINE:
            begun.popleft()
        if begun and found.start() - begun[0].end() > 1:
            return text[begun[0].start() : found.end()]
    return None


def _run_on(text: str) -> str | None:
    found = _RUN_ON.search(text)
    return found[0] if found and not _FIRST_STEP.search(text[: found.start()]) else None
