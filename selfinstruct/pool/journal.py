"""Makes things durable: each transaction of a run goes through here, and whoever hands one in may wait for it."""

from __future__ import annotations

import asyncio
import contextlib
import queue
import sqlite3
import threading
import time
from collections.abc import Sequence
from datetime import UTC, datetime

from selfinstruct.errors import PoolError
from selfinstruct.models.budget import Attempt
from selfinstruct.pool import statements
from selfinstruct.pool.opening import Writer, connect
from selfinstruct.pool.statements import Statement
from selfinstruct.types import Completion

GROUP_S = 0.002
"""How long a commit waits for company. The design allows 20 ms."""
Item = tuple[Sequence[Statement], asyncio.Future[None] | None]
"""A transaction, and who waits for it."""


class Journal:
    """One run's way into the pool's database: a thread that writes what is handed in, in order, and commits in groups.

    After an error nothing more is written: later transactions fail with the same error, so that order is never broken.
    """

    def __init__(self, pool: Writer, run: int) -> None:
        self.run = run
        self.completions = 0
        """Journaled by this run."""
        self.read_tokens, self.written_tokens = 0, 0
        """Of the prompts of these completions, and of themselves."""
        self.picodollars = 0
        """Spent by this run, as far as it is known."""
        self._path = pool.path
        self._loop = asyncio.get_running_loop()
        # no SimpleQueue: CPython's may wait for ever where a time-out is over before its wait begins
        self._queue: queue.Queue[Item | None] = queue.Queue()
        self._thread = threading.Thread(target=self._work, name="pool-writer", daemon=True)
        self._thread.start()

    async def write(self, transaction: Sequence[Statement]) -> None:
        """Hand in a transaction and wait until it is durable.

        Raises:
            PoolError: the database cannot be written.
        """
        future = self._loop.create_future()
        self._queue.put((transaction, future))
        await future

    async def completion(self, completion: Completion) -> None:
        """Keep what came back, before anything reads it."""
        await self.write(statements.journal(completion, self.run, now()))
        self.completions += 1
        self.read_tokens += completion.prompt_tokens
        self.written_tokens += completion.completion_tokens

    async def reserve(self, attempt: Attempt) -> None:
        """Keep that a request is about to be sent, and the most it can cost."""
        await self.write(statements.reserve(attempt, self.run))

    def settle_attempt(self, attempt: Attempt, tokens: int, picodollars: int) -> None:
        """Note what an attempt really used; a kill before that is durable charges its reserve."""
        self.picodollars += picodollars
        self._note("UPDATE attempts SET tokens = ?, usd_e12 = ? WHERE id = ?", tokens, picodollars, attempt.id)

    def note_capabilities(self, url: str, model: str, capabilities: str) -> None:
        """Keep what was learned of an endpoint, as JSON, for later runs."""
        self._note("INSERT OR REPLACE INTO endpoints VALUES (?, ?, ?)", url, model, capabilities)

    def note_restarts(self, times: int) -> None:
        """Keep how often the server of this run has been started again."""
        self._note("UPDATE runs SET server_restarts = ? WHERE id = ?", times, self.run)

    def close(self) -> None:
        """Write what is handed in, then end."""
        self._queue.put(None)
        self._thread.join()

    def _note(self, sql: str, *values: object) -> None:
        self._queue.put(([(sql, values)], None))

    def _work(self) -> None:
        """Write until `close`; what the thread does."""
        error: Exception | None = None
        with contextlib.ExitStack() as stack:
            try:
                connection = stack.enter_context(contextlib.closing(connect(self._path)))
            except sqlite3.Error as fault:
                error = fault
            open_ = True
            while open_:
                group, open_ = self._next_group()
                error = error or _commit(connection, [statement for item in group for statement in item[0]])
                self._loop.call_soon_threadsafe(_tell, [future for _, future in group if future], error)

    def _next_group(self) -> tuple[list[Item], bool]:
        group = []
        item = self._queue.get()
        until = time.monotonic() + GROUP_S
        while item is not None:
            group.append(item)
            try:
                item = self._queue.get(timeout=max(0.0, until - time.monotonic()))
            except queue.Empty:
                return group, True
        return group, False


def _commit(connection: sqlite3.Connection, group: Sequence[Statement]) -> Exception | None:
    """Write all in one transaction; the error if none of it was written."""
    try:
        connection.execute("BEGIN IMMEDIATE")
        for sql, values in group:
            connection.execute(sql, values)
        connection.execute("COMMIT")
    except (sqlite3.Error, OverflowError, TypeError, ValueError) as error:  # also of values that no database holds
        with contextlib.suppress(sqlite3.Error):
            connection.execute("ROLLBACK")
        return error
    return None


def _tell(futures: Sequence[asyncio.Future[None]], error: Exception | None) -> None:
    for future in futures:
        if future.done():
            continue
        if error is None:
            future.set_result(None)
        else:
            future.set_exception(PoolError(f"the pool cannot be written: {error}; what was committed is kept"))


def now() -> str:
    """The time in UTC, as it is kept in the database."""
    return datetime.now(UTC).isoformat(timespec="milliseconds")
