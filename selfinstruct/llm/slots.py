"""How many requests are under way at once, and which of those that wait goes first."""

from __future__ import annotations

import asyncio
import heapq
import itertools


class Halted(Exception):  # noqa: N818 - it is what happened, not a fault
    """No further request is sent in this run; what is under way goes on."""


class Slots:
    """A counting lock whose waiters are served by priority (smaller first), then in the order they came."""

    def __init__(self, size: int) -> None:
        self.size = size
        self.taken = 0
        self._halted = False
        self._order = itertools.count()
        self._waiting: list[tuple[int, int, asyncio.Future[None]]] = []

    async def take(self, priority: int) -> None:
        """Wait for a slot.

        Raises:
            Halted: the gate was closed before one came free.
        """
        if self._halted:
            raise Halted
        if self.taken < self.size and not self._waiting:
            self.taken += 1
            return
        future: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        heapq.heappush(self._waiting, (priority, next(self._order), future))
        try:
            await future
        except asyncio.CancelledError:
            if future.done() and not future.cancelled() and future.exception() is None:
                self.give_back()
            raise

    def give_back(self) -> None:
        """Free a slot, for the first of those that wait."""
        self.taken -= 1
        self._serve()

    def halt(self) -> None:
        """Turn away all that wait, and all that come."""
        self._halted = True
        for _, _, future in self._waiting:
            if not future.done():
                future.set_exception(Halted())
        self._waiting.clear()

    def _serve(self) -> None:
        while self._waiting and self.taken < self.size:
            _, _, future = heapq.heappop(self._waiting)
            if not future.done():
                self.taken += 1
                future.set_result(None)
