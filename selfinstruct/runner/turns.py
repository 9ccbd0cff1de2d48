"""Whose turn it is to spend what is left of a budget: tasks that are open come before rounds, each in their order.

With money enough everything begins at once. Near the end, work begins only if what is left is likely to finish it and
all that was begun before, or if nothing is under way: so a budget is spent to its end, and leaves little half done.
"""

from __future__ import annotations

import asyncio
import heapq
from collections import deque
from collections.abc import Callable, Sequence

from selfinstruct.errors import Halted
from selfinstruct.runner.underway import Round
from selfinstruct.types import Request


class Turns:
    """The work that waits to begin.

    `may_task` is asked with the first requests of a task, and how many others are under way.
    """

    def __init__(self, may_task: Callable[[Sequence[Request], int], bool], may_round: Callable[[Round], bool]) -> None:
        self._may_task = may_task
        self._may_round = may_round
        self._tasks: deque[tuple[Sequence[Request], asyncio.Future[None]]] = deque()
        self._rounds: list[tuple[int, Round, asyncio.Future[None]]] = []
        self._begun = 0
        self._halted = False

    async def of_task(self, requests: Sequence[Request]) -> None:
        """Wait until a task that begins with these requests may do so; it is under way until `end_task`.

        Raises:
            Halted: nothing more begins.
        """
        future = self._waiting()
        self._tasks.append((requests, future))
        await self._served(future)

    def end_task(self) -> None:
        """Note that a task which had begun is finished."""
        self._begun -= 1
        self.serve()

    async def of_round(self, round_: Round) -> None:
        """Wait until a round may begin, after those of smaller number.

        Raises:
            Halted: nothing more begins.
        """
        future = self._waiting()
        heapq.heappush(self._rounds, (round_.number, round_, future))
        await self._served(future)

    def serve(self) -> None:
        """Let begin what may. To be called when money came back, or work ended."""
        while self._tasks and (not self._begun or self._may_task(self._tasks[0][0], self._begun)):
            self._begun += 1
            _let(self._tasks.popleft()[1])
        while self._rounds and not self._tasks and self._may_round(self._rounds[0][1]):
            _, round_, future = heapq.heappop(self._rounds)
            round_.is_begun = True
            _let(future)

    def halt(self) -> None:
        """Turn away all that wait, and all that come."""
        self._halted = True
        for future in [*(waiting[-1] for waiting in self._tasks), *(waiting[-1] for waiting in self._rounds)]:
            if not future.done():
                future.set_exception(Halted())
        self._tasks.clear()
        self._rounds.clear()

    def _waiting(self) -> asyncio.Future[None]:
        if self._halted:
            raise Halted
        return asyncio.get_running_loop().create_future()

    async def _served(self, future: asyncio.Future[None]) -> None:
        self.serve()
        await future


def _let(future: asyncio.Future[None]) -> None:
    if not future.done():  # cancelled with the run
        future.set_result(None)
