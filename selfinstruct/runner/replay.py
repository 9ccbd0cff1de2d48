"""Judging recorded completions again: other rules, another threshold, several pools in one, and no model asked.

Sources are read one after the other, their rounds numbered on. Nothing is planned: what the sources did not ask stays
open, and a later `generate` asks it.
"""

from __future__ import annotations

import contextlib
import itertools
import json
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from selfinstruct import algorithm
from selfinstruct.ask import Unanswered, at_once, recorded
from selfinstruct.checks.contaminated import Excluded
from selfinstruct.config.loading import Config
from selfinstruct.config.shaping import pool_settings
from selfinstruct.errors import ConfigError, PoolError
from selfinstruct.pool import statements
from selfinstruct.pool.contents import Removed, load_seeds, read_removed
from selfinstruct.pool.exclusions import add_exclusions
from selfinstruct.pool.journal import now
from selfinstruct.pool.opening import Pool, is_pool, open_for_reading, read_meta, seeds_digest
from selfinstruct.pool.originals import SEEDS_FILE, is_originals
from selfinstruct.pool.recorded import Exchange, OriginalSource, PoolSource, RecordedRound
from selfinstruct.pool.statements import Statement
from selfinstruct.recipes import recipe_of
from selfinstruct.runner.pump import Tell
from selfinstruct.runner.watch import Watch
from selfinstruct.seeds import read_seeds
from selfinstruct.seeds.benchmarks import read_exclusions
from selfinstruct.settings import Settings
from selfinstruct.steps import judging
from selfinstruct.types import Candidate, Request, Task

ORIGINALS = "paper"
"""The recipe of the original code."""
RUN = 1
"""A replayed pool is made by its first run."""
Source = OriginalSource | PoolSource


@dataclass(slots=True)
class Counts:
    """How far a replay has come."""

    rounds: int = 0
    accepted: int = 0


def recorded_recipe(folders: Sequence[Path]) -> str | None:
    """The recipe that these sources were asked by where that is known before they are read."""
    return ORIGINALS if all(map(is_originals, folders)) else None


def replay(folders: Sequence[Path], config: Config, tell: Tell) -> None:
    """Make a new pool out of what the sources recorded. It is there whole or not at all.

    Raises:
        ConfigError: the sources' seeds differ or are not known, and none are named; another recipe than theirs is.
        PoolError: a source is no recording, or the new pool's folder is in use.
    """
    exclusions = read_exclusions(config.filters.exclude)
    settings = pool_settings(config, "recorded", exclusions=exclusions)
    excluded = Excluded(exclusions, settings.filters.exclude_threshold) if exclusions else None
    counts = Counts()
    with contextlib.ExitStack() as stack:
        pool = Pool.open(config.pool)
        stack.callback(pool.close)
        if not pool.is_new:
            raise PoolError(f"{config.pool}: there is a pool already; replay makes a new one, name another --pool")
        sources, seeds, offline = _open(folders, config, settings, stack, tell)
        at_once(algorithm.check(settings, seeds))
        judged = _judge_all(sources, seeds, settings, counts, excluded)
        more = itertools.chain(add_exclusions(exclusions), judged)
        pool.create(seeds, config.seed, offline=offline, more=more)
        pool.add(Watch(seeds, pool.past(0), tell).late)
    tell(f"instructions accepted: {counts.accepted:,}, in {counts.rounds:,} recorded rounds")


def _open(
    folders: Sequence[Path], config: Config, settings: Settings, stack: contextlib.ExitStack, tell: Tell
) -> tuple[list[Source], Sequence[Task], bool]:
    """The sources, the seeds of the new pool, and whether it is one of the offline model."""
    sources: list[Source] = []
    own_seeds: dict[str, Sequence[Task]] = {}
    unknown: list[Path] = []
    kinds: set[bool] = set()
    recipe = config.recipe.name if "name" in config.recipe.model_fields_set else None
    number = 0
    for folder in folders:
        if is_originals(folder):
            sources.append(OriginalSource(folder, number, _as_original(config, settings), recipe))
            own = folder / SEEDS_FILE
            if not own.is_file():
                unknown.append(folder)
            elif config.seeds is None:
                found = read_seeds(own, tell, skip_faulty=config.skip_faulty_seeds, empty_outputs=True)
                own_seeds[seeds_digest(found)] = found
            kinds.add(False)
        elif folder.is_dir() and not is_pool(folder):
            raise PoolError(f"{folder}: neither a pool nor a folder of the original code")
        else:
            connection = stack.enter_context(contextlib.closing(open_for_reading(folder)))
            connection.execute("BEGIN")
            meta = read_meta(connection)
            removed = len(read_removed(connection, Removed()).positions)
            if removed:
                tell(
                    f"{folder}: {removed:,} removed tasks are judged like the others; remove them in the new pool again"
                )
            own_seeds[meta["seeds"]] = load_seeds(connection)
            kinds.add(json.loads(meta["offline"]))
            sources.append(PoolSource(folder, number, connection, settings, recipe))
        number += sources[-1].numbers
    if len(kinds) > 1:
        raise PoolError("one source holds tasks of the offline model and another of a real one; replay them apart")
    if config.seeds is not None:
        # The original's own seeds may have empty outputs, and its code takes them as they are.
        empty = any(isinstance(source, OriginalSource) for source in sources)
        seeds = read_seeds(config.seeds, tell, skip_faulty=config.skip_faulty_seeds, empty_outputs=empty)
        return sources, seeds, kinds == {True}
    if unknown:
        raise ConfigError(f"{unknown[0]}: the seeds of this recording are not known; name them by --seeds")
    if len(own_seeds) != 1:
        raise ConfigError("the sources were grown from different seeds; name those of the new pool by --seeds")
    return sources, next(iter(own_seeds.values())), kinds == {True}


def _as_original(config: Config, settings: Settings) -> Settings:
    """The settings with the recipe of the original code, its prompts and stages."""
    recipe = config.recipe.model_copy(update={"name": ORIGINALS})
    own = pool_settings(config.model_copy(update={"recipe": recipe}), "recorded")
    prompts = {**settings.prompts, **own.prompts}
    recipe = settings.recipe.model_copy(update={"name": ORIGINALS})
    return settings.model_copy(update={"recipe": recipe, "prompts": prompts, "stages": own.stages})


def _judge_all(
    sources: Iterable[Source], seeds: Sequence[Task], settings: Settings, counts: Counts, excluded: Excluded | None
) -> Iterator[Statement]:
    """The statements that fill the new pool, in order."""
    yield statements.insert("runs", {"id": RUN, "started_at": now(), "host": "", "pid": 0})
    known = [(seed.id, seed.instruction) for seed in seeds]
    judge = algorithm.Judge(
        settings.filters.tokenizer, lambda start: itertools.islice(known, start, None), None, lambda _: excluded
    )
    for source in sources:
        for round_ in source.rounds():
            yield from _judge_round(source, round_, judge, seeds, counts, excluded)
            counts.rounds += 1
    yield statements.end_run(RUN, now(), 0, statements.REPLAYED)


def _judge_round(
    source: Source,
    round_: RecordedRound,
    judge: algorithm.Judge,
    seeds: Sequence[Task],
    counts: Counts,
    excluded: Excluded | None,
) -> Iterator[Statement]:
    number, settings = counts.rounds, round_.settings
    exchanges = [_kept(exchange, round_.source, number) for exchange in round_.exchanges]
    requests = [request for request, _ in exchanges]
    yield from statements.plan_round(number, settings, requests, RUN, round_.source)
    for _, completion in exchanges:
        yield from statements.journal(completion, RUN, now())
    completions = {completion.request_id: completion for _, completion in exchanges}
    candidates, rejections = algorithm.read_round(requests, completions, settings)
    yield from statements.read_round(number, candidates, rejections, requests)
    parents = {request.id: request.demonstrations for request in requests}
    verdicts = (
        judge.verdict(one, [round_.shown[id_] for id_ in parents[one.request_id] if id_ in round_.shown], settings)
        for one in candidates
    )
    taken = [replace(candidate, source=round_.source) for candidate in round_.taken]
    yield from _requests_of(taken, number)
    as_they_are = (judge.contaminated(one, settings) or judge.take(one, settings) for one in taken)
    for verdict in itertools.chain(verdicts, as_they_are):
        if not isinstance(verdict, algorithm.Accepted):
            yield statements.add_rejection(verdict, number)
            yield statements.no_longer_waiting(verdict)
            continue
        position = len(seeds) + counts.accepted
        counts.accepted += 1
        shown = parents.get(verdict.candidate.request_id, ())
        yield from statements.accept(position, number, verdict, shown)
        followed = [_kept(one, round_.source, number, verdict.task) for one in source.follow_ups(verdict.candidate)]
        yield from _follow(number, verdict.task, followed, settings, seeds, excluded)
    yield statements.settle_round(number)


def _requests_of(taken: Sequence[Candidate], number: int) -> Iterator[Statement]:
    """A request that stands for each instruction whose completion is not recorded, so that counts add up."""
    for place, candidate in enumerate(taken):
        request = Request(
            candidate.request_id, "propose", number, None, place, "completions", "unknown", {}, (),
            source=candidate.source,
        )  # fmt: skip
        yield statements.add_request(request)
        yield statements.stands_for_one(request)


def _follow(
    number: int,
    task: Task,
    exchanges: Sequence[Exchange],
    settings: Settings,
    seeds: Sequence[Task],
    excluded: Excluded | None,
) -> Iterator[Statement]:
    """Read the recorded follow-ups of a task; it stays pending where some of their answers are missing."""
    stages = (*recipe_of(settings).stages, *judging.STAGES)
    ours = [exchange for exchange in exchanges if exchange[0].stage in stages]
    asked = {(request.stage, request.index): request for request, _ in ours}
    answers = {request.id: completion for request, completion in ours}
    for request, completion in ours:
        yield statements.add_request(request)
        yield from statements.journal(completion, RUN, now())
    with contextlib.suppress(Unanswered):
        end = at_once(algorithm.finish(task, recorded(asked, answers), settings, seeds, excluded))
        yield from statements.finish_task(end, number, list(asked.values()))


def _kept(exchange: Exchange, source: int, number: int, task: Task | None = None) -> Exchange:
    """A recorded exchange under its number of source, round and task here."""
    request, completion = exchange
    return (
        replace(request, source=source, round=number, task_id=task.id if task else None),
        replace(completion, source=source),
    )
