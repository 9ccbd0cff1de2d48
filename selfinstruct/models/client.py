"""Asking any OpenAI-compatible server: bounded, retried in this one place, and clear about what cannot be helped.

Failures come in three kinds (law 5). Transient ones are tried again for as long as the run goes on. Faults of access or
configuration end the use of an endpoint. Faults of the request itself are its final answer, of kind `failed`.

A request waits in one queue and is bound to no endpoint while it does; while it backs off it holds no slot.
"""

from __future__ import annotations

import asyncio
import random
import time
from collections import Counter
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any

from selfinstruct.errors import AccessError, Halted
from selfinstruct.models import wire
from selfinstruct.models.batches import BatchEndpoint
from selfinstruct.models.budget import Budget
from selfinstruct.models.completions import may_be_a_hiccup, read_answer
from selfinstruct.models.endpoint import Endpoint, EndpointConfig, listed
from selfinstruct.models.function import FunctionEndpoint
from selfinstruct.models.limits import Clock
from selfinstruct.models.progress import Progress, at, clock_time
from selfinstruct.models.routing import Ask, Router, Slots, Tell
from selfinstruct.models.statuses import failure, read_refusal, refused, said
from selfinstruct.models.wire import Capabilities, Reply, Trouble
from selfinstruct.types import Completion, Request, canonical_json

TOO_MANY_FAULTS = 8
"""Failures of one request, while its endpoint answers others, after which it is given up as `failed`."""
MOST_HICCUPS = 2
"""So often a request is asked again whose answer is empty or has an unknown form: each attempt is paid for."""
_ENOUGH_MALFORMED = 2
"""Answers not of the wanted form, after which a weaker form is asked for."""
_SAID_S = 5.0
"""A wait that a server asks for is told when it is longer; and so much later than the last one told."""
_HEALTHY_S = 10.0
_CHANCE = 8
"""Failures that may be chance while the endpoint answered others within `_HEALTHY_S`."""
_TROUBLE_TOLD_EVERY_S = 30.0
_LONGEST_ALONE = 4
"""Doublings of the pause of a request that fails while nothing else is left to ask: 0.5, 1, 2, 4, 8, 8, 8 s."""
MOST_TOLD = 5
"""Servers named in a line that tells who joins and leaves."""
_CLOSED = {401, 403}
_DEFAULT = Capabilities()

Keep = Callable[[Completion], Awaitable[None]]


async def _nothing(_: Completion) -> None:
    """Keep an answer nowhere."""


class Client:
    """The endpoints that serve a role, used as one.

    `known` are capabilities learned in earlier runs by (URL, model); `learned` is told of new ones. The limits a minute
    are for all endpoints together.
    """

    def __init__(
        self,
        endpoints: Sequence[EndpointConfig],
        slots: Slots,
        *,
        tell: Tell,
        known: Mapping[tuple[str, str], Mapping[str, Any]] | None = None,
        learned: Callable[[str, str, Capabilities], None] = lambda *_: None,
        requests_per_minute: float | None = None,
        tokens_per_minute: float | None = None,
        budget: Budget | None = None,
        clock: Clock = time.monotonic,
    ) -> None:
        self.slots = slots
        self._tell = tell
        self._clock = clock
        self._known = known or {}
        self.endpoints = [self._made(endpoint) for endpoint in endpoints]
        self._gone: list[Endpoint] = []
        """Endpoints that have left, until nothing is under way there."""
        per_minute = {"requests": requests_per_minute, "tokens": tokens_per_minute}
        self._router = Router(self.endpoints, slots, clock, tell, per_minute)
        self._learned = learned
        self._budget = budget
        self._answered: set[tuple[str, str, str]] = set()
        self._open: set[Ask] = set()
        self._troubles: Counter[str] = Counter()
        self._halted = asyncio.Event()
        self._jitter = random.Random()

    def _made(self, config: EndpointConfig) -> Endpoint:
        """An endpoint with what is known of it."""
        kind = FunctionEndpoint if config.function else BatchEndpoint if config.batching else Endpoint
        endpoint = kind(config, self.slots.size, self._clock, self._tell)
        for (url, model), capabilities in self._known.items():
            if url == endpoint.url:
                endpoint.capabilities[model] = Capabilities.from_dict(capabilities)
                endpoint.settled |= {(model, "schema"), (model, "plain")}
        return endpoint

    async def check(self, model: str | None = None) -> list[dict[str, Any]]:
        """Make sure that at least one endpoint answers and takes the key; the models the first useful one lists.

        One that refuses to list them may still take questions, if the model is known: it is left only if it refuses an
        empty one too.

        Raises:
            AccessError: none does; the text is that of the last.
        """
        replies = await asyncio.gather(*(endpoint.models() for endpoint in self.endpoints))
        faults: list[str] = []
        models: list[list[dict[str, Any]]] = []
        for endpoint, reply in zip(self.endpoints, replies, strict=True):
            closed = await _closed(endpoint, reply, model)
            if closed is not None:
                endpoint.left = refused(endpoint, closed.status, said(closed.content))
            elif isinstance(reply, Reply) or reply.kind == "late":
                models.append(listed(reply) if isinstance(reply, Reply) and reply.status < 300 else [])
            elif reply.kind == "left":
                endpoint.left = reply.why
            elif reply.kind == "failed" and await endpoint.speaks_tls():
                endpoint.left = endpoint.says_https
            else:
                endpoint.breaker.open(reply.why)
                faults.append(f"{endpoint.url}: nothing answers there ({reply.why}); is the server running?")
            if endpoint.left:
                faults.append(endpoint.left)
        if not models:
            raise AccessError(faults[-1] if faults else "no endpoint is configured")
        for fault in faults:
            self._tell(f"{fault}; going on without it")
        for endpoint in self.endpoints:
            self._router.watch(endpoint)
            for name, length in endpoint.context_lengths.items() if not endpoint.left else ():
                self._router.context_lengths[name] = min(length, self._router.context_lengths.get(name, length))
        return next((found for found in models if found), [])

    def context_length(self, model: str | None = None) -> int | None:
        """The most tokens of prompt and answer that every endpoint takes, as far as they told `check`; None: none did.

        Without a model, of all that are served.
        """
        told = self._router.context_lengths
        return min((length for name, length in told.items() if model in {None, name}), default=None)

    async def use(self, configs: Sequence[EndpointConfig]) -> None:
        """Ask these endpoints from now on, one at least: others get nothing more, and finish what they have."""
        wanted, here = {one.base_url: one for one in configs}, {one.config.base_url: one for one in self.endpoints}
        new = [self._made(config) for url, config in wanted.items() if url not in here]
        old = [endpoint for url, endpoint in here.items() if url not in wanted]
        for endpoint in new:
            self._router.join(endpoint)
        for endpoint in old:
            self._router.leave(endpoint)
        said = [f"{one.url} joins" for one in new]
        said += [f"{one.url} leaves, {one.throttle.in_flight} requests in flight there" for one in old]
        if said:
            more = f"; {len(said) - MOST_TOLD} more" if len(said) > MOST_TOLD else ""
            self._tell(f"servers: {'; '.join(said[:MOST_TOLD])}{more}")
        self._gone += old
        for endpoint in [one for one in self._gone if not one.throttle.in_flight]:
            await endpoint.close()
            self._gone.remove(endpoint)

    async def complete(self, request: Request, priority: int, keep: Keep = _nothing) -> Completion:
        """The final answer to a request.

        `keep` is awaited with the answer before its slot is given to another request, so that no more answers than
        there are slots can be lost at once.

        Raises:
            Halted: the run stops before there is one.
            AccessError: no endpoint is left that could give one, or the server refuses the configuration.
            Exception: whatever the budget or `keep` raises.
        """
        ask = Ask(request, priority)
        self._open.add(ask)
        try:
            while True:
                endpoint = await self.slots.take(ask)
                try:
                    outcome = await self._attempt(endpoint, ask, keep)
                finally:
                    self.slots.give_back()
                if isinstance(outcome, Completion):
                    return outcome
                if outcome.kind == "unanswerable":
                    raise AccessError(outcome.why)
                self._troubles[outcome.kind] += 1
                await self._sleep(self._wait_s(endpoint, ask, outcome))
        finally:
            self._open.discard(ask)

    def had_answers(self, kinds: set[tuple[str, str, str]]) -> None:
        """Know the questions, as (stage, model, sampling as JSON), that had an answer in earlier runs.

        Only without one is a 400 taken for a fault of the configuration.
        """
        self._answered |= kinds

    def halt(self) -> None:
        """Send nothing more; what is under way goes on."""
        self._halted.set()
        self.slots.halt()
        self._router.halt()
        for endpoint in self.endpoints:
            endpoint.halt()

    def try_again_now(self) -> None:
        """Probe endpoints in outage at once, since there is reason to think that they are back."""
        self._router.wake()

    async def close(self) -> None:
        """Close the connections."""
        await self._router.close()
        for endpoint in (*self.endpoints, *self._gone):
            await endpoint.close()

    def progress(self) -> Progress:
        """What is under way, and what is waited for."""
        seen = self._router.progress(len(self._open))
        return replace(seen, again=self._troubles.total(), throttled=self._troubles["throttled"])

    async def _attempt(self, endpoint: Endpoint, ask: Ask, keep: Keep) -> Completion | Trouble:
        """Ask once. What is final is kept, and everything is noted where it counts, before the slot is free again."""
        request, paid, goes_on = ask.request, None, False
        if self._budget is not None:
            try:
                await self._budget.reserve(request)
            except BaseException:
                self._router.take_back(ask, endpoint)
                raise
        try:
            if self._halted.is_set():
                paid = failure(request, endpoint.url, "halted", "not sent")
                self._router.take_back(ask, endpoint)
                raise Halted
            ask.attempts += 1
            sent_at = self._clock()
            ask.failed_at = min(ask.failed_at, sent_at)
            try:
                outcome = await self._exchange(endpoint, ask, sent_at)
            except BaseException:
                goes_on = endpoint.outlives
                self._router.cancelled(endpoint, ask)
                raise
            paid = outcome if isinstance(outcome, Completion) else outcome.paid
            goes_on = endpoint.outlives and isinstance(outcome, Trouble) and outcome.kind == "left"
            self._router.heard(endpoint, ask, sent_at, outcome)
            if isinstance(outcome, Trouble) and _may_be_its_own(outcome, endpoint):
                outcome = await self._give_up_or_not(endpoint, ask, outcome)
            if isinstance(outcome, Completion):
                await keep(outcome)
        finally:
            if self._budget is not None and not goes_on:
                self._budget.spent(request, paid)
        return outcome

    async def _exchange(self, endpoint: Endpoint, ask: Ask, sent_at: float) -> Completion | Trouble:
        """Send a request and make out what came back."""
        request, base = ask.request, endpoint.base
        capabilities = endpoint.capabilities.get(request.model, _DEFAULT)
        if ask.structure is not None:
            capabilities = replace(capabilities, structure=ask.structure)
        body = wire.body_of(request, capabilities)
        reply = await endpoint.ask(wire.PATHS[request.api], body)
        if isinstance(reply, Trouble):
            reached_nobody = reply.kind in {"unreachable", "left"}
            paid = failure(request, endpoint.url, reply.kind, reply.why) if reached_nobody else None
            return replace(reply, paid=paid)
        if reply.status >= 300:
            return self._read_refusal(endpoint, ask, base, capabilities, body, reply)
        sent, latency_s = wire.sent_form(request, body), self._clock() - sent_at
        answer = read_answer(request, reply, endpoint=endpoint.url, sent=sent, latency_s=latency_s)
        if isinstance(answer, Completion):
            return self._heard(endpoint, ask, answer)
        if isinstance(answer, Trouble):
            if endpoint.is_foreign(self._clock()):
                what = "this is no OpenAI-compatible server, or something stands before it"
                answer = replace(answer, kind="left", why=f"{endpoint.url}: {answer.why}; {what}")
            return answer
        refusal = self._read_refusal(endpoint, ask, base, capabilities, body, answer.reply)
        return _charged(refusal, answer.usage, reply)

    def _heard(self, endpoint: Endpoint, ask: Ask, answer: Completion) -> Completion | Trouble:
        """An answer, unless it is worth another try; that requests like this one are answered is noted."""
        request = ask.request
        if ask.hiccups < MOST_HICCUPS and (why := may_be_a_hiccup(answer, request)):
            ask.hiccups += 1
            return Trouble("malformed", why, paid=answer)
        self._answered.add(_kind_of_question(request))
        if ask.form not in endpoint.settled:
            endpoint.settled.add(ask.form)
            self._learned(endpoint.url, request.model, endpoint.capabilities.get(request.model, _DEFAULT))
        return answer

    def _read_refusal(
        self, endpoint: Endpoint, ask: Ask, base: str, capabilities: Capabilities, body: Mapping[str, Any], reply: Reply
    ) -> Completion | Trouble:
        """What an error status means; what the server is found not to take is remembered."""
        request = ask.request
        had_answers = _kind_of_question(request) in self._answered
        outcome = read_refusal(
            request, reply, capabilities, body, endpoint=endpoint, had_answers=had_answers, now=time.time()
        )
        if not isinstance(outcome, Trouble):
            return outcome
        if outcome.kind == "left" and reply.status in {404, 405} and "model" not in said(reply.content).words:
            if base == endpoint.base and endpoint.try_below():
                self._tell(f"{outcome.why}; trying /v1 below it")
            if base != endpoint.base:
                return replace(outcome, kind="form")
        if outcome.kind == "malformed":
            ask.malformed += 1
            if ask.malformed % _ENOUGH_MALFORMED == 0:
                outcome = replace(outcome, weaker=wire.weaker_structure(capabilities))
                if ask.form in endpoint.settled:
                    ask.structure = outcome.weaker.structure if outcome.weaker else None
                    return outcome
        if outcome.weaker is not None:
            self._remember(endpoint, ask, capabilities, outcome.weaker)
        return outcome

    def _remember(self, endpoint: Endpoint, ask: Ask, tried: Capabilities, weaker: Capabilities) -> None:
        """Send what comes in this form from now on, unless another answer has taught the same meanwhile."""
        model = ask.request.model
        known = endpoint.capabilities.get(model, _DEFAULT)
        if ask.structure is not None:
            ask.structure = weaker.structure
            tried, weaker = (replace(one, structure=known.structure) for one in (tried, weaker))
        if known == tried != weaker:
            endpoint.capabilities[model] = weaker
            self._tell(f"{endpoint.url}: {wire.difference(tried, weaker)} (the server refused the other form)")
            self._learned(endpoint.url, model, weaker)

    async def _give_up_or_not(self, endpoint: Endpoint, ask: Ask, trouble: Trouble) -> Completion | Trouble:
        """The final failure of a request that fails again and again while its endpoint answers others.

        Where nothing else is left to ask but what fails too, it counts that GET /models is answered.
        """
        answers = endpoint.answered_at > ask.failed_at
        ask.is_alone = not answers and all(other is ask or other.failures for other in self._open)
        if ask.is_alone and (endpoint.answered_at > float("-inf") or _kind_of_question(ask.request) in self._answered):
            reply = await endpoint.models()
            answers = isinstance(reply, Reply) and reply.status < 500
        ask.failed_at = self._clock()
        ask.faults += answers
        if ask.faults < TOO_MANY_FAULTS:
            return trouble
        if trouble.kind == "late":
            return failure(ask.request, endpoint.url, "timeout", f"{ask.faults} time-outs")
        told = f"{trouble.why} (failed {ask.faults} times while others were answered)"
        return failure(ask.request, endpoint.url, "server_error", told)

    def _wait_s(self, endpoint: Endpoint, ask: Ask, trouble: Trouble) -> float:
        """Seconds before a request is queued again; in an outage the queue itself waits."""
        if (
            trouble.kind in {"form", "left"}
            or trouble.weaker is not None
            or (endpoint.breaker.state != "closed" and trouble.retry_after_s is None)
        ):
            return 0.0
        now = self._clock()
        tries = 0 if trouble.kind == "late" else min(ask.attempts - 1, 7)
        if ask.is_alone:
            tries = min(tries, _LONGEST_ALONE)
        elif ask.attempts <= _CHANCE and now < endpoint.answered_at + _HEALTHY_S:
            tries = min(tries, 1)
        asked = trouble.retry_after_s
        if asked is None:
            wait = min(60.0, 0.5 * 2.0**tries) * self._jitter.uniform(0.75, 1.25)
        else:
            wait = max(asked + min(asked, 5.0) * self._jitter.uniform(0.0, 0.1), 0.1 * 2.0**tries)
        if asked is not None and asked > _SAID_S and now + asked > endpoint.said_until + _SAID_S:
            endpoint.said_until = now + asked
            self._tell(f"{endpoint.url}: {trouble.why}; the server asks to wait until {at(clock_time(asked))}")
        elif ask.attempts in {3, 6, 12} and now > endpoint.said_trouble_at + _TROUBLE_TOLD_EVERY_S:
            endpoint.said_trouble_at = now
            self._tell(f"{endpoint.url}: {trouble.why}; asking again in {wait:.0f} s")
        return wait

    async def _sleep(self, seconds: float) -> None:
        if seconds <= 0:
            return
        try:
            async with asyncio.timeout(seconds):
                await self._halted.wait()
        except TimeoutError:
            return
        raise Halted


def _charged(refusal: Completion | Trouble, usage: Mapping[str, Any] | None, reply: Reply) -> Completion | Trouble:
    """A refusal within a response of status 200, with what the server charged for it; None: nobody knows."""
    if isinstance(refusal, Completion):
        return replace(refusal, **(usage or {}), body=reply.content)
    paid = None if usage is None or refusal.paid is None else replace(refusal.paid, **usage)
    return replace(refusal, paid=paid)


async def _closed(endpoint: Endpoint, listing: Reply | Trouble, model: str | None) -> Reply | None:
    """The refusal of whoever asks there; None: questions may be answered, as far as can be known without paying."""
    if not isinstance(listing, Reply) or listing.status not in _CLOSED or model is None:
        return listing if isinstance(listing, Reply) and listing.status in _CLOSED else None
    reply = await endpoint.ask("/chat/completions", {"model": model, "messages": [], "max_tokens": 1})
    return reply if isinstance(reply, Reply) and reply.status in _CLOSED else None


def _may_be_its_own(trouble: Trouble, endpoint: Endpoint) -> bool:
    """Whether a failure may be the request's own fault. One of load is not, unless it was alone there."""
    return trouble.kind in {"late", "failed"} or (trouble.kind == "overloaded" and endpoint.throttle.in_flight == 0)


def _kind_of_question(request: Request) -> tuple[str, str, str]:
    return request.stage, request.model, canonical_json(request.sampling)
