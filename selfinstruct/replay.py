"""Judging recorded completions again: other rules, another threshold, another order of pools, and no model asked.

Sources are read one after the other, their rounds numbered on. Nothing is planned: what the sources did not ask stays
open, and a later `generate` asks it.
"""

from __future__ import annotations

import contextlib
import json
import sqlite3
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from selfinstruct import rounds
from selfinstruct.config import Config, pool_settings
from selfinstruct.errors import ConfigError, PoolError
from selfinstruct.growth import Tell, likeness_columns, now
from selfinstruct.recipes import RECIPES
from selfinstruct.recipes.steps import Settled
from selfinstruct.records import Candidate, Completion, Request, Settings, Task
from selfinstruct.seeds import read_seeds
from selfinstruct.store import statements
from selfinstruct.store.originals import instruction_key, is_originals, read_originals
from selfinstruct.store.pool import OF_ROUND, OF_TASK, Pool, asked_of, is_pool, load_seeds, open_for_reading, read_meta
from selfinstruct.store.writer import Statement

Exchange = tuple[Request, Completion]
RUN = 1
"""A replayed pool is made by its first run."""


@dataclass(frozen=True, slots=True)
class RecordedRound:
    """What a source recorded of one round, in order."""

    settings: Settings
    exchanges: tuple[Exchange, ...]
    taken: tuple[Candidate, ...]
    """Instructions whose completions were not recorded; they are accepted as they are."""
    shown: Mapping[str, str]
    """The demonstrations' instructions by id."""


class Source:
    """One recording: a pool, a part of a merged pool, or a folder of the original code."""

    def __init__(self, number: int, name: str) -> None:
        self.number = number
        self.name = name

    def rounds(self) -> Iterator[RecordedRound]:
        """The rounds in recorded order."""
        raise NotImplementedError

    def follow_ups(self, candidate: Candidate) -> Sequence[Exchange]:
        """What was asked and answered for the task that this candidate became."""
        raise NotImplementedError


class OriginalSource(Source):
    """A folder of the original code."""

    def __init__(self, number: int, folder: Path, settings: Settings) -> None:
        super().__init__(number, str(folder))
        self._recording = read_originals(folder)
        self._settings = settings
        self._used: set[str] = set()

    def rounds(self) -> Iterator[RecordedRound]:
        """As the original asked at once; instructions without a recorded answer last."""
        for exchanges in self._recording.rounds:
            yield RecordedRound(self._settings, exchanges, (), {})
        if self._recording.taken:
            yield RecordedRound(self._settings, (), self._recording.taken, {})

    def follow_ups(self, candidate: Candidate) -> Sequence[Exchange]:
        """By the instruction's text: the original recorded no other link. Each recording belongs to one task."""
        key = instruction_key(candidate.instruction)
        if key in self._used:
            return ()
        self._used.add(key)
        return self._recording.follow_ups.get(key, ())


class PoolSource(Source):
    """What one pool asked itself, or took over from one of its own sources."""

    def __init__(
        self, number: int, folder: Path, inner: int, connection: sqlite3.Connection, settings: Settings
    ) -> None:
        super().__init__(number, str(folder))
        self._connection = connection
        self._inner = inner
        self._settings = settings

    def rounds(self) -> Iterator[RecordedRound]:
        """The pool's rounds; requests without a completion are left out."""
        rows = self._connection.execute(
            "SELECT r.number, c.settings FROM rounds r JOIN configurations c ON c.id = r.configuration "
            "WHERE r.source = ? ORDER BY r.number",
            (self._inner,),
        ).fetchall()
        for row in rows:
            recorded = Settings.from_json(row["settings"])
            settings = replace(self._settings, recipe=recorded.recipe, stages=recorded.stages, prompts=recorded.prompts)
            requests, completions = asked_of(self._connection, OF_ROUND, row["number"])
            exchanges = tuple((one, completions[one.id]) for one in requests if one.id in completions)
            taken = tuple(self._taken(row["number"])) if not requests else ()
            ids = {identity for request, _ in exchanges for identity in request.demonstrations}
            yield RecordedRound(settings, exchanges, taken, self._instructions(ids))

    def follow_ups(self, candidate: Candidate) -> Sequence[Exchange]:
        """What the pool asked for the task of this candidate; empty where it rejected it."""
        row = self._connection.execute(
            "SELECT id FROM tasks WHERE source = ? AND request_id = ? AND request_position = ?",
            (self._inner, candidate.request_id, candidate.position),
        ).fetchone()
        if row is None:
            return ()
        requests, completions = asked_of(self._connection, OF_TASK, row["id"])
        return [(request, completions[request.id]) for request in requests if request.id in completions]

    def _taken(self, number: int) -> Iterator[Candidate]:
        for row in self._connection.execute("SELECT * FROM tasks WHERE round = ? ORDER BY position", (number,)):
            yield Candidate(row["request_id"], row["request_position"], row["instruction"])

    def _instructions(self, ids: set[str]) -> dict[str, str]:
        found = {}
        for identity in ids:
            row = self._connection.execute("SELECT instruction FROM tasks WHERE id = ?", (identity,)).fetchone()
            if row:
                found[identity] = row["instruction"]
        return found


def replay(folders: Sequence[Path], config: Config, tell: Tell) -> None:
    """Make a new pool out of what the sources recorded. It is there whole or not at all.

    Raises:
        ConfigError: the sources' seeds differ or are not known, and none are named.
        PoolError: a source is no recording, or the new pool's folder is in use.
    """
    settings = pool_settings(config, "recorded")
    with contextlib.ExitStack() as stack:
        pool = Pool.open(config.pool)
        stack.callback(pool.close)
        if not pool.is_new:
            raise PoolError(f"{config.pool}: there is a pool already; replay makes a new one, name another --pool")
        sources, seeds, offline = _open(folders, config, settings, stack)
        counts = [0, 0]
        pool.create(seeds, config.seed, offline=offline, more=_judge_all(sources, seeds, settings, counts))
    tell(f"{counts[1]:,} instructions accepted in {counts[0]:,} rounds of {len(sources)} sources")


def _open(
    folders: Sequence[Path], config: Config, settings: Settings, stack: contextlib.ExitStack
) -> tuple[list[Source], Sequence[Task], bool]:
    sources: list[Source] = []
    own_seeds: dict[str, Sequence[Task]] = {}
    unknown: list[Path] = []
    kinds: set[bool] = set()
    for folder in folders:
        if is_originals(folder):
            sources.append(OriginalSource(len(sources), folder, replace(settings, recipe="paper")))
            unknown.append(folder)
            kinds.add(False)
            continue
        if folder.is_dir() and not is_pool(folder):
            raise PoolError(f"{folder}: neither a pool nor a folder of the original code")
        connection = stack.enter_context(contextlib.closing(open_for_reading(folder)))
        connection.execute("BEGIN")
        meta = read_meta(connection)
        own_seeds[meta["seeds"]] = load_seeds(connection)
        kinds.add(json.loads(meta["offline"]))
        inner = connection.execute("SELECT DISTINCT source FROM rounds ORDER BY source").fetchall()
        for row in inner:
            sources.append(PoolSource(len(sources), folder, row["source"], connection, settings))
    if len(kinds) > 1:
        raise PoolError("one source holds tasks of the offline model and another of a real one; replay them apart")
    if config.seeds is not None:
        return sources, read_seeds(config.seeds), kinds == {True}
    if unknown:
        raise ConfigError(f"{unknown[0]}: the seeds of this recording are not known; name them by --seeds")
    if len(own_seeds) != 1:
        raise ConfigError("the sources were grown from different seeds; name those of the new pool by --seeds")
    return sources, next(iter(own_seeds.values())), kinds == {True}


def _judge_all(
    sources: Iterable[Source], seeds: Sequence[Task], settings: Settings, counts: list[int]
) -> Iterator[Statement]:
    """The statements that fill the new pool, in order."""
    yield statements.insert("runs", {"id": RUN, "started_at": now(), "host": "", "pid": 0})
    judge = rounds.Judge(settings.tokenizer)
    for seed in seeds:
        judge.know(seed.id, seed.instruction, is_seed=True)
    for source in sources:
        for recorded in source.rounds():
            yield from _judge_round(source, counts[0], recorded, judge, seeds, counts)
            counts[0] += 1
    yield "UPDATE runs SET ended_at = ?, exit_code = 0, outcome = 'replayed' WHERE id = ?", (now(), RUN)


def _judge_round(
    source: Source, number: int, recorded: RecordedRound, judge: rounds.Judge, seeds: Sequence[Task], counts: list[int]
) -> Iterator[Statement]:
    settings = recorded.settings
    exchanges = [_of_source(source, exchange, number) for exchange in recorded.exchanges]
    requests = [request for request, _ in exchanges]
    yield from statements.plan_round(number, settings, requests, RUN, source.number)
    for _, completion in exchanges:
        yield from statements.journal(completion, RUN, now())
    completions = {completion.request_id: completion for _, completion in exchanges}
    candidates, rejections = rounds.read_round(requests, completions, settings)
    yield from statements.read_round(number, candidates, rejections, requests)
    demonstrations = {request.id: request.demonstrations for request in requests}
    taken = {replace(candidate, source=source.number) for candidate in recorded.taken}
    yield from _requests_of_taken(source, number, recorded.taken)
    for candidate in [*candidates, *(replace(one, source=source.number) for one in recorded.taken)]:
        parents = demonstrations.get(candidate.request_id, ())
        shown = [recorded.shown[one] for one in parents if one in recorded.shown]
        if candidate in taken:
            verdict: rounds.Verdict = judge.take(candidate, settings)
        else:
            verdict = judge.verdict(candidate, shown, settings)
        if not isinstance(verdict, rounds.Accepted):
            yield statements.add_rejection(verdict, number)
            yield statements.no_longer_waiting("instruction", verdict)
            continue
        position = len(seeds) + counts[1]
        counts[1] += 1
        yield from statements.accept(
            verdict.task, position, number, candidate, likeness_columns(verdict.likeness), parents
        )
        original = replace(candidate, source=0)
        yield from _follow(source, number, verdict.task, source.follow_ups(original), settings, seeds)
    yield statements.settle_round(number)


def _requests_of_taken(source: Source, number: int, taken: Sequence[Candidate]) -> Iterator[Statement]:
    """A request that stands for each instruction whose completion is not recorded, so that counts add up."""
    for place, candidate in enumerate(taken):
        request = Request(
            candidate.request_id, "propose", number, None, place, "completions", "unknown", {}, (), source=source.number
        )  # fmt: skip
        yield statements.add_request(request)
        yield (
            "UPDATE requests SET state = 'answered', candidates = 1 WHERE source = ? AND id = ?",
            (source.number, request.id),
        )


def _follow(
    source: Source, number: int, task: Task, exchanges: Sequence[Exchange], settings: Settings, seeds: Sequence[Task]
) -> Iterator[Statement]:
    """Read the recorded follow-ups of a task; it stays pending where some of their answers are missing."""
    stages = RECIPES[settings.recipe].stages
    ours = [_of_source(source, exchange, number, task.id) for exchange in exchanges if exchange[0].stage in stages]
    asked = {(request.stage, request.index): request for request, _ in ours}
    answers = {(request.stage, request.index): completion for request, completion in ours}
    for request, completion in ours:
        yield statements.add_request(request)
        yield from statements.journal(completion, RUN, now())
    step = rounds.follow_up(task, answers, asked, settings, seeds)
    if isinstance(step, Settled):
        named, kept, rejected = rounds.settle_task(task, step, settings)
        yield from statements.finish_task(named, number, kept, rejected, list(asked.values()))
    else:
        yield from statements.read_follow_up(task, number, step.waiting, step.rejections, list(asked.values()))


def _of_source(source: Source, exchange: Exchange, round_number: int, task_id: str | None = None) -> Exchange:
    request, completion = exchange
    return (
        replace(request, source=source.number, round=round_number, task_id=task_id),
        replace(completion, source=source.number),
    )
