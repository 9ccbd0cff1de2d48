"""All pairs of texts that are alike by ROUGE-L F1, exactly, among tens of thousands."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from fractions import Fraction
from itertools import chain
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from rapidfuzz.distance import Indel
from rapidfuzz.process import cdist

from selfinstruct.similarity.tokens import tokenize

_BLOCK = 512
_SLACK = 1e-6
"""Room for float noise in the search; its pairs are then tested exactly."""


class Pairs(NamedTuple):
    """Pairs of texts by index, the smaller first, with their scores: three arrays of one length."""

    first: NDArray[np.int64]
    second: NDArray[np.int64]
    score: NDArray[np.float64]


def near_duplicates(texts: Sequence[str], threshold: float = 0.7) -> list[tuple[int, int, float]]:
    """All pairs (i, j, ROUGE-L F1) with i < j and a score above the threshold (0 to 1), in order of i and j."""
    found: list[tuple[int, int, float]] = []
    for pairs in pair_blocks(texts, threshold):
        found += zip(*(column.tolist() for column in pairs), strict=True)
    return sorted(found)


def pair_blocks(texts: Sequence[str], threshold: float) -> Iterator[Pairs]:
    """The pairs of `near_duplicates` in blocks, so that even a file of copies needs little memory."""
    encoded = _encode(texts)
    order = np.array(sorted((i for i, tokens in enumerate(encoded) if tokens), key=lambda i: len(encoded[i])), np.int64)
    ordered = [encoded[i] for i in order]
    lengths = np.array([len(tokens) for tokens in ordered], np.int64)
    exact = Fraction(str(threshold))
    for start in range(0, len(ordered), _BLOCK):
        stop = min(start + _BLOCK, len(ordered))
        # F1 is at most 2m / (m + n) for lengths m <= n: longer texts than this cannot be alike.
        longest = lengths[stop - 1] * (2 - threshold) / threshold if threshold > 0 else lengths[-1]
        end = int(np.searchsorted(lengths, longest + _SLACK, side="right"))
        scores = cdist(
            ordered[start:stop], ordered[start:end], scorer=Indel.normalized_similarity,
            score_cutoff=max(threshold - _SLACK, 0.0), workers=-1,
        )  # fmt: skip
        row, column = np.nonzero(np.triu(scores, 1))
        total = lengths[row + start] + lengths[column + start]
        # The length of a longest common subsequence is a whole number, so it comes back exactly from the score.
        common = np.rint(scores[row, column].astype(np.float64) * total / 2).astype(np.int64)
        kept = 2 * common * exact.denominator > exact.numerator * total
        one, other = order[row[kept] + start], order[column[kept] + start]
        yield Pairs(np.minimum(one, other), np.maximum(one, other), 2 * common[kept] / total[kept])


def _encode(texts: Sequence[str]) -> list[list[int]]:
    """Tokens as numbers, frequent ones small: rapidfuzz looks those up in a table and not in a hash."""
    tokens = [tokenize(text) for text in texts]
    counts = Counter(chain.from_iterable(tokens))
    rank = {token: rank for rank, (token, _) in enumerate(counts.most_common())}
    return [[rank[token] for token in one] for one in tokens]
