"""Holes of a template: places where somebody was meant to put something and did not."""

from __future__ import annotations

import regex

_NOUN = (
    r"(?:topic|subject|theme|names?|title|text|word|sentence|paragraph|article|language|number|date|time|location|city|"
    r"country|company|product|person|place|event|position|job|industry|item|object|animal|author|book|movie|keyword|"
    r"input|link|url|address|phone|email|recipient|sender|client|customer|amount|details?)"
)
_HOLE_WORDS = (
    r"(?:"
    r"(?:please\s+)?(?:insert|fill\s+in|paste)\s+[^\[\]<>{}]{1,80}"
    r"|(?:please\s+)?(?:enter|add|type|put|provide|include|write|specify)\s+"
    rf"(?:your|the|an?|any|{_NOUN})\b[^\[\]<>{{}}]{{0,80}}"
    r"|your\s+[^\[\]<>{}]{1,60}"
    rf"|{_NOUN}\s+(?:goes\s+)?here"
    r"|something\s+here"
    r")"
)
_FILL_IN = regex.compile(
    rf"\[\s*{_HOLE_WORDS}\s*\](?!\()|<\s*{_HOLE_WORDS}\s*>|\{{\s*{_HOLE_WORDS}\s*\}}"
    r"|[\[【（(<《{]\s*(?:请)?(?:在?此处?|在这里|这里)?(?:插入|填写|填入|输入)[^\]】）)>》}\n]{1,40}[\]】）)>》}]"
    r"|[\[【]\s*(?:你|您)的[^\]】\n]{1,20}[\]】]",
    regex.IGNORECASE,
)
_NAMED = regex.compile(
    rf"\[\s*(?:[\w'’]+\s+){{0,2}}{_NOUN}\s*\](?!\()|(?<![\w\\^_}}$'\"]){{{{?\s*(?:[\w]+[\s_])?{_NOUN}\s*}}?}}",
    regex.IGNORECASE,
)
_SIGNED = regex.compile(rf"\[(?=[\p{{Lu}}])(?:[\w'’]+\s+){{0,2}}(?i:{_NOUN})\](?!\()")
_CODE = regex.compile(r"```|\b(?:SELECT|FROM|def|function|return|import|var|const)\b[^\n]{0,200}?[(=;\[]")
_ABOUT_HOLES = regex.compile(
    r"\b(?:placeholders?|templates?|fill[\s-]+in|brackets?|format\s+strings?|f-strings?|variables?|mad\s*libs?|mask\w*)\b"
    r"|\banonymi[sz]|占位|模板|填空|方括号|变量",
    regex.IGNORECASE,
)


def hole_to_fill(text: str) -> str | None:
    """The first hole that says so itself ("[insert topic]", "<your text>", "[Your Name]"); None: there is none.

    Lists, comprehensions, markdown links and tokens such as "[MASK]" are no holes.
    """
    found = _FILL_IN.search(text)
    return found[0] if found else None


def named_hole(text: str) -> str | None:
    """The first hole that only names what belongs there, such as "[topic]", "{language}" or "[Company Name]"."""
    found = _NAMED.search(text)
    return found[0] if found else None


def hole_left_in(answer: str) -> str | None:
    """The first capitalised hole, such as "[Name]" or "[Product Name]", in an answer that is not code."""
    found = None if _CODE.search(answer) else _SIGNED.search(answer)
    return found[0] if found else None


def speaks_of_holes(text: str) -> bool:
    """Whether the text is about templates or placeholders, so that holes are its subject."""
    return bool(_ABOUT_HOLES.search(text))
