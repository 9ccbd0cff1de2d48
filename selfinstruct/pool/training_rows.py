"""The pool as rows of training data, with what led to each. Reads only, row by row, in flat memory."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Iterator, Mapping, Sequence
from itertools import groupby, islice
from operator import itemgetter
from typing import Any, NamedTuple

from selfinstruct.types import Instance, Origin


class Row(NamedTuple):
    """One instance of a finished task, with its lineage."""

    task_id: str
    instruction: str
    instance: Instance
    position: int = 0
    """The task's place in the pool."""
    number: int = 0
    """The instance's place in its task, from 0."""
    origin: Origin = "generated"
    round: int | None = None
    parents: str = "[]"
    """JSON list of the ids of the tasks that were shown when this one was proposed."""
    nearest_score: float | None = None
    """ROUGE-L F1 to the most similar earlier instruction, as far as it is known."""
    model: str | None = None
    """What proposed the instruction; None for seeds."""
    output_model: str | None = None
    """What wrote the output."""
    recipe: str | None = None
    is_classification: bool = False

    @property
    def input(self) -> str:
        """What the instruction works on; may be empty."""
        return self.instance.input

    @property
    def output(self) -> str:
        """The answer."""
        return self.instance.output

    @property
    def id(self) -> str:
        """What names this row, the same in every export of the pool."""
        return f"{self.task_id}/{self.number}"


_EXPORTED = """
FROM tasks t CROSS JOIN instances i ON i.task_id = t.id
WHERE t.origin IN (SELECT value FROM json_each(?)) AND t.id NOT IN (SELECT task_id FROM removed)
"""
_ROWS = f"""
SELECT t.id, t.instruction, i.input, i.output, t.position, i.position, t.origin, t.round, t.parents, t.nearest_score,
  {{models}}, t.is_classification
{_EXPORTED}
ORDER BY t.position, i.position
"""
_MODELS = """
  (SELECT q.model FROM requests q WHERE q.source = t.source AND q.id = t.request_id),
  COALESCE(
    (SELECT q.model FROM requests q WHERE q.task_id = t.id AND q.stage = 'respond'
       AND q.position = i.request_position AND q.state = 'answered'
       AND i.request_id NOT IN (SELECT id FROM requests WHERE stage = 'revise')),
    (SELECT q.model FROM requests q WHERE q.source = i.source AND q.id = i.request_id))
"""
"""`respond` requests carry the position of the candidate that they answer; a revision brings its own answer."""
_ONE_MODEL = """
  CASE WHEN t.request_id IS NOT NULL THEN (SELECT model FROM requests LIMIT 1) END,
  CASE WHEN i.request_id IS NOT NULL THEN (SELECT model FROM requests LIMIT 1) END
"""
"""The same where there is one model only: no request has to be looked up, and that is most of the time."""


def rows(connection: sqlite3.Connection, origins: Sequence[Origin] = ("generated",)) -> Iterator[Row]:
    """The instances of the finished tasks of these origins in task order, without those of removed ones.

    A task gets all of its instances in the transaction that finishes it.
    """
    recipes = {round_: settings["recipe"]["name"] for round_, settings in _settings_of_rounds(connection)}
    models = connection.execute("SELECT DISTINCT model FROM requests LIMIT 2").fetchall()
    sql = _ROWS.format(models=_MODELS if len(models) > 1 else _ONE_MODEL)
    found = connection.execute(sql, (json.dumps(list(origins)),))
    found.row_factory = None
    for (
        task_id, instruction, input_, output, position, number, origin, round_, parents, nearest, model, output_model,
        is_classification,
    ) in found:  # fmt: skip
        yield Row(
            task_id, instruction, Instance(input_, output), position, number, origin, round_, parents, nearest,
            model, output_model, recipes.get(round_), bool(is_classification),
        )  # fmt: skip


def some_rows(connection: sqlite3.Connection, wanted: int) -> list[Row]:
    """So many rows of generated tasks, or all if there are fewer, spread evenly over the pool."""
    count = connection.execute("SELECT COUNT(*)" + _EXPORTED, (json.dumps(["generated"]),)).fetchone()[0]
    places = {count * (2 * number + 1) // (2 * wanted) for number in range(wanted)}
    found = enumerate(islice(rows(connection), max(places) + 1))
    return [row for place, row in found if place in places]


def scores_of(connection: sqlite3.Connection, row: Row) -> tuple[int, int, int] | None:
    """What the judge gave the task, the input and the output of a row, 1 to 5 each; None where it was not asked."""
    found = connection.execute(
        "SELECT v.valid_score, v.input_score, v.output_score FROM instances i JOIN verdicts v "
        "ON (v.source, v.request_id, v.request_position) = (i.source, i.request_id, i.request_position) "
        "WHERE (i.task_id, i.position) = (?, ?) AND v.valid_score IS NOT NULL",
        [row.task_id, row.number],
    ).fetchone()
    return None if found is None else tuple(found)


def texts_of_tasks(connection: sqlite3.Connection) -> Iterator[tuple[int, str, list[str]]]:
    """(position, id, instruction plus input of each instance) of every finished task, in order.

    Seeds are among them, and what was removed: this is for what must not change when tasks are removed or asked for.
    """
    found = connection.execute(
        "SELECT t.position, t.id, t.instruction, i.input FROM tasks t CROSS JOIN instances i ON i.task_id = t.id "
        "ORDER BY t.position, i.position"
    )
    found.row_factory = None
    for (position, task_id), own in groupby(found, key=itemgetter(0, 1)):
        yield position, task_id, [text_of(instruction, input_) for _, _, instruction, input_ in own]


def text_of(instruction: str, input_: str) -> str:
    """Instruction plus input, as rows are compared."""
    return f"{instruction}\n{input_}" if input_ else instruction


def text_at(connection: sqlite3.Connection, position: int, number: int) -> str:
    """Instruction plus input of one row."""
    found = connection.execute(
        "SELECT t.instruction, i.input FROM tasks t JOIN instances i ON i.task_id = t.id "
        "WHERE t.position = ? AND i.position = ?",
        (position, number),
    ).fetchone()
    return text_of(found[0], found[1])


def open_tasks(connection: sqlite3.Connection, before: int = 2**62) -> list[str]:
    """The ids of the accepted tasks before this position that are not finished, in task order."""
    sql = "SELECT id FROM tasks WHERE state = 'pending' AND position < ? ORDER BY position"
    return [row["id"] for row in connection.execute(sql, (before,))]


def configurations(connection: sqlite3.Connection) -> list[dict[str, Any]]:
    """The settings under which the finished tasks were accepted, each once, in the order of their first round.

    Rounds after the last of these tasks, such as ones that are only planned, say nothing about what is exported.
    """
    found = connection.execute(
        "SELECT c.settings FROM configurations c JOIN rounds r ON r.configuration = c.id WHERE r.number <= "
        "(SELECT MAX(round) FROM tasks WHERE state = 'done') GROUP BY c.id ORDER BY MIN(r.number)"
    )
    return [json.loads(row["settings"]) for row in found]


def _settings_of_rounds(connection: sqlite3.Connection) -> Iterator[tuple[int, Mapping[str, Any]]]:
    """Each round with its settings; equal ones are the same object."""
    known = {
        row["id"]: json.loads(row["settings"]) for row in connection.execute("SELECT id, settings FROM configurations")
    }
    for row in connection.execute("SELECT number, configuration FROM rounds ORDER BY number"):
        yield row["number"], known[row["configuration"]]
