"""Several tasks, or the remains of a longer answer, in what should be one text."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable

import regex

from selfinstruct.filters.wording import Fault, excerpt

_TASK_VERBS = (
    "analy[sz]e|brainstorm|calculate|classify|compare|compile|compose|create|define|describe|design|develop|discuss|draft"
    "|explain|extract|find|generate|identify|imagine|invent|outline|paraphrase|plan|predict|rank|recommend|research"
    "|rewrite|solve|sort|suggest|summari[sz]e|translate|write"
)
_ITEM_WORDS = (
    f"{_TASK_VERBS}|answer|arrange|categori[sz]e|come|complete|compute|convert|correct|count|decide|design|detect|determine"
    "|edit|estimate|evaluate|fill|fix|give|list|make|name|propose|provide|rephrase|replace|simplify|tell"
    "|what|which|who|why|how|when|where|is|are|do|does|can|given"
)
_LABEL = regex.compile(
    r"(?:^|\n)[ \t>*]*+(?:#++\s*+)?(?:\d{1,3}\s*+[.)]\s*+)?\**+Instruction\s*+\d*+\**+\s*+:"
    r"|(?:^|\n)[ \t]*+#++\s*+Instruction\b"
    r"|(?:^|[\n.!?])[^\S\n]*+(?:#++\s*+)?\**+Task\s*+\d++\**+\s*+:"
    r"|\n[^\S\n]*+(?:#++\s*+)?\**+Task\**+\s*+:"
    r"|(?:^|[\n。！？])[^\S\n]*+(?:任务\s*+[0-9一二三四五六七八九十]*+|指令\s*+[0-9一二三四五六七八九十]*+)\s*+[:：]",
    regex.IGNORECASE,
)
"""Nothing is given back where a piece fails: a line of 60,000 stars would take minutes otherwise."""
_INPUT = regex.compile(r"(?:^|\n)[ \t]*+\**+Input\s*+\d*+\**+\s*+:", regex.IGNORECASE)
_OUTPUT = regex.compile(r"\n[ \t]*+\**+Output\s*+\d*+\**+\s*+:", regex.IGNORECASE)
_INLINE = regex.compile(r"(?<=[.!?]\s)(?P<given>input)\s*+:|(?<=\s)output\s*+:", regex.IGNORECASE)
_LONGEST_INLINE = 2000
"""Characters between "input:" and "output:" of an example within a line."""
_EXAMPLE = regex.compile(r"\b(?:examples?|e\.g\.|for instance|format)\b|例如|示例|格式", regex.IGNORECASE)
_JSON = regex.compile(
    r"[\"“]\s*(?:instruction|is_classification|instances?|tasks)\s*[\"”]\s*:|\\\"(?:instruction|input|output)\\\"",
    regex.IGNORECASE,
)
_JSON_END = regex.compile(r"[\"”]\s*[}\]]+[\s,}\]]*$")
_ITEM = regex.compile(
    rf"(?:^|\n|(?<=[.!?])[ \t])[ \t]*(?:\d{{1,2}}[.)][ \t]*)(?P<task>(?:please\s+)?(?:{_ITEM_WORDS})\b[^\n]*)"
    r"|(?:^|\n|(?<=[。！？]))[ \t]*(?:\d{1,2}[.、．)）][ \t]*)(?P<task>\p{Han}[^\n]*)",
    regex.IGNORECASE,
)
_RUN_ON = regex.compile(r"(?<=[.!?])[ \t]+(?:[2-9]|[1-9]\d)[.)][ \t]+\p{Lu}[^\n]*")
"""A list that ran on behind a finished sentence: "... in two lines. 8. Next the"."""
_FIRST_STEP = regex.compile(r"(?:^|\s)1[.)、．）]")
_PARAGRAPHS = regex.compile(r"\n[ \t]*\n\s*")
_COMMAND = regex.compile(rf"(?:please\s+)?(?:{_TASK_VERBS})\b", regex.IGNORECASE)
_REFERS_BACK = regex.compile(
    r"\b(?:it|its|them|their|this|that|these|those|each|above|the\s+(?:same|first|second|story|text|poem|result|answer))\b",
    regex.IGNORECASE,
)


def own_instance(text: str) -> str | None:
    """The text from a line "Input:" on that a line "Output:" follows; None: there is no such pair."""
    given = _INPUT.search(text)
    return text[given.start() :] if given and _OUTPUT.search(text, given.end()) else None


def merged_tasks() -> Callable[[str], Fault | None]:
    """A check that finds several tasks in one instruction, and debris around one, `merged_tasks`.

    That is: numbered items that are instructions or questions themselves, unless a colon announces them or they are
    further steps ("1. Read it. 2. Explain it."); labels of a prompt ("Task 2:", "Instruction:", "Input:" followed by
    "Output:"); pieces of JSON; a second command that has a paragraph of its own and does not refer back. "List 3 tips"
    and instructions of several sentences are one task.
    """

    def check(text: str) -> Fault | None:
        found = _label(text) or _json(text) or _numbered(text) or _second_command(text)
        return Fault("merged_tasks", f'"{excerpt(found)}"') if found else None

    return check


def _label(text: str) -> str | None:
    if found := _LABEL.search(text):
        return text[found.start() :]
    if _EXAMPLE.search(text):
        return None
    return _inline_instance(text) or own_instance(text)


def _inline_instance(text: str) -> str | None:
    """The text from the first "input:" behind a sentence to an "output:" that follows soon enough."""
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


def _json(text: str) -> str | None:
    if found := _JSON.search(text):
        return text[found.start() :]
    found = _JSON_END.search(text[-200:])
    unbalanced = text.count("{") + text.count("[") < text.count("}") + text.count("]")
    return found[0] if found and unbalanced else None


def _numbered(text: str) -> str | None:
    run_on = _RUN_ON.search(text)
    if run_on and not _FIRST_STEP.search(text[: run_on.start()]):
        return run_on[0]
    items = list(_ITEM.finditer(text))
    if not items:
        return None
    before = text[: items[0].start()].rstrip()
    if before.endswith((":", "：")) or _FIRST_STEP.search(before) or (not before and len(items) == 1):
        return None
    return items[-1][0]


def _second_command(text: str) -> str | None:
    first, *others = _PARAGRAPHS.split(text.strip())
    if not _COMMAND.match(first) or first.endswith((":", "：")):
        return None
    return next((other for other in others if _COMMAND.match(other) and not _REFERS_BACK.search(other)), None)
