"""Which rows are the most doubtful, so that the time of a reader is spent on them first."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from statistics import median

from selfinstruct.pool.records import Row
from selfinstruct.short_answers import is_definite
from selfinstruct.types import BEST, Task

_VOTES = ("agreement", "strong")
"""The steps whose other answers should say the same as the output."""
_USUAL, _EXTREME = 2.5, 6.0
"""Deviations of a length: up to the first one it is no outlier, from the second on it could not be a worse one."""


_SHORT = 100
"""The most characters of a short definite answer; a longer text that comes to one may be unusually long."""


@dataclass(frozen=True, slots=True)
class Lengths:
    """How long outputs are: the middle of the logarithms of their lengths, and how far most of them lie from it."""

    middle: float
    deviation: float

    @classmethod
    def of(cls, rows: Sequence[Row]) -> Lengths:
        """Those of these rows without labels and short definite answers, which say nothing by their length."""
        logs = [_log(one) for one in rows if not _is_short(one)] or [0.0]
        middle = median(logs)
        # 1.4826 makes the median of distances the standard deviation of a normal distribution
        return cls(middle, 1.4826 * median(abs(one - middle) for one in logs))

    def distance(self, row: Row) -> float:
        """By how many deviations an output is longer than most; negative where it is shorter."""
        if not self.deviation or _is_short(row):
            return 0.0
        return (_log(row) - self.middle) / self.deviation


@dataclass(frozen=True, slots=True)
class Doubt:
    """How doubtful a row is, from 0 up, and why, in words."""

    points: float
    why: tuple[str, ...]


def doubt(row: Row, lengths: Lengths, *, with_verdict: bool) -> Doubt:
    """The doubt about a row: up to one point each for the judge, other answers and an unusual length."""
    points, why = 0.0, []
    if row.verdict and with_verdict:
        scores = [one for one in row.scores if one is not None]
        if not scores:
            points, why = 1.0, ["the judge could not be read"]
        elif min(scores) < BEST:
            points, why = (BEST - min(scores)) / (BEST - 1), [f"the judge's lowest score is {min(scores)} of {BEST}"]
    votes = [one.is_right for one in row.samples if one.step in _VOTES and one.is_right is not None]
    if others := votes.count(False):
        points += others / len(votes)
        why.append(f"{others} of {len(votes)} other answers disagree")
    distance = lengths.distance(row)
    if abs(distance) > _USUAL:
        points += min(1.0, (abs(distance) - _USUAL) / (_EXTREME - _USUAL))
        than = "longer" if distance > 0 else "shorter"
        why.append(f"the output is much {than} than most: {len(row.output):,} characters")
    return Doubt(points, tuple(why))


def _is_short(row: Row) -> bool:
    if row.is_classification or len(row.output) > _SHORT:
        return row.is_classification
    return is_definite(Task(row.task_id, row.instruction, row.is_classification), row.output)


def _log(row: Row) -> float:
    return math.log1p(len(row.output))
