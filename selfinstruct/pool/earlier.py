"""A pool as it was at an earlier position, for readers: views of the same names stand before its tables."""

from __future__ import annotations

import sqlite3

from selfinstruct.errors import PoolError
from selfinstruct.pool.ledger import Position

_VIEWS = {
    "tasks": "SELECT * FROM main.tasks WHERE position <= {place} AND id NOT IN ({open})",
    "instances": "SELECT * FROM main.instances WHERE task_id IN (SELECT id FROM temp.tasks)",
    "rounds": "SELECT * FROM main.rounds WHERE number <= {round}",
    "requests": (
        "SELECT * FROM main.requests WHERE round <= {round} "
        "AND (task_id IS NULL OR task_id IN (SELECT id FROM temp.tasks))"
    ),
    "completions": (
        "SELECT c.* FROM main.completions c WHERE EXISTS "
        "(SELECT 1 FROM temp.requests r WHERE r.source = c.source AND r.id = c.request_id)"
    ),
    "attempts": "SELECT * FROM main.attempts WHERE request_id IN (SELECT id FROM temp.requests)",
    "rejections": (
        "SELECT * FROM main.rejections WHERE round <= {round} "
        "AND (task_id IS NULL OR task_id IN (SELECT id FROM temp.tasks))"
    ),
    "waiting": "SELECT * FROM main.waiting WHERE 0",
    "windows": "SELECT * FROM main.windows WHERE last_round <= {round}",
    "runs": "SELECT * FROM main.runs WHERE id IN (SELECT run FROM main.rounds WHERE number <= {round})",
    "removed": (
        "SELECT last.task_id, last.event FROM (SELECT task_id, MAX(event) AS event FROM main.event_tasks "
        "WHERE event <= {event} GROUP BY task_id) last JOIN main.events e ON e.number = last.event "
        "WHERE e.kind = 'remove'"
    ),
}


def show_as_of(connection: sqlite3.Connection, at: Position) -> None:
    """Let this reader see the pool as it was at a position: finished tasks, and rounds up to that of the last of them.

    The last round is seen whole, with what was rejected in it later. For what a report reads; other tables stay.

    Raises:
        PoolError: the pool does not have that task.
    """
    wanted = "id = ?" if at.last_task else "origin = 'seed' OR ?"
    place = connection.execute(f"SELECT MAX(position) FROM tasks WHERE {wanted}", (at.last_task or 0,)).fetchone()[0]  # noqa: S608 - one of two conditions
    if place is None and at.last_task:
        raise PoolError(f"the pool has no task {at.last_task}, with which this version ends; is it of another pool?")
    then = {
        "place": -1 if place is None else place, "round": -1 if at.round is None else at.round, "event": at.last_event,
        "open": ", ".join("'" + one.replace("'", "''") + "'" for one in at.open),
    }  # fmt: skip
    for name, query in _VIEWS.items():
        connection.execute(f"CREATE TEMP VIEW {name} AS {query.format(**then)}")
