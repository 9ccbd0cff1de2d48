"""Stopping a flow run in good order when Prefect, systemd or a person ends it by SIGTERM."""

from __future__ import annotations

import asyncio
import contextlib
import signal
from collections.abc import Callable, Coroutine
from typing import Any

from prefect.exceptions import TerminationSignal

from selfinstruct.growth import Growth, Outcome

GRACE_S = 3.0
"""How long requests in flight are awaited; those that take longer are asked again by the next run."""


async def until_terminated(start: Callable[[Callable[[Growth], None]], Coroutine[Any, Any, Outcome]]) -> Outcome:
    """Run the growth that `start` begins; a SIGTERM ends it in a few seconds, with everything stored that has come.

    Prefect's own handler raises inside whatever runs at that moment. Within a task of asyncio that exception is kept
    by the task and may never reach the flow, so the signal is taken here and handed on to Prefect at the end.

    Raises:
        TerminationSignal: there was a SIGTERM; Prefect makes the flow run cancelled or crashed.
    """
    loop = asyncio.get_running_loop()
    growths: list[Growth] = []
    terminated = False
    growing = asyncio.ensure_future(start(growths.append))

    def terminate() -> None:
        nonlocal terminated
        terminated = True
        for growth in growths:
            growth.halt(Outcome(130, "interrupted"))
        loop.call_later(GRACE_S if growths else 0, growing.cancel)

    before = signal.getsignal(signal.SIGTERM)
    with contextlib.suppress(ValueError, RuntimeError):  # not the main thread: signals are not ours
        loop.add_signal_handler(signal.SIGTERM, terminate)
    try:
        outcome = await growing
    except asyncio.CancelledError:
        if not terminated:
            raise
        outcome = Outcome(130, "interrupted")
    finally:
        with contextlib.suppress(ValueError, RuntimeError):
            if loop.remove_signal_handler(signal.SIGTERM):
                signal.signal(signal.SIGTERM, before)
    if terminated and outcome.exit_code:
        raise TerminationSignal(signal.SIGTERM)
    return outcome
