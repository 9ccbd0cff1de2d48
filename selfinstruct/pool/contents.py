"""What growth reads of a pool: its tasks, the rounds and tasks that are still open, what was seen and removed."""

from __future__ import annotations

import json
import sqlite3
from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from functools import lru_cache

from selfinstruct.diversity.monitor import Window
from selfinstruct.diversity.verbs import Reading
from selfinstruct.pool.records import Done, StoredGoal
from selfinstruct.pool.statements import completion_from_row, request_from_row, turns_from
from selfinstruct.settings import LARGEST, Settings
from selfinstruct.types import PROPOSE, Candidate, Completion, Constraint, Instance, Request, Task

OF_ROUND = "r.round = ? AND r.task_id IS NULL"
"""The propose requests `r` of a round; follow-ups of its tasks carry its number too."""
OF_TASK = "r.task_id = ?"
"""The follow-up requests `r` of a task."""


@dataclass(frozen=True, slots=True)
class OpenRound:
    """A round that is planned or half screened."""

    number: int
    settings: Settings
    state: str
    requests: tuple[Request, ...]
    """In order; those that were superseded are left out."""
    completions: dict[str, Completion]
    """By request id."""
    waiting: tuple[Candidate, ...]
    """What is still to be screened, in order, once the round has been read."""
    level: int = 0
    """How strongly it was steered away from what the pool has too much of."""


@dataclass(frozen=True, slots=True)
class OpenTask:
    """An accepted task whose follow-ups are not finished."""

    task: Task
    round: int
    settings: Settings
    requests: tuple[Request, ...] = ()
    completions: Mapping[str, Completion] = field(default_factory=dict)
    done_before: Done = field(default_factory=Done)
    """Those that come before it in task order."""


@dataclass(slots=True)
class PastRound:
    """A round that is planned, with what was screened in it so far."""

    number: int
    shown: list[str] = field(default_factory=list)
    """Ids of the demonstrations of all its requests."""
    screened: list[tuple[str, str | None, float | None]] = field(default_factory=list)
    """(text, reason of the rejection or None, score to the nearest if it was accepted)."""


@dataclass(frozen=True, slots=True)
class Past:
    """What is needed to go on watching a pool."""

    windows: tuple[Window, ...] = ()
    """The last one that ends by the round asked for, and those after it."""
    pairs: Mapping[Reading, int] = field(default_factory=dict)
    """How many generated tasks of all windows so far have a pair of verb and noun."""
    rounds: tuple[PastRound, ...] = ()
    """In order, from the first of these windows on."""


_ROUNDS_BACK = 1024
"""More than any round lags behind."""
GeneratedRow = tuple[str, str, bool | None, int, Mapping[str, str]]
"""(id, instruction, is_classification as proposed, round, drawn) of an accepted task."""


@dataclass(frozen=True, slots=True)
class Contents:
    """What growth needs to know of a pool when it starts."""

    seeds: tuple[Task, ...]
    generated: list[GeneratedRow]
    """Of each accepted task, in order."""
    done: Done
    rounds: list[OpenRound] = field(default_factory=list)
    tasks: list[OpenTask] = field(default_factory=list)
    asked: dict[int, list[Mapping[str, str]]] = field(default_factory=dict)
    """What was drawn for the propose requests of the newest rounds, by round."""
    screening: int = 0
    """The round to be screened next; one that was never planned where that is missing."""
    next_round: int = 0
    last_settings: Settings | None = None
    """Those of the round planned last."""
    answered: set[tuple[str, str, str]] = field(default_factory=set)
    """(stage, model, sampling as JSON) of the questions that have had an answer."""


def load_contents(connection: sqlite3.Connection) -> Contents:
    """What growth needs to know of this pool."""
    settings = {
        row["id"]: Settings.from_json(row["settings"])
        for row in connection.execute("SELECT id, settings FROM configurations")
    }
    of_round = {
        row["number"]: settings[row["configuration"]]
        for row in connection.execute("SELECT number, configuration FROM rounds ORDER BY number")
    }
    plain = connection.cursor()
    plain.row_factory = None
    generated = plain.execute(
        "SELECT id, instruction, as_proposed, round, drawn FROM tasks WHERE origin = 'generated' ORDER BY position"
    )
    return Contents(
        seeds=load_seeds(connection),
        generated=[(*row[:4], _drawn(row[4])) for row in generated],
        done=read_done(connection),
        rounds=_open_rounds(connection, of_round),
        tasks=_open_tasks(connection, of_round),
        asked=_asked(connection, of_round),
        screening=_screening(connection),
        next_round=max(of_round, default=-1) + 1,
        last_settings=of_round[max(of_round)] if of_round else None,
        answered={
            (row["stage"], row["model"], row["sampling"])
            for row in connection.execute(
                "SELECT DISTINCT stage, model, sampling FROM requests WHERE state = 'answered'"
            )
        },
    )


def read_done(connection: sqlite3.Connection, first: int = 0, last: int = LARGEST) -> Done:
    """What is done of the tasks from one position to another."""
    found = connection.execute(
        "SELECT COUNT(DISTINCT t.id), COUNT(i.task_id) FROM tasks t LEFT JOIN instances i ON i.task_id = t.id "
        "WHERE t.origin = 'generated' AND t.state = 'done' AND t.position BETWEEN ? AND ?",
        (first, last),
    ).fetchone()
    return Done(*found)


def _screening(connection: sqlite3.Connection) -> int:
    """The round that is half screened, else the first after all that are settled, planned or not."""
    half = "(SELECT MIN(number) FROM rounds WHERE state = 'screening')"
    settled = "(SELECT MAX(number) + 1 FROM rounds WHERE state = 'settled')"
    return int(connection.execute(f"SELECT COALESCE({half}, {settled}, 0)").fetchone()[0])


def flag_from(value: int | None) -> bool | None:
    """A yes or no as it was stored; None where nothing was said."""
    return None if value is None else bool(value)


def constraints_from(stored: str) -> tuple[Constraint, ...]:
    """The constraints of a task as they were stored."""
    return tuple(Constraint(**one) for one in json.loads(stored or "[]"))


def _asked(connection: sqlite3.Connection, of_round: Mapping[int, Settings]) -> dict[int, list[Mapping[str, str]]]:
    """What was drawn for the planned requests of the newest rounds, without second questions."""
    found: dict[int, dict[int, Mapping[str, str]]] = {}
    for row in connection.execute(
        "SELECT round, position, drawn FROM requests WHERE round > ? AND task_id IS NULL AND drawn IS NOT NULL",
        (max(of_round, default=0) - _ROUNDS_BACK,),
    ):
        if row["position"] < of_round[row["round"]].round_size:
            found.setdefault(row["round"], {})[row["position"]] = _drawn(row["drawn"])
    return {number: [*drawn.values()] for number, drawn in found.items()}


@lru_cache(maxsize=4096)
def _drawn(stored: str) -> Mapping[str, str]:
    """What was drawn for a task; tasks for which the same was drawn share it."""
    found: Mapping[str, str] = json.loads(stored or "{}")
    return found


def load_tasks(connection: sqlite3.Connection, ids: Iterable[str]) -> dict[str, Task]:
    """These tasks and seeds by id, without their instances."""
    wanted = list(ids)
    marks = ", ".join("?" * len(wanted))
    rows = connection.execute(
        f"SELECT id, instruction, is_classification FROM tasks WHERE id IN ({marks})",
        wanted,
    )
    return {row["id"]: Task(row["id"], row["instruction"], flag_from(row["is_classification"])) for row in rows}


def load_seeds(connection: sqlite3.Connection) -> tuple[Task, ...]:
    """The pool's seeds in their order."""
    instances: dict[str, list[Instance]] = defaultdict(list)
    for row in connection.execute(
        "SELECT i.* FROM instances i JOIN tasks t ON t.id = i.task_id WHERE t.origin = 'seed' "
        "ORDER BY t.position, i.position"
    ):
        instances[row["task_id"]].append(Instance(row["input"], row["output"], turns_from(row["turns"])))
    return tuple(
        Task(
            id=row["id"],
            instruction=row["instruction"],
            is_classification=bool(row["is_classification"]),
            instances=tuple(instances[row["id"]]),
            origin="seed",
            name=row["name"],
            system=row["system"],
        )
        for row in connection.execute("SELECT * FROM tasks WHERE origin = 'seed' ORDER BY position")
    )


def _open_rounds(connection: sqlite3.Connection, of_round: dict[int, Settings]) -> list[OpenRound]:
    opened = []
    for row in connection.execute(
        "SELECT number, state, steering FROM rounds WHERE state != 'settled' ORDER BY number"
    ):
        number = row["number"]
        requests, completions = asked_of(connection, OF_ROUND, number)
        waiting = tuple(
            Candidate(
                request_id=item["request_id"],
                position=item["request_position"],
                instruction=item["text"],
                is_classification=flag_from(item["is_classification"]),
                source=item["source"],
                answer=item["answer"],
            )
            for item in connection.execute("SELECT * FROM waiting WHERE round = ? ORDER BY place", (number,))
        )
        level = json.loads(row["steering"])["level"] if row["steering"] else 0
        opened.append(OpenRound(number, of_round[number], row["state"], requests, completions, waiting, level))
    return opened


def _open_tasks(connection: sqlite3.Connection, of_round: dict[int, Settings]) -> list[OpenTask]:
    opened = []
    before, last = Done(), -1
    for row in connection.execute("SELECT * FROM tasks WHERE state = 'pending' ORDER BY position"):
        task = Task(
            row["id"],
            row["instruction"],
            flag_from(row["is_classification"]),
            answer=row["answer"],
            constraints=constraints_from(row["constraints"]),
            drawn=_drawn(row["drawn"]),
        )
        requests, completions = asked_of(connection, OF_TASK, row["id"])
        between = read_done(connection, last, row["position"])
        before = Done(before.tasks + between.tasks, before.rows + between.rows)
        last = row["position"]
        opened.append(OpenTask(task, row["round"], of_round[row["round"]], requests, completions, before))
    return opened


def asked_of(
    connection: sqlite3.Connection, where: str, value: object
) -> tuple[tuple[Request, ...], dict[str, Completion]]:
    """The requests of a round or a task, the one that counts of each place, and their completions by request id.

    `where` is a condition on the requests `r` with one mark, for `value`. A request that was superseded counts only
    where no other took its place.
    """
    rows = connection.execute(
        f"SELECT r.* FROM questions r WHERE {where} ORDER BY r.state != 'superseded', r.number",
        (value,),
    ).fetchall()
    standing = {(row["stage"], row["position"]): row for row in rows}
    rows = sorted(standing.values(), key=lambda row: (row["position"], row["number"]))
    answers = connection.execute(
        f"SELECT c.* FROM answers c JOIN requests r ON r.source = c.source AND r.id = c.request_id WHERE {where}",
        (value,),
    ).fetchall()
    requests = tuple(request_from_row(row) for row in rows)
    return requests, {row["request_id"]: completion_from_row(row) for row in answers}


def load_past(connection: sqlite3.Connection, until: int) -> Past:
    """What was seen, in detail from the last window on that ends by the round `until`."""
    windows = tuple(
        Window(**{**dict(row), "warnings": tuple(json.loads(row["warnings"]))})
        for row in connection.execute(
            "SELECT * FROM windows WHERE last_round >= "
            "(SELECT COALESCE(MAX(last_round), 0) FROM windows WHERE last_round <= ?) ORDER BY last_round",
            (until,),
        )
    )
    first = windows[0].first_round if windows else 0
    pairs = {Reading(row["verb"], row["noun"]): row["tasks"] for row in connection.execute("SELECT * FROM verb_nouns")}
    return Past(windows, pairs, tuple(_rounds(connection, first).values()))


def _rounds(connection: sqlite3.Connection, first: int) -> dict[int, PastRound]:
    found = {}
    for row in connection.execute("SELECT number FROM rounds WHERE number >= ? ORDER BY number", (first,)):
        found[row["number"]] = PastRound(row["number"])
    for row in connection.execute(
        "SELECT round, demonstrations FROM requests "
        "WHERE round >= ? AND task_id IS NULL AND stage = ? AND state != 'superseded'",
        (first, PROPOSE),
    ):
        found[row["round"]].shown.extend(json.loads(row["demonstrations"]))
    for row in connection.execute(
        "SELECT round, instruction, nearest_score FROM tasks WHERE round >= ? ORDER BY position", (first,)
    ):
        found[row["round"]].screened.append((row["instruction"], None, row["nearest_score"]))
    for row in connection.execute(
        "SELECT round, text, reason FROM rejections WHERE round >= ? AND kind = 'instruction'", (first,)
    ):
        found[row["round"]].screened.append((row["text"], row["reason"], None))
    return found


@dataclass(frozen=True, slots=True)
class Removed:
    """The tasks that are removed as of an event."""

    last_event: int = 0
    """The number of the last event there is; 0 before the first."""
    positions: tuple[int, ...] = ()
    """Their positions in the pool, seeds included, ascending."""


def read_removed(connection: sqlite3.Connection, known: Removed) -> Removed:
    """The tasks that are removed now; `known` if nothing has happened since that was read."""
    last = connection.execute("SELECT COALESCE(MAX(number), 0) FROM events").fetchone()[0]
    if last == known.last_event:
        return known
    sql = "SELECT t.position FROM removed r JOIN tasks t ON t.id = r.task_id ORDER BY t.position"
    return Removed(last, tuple(row[0] for row in connection.execute(sql)))


def last_goal(connection: sqlite3.Connection) -> StoredGoal:
    """That of the last run; nothing before the first."""
    row = connection.execute("SELECT goal, more, goal_rows FROM runs ORDER BY id DESC LIMIT 1").fetchone()
    return StoredGoal(*row) if row else StoredGoal()
