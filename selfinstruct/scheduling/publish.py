"""Publishing a version of a pool as a Prefect flow, and the fine-tuning that follows it."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

from prefect import State, flow, get_run_logger, task
from prefect.cache_policies import NO_CACHE
from prefect.deployments import arun_deployment
from prefect.exceptions import ObjectNotFound
from prefect.states import Cancelled, Completed
from pydantic import Field

from selfinstruct.config.reading import load
from selfinstruct.errors import ConfigError, PoolInUse
from selfinstruct.scheduling import artifacts
from selfinstruct.scheduling.finetune import FinetuneConfig, finetune
from selfinstruct.scheduling.parameters import Parameters, run_name
from selfinstruct.scheduling.reporting import keep_errors_short
from selfinstruct.versions.publishing import plain
from selfinstruct.versions.publishing import CHANGELOG, Published, as_line
from selfinstruct.versions.publishing import publish as publish_version
from selfinstruct.versions.training import was_tried


class PublishConfig(Parameters):
    """What is published, and what is started then. Prefect stores it and shows it: it holds no key."""

    file: Path | None = Field(None, description="A TOML file with the tables publish and finetune.")
    deployment: str | None = Field(
        None, description="A deployment of the flow finetune that is started for a new version, instead of here."
    )


@flow(name="publish", flow_run_name=run_name, validate_parameters=True)
async def publish(config: PublishConfig) -> State[Any]:
    """Make a version of what the pool has if the gate lets it pass, and fine-tune on it once."""
    keep_errors_short()
    settings = load(config.file, {"pool": config.pool})
    published: list[Published] = []

    @task(name="publish", cache_policy=NO_CACHE, persist_result=False)
    async def make() -> None:
        published.append(await asyncio.to_thread(publish_version, config.pool, settings.publish))

    try:
        await make()
    except PoolInUse as error:
        return Cancelled(message=f"left out: {error}")
    one, line = published[0].version, as_line(published[0])
    get_run_logger().info("%s", line)
    changes = (one.folder / CHANGELOG).read_text(encoding="utf-8")
    await artifacts.show_text(config.pool, "version", f"{plain(line)}\n\n{artifacts.link(one.data)}\n\n{changes}")
    name = "Rejected" if not one.is_published else "Completed" if published[0].is_new else "Unchanged"
    if one.is_published and settings.finetune.command and not was_tried(one):
        line += f"; {await _train(config, one.number)}"
    return Completed(name=name, message=line, data={"version": one.number, "state": one.state})


async def _train(config: PublishConfig, number: int) -> str:
    """Start the fine-tuning; how that went, in words. Its failure is not that of publishing."""
    wanted = FinetuneConfig(pool=config.pool, version=number, file=config.file, secrets=config.secrets)
    if config.deployment is None:
        state: State[Any] = await finetune(wanted, return_state=True)
        return str(state.message or state.name).rpartition("Error: ")[2]  # Prefect puts the kind of error in front
    try:
        run = await arun_deployment(
            config.deployment,
            parameters={"config": wanted.model_dump(mode="json")},
            timeout=0,
            as_subflow=False,
            idempotency_key=f"{config.pool.resolve()}/{number}",  # until it begins, the version counts as not tried
        )
    except ObjectNotFound as error:
        raise ConfigError(
            f"config.deployment: Prefect has no deployment {config.deployment!r}; `prefect deployment ls` lists them"
        ) from error
    return f"the fine-tuning is the run {run.name} of {config.deployment}"
