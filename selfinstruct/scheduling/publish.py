"""Publishing a version of a pool, and fine-tuning on one, as Prefect flows."""

from __future__ import annotations

import asyncio
import contextlib
import threading
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

from prefect import State, flow, get_run_logger, task
from prefect.cache_policies import NO_CACHE
from prefect.deployments import arun_deployment
from prefect.exceptions import ObjectNotFound
from prefect.states import Cancelled, Completed
from pydantic import Field

from selfinstruct.config.loading import load
from selfinstruct.config.sections import PublishSection
from selfinstruct.errors import ConfigError, PoolInUse, SelfInstructError
from selfinstruct.scheduling import artifacts
from selfinstruct.scheduling.parameters import MOST, NO_KEY, Command, Parameters, run_name
from selfinstruct.scheduling.running import Terminated, keep_errors_short, keys, terminated_state, until_terminated
from selfinstruct.versions.fine_tuning import GRACE_S, Training, train, was_tried
from selfinstruct.versions.fine_tuning import as_line as training_as_line
from selfinstruct.versions.publishing import CHANGELOG, Published, as_line
from selfinstruct.versions.publishing import publish as publish_version
from selfinstruct.versions.shelf import version


class FinetuneConfig(Parameters):
    """The version and the command. Prefect stores and shows these parameters, so they hold no key."""

    version: int | None = Field(None, ge=1, le=MOST, description="Its number; the last published one if none is given.")
    file: Path | None = Field(None, description="A TOML file with the table finetune.")
    command: Command | None = Field(
        None, description="What to run, instead of the file's finetune.command.", json_schema_extra=NO_KEY
    )


@flow(name="finetune", flow_run_name=run_name, validate_parameters=True)
async def finetune(config: FinetuneConfig) -> State[Any]:
    """Run the fine-tuning command for a version, unless it was done before. A run that failed can be retried."""
    keep_errors_short()
    stopped = threading.Event()
    async with _told(config.pool, "finetune"):
        one = version(config.pool, config.version)
        command = config.command or load(config.file, {"pool": config.pool}).finetune.command
        get_run_logger().info("fine-tuning on version %s: %s", one.number, one.data)
        training = asyncio.to_thread(train, config.pool, one, command, stopped.is_set)
        try:
            async with keys(config.secrets):
                done: Training = await until_terminated(training, stopped.set, GRACE_S + 1)
        except Terminated:
            return await terminated_state()
    line = training_as_line(one, done)
    links = [f"- {what}: {artifacts.link(path)}" for what, path in (("result", done.out), ("log", done.log))]
    ended = artifacts.ended(0 if done.is_done else 1, line)
    await artifacts.show_text(config.pool, "finetune", "\n".join([*ended, *links]))
    if not done.is_done:
        raise SelfInstructError(line)
    return Completed(message=line, data={"version": one.number, "out": str(done.out)})


@contextlib.asynccontextmanager
async def _told(pool: Path, what: str) -> AsyncIterator[None]:
    """Show an expected error of the block, and what to do then, among Prefect's artifacts."""
    try:
        yield
    except SelfInstructError as error:
        if not isinstance(error, PoolInUse):
            await artifacts.show_text(pool, what, "\n".join(artifacts.ended(error.exit_code, str(error))))
        raise


class PublishConfig(Parameters):
    """The settings of publishing. Prefect stores and shows these parameters, so they hold no key."""

    file: Path | None = Field(None, description="A TOML file with the tables publish and finetune.")
    deployment: str | None = Field(
        None, description="A deployment of the flow finetune that is started for a new version, instead of here."
    )


@flow(name="publish", flow_run_name=run_name, validate_parameters=True)
async def publish(config: PublishConfig) -> State[Any]:
    """Make a version of what the pool has if the gate lets it pass, and fine-tune on it once."""
    keep_errors_short()
    published: list[Published] = []

    @task(name="publish", cache_policy=NO_CACHE, persist_result=False)
    async def make(bounds: PublishSection) -> None:
        published.append(await asyncio.to_thread(publish_version, config.pool, bounds))

    try:
        async with _told(config.pool, "version"):
            settings = load(config.file, {"pool": config.pool})
            await make(settings.publish)
    except PoolInUse as error:
        return Cancelled(message=f"left out: {error}")
    one, line = published[0].version, as_line(published[0])
    get_run_logger().info("%s", line)
    ended = artifacts.ended(0 if one.is_published else 6, line, "open the report, then train on the data")
    links = [f"- {what}: {artifacts.link(path)}" for what, path in (("report", one.report), ("data", one.data))]
    changes = (one.folder / CHANGELOG).read_text(encoding="utf-8")
    await artifacts.show_text(config.pool, "version", "\n".join([*ended, *links, "", changes]))
    name = "Rejected" if not one.is_published else "Completed" if published[0].is_new else "Unchanged"
    if one.is_published and settings.finetune.command and not was_tried(one):
        line += f"; {await _train(config, one.number)}"
    return Completed(name=name, message=line, data={"version": one.number, "state": one.state})


async def _train(config: PublishConfig, number: int) -> str:
    """Start the fine-tuning, and return the outcome in words. Its failure is no failure of publishing."""
    wanted = FinetuneConfig(pool=config.pool, version=number, file=config.file, secrets=config.secrets)
    if config.deployment is None:
        state: State[Any] = await finetune(wanted, return_state=True)
        return str(state.message or state.name).rpartition("Error: ")[2]  # Prefect puts the class of the error first
    try:
        run = await arun_deployment(
            config.deployment,
            parameters={"config": wanted.model_dump(mode="json")},
            timeout=0,
            as_subflow=False,
            idempotency_key=f"{config.pool.resolve()}/{number}",  # the version counts as not tried until it begins
        )
    except ObjectNotFound as error:
        raise ConfigError(
            f"config.deployment: Prefect has no deployment {config.deployment!r}; `prefect deployment ls` lists them"
        ) from error
    return f"the fine-tuning is the run {run.name} of {config.deployment}"
