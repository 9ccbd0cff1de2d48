"""What people do to tasks and rows later, as appended events, while a run may be going."""

from __future__ import annotations

import contextlib
import json
import sqlite3
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import groupby
from operator import itemgetter
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
Place = tuple[str, int | None]
"""A task, or with a number one of its rows."""
FIELDS = ("instruction", "input", "output")
"""What can be corrected of a row."""
_REMOVED = "id IN (SELECT task_id FROM removed)"
_TAKEN: Mapping[Kind, str] = {
    "remove": f"NOT {_REMOVED}",
    "restore": f"({_REMOVED} OR id IN (SELECT task_id FROM removed_rows))",
    "revert": "id IN (SELECT task_id FROM corrected UNION SELECT task_id FROM preferred)",
}
"""Which tasks an event of each kind takes, as a condition in SQL."""


@dataclass(frozen=True, slots=True)
class Selection:
    """Which tasks are meant; just one of these is given."""

    ids: tuple[str, ...] = ()
    """Ids, or beginnings of six characters and more that fit one task alone; TASK/NUMBER for one of its rows."""
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
    if ways != 1:
        known = "by ID... or --where EXPR" if kind == "remove" else "by ID..., --where EXPR, --event N, or --all"
        raise ConfigError(f"name the tasks to {kind} in one way: {known}")
    if kind == "remove" and not reason.strip():
        raise ConfigError("say why by --reason; whoever looks at the pool later will want to know")
    return Selection(tuple(ids), where, event, everything)


@dataclass(frozen=True, slots=True)
class Touched:
    """A task, or a row without the others of its task, that an event takes."""

    id: str
    row: int | None
    """Its number within the task; None: the whole task."""
    instruction: str
    origin: str
    is_descendant: bool
    """It was not named: a task that was shown led to it."""

    @property
    def name(self) -> str:
        """The id of the task, or TASK/NUMBER."""
        return self.id if self.row is None else f"{self.id}/{self.row}"


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
    """Append an event that removes the selected tasks and rows, puts them back or takes back their corrections.

    Those that are so already are left out. A task that is put back has all its rows again. One of which the last row is
    removed is a removed task.

    `descendants` adds all tasks that the selected ones were shown for, over all generations.

    Raises:
        ConfigError: an id is unknown, the condition cannot be used, or a text is not UTF-8.
        PoolError: there is no pool, it cannot be written, or no seed would be left.
    """
    for name, text in (("--reason", reason), *(("ID", one) for one in selection.ids)):
        if any("\ud800" <= character <= "\udfff" for character in text):  # what no UTF-8 gives
            raise ConfigError(f"{name}: this is not UTF-8 text; nothing was changed")
    with _one_line(folder), contextlib.closing(open_for_reading(folder)) as reader:
        reader.execute("BEGIN")
        named = set(_selected(reader, selection, kind, folder))
        family = _with_descendants(reader, named) if descendants else named
        if not _touched(reader, kind, named, family):
            if kind != "remove" or selection.condition is None:
                return Change(None, ())
            fitting = matching(folder, selection.condition, f"origin = 'seed' AND NOT {_REMOVED}")
            return Change(None, (), len(fitting))
    with _writing(folder) as writer:
        taken = _touched(writer, kind, named, family)  # somebody may have been faster
        if not taken:
            return Change(None, taken)
        more = {"condition": selection.condition, "descendants": descendants}
        event = _add_event(writer, kind, reason, created_at, [(one.id, one.row) for one in taken], **more)
        left = f"SELECT EXISTS (SELECT 1 FROM tasks WHERE origin = 'seed' AND NOT {_REMOVED})"
        if kind == "remove" and not writer.execute(left).fetchone()[0]:
            raise PoolError(f"{folder}: no seed would be left to grow from; leave at least one")
        if dry_run:
            return Change(None, taken)
        writer.execute("COMMIT")
        return Change(event, taken)


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
    with _writing(folder) as writer:
        pool = Reader(writer)
        task, row = _row(pool, row_id)
        if (task.id, row.number) in pool.removed_rows():
            raise ConfigError(f"{row_id}: it or its task is removed; `restore` puts it back, then it can be corrected")
        before = {"instruction": task.instruction, "input": row.input, "output": row.output}
        now, event = {**before, **texts}, None
        if now != before:
            event = _add_event(writer, "correct", reason, created_at, [(task.id, None)])
            values = (event, task.id, row.number, *(now[name] for name in FIELDS))
            writer.execute("INSERT INTO corrections VALUES (?, ?, ?, ?, ?, ?)", values)
            writer.execute("COMMIT")
        return Correction(f"{task.id}/{row.number}", event)


def prefer(folder: Path, task_id: str, number: int, created_at: str, *, is_better: bool | None) -> None:
    """Append an event that says whether a sample of a task is better than the output; None takes back what was said.

    Raises:
        ConfigError: there is no such sample.
        PoolError: there is no pool, or it cannot be written.
    """
    with _writing(folder) as writer:
        if not writer.execute("SELECT 1 FROM samples WHERE (task_id, number) = (?, ?)", (task_id, number)).fetchone():
            raise ConfigError(f"{task_id}: it has no other answer with the number {number}")
        event = _add_event(writer, "prefer", "", created_at, [(task_id, None)])
        writer.execute("INSERT INTO preferences VALUES (?, ?, ?, ?)", (event, task_id, number, is_better))
        writer.execute("COMMIT")


@contextlib.contextmanager
def _writing(folder: Path) -> Iterator[sqlite3.Connection]:
    """A connection within a transaction, which is undone unless it is committed."""
    with _one_line(folder):
        open_for_reading(folder).close()  # is there one?
        with contextlib.closing(connect(folder / "pool.db")) as writer:
            writer.execute("BEGIN IMMEDIATE")
            yield writer


@contextlib.contextmanager
def _one_line(folder: Path) -> Iterator[None]:
    try:
        yield
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
    writer: sqlite3.Connection, kind: str, reason: str, created_at: str, places: Iterable[Place], **more: Any
) -> int:
    """Write an event that takes these tasks and rows; its number."""
    row = {"kind": kind, "reason": reason, "condition": None, "descendants": 0, "created_at": created_at, **more}
    event = int(writer.execute(*insert("events", row)).lastrowid or 0)
    writer.executemany("INSERT INTO event_tasks VALUES (?, ?, ?)", [(event, *place) for place in places])
    return event


def _selected(reader: sqlite3.Connection, selection: Selection, kind: Kind, folder: Path) -> list[Place]:
    if selection.condition is not None:
        among = "origin = 'generated'" if kind == "remove" else _TAKEN[kind]
        return [(one, None) for one in matching(folder, selection.condition, among)]
    if selection.everything:
        return [(row[0], None) for row in reader.execute(f"SELECT id FROM tasks WHERE {_TAKEN[kind]}")]
    if selection.event is not None:
        sql = "SELECT task_id, position FROM event_tasks WHERE event = CAST(? AS INTEGER)"
        found = [(row[0], row[1]) for row in reader.execute(sql, [str(selection.event)])]
        if not found:
            raise ConfigError(
                f"--event {selection.event}: there is no such event; `explain {folder} ID` says which one took a task"
            )
        if kind == "revert":
            sql = "SELECT task_id FROM corrected WHERE event = CAST(? AS INTEGER)"
            return [(row[0], None) for row in reader.execute(sql, [str(selection.event)])]
        return found
    return [_place(Reader(reader), identity, kind) for identity in selection.ids]


def _place(pool: Reader, identity: str, kind: Kind) -> Place:
    """The task, or the row, that is named. Corrections are taken back by task, whose one corrected row may be named."""
    if "/" not in identity or pool.task(identity) is not None:  # an id of a seed may have a slash
        return pool.task_id(identity), None
    task, row = _row(pool, identity)
    if kind != "revert":
        return task.id, row.number
    sql = "SELECT position FROM corrected WHERE task_id = ? AND position != ? ORDER BY position"
    if others := pool.connection.execute(sql, (task.id, row.number)).fetchall():
        rows = ", ".join(f"{task.id}/{one[0]}" for one in others)
        raise ConfigError(f"{identity}: {rows} would lose its corrections too; give {task.id} to take back all of them")
    return task.id, None


def _with_descendants(reader: sqlite3.Connection, named: Iterable[Place]) -> set[Place]:
    """These tasks, all that they were shown for, all that those were shown for, and so on; rows have none."""
    family = {task for task, number in named if number is None}
    # A task comes after all it was shown beside, so one pass in the order of the pool finds every generation.
    for identity, parents in reader.execute(
        "SELECT id, parents FROM tasks WHERE origin = 'generated' ORDER BY position"
    ):
        if not family.isdisjoint(json.loads(parents)):
            family.add(identity)
    return {*named, *((task, None) for task in family)}


def _touched(connection: sqlite3.Connection, kind: Kind, named: set[Place], family: set[Place]) -> tuple[Touched, ...]:
    """What an event of this kind takes of the family, in the order of the pool."""
    tasks = json.dumps(sorted({task for task, _ in family}))
    among = "IN (SELECT value FROM json_each(?))"
    has_rows = any(number is not None for _, number in family)
    gone = Reader(connection).removed_rows(f"task_id {among}", (tasks,)) if has_rows else {}
    found = connection.execute(
        f"SELECT id, instruction, origin, {_TAKEN[kind]} FROM tasks WHERE id {among} ORDER BY position", (tasks,)
    )
    rows = sorted((task, number) for task, number in family if number is not None)
    rows_of = {task: [number for _, number in some] for task, some in groupby(rows, key=itemgetter(0))}
    taken = []
    for task, instruction, origin, is_taken in found:
        if (task, None) in family:
            numbers: list[int | None] = [None] if is_taken else []
        else:
            numbers = [one for one in rows_of[task] if ((task, one) in gone) == (kind == "restore")]
        taken += [Touched(task, one, instruction, origin, (task, one) not in named) for one in numbers]
    return tuple(taken)
