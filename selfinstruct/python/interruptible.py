"""A run with a thread and a loop of its own: where another loop runs already, too, and ended in order by Ctrl-C."""

from __future__ import annotations

import asyncio
import contextlib
import contextvars
import signal
import threading
from collections.abc import Callable, Coroutine, Iterator
from concurrent.futures import Future
from typing import Any

from selfinstruct.config.sections import Config
from selfinstruct.python.bar import Shown
from selfinstruct.runner.pump import Growth, Outcome
from selfinstruct.runner.run import run
from selfinstruct.runner.stopping import Stopping


def run_in_a_thread(config: Config, show: Shown) -> Outcome:
    """Grow a pool, and say how that ended.

    The first interruption lets what is in flight finish, the second one stops now.

    Raises:
        KeyboardInterrupt: it was interrupted, and has ended.
        ConfigError, SeedError, PoolError, AccessError: before anything was asked of a model.
    """
    working = _Work(config, show)
    # What a thread prints goes to the cell of a notebook whose context it has.
    thread = threading.Thread(target=contextvars.copy_context().run, args=(working.run,), name="selfinstruct")
    thread.start()
    with _hearing():
        while not working.has_ended.is_set():
            try:
                working.has_ended.wait()
            except KeyboardInterrupt:
                working.interrupt()
    outcome = working.end.result()
    if working.is_interrupted:
        raise KeyboardInterrupt(f"{outcome.reason}; what was answered is kept, and the same call goes on")
    return outcome


@contextlib.contextmanager
def _hearing() -> Iterator[None]:
    """Within, Ctrl-C raises KeyboardInterrupt, also where a loop runs that would tell its own tasks and cannot."""
    is_deaf = threading.current_thread() is threading.main_thread() and _is_in_a_loop()
    before = signal.signal(signal.SIGINT, signal.default_int_handler) if is_deaf else None
    try:
        yield
    finally:
        if before is not None:
            signal.signal(signal.SIGINT, before)


def _is_in_a_loop() -> bool:
    try:
        asyncio.get_running_loop()
    except RuntimeError:
        return False
    return True


class _Work:
    """A run under way, for the two threads that have to do with it."""

    def __init__(self, config: Config, show: Shown) -> None:
        self.is_interrupted = False
        self.has_ended = threading.Event()
        self.end: Future[Outcome] = Future()
        self._config, self._show = config, show
        self._loop = asyncio.new_event_loop()
        self._stopping = Stopping(show.tell)

    def run(self) -> None:
        """Grow the pool, in a thread of its own."""
        try:
            with asyncio.Runner(loop_factory=lambda: self._loop) as runner:
                self.end.set_result(runner.run(self._stopping.run(self._grow)))
        except BaseException as error:  # noqa: BLE001 - raised where the run was begun
            self.end.set_exception(error)
        finally:
            self.has_ended.set()

    def interrupt(self) -> None:
        """Begin to end the run, from another thread."""
        self.is_interrupted = True
        with contextlib.suppress(RuntimeError):  # the loop has just been closed
            self._loop.call_soon_threadsafe(self._stopping.interrupt)

    def _grow(self, begun: Callable[[Growth], None]) -> Coroutine[Any, Any, Outcome]:
        def begin(growth: Growth) -> None:
            begun(growth)
            self._show.watch(growth)

        return run(self._config, self._show.tell, started=begin)
