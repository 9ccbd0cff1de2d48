"""What a run may spend: reserved before anything is sent, corrected by what came back, never exceeded."""

from __future__ import annotations

import asyncio
import operator
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from decimal import Decimal
from typing import Protocol

from selfinstruct.errors import BudgetError
from selfinstruct.models.prices import Price, in_dollars, in_picodollars
from selfinstruct.types import Completion, Request, canonical_json

OVERHEAD_PER_MESSAGE = 200
"""Tokens a chat template may put around a message."""
UNBOUNDED_COMPLETION = 32_768
"""Taken as the length of an answer whose `max_tokens` is not set."""

Amounts = tuple[int, ...]
"""Requests, tokens and picodollars."""


@dataclass(frozen=True, slots=True)
class Limits:
    """The bounds of a run, and of the pool's total; None: no bound."""

    usd: Decimal | None = None
    tokens: int | None = None
    requests: int | None = None
    pool_usd: Decimal | None = None

    @property
    def needs_prices(self) -> bool:
        """Is any of the bounds in money?"""
        return self.usd is not None or self.pool_usd is not None


@dataclass(frozen=True, slots=True)
class Attempt:
    """One time that a request is sent, and the most it can cost."""

    id: int
    source: int
    request_id: str
    stage: str
    model: str
    tokens: int
    picodollars: int
    replaces: bool = False
    """Earlier attempts at the request that ended without a word lie in a batch with this one, and are paid for once."""


class Ledger(Protocol):
    """Where attempts are written down."""

    async def reserve(self, attempt: Attempt) -> None:
        """Make an attempt durable, before it is sent."""

    def settle_attempt(self, attempt: Attempt, tokens: int, picodollars: int) -> None:
        """Note what an attempt really used."""


def most_tokens(request: Request) -> tuple[int, int]:
    """Upper bounds of the prompt's and the answer's tokens: no tokenizer makes more tokens than there are bytes."""
    prompt = sum(len(message.content.encode("utf-8", "surrogatepass")) for message in request.messages)
    prompt += OVERHEAD_PER_MESSAGE * len(request.messages)
    if request.schema is not None:
        prompt += len(canonical_json(request.schema.body).encode())
    sampling = {**request.sampling, **(request.sampling.get("extra_body") or {})}
    named = [sampling[name] for name in ("max_tokens", "max_completion_tokens") if isinstance(sampling.get(name), int)]
    several = [sampling[name] for name in ("n", "best_of") if isinstance(sampling.get(name), int)]
    return prompt, max(named, default=UNBOUNDED_COMPLETION) * max(several, default=1)


class Budget:
    """Counts what a run reserves and spends, over all its clients. `ledger` is asked for when the first is written.

    A patient one ends a run only once all that was sent has its answer, as batches want that take hours.
    """

    def __init__(
        self, limits: Limits, prices: Mapping[str, Price], ledger: Callable[[], Ledger], *, is_patient: bool = False
    ) -> None:
        self.limits = limits
        self.prices = prices
        self.used = [0, 0, 0]
        """Requests, tokens and picodollars of this run and its job before; those on their way at their reserve."""
        self._pool_before = 0
        self._out: dict[str, int] = {}
        self._ledger, self._is_patient = ledger, is_patient
        self._next_id = 1
        self._open: dict[str, Attempt] = {}
        self._being_written = 0
        self._changed = asyncio.Event()
        self._largest: Amounts = (1, 0, 0)
        """The largest reserves so far, in the units of `used`."""
        self._on_tasks: Amounts = (0, 0, 0)
        """Used by requests for accepted tasks, in the units of `used`."""

    def goes_on(
        self, highest_id: int, pool_picodollars: int, out: Mapping[str, int] = {}, of_job: Amounts = (0, 0, 0)
    ) -> None:
        """Take over from earlier runs of the pool: their last attempt and cost, lost attempts at their reserve.

        `of_job` is what those of them used that belong to the same job, in the units of `used`.
        `out` has the reserve of requests that may lie in batches, by id: it counts until they are asked again.
        """
        self._next_id = highest_id + 1
        self._pool_before = pool_picodollars
        self._out = dict(out)
        self.used = [*of_job]

    async def reserve(self, request: Request) -> None:
        """Set aside the most that sending this request can cost; waits while answers on their way may make room for it.

        An error ends the run and all that was not sent. So it is raised only once all other reserves are written.

        Raises:
            BudgetError: it does not fit, whatever comes back.
        """
        replaces = request.id in self._out
        self._pool_before -= self._out.pop(request.id, 0)
        most = self._most(request)
        self._largest = tuple(map(max, self._largest, most))
        while (bound := self._passed_by(most)) is not None:
            if not self._open or (bound == "requests" and not self._being_written and not self._is_patient):
                raise BudgetError(self._in_words(bound, most))
            self._changed.clear()
            await self._changed.wait()
        taken = Attempt(
            self._next_id, request.source, request.id, request.stage, request.model, most[1], most[2], replaces
        )
        self._next_id += 1
        self._open[request.id] = taken
        self._use(*most)
        self._being_written += 1
        try:
            await self._ledger().reserve(taken)
        except BaseException:
            del self._open[request.id]
            raise
        finally:
            self._being_written -= 1
            self._changed.set()

    def spent(self, request: Request, completion: Completion | None) -> None:
        """Put what an attempt really used in the place of its reserve; a lost answer (None) is charged the reserve."""
        taken = self._open.pop(request.id, None)
        if taken is None:
            return
        tokens, picodollars = taken.tokens, taken.picodollars
        if completion is not None and completion.prompt_tokens + completion.completion_tokens > 0:
            price = self.prices.get(request.model)
            tokens = completion.prompt_tokens + completion.completion_tokens
            counts = (completion.prompt_tokens, completion.completion_tokens, completion.cached_tokens)
            picodollars = price.cost(*counts) if price else 0
        elif completion is not None and completion.is_free:
            tokens = picodollars = 0
        self._use(0, tokens - taken.tokens, picodollars - taken.picodollars)
        if request.task_id is not None:
            self._on_tasks = tuple(map(operator.add, self._on_tasks, (1, tokens, picodollars)))
        self._ledger().settle_attempt(taken, tokens, picodollars)
        self._changed.set()

    def suffices(self, asked: Iterable[Request], tasks: float, ended: int) -> bool:
        """Is what is left likely to be enough to send these requests and to finish this many more tasks?

        A request is taken at its reserve, a task at the average of the `ended` tasks of this run, averaged with twice
        the largest reserve. One reserve more must be left, or the last request would not fit.
        """
        bounds = self._bounds()
        wanted = [self._most(request) for request in asked if request.id not in self._open] if bounds else []
        for _, place, most in bounds:
            amounts = [one[place] for one in wanted]
            largest = max([self._largest[place], *amounts])
            each = (2 * largest + self._on_tasks[place]) / (1 + ended)
            if sum(amounts) + tasks * each + largest > most - self.used[place]:
                return False
        return True

    def bounds(self) -> list[tuple[str, int, int]]:
        """Each bound by its name, with what is used of it and the most that may be; money in picodollars."""
        return [(name, self.used[place], most) for name, place, most in self._bounds()]

    def _use(self, *amounts: int) -> None:
        self.used = list(map(operator.add, self.used, amounts))

    def _most(self, request: Request) -> Amounts:
        """The most that sending this can cost."""
        prompt, completion = most_tokens(request)
        price = self.prices.get(request.model)
        return 1, prompt + completion, price.cost(prompt, completion) if price else 0

    def _bounds(self) -> list[tuple[str, int, int]]:
        """The name of each bound, the place of its amount in `used`, and the most that may be used."""
        most = self.limits
        usd = None if most.usd is None else in_picodollars(most.usd)
        pool_usd = None if most.pool_usd is None else in_picodollars(most.pool_usd) - self._pool_before
        bounds = (
            ("requests", 0, most.requests),
            ("tokens", 1, most.tokens),
            ("usd", 2, usd),
            ("pool_usd", 2, pool_usd),
        )
        return [(name, place, bound) for name, place, bound in bounds if bound is not None]

    def _passed_by(self, amounts: Amounts) -> str | None:
        """The bound that using this much more would pass."""
        return next((name for name, place, most in self._bounds() if self.used[place] + amounts[place] > most), None)

    def _in_words(self, bound: str, amounts: Amounts) -> str:
        requests, tokens, picodollars = self.used
        limits = self.limits
        spent = f"{in_dollars(self._pool_before + picodollars):.4f} of {limits.pool_usd} USD are spent on this pool"
        used = {
            "requests": f"{requests:,} of {limits.requests or 0:,} requests are sent (--max-requests)",
            "tokens": f"{tokens:,} of {limits.tokens or 0:,} tokens are used (--max-tokens)",
            "usd": f"{in_dollars(picodollars):.4f} of {limits.usd} USD are spent (--max-usd)",
            "pool_usd": f"{spent} (budget.pool_max_usd)",
        }[bound]
        next_one = {"tokens": f"up to {amounts[1]:,} tokens", "requests": "one more"}
        most = next_one.get(bound, f"up to {in_dollars(amounts[2]):.4f} USD")
        return f"the budget ends here: {used}, and the next request might pass it: it may take {most}"
