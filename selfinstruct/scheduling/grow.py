"""Growing a pool as a Prefect flow, with each phase of a round as a task.

This module has no `from __future__ import annotations`: a served flow is sent to its process without the names of this
module, and Prefect could not resolve `GrowConfig` there.
"""

from collections.abc import Sequence
from decimal import ROUND_DOWN, Decimal
from pathlib import Path
from typing import Any, Self

from prefect import State, flow, get_run_logger
from prefect.runtime import flow_run
from prefect.states import Cancelled, Completed
from pydantic import BaseModel, ConfigDict, Field, model_validator

from selfinstruct.config.loading import load
from selfinstruct.config.sections import AMOUNTS, OPTIONS, Config
from selfinstruct.errors import ConfigError, PoolInUse, SelfInstructError
from selfinstruct.pool.opening import is_pool
from selfinstruct.pool.reader import snapshot
from selfinstruct.runner.pump import Growth, Outcome
from selfinstruct.runner.run import Started, run
from selfinstruct.scheduling import artifacts
from selfinstruct.scheduling.parameters import MOST, Parameters, Url, run_name, setting
from selfinstruct.scheduling.running import (
    Terminated,
    as_task,
    keep_errors_short,
    keys,
    terminated_state,
    until_terminated,
)
from selfinstruct.types import digest

STOPPED_BY_ITSELF = {0, 3, 4}
"""The exit codes of a run that did what it could; with any other the flow run fails."""
GRACE_S = 3.0
"""The time for requests in flight at a SIGTERM; the next run asks those that take longer again."""


class Share(BaseModel):
    """Which part of a larger pool a run grows: its budget is a part too, and its seed one of its own."""

    model_config = ConfigDict(extra="forbid", hide_input_in_errors=True)

    number: int = Field(ge=1, le=MOST, description="The number of this site.")
    of: int = Field(ge=1, le=MOST, description="How many sites there are.")
    job: str = Field(description="What they all work for; a site may spend its part of the budget on it once.")


class GrowConfig(Parameters):
    """The goal and the model of a run. Prefect stores and shows these parameters, so they hold no key."""

    more: int | None = setting("more")
    target: int | None = setting("target")
    target_rows: int | None = setting("target_rows")
    file: Path | None = Field(None, description="A TOML file with every other setting, as for --config.")
    seeds: Path | None = setting("seeds")
    backend: str | None = setting("backend")
    model: str | None = setting("model")
    base_url: list[Url] = Field(
        [],
        description=OPTIONS["base_url"].help + " With no user, password or query in it, which Prefect would store: a "
        "key comes from the environment or a Secret block.",
    )
    max_usd: float | None = setting("max_usd", le=MOST)
    max_minutes: float | None = setting("max_minutes", le=MOST)
    share: Share | None = Field(None, description="The part that `grow_many` gives to a run.")

    @model_validator(mode="after")
    def _one_amount(self) -> Self:
        if sum(getattr(self, name) is not None for name in AMOUNTS) > 1:
            raise ValueError("give one of more, target and target_rows")
        return self


def configuration(config: GrowConfig) -> Config:
    """The configuration of a run: its parameters, where given, then the environment, then the file.

    Raises:
        ConfigError: a setting is wrong, or the number of tasks or the model is missing. There is no default model.
    """
    own = {name for name in type(config).model_fields if name not in OPTIONS}
    found = load(config.file, config.model_dump(exclude=own, exclude_unset=True))
    if not found.amounts:
        raise ConfigError(
            "give one of more, target and target_rows, as a parameter, in the environment or in the config file"
        )
    if not found.names_a_model:
        raise ConfigError(
            "no model is named; give --model or --base-url (model or base_url in the parameters, the config file or "
            "the environment), or --backend offline if the built-in model is meant"
        )
    return found if config.share is None else part_of(found, config.share)


def part_of(config: Config, share: Share) -> Config:
    """The configuration of one site: a seed of its own, and its part of what all may spend together.

    Raises:
        ConfigError: a bound is too small to be divided.
    """
    budget = config.budget
    parts = {
        "max_usd": budget.max_usd and _rounded_down(budget.max_usd / share.of),
        "pool_max_usd": budget.pool_max_usd and _rounded_down(budget.pool_max_usd / share.of),
        "max_tokens": budget.max_tokens and budget.max_tokens // share.of,
        "max_requests": budget.max_requests and budget.max_requests // share.of,
    }
    if small := [name for name, part in parts.items() if part is not None and not part]:
        raise ConfigError(f"budget.{small[0]}: too small to be divided among {share.of} sites; give more")
    seed = int(digest(config.seed, share.number)[:8], 16)
    return config.model_copy(update={"seed": seed, "budget": budget.model_copy(update=parts)})


def _rounded_down(usd: Decimal) -> Decimal:
    return usd.quantize(Decimal("1e-12"), ROUND_DOWN)


@flow(name="grow", flow_run_name=run_name, validate_parameters=True)
async def grow(config: GrowConfig) -> State[Any]:
    """Grow a pool by a number of tasks, or to a number of tasks or rows.

    The goal is fixed when the run starts and stored in the pool: a retry of the same flow run goes on to it.
    """
    keep_errors_short()
    growths: list[Growth] = []
    first_rounds: list[int] = []
    before: dict[str, Any] = {}
    failed: SelfInstructError | None = None

    def stop() -> None:
        for growth in growths:
            growth.halt(Outcome(130, "interrupted"))

    try:
        before = artifacts.status_of(config.pool)
        async with keys(config.secrets), artifacts.progress(config.pool) as follow:
            # Another run may have had the pool until this one has it.
            seen = [
                growths.append,
                lambda _: before.update(artifacts.status_of(config.pool)),
                lambda growth: first_rounds.append(growth.screening),
                follow,
            ]
            outcome = await until_terminated(_grow(config, seen), stop, GRACE_S)
    except Terminated:
        return await terminated_state()
    except PoolInUse as error:
        return Cancelled(message=f"left out: {error}")
    except SelfInstructError as error:
        failed, outcome = error, Outcome(error.exit_code, str(error))
    if first_rounds and is_pool(config.pool):  # a failed start leaves none
        with snapshot(config.pool) as reader:
            rounds = reader.rounds(first_rounds[0])
        await artifacts.show_rounds(config.pool, rounds)
    await artifacts.show_summary(config.pool, outcome, growths[0].models if growths else "", before)
    if failed or outcome.exit_code not in STOPPED_BY_ITSELF:
        raise failed or SelfInstructError(outcome.reason)
    done = {"pool": str(config.pool), "exit_code": outcome.exit_code, "reason": outcome.reason}
    return Completed(message=outcome.reason, data=done, name="Stopped" if outcome.exit_code else "Completed")


async def _grow(config: GrowConfig, seen: Sequence[Started]) -> Outcome:
    logger = get_run_logger()

    def begun(growth: Growth) -> None:
        for one in seen:
            one(growth)

    job = config.share.job if config.share else flow_run.id
    return await run(configuration(config), lambda line: logger.info("%s", line), as_task, begun, job)
