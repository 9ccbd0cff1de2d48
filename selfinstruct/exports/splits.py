"""The side of a split for each task: no row is like a row on another side, and no row ever changes sides."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from fractions import Fraction
from itertools import accumulate, islice
from typing import TypeVar

from selfinstruct.errors import ConfigError
from selfinstruct.own import in_words
from selfinstruct.similarity.index import Index

LIKE = "0.5"
"""Two rows with a higher ROUGE-L, on instruction plus input, are never on two sides."""
BRIDGES = "bridges_splits"
"""The reason for leaving out a task that is like tasks on two sides."""

_Item = TypeVar("_Item")
_NAME = re.compile(r"[A-Za-z0-9_]+", re.ASCII)
_FIRST = ("train", "validation", "test")
"""The order in which sides are drawn and listed; others follow, by name."""
_RESERVED = {"all"}
_BATCH = 256
_NOWHERE, _BRIDGES = 255, 254


@dataclass(frozen=True, slots=True)
class Split:
    """The sides of a split by name, each with its share of the tasks; shares add up to 1."""

    shares: Mapping[str, Fraction]

    @property
    def trained(self) -> str:
        """The side to train on: `train`, or the largest one if none has that name."""
        return "train" if "train" in self.shares else max(self.shares, key=self.shares.__getitem__)

    def drawn(self, task_id: str) -> int:
        """The number of the side of a task that is like no other, which follows from its id alone."""
        number = int.from_bytes(hashlib.sha256(task_id.encode("utf-8", "surrogatepass")).digest()[:8], "big")
        place = Fraction(number, 2**64)
        return next(side for side, bound in enumerate(accumulate(self.shares.values())) if place < bound)


def split_of(given: object) -> Split:
    """The split for a text such as `train=0.95,test=0.05`, or for a mapping of names to shares.

    The order of its parts makes no difference.

    Raises:
        ConfigError: it is neither.
    """
    text = ",".join(f"{name}={share}" for name, share in given.items()) if isinstance(given, Mapping) else given
    wanted = "wanted two or more names with shares that sum up to 1, such as train=0.95,test=0.05"
    if not isinstance(text, str):
        raise ConfigError(f"--split: {in_words(given)} given; {wanted}")
    shares: dict[str, Fraction] = {}
    for part in text.split(","):
        name, equals, share = (piece.strip() for piece in part.partition("="))
        try:
            number = Fraction(share)
        except (ValueError, ZeroDivisionError):
            number = Fraction(0)
        if not equals or not _NAME.fullmatch(name) or number <= 0:
            raise ConfigError(f"--split {text}: {part.strip()!r} is not NAME=SHARE; {wanted}")
        if name.casefold() in (known.casefold() for known in shares):  # the same file on some file systems
            raise ConfigError(f"--split {text}: {name} is there twice; {wanted}")
        if name.casefold() in _RESERVED:
            raise ConfigError(f"--split {text}: no side can have the name {name}, which stands for all; {wanted}")
        shares[name] = number
    if len(shares) < 2 or len(shares) > 16 or sum(shares.values()) != 1:
        raise ConfigError(f"--split {text}: {len(shares)} shares, together {float(sum(shares.values())):g}; {wanted}")
    return Split({name: shares[name] for name in sorted(shares, key=_order)})


def _order(name: str) -> tuple[int, str]:
    return (_FIRST.index(name) if name in _FIRST else len(_FIRST), name)


class Sides:
    """The sides of tasks, by position in the pool."""

    def __init__(self, names: Sequence[str]) -> None:
        self.names = tuple(names)
        self._sides = bytearray()

    def of(self, position: int) -> str | None:
        """The name of a task's side; None if the task is like tasks on two sides."""
        side = self._sides[position]
        return None if side == _BRIDGES else self.names[side]

    def put(self, position: int, side: int | None) -> None:
        """Store the side of the next task; None if it is like tasks on two sides."""
        self._sides += bytes([_NOWHERE]) * (position - len(self._sides))
        self._sides.append(_BRIDGES if side is None else side)


def walk(tasks: Iterable[tuple[int, str, Sequence[str]]], split: Split, batch: int = _BATCH) -> Sides:
    """The sides of tasks, given in order of acceptance as (position, id, texts of the instances).

    A task that is like no earlier one gets its side by the hash of its id. One that is like tasks on one side joins
    them. One that is like tasks on two sides is left out and has no effect on later tasks. So a side follows from
    earlier tasks alone, and later tasks change nothing.
    """
    sides = Sides(list(split.shares))
    known = [Index() for _ in split.shares]
    for some in _batches(tasks, batch):
        texts = [text for _, _, own in some for text in own]
        asked = [index.prepare(texts, LIKE) for index in known]
        place = 0
        for position, task_id, own in some:
            places = range(place, place + len(own))
            place += len(own)
            near = [side for side, ask in enumerate(asked) if any(ask(each) for each in places)]
            side = None if len(near) > 1 else near[0] if near else split.drawn(task_id)
            sides.put(position, side)
            if side is not None:
                for text in own:
                    known[side].add(task_id, text)
    return sides


def _batches(items: Iterable[_Item], size: int) -> Iterator[list[_Item]]:
    iterator = iter(items)
    while some := list(islice(iterator, size)):
        yield some
