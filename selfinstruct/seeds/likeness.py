"""All pairs of texts that are alike by ROUGE-L F1, exactly, among tens of thousands."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from fractions import Fraction
from itertools import chain

import numpy as np
from numpy.typing import NDArray
from rapidfuzz.distance import Indel
from rapidfuzz.process import cdist, cpdist

from selfinstruct.novelty.tokens import tokenize

_BLOCK = 512
_SLACK = 1e-6
"""Room for float noise when pairs are searched; what is found is then tested exactly."""
_SHORT = 64
"""Tokens up to which a pair is compared in one machine word, so fast that looking at fewer pairs gains nothing."""
_BUCKETS = 2048
_WORTH_SIFTING = 20
"""One pair in so many may be left by the bound before comparing single pairs is slower than comparing all."""


@dataclass(frozen=True, slots=True)
class Pairs:
    """Pairs of texts by index, the smaller first, with their scores; three arrays of one length."""

    first: NDArray[np.int64]
    second: NDArray[np.int64]
    score: NDArray[np.float64]

    def best(self, count: int) -> Pairs:
        """The highest scoring ones, highest first, by index among equals."""
        order = np.lexsort((self.second, self.first, -self.score))[:count]
        return Pairs(self.first[order], self.second[order], self.score[order])

    def joined(self, other: Pairs) -> Pairs:
        """These pairs and then the others."""
        return Pairs(
            np.concatenate((self.first, other.first)),
            np.concatenate((self.second, other.second)),
            np.concatenate((self.score, other.score)),
        )


def near_duplicates(texts: Sequence[str], threshold: float = 0.7) -> list[tuple[int, int, float]]:
    """All pairs (i, j, ROUGE-L F1) with i < j and a score above the threshold (0 up to 1), in order of i and j."""
    found: list[tuple[int, int, float]] = []
    for pairs in pair_blocks(texts, threshold):
        found += zip(pairs.first.tolist(), pairs.second.tolist(), pairs.score.tolist(), strict=True)
    return sorted(found)


def pair_blocks(texts: Sequence[str], threshold: float) -> Iterator[Pairs]:
    """What `near_duplicates` lists, piece by piece, so that even a file of copies needs little memory."""
    encoded = _encode(texts)
    order = np.array(sorted((i for i, tokens in enumerate(encoded) if tokens), key=lambda i: len(encoded[i])), np.int64)
    ordered = [encoded[i] for i in order]
    lengths = np.array([len(tokens) for tokens in ordered], np.int64)
    exact = Fraction(str(threshold))
    bags = _bags(ordered) if ordered and lengths[-1] > _SHORT else None
    for start in range(0, len(ordered), _BLOCK):
        stop = min(start + _BLOCK, len(ordered))
        # F1 is at most 2m / (m + n) for lengths m <= n: longer texts than this cannot be alike.
        longest = lengths[stop - 1] * (2 - threshold) / threshold if threshold > 0 else lengths[-1]
        end = int(np.searchsorted(lengths, longest + _SLACK, side="right"))
        row, column, common = _common(ordered, lengths, bags, (start, stop, end), threshold)
        total = lengths[row] + lengths[column]
        kept = 2 * common * exact.denominator > exact.numerator * total
        one, other = order[row[kept]], order[column[kept]]
        yield Pairs(np.minimum(one, other), np.maximum(one, other), 2 * common[kept] / total[kept])


def _encode(texts: Sequence[str]) -> list[list[int]]:
    """Tokens as numbers, the most frequent ones small: rapidfuzz looks those up in a table rather than a hash."""
    number: dict[str, int] = {}
    encoded = [[number.setdefault(token, len(number)) for token in tokenize(text)] for text in texts]
    counts = Counter(chain.from_iterable(encoded))
    rank = {token: rank for rank, (token, _) in enumerate(counts.most_common())}
    return [[rank[token] for token in tokens] for tokens in encoded]


def _common(
    ordered: list[list[int]],
    lengths: NDArray[np.int64],
    bags: NDArray[np.float32] | None,
    block: tuple[int, int, int],
    threshold: float,
) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.int64]]:
    """Rows, columns, LCS lengths of the pairs that may be alike in a block: rows start to stop, columns up to end."""
    start, stop, end = block
    cutoff = max(threshold - _SLACK, 0.0)
    if bags is not None and lengths[stop - 1] > _SHORT:
        bound = 2 * (bags[start:stop] @ bags[start:end].T)
        needed = cutoff * (lengths[start:stop, None] + lengths[None, start:end])
        row, column = np.nonzero(np.triu(bound >= needed - _SLACK, 1))
        if len(row) * _WORTH_SIFTING < bound.size:
            rows, columns = [ordered[start + i] for i in row], [ordered[start + i] for i in column]
            scores = cpdist(rows, columns, scorer=Indel.normalized_similarity, score_cutoff=cutoff, workers=-1)
            return _counted(row + start, column + start, scores, lengths)
    scores = cdist(
        ordered[start:stop], ordered[start:end], scorer=Indel.normalized_similarity, score_cutoff=cutoff, workers=-1
    )
    row, column = np.nonzero(np.triu(scores, 1))
    return _counted(row + start, column + start, scores[row, column], lengths)


def _counted(
    row: NDArray[np.int64], column: NDArray[np.int64], scores: NDArray[np.float32], lengths: NDArray[np.int64]
) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.int64]]:
    """The pairs with their LCS lengths, which are whole numbers and so come back exactly from the scores."""
    common = np.rint(scores.astype(np.float64) * (lengths[row] + lengths[column]) / 2).astype(np.int64)
    return row, column, common


def _bags(ordered: list[list[int]]) -> NDArray[np.float32]:
    """A row of counts for each text, whose products bound the LCS from above.

    The k-th occurrence of a token in a text counts as an item of its own, so that texts share as many items as tokens
    by multiset, which is never fewer than their LCS. Frequent items have a bucket each, the others share the rest.
    """
    own = _BUCKETS // 2
    frequent = Counter(chain.from_iterable(map(_occurrences, ordered))).most_common()
    bucket = {item: rank if rank < own else own + rank % (_BUCKETS - own) for rank, (item, _) in enumerate(frequent)}
    bags = np.empty((len(ordered), _BUCKETS), np.float32)
    for row, tokens in enumerate(ordered):
        bags[row] = np.bincount([bucket[item] for item in _occurrences(tokens)], minlength=_BUCKETS)
    return bags


def _occurrences(tokens: list[int]) -> Iterator[tuple[int, int]]:
    seen: Counter[int] = Counter()
    for token in tokens:
        seen[token] += 1
        yield token, seen[token]
