"""How a run is stopped by somebody: first in order, then at once; also where code of the user's does not end."""

from __future__ import annotations

import asyncio
import contextlib
import signal
import threading
from asyncio import events, tasks
from collections.abc import Callable, Coroutine, Iterator, Sequence
from types import FrameType
from typing import Any

from selfinstruct.runner.pump import Growth, Outcome
from selfinstruct.runner.watch import Tell

INTERRUPTED = Outcome(130, "interrupted")
PATIENCE_S = 2.0
"""How long a run that is to end may be held up by what cannot be awaited."""

Start = Callable[[Callable[[Growth], None]], Coroutine[Any, Any, Outcome]]
"""Begins a run, and hands over the growth once there is one."""
OnSignal = Callable[[int, FrameType | None], Any]


class Stopping:
    """A run that can be interrupted: the first time what is in flight finishes, the second time it stops now.

    `watch` is shown the growth once there is one.
    """

    def __init__(self, tell: Tell, watch: Callable[[Growth], None] = lambda _: None) -> None:
        self.is_interrupted = False
        self._tell, self._watch = tell, watch
        self._growth: Growth | None = None
        self._task: asyncio.Future[Outcome] | None = None

    def run(self, start: Start, signals: Sequence[signal.Signals] = (signal.SIGINT,)) -> Outcome:
        """Run in a loop of its own until the end, or until an interruption by one of these signals ends it.

        Where a loop runs already, as in a notebook, it stands still meanwhile.
        """

        async def interruptible() -> Outcome:
            loop = asyncio.get_running_loop()
            with heard(signals, lambda *_: loop.call_soon_threadsafe(self.interrupt)):
                self._task = asyncio.ensure_future(start(self._begin))
                try:
                    return await self._task
                except asyncio.CancelledError:
                    return INTERRUPTED

        try:
            with _alone(), asyncio.Runner(loop_factory=asyncio.new_event_loop) as runner:
                return runner.run(interruptible())
        except KeyboardInterrupt:  # in what held up the loop
            self.is_interrupted = True
            return INTERRUPTED

    def interrupt(self) -> None:
        """Begin to end the run; to be called in its loop."""
        is_first, self.is_interrupted = not self.is_interrupted, True
        if self._growth is not None and is_first:
            self._tell("stopping: nothing more is sent; waiting for what is in flight (again to stop now)")
            self._growth.halt(INTERRUPTED)
        elif self._task is not None:
            self._task.cancel()

    def _begin(self, growth: Growth) -> None:
        self._growth = growth
        self._watch(growth)


@contextlib.contextmanager
def heard(signals: Sequence[signal.Signals], on_signal: OnSignal | None = None) -> Iterator[None]:
    """Within, `on_signal`, or else what handles a signal already, is told of these signals.

    What then keeps the running loop from hearing of them, such as a check of the user's that never ends, is ended by
    KeyboardInterrupt. A timer of the kernel wakes this thread, since no other gets its turn while a pattern is matched.
    Only the main thread hears signals.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    loop, unheard, is_over = asyncio.get_running_loop(), list[bool](), False
    before: dict[int, Any] = {}

    def tell(number: int, frame: FrameType | None) -> None:
        if not unheard and not is_over:
            before.setdefault(signal.SIGALRM, signal.signal(signal.SIGALRM, ask))
            ask()
            signal.setitimer(signal.ITIMER_REAL, PATIENCE_S, PATIENCE_S)
        (on_signal or before[number])(number, frame)

    def ask(*_: object) -> None:
        if unheard:
            raise KeyboardInterrupt
        unheard.append(True)
        loop.call_soon_threadsafe(unheard.clear)

    for one in signals:
        if on_signal or callable(signal.getsignal(one)):
            before[one] = signal.signal(one, tell)
    try:
        yield
    finally:
        is_over = True
        if signal.SIGALRM in before:
            signal.setitimer(signal.ITIMER_REAL, 0)
        for number, handler in before.items():
            if signal.getsignal(number) in {tell, ask}:  # else a run that began later passes it on
                signal.signal(number, handler or signal.SIG_DFL)


@contextlib.contextmanager
def _alone() -> Iterator[None]:
    """Within, this thread may run another loop than the one that runs in it already."""
    try:
        loop = asyncio.get_running_loop()
    except RuntimeError:
        yield
        return
    task = asyncio.current_task()
    if task is not None:
        tasks._leave_task(loop, task)  # noqa: SLF001 - asyncio has these four for other kinds of loops and tasks
    events._set_running_loop(None)  # noqa: SLF001
    try:
        yield
    finally:
        events._set_running_loop(loop)  # noqa: SLF001
        if task is not None:
            tasks._enter_task(loop, task)  # noqa: SLF001
