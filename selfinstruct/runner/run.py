"""One run: opens a pool, fixes what is to be reached, finds the model, grows, and notes how it ended."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable, Mapping, Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from selfinstruct import recipes
from selfinstruct.checks.contaminated import Excluded
from selfinstruct.checks.instruction_language import language_names, strangers
from selfinstruct.config.roles import limits_of, prices_of, recipe_named, role_of
from selfinstruct.config.sections import OFFLINE_MODEL, Config
from selfinstruct.config.shaping import lists_in, pool_settings
from selfinstruct.errors import AccessError, ConfigError, OwnCodeError, PoolError, SelfInstructError
from selfinstruct.hub import said
from selfinstruct.models.budget import Budget, Limits
from selfinstruct.models.prices import Price
from selfinstruct.pool.contents import Contents
from selfinstruct.pool.exclusions import excluded_by, keep_exclusions
from selfinstruct.pool.journal import now
from selfinstruct.pool.opening import Writer, seeds_digest
from selfinstruct.pool.passage_sets import keep_passages, set_id
from selfinstruct.pool.records import Done
from selfinstruct.runner import metrics
from selfinstruct.runner.clients import serve
from selfinstruct.runner.goals import Goal, goal_of
from selfinstruct.runner.pump import Around, Growth, Outcome, plainly
from selfinstruct.runner.rehearsal import rehearse
from selfinstruct.runner.signs import keeps_code
from selfinstruct.runner.watch import Tell
from selfinstruct.seeds import default_seeds, read_seeds
from selfinstruct.seeds.benchmarks import read_exclusions
from selfinstruct.seeds.document_files import read_documents
from selfinstruct.settings import Settings
from selfinstruct.sources import OF_DOCUMENTS
from selfinstruct.steps import stages_of
from selfinstruct.types import Exclusion, Passage, Task

Started = Callable[[Growth], None]
LARGE = 20_000
"""Tasks from which on screening without the extra `large` takes longer than most models do."""


async def run(
    config: Config, tell: Tell, around: Around = plainly, started: Started = lambda _: None, job: str | None = None
) -> Outcome:
    """Grow the pool that the configuration names, and say how that ended.

    `started` is handed the growth once it is about to begin, so that a caller can halt it. `job` names what this run
    is an attempt at: each attempt at one job has the goal that the first of them was given.

    Raises:
        ConfigError, SeedError, PoolError, AccessError: before anything was asked of a model.
    """
    lists_in(config)  # also where nothing is left to do
    pool = Writer.open(config.pool)
    try:
        outcome = await _run(pool, config, tell, around, started, job)
        if outcome.exit_code == AccessError.exit_code:
            pool.forget()
    except SelfInstructError:
        pool.forget()
        raise
    finally:
        pool.close()
    return outcome


async def _run(pool: Writer, config: Config, tell: Tell, around: Around, started: Started, job: str | None) -> Outcome:
    contents: Contents | None = None
    known: Mapping[tuple[str, str], Mapping[str, Any]] = {}
    if pool.is_new:
        seeds: Sequence[Task] = read_seeds(config.seeds or default_seeds(), tell, skip_faulty=config.skip_faulty_seeds)
    else:
        check_same_pool(pool.folder, pool.meta, config)
        contents, known = pool.load(), pool.capabilities()
        seeds = contents.seeds
        goal = _goal(pool, config, contents.done, job)
        if goal.is_reached_by(contents.done, contents.tasks):
            return Outcome(0, f"the target of {goal} was reached before")
    growths: list[Growth] = []
    budget = Budget(limits_of(config), {}, lambda: growths[0].journal, is_patient=config.batch.enabled)
    exclusions, passages = read_exclusions(config.filters.exclude), documents_of(config)
    async with (
        metrics.served(config, growths, tell),
        serve(config, tell, known, budget, growths, _needed(contents), _open_since(pool)) as models,
    ):
        settings = pool_settings(config, models.name, models.context_length, exclusions, set_id(passages))
        await rehearse(settings, seeds, models.context_lengths, passages)
        budget.prices = known_prices(budget.limits, config, settings)
        if contents is None:
            pool.create(seeds, config.seed, offline=is_offline(config))
            contents = pool.load()
        goal = _goal(pool, config, contents.done, job)
        if goal.number >= LARGE and find_spec("numba") is None:
            tell(f"from {LARGE:,} tasks on, screening is slow without the extra: pip install 'selfinstruct[large]'")
        answers = models.in_words(settings)
        tell(f"growing {pool.folder} from {goal.reached(contents.done):,} to {goal} with {answers}")
        _keep(pool, exclusions, passages, tell)
        excluded = excluded_by(pool)
        await asyncio.to_thread(lambda: _tell_of_seeds(seeds, excluded(settings), tell))
        await asyncio.to_thread(tell_of_languages, seeds, settings, tell)
        _take_over(budget, pool, config, tell, job)
        _tell_changes(contents.last_settings, settings, contents.next_round, tell)
        if goal.goes_on:
            what = "this run was given" if goal.more is None else f"the last --more {goal.more}"
            tell(f"going on to the goal of {what}: {goal} in all")
        number = pool.start_run(now(), goal.stored, job, by_batches=config.batch.enabled)
        for client in models.clients.values():
            client.had_answers(contents.answered)
        growth = Growth(pool, contents, settings, config, models, goal, number, tell, budget, excluded, around)
        growths.append(growth)
        started(growth)
        outcome = Outcome(130, "interrupted")
        try:
            outcome = await growth.run()
        except SelfInstructError as error:
            if isinstance(error, OwnCodeError):
                error.args = (f"{error}; {keeps_code(pool.folder)}",)
            outcome = Outcome(error.exit_code, str(error))
            raise
        finally:
            pool.end_run(number, now(), outcome.exit_code, outcome.reason)
        return outcome


def documents_of(config: Config) -> tuple[Passage, ...]:
    """The passages that a configuration has tasks written about. Raises: ConfigError."""
    return read_documents(config.documents) if set(config.recipe.sources) & {*OF_DOCUMENTS} else ()


def _keep(pool: Writer, exclusions: Iterable[Exclusion], passages: Sequence[Passage], tell: Tell) -> None:
    """Store with the pool what was read of files."""
    if passages:
        files = len({one.document for one in passages})
        tell(f"documents: {len(passages):,} passages of {files:,} file{'s' * (files != 1)}")
    keep_exclusions(pool, exclusions)
    keep_passages(pool, passages)


def _needed(contents: Contents | None) -> set[str]:
    """The stages at which the open rounds and tasks of earlier runs may still ask."""
    if contents is None:
        return set()
    every = [*(one.settings for one in contents.rounds), *(one.settings for one in contents.tasks)]
    settings = {id(one): one for one in every}.values()
    return {stage for one in settings for stage in (*recipes.recipe_of(one).stages, *stages_of(one))}


def _goal(pool: Writer, config: Config, done: Done, job: str | None) -> Goal:
    return goal_of(config, done, pool.last_goal(), None if job is None else pool.goal_of(job))


def _take_over(budget: Budget, pool: Writer, config: Config, tell: Tell, job: str | None) -> None:
    """What earlier runs of the pool spent; their batches that may still be out are told of where they are not used."""
    highest, picodollars, out = pool.attempts()
    if out and not config.batch.enabled:
        tell(f"{len(out):,} questions that batches of an earlier run may hold are asked again; --batch waits for them")
        out = {}
    budget.goes_on(highest, picodollars, out, (0, 0, 0) if job is None else pool.used_by(job))


def _open_since(pool: Writer) -> str | None:
    """When the earliest run began that left a request open; None where none did."""
    return None if pool.is_new else pool.open_since()


def known_prices(limits: Limits, config: Config, settings: Settings) -> dict[str, Price]:
    """The prices of the models in use, as far as they are known.

    Raises:
        ConfigError: a bound in US dollars is wanted for a model whose price is not.
    """
    prices = prices_of(config, settings)
    for stage in settings.stages.values():
        if limits.needs_prices and stage.model not in prices:
            raise ConfigError(
                f"a budget in USD needs the price of {stage.model}, which is in no public list; give it in the "
                f'config file: [prices."{stage.model}"] with input and output in USD for a million tokens'
            )
    return prices


def check_same_pool(folder: Path, meta: Mapping[str, str], config: Config) -> None:
    """Make sure that a pool is grown from its own seeds, and one of the built-in model by no real one or the reverse.

    Raises:
        PoolError: it would not be.
    """
    if config.seeds is not None:
        found = seeds_digest(read_seeds(config.seeds, skip_faulty=config.skip_faulty_seeds))
        if found != meta["seeds"]:
            named = said(config.seeds)
            raise PoolError(
                f"{folder} was grown from other seeds than {named}; name a new --pool, or decide on its completions "
                f"again: `replay {folder} --seeds {named} --pool NEW`"
            )
    was_offline = meta["offline"] == "true"
    if was_offline and not is_offline(config):
        raise PoolError(f"{folder} holds tasks of the offline model; grow real data in a new --pool")
    if not was_offline and is_offline(config):
        raise PoolError(
            f"{folder} holds tasks of a real model; name it by --model, or try the offline model in a new --pool"
        )


def is_offline(config: Config) -> bool:
    """Does the built-in model answer all stages?"""
    models = {role_of(config, stage).name or config.model_name for stage in recipe_named(config).stages}
    return models == {OFFLINE_MODEL}


def _tell_of_seeds(seeds: Sequence[Task], excluded: Excluded | None, tell: Tell) -> None:
    """Warn of seeds that are near what is excluded: they are shown to the model."""
    if excluded is None:
        return
    found = [
        (seed.id, near)
        for seed in seeds
        for near in (excluded.near(seed.instruction), *(excluded.near(one.input) for one in seed.instances))
        if near is not None
    ]
    if found:
        seed, near = found[0]
        tell(f"texts of seeds near excluded ones, which stay: {len(found):,}, such as {seed}: {near.fault.evidence}")


def tell_of_languages(seeds: Sequence[Task], settings: Settings, tell: Tell) -> None:
    """Warn of seeds in another language than is asked for: a model follows what it is shown."""
    languages = settings.filters.languages
    found = strangers([seed.instruction for seed in seeds], languages) if languages else ""
    if found:
        wanted = " or ".join(language_names(languages).values())
        own = [code for code in languages if (default_seeds().parent / f"{code}.jsonl").is_file()]
        such = f"--seeds {own[0]}, which come with the project" if own else "--seeds FILE"
        tell(f"{found}: the model is asked for {wanted} all the same, but seeds in {wanted} serve a new pool better "
             f"({such})")  # fmt: skip


def _tell_changes(before: Settings | None, after: Settings, next_round: int, tell: Tell) -> None:
    """Print what has changed since the round planned last."""
    if before is None:
        return
    old = _flat(before)
    for name, new in _flat(after).items():
        was, since = old[name], f"from round {next_round} on"
        what = f"{name} is {_short(new)} instead of {_short(was)}"
        if was == new:
            continue
        if name == "stages":
            for stage, asked in new.items():
                if was.get(stage) != asked:
                    tell(f"changed: {stage} is asked of {asked['model']} {dict(asked['sampling'])}, open requests too")
            continue
        if name == "prompts":
            what = f"the prompts {', '.join(key for key in new if was.get(key) != new[key])}"
        elif name == "exclusions":
            what = f"{len(new)} exclusions instead of {len(was)}"
        elif name == "passages":
            what = "other passages of documents"
        elif name == "context_length":
            since = "open requests too"
        tell(f"changed: {what}, {since}")


def _flat(settings: Settings) -> dict[str, Any]:
    """Each setting under its own name, or under that of its table where the whole table is one idea."""
    tree = settings.model_dump()
    recipe = tree.pop("recipe")
    return {"recipe": recipe.pop("name"), **recipe, **tree.pop("filters"), **tree}


def _short(value: object) -> str:
    text = repr(value)
    return text if len(text) <= 60 else text[:57] + "..."


def grow_blocking(config: Config, tell: Tell, started: Started = lambda _: None) -> Outcome:
    """`run` for callers without an event loop."""
    return asyncio.run(run(config, tell, started=started))
