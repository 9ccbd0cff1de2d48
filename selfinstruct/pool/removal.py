"""Removing tasks from a pool and putting them back, while a run may be growing it. Nothing is deleted."""

from __future__ import annotations

import contextlib
import sqlite3
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from selfinstruct.errors import ConfigError, PoolError
from selfinstruct.pool import events
from selfinstruct.pool.condition import matching
from selfinstruct.pool.events import Kind, Touched
from selfinstruct.pool.opening import open_for_reading
from selfinstruct.pool.writer import connect

SHORTEST_BEGINNING = 6


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
            named = _selected(reader, selection, kind, folder)
            family = events.with_descendants(reader, named) if descendants else set(named)
            taken = events.touched(reader, kind, named, family)
        if not taken:
            return Change(None, ())
        with contextlib.closing(connect(folder / "pool.db")) as writer:
            writer.execute("BEGIN IMMEDIATE")
            taken = events.touched(writer, kind, named, family)  # somebody may have been faster
            if kind == "remove" and not events.seeds_left(writer, taken):
                raise PoolError(f"{folder}: no seed would be left to grow from; leave at least one")
            if dry_run or not taken:
                return Change(None, taken)
            number = events.append(
                writer, kind, [task.id for task in taken], reason, created_at,
                condition=selection.condition, descendants=descendants,
            )  # fmt: skip
            writer.execute("COMMIT")
            return Change(number, taken)
    except sqlite3.DatabaseError as error:
        raise PoolError(f"{folder / 'pool.db'}: the event cannot be written ({error}); nothing was changed") from error


def _selected(reader: sqlite3.Connection, selection: Selection, kind: Kind, folder: Path) -> Sequence[str]:
    removed = "id IN (SELECT task_id FROM removed)"
    if selection.condition is not None:
        with contextlib.closing(open_for_reading(folder)) as guarded:
            return matching(guarded, selection.condition, removed if kind == "restore" else "origin = 'generated'")
    if selection.everything:
        return [row[0] for row in reader.execute(f"SELECT id FROM tasks WHERE {removed}")]  # noqa: S608 - ours
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
    if reader.execute("SELECT 1 FROM tasks WHERE id = ?", [identity]).fetchone():
        return identity
    sql = "SELECT id FROM tasks WHERE substr(id, 1, length(?1)) = ?1 ORDER BY position LIMIT 2"
    found = reader.execute(sql, [identity]).fetchall() if len(identity) >= SHORTEST_BEGINNING else []
    if len(found) == 1:
        return str(found[0][0])
    what = "several tasks begin so" if found else "no such task"
    raise ConfigError(
        f"{identity}: {what} in {folder}; give a whole id, or a beginning of {SHORTEST_BEGINNING} characters and more "
        "that fits one (`explain` shows ids); nothing was changed"
    )
