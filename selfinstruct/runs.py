"""One run: opens a pool, fixes what is to be reached, finds the model, grows, and notes how it ended."""

from __future__ import annotations

import asyncio
import contextlib
import os
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from selfinstruct import rounds
from selfinstruct.config import (
    DEFAULT_TARGET,
    OFFLINE_MODEL,
    OPENAI_URL,
    Config,
    default_seeds,
    limits_of,
    pool_settings,
    prices_of,
    role_of,
    stage_models,
    urls_of,
)
from selfinstruct.errors import AccessError, ConfigError, PoolError, SelfInstructError
from selfinstruct.growth import STEPS, Growth, Outcome, Steps, Tell
from selfinstruct.journal import now
from selfinstruct.llm.budget import Budget
from selfinstruct.llm.client import Client, EndpointConfig
from selfinstruct.llm.slots import Slots
from selfinstruct.llm.wire import Capabilities
from selfinstruct.recipes import RECIPES
from selfinstruct.records import Settings, Task
from selfinstruct.sections import Role
from selfinstruct.seeds import read_seeds
from selfinstruct.store.pool import Contents, Pool, seeds_digest


@dataclass(frozen=True, slots=True)
class Goal:
    """How many generated tasks there are to be in all, and whether that came from `--more`."""

    tasks: int
    more: int | None
    goes_on: bool = False
    """The goal of an earlier run that was not reached."""


Started = Callable[[Growth], None]


async def run(config: Config, tell: Tell, steps: Steps = STEPS, started: Started = lambda _: None) -> Outcome:
    """Grow the pool that the configuration names, and say how that ended.

    `started` is handed the growth once it is about to begin, so that a caller can halt it.

    Raises:
        ConfigError, SeedError, PoolError, AccessError: before anything was asked of a model.
    """
    pool = Pool.open(config.pool)
    try:
        return await _run(pool, config, tell, steps, started)
    finally:
        pool.close()


async def _run(pool: Pool, config: Config, tell: Tell, steps: Steps, started: Started) -> Outcome:
    seeds = _seeds(pool, config)
    contents = None
    if not pool.is_new:
        _check_same_kind(pool, config)
        contents = pool.load()
        goal = _goal(pool, config, contents.done)
        if goal.tasks <= contents.done and not _is_needed(contents, goal.tasks):
            return Outcome(0, f"the target of {goal.tasks} tasks was reached before")
    pumps: list[Growth] = []
    budget = Budget(limits_of(config), {}, lambda: pumps[0].journal)
    async with _models(config, tell, _known(pool), pumps, budget) as (clients, model):
        settings = pool_settings(config, model, _context_length(clients, config, model))
        rounds.check(settings, seeds or pool.seeds())
        _set_prices(budget, config, settings)
        if contents is None:
            pool.create(seeds, config.seed, offline=_is_offline(config))
            contents = pool.load()
        goal = _goal(pool, config, contents.done)
        budget.goes_on(*pool.attempts())
        _tell_changes(contents.last_settings, settings, contents.next_round, tell)
        if goal.goes_on:
            tell(f"going on to the goal of the last --more {goal.more}: {goal.tasks} tasks in all")
        number = pool.start_run(now(), goal.tasks, goal.more)
        for client in clients.values():
            client.had_answers(contents.answered)
        pump = Growth(
            pool, contents, settings, lambda recipe: stage_models(config, recipe, model), clients, goal.tasks, number,
            tell, config.min_acceptance, config.budget.max_minutes, max(64, 4 * config.concurrency),
        )  # fmt: skip
        pumps.append(pump)
        started(pump)
        outcome = Outcome(130, "interrupted")
        try:
            outcome = await pump.run(steps)
        except SelfInstructError as error:
            outcome = Outcome(error.exit_code, str(error))
            raise
        finally:
            pool.end_run(number, now(), outcome.exit_code, outcome.reason)
        return outcome


def _context_length(clients: Mapping[str, Client], config: Config, model: str) -> int | None:
    """The least that any endpoint of a stage in use takes, as far as they say."""
    served = stage_models(config, config.recipe.name, model)
    said = [clients[stage].context_length(one.model) for stage, one in served.items()]
    return min((length for length in said if length is not None), default=None)


def _is_needed(contents: Contents, goal: int) -> bool:
    """Is an unfinished task among the first so many in task order?"""
    return bool(contents.tasks) and contents.tasks[0].done_before < goal


def _set_prices(budget: Budget, config: Config, settings: Settings) -> None:
    """Give the budget the prices that are known.

    Raises:
        ConfigError: a bound in US dollars is wanted for a model whose price is not.
    """
    budget.prices = prices_of(config, settings)
    if budget.limits.needs_prices:
        for stage in settings.stages.values():
            if stage.model not in budget.prices:
                raise ConfigError(
                    f"a budget in USD needs the price of {stage.model}, which is in no public list; give it in the "
                    f'config file: [prices."{stage.model}"] with input and output in USD for a million tokens'
                )


def _seeds(pool: Pool, config: Config) -> Sequence[Task]:
    """The seeds of a new pool; for one that exists, a check that those given are its own."""
    if pool.is_new:
        return read_seeds(config.seeds or default_seeds())
    if config.seeds is not None and seeds_digest(read_seeds(config.seeds)) != pool.meta["seeds"]:
        raise PoolError(
            f"{pool.folder} was grown from other seeds than {config.seeds}; "
            f"name a new --pool, or judge its completions again: replay {pool.folder} --seeds {config.seeds} --pool NEW"
        )
    return ()


def _is_offline(config: Config) -> bool:
    models = {role_of(config, stage).name or config.model_name for stage in RECIPES[config.recipe.name].stages}
    return models == {OFFLINE_MODEL}


def _check_same_kind(pool: Pool, config: Config) -> None:
    was_offline = pool.meta["offline"] == "true"
    if was_offline and not _is_offline(config):
        raise PoolError(f"{pool.folder} holds tasks of the offline model; grow real data in a new --pool")
    if not was_offline and _is_offline(config):
        raise PoolError(
            f"{pool.folder} holds tasks of a real model; name it by --model, or try the offline model in a new --pool"
        )


def _goal(pool: Pool, config: Config, done: int) -> Goal:
    if config.more is None:
        return Goal(config.target or DEFAULT_TARGET, None)
    last, more = pool.last_goal()
    if more == config.more and last is not None and done < last:
        return Goal(last, more, goes_on=True)
    return Goal(done + config.more, config.more)


def _known(pool: Pool) -> Mapping[tuple[str, str], Mapping[str, Any]]:
    return {} if pool.is_new else pool.capabilities()


@contextlib.asynccontextmanager
async def _models(
    config: Config,
    tell: Tell,
    known: Mapping[tuple[str, str], Mapping[str, Any]],
    pumps: Sequence[Growth],
    budget: Budget,
) -> AsyncIterator[tuple[dict[str, Client], str]]:
    """A client for each stage, and the model of the stages that name none."""

    def learned(url: str, model: str, capabilities: Capabilities) -> None:
        for pump in pumps:
            pump.journal.note_capabilities(url, model, capabilities.to_json())

    async with contextlib.AsyncExitStack() as stack:
        offline_url = ""
        remember = learned
        if config.is_offline:
            from selfinstruct.llm.offline.server import OfflineServer  # noqa: PLC0415 - only who uses it pays for it

            offline_url = stack.enter_context(OfflineServer()).base_url
            known = {}
            remember = _forget  # its port is another each time
        by_role: dict[str, Client] = {}
        clients: dict[str, Client] = {}
        for stage in dict.fromkeys(stage for recipe in RECIPES.values() for stage in recipe.stages):
            section = role_of(config, stage)
            endpoints = _endpoints(section, offline_url)
            role = repr(
                [section.requests_per_minute, section.tokens_per_minute]
                + [(one.base_url, one.key_name, one.timeout_s, sorted(one.headers.items())) for one in endpoints]
            )
            if role not in by_role:
                by_role[role] = Client(
                    endpoints, Slots(config.concurrency), tell=tell, known=known, learned=remember, meter=budget,
                    requests_per_minute=section.requests_per_minute, tokens_per_minute=section.tokens_per_minute,
                )  # fmt: skip
                stack.push_async_callback(by_role[role].close)
            clients[stage] = by_role[role]
        used = {id(clients[stage]): clients[stage] for stage in RECIPES[config.recipe.name].stages}
        listed: list[dict[str, Any]] = []
        for client in used.values():
            listed = listed or await client.check()
        yield clients, config.model_name or _only_model(listed)


def _forget(url: str, model: str, capabilities: Capabilities) -> None:
    """Keep nothing of what was learned."""


def _endpoints(role: Role, offline_url: str) -> list[EndpointConfig]:
    urls = (offline_url,) if offline_url else urls_of(role)
    key = os.environ.get(role.api_key_env, "")
    if not key and OPENAI_URL in urls:
        raise AccessError(f"{OPENAI_URL} wants a key: set {role.api_key_env}, or name another server by --base-url")
    return [EndpointConfig(url, key or "none", role.api_key_env, role.extra_headers, role.timeout_s) for url in urls]


def _only_model(listed: Sequence[Mapping[str, Any]]) -> str:
    names = [str(item["id"]) for item in listed if "id" in item]
    if len(names) == 1:
        return names[0]
    some = f"; the server has {', '.join(sorted(names)[:8])}" if names else ""
    raise ConfigError(f"name the model by --model{some}")


def _tell_changes(before: Settings | None, after: Settings, next_round: int, tell: Tell) -> None:
    """Print what has changed since the round planned last."""
    if before is None:
        return
    old, new = asdict(before), asdict(after)
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
        else:
            tell(f"changed: {name} is {_short(new[name])} instead of {_short(old[name])}, from round {next_round} on")


def _stage(stage: Mapping[str, Any]) -> str:
    return f"{stage['model']} {dict(stage['sampling'])}"


def _short(value: object) -> str:
    text = repr(value)
    return text if len(text) <= 60 else text[:57] + "..."


def grow_blocking(config: Config, tell: Tell, started: Started = lambda _: None) -> Outcome:
    """`run` for callers without an event loop."""
    return asyncio.run(run(config, tell, started=started))
