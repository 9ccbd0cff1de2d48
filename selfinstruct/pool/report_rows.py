"""What a report reads of a pool: row by row and in order, so that it is never held in memory as a whole."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Iterator
from typing import Any, NamedTuple

from selfinstruct.types import Instance

Row = sqlite3.Row
"""What readers are handed; a name for those who speak no SQL."""

INSTRUCTIONS = "SELECT id, instruction FROM tasks WHERE origin = 'seed' ORDER BY position"


class RoundCounts(NamedTuple):
    """What became of the instructions of a round."""

    number: int
    accepted: int
    rejected: int
    waiting: int


class ReasonCount(NamedTuple):
    """How many candidates of a kind were rejected in a round for a reason."""

    kind: str
    reason: str
    round: int
    n: int


class Shown(NamedTuple):
    """A propose request that was answered: the tasks it showed, as a JSON list of ids, and the tasks it brought."""

    demonstrations: str
    accepted: int


def tasks_with_instances(connection: sqlite3.Connection) -> Iterator[tuple[sqlite3.Row, list[Instance]]]:
    """Seeds and tasks in the order of the pool, each with its instances."""
    instances = connection.execute(
        "SELECT t.position AS task, i.input, i.output FROM tasks t JOIN instances i ON i.task_id = t.id "
        "ORDER BY t.position, i.position"
    )
    pending = next(instances, None)
    for task in connection.execute(
        "SELECT id, position, origin, state, instruction, is_classification, round, parents, nearest_score, "
        "nearest_task FROM tasks ORDER BY position"
    ):
        found = []
        while pending is not None and pending["task"] == task["position"]:
            found.append(Instance(pending["input"], pending["output"]))
            pending = next(instances, None)
        yield task, found


def seed_instructions(connection: sqlite3.Connection) -> list[tuple[str, str]]:
    """The seeds as (id, instruction), in order."""
    return [(row["id"], row["instruction"]) for row in connection.execute(INSTRUCTIONS)]


def task_count(connection: sqlite3.Connection) -> int:
    """How many seeds and tasks there are."""
    return int(connection.execute("SELECT COUNT(*) FROM tasks").fetchone()[0])


def first_of_newest(connection: sqlite3.Connection, count: int) -> int:
    """The position of the first of the newest `count` tasks; 0 if there are no more than these."""
    sql = "SELECT position FROM tasks ORDER BY position DESC LIMIT 1 OFFSET ?"
    row = connection.execute(sql, (count - 1,)).fetchone()
    return 0 if row is None else int(row["position"])


def removed(connection: sqlite3.Connection) -> set[str]:
    """The ids of the tasks that are removed."""
    return {row["task_id"] for row in connection.execute("SELECT task_id FROM removed")}


def newest_and_closest(connection: sqlite3.Connection, count: int) -> set[int]:
    """The positions of `count` tasks: half of them those most like an earlier one, the others the newest."""
    closest = connection.execute(
        "SELECT position FROM tasks WHERE nearest_score IS NOT NULL ORDER BY nearest_score DESC, position LIMIT ?",
        (count // 2,),
    )
    return _filled_up(closest, connection.execute("SELECT position FROM tasks ORDER BY position DESC"), count)


def newest_and_closest_rejections(connection: sqlite3.Connection, count: int) -> set[int]:
    """The numbers of `count` rejections: half of them those most like a task, the others the newest."""
    closest = connection.execute(
        "SELECT number FROM rejections WHERE score IS NOT NULL ORDER BY score DESC, number LIMIT ?", (count // 2,)
    )
    return _filled_up(closest, connection.execute("SELECT number FROM rejections ORDER BY number DESC"), count)


def _filled_up(first: sqlite3.Cursor, others: sqlite3.Cursor, count: int) -> set[int]:
    found = {row[0] for row in first}
    for row in others:
        if len(found) >= count:
            break
        found.add(row[0])
    others.close()
    return found


def rejections(connection: sqlite3.Connection, newest: int) -> Iterator[sqlite3.Row]:
    """The newest rejections, the newest first."""
    return connection.execute(
        "SELECT number, kind, reason, request_id, request_position, round, task_id, text, input, evidence, score, "
        "nearest_task FROM rejections ORDER BY number DESC LIMIT ?",
        (newest,),
    )


def rounds(connection: sqlite3.Connection) -> Iterator[RoundCounts]:
    """Each round in order, with what became of its instructions."""
    found = connection.execute(
        "SELECT r.number, COALESCE(a.n, 0), COALESCE(j.n, 0), COALESCE(w.n, 0) FROM rounds r "
        "LEFT JOIN (SELECT round, COUNT(*) AS n FROM tasks WHERE round IS NOT NULL GROUP BY round) a "
        "ON a.round = r.number "
        "LEFT JOIN (SELECT round, COUNT(*) AS n FROM rejections WHERE kind = 'instruction' GROUP BY round) j "
        "ON j.round = r.number "
        "LEFT JOIN (SELECT round, COUNT(*) AS n FROM waiting GROUP BY round) w "
        "ON w.round = r.number ORDER BY r.number"
    )
    return (RoundCounts(*row) for row in found)


def reasons_by_round(connection: sqlite3.Connection) -> Iterator[ReasonCount]:
    """How many candidates were rejected, by kind, reason and round."""
    found = connection.execute(
        "SELECT kind, reason, COALESCE(round, 0), COUNT(*) FROM rejections GROUP BY kind, reason, round ORDER BY round"
    )
    return (ReasonCount(*row) for row in found)


def windows(connection: sqlite3.Connection) -> list[dict[str, Any]]:
    """What the radar saw, by window of rounds."""
    found = connection.execute(
        "SELECT first_round, last_round, acceptance, nearest, openings, new_pairs, distinct_1, distinct_2, "
        "compression_ratio, verb_noun_entropy, vendi_score, alarms, level FROM windows ORDER BY last_round"
    )
    return [{**dict(row), "alarms": json.loads(row["alarms"])} for row in found]


def shown(connection: sqlite3.Connection) -> Iterator[Shown]:
    """The propose requests that were answered."""
    found = connection.execute(
        "SELECT r.demonstrations, COALESCE(a.n, 0) FROM requests r LEFT JOIN "
        "(SELECT source, request_id, COUNT(*) AS n FROM tasks WHERE request_id IS NOT NULL GROUP BY source, request_id)"
        " a ON a.source = r.source AND a.request_id = r.id WHERE r.task_id IS NULL AND r.state = 'answered'"
    )
    return (Shown(*row) for row in found)


def closest_pairs(connection: sqlite3.Connection, count: int) -> list[sqlite3.Row]:
    """The accepted tasks that are most like an earlier instruction, each with it: score, both texts and positions.

    Pairs of which one is removed are left out.
    """
    return connection.execute(
        "WITH gone AS (SELECT task_id FROM removed) SELECT t.nearest_score AS score, t.position, t.instruction, "
        "o.position AS other_position, o.instruction AS other_instruction, o.origin AS other_origin FROM tasks t "
        "JOIN tasks o ON o.id = t.nearest_task "
        "WHERE t.nearest_score IS NOT NULL AND t.id NOT IN gone AND o.id NOT IN gone "
        "ORDER BY t.nearest_score DESC, t.position LIMIT ?",
        (count,),
    ).fetchall()


def tokenizer(connection: sqlite3.Connection) -> str:
    """How the round planned last cuts texts into tokens."""
    row = connection.execute(
        "SELECT json_extract(c.settings, '$.filters.tokenizer') FROM rounds r "
        "JOIN configurations c ON c.id = r.configuration ORDER BY r.number DESC LIMIT 1"
    ).fetchone()
    return "unicode" if row is None else str(row[0])


def run_count(connection: sqlite3.Connection) -> tuple[int, bool]:
    """How many runs grew the pool, and whether the last one has not ended."""
    runs, open_ = connection.execute(
        "SELECT COUNT(*), COALESCE(MAX(id) = (SELECT MAX(id) FROM runs WHERE ended_at IS NULL), 0) FROM runs"
    ).fetchone()
    return runs, bool(open_)
