"""Stopping a flow run in good order when Prefect, systemd or a person ends it by SIGTERM."""

from __future__ import annotations

import asyncio
import contextlib
import signal
from collections.abc import Callable, Coroutine
from typing import Any, TypeVar

from prefect import State
from prefect.client.orchestration import get_client
from prefect.exceptions import TerminationSignal
from prefect.runtime import flow_run
from prefect.states import Cancelled

Result = TypeVar("Result")


class Terminated(Exception):  # noqa: N818 - it is what happened, not a fault
    """There was a SIGTERM, and the work has ended."""


async def until_terminated(work: Coroutine[Any, Any, Result], stop: Callable[[], None], grace_s: float) -> Result:
    """What the work gives. At a SIGTERM it is asked to stop, and cancelled if it has not ended in so many seconds.

    Prefect's own handler raises inside whatever runs at that moment. Within a task of asyncio that exception is kept
    by the task and may never reach the flow, so the signal is taken here; `terminated_state` is what is to follow.

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
    with contextlib.suppress(ValueError, RuntimeError):  # not the main thread: signals are not ours
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
    """The state of a run that was cancelled; Prefect knows that, but not in the process that ends.

    Raises:
        TerminationSignal: it was not cancelled but ended by something else; Prefect makes it crashed.
    """
    async with get_client() as client:
        state = (await client.read_flow_run(flow_run.id)).state
    if state is None or not state.is_cancelling():
        raise TerminationSignal(signal.SIGTERM)
    return Cancelled(message="cancelled; the next run goes on where this one stopped")
