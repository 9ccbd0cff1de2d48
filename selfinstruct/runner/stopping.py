"""How a run is stopped by somebody: first in order, then at once."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any

from selfinstruct.runner.pump import Growth, Outcome
from selfinstruct.runner.watch import Tell

INTERRUPTED = Outcome(130, "interrupted")

Start = Callable[[Callable[[Growth], None]], Coroutine[Any, Any, Outcome]]
"""Begins a run, and hands over the growth once there is one."""


class Stopping:
    """A run that can be interrupted: the first time what is in flight finishes, the second time it stops now."""

    def __init__(self, tell: Tell) -> None:
        self._tell = tell
        self._interruptions = 0
        self._growth: Growth | None = None
        self._task: asyncio.Future[Outcome] | None = None

    async def run(self, start: Start) -> Outcome:
        """Run until the end, or until an interruption ends it."""
        if self._interruptions:
            return INTERRUPTED
        self._task = asyncio.ensure_future(start(self._begin))
        try:
            return await self._task
        except asyncio.CancelledError:
            return INTERRUPTED

    def interrupt(self) -> None:
        """Begin to end the run; to be called in its loop."""
        self._interruptions += 1
        if self._growth is not None and self._interruptions == 1:
            self._tell("stopping: nothing more is sent; waiting for what is in flight (again to stop now)")
            self._growth.halt(INTERRUPTED)
        elif self._task is not None:
            self._task.cancel()

    def _begin(self, growth: Growth) -> None:
        self._growth = growth
