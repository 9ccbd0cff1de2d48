"""What people do to tasks and rows later: remove, restore, correct; as appended events, while a run may be going."""

from __future__ import annotations

import contextlib
import json
import sqlite3
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from selfinstruct.errors import ConfigError, PoolError, option_name, unknown
from selfinstruct.own import in_words
from selfinstruct.pool.condition import matching
from selfinstruct.pool.opening import connect, open_for_reading
from selfinstruct.pool.reader import Reader
from selfinstruct.pool.records import StoredInstance, StoredTask
from selfinstruct.pool.statements import insert
from selfinstruct.types import storable

Kind = Literal["remove", "restore", "revert"]
FIELDS = ("instruction", "input", "output")
"""What can be corrected of a row."""
_REMOVED = "id IN (SELECT task_id FROM removed)"
_CORRECTED = "id IN (SELECT task_id FROM corrected)"
_TAKEN: Mapping[Kind, str] = {"remove": f"NOT {_REMOVED}", "restore": _REMOVED, "revert": _CORRECTED}
"""Which tasks an event of each kind takes, as a condition in SQL."""


@dataclass(frozen=True, slots=True)
class Selection:
    """Which tasks are meant; just one of these is given."""

    ids: tuple[str, ...] = ()
    """Ids, or beginnings of six characters and more that fit one task alone."""
    condition: str | None = None
    """An SQL condition on generated tasks."""
    event: int | None = None
    """The tasks that this event removed; to revert, those of which its correction stands."""
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
    if kind != "remove" and ways != 1:
        raise ConfigError(f"name the tasks to {kind}: by ID..., --where EXPR, --event N, or --all")
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
    seeds: int = 0
    """Where nothing was to be done: seeds that a condition holds for, which are removed by their ids alone."""


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
    """Append an event that removes the selected tasks, puts them back or takes back their corrections.

    Those that are so already are left out.

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
            if not _touched(reader, _TAKEN[kind], named, family):
                if kind != "remove" or selection.condition is None:
                    return Change(None, ())
                fitting = matching(folder, selection.condition, f"origin = 'seed' AND NOT {_REMOVED}")
                return Change(None, (), len(fitting))
        with contextlib.closing(connect(folder / "pool.db")) as writer:
            writer.execute("BEGIN IMMEDIATE")
            taken = _touched(writer, _TAKEN[kind], named, family)  # somebody may have been faster
            seeds = "SELECT COUNT(*) FROM tasks WHERE origin = 'seed' AND id NOT IN (SELECT task_id FROM removed)"
            left = writer.execute(seeds).fetchone()[0] - sum(task.origin == "seed" for task in taken)
            if kind == "remove" and not left:
                raise PoolError(f"{folder}: no seed would be left to grow from; leave at least one")
            if dry_run or not taken:
                return Change(None, taken)
            more = {"condition": selection.condition, "descendants": descendants}
            event = _add_event(writer, kind, reason, created_at, [task.id for task in taken], **more)
            writer.execute("COMMIT")
            return Change(event, taken)
    except sqlite3.DatabaseError as error:
        raise PoolError(f"{folder / 'pool.db'}: the event cannot be written ({error}); nothing was changed") from error


@dataclass(frozen=True, slots=True)
class Correction:
    """What came of correcting a row."""

    row: str
    """TASK/NUMBER in full."""
    event: int | None
    """None where the row had these texts already."""


def correct(folder: Path, row_id: str, texts: Mapping[str, object], reason: str, created_at: str) -> Correction:
    """Append an event by which a row has these texts from now on. The other texts stay.

    The row is named TASK/NUMBER, or by its task alone where that has no other one. A corrected instruction is that of
    all rows of its task. Texts that are so already change nothing.

    Raises:
        ConfigError: there is no such row, it is removed, or a text cannot be used.
        PoolError: there is no pool, or it cannot be written.
    """
    _check_texts(texts, reason)
    try:
        open_for_reading(folder).close()  # is there one?
        with contextlib.closing(connect(folder / "pool.db")) as writer:
            writer.execute("BEGIN IMMEDIATE")
            pool = Reader(writer)
            task, row = _row(pool, row_id)
            if task.id in pool.removed():
                raise ConfigError(f"{row_id}: its task is removed; `restore` puts it back, then it can be corrected")
            before = {"instruction": task.instruction, "input": row.input, "output": row.output}
            now, event = {**before, **texts}, None
            if now != before:
                event = _add_event(writer, "correct", reason, created_at, [task.id])
                values = (event, task.id, row.number, *(now[name] for name in FIELDS))
                writer.execute("INSERT INTO corrections VALUES (?, ?, ?, ?, ?, ?)", values)
                writer.execute("COMMIT")
            return Correction(f"{task.id}/{row.number}", event)
    except sqlite3.DatabaseError as error:
        raise PoolError(f"{folder / 'pool.db'}: the event cannot be written ({error}); nothing was changed") from error


def _check_texts(texts: Mapping[str, object], reason: str) -> None:
    if not texts:
        raise ConfigError(f"nothing to correct is given; wanted one or more of {', '.join(FIELDS)}")
    for name, text in {**texts, "reason": reason}.items():
        if name not in {*FIELDS, "reason"}:
            raise ConfigError(f"{option_name(name)}: a row has no such text; {unknown(name, FIELDS)}")
        if not isinstance(text, str) or storable(text) != text:
            raise ConfigError(f"{option_name(name)}: {in_words(text)} given, wanted a text in UTF-8")
        if name in {"instruction", "output"} and not text.strip():
            raise ConfigError(f"{option_name(name)}: it would be empty; `remove` leaves a task out")


def _row(pool: Reader, row_id: str) -> tuple[StoredTask, StoredInstance]:
    """A row as it is now, and its task."""
    beginning, _, number = row_id.partition("/")
    task = next(pool.tasks("t.id = ?", (pool.task_id(beginning),)))
    found = [one for one in task.instances if number in ("", str(one.number))]
    if len(found) == 1:
        return task, found[0]
    rows = ", ".join(f"{task.id}/{one.number}" for one in task.instances)
    what = "there are several rows" if found else "there is no such row"
    raise ConfigError(f"{row_id}: {what}; {f'its task has {rows}' if rows else 'its task has none yet'}")


def _add_event(
    writer: sqlite3.Connection, kind: str, reason: str, created_at: str, tasks: Iterable[str], **more: Any
) -> int:
    """Write an event that takes these tasks; its number."""
    row = {"kind": kind, "reason": reason, "condition": None, "descendants": 0, "created_at": created_at, **more}
    event = int(writer.execute(*insert("events", row)).lastrowid or 0)
    writer.executemany("INSERT INTO event_tasks VALUES (?, ?)", [(event, task) for task in tasks])
    return event


def _selected(reader: sqlite3.Connection, selection: Selection, kind: Kind, folder: Path) -> Sequence[str]:
    if selection.condition is not None:
        return matching(folder, selection.condition, "origin = 'generated'" if kind == "remove" else _TAKEN[kind])
    if selection.everything:
        return [row[0] for row in reader.execute(f"SELECT id FROM tasks WHERE {_TAKEN[kind]}")]
    if selection.event is not None:
        sql = "SELECT task_id FROM event_tasks WHERE event = CAST(? AS INTEGER)"
        found = [row[0] for row in reader.execute(sql, [str(selection.event)])]
        if not found:
            raise ConfigError(
                f"--event {selection.event}: there is no such event; `explain {folder} ID` says which one took a task"
            )
        if kind == "revert":
            sql = "SELECT task_id FROM corrected WHERE event = CAST(? AS INTEGER)"
            return [row[0] for row in reader.execute(sql, [str(selection.event)])]
        return found
    return [Reader(reader).task_id(identity) for identity in selection.ids]


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


def _touched(connection: sqlite3.Connection, meant: str, named: set[str], family: set[str]) -> tuple[Touched, ...]:
    """The tasks of the family for which a condition holds, in the order of the pool."""
    rows = connection.execute(
        "SELECT id, instruction, origin FROM tasks WHERE id IN (SELECT value FROM json_each(?)) "
        f"AND {meant} ORDER BY position",
        (json.dumps(sorted(family)),),
    )
    return tuple(Touched(row[0], row[1], row[2], row[0] not in named) for row in rows)
