"""What each source brought, side by side, and how far quotas are met."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from selfinstruct.pool.reader import Reader

_BY_SOURCE = """
WITH asked AS (
  SELECT number, source, id, source_name AS name, candidates FROM requests
  WHERE source_name IS NOT NULL AND state != 'superseded'
), of_task AS (
  SELECT t.id, t.state, t.nearest_score, a.name FROM tasks t JOIN asked a ON a.source = t.source AND a.id = t.request_id
), rows AS (
  SELECT t.name, v.output_score FROM of_task t JOIN instances i ON i.task_id = t.id LEFT JOIN verdicts v
    ON (v.source, v.request_id, v.request_position) = (i.source, i.request_id, i.request_position)
), used AS (
  SELECT number, name FROM asked UNION ALL
  SELECT q.number, t.name FROM requests q JOIN of_task t ON q.task_id = t.id
), spent AS (
  SELECT u.name, SUM(COALESCE(x.tokens, x.reserved_tokens)) AS tokens,
    SUM(COALESCE(x.usd_e12, x.reserved_usd_e12)) AS usd_e12
  FROM used u JOIN attempts x ON x.request = u.number GROUP BY u.name
)
SELECT name, COUNT(*) AS requests, COALESCE(SUM(candidates), 0) AS candidates,
  (SELECT COUNT(*) FROM of_task t WHERE t.name = a.name) AS accepted,
  (SELECT COUNT(*) FROM of_task t WHERE t.name = a.name AND t.state = 'done') AS tasks,
  (SELECT COUNT(*) FROM rows r WHERE r.name = a.name) AS rows,
  (SELECT AVG(nearest_score) FROM of_task t WHERE t.name = a.name) AS mean_nearest,
  (SELECT AVG(output_score) FROM rows r WHERE r.name = a.name) AS mean_output_score,
  (SELECT tokens FROM spent s WHERE s.name = a.name) AS tokens,
  (SELECT usd_e12 FROM spent s WHERE s.name = a.name) / 1e12 AS usd
FROM asked a GROUP BY name ORDER BY name
"""


def by_source(pool: Reader) -> list[dict[str, Any]]:
    """The figures of each source, what their tasks cost included; none where all is of one source."""
    several = "SELECT COUNT(DISTINCT source_name) FROM requests WHERE source_name IS NOT NULL"
    if pool.connection.execute(several).fetchone()[0] < 2:
        return []
    found = pool.connection.execute(_BY_SOURCE)
    names = [column[0] for column in found.description]
    return [dict(zip(names, row, strict=True)) for row in found.fetchall()]


def of_turns(pool: Reader) -> dict[str, Any] | None:
    """The rows that somebody was to go on with: how many, with how many turns, why they ended; None: there are none.

    Reasons are without what was found, the most frequent first.
    """
    found = pool.connection.execute(
        "SELECT CASE instr(ended, ':') WHEN 0 THEN ended ELSE substr(ended, 1, instr(ended, ':') - 1) END, COUNT(*), "
        "SUM(json_array_length(COALESCE(NULLIF(turns, ''), '[]'))) FROM instances WHERE ended != '' GROUP BY 1 "
        "ORDER BY 2 DESC, 1"
    ).fetchall()
    if not found:
        return None
    ended = {reason: count for reason, count, _ in found}
    return {"rows": sum(ended.values()), "turns": sum(turns for _, _, turns in found), "ended": ended}


def of_quotas(pool: Reader) -> list[dict[str, Any]] | None:
    """The tasks of each combination that the latest settings want; None: there are no quotas.

    `accepted` are all, `removed` those of them that were removed, and `tasks` those that are there with a row.
    """
    settings = pool.settings()
    if settings is None or not settings.quotas.over:
        return None
    from selfinstruct.sources.drawing import cells, counted  # noqa: PLC0415 - sources take long to load

    over = settings.quotas.over
    gone = pool.removed()
    found = pool.connection.execute("SELECT id, drawn, state FROM tasks WHERE drawn != ''").fetchall()
    drawn = [(json.loads(one), state == "done" and task not in gone, task in gone) for task, one, state in found]
    accepted = counted((one for one, _, _ in drawn), over)
    done = counted((one for one, is_done, _ in drawn if is_done), over)
    removed = counted((one for one, _, is_gone in drawn if is_gone), over)
    return [
        {
            "drawn": dict(zip(over, cell, strict=True)), "wanted": settings.quotas.each,
            "accepted": accepted[cell], "tasks": done[cell], "removed": removed[cell],
        }
        for cell in cells(settings)
    ]  # fmt: skip
