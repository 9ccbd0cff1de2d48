"""How instructions begin."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

WORDS = 3
"""Words at the front of an instruction that are its opening."""
TOP = 10


def opening(tokens: Sequence[str]) -> tuple[str, ...]:
    """The first words of an instruction."""
    return tuple(tokens[:WORDS])


def top_share(openings: Sequence[tuple[str, ...]]) -> float | None:
    """The share of the instructions that have one of the ten most frequent openings."""
    counts = Counter(openings)
    return sum(sorted(counts.values(), reverse=True)[:TOP]) / len(openings) if openings else None
