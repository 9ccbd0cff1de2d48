"""What people did to a pool's tasks after they were judged: removals and their undoing, as appended events."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Literal

Kind = Literal["remove", "restore"]


@dataclass(frozen=True, slots=True)
class Removed:
    """The tasks that are removed as of an event."""

    last_event: int = 0
    """The number of the last event there is; 0 before the first."""
    positions: tuple[int, ...] = ()
    """Their positions in the pool, seeds included, ascending."""


@dataclass(frozen=True, slots=True)
class Touched:
    """A task that an event takes."""

    id: str
    instruction: str
    origin: str
    is_descendant: bool
    """It was not named: a task that was shown led to it."""


def read_removed(connection: sqlite3.Connection, known: Removed) -> Removed:
    """The tasks that are removed now; `known` if nothing has happened since that was read."""
    last = connection.execute("SELECT COALESCE(MAX(number), 0) FROM events").fetchone()[0]
    if last == known.last_event:
        return known
    sql = "SELECT t.position FROM removed r JOIN tasks t ON t.id = r.task_id ORDER BY t.position"
    return Removed(last, tuple(row[0] for row in connection.execute(sql)))


def touched(
    connection: sqlite3.Connection, kind: Kind, named: Iterable[str], family: Iterable[str]
) -> tuple[Touched, ...]:
    """The tasks of the family that an event would take, in the order of the pool: those that are not so already."""
    wanted, family = set(named), set(family)
    gone = {row[0] for row in connection.execute("SELECT task_id FROM removed")}
    family = family - gone if kind == "remove" else family & gone
    rows = connection.execute(
        "SELECT t.id, t.instruction, t.origin FROM json_each(?) one JOIN tasks t ON t.id = one.value "
        "ORDER BY t.position",
        (json.dumps(sorted(family)),),
    )
    return tuple(Touched(row[0], row[1], row[2], row[0] not in wanted) for row in rows)


def with_descendants(connection: sqlite3.Connection, ids: Iterable[str]) -> set[str]:
    """These tasks, all that they were shown for, all that those were shown for, and so on."""
    family = set(ids)
    # A task comes after all it was shown beside, so one pass in the order of the pool finds every generation.
    for identity, parents in connection.execute(
        "SELECT id, parents FROM tasks WHERE origin = 'generated' ORDER BY position"
    ):
        if not family.isdisjoint(json.loads(parents)):
            family.add(identity)
    return family


def seeds_left(connection: sqlite3.Connection, taken: Sequence[Touched]) -> int:
    """How many seeds would still be there to be shown."""
    sql = "SELECT COUNT(*) FROM tasks WHERE origin = 'seed' AND id NOT IN (SELECT task_id FROM removed)"
    there: int = connection.execute(sql).fetchone()[0]
    return there - sum(task.origin == "seed" for task in taken)


def append(
    connection: sqlite3.Connection,
    kind: Kind,
    ids: Sequence[str],
    reason: str,
    created_at: str,
    *,
    condition: str | None = None,
    descendants: bool = False,
) -> int:
    """Add an event; its number."""
    sql = "INSERT INTO events (kind, reason, condition, descendants, created_at) VALUES (?, ?, ?, ?, ?)"
    number = connection.execute(sql, (kind, reason, condition, descendants, created_at)).lastrowid
    connection.executemany("INSERT INTO event_tasks VALUES (?, ?)", [(number, identity) for identity in ids])
    return int(number or 0)
