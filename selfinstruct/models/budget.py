"""What a run may spend: reserved before anything is sent, corrected by what came back, never exceeded."""

from __future__ import annotations

import asyncio
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
    request_id: str
    stage: str
    model: str
    tokens: int
    picodollars: int


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
    """Counts what a run reserves and spends, over all its clients. `ledger` is asked for when the first is written."""

    def __init__(self, limits: Limits, prices: Mapping[str, Price], ledger: Callable[[], Ledger]) -> None:
        self.limits = limits
        self.prices = prices
        self.tokens = 0
        self.picodollars = 0
        self.requests = 0
        self._pool_before = 0
        self._ledger = ledger
        self._next_id = 1
        self._open: dict[str, Attempt] = {}
        self._being_written = 0
        self._changed = asyncio.Event()
        self._largest = (1, 0, 0)
        """Of the reserves so far, in requests, tokens and picodollars."""
        self._on_tasks = (0, 0, 0)
        """Used by follow-ups, in the same."""

    def goes_on(self, highest_id: int, pool_picodollars: int) -> None:
        """Take over from earlier runs of the pool, whose attempts have cost so much, lost ones at their reserve."""
        self._next_id = highest_id + 1
        self._pool_before = pool_picodollars

    async def reserve(self, request: Request, attempt: int) -> None:
        """Set aside the most that sending this request can cost; waits while only answers on their way are in the way.

        An error ends the run, and what is not sent by then never is. So it comes only once all reserves are written.

        Raises:
            BudgetError: it does not fit, whatever comes back.
        """
        del attempt
        _, tokens, picodollars = self._most(request)
        self._largest = (1, max(tokens, self._largest[1]), max(picodollars, self._largest[2]))
        while (bound := self._hit(tokens, picodollars)) is not None:
            if not self._open or (bound == "requests" and not self._being_written):
                raise BudgetError(self._said(bound, tokens, picodollars))
            self._changed.clear()
            await self._changed.wait()
        taken = Attempt(self._next_id, request.id, request.stage, request.model, tokens, picodollars)
        self._next_id += 1
        self._open[request.id] = taken
        self.requests += 1
        self.tokens += taken.tokens
        self.picodollars += taken.picodollars
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
            used = (completion.prompt_tokens, completion.completion_tokens, completion.cached_tokens)
            picodollars = price.cost(*used) if price else 0
        elif completion is not None and completion.is_free:
            tokens = picodollars = 0
        self.tokens += tokens - taken.tokens
        self.picodollars += picodollars - taken.picodollars
        if request.task_id is not None:
            before = self._on_tasks
            self._on_tasks = (before[0] + 1, before[1] + tokens, before[2] + picodollars)
        self._ledger().settle_attempt(taken, tokens, picodollars)
        self._changed.set()

    def suffices(self, asked: Iterable[Request], tasks: float, ended: int) -> bool:
        """Is what is left likely to be enough to send these requests and to finish this many tasks besides?

        A request is taken at its reserve, a task at what one has cost in this run, in which so many have `ended`: twice
        the largest reserve to begin with. One reserve more must be left, or the last request would not fit.
        """
        left = self._left()
        if left == (None, None, None):
            return True
        wanted = [self._most(request) for request in asked if request.id not in self._open]
        for place, rest in enumerate(left):
            largest = max([self._largest[place], *(one[place] for one in wanted)])
            each = (2 * largest + self._on_tasks[place]) / (1 + ended)
            if rest is not None and sum(one[place] for one in wanted) + tasks * each + largest > rest:
                return False
        return True

    def _most(self, request: Request) -> tuple[int, int, int]:
        """The most that sending this can cost: requests, tokens and picodollars."""
        prompt, completion = most_tokens(request)
        price = self.prices.get(request.model)
        return 1, prompt + completion, price.cost(prompt, completion) if price else 0

    def _left(self) -> tuple[int | None, int | None, int | None]:
        """What is left to be spent: requests, tokens and picodollars; None: no bound."""
        limits = self.limits
        usd = [] if limits.usd is None else [in_picodollars(limits.usd) - self.picodollars]
        if limits.pool_usd is not None:
            usd.append(in_picodollars(limits.pool_usd) - self._pool_before - self.picodollars)
        return (
            None if limits.requests is None else limits.requests - self.requests,
            None if limits.tokens is None else limits.tokens - self.tokens,
            min(usd, default=None),
        )

    def _hit(self, tokens: int, picodollars: int) -> str | None:
        """The bound that so much more would pass."""
        limits = self.limits
        if limits.requests is not None and self.requests + 1 > limits.requests:
            return "requests"
        if limits.tokens is not None and self.tokens + tokens > limits.tokens:
            return "tokens"
        if limits.usd is not None and self.picodollars + picodollars > in_picodollars(limits.usd):
            return "usd"
        if limits.pool_usd is not None:
            total = self._pool_before + self.picodollars + picodollars
            if total > in_picodollars(limits.pool_usd):
                return "pool_usd"
        return None

    def _said(self, bound: str, tokens: int, picodollars: int) -> str:
        used = {
            "requests": f"{self.requests:,} of {self.limits.requests or 0:,} requests are sent (--max-requests)",
            "tokens": f"{self.tokens:,} of {self.limits.tokens or 0:,} tokens are used (--max-tokens)",
            "usd": f"{in_dollars(self.picodollars):.4f} of {self.limits.usd} USD are spent (--max-usd)",
            "pool_usd": f"{in_dollars(self._pool_before + self.picodollars):.4f} of {self.limits.pool_usd} USD are "
            "spent on this pool (budget.pool_max_usd)",
        }[bound]
        next_one = {"tokens": f"up to {tokens:,} tokens", "requests": "one more"}
        most = next_one.get(bound, f"up to {in_dollars(picodollars):.4f} USD")
        return f"the budget ends here: {used}, and the next request might pass it: it may take {most}"
