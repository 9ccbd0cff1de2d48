"""The one reader of a pool: records, and answers to a few questions, as of one moment; works while a run writes.

Nothing here holds a pool in memory: tasks, rows and rejections come one after another.
"""

from __future__ import annotations

import contextlib
import functools
import json
import sqlite3
import sys
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, fields
from itertools import groupby, islice
from operator import itemgetter
from pathlib import Path
from typing import Any, Literal

from selfinstruct.diversity.figures import Instructions
from selfinstruct.diversity.monitor import Window
from selfinstruct.errors import ConfigError, PoolError
from selfinstruct.pool import origins, yields
from selfinstruct.pool.contents import Past, flag_from, last_goal, load_past, load_seeds
from selfinstruct.pool.opening import open_for_reading, read_meta, trouble
from selfinstruct.pool.passage_sets import coverage
from selfinstruct.pool.records import (
    Correction,
    Done,
    Event,
    PoolHistory,
    Position,
    RoundFigures,
    Row,
    StoredAnswer,
    StoredInstance,
    StoredRejection,
    StoredSample,
    StoredTask,
    Usage,
    Used,
)
from selfinstruct.pool.schema import CORRECTED, PREFERRED, REMOVED, REMOVED_ROWS
from selfinstruct.pool.sites import origins as origins_in
from selfinstruct.pool.statements import MERGED, REPLAYED, turns_from
from selfinstruct.settings import Settings
from selfinstruct.types import Instance, JudgeVerdict, Origin, Rejection, Task, task_id

SHORTEST_BEGINNING = 6
"""Characters of an id by which a task may be named."""
_VERDICT = (
    "request_id, request_position, source, task_id, judge_request, outcome, valid_score, valid_reason, input_score, "
    "input_reason, output_score, output_reason"
)
_TASKS = f"""
SELECT t.position, t.id, t.origin, t.state, t.instruction || t.demands, t.is_classification, t.round, t.source,
  t.request_id, t.request_position, t.model, t.parents, t.nearest_score, t.nearest_task, t.mean_score, t.constraints,
  t.system, t.drawn,
  i.position, i.input, i.output, i.source, i.request_id, i.request_position, i.model, i.reasoning, i.turns, i.ended,
  {", ".join(f"v.{column}" for column in _VERDICT.split(", "))}
FROM tasks t LEFT JOIN instances i ON i.task_id = t.id LEFT JOIN verdicts v
  ON (v.source, v.request_id, v.request_position) = (i.source, i.request_id, i.request_position)
"""
_OF_INSTANCE = len(StoredTask._fields) - 1
_OF_VERDICT = _OF_INSTANCE + len(StoredInstance._fields) - 4
_END = _OF_VERDICT + len(fields(JudgeVerdict))


_SAMPLES = """
SELECT t.position, s.source, s.of_request, s.of_position, NULL, s.number,
  s.output, s.step, s.is_right, s.margin, q.model, s.number, p.is_better
FROM samples s JOIN tasks t ON t.id = s.task_id JOIN requests q ON q.source = s.source AND q.id = s.request_id
LEFT JOIN preferred p ON (p.task_id, p.number) = (s.task_id, s.number)
WHERE {where}
UNION ALL
SELECT t.position, NULL, NULL, NULL, j.input, j.number,
  j.text, 'revision', NULL, v.output_score, q.model, NULL, NULL
FROM rejections j JOIN tasks t ON t.id = j.task_id JOIN requests q ON q.source = j.source AND q.id = j.request_id
LEFT JOIN verdicts v
  ON (v.source, v.request_id, v.request_position) = (j.source, j.request_id, j.request_position)
WHERE j.kind = 'instance' AND j.reason = 'revised' AND {where}
ORDER BY 1, 6
"""
"""Other answers by the place of their task: those of a candidate, and the forms before revisions by their input."""


_COUNTS = (
    """
    SELECT COUNT(*) FILTER (WHERE origin = 'seed') AS seeds,
      COUNT(*) FILTER (WHERE origin = 'generated' AND state = 'done') AS tasks,
      COUNT(*) FILTER (WHERE state = 'pending') AS tasks_pending,
      COUNT(*) FILTER (WHERE state = 'without_instances') AS tasks_without_instances,
      COUNT(*) FILTER (WHERE origin = 'generated' AND id IN (SELECT task_id FROM removed)) AS removed,
      COUNT(*) FILTER (WHERE origin = 'seed' AND id IN (SELECT task_id FROM removed)) AS seeds_removed,
      COUNT(*) FILTER (WHERE origin = 'generated' AND state = 'done' AND is_classification) AS classification_tasks,
      (SELECT COUNT(*) FROM removed_rows WHERE task_id NOT IN (SELECT task_id FROM removed)) AS removed_rows,
      (SELECT COUNT(*) FROM corrected) AS corrected,
      (SELECT COUNT(*) FROM instances WHERE request_id IS NOT NULL) AS instances,
      (SELECT COUNT(*) FROM samples) AS samples,
      (SELECT COUNT(*) FROM waiting) AS waiting, (SELECT COUNT(*) FROM rounds) AS rounds,
      (SELECT COUNT(*) FROM runs) AS runs, (SELECT COALESCE(SUM(server_restarts), 0) FROM runs) AS server_restarts
    FROM tasks
    """,
    """
    SELECT COUNT(*) FILTER (WHERE state != 'superseded') AS requests,
      COUNT(*) FILTER (WHERE state = 'open') AS requests_open, COALESCE(SUM(candidates), 0) AS candidates,
      COUNT(*) FILTER (WHERE left_out > 0 AND state != 'superseded') AS prompts_shortened
    FROM requests
    """,
)
_VIEWS = {
    "tasks": "SELECT * FROM main.tasks WHERE position <= {place} AND id NOT IN ({open})",
    "instances": "SELECT * FROM main.instances WHERE task_id IN (SELECT id FROM temp.tasks)",
    "samples": "SELECT * FROM main.samples WHERE task_id IN (SELECT id FROM temp.tasks)",
    "rounds": "SELECT * FROM main.rounds WHERE number <= {round}",
    "requests": (
        "SELECT * FROM main.requests WHERE round <= {round} "
        "AND (task_id IS NULL OR task_id IN (SELECT id FROM temp.tasks))"
    ),
    "completions": (
        "SELECT c.* FROM main.completions c WHERE EXISTS "
        "(SELECT 1 FROM temp.requests r WHERE r.source = c.source AND r.id = c.request_id)"
    ),
    "attempts": "SELECT * FROM main.attempts WHERE request IN (SELECT number FROM temp.requests)",
    "rejections": (
        "SELECT * FROM main.rejections WHERE round <= {round} "
        "AND (task_id IS NULL OR task_id IN (SELECT id FROM temp.tasks))"
    ),
    "waiting": "SELECT * FROM main.waiting WHERE 0",
    "windows": "SELECT * FROM main.windows WHERE last_round <= {round}",
    "runs": "SELECT * FROM main.runs WHERE id IN (SELECT run FROM main.rounds WHERE number <= {round})",
    "removed": REMOVED,
    "removed_rows": REMOVED_ROWS,
    "corrected": CORRECTED,
    "preferred": PREFERRED,
}
"""A pool as it was at an earlier position: views of the same names stand before its tables."""


class Reader:
    """A pool as it was when this was opened, or at an earlier position."""

    def __init__(self, connection: sqlite3.Connection) -> None:
        self.connection = connection
        """For modules of this folder."""

    def tasks(
        self, where: str = "TRUE", values: Sequence[Any] = (), *, as_accepted: bool = False
    ) -> Iterator[StoredTask]:
        """Seeds and tasks in order, with the texts that people corrected, or as they were accepted.

        `where` is a condition in SQL on the tasks `t`, as they were accepted, for modules of this folder.
        """
        corrections = {} if as_accepted else self.corrections
        sql = f"{_TASKS} WHERE {where} ORDER BY t.position, i.position"
        found = self.connection.execute(sql, values)
        found.row_factory = None
        for _, own in groupby(found, key=itemgetter(0)):
            rows = list(own)
            instances = () if rows[0][_OF_INSTANCE] is None else tuple([_instance(row) for row in rows])
            task = StoredTask._make((*rows[0][:_OF_INSTANCE], instances))
            yield _corrected(task, corrections.get(task.id, ()))

    def task(self, wanted: str | int) -> StoredTask | None:
        """The task with this id, or at this position, as it was accepted."""
        of = "id" if isinstance(wanted, str) else "position"
        return next(self.tasks(f"t.{of} = ?", (wanted,), as_accepted=True), None)

    def task_id(self, beginning: str) -> str:
        """The id of the task that this, or the beginning of its id, names.

        Raises:
            ConfigError: it names none or several, or is too short a beginning.
        """
        sql = (
            "SELECT id FROM tasks WHERE id = ?1 OR length(?1) >= ?2 AND substr(id, 1, length(?1)) = ?1 "
            "ORDER BY id != ?1, position LIMIT 2"
        )
        found = [row[0] for row in self.connection.execute(sql, (beginning, SHORTEST_BEGINNING))]
        found = found or self.merged_as(beginning)
        if found[:1] == [beginning] or len(found) == 1:
            return str(found[0])
        what = "several tasks begin so" if found else "no such task"
        raise ConfigError(
            f"{beginning}: {what}; give a whole id, or a beginning of {SHORTEST_BEGINNING} characters and more that "
            "fits one (`explain` shows ids)"
        )

    def merged_as(self, beginning: str) -> list[str]:
        """The tasks that have such an id in a pool from which they were merged."""
        if len(beginning) < SHORTEST_BEGINNING:
            return []
        sql = "SELECT id, request_id, request_position FROM tasks WHERE source = ? ORDER BY position"
        return [
            identity
            for one in origins_in(read_meta(self.connection))
            for identity, *candidate in self.connection.execute(sql, (one.number,))
            if task_id(one.source, *candidate).startswith(beginning)
        ]

    def source_names(self, where: str = "TRUE", values: Sequence[Any] = ()) -> dict[str, str]:
        """What gave the words by which generated tasks were asked for, by task; `where` is a condition on tasks `t`."""
        sql = "SELECT t.id, q.source_name FROM tasks t JOIN requests q ON q.source = t.source AND q.id = t.request_id"
        return dict(self.connection.execute(f"{sql} WHERE q.source_name IS NOT NULL AND {where}", values).fetchall())

    def removed(self) -> frozenset[str]:
        """The ids of the tasks that are removed."""
        return frozenset(row[0] for row in self.connection.execute("SELECT task_id FROM removed"))

    def removed_rows(self, where: str = "TRUE", values: Sequence[Any] = ()) -> dict[tuple[str, int], str]:
        """The rows that are removed, those of removed tasks too, by task and number, each with the reason.

        `where` is a condition in SQL on the columns `task_id`, `position` and `event`, for modules of this folder.
        """
        sql = "SELECT task_id, position, reason FROM removed_rows JOIN events ON number = event"
        return {(row[0], row[1]): row[2] for row in self.connection.execute(f"{sql} WHERE {where}", values)}

    @functools.cached_property
    def corrections(self) -> dict[str, list[Correction]]:
        """The corrections that hold, by task, the last one of a task at its end."""
        found: dict[str, list[Correction]] = defaultdict(list)
        for row in self.connection.execute("SELECT * FROM corrected ORDER BY event, position"):
            found[row[0]].append(Correction(*row))
        return found

    def preferred(self, task_id: str) -> dict[int, bool]:
        """The samples of a task that people compared with the output, by number: whether they are better."""
        sql = "SELECT number, is_better FROM preferred WHERE task_id = ?"
        return {row[0]: bool(row[1]) for row in self.connection.execute(sql, (task_id,))}

    def events(self, where: str = "TRUE", values: Sequence[Any] = ()) -> list[Event]:
        """What was done to tasks, in order; `where` is a condition in SQL on the events `e`."""
        tasks = "(SELECT COUNT(DISTINCT task_id) FROM event_tasks x WHERE x.event = e.number)"
        rows = "(SELECT group_concat(task_id || '/' || position, ', ') FROM event_tasks x WHERE x.event = e.number)"
        sql = f"SELECT number, kind, reason, condition, descendants, created_at, {tasks}, {rows} FROM events e"
        return [Event(*row) for row in self.connection.execute(f"{sql} WHERE {where} ORDER BY number", values)]

    def last_event(self) -> int:
        """The number of what was done to tasks last; 0 if nothing was."""
        return self._one("SELECT COALESCE(MAX(number), 0) FROM events")

    def changed_tasks(self, after: int) -> list[str]:
        """The tasks whose texts or preferred answers were changed after this event."""
        sql = (
            "SELECT DISTINCT task_id FROM event_tasks JOIN events ON number = event "
            "WHERE event > ? AND kind NOT IN ('remove', 'restore')"
        )
        return [row[0] for row in self.connection.execute(sql, (after,))]

    def events_of(self, task_id: str) -> list[Event]:
        """What was done to a task, in order."""
        return self.events("number IN (SELECT event FROM event_tasks WHERE task_id = ?)", (task_id,))

    def rejections(
        self, where: str = "TRUE ORDER BY number DESC", values: Sequence[Any] = ()
    ) -> Iterator[StoredRejection]:
        """Rejected candidates, the newest first; `where` is a condition in SQL and an order."""
        found = self.connection.execute(
            "SELECT number, round, kind, reason, request_id, request_position, text, input, evidence, score, "
            f"nearest_task, task_id, source FROM rejections WHERE {where}",
            values,
        )
        return (StoredRejection(row[0], row[1], Rejection(*row[2:])) for row in found)

    def answers(self) -> Iterator[StoredAnswer]:
        """What came back for requests, in the order of arrival."""
        found = self.connection.execute(
            "SELECT c.request_id, c.source, r.stage, r.round, r.task_id, r.position, r.model, c.kind, c.text, "
            "c.reasoning, c.finish_reason, c.prompt_tokens, c.completion_tokens, c.cached_tokens, c.latency_s, "
            "c.endpoint, r.candidates, c.received_at "
            "FROM completions c JOIN requests r ON r.source = c.source AND r.id = c.request_id ORDER BY c.number"
        )
        return (StoredAnswer(*row) for row in found)

    def verdict_on(self, item: Rejection) -> JudgeVerdict | None:
        """What the judge said of a rejected instance; None where it was not asked."""
        wanted = "(source, request_id, request_position) = (?, ?, ?)"
        return next(self.verdicts(wanted, (item.source, item.request_id, item.position)), None)

    def verdicts(self, where: str = "TRUE", values: Sequence[Any] = ()) -> Iterator[JudgeVerdict]:
        """What the judge said, of rejected and of revised instances too, in no order."""
        found = self.connection.execute(f"SELECT {_VERDICT} FROM verdicts WHERE {where}", values)
        return (JudgeVerdict(*row) for row in found)

    def rows(
        self,
        origins: Sequence[Origin] = ("generated",),
        *,
        sampled: bool = False,
        with_removed: bool = False,
        task_id: str | None = None,
    ) -> Iterator[Row]:
        """The instances of the finished tasks of these origins in task order, without removed ones.

        With `sampled` each has the other answers to its question; with `task_id` they are those of one task.
        """
        where, values = ("TRUE", []) if task_id is None else ("t.id = ?", [task_id])
        samples_of = _SAMPLES.format(where=where)
        others = groupby(self.connection.execute(samples_of, values * 2) if sampled else (), key=itemgetter(0))
        place, samples = -1, list[Sequence[Any]]()
        settings = self._settings_of_rounds()
        gone = {} if with_removed else self.removed_rows()
        of_task = "" if task_id is None else "AND (source, id) = (SELECT source, request_id FROM tasks WHERE id = ?)"
        asked = self.connection.execute(
            f"SELECT source, id, topic, source_name FROM requests WHERE source_name IS NOT NULL {of_task}", values
        )
        asked_by = {(source, request_id): (topic, name) for source, request_id, topic, name in asked}
        for task in self.tasks(where, values):
            if task.origin not in origins:
                continue
            recipe = None if task.round is None else settings[task.round]["recipe"]["name"]
            while place < task.position:
                place, found = next(others, (sys.maxsize, ()))
                samples = list(found)
            topic, source_name = asked_by.get((task.source, task.request_id), (None, None))
            is_classification = bool(task.is_classification)
            for one in task.instances:
                if (task.id, one.number) in gone:
                    continue
                yield Row(
                    task.id, task.instruction, Instance(one.input, one.output, one.turns), task.position, one.number,
                    task.origin, task.round, task.parents, task.nearest_score, task.model,
                    None if one.is_rewritten else one.model, recipe, is_classification,
                    one.verdict, one.is_edited, topic, source_name, one.reasoning,
                    _others(one, samples if place == task.position else ()),
                    task.constraints, task.system, task.drawn, one.ended,
                )  # fmt: skip

    def row_places(self) -> list[tuple[str, int]]:
        """Task and number of the instances of generated tasks, in task order, those of removed ones too."""
        sql = (
            "SELECT t.id, i.position FROM tasks t JOIN instances i ON i.task_id = t.id WHERE t.origin = 'generated' "
            "ORDER BY t.position, i.position"
        )
        return [(row[0], row[1]) for row in self.connection.execute(sql)]

    def judged_wrong(self, *, as_accepted: bool = False) -> Iterator[Row]:
        """Outputs that the judge rejected as wrong, in task order, each as the sample of a row without an output.

        Those of removed and of corrected tasks are among them only `as_accepted`; those that a row of the same task has
        for the same input never are.
        """
        changed = "" if as_accepted else (
            "AND t.id NOT IN (SELECT task_id FROM removed) AND t.id NOT IN (SELECT task_id FROM corrected)"
        )  # fmt: skip
        found = self.connection.execute(
            "SELECT t.id, t.instruction, j.input, t.position, t.round, t.is_classification, j.text, MIN(j.number) "
            "FROM rejections j JOIN tasks t ON t.id = j.task_id "
            "WHERE j.kind = 'instance' AND j.reason = 'judged_output' AND t.state != 'pending' AND NOT EXISTS "
            "(SELECT 1 FROM instances i WHERE (i.task_id, i.input, i.output) = (t.id, j.input, j.text)) "
            f"{changed} GROUP BY t.id, j.input, j.text ORDER BY t.position, MIN(j.number)"
        )
        for identity, instruction, given, position, number, is_classification, text, _ in found:
            yield Row(
                identity, instruction, Instance(given, ""), position, round=number,
                is_classification=bool(is_classification),
                samples=(StoredSample(text, "judged_output", is_right=False, margin=None, model=None),),
            )  # fmt: skip

    def some_rows(self, wanted: int) -> list[Row]:
        """This many rows of generated tasks, or all if there are fewer, spread evenly over the pool."""
        count = self._one(
            "SELECT COUNT(*) FROM tasks t CROSS JOIN instances i ON i.task_id = t.id WHERE t.origin = 'generated' "
            "AND (t.id, i.position) NOT IN (SELECT task_id, position FROM removed_rows)"
        )
        places = {count * (2 * number + 1) // (2 * wanted) for number in range(wanted)}
        found = enumerate(islice(self.rows(), max(places) + 1))
        return [row for place, row in found if place in places]

    def newest_tasks(self, count: int) -> list[StoredTask]:
        """The generated tasks with rows that were accepted last, the newest first; at most this many."""
        newest = (
            "SELECT position FROM tasks WHERE origin = 'generated' AND state = 'done' AND id NOT IN "
            "(SELECT task_id FROM removed) ORDER BY position DESC LIMIT ?"
        )
        return [*self.tasks(f"t.position IN ({newest})", (count,))][::-1]

    def open_tasks(self, before: int = 2**62) -> list[str]:
        """The ids of the accepted tasks before this position that are not finished, in task order."""
        sql = "SELECT id FROM tasks WHERE state = 'pending' AND position < ? ORDER BY position"
        return [row[0] for row in self.connection.execute(sql, (before,))]

    def size(self) -> int:
        """One more than the position of the last task."""
        return self._one("SELECT COALESCE(MAX(position), -1) + 1 FROM tasks")

    def newest_and_closest(self, table: Literal["tasks", "rejections"], count: int) -> set[int]:
        """The positions of `count` tasks or numbers of rejections: half those most like a task, else the newest."""
        key, score = ("position", "nearest_score") if table == "tasks" else ("number", "score")
        closest = f"SELECT {key} FROM {table} WHERE {score} IS NOT NULL ORDER BY {score} DESC, {key} LIMIT ?"
        found = {row[0] for row in self.connection.execute(closest, (count // 2,))}
        for row in self.connection.execute(f"SELECT {key} FROM {table} ORDER BY {key} DESC LIMIT ?", (count,)):
            if len(found) < count:
                found.add(row[0])
        return found

    def closest_pairs(self, count: int) -> Iterator[tuple[StoredTask, StoredTask]]:
        """The accepted tasks that are most like an earlier one, each with that, the closest first.

        Pairs of which one is removed are left out.
        """
        sql = (
            "WITH gone AS (SELECT task_id FROM removed) SELECT t.position, o.position FROM tasks t "
            "JOIN tasks o ON o.id = t.nearest_task "
            "WHERE t.nearest_score IS NOT NULL AND t.id NOT IN gone AND o.id NOT IN gone "
            "ORDER BY t.nearest_score DESC, t.position LIMIT ?"
        )
        for this, other in self.connection.execute(sql, (count,)).fetchall():
            (one,), (earlier,) = self.tasks("t.position = ?", (this,)), self.tasks("t.position = ?", (other,))
            yield one, earlier

    def shown(self) -> Iterator[tuple[list[str], int]]:
        """The propose requests that were answered: ids of the tasks that each showed, and how many tasks it brought."""
        found = self.connection.execute(
            "SELECT r.demonstrations, COALESCE(a.n, 0) FROM requests r LEFT JOIN "
            "(SELECT source, request_id, COUNT(*) AS n FROM tasks WHERE request_id IS NOT NULL GROUP BY 1, 2) a "
            "ON a.source = r.source AND a.request_id = r.id WHERE r.task_id IS NULL AND r.state = 'answered'"
        )
        return ((json.loads(row[0]), row[1]) for row in found)

    def rounds(self, first: int = 0) -> list[RoundFigures]:
        """Each round from this number on, in order."""

        def counted(table: str) -> dict[int, int]:
            sql = f"SELECT round, COUNT(*) FROM {table} WHERE round >= ? GROUP BY round"
            return dict(self.connection.execute(sql, (first,)).fetchall())

        rejected: dict[int, dict[str, dict[str, int]]] = defaultdict(lambda: {"instruction": {}, "instance": {}})
        for number, kind, reason, count in self.connection.execute(
            "SELECT round, kind, reason, COUNT(*) AS n FROM rejections WHERE round >= ? GROUP BY round, kind, reason "
            "ORDER BY round, n DESC, reason",
            (first,),
        ):
            rejected[number][kind][reason] = count
        accepted, waiting = counted("tasks"), counted("waiting")
        rounds = self.connection.execute("SELECT number, state FROM rounds WHERE number >= ? ORDER BY number", (first,))
        return [
            RoundFigures(number, state, accepted.get(number, 0), waiting.get(number, 0), rejected[number])
            for number, state in rounds
        ]

    def settings(self, number: int | None = None) -> Settings | None:
        """Those of a round, or of the one planned last; None where there is no round."""
        row = self.connection.execute(
            "SELECT c.settings FROM rounds r JOIN configurations c ON c.id = r.configuration "
            "WHERE r.number = COALESCE(?, (SELECT MAX(number) FROM rounds))",
            (number,),
        ).fetchone()
        return None if row is None else Settings.from_json(row[0])

    def configurations(self) -> list[dict[str, Any]]:
        """The settings under which the finished tasks were accepted, each once, in the order of their first round.

        Rounds after the last of these tasks, such as ones that are only planned, say nothing about what is exported.
        """
        found = self.connection.execute(
            "SELECT c.settings FROM configurations c JOIN rounds r ON r.configuration = c.id WHERE r.number <= "
            "(SELECT MAX(round) FROM tasks WHERE state = 'done') GROUP BY c.id ORDER BY MIN(r.number)"
        )
        return [json.loads(row[0]) for row in found]

    def _settings_of_rounds(self) -> dict[int, Mapping[str, Any]]:
        """Each round with its settings; equal ones are the same object."""
        known = {row[0]: json.loads(row[1]) for row in self.connection.execute("SELECT * FROM configurations")}
        return {row[0]: known[row[1]] for row in self.connection.execute("SELECT number, configuration FROM rounds")}

    def excluded(self, identities: Iterable[str]) -> list[Used]:
        """These exclusions of the pool, with the candidates that were rejected as near one of their rows."""
        # The evidence begins with the name, which is unique in a pool, and the number of the row.
        sql = (
            "SELECT e.id, e.name, e.rows, (SELECT COUNT(*) FROM rejections j WHERE j.reason = 'contaminated' "
            "AND substr(j.evidence, 1, length(e.name) + 5) = e.name || ' row ') FROM exclusions e "
            "WHERE e.id IN (SELECT value FROM json_each(?)) ORDER BY e.id"
        )
        return [Used(*row) for row in self.connection.execute(sql, (json.dumps(sorted(set(identities))),))]

    def windows(self) -> list[Window]:
        """What the monitor saw, in order."""
        found = self.connection.execute("SELECT * FROM windows ORDER BY last_round")
        return [Window(**{**dict(row), "warnings": tuple(json.loads(row["warnings"]))}) for row in found]

    def usage(self, *, of_any_model: bool = False) -> list[Usage]:
        """Requests, tokens, time and cost, by stage and model; or by stage alone, with an empty name of the model."""
        model = "''" if of_any_model else "model"
        found = self.connection.execute(
            f"SELECT stage, {model}, SUM(n), SUM(failed), SUM(prompt), SUM(completion), SUM(cached), SUM(latency), "
            "SUM(attempts), SUM(usd) FROM ("
            "SELECT r.stage, r.model, COUNT(*) AS n, SUM(c.kind = 'failed') AS failed, SUM(c.prompt_tokens) AS prompt, "
            "SUM(c.completion_tokens) AS completion, SUM(c.cached_tokens) AS cached, SUM(c.latency_s) AS latency, "
            "0 AS attempts, 0 AS usd FROM completions c JOIN requests r ON r.source = c.source AND r.id = c.request_id "
            "GROUP BY 1, 2 UNION ALL "
            "SELECT stage, model, 0, 0, 0, 0, 0, 0.0, COUNT(*), SUM(COALESCE(usd_e12, reserved_usd_e12)) FROM attempts "
            "GROUP BY 1, 2) GROUP BY 1, 2 ORDER BY 1, 2"
        )
        return [Usage(*row) for row in found]

    def position(self) -> Position:
        """Where the pool stands."""
        finished = "FROM tasks WHERE origin = 'generated' AND state != 'pending'"
        count, event = self._one(f"SELECT COUNT(*) {finished}"), self.last_event()
        sql = f"SELECT id, round, position {finished} ORDER BY position DESC LIMIT 1"
        last = self.connection.execute(sql).fetchone()
        if last is None:
            return Position(count, None, None, event)
        return Position(count, last["id"], last["round"], event, self.open_tasks(last["position"]))

    def is_running(self) -> bool:
        """Whether the last run has not ended."""
        return self._one("SELECT COALESCE((SELECT ended_at IS NULL FROM runs ORDER BY id DESC LIMIT 1), 0)") == 1

    def status(self, name: str) -> dict[str, Any]:
        """The pool in figures, under this name; `candidates` is the sum of what became of them."""
        counts: dict[str, int] = {}
        for sql in _COUNTS:
            counts |= dict(self.connection.execute(sql).fetchone())
        rejected: dict[tuple[str, str], int] = {
            (kind, reason): count
            for kind, reason, count in self.connection.execute(
                "SELECT kind, reason, COUNT(*) FROM rejections GROUP BY kind, reason"
            )
        }
        of_reason: Counter[str] = Counter()
        for (_, reason), count in rejected.items():
            of_reason[reason] += count
        accepted = counts["tasks"] + counts["tasks_pending"] + counts["tasks_without_instances"]
        decided = accepted + sum(count for (kind, _), count in rejected.items() if kind == "instruction")
        usage, windows, settings = self.usage(), self.windows(), self.settings()
        kept = {"instruction": accepted, "instance": counts["instances"]}
        models = self.connection.execute("SELECT DISTINCT model FROM requests ORDER BY model").fetchall()
        run = self.connection.execute("SELECT * FROM runs ORDER BY id DESC LIMIT 1").fetchone()
        shown = ("stage", "model", "requests", "prompt_tokens", "completion_tokens", "cached_tokens", "attempts")
        return {
            "pool": name,
            **counts,
            "rejections": dict(sorted(of_reason.items(), key=lambda one: (-one[1], one[0]))),
            "acceptance_rate": round(accepted / decided, 4) if decided else None,
            "completions": sum(one.requests for one in usage),
            **{key: sum(getattr(one, key) for one in usage)
               for key in ("failed", "prompt_tokens", "completion_tokens", "cached_tokens", "attempts")},
            "usd": sum(one.usd_e12 for one in usage) / 1e12,
            "usage": [
                {**{key: getattr(one, key) for key in shown}, "usd": one.usd_e12 / 1e12}
                for one in usage
                if one.requests
            ],
            "monitor": {**asdict(windows[-1]), "warnings": list(windows[-1].warnings)} if windows else None,
            "yield": yields.by_stage(rejected, kept, counts["waiting"]),
            "agreement": yields.of_agreement(self),
            "judge": yields.of_judge(self),
            "sources": origins.by_source(self),
            "quotas": origins.of_quotas(self),
            "conversations": origins.of_turns(self),
            "passages": coverage(self.connection, settings),
            "recipe": settings.recipe.name if settings else None,
            "models": [row[0] for row in models],
            "goal": run["goal"] if run else None,
            "goal_rows": run["goal_rows"] if run else None,
            "last_run": self._last_run(run) if run else None,
        }  # fmt: skip

    def _last_run(self, run: sqlite3.Row) -> dict[str, Any]:
        """How a run ended, and how fast its models wrote between its start and its last answer so far, if any did."""
        tokens, seconds = self.connection.execute(
            "SELECT COALESCE(SUM(completion_tokens), 0), (julianday(MAX(received_at)) - julianday(?)) * 86400 "
            "FROM completions WHERE run = ?",
            (run["started_at"], run["id"]),
        ).fetchone()
        speed = tokens / seconds if seconds and run["outcome"] not in {REPLAYED, MERGED} else None
        return {
            **{key: run[key] for key in ("started_at", "ended_at", "exit_code", "outcome", "server_restarts")},
            "tokens_per_second": None if speed is None else round(speed, 1),
        }

    def _one(self, sql: str) -> int:
        return int(self.connection.execute(sql).fetchone()[0])


def _instance(row: Sequence[Any]) -> StoredInstance:
    said = None if row[_OF_VERDICT] is None else JudgeVerdict(*row[_OF_VERDICT:_END])  # its first column stands for it
    *own, turns, ended = row[_OF_INSTANCE:_OF_VERDICT]
    return StoredInstance._make((*own, turns_from(turns), ended, said, False, None, False))


def _others(one: StoredInstance, samples: Sequence[Sequence[Any]]) -> tuple[StoredSample, ...]:
    """The other answers to the question of an instance; after a correction only what the person replaced."""
    if one.is_edited:
        return () if one.replaced is None else (StoredSample(one.replaced, "correction", False, None, one.model),)
    found = []
    for _, source, request, position, given, _, output, step, is_right, score, by, number, is_better in samples:
        if (source, request, position) == (one.source, one.request_id, one.request_position):
            found.append(StoredSample(output, step, flag_from(is_right), score, by, number, flag_from(is_better)))
        elif given == one.input:
            best = one.verdict.output if one.verdict else None
            margin = None if best is None or score is None else float(best - score)
            found.append(StoredSample(output, step, None, margin, by))
    return tuple(found)


def _corrected(task: StoredTask, corrections: Sequence[Correction]) -> StoredTask:
    """The task with its corrections. One of the instruction holds for all its rows."""
    if not corrections:
        return task
    instruction = corrections[-1].instruction
    texts = {one.position: (one.input, one.output) for one in corrections}
    instances = []
    for one in task.instances:
        given, output = texts.get(one.number, (one.input, one.output))
        is_same, has_same_question = output == one.output, given == one.input and instruction == task.instruction
        instances.append(
            one._replace(
                input=given, output=output, is_edited=not (is_same and has_same_question),
                reasoning=one.reasoning if is_same else "",
                replaced=one.output if has_same_question and not is_same else None,
                turns=one.turns if is_same else (), is_rewritten=not is_same,
            )
        )  # fmt: skip
    return task._replace(instruction=instruction, instances=tuple(instances))


@contextlib.contextmanager
def snapshot(folder: Path, at: Position | None = None) -> Iterator[Reader]:
    """A reader that sees the pool as it is now, or as it was at a position.

    That is: finished tasks, and rounds up to that of the last of them. This round is seen whole, with what was rejected
    in it later. Events, settings and verdicts stay as they are.

    Raises:
        PoolError: there is no pool, it is damaged, or it does not have the last task of that position.
    """
    with contextlib.closing(open_for_reading(folder)) as connection:
        try:
            connection.execute("BEGIN")
            if at is not None:
                _show_as_of(connection, at)
            yield Reader(connection)
        except sqlite3.DatabaseError as error:
            raise trouble(folder / "pool.db", error) from error


def _show_as_of(connection: sqlite3.Connection, at: Position) -> None:
    wanted = "id = ?" if at.last_task else "origin = 'seed' OR ?"
    place = connection.execute(f"SELECT MAX(position) FROM tasks WHERE {wanted}", (at.last_task or 0,)).fetchone()[0]
    if place is None and at.last_task:
        raise PoolError(f"the pool has no task {at.last_task}, with which this version ends; is it of another pool?")
    then = {
        "place": -1 if place is None else place, "round": -1 if at.round is None else at.round, "event": at.last_event,
        "open": ", ".join("'" + one.replace("'", "''") + "'" for one in at.open),
    }  # fmt: skip
    for name, query in _VIEWS.items():
        connection.execute(f"CREATE TEMP VIEW {name} AS {query.format(**then)}")


def status(folder: Path) -> dict[str, Any]:
    """The pool in figures, all of one moment; `candidates` is the sum of what became of them."""
    with snapshot(folder) as pool:
        return pool.status(str(folder))


def instructions(folder: Path) -> Instructions:
    """Those that an export has: of generated tasks that have a row and are not removed."""
    with snapshot(folder) as pool:
        found, gone, rows = Instructions(), pool.removed(), pool.removed_rows()
        for one in pool.tasks("t.origin = 'generated' AND t.state = 'done'"):
            if one.id not in gone and any((one.id, row.number) not in rows for row in one.instances):
                found.add(one.id, one.instruction, one.nearest_score)
    return found


def history(folder: Path) -> PoolHistory:
    """The pool's past, for a forecast."""
    sql = "SELECT id, instruction, round FROM tasks WHERE round IS NOT NULL ORDER BY position"
    with snapshot(folder) as pool:
        counts = pool.status("")
        return PoolHistory(
            meta=read_meta(pool.connection),
            seeds=load_seeds(pool.connection),
            generated=[(Task(row[0], row[1], None), row[2]) for row in pool.connection.execute(sql)],
            removed=pool.removed(),
            done=Done(counts["tasks"], counts["instances"]),
            pending=counts["tasks_pending"],
            last_goal=last_goal(pool.connection),
            next_round=pool.connection.execute("SELECT COALESCE(MAX(number) + 1, 0) FROM rounds").fetchone()[0],
            stages={one.stage: one for one in pool.usage(of_any_model=True) if one.requests},
        )


def watched(folder: Path, until: int) -> Past:
    """What the monitor has seen, in detail from the last window on that ends by this round."""
    with snapshot(folder) as pool:
        return load_past(pool.connection, until)
