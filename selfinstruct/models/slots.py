"""How many requests are under way at once, and which of those that wait goes first, and where to."""

from __future__ import annotations

import asyncio
import heapq
import itertools
from collections.abc import Callable, Hashable
from typing import Any

from selfinstruct.errors import AccessError, Halted


class Ticket:
    """A place in the queue. It is kept over all attempts, so that what is asked again goes before what came later."""

    def __init__(
        self,
        priority: int,
        choose: Callable[[], Any | None],
        undo: Callable[[Any], None] = lambda _: None,
        kind: Hashable = "",
    ) -> None:
        self.priority = priority
        self.choose = choose
        """Where to send it now, with whatever is to be noted there; None: nowhere yet. Raises: AccessError."""
        self.undo = undo
        """Take back what `choose` noted, since nothing will be sent."""
        self.kind = kind
        """What can be sent anywhere only if all before it of the same kind could."""
        self.number: int | None = None


class Slots:
    """A counting lock with one queue, ordered by priority (smaller first), then arrival.

    A ticket is bound to no place while it waits: it gets the first that can take it. Those that no place can take yet
    do not hold up others of another kind.
    """

    def __init__(self, size: int) -> None:
        self.most = size
        self.size = size
        self.taken = 0
        self._halted = False
        self._numbers = itertools.count()
        self._queues: dict[Hashable, list[tuple[int, int, Ticket, asyncio.Future[Any]]]] = {}

    async def take(self, ticket: Ticket) -> Any:
        """Wait for a slot; what the ticket chose.

        Raises:
            Halted: nothing more is sent.
            AccessError: there is no place that could ever take it.
        """
        if self._halted:
            raise Halted
        if ticket.number is None:
            ticket.number = next(self._numbers)
        future: asyncio.Future[Any] = asyncio.get_running_loop().create_future()
        heapq.heappush(self._queues.setdefault(ticket.kind, []), (ticket.priority, ticket.number, ticket, future))
        self.serve()
        try:
            return await future
        except asyncio.CancelledError:
            if future.done() and not future.cancelled() and future.exception() is None:
                ticket.undo(future.result())
                self.give_back()
            raise

    def give_back(self) -> None:
        """Free a slot, for the first of those that wait."""
        self.taken -= 1
        self.serve()

    def resize(self, size: int) -> None:
        """Have so many slots from now on, `most` at most; those taken beyond that are given back in time."""
        self.size = min(size, self.most)
        self.serve()

    def halt(self) -> None:
        """Turn away all that wait, and all that come."""
        self._halted = True
        for queue in self._queues.values():
            for *_, future in queue:
                if not future.done():
                    future.set_exception(Halted())
        self._queues.clear()

    def serve(self) -> None:
        """Hand out what slots there are. To be called when a place may have become able to take more."""
        stuck: set[Hashable] = set()
        while self.taken < self.size:
            kind = self._first(stuck)
            if kind is None:
                return
            _, _, ticket, future = self._queues[kind][0]
            try:
                place = ticket.choose()
            except AccessError as error:
                future.set_exception(error)
            else:
                if place is None:
                    stuck.add(kind)
                    continue
                self.taken += 1
                future.set_result(place)
            heapq.heappop(self._queues[kind])

    def waits(self, kind: Hashable) -> bool:
        """Whether a ticket of this kind waits."""
        queue = self._queues.get(kind, [])
        while queue and queue[0][3].done():
            heapq.heappop(queue)
        return bool(queue)

    def _first(self, stuck: set[Hashable]) -> Hashable | None:
        """The kind of the first in the queue, apart from these kinds."""
        best: tuple[int, int] | None = None
        first: Hashable | None = None
        for kind in list(self._queues):
            if kind in stuck:
                continue
            if not self.waits(kind):
                del self._queues[kind]
                continue
            head = self._queues[kind][0][:2]
            if best is None or head < best:
                best, first = head, kind
        return first
