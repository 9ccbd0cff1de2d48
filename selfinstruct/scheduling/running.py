"""What all flow runs need: keys from Secret blocks, short errors in the log, an orderly end at SIGTERM, and tasks."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import signal
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine, Mapping
from typing import Any, TypeVar, cast

from prefect import State, task
from prefect.blocks.system import Secret
from prefect.cache_policies import NO_CACHE
from prefect.client.orchestration import get_client
from prefect.context import FlowRunContext
from prefect.exceptions import TerminationSignal
from prefect.runtime import flow_run
from prefect.states import Cancelled, Completed, Failed
from prefect.task_engine import run_task_async

from selfinstruct.cli.text import plain
from selfinstruct.errors import ConfigError, Halted, SelfInstructError

Result = TypeVar("Result")


@contextlib.asynccontextmanager
async def keys(secrets: Mapping[str, str]) -> AsyncIterator[None]:
    """Put the values of Secret blocks into the environment of this process during the block.

    Raises:
        ConfigError: there is no such Secret block.
    """
    before = {name: os.environ.get(name) for name in secrets}
    for name, block in secrets.items():
        try:
            os.environ[name] = str(cast("Secret[str]", await Secret.aload(block)).get())
        except ValueError as error:
            raise ConfigError(f"config.secrets: Prefect has no Secret block named {block!r}; make it first") from error
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                os.environ.pop(name, None)
            else:
                os.environ[name] = value


class _Short(logging.Filter):
    """Removes the traceback of an expected error, and everything that a terminal would obey."""

    def filter(self, record: logging.LogRecord) -> bool:
        if record.exc_info and isinstance(record.exc_info, tuple) and isinstance(record.exc_info[1], SelfInstructError):
            record.msg, record.args, record.exc_info = "%s", (str(record.exc_info[1]),), None
        record.msg, record.args = "%s", (plain(record.getMessage()),)
        return True


def keep_errors_short() -> None:
    """Log expected errors of runs as one line, and all that a run tells, in Prefect's log."""
    for name in ("prefect.flow_runs", "prefect.task_runs"):
        logger = logging.getLogger(name)
        if name == "prefect.flow_runs" and logger.getEffectiveLevel() > logging.INFO:
            logger.setLevel(logging.INFO)
        if not any(isinstance(one, _Short) for one in logger.filters):
            logger.addFilter(_Short())


class Terminated(Exception):  # noqa: N818 - an event, not a fault
    """The work has ended because of a SIGTERM."""


async def until_terminated(work: Coroutine[Any, Any, Result], stop: Callable[[], None], grace_s: float) -> Result:
    """The result of the work. At a SIGTERM `stop` is called; after `grace_s` seconds the work is cancelled.

    Prefect's own handler raises in whatever code runs at that moment. A task of asyncio may keep that exception from
    the flow, so the signal is handled here, and `terminated_state` returns the state that follows.

    Raises:
        Terminated: there was a SIGTERM.
    """
    loop = asyncio.get_running_loop()
    terminated = False
    working = asyncio.ensure_future(work)

    def terminate() -> None:
        nonlocal terminated
        terminated = True
        stop()
        loop.call_later(grace_s, working.cancel)

    before = signal.getsignal(signal.SIGTERM)
    with contextlib.suppress(ValueError, RuntimeError):  # only the main thread gets signals
        loop.add_signal_handler(signal.SIGTERM, terminate)
    try:
        result = await working
    except asyncio.CancelledError:
        if not terminated:
            raise
        raise Terminated from None
    finally:
        with contextlib.suppress(ValueError, RuntimeError):
            if loop.remove_signal_handler(signal.SIGTERM):
                signal.signal(signal.SIGTERM, before)
    if terminated:
        raise Terminated
    return result


async def terminated_state() -> State[Any]:
    """The state of a run after a SIGTERM if it was cancelled, which only Prefect's server knows.

    Raises:
        TerminationSignal: it was ended by something else; Prefect then marks it as crashed.
    """
    async with get_client() as client:
        state = (await client.read_flow_run(flow_run.id)).state
    if state is None or not state.is_cancelling():
        raise TerminationSignal(signal.SIGTERM)
    return Cancelled(message="cancelled; the next run goes on where this one stopped")


async def as_task(phase: str, number: int, work: Callable[[], Awaitable[Result]]) -> Result:
    """The result of the work, done as a task of this flow run.

    Expected errors become the state of the task without a traceback in the log, and are raised to the pump. Prefect
    keeps an event of several kilobytes for each state of a task run. A run made here, and not by a call of the task,
    has one state less: `Pending`.
    """
    results: list[Result] = []
    ends: list[Exception] = []

    @task(name=phase, cache_policy=NO_CACHE, persist_result=False)
    async def run() -> State[Any]:
        try:
            results.append(await work())
        except Halted as halted:
            ends.append(halted)
            return Completed(name="Halted", message="the run ended first; what is open is asked by the next one")
        except SelfInstructError as error:
            ends.append(error)
            return Failed(message=str(error))
        except Exception as error:
            ends.append(error)
            raise
        return Completed()

    # Prefect would repeat deployment, work pool, queue and tags of the flow run in every event of a task.
    context = FlowRunContext.get()
    assert context is not None and context.flow_run is not None  # noqa: S101, PT018 - for the type checker
    no_origin: dict[str, Any] = {"deployment_id": None, "work_queue_id": None, "work_pool_name": None, "tags": []}
    with context.model_copy(update={"flow_run": context.flow_run.model_copy(update=no_origin)}):
        task_run = await run.create_local_run()
        task_run.name = f"{phase}-{number}"
        await run_task_async(run, task_run=task_run, return_type="state")
    if ends:
        raise ends[0]
    return results[0]
