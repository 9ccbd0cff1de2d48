"""What many rules need: how long a text is in any script, what makes it broken, and when two say the same."""

from __future__ import annotations

import re
import string
import unicodedata
from fractions import Fraction
from functools import lru_cache

import regex

from selfinstruct.checks.faults import Fault, reject
from selfinstruct.similarity.tokens import visible

UNSPACED = r"\p{Han}\p{Hiragana}\p{Katakana}\p{Bopomofo}ー\p{Hangul}\p{Thai}\p{Lao}\p{Khmer}\p{Myanmar}"
"""Inside of a character class: letters of scripts in which white space does not separate words, or not only words."""

_HAN_AND_KANA = regex.compile(r"[\p{Han}\p{Hiragana}\p{Katakana}\p{Bopomofo}ー]")
_HANGUL = regex.compile(r"\p{Hangul}")
_SOUTH_EAST_ASIAN = regex.compile(r"[\p{Thai}\p{Lao}\p{Khmer}\p{Myanmar}]+")
_GRAPHEME = regex.compile(r"\X")
_UNSPACED = regex.compile(f"[{UNSPACED}]")
_HAS_CONTENT = regex.compile(r"[\p{L}\p{N}\p{S}]")
LONGEST_WORD = 40
ASCII_WORD = re.compile(r"[a-z0-9]+")
"""A word of ASCII text in lower case, found several times as fast as by `regex` and its classes."""

_CONTROL = regex.compile(r"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x84\x86-\x9f]|\r(?!\n)|[\ud800-\udfff]")
_SPACE = r"(?:\r\n|[^\S\r\x0b\x0c\x1c-\x1f])"
_GAP = regex.compile(rf"({_SPACE}{{20}}){_SPACE}+")
_MAY_HAVE_GAP = re.compile(r"\s{20}")
_REPLACEMENT = regex.compile(r"\ufffd+")
_MAY_BE_BROKEN = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\ud800-\udfff\ufffd]")
"""`re` passes over a text that has none of one set of characters ten times as fast as `regex` over several patterns."""
_ASCII_PUNCTUATION = {ord(c): None for c in string.punctuation if unicodedata.category(c).startswith("P")}


@lru_cache(maxsize=8)
def word_count(text: str) -> Fraction | int:
    """How many words a text has, exactly, for texts in any mix of scripts.

    Words between white space count one each, punctuation that stands alone counts nothing. Where white space does not
    separate words, characters count: Han and kana 2/3 of a word each ("解释这个成语。" is 4 words long, "排序。" 4/3),
    Hangul syllables 1/2 (a Korean word carries its particles), Thai, Lao, Khmer and Myanmar graphemes 2/5. A run of
    more than 40 characters counts one word for each 40 begun, so that no text is short by having no spaces.
    """
    if text.isascii():
        return _words(text)
    graphemes = sum(len(_GRAPHEME.findall(run)) for run in _SOUTH_EAST_ASIAN.findall(text))
    unspaced = (
        Fraction(2, 3) * len(_HAN_AND_KANA.findall(text))
        + Fraction(1, 2) * len(_HANGUL.findall(text))
        + Fraction(2, 5) * graphemes
    )
    return unspaced + _words(_UNSPACED.sub(" ", text))


def _words(text: str) -> int:
    words = text.split()
    odd = [word for word in words if len(word) > LONGEST_WORD or not word[0].isalnum()]
    counted = [-(-len(word) // LONGEST_WORD) for word in odd if word[0].isalnum() or _HAS_CONTENT.search(word)]
    return len(words) - len(odd) + sum(counted)


def plain(text: str) -> str:
    """The text as rules look at it: without what nobody sees, and with long white space cut to its first characters.

    A soft hyphen must not hide a word from a rule, and many patterns take quadratic time to find that nothing is
    in white space. Control characters stay.
    """
    text = visible(text)
    return _GAP.sub(r"\1", text) if _MAY_HAVE_GAP.search(text) else text


def broken_text(text: str) -> Fault | None:
    """`broken_text` for NUL, lone surrogates, other control characters and what bad decoding leaves.

    Tab, newline, CR LF and NEL are white space. U+FFFD counts wherever it stands, since it is also what
    NUL and lone surrogates become on their way in.
    """
    if not _MAY_BE_BROKEN.search(text):
        return None
    if control := _CONTROL.search(text):
        return reject("broken_text", f"U+{ord(control[0]):04X} at character {control.start()}")
    if replaced := _REPLACEMENT.search(text):
        return reject("broken_text", f"U+FFFD at character {replaced.start()}")
    return None


def excerpt(text: str, limit: int = 80) -> str:
    """The text on one line, cut to a length that suits an evidence."""
    line = " ".join(text[: 4 * limit].split())
    return line if len(line) <= limit else line[: limit - 1] + "…"


def quoted(text: str, limit: int = 80) -> str:
    """An excerpt in quotation marks."""
    return f'"{excerpt(text, limit)}"'


def may_hold(text: str, *words: str) -> bool:
    """Whether a pattern in any case that needs one of these lower-case words can match: False is certain, and quick."""
    lower = text.lower()
    return not text.isascii() or any(word in lower for word in words)


@lru_cache(maxsize=512)
def comparable(text: str) -> str:
    """The text without case, compatibility forms, punctuation, white space and what nobody sees.

    Equal for the same words.
    """
    if text.isascii():
        together = "".join(text.lower().split())
        return together.translate(_ASCII_PUNCTUATION) or together
    folded = unicodedata.normalize("NFKC", unicodedata.normalize("NFKC", visible(text)).casefold())
    together = "".join(folded.split())
    punctuation = {ord(c): None for c in set(together) if unicodedata.category(c).startswith("P")}
    return together.translate(punctuation) or together
