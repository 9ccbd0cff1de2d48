"""The search among many texts: arrays, and when to build them. `compiled.py` walks them."""

from __future__ import annotations

from array import array
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from selfinstruct.similarity.compiled import Scratch, Static, Texts, commons, post, search, sign
from selfinstruct.similarity.scores import Cutoff
from selfinstruct.similarity.small import Match

_LEAST = Cutoff("0.25", floats=True)
"""Postings serve cutoffs from here on; below, every text is looked at."""
_DESCENDING = tuple(Cutoff(threshold, floats=False) for threshold in ("0.4", "0.25", "0"))
"""High ones cost least."""
_MIN_TAIL = 2048
_TAIL_SHARE = 16
"""Texts added since the index was built are searched one by one; at a sixteenth of the others it is built again."""
_NONE = np.empty(0, np.int32)
_NO_STATIC = Static(
    order=_NONE, signatures=np.empty(0, np.uint64), by_length=np.zeros(2, np.int64), rarity=_NONE,
    post_starts=np.zeros(1, np.int64), posts=_NONE, ranks=np.empty(0, np.uint8),
)  # fmt: skip


class Large:
    """Texts as token numbers, most of them indexed; text p is tokens[starts[p]:starts[p + 1]], and more may come.

    In a query, -1 stands for a token that no text has. Not for two threads at once.
    """

    def __init__(self, tokens: array[int], starts: array[int]) -> None:
        self._tokens, self._starts = tokens, starts
        self._words = self._longest = 0
        """The largest token number and 1, and the greatest length, of the texts looked at so far."""
        self._seen = 0
        """Texts that these and the signatures include."""
        self._scratch = _scratch(0, 0)
        self._set_static(_NO_STATIC)

    def best(self, queries: Sequence[Sequence[int]], cutoff: Cutoff, first: int = 0) -> list[Match | None]:
        """For each query the nearest text that passes, the earliest among equals, from position `first` on."""
        if cutoff.value < _LEAST.value:
            return [self._best_of_all(query, cutoff, first) for query in queries]
        count = len(self._starts) - 1
        if first >= count or not queries:
            return [None] * len(queries)
        longest = max(map(len, queries))
        scratch = self._prepare(longest)
        flat = np.array([token for query in queries for token in query], np.int32)
        ends = np.cumsum([0, *map(len, queries)])
        need = cutoff.needs(longest + scratch.want.size)
        found = np.empty(3 * len(queries), np.int64)
        search(flat, ends, self._texts(), self._static, self._tail, (first, count), need, cutoff.floor, scratch, found)
        numbers = iter(found.tolist())
        return [
            None if place < 0 else Match(place, common, total - len(query))
            for query, place, common, total in zip(queries, numbers, numbers, numbers, strict=False)
        ]

    def nearest(self, query: Sequence[int]) -> Match | None:
        """The nearest text whatever its score, the earliest among equals; None without texts."""
        found = (self.best([query], cutoff)[0] for cutoff in _DESCENDING)
        first = Match(0, 0, self._starts[1]) if len(self._starts) > 1 else None
        return next((match for match in found if match), first)

    def commons(self, query: Sequence[int]) -> NDArray[np.int32]:
        """The length of the longest common subsequence with each text."""
        found = np.empty(len(self._starts) - 1, np.int32)
        commons(np.array(query, np.int32), self._texts(), self._prepare(len(query)), found)
        return found

    def to_arrays(self) -> dict[str, NDArray[np.generic]]:
        """What was built, as arrays."""
        return {f"static_{name}": values for name, values in self._static._asdict().items()}

    def open(self, arrays: Mapping[str, NDArray[Any]]) -> None:
        """Take over what was built of these texts before. Raises: ValueError."""
        like = _NO_STATIC._asdict().items()
        static = Static(**{name: np.array(arrays[f"static_{name}"], values.dtype) for name, values in like})
        indexed, posts = static.order.size, static.posts.size
        # Compiled code does not look before it leaps.
        if not (
            indexed < len(self._starts)
            and static.signatures.size == 2 * indexed
            and static.by_length[-1] == indexed
            and static.ranks.size == posts == static.post_starts[-1]
            and static.post_starts.size == static.rarity.size + 1
        ):
            raise ValueError("the arrays of the index do not fit together")
        self._set_static(static)

    def compile(self) -> None:
        """Compile all that a search needs."""
        self._longest = 1
        self._set_static(self._built(self._texts()))
        self.best([[0]], _LEAST)
        self.commons([0])

    def _texts(self) -> Texts:
        return Texts(np.frombuffer(self._tokens, np.int32), np.frombuffer(self._starts, np.int64))

    def _best_of_all(self, query: Sequence[int], cutoff: Cutoff, first: int) -> Match | None:
        common, lengths = self.commons(query)[first:], np.diff(self._starts)[first:]
        scores = common / np.maximum(lengths + len(query), 1)
        for place in np.argsort(-scores, kind="stable").tolist():
            match = Match(first + place, int(common[place]), int(lengths[place]))
            if match.common < cutoff.needed(match.length + len(query)):
                return None
            if cutoff.passes(match.common, match.length, len(query)):
                return match
        return None

    def _prepare(self, longest_query: int) -> Scratch:
        """Bring the index up to date with what was added; memory for a search."""
        texts, count, indexed = self._texts(), len(self._starts) - 1, self._static.order.size
        if self._seen < count:
            added = texts.starts[self._seen : count + 1]
            self._words = max(self._words, int(texts.tokens[added[0] :].max(initial=-1)) + 1)
            self._longest = max(self._longest, int(np.diff(added).max()))
            if count - indexed > self._tail.size // 2:
                self._set_static(self._built(texts))
            else:
                places = np.arange(max(self._seen, indexed), count, dtype=np.int32)
                sign(texts, places, self._tail[2 * (count - indexed - places.size) :])
            self._seen = count
        longest = max(longest_query, self._longest)
        if self._scratch.slot.size < self._words or self._scratch.want.size < longest + 2:
            self._scratch = _scratch(self._words, longest)
        return self._scratch

    def _set_static(self, static: Static) -> None:
        self._static = static
        indexed = static.order.size
        self._tail = np.empty(2 * max(_MIN_TAIL, indexed // _TAIL_SHARE), np.uint64)
        """Signatures of the texts that are not indexed yet, two words each."""
        self._seen = 0

    def _built(self, texts: Texts) -> Static:
        """The index of all texts."""
        frequency = np.bincount(texts.tokens, minlength=1)
        rarity = np.empty(frequency.size, np.int32)
        rarity[np.argsort(frequency, kind="stable")] = np.arange(frequency.size, dtype=np.int32)
        lengths = np.diff(texts.starts)
        order = np.argsort(lengths, kind="stable").astype(np.int32)
        signatures = np.empty(2 * order.size, np.uint64)
        sign(texts, order, signatures)
        starts = np.zeros(frequency.size + 1, np.int64)
        static = _NO_STATIC._replace(
            order=order,
            signatures=signatures,
            by_length=np.concatenate([[0], np.cumsum(np.bincount(lengths, minlength=self._longest + 1))]),
            rarity=rarity,
        )
        least, keys = _least_common(self._longest), np.empty(self._longest + 1, np.int32)
        post(texts, static, least, keys, starts[1:])
        np.cumsum(starts, out=starts)
        static = static._replace(
            post_starts=starts, posts=np.empty(starts[-1], np.int32), ranks=np.empty(starts[-1], np.uint8)
        )
        post(texts, static, least, keys, starts.copy())
        return static


def _scratch(words: int, longest: int) -> Scratch:
    """Memory for a search with this many token numbers and lengths, and some more."""
    longest += longest // 8 + 2
    return Scratch(
        slot=np.zeros(words + words // 8 + 64, np.int32),
        masks=np.zeros(65, np.uint64),
        carries=np.zeros(longest, np.bool_),
        want=np.zeros(longest, np.int32),
        keys=np.zeros(longest, np.int32),
        best=np.zeros(3, np.int64),
    )


def _least_common(longest: int) -> NDArray[np.int32]:
    """For each length n the fewest common tokens that make a pair count, whatever the other's length; n where none can.

    The other text must be at least as long as what is common, so the shortest one that fits decides.
    """
    need = _LEAST.needs(2 * longest)
    least = np.zeros(longest + 1, np.int32)
    other = 1
    for n in range(1, longest + 1):
        while other < n and need[n + other] > other:
            other += 1
        least[n] = min(need[n + other], n)
    return least


# What is compiled holds its first arguments for a while, and texts that are held cannot grow: so first a text of ours.
Large(array("i", [0]), array("q", [0, 1])).compile()
