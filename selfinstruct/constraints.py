"""Constraints that a program can check: what is drawn for a task, how it is said, and whether an answer keeps to it.

Each kind claims some aspects of an answer, such as its length or its end; of two kinds that claim the same one, only
one is drawn, so that constraints of a task never contradict each other.
"""

from __future__ import annotations

import json
import re
import tomllib
from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import dataclass
from functools import cache
from importlib import resources
from random import Random
from typing import Any

from selfinstruct.types import Constraint

Arguments = Mapping[str, Any]
LANGUAGES = ("en", "de", "zh")
"""Those in which constraints are said."""
_WORD = re.compile(r"[\u3400-\u9fff]|[^\W_\u3400-\u9fff]+(?:['’-][^\W_\u3400-\u9fff]+)*")
_SENTENCE_END = re.compile(r"[.!?](?=[\s\"'”’)*]|$)|[。！？]")
_MARKS = " \t\r\n\"'“”‘’„*_#.,:;!?。，！？：；"
_WORDS = {
    "en": (("however", "today", "together", "simple", "often"), ("very", "important", "many", "also", "good")),
    "de": (("heute", "gemeinsam", "einfach", "oft", "deshalb"), ("sehr", "wichtig", "viele", "auch", "gut")),
    "zh": (("今天", "一起", "简单", "经常", "因此"), ("非常", "重要", "很多", "也", "好")),
}
"""By language: words that can be asked for almost anywhere, and some that come by themselves."""
_ENDS = {
    "en": ("That is all.", "More another day."),
    "de": ("Das ist alles.", "Mehr ein andermal."),
    "zh": ("就这些。",),
}


@dataclass(frozen=True, slots=True)
class Kind:
    """A kind of constraint."""

    claims: frozenset[str]
    """What of an answer it fixes."""
    draw: Callable[[Random, str], Arguments]
    """Its arguments, for a language."""
    holds: Callable[..., bool]
    """(answer, arguments by name) -> whether the answer keeps to it."""


def words_in(text: str) -> list[str]:
    """The words of a text; each Chinese character is one."""
    return _WORD.findall(text)


def sentences_in(text: str) -> list[str]:
    """The sentences of a text, ended by a mark or by the end of the text."""
    return [one for one in _SENTENCE_END.split(text) if words_in(one)]


def lines_of(text: str) -> list[str]:
    """The lines of a text that hold something."""
    return [one.strip() for one in text.splitlines() if one.strip()]


def count(text: str, word: str) -> int:
    """How often a text has a word, whatever its case; in Chinese, a piece of text."""
    if not word.isascii() and not word.islower():
        return text.count(word)
    return sum(one.casefold() == word.casefold() for one in words_in(text))


def _is_list(text: str, items: int, pattern: str) -> bool:
    found = [re.match(pattern, one) for one in lines_of(text)]
    marked = [one for one in found if one]
    numbers = [int(one[1]) for one in marked if one.groups()]
    return len(marked) == items and numbers in ([], [*range(1, items + 1)])


def _is_table(text: str, columns: int) -> bool:
    rows = lines_of(text)
    ruled = len(rows) > 1 and re.fullmatch(r"\|?(?:\s*:?-+:?\s*\|?)+", rows[1])
    return bool(ruled) and all(len(one.strip("|").split("|")) == columns for one in rows)


def _is_object(text: str, first: str, second: str) -> bool:
    try:
        found = json.loads(re.sub(r"^```(?:json)?\n|\n```$", "", text.strip()))
    except (ValueError, RecursionError):
        return False
    return isinstance(found, dict) and set(found) == {first, second}


def _is_alphabetical(text: str) -> bool:
    items = [one.lstrip("-*0123456789. ").casefold() for one in lines_of(text)]
    return len(items) > 2 and items == sorted(items)


def _one_of(**choices: tuple[Any, ...]) -> Callable[[Random, str], Arguments]:
    return lambda rng, _: {name: rng.choice(values) for name, values in choices.items()}


def _plain(*_: object) -> Arguments:
    return {}


def _a_word(place: int, **choices: tuple[Any, ...]) -> Callable[[Random, str], Arguments]:
    return lambda rng, language: {
        "word": rng.choice(_WORDS[language][place]), **{name: rng.choice(values) for name, values in choices.items()}
    }  # fmt: skip


def _kind(claims: str, draw: Callable[[Random, str], Arguments], holds: Callable[..., bool]) -> Kind:
    return Kind(frozenset(claims.split()), draw, holds)


KINDS: Mapping[str, Kind] = {
    "at_most_words": _kind(
        "length", _one_of(words=(30, 50, 80, 120)), lambda text, words: len(words_in(text)) <= words
    ),
    "at_least_words": _kind("length", _one_of(words=(40, 60, 100)), lambda text, words: len(words_in(text)) >= words),
    "words_between": _kind(
        "length",
        lambda rng, _: {"least": (least := rng.choice((20, 40, 60))), "most": 2 * least},
        lambda text, least, most: least <= len(words_in(text)) <= most,
    ),
    "at_most_characters": _kind(
        "length", _one_of(characters=(150, 250, 400)), lambda text, characters: len(text.strip()) <= characters
    ),
    "at_most_sentences": _kind(
        "length form", _one_of(sentences=(2, 3, 4)), lambda text, sentences: len(sentences_in(text)) <= sentences
    ),
    "sentences": _kind(
        "length form", _one_of(sentences=(2, 3, 4, 5)), lambda text, sentences: len(sentences_in(text)) == sentences
    ),
    "short_sentences": _kind(
        "form",
        _one_of(words=(10, 12, 15)),
        lambda text, words: all(len(words_in(one)) <= words for one in sentences_in(text)),
    ),
    "paragraphs": _kind(
        "form", _one_of(paragraphs=(2, 3)), lambda text, paragraphs: len(_paragraphs(text)) == paragraphs
    ),
    "one_line": _kind("form", _plain, lambda text: len(lines_of(text)) == 1),
    "bullets": _kind("form", _one_of(items=(3, 4, 5)), lambda text, items: _is_list(text, items, r"[-*] ")),
    "numbered": _kind(
        "form digits", _one_of(items=(3, 4, 5)), lambda text, items: _is_list(text, items, r"(\d+)[.)]\s?")
    ),
    "alphabetical": _kind("form begin end", _plain, _is_alphabetical),
    "labelled_steps": _kind(
        "form digits",
        _one_of(steps=(3, 4, 5)),
        lambda text, steps: _is_list(text, steps, r"(?:Step|Schritt|步骤)\s*(\d+)"),
    ),
    "table": _kind("form length begin end", _one_of(columns=(2, 3)), _is_table),
    "json_object": _kind(
        "form length begin end case words marks",
        _one_of(first=("answer", "title"), second=("reason", "details")),
        _is_object,
    ),
    "code_block": _kind(
        "form begin end", _plain, lambda text: bool(re.fullmatch(r"```\w*\n.*\n```", text.strip(), re.DOTALL))
    ),
    "heading": _kind("begin", _plain, lambda text: text.lstrip().startswith("# ")),
    "begins_with": _kind(
        "begin",
        _a_word(0),
        lambda text, word: text.strip(_MARKS).casefold().startswith(word.casefold()),
    ),
    "ends_with": _kind(
        "end",
        lambda rng, language: {"words": rng.choice(_ENDS[language])},
        lambda text, words: text.rstrip(" \n\t\"'*_”").casefold().endswith(words.casefold()),
    ),
    "ends_with_question": _kind("end", _plain, lambda text: text.rstrip(" \n\t\"'*_”").endswith(("?", "？"))),
    "postscript": _kind(
        "end form case", _plain, lambda text: bool(lines_of(text)) and _paragraphs(text)[-1].startswith("P.S.")
    ),
    "in_quotes": _kind(
        "begin end form", _plain, lambda text: bool(re.fullmatch(r'["“„«].+["”“»]', text.strip(), re.DOTALL))
    ),
    "lower_case": _kind("case", _plain, lambda text: text == text.lower()),
    "upper_case": _kind("case", _plain, lambda text: text == text.upper() and text != text.lower()),
    "includes": _kind("words", _a_word(0), lambda text, word: count(text, word) > 0),
    "word_times": _kind("words", _a_word(0, times=(2, 3)), lambda text, word, times: count(text, word) == times),
    "avoids": _kind("words", _a_word(1), lambda text, word: count(text, word) == 0),
    "avoids_letter": _kind(
        "words begin end", _one_of(letter=("w", "k", "v", "z")), lambda text, letter: letter not in text.casefold()
    ),
    "no_commas": _kind("marks", _plain, lambda text: not re.search("[,，、]", text)),
    "no_digits": _kind("digits", _plain, lambda text: not re.search(r"\d", text)),
    "numbers": _kind(
        "digits", _one_of(numbers=(2, 3)), lambda text, numbers: len(re.findall(r"\d+(?:[.,]\d+)*", text)) >= numbers
    ),
    "bold": _kind(
        "marks", _one_of(phrases=(1, 2, 3)), lambda text, phrases: len(re.findall(r"\*\*[^*\n]+\*\*", text)) >= phrases
    ),
}
IN_IFEVAL = (
    "at_most_words", "at_least_words", "at_most_sentences", "paragraphs", "bullets", "json_object", "postscript",
    "in_quotes", "lower_case", "upper_case", "includes", "word_times", "avoids", "ends_with", "no_commas", "bold",
)  # fmt: skip
"""Kinds that the benchmark IFEval (Zhou et al. 2023) asks for too, in whatever words."""


def draw(generator: Random, most: int, language: str, kinds: Iterable[str]) -> tuple[Constraint, ...]:
    """One to `most` constraints of these kinds, said in this language; no two of them claim the same."""
    said = _wordings()
    left = [name for name in kinds if language in said[name]]
    found: list[Constraint] = []
    for _ in range(generator.randint(1, most)):
        if not left:
            break
        name = generator.choice(left)
        arguments = KINDS[name].draw(generator, language)
        found.append(Constraint(name, arguments, said[name][language].format(**arguments)))
        left = [one for one in left if not KINDS[one].claims & KINDS[name].claims]
    return tuple(found)


def kinds_of(named: Iterable[str], left_out: Collection[str]) -> list[str]:
    """The kinds that are named, or all where none is, without those to be left out."""
    without = {*left_out, *(IN_IFEVAL if "ifeval" in left_out else ())}
    return [name for name in tuple(named) or KINDS if name not in without]


def missed(constraints: Iterable[Constraint], output: str) -> Constraint | None:
    """The first constraint that an output does not keep to; None where it keeps to all."""
    return next((one for one in constraints if not KINDS[one.name].holds(output, **one.arguments)), None)


@cache
def _wordings() -> Mapping[str, Mapping[str, str]]:
    return tomllib.loads(resources.files("selfinstruct").joinpath("constraints.toml").read_text("utf-8"))


def _paragraphs(text: str) -> list[str]:
    return [one.strip() for one in re.split(r"\n\s*\n", text.strip()) if one.strip()]
