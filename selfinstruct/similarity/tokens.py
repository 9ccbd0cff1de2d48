"""Texts as token sequences, for ROUGE-L in any script."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Callable

import regex

Tokenizer = Callable[[str], tuple[str, ...]]

_INVISIBLE = regex.compile(r"[\p{Default_Ignorable_Code_Point}\ufff9-\ufffb]+")
_ASCII_WORD = re.compile(r"[a-z0-9]+")
_TOKEN = regex.compile(
    r"""(?V1)
      [\p{Han}\p{Hiragana}\p{Katakana}\N{KATAKANA-HIRAGANA PROLONGED SOUND MARK}]   # one token a character
    | (?=[\p{Thai}\p{Lao}\p{Khmer}\p{Myanmar}]) \X                                   # one token a grapheme
    | [[\p{L}\p{N}]--[\p{Han}\p{Hiragana}\p{Katakana}\p{Thai}\p{Lao}\p{Khmer}\p{Myanmar}]]         # a word
      [[\p{L}\p{M}\p{N}\p{Default_Ignorable_Code_Point}]--[\p{Han}\p{Hiragana}\p{Katakana}\p{Thai}\p{Lao}\p{Khmer}\p{Myanmar}\p{Me}]]*
    """,
    regex.VERBOSE,
)


def visible(text: str) -> str:
    """The text without what nobody sees: zero-width characters, soft hyphens, marks of direction, selectors of form.

    For comparing alone, since some scripts and emoji need a few of these: Persian "می\u200cروم" becomes one word.
    """
    return text if str.isascii(text) else _INVISIBLE.sub("", text)


def tokenize(text: str) -> tuple[str, ...]:
    """The tokens of a text in any script; on ASCII text those of `rouge_score`.

    Words are runs of letters, digits and their marks, case-folded after NFKC. Han, Hiragana and Katakana give one token
    a character, Thai, Lao, Khmer and Myanmar one a grapheme, since these scripts do not separate words. A text without
    any such token gives its characters, so that it is never novel for having no tokens; white space alone gives none.
    Characters that nobody sees make no difference.
    """
    if text.isascii():
        return tuple(_ASCII_WORD.findall(text.lower())) or tuple("".join(text.split()))
    folded = unicodedata.normalize("NFKC", unicodedata.normalize("NFKC", visible(text)).casefold())
    return tuple(_TOKEN.findall(folded)) or tuple("".join(folded.split()))


def tokenize_as_rouge_score(text: str) -> tuple[str, ...]:
    """The tokens of `rouge_score` 0.1.2 without stemming: runs of a-z and 0-9, everything else lost."""
    return tuple(_ASCII_WORD.findall(text.lower()))


def pieces(text: str) -> list[tuple[int, int]]:
    """Where the tokens of a text lie in it, as (start, end) in characters; without any, each visible character."""
    found = [match.span() for match in _TOKEN.finditer(text)]
    return found or [(place, place + 1) for place, character in enumerate(text) if visible(character).strip()]


TOKENIZERS: dict[str, Tokenizer] = {"unicode": tokenize, "rouge_score": tokenize_as_rouge_score}
"""The choices of the setting `tokenizer`."""
