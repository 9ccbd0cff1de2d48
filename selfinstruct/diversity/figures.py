"""How varied a list of instructions is, in figures; `docs/diversity.md` defines each with its source."""

from __future__ import annotations

import bz2
import math
from collections import Counter
from collections.abc import Hashable, Iterable, Sequence
from dataclasses import asdict, dataclass
from itertools import chain, pairwise
from operator import itemgetter
from typing import Any, Generic, TypeVar

from selfinstruct.diversity.verbs import read
from selfinstruct.similarity.tokens import tokenize

_Item = TypeVar("_Item")
FULL = 20_000
"""Scores to the nearest earlier instruction are computed for this many seeds and tasks of a pool at first; for a sample
of the later ones. The recipe `original` computes all."""
MOST_COMPARED = 10_000
"""Instructions that the figures of a pool are computed from."""


@dataclass(frozen=True, slots=True)
class Diversity:
    """The figures of one list of instructions, rounded to four digits; None where there is nothing to compute it of."""

    instructions: int
    distinct_1: float | None
    distinct_2: float | None
    compression_ratio: float | None
    top_openings_share: float | None
    verb_noun_pairs: int
    verb_noun_entropy: float | None
    """In bits."""
    mean_nearest_rouge_l: float | None
    vendi_score: float | None
    vendi_sample: int

    def to_json(self) -> dict[str, Any]:
        """The figures by name, as `status --json` and manifests hold them."""
        return asdict(self)


def diversity(rows: Iterable[tuple[str, float | None]], most_compared: int | None = None) -> Diversity:
    """The figures of some instructions, each with its score to the nearest earlier one (None: it does not count).

    A function of the instructions in their order; the Vendi score does not depend on the order either. It is taken of
    `most_compared` instructions, by default of `VENDI_SAMPLE`.
    """
    from selfinstruct.diversity import vendi  # noqa: PLC0415 - brings numpy, which plain status does without

    pairs = list(rows)
    instructions = [instruction for instruction, _ in pairs]
    scores = [score for _, score in pairs if score is not None]
    tokens = [tokenize(instruction) for instruction in instructions]
    readings = Counter(map(read, instructions))
    sample = vendi.vendi_sample(instructions, most_compared or vendi.VENDI_SAMPLE)
    return Diversity(
        instructions=len(instructions),
        distinct_1=rounded(_distinct(chain.from_iterable(tokens))),
        distinct_2=rounded(_distinct(chain.from_iterable(map(pairwise, tokens)))),
        compression_ratio=rounded(_compression_ratio(instructions)),
        top_openings_share=rounded(top_share(map(opening, tokens))),
        verb_noun_pairs=len(readings),
        verb_noun_entropy=rounded(_entropy(readings)),
        mean_nearest_rouge_l=rounded(mean(scores)),
        vendi_score=rounded(vendi.vendi_score([tokenize(one) for one in sample])),
        vendi_sample=len(sample),
    )


def rounded(value: float | None) -> float | None:
    """The value to four digits."""
    return None if value is None else round(value, 4)


def mean(values: Sequence[float]) -> float | None:
    """The mean of some values; None without any."""
    return math.fsum(values) / len(values) if values else None


def opening(tokens: Sequence[str]) -> tuple[str, ...]:
    """The first three words of an instruction."""
    return tuple(tokens[:3])


def top_share(openings: Iterable[tuple[str, ...]]) -> float | None:
    """The share of the instructions that have one of the ten most frequent openings."""
    counts = Counter(openings)
    return sum(count for _, count in counts.most_common(10)) / counts.total() if counts else None


def _distinct(grams: Iterable[Hashable]) -> float | None:
    """Different n-grams divided by all n-grams, each of which lies within one instruction."""
    counts = Counter(grams)
    return len(counts) / counts.total() if counts else None


def _compression_ratio(instructions: Sequence[str]) -> float | None:
    """Bytes of the instructions, one a line, divided by their bytes when compressed.

    By bzip2, which has one implementation: those of gzip differ in size from one system to the next.
    """
    raw = "\n".join(instructions).encode("utf-8", "surrogatepass")
    return len(raw) / len(bz2.compress(raw, 9)) if raw else None


def _entropy(counts: Counter[Any]) -> float | None:
    """The entropy of a distribution in bits."""
    total = counts.total()
    return math.fsum(-n / total * math.log2(n / total) for n in sorted(counts.values())) + 0.0 if total else None


class Least(Generic[_Item]):
    """The items of a stream whose keys are least, at most so many.

    With ids as keys it is a random sample, and most of it stays when more of the same stream follows.
    """

    def __init__(self, most: int) -> None:
        self._most, self._end, self._seen = most, "", 0
        self._kept: list[tuple[str, int, _Item]] = []

    def add(self, key: str, item: _Item) -> None:
        """Take the next item of the stream, or skip it."""
        if key < self._end or not self._end:
            self._seen += 1
            self._kept.append((key, self._seen, item))
            if len(self._kept) == 2 * self._most:
                self._kept = sorted(self._kept)[: self._most]
                self._end = self._kept[-1][0]

    def items(self) -> list[_Item]:
        """The items in the order of the stream."""
        return [item for _, _, item in sorted(sorted(self._kept)[: self._most], key=itemgetter(1))]


def is_sampled(task_id: str) -> bool:
    """Is this task of the sixteenth whose scores are computed in a pool of any size?"""
    return task_id[1:2] == "0"


class Instructions:
    """The instructions of finished tasks from which figures are computed, added in the order of the pool.

    Of more than `MOST_COMPARED` they are those of the tasks whose ids are least. Where scores to the nearest earlier
    instruction end with the first tasks, those of the sample alone count, else figures would be of these first tasks. A
    task before any with a score has none to have: it is the first of a pool without seeds, or a seed.
    """

    def __init__(self) -> None:
        self.tasks = 0
        self.unscored = 0
        self.has_ended = False
        """Some tasks that come after one with a score have none."""
        self._kept = Least[tuple[str, str, float | None]](MOST_COMPARED)

    def add(self, task_id: str, instruction: str, score: float | None) -> None:
        """Take the next one."""
        if score is None:
            self.has_ended = self.has_ended or (self.tasks > self.unscored and not is_sampled(task_id))
            self.unscored += 1
        self.tasks += 1
        self._kept.add(task_id, (task_id, instruction, score))

    def pairs(self) -> list[tuple[str, float | None]]:
        """The instructions in order, each with its score if that counts."""
        return [
            (text, score if not self.has_ended or is_sampled(identity) else None)
            for identity, text, score in self._kept.items()
        ]
