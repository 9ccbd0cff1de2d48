"""Which rows of a pool go into an export, and why the others do not."""

from __future__ import annotations

import hashlib
from array import array
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from selfinstruct.errors import ConfigError
from selfinstruct.exports.splits import BRIDGES, Sides
from selfinstruct.pool.records import Row, StoredSample, Used
from selfinstruct.seeds.benchmarks import free_name
from selfinstruct.similarity.index import Index
from selfinstruct.types import Exclusion, Instance, Origin

if TYPE_CHECKING:
    from selfinstruct.checks.contaminated import Excluded, NearExcluded

CONTAMINATED = "contaminated"
THRESHOLD = "0.7"
"""The default of `filters.exclude_threshold`."""
REASONS = (
    "", BRIDGES, CONTAMINATED, "too_few_characters", "too_many_characters", "too_many_tokens", "another_instance",
    "beyond_limit",
)  # fmt: skip
"""Why a row is left out of all forms, by number; 0 means that it is not."""
_LADDER = [f"0.{step:02}" for step in range(10, 100, 5)] + ["1"]
"""The ROUGE-L that each pass of `farthest_first` allows."""
_BATCH = 256


@dataclass(frozen=True, slots=True)
class Choice:
    """Which rows are wanted."""

    origin: Origin = "generated"
    include_seeds: bool = False
    one_instance: bool = False
    """Only the first instance of each task that is not left out for another reason."""
    min_chars: int | None = None
    """Of instruction, input, output and further turns together."""
    max_chars: int | None = None
    max_tokens: int | None = None
    """Of the row in the tokenizer's chat template."""
    limit: int | None = None
    """At most this many rows, as unlike each other as possible."""

    @property
    def takes_all(self) -> bool:
        """Are all rows of these origins wanted?"""
        return Choice(self.origin, self.include_seeds) == self

    @property
    def origins(self) -> tuple[Origin, ...]:
        """The origins of the tasks."""
        return ("generated", "seed") if self.include_seeds else (self.origin,)

    def check(self) -> None:
        """Check the bounds, whose kinds are right.

        Raises:
            ConfigError: they let nothing through, or one says the opposite of another.
        """
        if self.include_seeds and self.origin == "seed":
            raise ConfigError("--include-seeds: --origin seed takes seeds alone; leave out one of the two")
        if self.min_chars is not None and self.max_chars is not None and self.min_chars > self.max_chars:
            raise ConfigError(f"--min-chars {self.min_chars} is more than --max-chars {self.max_chars}: no row is left")


class Screen:
    """Finds rows that are near a text of an exclusion, and counts them."""

    def __init__(self, exclusions: Sequence[Exclusion]) -> None:
        self.exclusions = exclusions
        self.hits: Counter[str] = Counter()
        """Rows by id of the exclusion."""
        self.rows: dict[str, str] = {}
        """By id of a row: the exclusion it was near, and its row there."""
        self._excluded: Excluded | None = None
        if exclusions:
            from selfinstruct.checks.contaminated import Excluded  # noqa: PLC0415 - most exports do not need it

            self._excluded = Excluded(exclusions, THRESHOLD)
        self._last: tuple[str, NearExcluded | None] = ("", None)

    def near(self, row: Row) -> NearExcluded | None:
        """What the instruction, input or output of a row is near; None if the row can stay."""
        if self._excluded is None:
            return None
        if self._last[0] != row.task_id:
            self._last = (row.task_id, self._excluded.near(row.instruction))
        return self._last[1] or self._excluded.near_instance(row.instruction, row.input, row.output, row.turns)

    def has(self, row: Row) -> bool:
        """Whether a row is near a text, and counts then."""
        found = self.near(row)
        if found is not None:
            self.hits[found.exclusion.id] += 1
            self.rows[row.id] = f"{found.exclusion.name} row {found.row}"
        return found is not None

    def to_json(self, used: Sequence[Used]) -> list[dict[str, Any]]:
        """The exclusions of the pool and of this export as in the manifest, by name.

        Each has a name of its own, the same as in `left_out.jsonl`.
        """
        found: dict[str, dict[str, Any]] = {}
        for exclusion in self.exclusions:
            found[exclusion.id] = {
                "name": exclusion.name, "sha256": exclusion.id, "rows": len(exclusion.rows),
                "rows_left_out": self.hits[exclusion.id],
            }  # fmt: skip
        for one in used:
            name = free_name(one.name, {about["name"] for about in found.values()})
            about = found.setdefault(one.id, {"name": name, "sha256": one.id, "rows": one.rows})
            about["candidates_rejected"] = one.hits
        return sorted(found.values(), key=lambda about: (about["name"], about["sha256"]))


@dataclass(frozen=True, slots=True)
class Places:
    """The place of each row in the pool and its reason, in the order of the pool; a few bytes a row."""

    codes: bytearray
    """Numbers of `REASONS`."""
    positions: array[int]
    numbers: array[int]

    def reason(self, place: int) -> str:
        """The reason for which a row is left out; empty if it is not."""
        return REASONS[self.codes[place]]

    def counts(self) -> dict[str, int]:
        """The number of rows left out for each reason, without zeros."""
        found = {reason: self.codes.count(number) for number, reason in enumerate(REASONS) if reason}
        return {reason: count for reason, count in found.items() if count}


def places_of(
    rows: Iterable[Row],
    choice: Choice,
    sides: Sides | None,
    tokens: Callable[[Row], int] | None = None,
    screen: Screen | None = None,
    text_of: Callable[[int, int], str] | None = None,
) -> Places:
    """The reason of each row. `tokens` counts the tokens of a row in the chat template.

    `text_of` returns the text by which a limit compares a row, by the position of its task and its own number there.
    """
    places = Places(bytearray(), array("q"), array("l"))
    last_taken = -1
    for row in rows:
        reason = _reason(row, choice, sides, tokens)
        if not reason and screen is not None and screen.has(row):
            reason = CONTAMINATED
        if not reason and choice.one_instance:
            if row.position == last_taken:
                reason = "another_instance"
            last_taken = row.position
        places.codes.append(REASONS.index(reason))
        places.positions.append(row.position)
        places.numbers.append(row.number)
    if choice.limit is not None and text_of is not None:
        taken = [place for place, code in enumerate(places.codes) if not code]
        spots = {place: (places.positions[place], places.numbers[place]) for place in taken}
        names = {place: f"{position}/{number}" for place, (position, number) in spots.items()}
        kept = set(farthest_first(names, choice.limit, lambda place: text_of(*spots[place])))
        for place in taken:
            if place not in kept:
                places.codes[place] = REASONS.index("beyond_limit")
    return places


def with_fitting(row: Row, choice: Choice, tokens: Callable[[Row], int] | None, screen: Screen) -> Row:
    """The row without the texts of other answers for which it would be left out; whether they are right stays."""

    def fits(one: StoredSample) -> bool:
        other = row._replace(instance=Instance(row.input, one.output))
        return not _reason(other, choice, None, tokens) and screen.near(other) is None

    return row._replace(samples=tuple(one if fits(one) else one._replace(output="") for one in row.samples))


def _reason(row: Row, choice: Choice, sides: Sides | None, tokens: Callable[[Row], int] | None) -> str:
    if sides is not None and sides.of(row.position) is None:
        return BRIDGES
    if choice.min_chars is not None or choice.max_chars is not None:
        if choice.min_chars is not None and row.characters < choice.min_chars:
            return "too_few_characters"
        if choice.max_chars is not None and row.characters > choice.max_chars:
            return "too_many_characters"
    if choice.max_tokens is not None and tokens is not None and tokens(row) > choice.max_tokens:
        return "too_many_tokens"
    return ""


def farthest_first(names: Mapping[int, str], count: int, text_of: Callable[[int], str]) -> list[int]:
    """`count` of these rows, each as unlike the ones before it as possible, in steps of 0.05 of ROUGE-L.

    The order of the rows in a pass depends on their names alone. The first pass takes each row with no ROUGE-L above
    0.10 to a row already taken, the next pass allows 0.15, and so on until there are enough. So groups of like rows
    give one row each before any gives two.
    """
    if count >= len(names):
        return list(names)
    waiting = sorted(names, key=lambda place: hashlib.sha256(names[place].encode()).digest())
    nearest = array("d", [0.0]) * len(waiting)  # to the rows taken when last compared; it can only grow
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
    """Each row with its ROUGE-L to the nearest row taken, if that is above `allowed`; None: the row is taken now."""
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
