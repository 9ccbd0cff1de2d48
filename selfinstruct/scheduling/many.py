"""Growing one pool on several machines: each grows a pool of its own, and these are merged, again and again.

No `from __future__ import annotations`, as in `grow.py`.
"""

import asyncio
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any
from uuid import UUID

import httpx
from prefect import State, flow, get_client, get_run_logger
from prefect.client.schemas.objects import StateType
from prefect.deployments import arun_deployment
from prefect.exceptions import ObjectNotFound
from prefect.runtime import flow_run
from prefect.states import Cancelled, Cancelling, Completed, Crashed
from pydantic import BaseModel, ConfigDict, Field

from selfinstruct.config.sections import Config
from selfinstruct.errors import ConfigError, PoolError, PoolInUse, SelfInstructError
from selfinstruct.pool.journal import now
from selfinstruct.pool.merging import merged_from
from selfinstruct.pool.opening import SITES_FOLDER, Writer, is_held, is_pool
from selfinstruct.runner.goals import Goal, goal_of
from selfinstruct.runner.merge import Merged, merge_into
from selfinstruct.runner.pump import Outcome
from selfinstruct.runner.run import check_same_pool, is_offline
from selfinstruct.scheduling import artifacts
from selfinstruct.scheduling.grow import GrowConfig, Share, configuration, part_of
from selfinstruct.scheduling.parameters import Url, run_name
from selfinstruct.scheduling.running import Terminated, keep_errors_short, keys, terminated_state, until_terminated
from selfinstruct.seeds import default_seeds, read_seeds

LOOK_S, LOST_S, START_S = 2.0, 60.0, 600.0
"""How often a site is looked at, after how long without a process at its pool its run counts as lost, and after how
long if it is only being started."""
MOST_TRIES = 20
"""How often the run of a site is started again when it is lost."""


class Site(BaseModel):
    """One of the pools that are merged."""

    model_config = ConfigDict(extra="forbid", hide_input_in_errors=True)

    base_url: list[Url] = Field([], description="The servers of this site; as for all sites if none is named.")
    deployment: str | None = Field(None, description="The deployment of this site; as for all sites if none is named.")


class GrowManyConfig(GrowConfig):
    """The goal of the merged pool and its sites. Prefect stores and shows these parameters, so they hold no key."""

    sites: list[Site] = Field(min_length=1, max_length=1000, description="The machines, each with a pool of its own.")
    deployment: str = Field("grow/site", description="The deployment of the flow grow that grows the pool of a site.")


@flow(name="grow_many", flow_run_name=run_name, validate_parameters=True)
async def grow_many(config: GrowManyConfig) -> State[Any]:
    """Grow a pool on several machines, by a number of tasks or to one.

    Goal, schedule and budget are those of one pool: each site may spend its part of the budget in a run of this flow.
    """
    keep_errors_short()
    loaded = configuration(config)
    if loaded.target_rows is not None:
        raise ConfigError("target_rows: sites share out tasks, not rows; give more or target")
    part_of(loaded, Share(number=1, of=len(config.sites), job=""))  # a bound that cannot be divided is told now
    before = artifacts.status_of(config.pool)
    try:
        pool = Writer.open(config.pool)
    except PoolInUse as error:
        return Cancelled(message=f"left out: {error}")
    many = _Many(pool, config, loaded)
    try:
        async with keys(config.secrets):
            outcome = await until_terminated(many.grow(), lambda: None, 0.0)
    except Terminated:
        await many.cancel()
        return await terminated_state()
    except SelfInstructError:
        pool.forget()
        raise
    finally:
        pool.close()
    await artifacts.show_summary(config.pool, outcome, f"the servers of {len(config.sites)} sites", before)
    if many.failed and outcome.exit_code:
        raise SelfInstructError(outcome.reason)
    done = {"pool": str(config.pool), "exit_code": outcome.exit_code, "reason": outcome.reason}
    return Completed(message=outcome.reason, data=done, name="Stopped" if outcome.exit_code else "Completed")


class _Many:
    """The sites of one flow run, and the pool that they are merged into."""

    def __init__(self, pool: Writer, config: GrowManyConfig, loaded: Config) -> None:
        self._pool, self._config, self._loaded = pool, config, loaded
        self._job = str(flow_run.id)
        self._ended: dict[int, str] = {}
        """Why a site ended before its part was done, by its number."""
        self.failed = False
        """One of them failed, and did not only come to the end of its budget."""
        self._open: set[UUID] = set()
        self._merging: asyncio.Future[Merged] | None = None

    async def grow(self) -> Outcome:
        """Let the sites grow what is missing, merge, and so on until the goal is reached or no site goes on."""
        goal = await asyncio.to_thread(self._goal)
        while (missing := goal.number - self._pool.done().tasks) > 0:
            parts = self._parts(missing)
            if not parts:
                why = "; ".join(f"site {number}: {reason}" for number, reason in sorted(self._ended.items()))
                return Outcome(3, f"{goal.number - missing:,} of {goal} are merged; {why}")
            told = ", ".join(f"site {number} to {target:,}" for number, target in parts.items())
            get_run_logger().info("%s", f"{missing:,} tasks are missing: {told}")
            ended = len(self._ended)
            await asyncio.gather(*(self._grow_site(number, target) for number, target in parts.items()))
            self._merging = asyncio.ensure_future(asyncio.to_thread(self._merge, goal))
            merged = await asyncio.shield(self._merging)
            if not merged.taken and len(self._ended) == ended:
                return Outcome(4, f"{goal.number - missing:,} of {goal} are merged, and the sites find nothing new")
        return Outcome(0, f"the target of {goal} is reached")

    async def cancel(self) -> None:
        """Ask the runs of all sites to stop, and let a merge end."""
        async with get_client() as client:
            for run in self._open:
                await client.set_flow_run_state(run, Cancelling())
        if self._merging is not None:
            await asyncio.wait([self._merging])

    def _goal(self) -> Goal:
        """The goal, which the pool keeps from the first attempt at this run on."""
        pool, loaded = self._pool, self._loaded
        if pool.is_new:
            seeds = read_seeds(loaded.seeds or default_seeds(), skip_faulty=loaded.skip_faulty_seeds)
            pool.create(seeds, loaded.seed, offline=is_offline(loaded))
        check_same_pool(pool.folder, pool.meta, loaded)
        goal = goal_of(loaded, pool.done(), pool.last_goal(), pool.goal_of(self._job))
        pool.end_run(pool.start_run(now(), goal.stored, self._job), now(), 0, "begun on several machines")
        return goal

    def _parts(self, missing: int) -> dict[int, int]:
        """How many tasks each site is to have in all; the missing ones are shared out evenly.

        It follows from what is merged alone, so that a run that is tried again asks the same of the sites.
        """
        merged = merged_from(self._pool)
        able = [number for number in range(1, len(self._config.sites) + 1) if number not in self._ended]
        found = {}
        for place, number in enumerate(able):
            if part := missing // len(able) + (place < missing % len(able)):
                found[number] = merged[self._folder(number).name] + part
        return found

    def _folder(self, number: int) -> Path:
        return self._config.pool / SITES_FOLDER / f"site-{number}"

    async def _grow_site(self, number: int, target: int) -> None:
        """Have the pool of a site grown to so many tasks, again if the run is lost; or note why it ended before."""
        site = self._config.sites[number - 1]
        share = Share(number=number, of=len(self._config.sites), job=self._job)
        given = self._config.model_dump(mode="json", exclude_unset=True, exclude={"sites", "deployment", "more"})
        own = {"pool": str(self._folder(number)), "target": target, "share": share.model_dump()}
        if site.base_url:
            own["base_url"] = site.base_url
        for tries in range(MOST_TRIES):
            key = f"{self._job}/{number}/{target}/{tries}"
            state = await self._run(number, site.deployment or self._config.deployment, {**given, **own}, key)
            said = str(state.message or state.name)
            if state.type == StateType.COMPLETED:
                if state.name != "Completed":
                    self._ended[number] = said
                return
            get_run_logger().info("%s", f"site {number}: {state.name}, {said}")
            if state.type == StateType.CANCELLED and said.startswith("left out: "):
                while is_held(self._folder(number)):  # noqa: ASYNC110 - by another process
                    await asyncio.sleep(LOOK_S)
            elif state.type != StateType.CRASHED:
                break
        self._ended[number] = said
        self.failed = True

    async def _run(self, number: int, deployment: str, given: Mapping[str, Any], key: str) -> State[Any]:
        """The final state of a run of this deployment; the same key is the same run."""
        try:
            run = await arun_deployment(
                deployment, parameters={"config": given}, timeout=0, as_subflow=False, idempotency_key=key
            )
        except ObjectNotFound as error:
            raise ConfigError(
                f"config.deployment: Prefect has no deployment {deployment!r}; `prefect deployment ls` lists them"
            ) from error
        self._open.add(run.id)
        return await self._end_of(run.id, number, deployment)

    async def _end_of(self, run: UUID, number: int, deployment: str) -> State[Any]:
        """The final state of a run of a site; of one that nobody works on any more, that it crashed."""
        folder, told = self._folder(number), False
        began_s = seen_s = time.monotonic()
        async with get_client() as client:
            while True:
                now_s = time.monotonic()
                try:
                    state = (await client.read_flow_run(run)).state
                except httpx.TransportError:  # the server is away for a moment
                    state = None
                if state is not None and state.is_final():
                    self._open.discard(run)
                    return state
                if state is None or state.is_scheduled() or is_held(folder):
                    seen_s = now_s
                elif now_s - seen_s > (START_S if state.is_pending() else LOST_S):
                    lost: State[Any] = Crashed(message=f"no process is at {folder}")
                    await client.set_flow_run_state(run, lost, force=True)
                if state is not None and state.is_scheduled() and not told and now_s - began_s > LOST_S:
                    get_run_logger().info("%s", f"site {number} waits for a worker of {deployment}")
                    told = True
                await asyncio.sleep(LOOK_S)

    def _merge(self, goal: Goal) -> Merged:
        numbers = range(1, len(self._config.sites) + 1)
        folders: Sequence[Path] = [self._folder(one) for one in numbers if is_pool(self._folder(one))]
        if not folders:
            raise PoolError(f"{self._config.pool}: no site has grown a pool; their runs say why: {self._ended}")
        logger = get_run_logger()
        return merge_into(self._pool, folders, lambda line: logger.info("%s", line), goal.stored, self._job)
