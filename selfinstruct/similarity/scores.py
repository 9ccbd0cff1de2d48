"""ROUGE-L F1 of two token lists as integers: what a score is, and what it takes to pass a threshold.

Throughout, `common` is the length of the longest common subsequence, m and n are the lengths of the two lists, and
F1 = 2 common / (m + n).
"""

from __future__ import annotations

from fractions import Fraction

import numpy as np
from numpy.typing import NDArray

_SLACK = Fraction(1, 10**9)
"""Room for float noise where pairs are searched for the float formula; what is found is then tested by it."""


def f1_in_floats(common: int, m: int, n: int) -> float:
    """ROUGE-L F1 by the float formula of `rouge_score` 0.1.2; 0.0 where a side has no tokens."""
    if not common:
        return 0.0
    precision, recall = common / n, common / m
    return 2 * precision * recall / (precision + recall)


def f1(common: int, m: int, n: int) -> float:
    """ROUGE-L F1 as the float nearest to the exact value; 0.0 where nothing is common."""
    return 2 * common / (m + n) if common else 0.0


class Cutoff:
    """Which scores count: those above a threshold. A score of 0 never does.

    With `floats` the test is F = 2pr / (p + r) in floats, as `rouge_score` makes it, which puts some ties above the
    threshold; otherwise it is exact arithmetic on the decimal.
    """

    def __init__(self, threshold: str, *, floats: bool) -> None:
        self.value = Fraction(threshold)
        self.floor = float(threshold) if floats else -1.0
        """What the float formula must exceed; below every score where integers alone decide."""
        self._bound = self.value - _SLACK if floats else self.value
        self._floats = floats
        self._needs = np.zeros(0, np.int32)

    def passes(self, common: int, m: int, n: int) -> bool:
        """Does this score count?"""
        return common >= self.needed(m + n) and f1_in_floats(common, m, n) > self.floor

    def needed(self, total: int) -> int:
        """The least common length that can count for lists of m + n = `total` tokens; at least 1."""
        up, down = self._bound.numerator * total, 2 * self._bound.denominator
        return max(1, -(-up // down) if self._floats else up // down + 1)

    def needs(self, most: int) -> NDArray[np.int32]:
        """What is `needed` for each total up to `most` or more."""
        if self._needs.size <= most:
            self._needs = np.array([self.needed(total) for total in range(2 * most + 2)], np.int32)
        return self._needs
