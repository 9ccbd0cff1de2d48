"""Checks of instructions by themselves, and beside the demonstrations of their request."""

from __future__ import annotations

import unicodedata
from collections.abc import Callable, Iterable

import regex

from selfinstruct.checks.faults import Fault, reject
from selfinstruct.checks.holes import hole_to_fill, speaks_of_holes
from selfinstruct.checks.word_lists import words
from selfinstruct.checks.wording import ASCII_WORD, LONGEST_WORD, UNSPACED, comparable, quoted, word_count
from selfinstruct.diversity.verbs import asks
from selfinstruct.similarity.tokens import visible

InstructionCheck = Callable[[str], Fault | None]
"""A check of an instruction's text that has bound its settings."""

_FITS_AT_THE_START = frozenset("¿¡")
_QUOTES = {"《": "》", "「": "」", "『": "』", "“": "”", "„": "“", "«": "»", "‘": "’", "〈": "〉", '"': '"'}
_WORD = r"\p{L}\p{N}\p{M}_"

_BLANK = regex.compile(r"_{3,}|＿{2,}")
_IS_GIVEN = regex.compile(
    r"\b(?:your\s+(?:task|job|goal)\s+is|you\s+(?:are|have\s+been)\s+(?:asked|assigned)|(?:am\s+going|want)\s+to\s+ask\s+you)\s+to\b"
    r"|\s[-–—]\s+solve\b",
    regex.IGNORECASE,
)
"""A request in the words of a teacher: "You are given an array, and your task is to sort it."."""


def starts_with_punctuation(text: str) -> Fault | None:
    """`starts_with_punctuation` for a mark or symbol as the first character.

    As in Wang et al. 2022, and for all of Unicode. "¿" and "¡" are fine, and so is a quotation that closes before the
    end: "《红楼梦》的作者是谁？".
    """
    stripped = text.strip()
    first = stripped[:1]
    if not first or unicodedata.category(first)[0] not in "PS" or first in _FITS_AT_THE_START:
        return None
    if first in _QUOTES and _QUOTES[first] in stripped[1:-1]:
        return None
    return reject("starts_with_punctuation", quoted(stripped, 20))


def too_short(min_words: int) -> InstructionCheck:
    """A check that finds texts of fewer words, `too_short`; `word_count` says what a word is."""

    def check(text: str) -> Fault | None:
        count = word_count(text)
        said = f"{float(count):.1f} words, at least {min_words} wanted"
        return reject("too_short", said) if count < min_words else None

    return check


def too_long(max_words: int) -> InstructionCheck:
    """A check that finds texts of more words, `too_long`; `word_count` says what a word is.

    Signs that are no words count by their characters, so that no line of stars is short.
    """
    most = max_words * LONGEST_WORD

    def check(text: str) -> Fault | None:
        if len(text) > most:
            return reject("too_long", f"{len(text):,} characters, at most {most:,} wanted")
        count = word_count(text)
        said = f"{float(count):.1f} words, at most {max_words} wanted"
        return reject("too_long", said) if count > max_words else None

    return check


def blocked_words(blocked: Iterable[str]) -> InstructionCheck:
    """A check that finds the words as whole words in any case, `blocked_words`.

    White space in an entry matches any white space. Where an entry begins or ends with a letter of a script that does
    not separate words, it matches within longer ones there.
    """
    entries = sorted({" ".join(unicodedata.normalize("NFKC", visible(word)).split()) for word in blocked} - {""})
    if not entries:
        return lambda text: None
    pattern = regex.compile("|".join(_whole(entry) for entry in entries), regex.IGNORECASE)

    first_words = {word for entry in entries for word in ASCII_WORD.findall(entry.lower())[:1]}
    if any(entry.isascii() and not ASCII_WORD.match(entry.lower()) for entry in entries):
        first_words = set()  # an entry that begins with a symbol cannot be looked up as a word

    def check(text: str) -> Fault | None:
        if first_words and text.isascii() and first_words.isdisjoint(ASCII_WORD.findall(text.lower())):
            return None  # most texts, quickly
        found = pattern.search(unicodedata.normalize("NFKC", visible(text)))
        return reject("blocked_words", quoted(found[0])) if found else None

    return check


def no_request(text: str) -> Fault | None:
    """`no_request` for an English text that neither orders nor asks anything."""
    return None if asks(text) or _IS_GIVEN.search(text) else reject("no_request", quoted(text))


def placeholder(text: str) -> Fault | None:
    """`placeholder` for an instruction that is a template with a hole: "[insert topic]", "<your text>".

    Holes are fine where the text is about templates, and a blank where something is to be filled in or completed.
    """
    if (hole := hole_to_fill(text)) and not speaks_of_holes(text):
        return reject("placeholder", quoted(hole))
    if (blank := _BLANK.search(text)) and not words("about_blanks").search(text):
        return reject("placeholder", quoted(blank[0]))
    return None


def copy_of_demonstration(text: str, demonstrations: Iterable[str]) -> Fault | None:
    """`copy_of_demonstration` if the text has the same words as an instruction shown in the request.

    Case, compatibility forms, punctuation and white space do not count.
    """
    key = comparable(text)
    shown = next((demonstration for demonstration in demonstrations if comparable(demonstration) == key), None)
    return None if shown is None else reject("copy_of_demonstration", f"shown: {quoted(shown)}")


def _whole(entry: str) -> str:
    body = r"\s+".join(regex.escape(part) for part in entry.split(" "))
    before = "" if regex.match(f"[{UNSPACED}]", entry[0]) else f"(?<![{_WORD}])"
    after = "" if regex.match(f"[{UNSPACED}]", entry[-1]) else f"(?![{_WORD}])"
    return before + body + after
