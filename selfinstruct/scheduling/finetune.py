"""Fine-tuning on a published version as a Prefect flow: the user's own command, once for each version."""

from __future__ import annotations

import asyncio
import threading
from pathlib import Path
from typing import Any

from prefect import State, flow, get_run_logger
from prefect.states import Completed
from pydantic import Field

from selfinstruct.config.reading import load
from selfinstruct.errors import SelfInstructError
from selfinstruct.scheduling.parameters import MOST, NO_KEY, Command, Parameters, run_name
from selfinstruct.scheduling.reporting import keep_errors_short, keys
from selfinstruct.scheduling.signals import Terminated, terminated_state, until_terminated
from selfinstruct.versions.shelf import version
from selfinstruct.versions.training import GRACE_S, Training, as_line, train


class FinetuneConfig(Parameters):
    """Which version is trained on, and by what. Prefect stores it and shows it: it holds no key."""

    version: int | None = Field(None, ge=1, le=MOST, description="Its number; the last published one if none is given.")
    file: Path | None = Field(None, description="A TOML file with the table finetune.")
    command: Command | None = Field(
        None, description="What to run, instead of the file's finetune.command.", json_schema_extra=NO_KEY
    )


@flow(name="finetune", flow_run_name=run_name, validate_parameters=True)
async def finetune(config: FinetuneConfig) -> State[Any]:
    """Run the fine-tuning command for a version, unless it was done before. A run that failed can be retried."""
    keep_errors_short()
    one = version(config.pool, config.version)
    command = config.command or load(config.file, {"pool": config.pool}).finetune.command
    stopped = threading.Event()
    get_run_logger().info("fine-tuning on version %s: %s", one.number, one.data)
    training = asyncio.to_thread(train, config.pool, one, command, stopped.is_set)
    try:
        async with keys(config.secrets):
            done: Training = await until_terminated(training, stopped.set, GRACE_S + 1)
    except Terminated:
        return await terminated_state()
    line = as_line(one, done)
    if not done.is_done:
        raise SelfInstructError(line)
    return Completed(message=line, data={"version": one.number, "out": str(done.out)})
