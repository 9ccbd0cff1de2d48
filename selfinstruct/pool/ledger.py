"""What each round brought, how far a pool has come, and what its versions are judged by."""

from __future__ import annotations

import json
import sqlite3
from collections import Counter, defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from selfinstruct.pool.reader import snapshot
from selfinstruct.pool.training_rows import open_tasks


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


@dataclass(frozen=True, slots=True)
class Position:
    """How far a pool has come, as far as an export can see it: the same position gives the same rows."""

    tasks: int
    """Finished generated tasks, those without an instance and removed ones too."""
    last_task: str | None
    """The last of them in task order."""
    round: int | None
    """Its round."""
    last_event: int
    """The last removal or restoration there was; 0 if none."""
    open: Sequence[str] = field(default_factory=list)
    """The ids of the tasks before it that were not finished."""


def position(connection: sqlite3.Connection) -> Position:
    """Where the pool stands."""
    finished = "FROM tasks WHERE origin = 'generated' AND state != 'pending'"
    count = connection.execute(f"SELECT COUNT(*) {finished}").fetchone()[0]
    last = connection.execute(f"SELECT id, round, position {finished} ORDER BY position DESC LIMIT 1").fetchone()
    event = connection.execute("SELECT COALESCE(MAX(number), 0) FROM events").fetchone()[0]
    if last is None:
        return Position(count, None, None, event)
    return Position(count, last["id"], last["round"], event, open_tasks(connection, last["position"]))


def acceptance(connection: sqlite3.Connection, rounds: int | None = None) -> float | None:
    """Accepted of judged instructions, in the last so many judged rounds or in all; None before anything is judged."""
    first = 0
    if rounds is not None:
        sql = (
            "SELECT MIN(number) FROM (SELECT number FROM rounds WHERE state != 'planned' ORDER BY number DESC LIMIT ?)"
        )
        first = connection.execute(sql, (rounds,)).fetchone()[0] or 0
    accepted = connection.execute(
        "SELECT COUNT(*) FROM tasks WHERE origin = 'generated' AND round >= ?", (first,)
    ).fetchone()[0]
    rejected = connection.execute(
        "SELECT COUNT(*) FROM rejections WHERE kind = 'instruction' AND round >= ?", (first,)
    ).fetchone()[0]
    return accepted / (accepted + rejected) if accepted + rejected else None


def classifications(connection: sqlite3.Connection) -> frozenset[str]:
    """The ids of the generated tasks that are classifications."""
    sql = "SELECT id FROM tasks WHERE origin = 'generated' AND is_classification"
    return frozenset(row["id"] for row in connection.execute(sql))


def instructions_of(connection: sqlite3.Connection, ids: Sequence[str]) -> dict[str, str]:
    """The instructions of these tasks by id, in the order given."""
    sql = (
        "SELECT one.value AS id, t.instruction FROM json_each(?) one JOIN tasks t ON t.id = one.value ORDER BY one.key"
    )
    return {row["id"]: row["instruction"] for row in connection.execute(sql, (json.dumps(list(ids)),))}
