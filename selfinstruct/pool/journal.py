"""Makes things durable: each transaction of a run goes through here, and whoever hands one in may wait for it."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any

from selfinstruct.errors import PoolError
from selfinstruct.models.budget import Attempt
from selfinstruct.pool import statements
from selfinstruct.pool.opening import Pool
from selfinstruct.pool.writer import Statement
from selfinstruct.types import Completion


class Journal:
    """One run's way into the pool's database."""

    def __init__(self, pool: Pool, run: int) -> None:
        self.run = run
        self.completions = 0
        """Journaled by this run."""
        self.written_tokens = 0
        """Of these completions."""
        self.picodollars = 0
        """Spent by this run, as far as it is known."""
        self._loop = asyncio.get_running_loop()
        self._writer = pool.writer(self._committed)

    async def write(self, transaction: Sequence[Statement]) -> None:
        """Hand in a transaction and wait until it is durable.

        Raises:
            PoolError: the database cannot be written.
        """
        future = self._loop.create_future()
        self._writer.submit(transaction, future)
        await future

    async def completion(self, completion: Completion) -> None:
        """Keep what came back, before anything reads it."""
        await self.write(statements.journal(completion, self.run, now()))
        self.completions += 1
        self.written_tokens += completion.completion_tokens

    async def reserve(self, attempt: Attempt) -> None:
        """Keep that a request is about to be sent, and the most it can cost."""
        row = {
            "id": attempt.id, "request_id": attempt.request_id, "stage": attempt.stage, "model": attempt.model,
            "reserved_tokens": attempt.tokens, "reserved_usd_e12": attempt.picodollars,
        }  # fmt: skip
        await self.write([statements.reserve(row, self.run)])

    def settle_attempt(self, attempt: Attempt, tokens: int, picodollars: int) -> None:
        """Note what an attempt really used; a kill before that is durable charges its reserve."""
        self.picodollars += picodollars
        self._note(statements.settle_attempt(attempt.id, tokens, picodollars))

    def note_capabilities(self, url: str, model: str, capabilities: str) -> None:
        """Keep what was learned of an endpoint, as JSON, for later runs."""
        self._note(statements.note_capabilities(url, model, capabilities))

    def note_restarts(self, times: int) -> None:
        """Keep how often the server of this run has been started again."""
        self._note(statements.note_restarts(self.run, times))

    def close(self) -> None:
        """Write what is handed in, then end."""
        self._writer.close()

    def _note(self, statement: Statement) -> None:
        self._writer.submit([statement], self._loop.create_future())

    def _committed(self, tokens: list[Any], error: Exception | None) -> None:
        self._loop.call_soon_threadsafe(_resolve, tokens, error)


def _resolve(tokens: list[Any], error: Exception | None) -> None:
    for future in tokens:
        if future.done():
            continue
        if error is None:
            future.set_result(None)
        else:
            future.set_exception(PoolError(f"the pool cannot be written: {error}; what was committed is kept"))


def now() -> str:
    """The time in UTC, as it is kept in the database."""
    return datetime.now(UTC).isoformat(timespec="milliseconds")
