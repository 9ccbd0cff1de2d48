"""Tables of words by language, from the files in `word_tables/`, as patterns."""

from __future__ import annotations

import tomllib
from collections.abc import Mapping
from functools import lru_cache
from importlib import resources
from itertools import groupby
from typing import Any

import regex

_UNSPACED = regex.compile(r"[\p{Han}\p{Hiragana}\p{Katakana}]")


@lru_cache(maxsize=64)
def words(table: str) -> regex.Pattern[str]:
    """A pattern that finds the entries of a table as whole words, in any case and in all languages that have it."""
    return regex.compile(any_of(table), regex.IGNORECASE)


def any_of(table: str) -> str:
    """The same as a piece of a larger pattern.

    White space separates the entries. In an entry `_` stands for white space, `*` for any more letters, `(s)` for an s
    that may be missing, and `'` for either apostrophe.
    """
    entries = [entry for one in languages().values() for entry in one.get(table, "").split()]
    # `before` is written once for all entries that follow each other: with each, a search takes ten times as long
    runs = [f"{before}(?:{'|'.join(map(_pattern, run))})" for before, run in groupby(entries, _before)]
    return f"(?:{'|'.join(runs)})"


@lru_cache(maxsize=1)
def languages() -> Mapping[str, Mapping[str, str]]:
    """The tables by language, as ISO 639-1 code."""
    folder = resources.files("selfinstruct.checks") / "word_tables"
    read = {one.name.removesuffix(".toml"): one.read_text("utf-8") for one in folder.iterdir()}
    return {code: tomllib.loads(read[code]) for code in sorted(read)}


@lru_cache(maxsize=1)
def published() -> Mapping[str, Any]:
    """Numbers, addresses and tokens that everybody uses as examples."""
    return tomllib.loads((resources.files("selfinstruct.checks") / "published.toml").read_text("utf-8"))


def _pattern(entry: str) -> str:
    """The entry, up to the end of its last word."""
    body = regex.escape(entry, special_only=True)
    for written, meant in ((r"\(s\)", "s?"), (r"\*", r"\w*"), ("_", r"\s+"), ("'", "['’]")):
        body = body.replace(written, meant)
    after = r"(?!\w)" if _is_spaced(entry[-1]) or entry.endswith("(s)") else ""
    return body + after


def _before(entry: str) -> str:
    """What must stand before an entry: no letter, where words are written apart."""
    return r"(?<!\w)" if _is_spaced(entry[0]) else ""


def _is_spaced(character: str) -> bool:
    return character.isalnum() and not _UNSPACED.match(character)
