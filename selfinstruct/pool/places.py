"""One row of a pool with everything a reader wants to know of it, and the places of all rows."""

from __future__ import annotations

import contextlib
import hashlib
import json
import sqlite3
from pathlib import Path
from typing import Any, NamedTuple

from selfinstruct.pool.condition import matching
from selfinstruct.pool.opening import open_for_reading
from selfinstruct.pool.reader import snapshot
from selfinstruct.similarity.common import mark_common


class Place(NamedTuple):
    """Where a row is."""

    task_id: str
    instance: int


Candidate = tuple[str, int]
"""The request that brought a row, and its place in the answer."""


def places(folder: Path, condition: str | None = None, sample: int | None = None) -> tuple[Place, ...]:
    """The rows of generated tasks in the order of the pool, those of removed tasks too.

    With a condition only those of the tasks for which it holds; with a sample so many of them, the same ones each time,
    as if drawn at random.

    Raises:
        ConfigError: the condition cannot be used.
        PoolError: there is no pool.
    """
    wanted = None
    if condition is not None:
        with contextlib.closing(open_for_reading(folder)) as guarded:
            wanted = set(matching(guarded, condition, "origin = 'generated'"))
    with snapshot(folder) as connection:
        found = [
            Place(row[0], row[1])
            for row in connection.execute(
                "SELECT i.task_id, i.position FROM tasks t CROSS JOIN instances i ON i.task_id = t.id "
                "WHERE t.origin = 'generated' ORDER BY t.position, i.position"
            )
            if wanted is None or row[0] in wanted
        ]
    if sample is None or sample >= len(found):
        return tuple(found)
    drawn = set(sorted(found, key=lambda place: hashlib.sha256(f"{place[0]}/{place[1]}".encode()).digest())[:sample])
    return tuple(place for place in found if place in drawn)


def row_at(folder: Path, place: Place, *, with_verdict: bool) -> dict[str, Any]:
    """The row with its lineage, its nearest neighbour and what the judge said of it; `verdict` is None without one."""
    with snapshot(folder) as connection:
        row = connection.execute(
            "SELECT t.*, i.input, i.output, i.source AS instance_source, i.request_id AS instance_request, "
            "i.request_position AS instance_position, "
            "(SELECT COUNT(*) FROM instances o WHERE o.task_id = t.id) AS instances, "
            "(SELECT e.reason FROM removed r JOIN events e ON e.number = r.event WHERE r.task_id = t.id) AS gone "
            "FROM tasks t JOIN instances i ON i.task_id = t.id WHERE t.id = ? AND i.position = ?",
            place,
        ).fetchone()
        return {
            "task_id": place.task_id,
            "instance": place.instance,
            "instances": row["instances"],
            "instruction": row["instruction"],
            "input": row["input"],
            "output": row["output"],
            "is_classification": bool(row["is_classification"]),
            "round": row["round"],
            "removed": row["gone"],
            "shown": [_task(connection, one) for one in json.loads(row["parents"])],
            "nearest": _nearest(connection, row),
            "verdict": _verdict(connection, row) if with_verdict else None,
        }


def candidate_at(folder: Path, place: Place) -> Candidate:
    """What the row came from."""
    sql = "SELECT request_id, request_position FROM instances WHERE task_id = ? AND position = ?"
    with snapshot(folder) as connection:
        row = connection.execute(sql, place).fetchone()
        return row["request_id"], row["request_position"]


def removed_tasks(folder: Path) -> set[str]:
    """Ids of the tasks that are removed now."""
    with snapshot(folder) as connection:
        return {row[0] for row in connection.execute("SELECT task_id FROM removed")}


def _task(connection: sqlite3.Connection, identity: str) -> dict[str, Any]:
    row = connection.execute("SELECT origin, instruction FROM tasks WHERE id = ?", [identity]).fetchone()
    return {"id": identity, "origin": row["origin"], "instruction": row["instruction"]}


def _nearest(connection: sqlite3.Connection, row: sqlite3.Row) -> dict[str, Any] | None:
    """The nearest task, with the words that both have in common between ‹ and ›."""
    if row["nearest_task"] is None:
        return None
    found = _task(connection, row["nearest_task"])
    settings = connection.execute(
        "SELECT c.settings FROM rounds r JOIN configurations c ON c.id = r.configuration WHERE r.number = ?",
        [row["round"]],
    ).fetchone()
    _, marked = mark_common(
        row["instruction"], found["instruction"], json.loads(settings["settings"])["filters"]["tokenizer"]
    )
    return {**found, "marked": marked, "score": round(row["nearest_score"], 4)}


def _verdict(connection: sqlite3.Connection, row: sqlite3.Row) -> dict[str, Any] | None:
    found = connection.execute(
        "SELECT outcome, valid_score, valid_reason, input_score, input_reason, output_score, output_reason "
        "FROM verdicts WHERE (source, request_id, request_position) = (?, ?, ?)",
        [row["instance_source"], row["instance_request"], row["instance_position"]],
    ).fetchone()
    return None if found is None else dict(found)
