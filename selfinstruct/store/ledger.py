"""What each round brought, as rows for people."""

from __future__ import annotations

from collections import Counter, defaultdict
from dataclasses import dataclass
from pathlib import Path

from selfinstruct.store.reading import snapshot


@dataclass(frozen=True, slots=True)
class RoundFigures:
    """One round: how many of its instructions were accepted, and how many rejected for which reason."""

    number: int
    state: str
    accepted: int
    rejected: tuple[tuple[str, int], ...]
    """(reason, count), the most frequent first."""


def round_figures(folder: Path, first: int) -> list[RoundFigures]:
    """Those of each round from this number on, in order."""
    with snapshot(folder) as connection:
        accepted = dict(
            connection.execute(
                "SELECT round, COUNT(*) FROM tasks WHERE origin = 'generated' AND round >= ? GROUP BY round", (first,)
            ).fetchall()
        )
        rejected: dict[int, Counter[str]] = defaultdict(Counter)
        for row in connection.execute(
            "SELECT round, reason, COUNT(*) AS n FROM rejections WHERE kind = 'instruction' AND round >= ? "
            "GROUP BY round, reason ORDER BY round, n DESC, reason",
            (first,),
        ):
            rejected[row["round"]][row["reason"]] = row["n"]
        rounds = connection.execute("SELECT number, state FROM rounds WHERE number >= ? ORDER BY number", (first,))
        return [
            RoundFigures(
                row["number"], row["state"], accepted.get(row["number"], 0), tuple(rejected[row["number"]].items())
            )
            for row in rounds
        ]
