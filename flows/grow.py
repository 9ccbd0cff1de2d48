"""Growing a pool as a Prefect flow: the same pump, each step of a round a task of its own."""

from __future__ import annotations

import sys
from collections.abc import Awaitable, Callable, Sequence
from pathlib import Path
from typing import Any, TypeVar

from prefect import flow, task
from prefect.cache_policies import NO_CACHE
from prefect.client.schemas.objects import ConcurrencyLimitConfig, ConcurrencyLimitStrategy
from pydantic import BaseModel, ConfigDict, Field, model_validator

from selfinstruct import runs
from selfinstruct.config import load
from selfinstruct.errors import SelfInstructError
from selfinstruct.growth import STEPS, Growth, Steps
from selfinstruct.rounds import Verdict
from selfinstruct.store.pool import OpenTask
from selfinstruct.underway import Round

Result = TypeVar("Result")
STOPPED_BY_ITSELF = {0, 3, 4}
"""Exit codes of a run that did what it could; any other makes the flow run fail."""


class Grow(BaseModel):
    """What a flow run is asked to do. Keys and words stay in the environment of the process that runs it."""

    model_config = ConfigDict(extra="forbid")

    pool: Path = Field(description="The pool's folder.")
    more: int | None = Field(None, ge=1, description="Add this many tasks.")
    target: int | None = Field(None, ge=1, description="Or grow to this many in all.")
    seeds: Path | None = Field(None, description="Seed tasks of a new pool.")
    config: Path | None = Field(None, description="A TOML file with everything else.")

    @model_validator(mode="after")
    def _one_amount(self) -> Grow:
        if (self.more is None) == (self.target is None):
            raise ValueError("give one of more and target")
        return self


@flow(name="grow", validate_parameters=True)
async def grow(parameters: Grow) -> dict[str, Any]:
    """Grow a pool by so many tasks, or to so many."""
    options = parameters.model_dump(exclude={"config"})
    outcome = await runs.run(load(parameters.config, options), _say, _TASKS)
    if outcome.exit_code not in STOPPED_BY_ITSELF:
        raise SelfInstructError(outcome.reason)
    return {"pool": str(parameters.pool), "exit_code": outcome.exit_code, "reason": outcome.reason}


def schedule(parameters: Grow, cron: str) -> None:
    """Serve the flow on a cron schedule until Ctrl-C. A run that is due while another works is left out."""
    paths = {name: path.resolve() for name in ("pool", "seeds", "config") if (path := getattr(parameters, name))}
    parameters = parameters.model_copy(update=paths)  # its runs may start in another folder
    _say(f"serving grow/{parameters.pool.name} at {cron!r}: {parameters.model_dump_json(exclude_none=True)}")
    one_at_a_time = ConcurrencyLimitConfig(limit=1, collision_strategy=ConcurrencyLimitStrategy.CANCEL_NEW)
    grow.serve(
        name=parameters.pool.name,
        cron=cron,
        parameters={"parameters": parameters.model_dump(mode="json", exclude_none=True)},
        global_limit=one_at_a_time,
        print_starting_message=False,
    )


async def _sample(growth: Growth, round_: Round) -> None:
    await _as_task("sample", round_.number, lambda: STEPS.sample(growth, round_))


async def _prompt(growth: Growth, round_: Round) -> None:
    await _as_task("prompt", round_.number, lambda: STEPS.prompt(growth, round_))


async def _filter(growth: Growth, round_: Round) -> Sequence[Verdict]:
    return await _as_task("filter", round_.number, lambda: STEPS.filter(growth, round_))


async def _grow(growth: Growth, round_: Round, verdicts: Sequence[Verdict]) -> Sequence[OpenTask]:
    return await _as_task("grow", round_.number, lambda: STEPS.grow(growth, round_, verdicts))


async def _follow_up(growth: Growth, tasks: Sequence[OpenTask]) -> None:
    if tasks:
        await _as_task("follow-up", tasks[0].round, lambda: STEPS.follow_up(growth, tasks))


async def _as_task(name: str, number: int, step: Callable[[], Awaitable[Result]]) -> Result:
    """Run a step as a task of this flow run. Prefect sees its name and state, and nothing of what it gives."""
    results: list[Result] = []

    @task(name=name, task_run_name=f"{name}-{number}", cache_policy=NO_CACHE, persist_result=False)
    async def run() -> None:
        results.append(await step())

    await run()
    return results[0]


_TASKS = Steps(_sample, _prompt, _filter, _grow, _follow_up)


def _say(line: str) -> None:
    print(line, file=sys.stderr, flush=True)
