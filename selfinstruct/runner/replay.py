"""Recorded completions decided once more: other rules, another threshold, several pools in one, and no model asked.

Sources are read one after the other, their rounds numbered on, and each round is read, screened and settled as in a
run. Nothing is planned: what the sources did not ask stays open, and a later `generate` asks it.
"""

from __future__ import annotations

import contextlib
import itertools
import json
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path

from selfinstruct import algorithm
from selfinstruct.ask import Unanswered, at_once, recorded
from selfinstruct.checks.contaminated import Excluded
from selfinstruct.config.sections import Config
from selfinstruct.config.shaping import pool_settings
from selfinstruct.errors import ConfigError, PoolError
from selfinstruct.pool import statements
from selfinstruct.pool.contents import load_seeds
from selfinstruct.pool.exclusions import add_exclusions
from selfinstruct.pool.journal import now
from selfinstruct.pool.opening import Writer, is_pool, open_for_reading, read_meta, seeds_digest
from selfinstruct.pool.originals import SEEDS_FILE, is_originals
from selfinstruct.pool.passage_sets import add_passages, set_id
from selfinstruct.pool.reader import Reader
from selfinstruct.pool.recorded import OF_ORIGINALS, Exchange, OriginalSource, PoolSource, RecordedRound
from selfinstruct.pool.statements import Statement
from selfinstruct.runner.rehearsal import rehearse
from selfinstruct.runner.rounds import Generated, Round, Rounds
from selfinstruct.runner.run import documents_of
from selfinstruct.runner.watch import Tell, Watch
from selfinstruct.seeds import read_seeds
from selfinstruct.seeds.benchmarks import read_exclusions
from selfinstruct.settings import Settings
from selfinstruct.types import Request, Task

_NAMED = 5
"""Tasks that a line names."""
RUN = 1
"""A replayed pool is made by its first run."""
Source = OriginalSource | PoolSource


def can_read(recipe: str, folders: Sequence[Path]) -> bool:
    """Whether a recipe can read these sources, as far as that is known before they are opened."""
    return recipe in OF_ORIGINALS or not all(map(is_originals, folders))


def replay(folders: Sequence[Path], config: Config, tell: Tell) -> None:
    """Make a new pool out of what the sources recorded. It is there whole or not at all.

    Raises:
        ConfigError: the sources' seeds differ or are not known, and none are named; another recipe than theirs is.
        PoolError: a source is no recording, or the new pool's folder is in use.
    """
    exclusions, passages = read_exclusions(config.filters.exclude), documents_of(config)
    settings = pool_settings(config, "recorded", exclusions=exclusions, passages=set_id(passages))
    excluded = Excluded(exclusions, settings.filters.exclude_threshold) if exclusions else None
    with contextlib.ExitStack() as stack:
        pool = Writer.open(config.pool)
        stack.callback(pool.close)
        if not pool.is_new:
            raise PoolError(f"{config.pool}: there is a pool already; replay makes a new one, name another --pool")
        sources, seeds, offline = _open(folders, config, settings, stack, tell)
        at_once(rehearse(settings, seeds, passages=passages))
        rounds = Rounds(seeds, Generated([]), Watch(seeds), settings.filters.tokenizer, lambda _: excluded)
        numbers = itertools.count()
        decided = _decide_all(sources, rounds, numbers, excluded)
        given = [*add_exclusions(exclusions), *add_passages(passages)]
        pool.create(seeds, config.seed, offline=offline, more=itertools.chain(given, decided))
    tell(f"instructions accepted: {len(rounds.generated):,}, in {next(numbers):,} recorded rounds")


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
            tell_of_edits(folder, Reader(connection), tell)
            own_seeds[meta["seeds"]] = load_seeds(connection)
            kinds.add(json.loads(meta["offline"]))
            sources.append(PoolSource(folder, number, connection, settings, recipe))
        number += sources[-1].numbers
    if len(kinds) > 1:
        raise PoolError("one source holds tasks of the offline model and another of a real one; replay them one by one")
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


def tell_of_edits(folder: Path, reader: Reader, tell: Tell) -> None:
    """Say that what people removed or corrected in a source is not so in the new pool."""
    for tasks, what in (
        (reader.removed(), "removed here are decided on like all others; remove them in the new pool again"),
        (reader.corrections, "corrected here have their first texts; correct them in the new pool again"),
    ):
        if tasks:
            more = f" and {len(tasks) - _NAMED:,} others" if len(tasks) > _NAMED else ""
            tell(f"{folder}: tasks {what}: {', '.join(sorted(tasks)[:_NAMED])}{more}")


def _as_original(config: Config, settings: Settings) -> Settings:
    """The settings with a recipe that reads what the original code recorded, its prompts and stages."""
    if settings.recipe.name in OF_ORIGINALS:
        return settings
    recipe = config.recipe.model_copy(update={"name": OF_ORIGINALS[0]})
    own = pool_settings(config.model_copy(update={"recipe": recipe}), "recorded")
    prompts = {**settings.prompts, **own.prompts}
    recipe = settings.recipe.model_copy(update={"name": OF_ORIGINALS[0]})
    return settings.model_copy(update={"recipe": recipe, "prompts": prompts, "stages": own.stages})


def _decide_all(
    sources: Iterable[Source], rounds: Rounds, numbers: Iterator[int], excluded: Excluded | None
) -> Iterator[Statement]:
    """The statements that fill the new pool, in order; each round takes one of the numbers."""
    yield statements.insert("runs", {"id": RUN, "started_at": now(), "host": "", "pid": 0})
    for source in sources:
        yield from source.passages()
        for round_ in source.rounds():
            yield from _decide_round(source, round_, rounds, next(numbers), excluded)
    yield statements.end_run(RUN, now(), 0, statements.REPLAYED)


def _decide_round(
    source: Source, recording: RecordedRound, rounds: Rounds, number: int, excluded: Excluded | None
) -> Iterator[Statement]:
    settings = recording.settings
    exchanges = [kept(exchange, recording.source, number) for exchange in recording.exchanges]
    completions = {completion.request_id: completion for _, completion in exchanges}
    round_ = Round(number, settings, [request for request, _ in exchanges], completions)
    yield from statements.plan_round(number, settings, round_.requests, RUN, recording.source)
    for _, completion in exchanges:
        yield from statements.journal(completion, RUN, now())
    yield from rounds.read(round_)
    decisions = list(rounds.screen(round_, recording.shown))
    for place, candidate in enumerate(replace(one, source=recording.source) for one in recording.taken):
        # A request stands for each instruction whose completion is not recorded, so that counts add up.
        request = Request(
            candidate.request_id, "propose", number, None, place, "completions", "unknown", {}, (),
            source=candidate.source,
        )  # fmt: skip
        yield statements.add_request(request)
        yield statements.stands_for_one(request)
        decisions.append(
            rounds.screening.contaminated(candidate, settings) or rounds.screening.take(candidate, settings)
        )
    decisions = [source.as_asked(decision) for decision in decisions]
    decided, _ = rounds.record(round_, decisions)
    yield from decided
    yield from rounds.settle(round_)
    for decision in decisions:
        if isinstance(decision, algorithm.Accepted):
            found = source.follow_ups(decision.candidate)
            followed = [kept(one, recording.source, number, decision.task) for one in found]
            task = source.with_passage(decision.task)
            yield from _follow(number, task, followed, settings, rounds.seeds, excluded)


def _follow(
    number: int,
    task: Task,
    exchanges: Sequence[Exchange],
    settings: Settings,
    seeds: Sequence[Task],
    excluded: Excluded | None,
) -> Iterator[Statement]:
    """Read the recorded follow-ups of a task; it stays pending where some of their answers are missing."""
    asked = {(request.stage, request.index): request for request, _ in exchanges}
    answers = {request.id: completion for request, completion in exchanges}
    for request, completion in exchanges:
        yield statements.add_request(request)
        yield from statements.journal(completion, RUN, now())
    with contextlib.suppress(Unanswered):
        end = at_once(algorithm.finish(task, recorded(asked, answers), settings, seeds, excluded))
        yield from statements.finish_task(end, number, list(asked.values()))


def kept(exchange: Exchange, source: int, number: int, task: Task | None = None) -> Exchange:
    """A recorded exchange under its number of source, round and task here."""
    request, completion = exchange
    return (
        replace(request, source=source, round=number, task_id=task.id if task else None),
        replace(completion, source=source),
    )
