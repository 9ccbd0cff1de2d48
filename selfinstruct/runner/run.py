"""One run: opens a pool, fixes what is to be reached, finds the model, grows, and notes how it ended."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping, Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from selfinstruct import algorithm
from selfinstruct.checks.contaminated import Excluded
from selfinstruct.checks.instruction_language import language_names, strangers
from selfinstruct.config.roles import limits_of, prices_of, recipe_of, role_of, stage_models
from selfinstruct.config.sections import OFFLINE_MODEL, Config
from selfinstruct.config.shaping import pool_settings
from selfinstruct.errors import AccessError, ConfigError, PoolError, SelfInstructError
from selfinstruct.models.budget import Budget, Limits
from selfinstruct.models.prices import Price
from selfinstruct.models.wire import Capabilities
from selfinstruct.pool.contents import Contents
from selfinstruct.pool.exclusions import excluded_by, keep_exclusions
from selfinstruct.pool.journal import now
from selfinstruct.pool.opening import Pool, seeds_digest
from selfinstruct.runner.clients import Listeners, serve
from selfinstruct.runner.goal import Goal, goal_of
from selfinstruct.runner.pump import Around, Growth, Outcome, Tell, plainly
from selfinstruct.seeds import default_seeds, read_seeds
from selfinstruct.seeds.benchmarks import read_exclusions
from selfinstruct.settings import Settings
from selfinstruct.types import Task

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
    pool = Pool.open(config.pool)
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


async def _run(pool: Pool, config: Config, tell: Tell, around: Around, started: Started, job: str | None) -> Outcome:
    seeds = _seeds(pool, config, tell)
    contents = None
    if not pool.is_new:
        check_same_kind(pool.folder, pool.meta, config)
        contents = pool.load()
        goal = _goal(pool, config, contents.done, job)
        if goal.tasks <= contents.done and not _is_needed(contents, goal.tasks):
            return Outcome(0, f"the target of {goal.tasks} tasks was reached before")
    pumps: list[Growth] = []
    budget = Budget(limits_of(config), {}, lambda: pumps[0].journal)
    exclusions = read_exclusions(config.filters.exclude)
    async with serve(config, tell, _known(pool), budget, _listeners(pumps)) as models:
        settings = pool_settings(config, models.name, models.context_length, exclusions)
        await algorithm.check(settings, seeds or pool.seeds(), models.context_lengths)
        budget.prices = known_prices(budget.limits, config, settings)
        if contents is None:
            pool.create(seeds, config.seed, offline=_is_offline(config))
            contents = pool.load()
        goal = _goal(pool, config, contents.done, job)
        answers = models.in_words(settings, is_offline=config.is_offline)
        if goal.tasks >= LARGE and find_spec("numba") is None:
            tell(f"from {LARGE:,} tasks on, screening is slow without the extra: pip install 'selfinstruct[large]'")
        tell(f"growing {pool.folder} from {contents.done:,} to {goal.tasks:,} tasks with {answers}")
        keep_exclusions(pool, exclusions)
        excluded = excluded_by(pool)
        await asyncio.to_thread(lambda: _tell_of_seeds(seeds or pool.seeds(), excluded(settings), tell))
        await asyncio.to_thread(lambda: tell_of_languages(seeds or pool.seeds(), settings, tell))
        budget.goes_on(*pool.attempts())
        _tell_changes(contents.last_settings, settings, contents.next_round, tell)
        if goal.goes_on:
            what = "this run was given" if goal.more is None else f"the last --more {goal.more}"
            tell(f"going on to the goal of {what}: {goal.tasks} tasks in all")
        number = pool.start_run(now(), goal.tasks, goal.more, job)
        for client in models.clients.values():
            client.had_answers(contents.answered)
        pump = Growth(
            pool, contents, settings,
            lambda recipe: stage_models(config, recipe, models.name, models.context_length),
            models.clients, goal.tasks, number, tell, config.min_acceptance, config.budget.max_minutes,
            max(64, 4 * models.concurrency), excluded, budget.suffices, around,
        )  # fmt: skip
        pump.models = answers
        pumps.append(pump)
        started(pump)
        outcome = Outcome(130, "interrupted")
        try:
            outcome = await pump.run()
        except SelfInstructError as error:
            outcome = Outcome(error.exit_code, str(error))
            raise
        finally:
            pool.end_run(number, now(), outcome.exit_code, outcome.reason)
        return outcome


def _listeners(pumps: Sequence[Growth]) -> Listeners:
    """Who hears of the servers: the growth, once there is one."""

    def learned(url: str, model: str, capabilities: Capabilities) -> None:
        for pump in pumps:
            pump.journal.note_capabilities(url, model, capabilities.to_json())

    def gave_up(reason: str) -> None:
        for pump in pumps:
            pump.halt(Outcome(AccessError.exit_code, reason))

    def restarting(times: int) -> None:
        for pump in pumps:
            pump.journal.note_restarts(times)

    return Listeners(learned, gave_up, restarting)


def _is_needed(contents: Contents, goal: int) -> bool:
    """Is an unfinished task among the first so many in task order?"""
    return bool(contents.tasks) and contents.tasks[0].done_before < goal


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


def _seeds(pool: Pool, config: Config, tell: Tell) -> Sequence[Task]:
    """The seeds of a new pool; for one that exists, a check that those given are its own."""
    if pool.is_new:
        return read_seeds(config.seeds or default_seeds(), tell, skip_faulty=config.skip_faulty_seeds)
    check_seeds(pool.folder, pool.meta, config)
    return ()


def check_seeds(folder: Path, meta: Mapping[str, str], config: Config) -> None:
    """Make sure that a pool is grown from its own seeds.

    Raises:
        PoolError: others are named.
    """
    if config.seeds is None:
        return
    if seeds_digest(read_seeds(config.seeds, skip_faulty=config.skip_faulty_seeds)) != meta["seeds"]:
        raise PoolError(
            f"{folder} was grown from other seeds than {config.seeds}; "
            f"name a new --pool, or judge its completions again: replay {folder} --seeds {config.seeds} --pool NEW"
        )


def _is_offline(config: Config) -> bool:
    models = {role_of(config, stage).name or config.model_name for stage in recipe_of(config).stages}
    return models == {OFFLINE_MODEL}


def check_same_kind(folder: Path, meta: Mapping[str, str], config: Config) -> None:
    """Make sure that a pool of the built-in model is not grown by a real one, nor the other way round.

    Raises:
        PoolError: it would be.
    """
    was_offline = meta["offline"] == "true"
    if was_offline and not _is_offline(config):
        raise PoolError(f"{folder} holds tasks of the offline model; grow real data in a new --pool")
    if not was_offline and _is_offline(config):
        raise PoolError(
            f"{folder} holds tasks of a real model; name it by --model, or try the offline model in a new --pool"
        )


def _goal(pool: Pool, config: Config, done: int, job: str | None) -> Goal:
    given, of_more = (None, None) if job is None else pool.goal_of(job)
    if given is not None:
        return Goal(given, of_more, goes_on=done < given)
    return goal_of(config, done, pool.last_goal())


def _known(pool: Pool) -> Mapping[tuple[str, str], Mapping[str, Any]]:
    return {} if pool.is_new else pool.capabilities()


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
    old, new = _flat(before), _flat(after)
    for name in new:
        if old[name] == new[name]:
            continue
        if name == "stages":
            for stage in new[name]:
                if old[name].get(stage) != new[name][stage]:
                    tell(f"changed: {stage} is asked of {_stage(new[name][stage])}, open requests too")
        elif name == "prompts":
            changed = ", ".join(key for key in new[name] if old[name].get(key) != new[name][key])
            tell(f"changed: the prompts {changed}, from round {next_round} on")
        elif name == "context_length":
            tell(f"changed: {name} is {new[name]} instead of {old[name]}, open requests too")
        elif name == "exclusions":
            tell(f"changed: {len(new[name])} exclusions instead of {len(old[name])}, from round {next_round} on")
        else:
            tell(f"changed: {name} is {_short(new[name])} instead of {_short(old[name])}, from round {next_round} on")


def _flat(settings: Settings) -> dict[str, Any]:
    """Each setting under its own name, or under that of its table where the whole table is one idea."""
    tree = settings.model_dump()
    return {**tree.pop("recipe"), **tree.pop("filters"), **tree}


def _stage(stage: Mapping[str, Any]) -> str:
    return f"{stage['model']} {dict(stage['sampling'])}"


def _short(value: object) -> str:
    text = repr(value)
    return text if len(text) <= 60 else text[:57] + "..."


def grow_blocking(config: Config, tell: Tell, started: Started = lambda _: None) -> Outcome:
    """`run` for callers without an event loop."""
    return asyncio.run(run(config, tell, started=started))
