"""Removing tasks from a pool and putting them back, as appended events, while a run may be growing it."""

from __future__ import annotations

import contextlib
import json
import sqlite3
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from selfinstruct.errors import ConfigError, PoolError
from selfinstruct.pool.condition import matching
from selfinstruct.pool.opening import connect, open_for_reading

Kind = Literal["remove", "restore"]
SHORTEST_BEGINNING = 6
_REMOVED = "id IN (SELECT task_id FROM removed)"


@dataclass(frozen=True, slots=True)
class Selection:
    """Which tasks are meant; just one of these is given."""

    ids: tuple[str, ...] = ()
    """Ids, or beginnings of six characters and more that fit one task alone."""
    condition: str | None = None
    """An SQL condition on generated tasks."""
    event: int | None = None
    """The tasks that this event took."""
    everything: bool = False


def selected(
    kind: Kind,
    ids: Sequence[str],
    reason: str,
    *,
    where: str | None = None,
    event: int | None = None,
    everything: bool = False,
) -> Selection:
    """The selection that a user made.

    Raises:
        ConfigError: tasks are named in no way or in several, or a removal has no reason.
    """
    ways = [bool(ids), where is not None, event is not None, everything].count(True)
    if kind == "remove" and ways != 1:
        raise ConfigError("name the tasks to remove: by ID..., or by --where EXPR")
    if kind == "restore" and ways != 1:
        raise ConfigError("name the tasks to put back: by ID..., --where EXPR, --event N, or --all")
    if kind == "remove" and not reason.strip():
        raise ConfigError("say why by --reason; whoever looks at the pool later will want to know")
    return Selection(tuple(ids), where, event, everything)


@dataclass(frozen=True, slots=True)
class Touched:
    """A task that an event takes."""

    id: str
    instruction: str
    origin: str
    is_descendant: bool
    """It was not named: a task that was shown led to it."""


@dataclass(frozen=True, slots=True)
class Change:
    """What an event took, or would take."""

    event: int | None
    """Its number; None where nothing was to be done or nothing was to be written."""
    tasks: tuple[Touched, ...]
    """In the order of the pool."""


def change(
    folder: Path,
    kind: Kind,
    selection: Selection,
    reason: str,
    created_at: str,
    *,
    descendants: bool = False,
    dry_run: bool = False,
) -> Change:
    """Append an event that removes the selected tasks or puts them back; those that are so already are left out.

    `descendants` adds all tasks that the selected ones were shown for, over all generations.

    Raises:
        ConfigError: an id is unknown, the condition cannot be used, or a text is not UTF-8.
        PoolError: there is no pool, it cannot be written, or no seed would be left.
    """
    for name, text in (("--reason", reason), *(("ID", one) for one in selection.ids)):
        if any("\ud800" <= character <= "\udfff" for character in text):  # what no UTF-8 gives
            raise ConfigError(f"{name}: this is not UTF-8 text; nothing was changed")
    try:
        with contextlib.closing(open_for_reading(folder)) as reader:
            reader.execute("BEGIN")
            named = set(_selected(reader, selection, kind, folder))
            family = _with_descendants(reader, named) if descendants else named
            if not _touched(reader, kind, named, family):
                return Change(None, ())
        with contextlib.closing(connect(folder / "pool.db")) as writer:
            writer.execute("BEGIN IMMEDIATE")
            taken = _touched(writer, kind, named, family)  # somebody may have been faster
            seeds = "SELECT COUNT(*) FROM tasks WHERE origin = 'seed' AND id NOT IN (SELECT task_id FROM removed)"
            left = writer.execute(seeds).fetchone()[0] - sum(task.origin == "seed" for task in taken)
            if kind == "remove" and not left:
                raise PoolError(f"{folder}: no seed would be left to grow from; leave at least one")
            if dry_run or not taken:
                return Change(None, taken)
            sql = "INSERT INTO events (kind, reason, condition, descendants, created_at) VALUES (?, ?, ?, ?, ?)"
            event = writer.execute(sql, (kind, reason, selection.condition, descendants, created_at)).lastrowid
            writer.executemany("INSERT INTO event_tasks VALUES (?, ?)", [(event, task.id) for task in taken])
            writer.execute("COMMIT")
            return Change(event, taken)
    except sqlite3.DatabaseError as error:
        raise PoolError(f"{folder / 'pool.db'}: the event cannot be written ({error}); nothing was changed") from error


def _selected(reader: sqlite3.Connection, selection: Selection, kind: Kind, folder: Path) -> Sequence[str]:
    if selection.condition is not None:
        return matching(folder, selection.condition, _REMOVED if kind == "restore" else "origin = 'generated'")
    if selection.everything:
        return [row[0] for row in reader.execute("SELECT task_id FROM removed")]
    if selection.event is not None:
        sql = "SELECT task_id FROM event_tasks WHERE event = CAST(? AS INTEGER)"
        found = [row[0] for row in reader.execute(sql, [str(selection.event)])]
        if not found:
            raise ConfigError(
                f"--event {selection.event}: there is no such event; `explain {folder} ID` says which one took a task"
            )
        return found
    return [_resolved(reader, identity, folder) for identity in selection.ids]


def _resolved(reader: sqlite3.Connection, identity: str, folder: Path) -> str:
    """The task's id in full."""
    sql = (
        "SELECT id FROM tasks WHERE id = ?1 OR length(?1) >= ?2 AND substr(id, 1, length(?1)) = ?1 "
        "ORDER BY id != ?1, position LIMIT 2"
    )
    found = [row[0] for row in reader.execute(sql, [identity, SHORTEST_BEGINNING])]
    if found[:1] == [identity] or len(found) == 1:
        return str(found[0])
    what = "several tasks begin so" if found else "no such task"
    raise ConfigError(
        f"{identity}: {what} in {folder}; give a whole id, or a beginning of {SHORTEST_BEGINNING} characters and more "
        "that fits one (`explain` shows ids); nothing was changed"
    )


def _with_descendants(reader: sqlite3.Connection, named: Iterable[str]) -> set[str]:
    """These tasks, all that they were shown for, all that those were shown for, and so on."""
    family = set(named)
    # A task comes after all it was shown beside, so one pass in the order of the pool finds every generation.
    for identity, parents in reader.execute(
        "SELECT id, parents FROM tasks WHERE origin = 'generated' ORDER BY position"
    ):
        if not family.isdisjoint(json.loads(parents)):
            family.add(identity)
    return family


def _touched(connection: sqlite3.Connection, kind: Kind, named: set[str], family: set[str]) -> tuple[Touched, ...]:
    """The tasks of the family that an event would take, in the order of the pool: those that are not so already."""
    is_not_so = f"{'NOT ' if kind == 'remove' else ''}{_REMOVED}"
    rows = connection.execute(
        "SELECT id, instruction, origin FROM tasks WHERE id IN (SELECT value FROM json_each(?)) "
        f"AND {is_not_so} ORDER BY position",
        (json.dumps(sorted(family)),),
    )
    return tuple(Touched(row[0], row[1], row[2], row[0] not in named) for row in rows)
