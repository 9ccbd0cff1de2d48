"""The names that people give to columns with instructions, inputs, answers and turns."""

from __future__ import annotations

import functools
import math
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

ASKED = ("instruction", "question", "prompt", "query", "problem", "request", "human", "user", "definition", "inquiry")
"""Names for what is asked, the likeliest first."""
GIVEN = (
    "input", "context", "inputs", "passage", "document", "article", "paragraph", "background", "material", "excerpt",
    "knowledge", "evidence", "snippet", "code", "sentence", "content", "text",
)  # fmt: skip
"""Names for an input. Where no column has a name of `ASKED`, one of these holds what is asked."""
ANSWERS = (
    "output", "response", "completion", "solution", "answer", "target", "reply", "targets", "chosen", "assistant",
    "gpt", "bot", "result", "generation", "outputs", "responses", "completions", "answers", "summary", "translation",
    "highlights", "ideal", "label",
)  # fmt: skip
_ENDINGS = frozenset({*ASKED[:6], *GIVEN[:7], *ANSWERS[:7]})
"""Last words of longer names, such as `query_context` and `model_output`."""
TURNS = ("messages", "conversations", "conversation", "dialogue", "dialog", "turns", "chat", "contents", "data")
SYSTEM = ("system", "system_prompt", "system_message", "system_instruction")
FLAG = "is_classification"
COMMON = ("id", "name", FLAG, "category")
"""Columns that are read in a row of any form."""

_OTHERS = frozenset((
    "system", "rejected", "negative", "bad", "wrong", "incorrect", "previous", "num", "number", "no", "avg", "mean",
    "raw", "original", "is", "has",
))  # fmt: skip
"""First words of names that mean something else, such as `system_response` and `rejected_response`."""
_ABOUT = frozenset((
    "id", "ids", "idx", "index", "uid", "uuid", "guid", "hash", "sha", "sha1", "sha256", "md5", "digest", "url", "uri",
    "link", "href", "source", "sources", "dataset", "datasets", "subset", "corpus", "config", "split", "fold", "file",
    "filename", "path", "license", "licence", "copyright", "lang", "langs", "language", "languages", "locale", "model",
    "models", "generator", "engine", "author", "authors", "annotator", "annotators", "worker", "contributor", "date",
    "time", "timestamp", "created", "updated", "modified", "at", "version", "score", "scores", "rating", "ratings",
    "reward", "rank", "quality", "helpfulness", "correctness", "coherence", "complexity", "verbosity", "difficulty",
    "level", "category", "categories", "subcategory", "topic", "topics", "domain", "domains", "subject", "field",
    "genre", "tag", "tags", "type", "types", "kind", "status", "state", "meta", "metadata", "info", "count", "counts",
    "token", "tokens", "length", "len", "words", "chars", "origin", "round", "parents", "recipe", "instance", "seed",
    "task", "tasks", "name", "names", "title", "country",
))  # fmt: skip
"""Last words of names of columns that describe a row and are no part of a task."""
_WORDS = re.compile(r"[^\W_]+")
_HUMP = re.compile(r"(?<=[a-z0-9])(?=[A-Z])")
_FORMS_OF_TEXT = frozenset({"text", "content", "value", "pretokenized", "string", "str"})


@dataclass(frozen=True, slots=True)
class Columns:
    """The names in a row by their possible meaning, each list with the likeliest first."""

    asked: tuple[str, ...]
    given: tuple[str, ...]
    answers: tuple[str, ...]
    turns: tuple[str, ...]
    whole: tuple[str, ...]
    """The chosen answer of a preference, which may hold the whole conversation."""
    systems: tuple[str, ...]
    common: Mapping[str, str]
    """The name in this row for `instances` and each of `COMMON`, where it has one."""

    def any(self) -> tuple[str, ...]:
        """All known names."""
        return (*self.asked, *self.given, *self.answers, *self.turns, *self.systems, *self.common.values())


@functools.lru_cache(maxsize=1024)
def columns_of(names: tuple[str, ...]) -> Columns:
    """The possible meanings of the columns of a row; case, spaces and hyphens in names do not count."""
    return Columns(
        _named(names, ASKED),
        _named(names, GIVEN),
        _named(names, ANSWERS),
        tuple(name for wanted in TURNS for name in names if plain(name) == wanted),
        tuple(name for name in names if plain(name) == "chosen"),
        tuple(name for wanted in SYSTEM for name in names if plain(name) == wanted),
        {wanted: name for wanted in ("instances", *COMMON) for name in reversed(names) if plain(name) == wanted},
    )


def _named(names: Iterable[str], wanted: tuple[str, ...]) -> tuple[str, ...]:
    ranks = {name: rank for name in names if (rank := _rank(name, wanted)) is not None}
    return tuple(sorted(ranks, key=lambda name: ranks[name]))


def _rank(name: str, wanted: tuple[str, ...]) -> tuple[bool, int, bool] | None:
    """The rank of a name among those wanted: exact names first, then names that end in one; None for others."""
    simple = plain(name)
    if simple in wanted:
        return False, wanted.index(simple), simple != name
    words = simple.split("_")
    if len(words) > 1 and words[-1] in _FORMS_OF_TEXT:
        words = words[:-1]
    if words[0] in _OTHERS or words[-1] not in wanted or words[-1] not in _ENDINGS:
        return None
    return True, wanted.index(words[-1]), True


@functools.lru_cache(maxsize=4096)
def plain(name: str) -> str:
    """A name in small letters with `_` between its words."""
    return "_".join(_WORDS.findall(_HUMP.sub("_", name))).casefold()


@functools.lru_cache(maxsize=4096)
def is_about(name: str) -> bool:
    """Does a column of this name describe the row, such as its source?"""
    words = plain(name).split("_")
    return words[-1] in _ABOUT or words[0] in {"num", "is", "has"}


def known(value: object) -> object:
    """The value, or None for the NaN that pandas writes for a missing one."""
    return None if isinstance(value, float) and math.isnan(value) else value


def is_text(value: object) -> bool:
    """Is this a text that is not blank?"""
    return isinstance(value, str) and bool(value.strip())


def chosen(fields: Mapping[str, object], names: Iterable[str]) -> str | None:
    """The first of these columns with a text, else with any value, else the first; None if there are no columns."""
    ordered = list(names)
    for fits in (is_text, lambda value: known(value) not in (None, "", []), lambda _: True):
        if (found := next((name for name in ordered if fits(fields[name])), None)) is not None:
            return found
    return None
