"""The passages that tasks are written about, stored with the pool by content, and which of them belong together."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Callable, Iterable, Sequence
from dataclasses import asdict, replace
from functools import lru_cache
from typing import Any

from selfinstruct.pool.opening import Writer
from selfinstruct.pool.statements import Statement, insert
from selfinstruct.settings import Settings
from selfinstruct.types import PASSAGE, Passage, Task, canonical_json, digest

PassagesBy = Callable[[Settings], Sequence[Passage]]
"""What rounds of these settings write about, in order."""


def set_id(passages: Iterable[Passage]) -> str:
    """What names a set of passages in settings; empty for none."""
    ids = [one.id for one in passages]
    return digest(ids)[:16] if ids else ""


def add_passages(passages: Sequence[Passage]) -> list[Statement]:
    """Keep a set, and each passage once."""
    if not passages:
        return []
    row = {"id": set_id(passages), "passages": canonical_json([one.id for one in passages])}
    return [
        *(insert("passages", {**asdict(one), "more": canonical_json(one.more)}, once=True) for one in passages),
        insert("passage_sets", row, once=True),
    ]


def keep_passages(pool: Writer, passages: Sequence[Passage]) -> None:
    """Store them with the pool, before a round is planned by them."""
    with pool.connect() as connection:
        connection.execute("BEGIN IMMEDIATE")
        for sql, values in add_passages(passages):
            connection.execute(sql, values)
        connection.execute("COMMIT")


def read_passage(connection: sqlite3.Connection, identity: str) -> Passage:
    """The passage with this id."""
    sql = "SELECT id, document, number, heading, text, given, more FROM passages WHERE id = ?"
    row = dict(connection.execute(sql, (identity,)).fetchone())
    return Passage(**row | {"more": tuple((given, text) for given, text in json.loads(row["more"]))})


def with_passage(connection: sqlite3.Connection, task: Task) -> Task:
    """The task, with the passage that it was written about, if it was."""
    return replace(task, passage=read_passage(connection, task.drawn[PASSAGE])) if PASSAGE in task.drawn else task


def coverage(connection: sqlite3.Connection, settings: Settings | None) -> dict[str, int] | None:
    """How many passages of the set in use were asked about, of how many, and how often; None where there is no set."""
    if settings is None or not settings.passages:
        return None
    times = "SELECT json_extract(drawn, '$.passage') AS id, COUNT(*) AS times FROM requests"
    row = connection.execute(
        "SELECT COUNT(a.times) AS asked_about, COUNT(*) AS of, MIN(COALESCE(a.times, 0)) AS fewest, "
        "MAX(a.times) AS most FROM passage_sets s JOIN json_each(s.passages) one "
        f"LEFT JOIN ({times} WHERE task_id IS NULL AND state != 'superseded' GROUP BY 1) a ON a.id = one.value "
        "WHERE s.id = ?",
        (settings.passages,),
    ).fetchone()
    return dict(row)


class _Set(Sequence[Passage]):
    """A set of passages, each of which is read when it is asked for."""

    def __init__(self, pool: Writer, identity: str) -> None:
        self._pool = pool
        with pool.connect() as connection:
            found = connection.execute("SELECT passages FROM passage_sets WHERE id = ?", (identity,)).fetchone()
        self._ids = json.loads(found[0])

    def __len__(self) -> int:
        return len(self._ids)

    def __getitem__(self, place: Any) -> Any:
        """The passage at a place; not for slices."""
        with self._pool.connect() as connection:
            return read_passage(connection, self._ids[place])


def passages_by(pool: Writer) -> PassagesBy:
    """What the pool's rounds write about, by their settings."""
    opened = lru_cache(maxsize=8)(lambda identity: _Set(pool, identity))
    return lambda settings: opened(settings.passages) if settings.passages else ()
