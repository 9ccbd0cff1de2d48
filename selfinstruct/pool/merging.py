"""Finished tasks of other pools, site after site, as they come into a pool that grows by them."""

from __future__ import annotations

import json
import sqlite3
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, fields
from itertools import groupby
from pathlib import Path
from typing import Any, TypeVar

from selfinstruct.errors import PoolError
from selfinstruct.pool.contents import OF_ROUND, asked_of, flag_from
from selfinstruct.pool.exclusions import read_exclusion
from selfinstruct.pool.opening import Writer, read_meta
from selfinstruct.pool.recorded import PoolRecording, renamed, sources_in
from selfinstruct.pool.sites import Origin, origins
from selfinstruct.pool.statements import CANDIDATE_COLUMNS, REJECTION_COLUMNS, VERDICT_COLUMNS, turns_from
from selfinstruct.settings import Settings
from selfinstruct.types import (
    Candidate,
    Completion,
    Exclusion,
    Finished,
    InstanceCandidate,
    JudgeVerdict,
    Rejection,
    Request,
    Sample,
    Task,
    task_id,
)

Stored = TypeVar("Stored", Sample, Rejection, JudgeVerdict)


def merged_from(pool: Writer) -> Counter[str]:
    """How many tasks of each pool that was merged into this one were decided on, by the name of its folder."""
    name_of = {one.number: one.name for one in origins(pool.meta)}
    found: Counter[str] = Counter()
    with pool.connect() as connection:
        for source, count in connection.execute(
            "SELECT source, COUNT(*) FROM (SELECT source FROM tasks WHERE origin = 'generated' UNION ALL "
            "SELECT source FROM rejections WHERE kind = 'instruction') GROUP BY source"
        ):
            found[name_of.get(source, "")] += count
    return found


@dataclass(frozen=True, slots=True)
class Coming:
    """Finished tasks of one round of another pool that are not here yet, in order."""

    source: int
    settings: Settings
    """Those of their round, by which they are screened here too."""
    requests: tuple[Request, ...]
    """What proposed them."""
    completions: tuple[Completion, ...]
    """The answers to these, as far as they are not here yet."""
    unanswered: frozenset[str]
    """Those of them, by id, whose answers were not recorded."""
    tasks: tuple[tuple[Candidate, Task], ...]
    """Each with what it was as a candidate."""
    shown: Mapping[str, str]
    """The demonstrations' instructions by id."""


class Site(PoolRecording):
    """A pool that is merged into another one, to which `here` is a connection. It may have been merged before."""

    def __init__(
        self, folder: Path, connection: sqlite3.Connection, here: sqlite3.Connection, known: Sequence[Origin]
    ) -> None:
        found = {(one.pool, one.source): one for one in known}
        self._origins = [_origin(folder, connection, source) for source in sources_in(connection)]
        for one in self._origins:
            found.setdefault((one.pool, one.source), one._replace(number=len(found) + 1))
        numbers = {one.number: found[one.pool, one.source].number for one in self._origins}
        super().__init__(folder, connection, numbers)
        self.known = [*found.values()]
        """Those, and its own."""
        self._here = here
        self._given: set[tuple[int, str]] = set()
        """Requests whose answers are on their way there, so that `here` may not see them yet."""
        self._settings: dict[str, Settings] = {}

    def shares(self, other: Site) -> bool:
        """Whether some tasks of both may be the same."""
        return not {one[1:3] for one in self._origins}.isdisjoint(one[1:3] for one in other._origins)

    def exclusions(self) -> Iterator[Exclusion]:
        """The texts that were kept out of it."""
        for (identity,) in self._connection.execute("SELECT id FROM exclusions ORDER BY name").fetchall():
            yield read_exclusion(self._connection, identity)

    def coming(self) -> Iterator[Coming]:
        """Its finished tasks that are not here yet, by round, in order.

        Raises:
            PoolError: what was merged before under its name is of another pool.
        """
        rows = self._connection.execute(
            "SELECT t.*, r.configuration FROM tasks t JOIN rounds r ON r.number = t.round "
            "WHERE t.origin = 'generated' AND t.state = 'done' ORDER BY t.position"
        )
        for _, group in groupby(rows, lambda row: row["round"]):
            if tasks := [row for row in group if not self._is_here(row)]:
                yield self._coming(tasks)

    def finished(self, candidate: Candidate, task: Task) -> Finished:
        """What became of this candidate there, as of its task here: rows, and all that was found on the way."""
        inner, at = self._inner_id(candidate), {"source": candidate.source, "task_id": task.id}
        instances = self._connection.execute("SELECT * FROM instances WHERE task_id = ? ORDER BY position", (inner,))
        return Finished(
            task,
            tuple(
                InstanceCandidate(
                    row["request_id"], row["request_position"], row["input"], row["output"], source=candidate.source,
                    reasoning=row["reasoning"], turns=turns_from(row["turns"]), ended=row["ended"],
                )
                for row in instances
            ),
            tuple(_stored(Rejection, row, REJECTION_COLUMNS, at) for row in self._rejections(inner, candidate)),
            tuple(
                _stored(JudgeVerdict, row, VERDICT_COLUMNS, at)
                for row in self._connection.execute(
                    "SELECT * FROM verdicts WHERE task_id = ? ORDER BY request_id, request_position", (inner,)
                )
            ),
            tuple(
                _stored(Sample, row, CANDIDATE_COLUMNS, at)
                for row in self._connection.execute("SELECT * FROM samples WHERE task_id = ? ORDER BY number", (inner,))
            ),
        )  # fmt: skip

    def _is_here(self, row: sqlite3.Row) -> bool:
        source, request, position = self._number_of[row["source"]], row["request_id"], row["request_position"]
        found = self._here.execute(
            "SELECT instruction FROM tasks WHERE id = ? UNION ALL SELECT text FROM rejections "
            "WHERE (source, request_id, request_position, kind) = (?, ?, ?, 'instruction')",
            (task_id(source, request, position), source, request, position),
        ).fetchone()
        if found is not None and found[0] != row["instruction"]:
            raise PoolError(
                f"{self._folder}: another pool of the same seed was merged before, and the two asked the same "
                "questions; grow it with a --seed of its own, or merge into a new pool"
            )
        return found is not None

    def _coming(self, tasks: Sequence[sqlite3.Row]) -> Coming:
        source = self._number_of[tasks[0]["source"]]
        wanted = {row["request_id"] for row in tasks}
        # In a pool that was merged itself, a request may stand in an earlier round than a task that it proposed.
        rounds = self._connection.execute(
            "SELECT DISTINCT round FROM requests WHERE source = ? AND id IN (SELECT value FROM json_each(?))"
            " ORDER BY 1",
            (tasks[0]["source"], json.dumps(sorted(wanted))),
        ).fetchall()
        asked, answers = [], dict[str, Completion]()
        for (number,) in rounds:
            requests_there, answers_there = asked_of(self._connection, OF_ROUND, number)
            asked += [one for one in requests_there if one.id in wanted]
            answers |= answers_there
        known = self._shown({identity for one in asked for identity in one.demonstrations})
        requests = tuple(renamed(one, known) for one in asked)
        new = [one for name, one in answers.items() if name in wanted and not self._is_answered(source, name)]
        self._given |= {(source, one.request_id) for one in new}
        return Coming(
            source,
            self._settings_of(tasks[0]["configuration"]),
            requests,
            tuple(new),
            frozenset(wanted - answers.keys()),
            tuple((_candidate(row, source), _task(row)) for row in tasks),
            dict(known.values()),
        )

    def _is_answered(self, source: int, request: str) -> bool:
        if (source, request) in self._given:
            return True
        sql = "SELECT 1 FROM completions WHERE (source, request_id) = (?, ?)"
        return self._here.execute(sql, (source, request)).fetchone() is not None

    def _settings_of(self, configuration: str) -> Settings:
        if configuration not in self._settings:
            sql = "SELECT settings FROM configurations WHERE id = ?"
            self._settings[configuration] = Settings.from_json(
                self._connection.execute(sql, (configuration,)).fetchone()[0]
            )
        return self._settings[configuration]

    def _rejections(self, inner: str, candidate: Candidate) -> list[sqlite3.Row]:
        """Of instances of this task, found by its requests, since there is an index by these alone."""
        return self._connection.execute(
            "SELECT j.* FROM (SELECT id FROM requests WHERE task_id = ?1 UNION SELECT ?2) asked JOIN rejections j "
            "ON j.source = ?3 AND j.request_id = asked.id WHERE j.task_id = ?1 AND j.kind = 'instance' "
            "ORDER BY j.number",
            (inner, candidate.request_id, self._inner_of[candidate.source]),
        ).fetchall()


def _origin(folder: Path, connection: sqlite3.Connection, source: int) -> Origin:
    """Where the tasks of a pool's source come from, under its number there; from another pool if they were merged."""
    merged = next((one for one in origins(read_meta(connection)) if one.number == source), None)
    first = connection.execute("SELECT id FROM requests WHERE source = ? ORDER BY number LIMIT 1", (source,)).fetchone()
    return merged or Origin(source, first[0] if first else str(folder), source, folder.resolve().name)


def _candidate(row: sqlite3.Row, source: int) -> Candidate:
    return Candidate(
        row["request_id"], row["request_position"], row["instruction"], flag_from(row["as_proposed"]), source,
        row["answer"],
    )  # fmt: skip


def _task(row: sqlite3.Row) -> Task:
    return Task(row["id"], row["instruction"], flag_from(row["is_classification"]))


def _stored(kind: type[Stored], row: sqlite3.Row, columns: Mapping[str, str], at: Mapping[str, Any]) -> Stored:
    """What was stored of this kind, with its source and task as they are here."""
    names = [one.name for one in fields(kind)]
    found = {name: row[columns.get(name, name)] for name in names if name not in at}
    return kind(**found, **{name: value for name, value in at.items() if name in names})
