"""The search among many texts: arrays, and when to build them. `compiled.py` walks them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, TypeVar

import numpy as np
from numpy.typing import DTypeLike, NDArray

from selfinstruct.similarity.compiled import (
    Scratch,
    Static,
    Texts,
    commons,
    count_postings,
    fill_postings,
    search,
    sign,
)
from selfinstruct.similarity.scores import Cutoff
from selfinstruct.similarity.small import Match

_Number = TypeVar("_Number", bound=np.generic)

_LEAST = Cutoff("0.25", strict=False, floats=True)
"""Postings serve cutoffs from here on; below, every text of a fitting length is looked at."""
_LADDER = tuple(Cutoff(step, strict=False, floats=False) for step in ("0.4", "0.25", "0"))
"""Where the nearest text is sought whatever its score: high cutoffs cost least."""

_MIN_TAIL = 2048
_TAIL_SHARE = 16
"""Texts added since the index was built are searched one by one; at a sixteenth of the others it is built anew."""


class Large:
    """Texts as token numbers in flat arrays, most of them indexed. In a query, -1 stands for a token that no text has.

    Not for two threads at once.
    """

    def __init__(self, texts: Iterable[Sequence[int]] = ()) -> None:
        self._count = 0
        self._longest = 0
        self._tokens = np.empty(1024, np.int32)
        self._starts = np.zeros(129, np.int64)
        self._static = _no_static()
        self._tail = np.empty(0, np.uint64)
        self._signed = 0
        self._slot = np.zeros(0, np.int32)
        self._scratch: Scratch | None = None
        self._needs: dict[Cutoff, NDArray[np.int32]] = {}
        for text in texts:
            self.add(text)

    def __len__(self) -> int:
        return self._count

    def add(self, tokens: Sequence[int]) -> None:
        """Make a text known."""
        begin = int(self._starts[self._count])
        end = begin + len(tokens)
        if end > self._tokens.size:
            self._tokens = _grown(self._tokens, begin, end)
        if self._count + 2 > self._starts.size:
            self._starts = _grown(self._starts, self._count + 1, self._count + 2)
        if tokens:
            self._tokens[begin:end] = tokens
            if len(tokens) > self._longest:
                self._longest = len(tokens)
                self._scratch = None
        self._count += 1
        self._starts[self._count] = end

    def best(self, queries: Sequence[Sequence[int]], cutoff: Cutoff, first: int = 0) -> list[Match | None]:
        """For each query the nearest text that passes, the earliest among equals, from position `first` on."""
        if first >= self._count or not queries:
            return [None] * len(queries)
        longest = max(map(len, queries))
        scratch = self._prepare(longest)
        flat = np.array([token for query in queries for token in query], np.int32)
        ends = np.zeros(len(queries) + 1, np.int64)
        np.cumsum([len(query) for query in queries], out=ends[1:])
        found = np.empty(3 * len(queries), np.int64)
        search(
            flat, ends, self._texts(), self._static, self._tail, (first, self._count),
            self._need(cutoff, longest + max(longest, self._longest)), cutoff.floor, cutoff.value >= _LEAST.value,
            scratch, found,
        )  # fmt: skip
        numbers = iter(found.tolist())
        return [
            None if place < 0 else Match(place, common, total - len(query))
            for query, place, common, total in zip(queries, numbers, numbers, numbers, strict=False)
        ]

    def top(self, query: Sequence[int], k: int) -> list[Match]:
        """The k nearest texts whatever their score, earlier ones first among equals."""
        if k == 1 and self._count:
            steps = (self.best([query], cutoff)[0] for cutoff in _LADDER)
            return [next(filter(None, steps), None) or Match(0, 0, int(self._starts[1]))]
        common, lengths = self.commons(query)
        scores = 2 * common / np.maximum(lengths + len(query), 1)
        if k < self._count:
            least = np.partition(scores, self._count - k)[self._count - k]
            places = np.flatnonzero(scores >= least)
        else:
            places = np.arange(self._count)
        places = places[np.argsort(-scores[places], kind="stable")][:k]
        return [Match(place, int(common[place]), int(lengths[place])) for place in places.tolist()]

    def commons(self, query: Sequence[int]) -> tuple[NDArray[np.int32], NDArray[np.int64]]:
        """The length of the longest common subsequence with each text, and each text's length."""
        found = np.empty(self._count, np.int32)
        commons(np.array(query, np.int32), self._texts(), self._count, self._prepare(len(query)), found)
        return found, np.diff(self._starts[: self._count + 1])

    def nbytes(self) -> int:
        """Bytes of all arrays."""
        arrays = [self._tokens, self._starts, self._tail, self._slot, *self._static, *(self._scratch or ())[1:]]
        return sum(array.nbytes for array in [*arrays, *self._needs.values()])

    def to_arrays(self) -> dict[str, NDArray[np.generic]]:
        """The texts and their index as arrays."""
        static = {f"static_{name}": array for name, array in self._static._asdict().items()}
        return {
            "tokens": self._tokens[: self._starts[self._count]],
            "starts": self._starts[: self._count + 1],
            **static,
        }

    @staticmethod
    def from_arrays(arrays: Mapping[str, NDArray[np.generic]]) -> Large:
        """What `to_arrays` wrote; without an index where the arrays hold none."""
        large = Large()
        large._tokens = _own(arrays["tokens"], np.int32)
        large._starts = _own(arrays["starts"], np.int64)
        large._count = large._starts.size - 1
        large._longest = int(np.diff(large._starts).max(initial=0))
        if "static_order" in arrays:
            like = _no_static()._asdict().items()
            large._static = Static(**{name: _own(arrays[f"static_{name}"], array.dtype) for name, array in like})
            large._signed = large._static.order.size
            if not _fits(large._static, large._count):
                raise ValueError("the arrays of the index do not fit together")
        return large

    def _texts(self) -> Texts:
        return Texts(self._tokens, self._starts)

    def _prepare(self, longest_query: int) -> Scratch:
        """Bring the index up to date with what was added; memory for a search."""
        indexed = self._static.order.size
        if self._count - indexed > max(_MIN_TAIL, indexed // _TAIL_SHARE):
            self._build()
            indexed = self._count
        if self._signed < self._count or not self._slot.size:
            unseen = self._starts[self._signed if self._slot.size else 0]
            words = int(self._tokens[unseen : self._starts[self._count]].max(initial=-1)) + 1
            if words > self._slot.size or not self._slot.size:
                self._slot = np.zeros(words + words // 8 + 64, np.int32)
        if self._signed < self._count:
            if 2 * (self._count - indexed) > self._tail.size:
                self._tail = _grown(self._tail, 2 * (self._signed - indexed), 2 * (self._count - indexed))
            sign(self._texts(), self._signed, self._count, self._tail, indexed)
            self._signed = self._count
        scratch = self._scratch
        if scratch is None or scratch.slot is not self._slot or scratch.keys.size < longest_query:
            size = max(longest_query, self._longest) + 2
            scratch = Scratch(
                slot=self._slot,
                masks=np.zeros(65, np.uint64),
                carries=np.zeros(self._longest + 2, np.bool_),
                want=np.zeros(self._longest + 2, np.int32),
                keys=np.zeros(size, np.int32),
                best=np.zeros(3, np.int64),
            )
            self._scratch = scratch
        return scratch

    def _need(self, cutoff: Cutoff, total: int) -> NDArray[np.int32]:
        need = self._needs.get(cutoff)
        if need is None or need.size <= total:
            need = np.array([cutoff.needed(each) for each in range(2 * total + 2)], np.int32)
            self._needs[cutoff] = need
        return need

    def _build(self) -> None:
        """Index all texts anew."""
        texts, count = self._texts(), self._count
        tokens = texts.tokens[: texts.starts[count]]
        frequency = np.bincount(tokens) if tokens.size else np.zeros(1, np.int64)
        rarity = np.empty(frequency.size, np.int32)
        rarity[np.argsort(frequency, kind="stable")] = np.arange(frequency.size, dtype=np.int32)
        lengths = np.diff(texts.starts[: count + 1])
        by_length = np.zeros(self._longest + 2, np.int64)
        by_length[1:] = np.cumsum(np.bincount(lengths, minlength=self._longest + 1))
        least = _least_common(self._need(_LEAST, 2 * self._longest), self._longest)
        keys = np.empty(self._longest + 1, np.int32)
        post_starts = np.zeros(frequency.size + 1, np.int64)
        count_postings(texts, rarity, least, count, keys, post_starts)
        np.cumsum(post_starts, out=post_starts)
        self._static = Static(
            order=np.argsort(lengths, kind="stable").astype(np.int32),
            signatures=np.empty(2 * count, np.uint64),
            by_length=by_length,
            rarity=rarity,
            post_starts=post_starts,
            posts=np.empty(post_starts[-1], np.int32),
            ranks=np.empty(post_starts[-1], np.uint8),
        )
        fill_postings(texts, self._static, least, keys, post_starts.copy())
        self._tail = np.empty(0, np.uint64)
        self._signed = count
        self._slot = np.zeros(frequency.size + frequency.size // 8 + 64, np.int32)


def _fits(static: Static, count: int) -> bool:
    """Are these arrays of one index of at most so many texts? Compiled code does not look before it leaps."""
    indexed, posts = static.order.size, static.posts.size
    return bool(
        indexed <= count
        and static.signatures.size == 2 * indexed
        and static.by_length[-1] == indexed
        and static.ranks.size == posts == static.post_starts[-1]
        and static.post_starts.size == static.rarity.size + 1
    )


def _no_static() -> Static:
    empty = np.empty(0, np.int32)
    return Static(
        order=empty,
        signatures=np.empty(0, np.uint64),
        by_length=np.zeros(2, np.int64),
        rarity=empty,
        post_starts=np.zeros(1, np.int64),
        posts=empty,
        ranks=np.empty(0, np.uint8),
    )


def _least_common(need: NDArray[np.int32], longest: int) -> NDArray[np.int32]:
    """For each length n the fewest common tokens that make a pair count, whatever the other's length; n where none can.

    The other text must be at least as long as what is common, so the shortest one that fits decides.
    """
    least = np.zeros(longest + 1, np.int32)
    other = 1
    for n in range(1, longest + 1):
        while other < n and need[n + other] > other:
            other += 1
        least[n] = min(need[n + other], n)
    return least


def _grown(array: NDArray[_Number], used: int, wanted: int) -> NDArray[_Number]:
    """The same with room for `wanted` elements and an eighth more than there was."""
    grown = np.empty(max(wanted, array.size + array.size // 8), array.dtype)
    grown[:used] = array[:used]
    return grown


def _own(array: NDArray[Any], dtype: DTypeLike) -> NDArray[Any]:
    """A copy in memory that can be written to: what comes in may be a mapped file."""
    return np.array(array, dtype)
