"""What sources of a replay recorded, round by round: pools, and folders of the original code.

A source raises a ConfigError where another recipe is named than the one it was asked by.
"""

from __future__ import annotations

import itertools
import sqlite3
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from selfinstruct.errors import ConfigError
from selfinstruct.own import OWN
from selfinstruct.pool.contents import OF_ROUND, OF_TASK, asked_of, constraints_from
from selfinstruct.pool.originals import instruction_key, read_originals
from selfinstruct.pool.passage_sets import with_passage
from selfinstruct.pool.statements import Statement, insert
from selfinstruct.recipes import ORIGINAL, recipe_of
from selfinstruct.settings import Settings
from selfinstruct.sources.evolve import PARENT
from selfinstruct.types import Candidate, Completion, Rejection, Request, Task, task_id

if TYPE_CHECKING:
    from selfinstruct.algorithm import Decision

Exchange = tuple[Request, Completion]
OF_ORIGINALS = ("paper", ORIGINAL)
"""The recipes that read what the original code was answered; both ask in the same words."""


@dataclass(frozen=True, slots=True)
class RecordedRound:
    """What a source recorded of one round, in order."""

    source: int
    """The number under which its completions are kept."""
    settings: Settings
    """Those to decide by: of the replay, but with the recipe that was asked by."""
    exchanges: tuple[Exchange, ...]
    taken: tuple[Candidate, ...]
    """Instructions whose completions were not recorded; they are accepted as they are."""
    shown: Mapping[str, str]
    """The demonstrations' instructions by id."""


class OriginalSource:
    """A folder of the original code, kept under one source number."""

    def __init__(self, folder: Path, number: int, settings: Settings, recipe: str | None) -> None:
        if recipe not in {None, *OF_ORIGINALS}:
            raise ConfigError(f"{folder} was asked by the recipe paper; {recipe} cannot read its answers")
        self.numbers = 1
        self._number = number
        self._recording = read_originals(folder)
        self._settings = settings
        self._used: set[str] = set()

    def rounds(self) -> Iterator[RecordedRound]:
        """As the original asked at once; instructions without a recorded answer last."""
        for exchanges in self._recording.rounds:
            yield RecordedRound(self._number, self._settings, exchanges, (), {})
        if self._recording.taken:
            yield RecordedRound(self._number, self._settings, (), self._recording.taken, {})

    def passages(self) -> list[Statement]:
        """None: the original wrote about no documents."""
        return []

    def as_asked(self, decision: Decision) -> Decision:
        """The decision as it is: the original demanded nothing of its answers."""
        return decision

    def with_passage(self, task: Task) -> Task:
        """The task as it is."""
        return task

    def follow_ups(self, candidate: Candidate) -> Sequence[Exchange]:
        """What was asked for this instruction's text: the original recorded no other link. Each is given out once."""
        key = instruction_key(candidate.instruction)
        if key in self._used:
            return ()
        self._used.add(key)
        return self._recording.follow_ups.get(key, ())


class PoolRecording:
    """What a pool recorded. Each of the sources that it has itself gets a number of its own here."""

    def __init__(self, folder: Path, connection: sqlite3.Connection, number_of: Mapping[int, int]) -> None:
        self.numbers = len(number_of)
        self._folder, self._connection, self._number_of = folder, connection, number_of
        self._inner_of = {new: source for source, new in number_of.items()}

    def follow_ups(self, candidate: Candidate) -> Sequence[Exchange]:
        """What the pool asked for the task of this candidate; empty where it rejected it."""
        requests, completions = asked_of(self._connection, OF_TASK, self._inner_id(candidate))
        return [(request, completions[request.id]) for request in requests if request.id in completions]

    def passages(self) -> list[Statement]:
        """What stores the passages that its tasks were written about, and which of them belong together."""
        tables = ("passages", "passage_sets")
        rows = ((table, dict(row)) for table in tables for row in self._connection.execute(f"SELECT * FROM {table}"))
        return [insert(table, row, once=True) for table, row in rows]

    def as_asked(self, decision: Decision) -> Decision:
        """The decision, with the constraints under which its task was answered if the pool has it."""
        if isinstance(decision, Rejection):
            return decision
        inner = self._inner_id(decision.candidate)
        found = self._connection.execute("SELECT constraints FROM tasks WHERE id = ?", (inner,)).fetchone()
        if found is None:
            return decision
        return replace(decision, task=replace(decision.task, constraints=constraints_from(found[0])))

    def with_passage(self, task: Task) -> Task:
        """The task, with the passage that it was written about."""
        return with_passage(self._connection, task)

    def _inner_id(self, candidate: Candidate) -> str:
        """The id that the pool gave the task of this candidate."""
        return task_id(self._inner_of[candidate.source], candidate.request_id, candidate.position)

    def _shown(self, ids: set[str]) -> dict[str, tuple[str, str]]:
        """Of these tasks and seeds by id: the id that each has under the new number of its source, and the text."""
        found = {}
        for identity in ids:
            row = self._connection.execute("SELECT * FROM tasks WHERE id = ?", (identity,)).fetchone()
            if row:
                source = self._number_of.get(row["source"])
                new = identity if source is None else task_id(source, row["request_id"], row["request_position"])
                found[identity] = (new, row["instruction"])
        return found


class PoolSource(PoolRecording):
    """A pool whose answers are decided on again."""

    def __init__(
        self, folder: Path, number: int, connection: sqlite3.Connection, settings: Settings, recipe: str | None
    ) -> None:
        super().__init__(folder, connection, dict(zip(sources_in(connection), itertools.count(number), strict=False)))
        self._recipe, self._settings = recipe, settings

    def rounds(self) -> Iterator[RecordedRound]:
        """The pool's rounds in order; requests without a completion are left out."""
        rows = self._connection.execute(
            "SELECT r.number, r.source, c.settings FROM rounds r JOIN configurations c ON c.id = r.configuration "
            "ORDER BY r.number"
        ).fetchall()
        for row in rows:
            requests, completions = asked_of(self._connection, OF_ROUND, row["number"])
            answered = [one for one in requests if one.id in completions]
            known = self._shown({identity for one in answered for identity in one.demonstrations})
            exchanges = tuple((renamed(one, known), completions[one.id]) for one in answered)
            yield RecordedRound(
                self._number_of[row["source"]],
                self._recorded(Settings.from_json(row["settings"])),
                exchanges,
                () if exchanges else tuple(self._taken(row["number"])),
                dict(known.values()),
            )

    def _recorded(self, recorded: Settings) -> Settings:
        name, today = recorded.recipe.name, self._settings.recipe.name
        is_edited = self._recipe is not None and _own_name(name) == _own_name(today) is not None
        can_read = self._recipe in {None, name} or is_edited or {self._recipe, name} <= {*OF_ORIGINALS}
        if not can_read:
            raise ConfigError(f"{self._folder} was asked by the recipe {name}; {self._recipe} cannot read its answers")
        prompts = {**self._settings.prompts, **recorded.prompts}  # of the judge only one of the two may know
        recipe = self._settings.recipe.model_copy(update={"name": today if is_edited else self._recipe or name})
        stages = {**self._settings.stages, **recorded.stages} if is_edited else recorded.stages
        sources = {**self._settings.own_code, **recorded.own_code}
        update = {"recipe": recipe, "stages": stages, "prompts": prompts, "own_code": sources}
        update["passages"] = recorded.passages
        found = self._settings.model_copy(update=update)
        filters = found.filters.model_copy(update=recipe_of(found).filters)
        return found.model_copy(update={"filters": filters})

    def _taken(self, number: int) -> Iterator[Candidate]:
        for row in self._connection.execute("SELECT * FROM tasks WHERE round = ? ORDER BY position", (number,)):
            yield Candidate(row["request_id"], row["request_position"], row["instruction"])


def _own_name(recipe: str) -> str | None:
    """NAME of a recipe of the user's own, which stays while the code is edited; None: it is another one."""
    return recipe.rpartition(":")[2] if recipe.startswith(f"{OWN}:") else None


def renamed(request: Request, known: Mapping[str, tuple[str, str]]) -> Request:
    """The request with the new ids of the tasks that it was made of."""
    ids = tuple(known[one][0] if one in known else one for one in request.demonstrations)
    drawn = {name: known[one][0] if name == PARENT and one in known else one for name, one in request.drawn.items()}
    return replace(request, demonstrations=ids, drawn=drawn)


def sources_in(connection: sqlite3.Connection) -> list[int]:
    """The sources of a pool's rounds, in order."""
    return [row[0] for row in connection.execute("SELECT DISTINCT source FROM rounds ORDER BY source")]
