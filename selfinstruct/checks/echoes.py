"""Rows that repeat what the model was shown: a sentence of a prompt, or an instance of a seed."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from functools import lru_cache
from itertools import pairwise

import regex

from selfinstruct.checks.faults import Fault, reject
from selfinstruct.checks.wording import ASCII_WORD, comparable, quoted
from selfinstruct.types import Task

_WORD = regex.compile(r"[\p{L}\p{N}]+")
_ECHOED, _COPIED = 8, 5
"""Words in a row of a prompt; words of an instance."""


def prompt_echo(text: str, prompts: Mapping[str, str]) -> Fault | None:
    """`prompt_echo` for a text with eight words in a row of a prompt."""
    words = _words(text)
    known = _runs(tuple(prompts.values()))
    for start, pair in enumerate(pairwise(words)):
        if pair in known and tuple(words[start : start + _ECHOED]) in known[pair]:
            return reject("prompt_echo", f'a prompt says "{" ".join(words[start : start + _ECHOED])}"')
    return None


def copied_instance(given: str, output: str, seeds: Sequence[Task]) -> Fault | None:
    """`copied_instance` for an input or output of five words or more that is one of a seed."""
    known = _instances(_ById(seeds))
    for field, text in (("input", given), ("output", output)):
        if len(_words(text)) >= _COPIED and comparable(text) in known:
            return reject("copied_instance", f"the {field} is that of a seed: {quoted(text)}")
    return None


@lru_cache(maxsize=8)
def _runs(prompts: tuple[str, ...]) -> dict[tuple[str, ...], set[tuple[str, ...]]]:
    """All that is eight words long, by its first two."""
    known: dict[tuple[str, ...], set[tuple[str, ...]]] = defaultdict(set)
    for words in (_words(line) for prompt in prompts for line in prompt.splitlines()):
        for start in range(len(words) - _ECHOED + 1):
            run = tuple(words[start : start + _ECHOED])
            known[run[:2]].add(run)
    return known


class _ById:
    """Seeds as the key of a cache: a pool has many, and they stay the same."""

    def __init__(self, seeds: Sequence[Task]) -> None:
        self.seeds = seeds

    def __hash__(self) -> int:
        return id(self.seeds)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, _ById) and self.seeds is other.seeds


@lru_cache(maxsize=2)
def _instances(key: _ById) -> frozenset[str]:
    found = (text for seed in key.seeds for one in seed.instances for text in (one.input, one.output))
    return frozenset(comparable(text) for text in found if len(_words(text)) >= _COPIED)


def _words(text: str) -> list[str]:
    text = text.lower()
    return (ASCII_WORD if text.isascii() else _WORD).findall(text)
