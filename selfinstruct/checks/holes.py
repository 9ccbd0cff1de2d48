"""Holes of a template: places where somebody was meant to put something and did not."""

from __future__ import annotations

import regex

from selfinstruct.checks.word_lists import any_of, words

_NOUN = any_of("hole_nouns")
_HOLE_WORDS = (
    r"(?:(?:please\s+)?(?:insert|fill\s+in|paste)\s+[^\[\]<>{}]{1,80}"
    rf"|(?:please\s+)?(?:enter|add|write)\s+(?:your|the|an?|any|{_NOUN})\b[^\[\]<>{{}}]{{0,80}}"
    rf"|your\s+[^\[\]<>{{}}]{{1,60}}|{_NOUN}\s+(?:goes\s+)?here)"
)
_FILL_IN = regex.compile(
    rf"\[\s*{_HOLE_WORDS}\s*\](?!\()|<\s*{_HOLE_WORDS}\s*>|\{{\s*{_HOLE_WORDS}\s*\}}"
    r"|(?<!\w)\[(?-i:[a-z]+(?:_[a-z]+)+)\](?!\()"
    r"|[\[【]\s*(?:请)?(?:此处|在此)?(?:插入|填写|填入|输入|你的|您的)[^\]】\n]{1,40}[\]】]",
    regex.IGNORECASE,
)
_SIGNED = regex.compile(rf"\[(?=[\p{{Lu}}])(?:[\w'’]+\s+){{0,2}}(?i:{_NOUN})\](?!\()")
_CODE = regex.compile(r"```|\b(?:SELECT|FROM|def|function|return|import|var|const)\b[^\n]{0,200}?[(=;\[]")


def hole_to_fill(text: str) -> str | None:
    """The first hole that says so itself ("[insert topic]", "<your text>", "[user_name]"); None: there is none.

    Lists, comprehensions, markdown links and tokens such as "[MASK]" are no holes.
    """
    found = _FILL_IN.search(text)
    return found[0] if found else None


def hole_left_in(answer: str) -> str | None:
    """The first capitalised hole, such as "[Name]" or "[Product Name]", in an answer that is not code."""
    found = None if _CODE.search(answer) else _SIGNED.search(answer)
    return found[0] if found else None


def speaks_of_holes(text: str) -> bool:
    """Whether the text is about templates or placeholders, so that holes are its subject."""
    return bool(words("about_templates").search(text))
