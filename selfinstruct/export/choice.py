"""Which rows of a pool go into an export, and why the others do not."""

from __future__ import annotations

import hashlib
from array import array
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

from selfinstruct.errors import ConfigError
from selfinstruct.export.screening import CONTAMINATED, Screen
from selfinstruct.export.splits import BRIDGES, Sides
from selfinstruct.novelty.index import Index
from selfinstruct.records import Origin
from selfinstruct.store.training import Row

REASONS = (
    "",
    BRIDGES,
    CONTAMINATED,
    "too_few_characters",
    "too_many_characters",
    "too_many_tokens",
    "another_instance",
    "beyond_limit",
)
"""Why a row is left out of all forms, by the number that stands for it; 0: it is not."""
_TAKEN = 0

_LADDER = [f"0.{step:02}" for step in range(10, 100, 5)] + ["1"]
"""Likeness allowed from one pass to the next."""
_BATCH = 256


@dataclass(frozen=True, slots=True)
class Choice:
    """What rows are wanted."""

    origin: Origin = "generated"
    include_seeds: bool = False
    one_instance: bool = False
    """The first instance of each task that is not left out for another reason."""
    min_chars: int | None = None
    """Of instruction, input and output together."""
    max_chars: int | None = None
    max_tokens: int | None = None
    """Of the row in the tokenizer's chat template."""
    limit: int | None = None
    """So many rows, as unlike each other as can be had."""

    @property
    def takes_all(self) -> bool:
        """Is every row of these origins wanted?"""
        return Choice(self.origin, self.include_seeds) == self

    @property
    def origins(self) -> tuple[Origin, ...]:
        """Where the tasks come from."""
        return ("generated", "seed") if self.include_seeds and self.origin == "generated" else (self.origin,)

    def check(self) -> None:
        """Refuse what cannot be meant.

        Raises:
            ConfigError: a bound that lets nothing through.
        """
        for name in ("min_chars", "max_chars", "max_tokens", "limit"):
            value = getattr(self, name)
            if value is not None and value < 1:
                raise ConfigError(f"--{name.replace('_', '-')}: {value} given, wanted 1 or more")
        if self.min_chars is not None and self.max_chars is not None and self.min_chars > self.max_chars:
            raise ConfigError(f"--min-chars {self.min_chars} is more than --max-chars {self.max_chars}: no row is left")


@dataclass(frozen=True, slots=True)
class Places:
    """Where rows are in the pool and what became of each, in the order of the pool; a few bytes a row."""

    verdicts: bytearray
    """Numbers of `REASONS`."""
    positions: array[int]
    numbers: array[int]

    def reason(self, place: int) -> str:
        """Why a row is left out; empty if it is not."""
        return REASONS[self.verdicts[place]]

    def counts(self) -> dict[str, int]:
        """How many rows are left out for each reason that there is."""
        found = {reason: self.verdicts.count(number) for number, reason in enumerate(REASONS) if reason}
        return {reason: count for reason, count in found.items() if count}


def judge(
    rows: Iterable[Row],
    choice: Choice,
    sides: Sides | None,
    tokens: Callable[[Row], int] | None = None,
    screen: Screen | None = None,
) -> Places:
    """What becomes of each row, the limit aside. `tokens` counts those of a row in the chat template."""
    places = Places(bytearray(), array("q"), array("l"))
    last_taken = -1
    for row in rows:
        reason = _reason(row, choice, sides, tokens)
        if not reason and screen is not None and screen.near(row) is not None:
            reason = CONTAMINATED
        if not reason and choice.one_instance:
            if row.position == last_taken:
                reason = "another_instance"
            last_taken = row.position
        places.verdicts.append(REASONS.index(reason))
        places.positions.append(row.position)
        places.numbers.append(row.number)
    return places


def _reason(row: Row, choice: Choice, sides: Sides | None, tokens: Callable[[Row], int] | None) -> str:
    if sides is not None and sides.of(row.position) is None:
        return BRIDGES
    if choice.min_chars is not None or choice.max_chars is not None:
        characters = len(row.instruction) + len(row.instance.input) + len(row.instance.output)
        if choice.min_chars is not None and characters < choice.min_chars:
            return "too_few_characters"
        if choice.max_chars is not None and characters > choice.max_chars:
            return "too_many_characters"
    if choice.max_tokens is not None and tokens is not None and tokens(row) > choice.max_tokens:
        return "too_many_tokens"
    return ""


def limit(places: Places, count: int, text_of: Callable[[int, int], str]) -> None:
    """Leave out all but `count` of the rows that are taken so far: those that stay are as unlike as can be had.

    `text_of` gives the text by which the row of a task's position and an instance's number is compared.
    """
    taken = [place for place, verdict in enumerate(places.verdicts) if verdict == _TAKEN]
    names = {place: f"{places.positions[place]}/{places.numbers[place]}" for place in taken}
    kept = set(farthest_first(names, count, lambda place: text_of(places.positions[place], places.numbers[place])))
    for place in taken:
        if place not in kept:
            places.verdicts[place] = REASONS.index("beyond_limit")


def farthest_first(names: Mapping[int, str], count: int, text_of: Callable[[int], str]) -> list[int]:
    """`count` of these rows, each as unlike those before it as can be had, in steps of 0.05 of ROUGE-L.

    The rows are gone through in an order that depends on their names alone. The first pass takes each row that has no
    ROUGE-L above 0.10 to one already taken, the next pass allows 0.15, and so on until there are enough. So a taken row
    is at most one step nearer to another than it would have to be, and groups of like rows give one each before any
    gives two.
    """
    if count >= len(names):
        return list(names)
    waiting = sorted(names, key=lambda place: hashlib.sha256(names[place].encode()).digest())
    nearest = array("d", [0.0]) * len(waiting)  # to what was taken when it was last looked at; it can only grow
    taken: list[int] = []
    index = Index()
    for allowed in _LADDER:
        left: list[int] = []
        scores = array("d")
        for start in range(0, len(waiting), _BATCH):
            end = start + _BATCH
            some = list(zip(waiting[start:end], nearest[start:end], strict=True))
            for place, score in _asked(some, index, allowed, text_of):
                if score is not None:
                    left.append(place)
                    scores.append(score)
                    continue
                taken.append(place)
                if len(taken) == count:
                    return taken
        waiting, nearest = left, scores
    return taken


def _asked(
    some: Sequence[tuple[int, float]], index: Index, allowed: str, text_of: Callable[[int], str]
) -> Iterator[tuple[int, float | None]]:
    """Each row with its likeness to what is taken, if that is more than is allowed; one with None is taken."""
    texts = {place: text_of(place) for place, score in some if score <= float(allowed) + 1e-9}
    ask = index.prepare(list(texts.values()), allowed)
    asked = {place: number for number, place in enumerate(texts)}
    for place, score in some:
        if place not in asked:
            yield place, score
        elif found := ask(asked[place]):
            yield place, found.score
        else:
            index.add(str(place), texts[place])
            yield place, None
