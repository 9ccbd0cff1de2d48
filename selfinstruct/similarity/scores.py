"""ROUGE-L F1 of two token lists as integers: what a score is, and what it takes to pass a threshold.

Throughout, `common` is the length of the longest common subsequence, m and n are the lengths of the two lists, and
F1 = 2 common / (m + n).
"""

from __future__ import annotations

import math
from collections.abc import Callable
from fractions import Fraction

_SLACK = Fraction(1, 10**9)
"""Room for float noise where pairs are searched for the float formula; what is found is then tested by it."""

Exceeds = Callable[[int, int, int], bool]
"""Is the likeness of lists of lengths m and n with a common subsequence of length L above the threshold? (L, m, n)"""


def exceeds_exactly(threshold: str) -> Exceeds:
    """The test 2L > t(m + n) on integers and the decimal t."""
    t = Fraction(threshold)
    up, down = t.numerator, t.denominator
    return lambda common, m, n: 2 * common * down > up * (m + n)


def exceeds_in_floats(threshold: str) -> Exceeds:
    """The test as `rouge_score` makes it: F = 2pr / (p + r) in floats, which puts some ties above the threshold."""
    t = float(threshold)
    return lambda common, m, n: f1_in_floats(common, m, n) > t


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
    """Which scores count: those above a threshold (`strict`), or those at or above it. A score of 0 never does.

    With `floats` the test is the float formula of `rouge_score`, otherwise exact arithmetic.
    """

    def __init__(self, threshold: str, *, strict: bool, floats: bool) -> None:
        self.value = Fraction(threshold)
        self._strict = strict
        t = float(threshold)
        self.floor = (t if strict else math.nextafter(t, -1.0)) if floats else -1.0
        """What the float formula must exceed; below every score where integers alone decide."""
        self._bound = self.value - _SLACK if floats else self.value
        self._needed_strictly = strict and not floats

    def passes(self, common: int, m: int, n: int) -> bool:
        """Does this score count?"""
        return common >= self.needed(m + n) and f1_in_floats(common, m, n) > self.floor

    def needed(self, total: int) -> int:
        """The least common length that can count for lists of m + n = `total` tokens; at least 1."""
        up, down = self._bound.numerator * total, 2 * self._bound.denominator
        return max(1, up // down + 1 if self._needed_strictly else -(-up // down))
