"""The Vendi score (Friedman and Dieng 2023): how many entirely different texts would be as varied as some texts are.

It is the exponential of the entropy of the eigenvalues of K/n, K being the similarity of each pair; its cost grows with
the cube of n.
"""

from __future__ import annotations

import hashlib
import math
from collections import Counter, defaultdict
from collections.abc import Sequence
from itertools import combinations, pairwise
from typing import Any

import numpy as np
from numpy.typing import NDArray

VENDI_SAMPLE = 2000
"""Instructions of which the Vendi score is taken."""
_FREQUENT = 8
"""N-grams in more instructions than this are multiplied together, the rest one by one."""


def vendi_sample(instructions: Sequence[str], size: int = VENDI_SAMPLE) -> list[str]:
    """At most `size` of the instructions: those whose SHA-256 is least, so the same whatever their order."""
    if len(instructions) <= size:
        return sorted(instructions)
    return sorted(instructions, key=lambda text: hashlib.sha256(text.encode("utf-8", "surrogatepass")).digest())[:size]


def vendi_score(tokens: Sequence[Sequence[str]]) -> float | None:
    """The Vendi score of instructions by their tokens: 1 if all are the same, n if none overlap, None without any.

    The similarity is the mean over n-grams of one and two words of the cosine between their counts, as in the paper.
    """
    return _vendi((_cosines(tokens, 1) + _cosines(tokens, 2)) / 2) if tokens else None


def vendi_of_embeddings(vectors: Sequence[Sequence[float]]) -> float | None:
    """The same by the cosine between embeddings (count, dimensions), to four digits."""
    if not vectors:
        return None
    rows = np.asarray(vectors, dtype=np.float64)
    rows /= np.maximum(np.linalg.norm(rows, axis=1, keepdims=True), 1e-12)
    return round(_vendi(rows @ rows.T), 4)


def _vendi(kernel: NDArray[np.float64]) -> float:
    eigenvalues = np.linalg.eigvalsh(kernel / len(kernel))
    positive = eigenvalues[eigenvalues > 1e-12]
    return float(np.exp(-np.sum(positive * np.log(positive))))


def _cosines(tokens: Sequence[Sequence[str]], n: int) -> NDArray[np.float64]:
    """The cosine of each pair of instructions between the counts of their n-grams; without any, only like itself."""
    holders: dict[Any, list[tuple[int, float]]] = defaultdict(list)
    for place, one in enumerate(tokens):
        counts = Counter(one if n == 1 else pairwise(one))
        length = math.sqrt(sum(count * count for count in counts.values()))
        for gram, count in counts.items():
            holders[gram].append((place, count / length))
    frequent = [found for found in holders.values() if len(found) > _FREQUENT]
    columns = np.zeros((len(tokens), len(frequent)))
    for column, found in enumerate(frequent):
        for place, weight in found:
            columns[place, column] = weight
    kernel = columns @ columns.T
    for found in holders.values():
        if len(found) <= _FREQUENT:
            for (place, weight), (other, other_weight) in combinations(found, 2):
                kernel[place, other] += weight * other_weight
                kernel[other, place] += weight * other_weight
    np.fill_diagonal(kernel, 1.0)
    return kernel
