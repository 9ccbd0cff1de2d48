"""Which request goes where and when: one queue, limits a minute, and the least loaded endpoint that may take more.

An endpoint in outage gets nothing but probes, GET /models first, then one request, with growing pauses between them.
"""

from __future__ import annotations

import asyncio
import contextlib
import heapq
import itertools
import random
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from selfinstruct.errors import AccessError, Halted
from selfinstruct.models.endpoint import Endpoint, listed
from selfinstruct.models.limits import Bucket, Clock, Heard
from selfinstruct.models.progress import Progress, at, clock_time
from selfinstruct.models.wire import Structure, Trouble
from selfinstruct.types import Completion, Request

Tell = Callable[[str], None]
Form = tuple[str, str]
"""The model, and `schema` or `plain`."""
Kind = tuple[Form, int]

_MOST_FAILURES = 3
_FOREVER = float("inf")
_BLIP_S = 5.0
"""After an outage no longer than this a server is taken to bear what it bore before."""
_LOAD: Mapping[str, Heard] = {"throttled": "refused", "overloaded": "overloaded", "late": "overloaded"}


@dataclass(eq=False, slots=True)
class Ask:
    """A request on its way to an answer. It keeps its place in the queue over all attempts."""

    request: Request
    priority: int
    """Smaller goes first."""
    number: int | None = None
    """By arrival."""
    form: Form = field(init=False)
    amounts: Mapping[str, float] = field(init=False)
    """What it takes of the limits a minute."""
    attempts: int = 0
    failures: int = 0
    """Failures that may be its own fault, three at most: those with fewer go first to a server in doubt."""
    faults: int = 0
    """Failures while its endpoint answered others."""
    failed_at: float = _FOREVER
    """When it failed last; before that, when it was first sent."""
    is_alone: bool = False
    """Whether, when it failed last, all else had been answered or had failed too."""
    hiccups: int = 0
    """How often its answer was empty or of an unknown form."""
    malformed: int = 0
    """How often in a row what the model wrote was not of the wanted form."""
    structure: Structure | None = None
    """A weaker form of structured answers than the endpoint takes, for this request alone."""

    def __post_init__(self) -> None:
        self.form = (self.request.model, "schema" if self.request.schema else "plain")
        self.amounts = {"requests": 1, "tokens": _estimated_tokens(self.request)}

    @property
    def kind(self) -> Kind:
        """What can be sent only if all before it of the same kind could."""
        return self.form, self.failures


class Slots:
    """How many requests are under way at once. Those that wait are served by priority, then arrival.

    A request is bound to no endpoint while it waits. Those that none can take yet hold up only others of their kind.
    """

    def __init__(self, size: int) -> None:
        self.most = size
        self.size = size
        self.taken = 0
        self.route: Callable[[Ask], Endpoint | None] = lambda _: None
        """Chooses where to send a request now and counts it there; None: nowhere yet. Raises: AccessError."""
        self.take_back: Callable[[Ask, Endpoint], None] = lambda *_: None
        """Undoes `route`, since nothing will be sent."""
        self._halted = False
        self._numbers = itertools.count()
        self._queues: dict[Kind, list[tuple[int, int, Ask, asyncio.Future[Endpoint]]]] = {}

    async def take(self, ask: Ask) -> Endpoint:
        """Wait for a slot; where to send the request.

        Raises:
            Halted: nothing more is sent.
            AccessError: no endpoint is left.
        """
        if self._halted:
            raise Halted
        if ask.number is None:
            ask.number = next(self._numbers)
        future: asyncio.Future[Endpoint] = asyncio.get_running_loop().create_future()
        heapq.heappush(self._queues.setdefault(ask.kind, []), (ask.priority, ask.number, ask, future))
        self.serve()
        try:
            return await future
        except asyncio.CancelledError:
            if future.done() and not future.cancelled() and future.exception() is None:
                self.take_back(ask, future.result())
                self.give_back()
            raise

    def give_back(self) -> None:
        """Free a slot, for the first of those that wait."""
        self.taken -= 1
        self.serve()

    def resize(self, size: int) -> None:
        """Have this many slots from now on, `most` at most; more than that are taken until they are given back."""
        self.size = min(size, self.most)
        self.serve()

    def halt(self) -> None:
        """Turn away all that wait, and all that come."""
        self._halted = True
        for *_, future in itertools.chain.from_iterable(self._queues.values()):
            if not future.done():
                future.set_exception(Halted())
        self._queues.clear()

    def serve(self) -> None:
        """Hand out free slots. To be called when an endpoint may have become able to take more."""
        stuck: set[Kind] = set()
        while self.taken < self.size:
            heads = [self._queues[kind][0] for kind in self._queues if kind not in stuck and self.waits(kind)]
            if not heads:
                return
            _, _, ask, future = min(heads)
            try:
                endpoint = self.route(ask)
            except AccessError as error:
                future.set_exception(error)
            else:
                if endpoint is None:
                    stuck.add(ask.kind)
                    continue
                self.taken += 1
                future.set_result(endpoint)
            heapq.heappop(self._queues[ask.kind])

    def waits(self, kind: Kind) -> bool:
        """Whether a request of this kind waits."""
        queue = self._queues.get(kind, [])
        while queue and queue[0][3].done():
            heapq.heappop(queue)
        return bool(queue)


class Router:
    """The endpoints of a role and what is under way to them."""

    def __init__(
        self,
        endpoints: list[Endpoint],
        slots: Slots,
        clock: Clock,
        tell: Tell,
        per_minute: Mapping[str, float | None],
    ) -> None:
        self.endpoints = endpoints
        """Those of its client, which may come and go."""
        self.context_lengths: dict[str, int] = {}
        """By model, the least that endpoints told when they were first asked; those that come take as much."""
        self._slots = slots
        slots.route, slots.take_back = self.route, self.take_back
        self._clock = clock
        self._tell = tell
        self._limits = {unit: Bucket(most, clock) for unit, most in per_minute.items() if most}
        self._under_way: dict[Ask, tuple[float, int]] = {}
        # since when, and the number its endpoint gave it
        self._jitter = random.Random()
        self._alarm: asyncio.TimerHandle | None = None
        self._probes: dict[Endpoint, asyncio.Task[None]] = {}
        self._is_halted = False
        self._woken = asyncio.Event()

    def route(self, ask: Ask) -> Endpoint | None:
        """The endpoint to send a request to now, with the request counted there; None: not yet.

        Raises:
            AccessError: no endpoint is left.
        """
        useful = [endpoint for endpoint in self.endpoints if not endpoint.left]
        if not useful:
            raise AccessError(self.endpoints[-1].left if self.endpoints else "no endpoint is configured")
        wait = max((bucket.wait_s(ask.amounts[unit]) for unit, bucket in self._limits.items()), default=0.0)
        if wait <= 0:
            now = self._clock()
            waits = {endpoint: self._wait_s(endpoint, ask, now) for endpoint in useful}
            ready = [endpoint for endpoint, seconds in waits.items() if seconds <= 0]
            if ready:
                chosen = min(ready, key=lambda endpoint: endpoint.load)
                self._send(chosen, ask, now)
                return chosen
            wait = min(waits.values())
        if wait < _FOREVER:
            self._serve_in(wait)
        return None

    def take_back(self, ask: Ask, endpoint: Endpoint) -> None:
        """Undo `route`: nothing was sent."""
        self.cancelled(endpoint, ask)
        for unit, bucket in self._limits.items():
            bucket.put_back(ask.amounts[unit])

    def heard(self, endpoint: Endpoint, ask: Ask, sent_at: float, outcome: Completion | Trouble) -> None:
        """Take note of how an attempt ended."""
        number = self._ended(endpoint, ask)
        paid = outcome if isinstance(outcome, Completion) else outcome.paid
        if paid is not None and "tokens" in self._limits:
            used = paid.prompt_tokens + paid.completion_tokens
            if used or paid.is_free:
                self._limits["tokens"].put_back(ask.amounts["tokens"] - used)
        if isinstance(outcome, Completion):
            if outcome.kind == "answer":
                endpoint.answered_at = self._clock()
            endpoint.throttle.answered(number, "ok" if outcome.kind == "answer" else "neither")
            self._is_alive(endpoint, sent_at)
            self._slots.serve()
            return
        heard = _LOAD.get(outcome.kind, "neither") if endpoint.breaker.state == "closed" else "neither"
        endpoint.throttle.answered(number, heard, outcome.retry_after_s)
        if outcome.kind in {"throttled", "form", "busy", "malformed", "unanswerable"}:
            self._is_alive(endpoint, sent_at)
        elif outcome.kind == "left":
            self._leave(endpoint, outcome.why)
        else:
            ask.failures = min(_MOST_FAILURES, ask.failures + 1)
            endpoint.breaker.failed(
                sent_at, outcome.why, of=ask, in_flight=endpoint.throttle.in_flight,
                is_refusal=outcome.kind == "unreachable",
            )  # fmt: skip
            self.watch(endpoint)

    def cancelled(self, endpoint: Endpoint, ask: Ask) -> None:
        """Take note that nobody waits for the answer any more."""
        if endpoint.breaker.state == "half open" and self._under_way[ask][0] >= endpoint.breaker.half_open_at:
            endpoint.breaker.is_probed = False
        endpoint.throttle.answered(self._ended(endpoint, ask), "neither")

    def watch(self, endpoint: Endpoint) -> None:
        """Probe an endpoint in outage until it answers."""
        is_here = endpoint in self.endpoints and not self._is_halted
        if is_here and endpoint.breaker.state == "open" and endpoint not in self._probes:
            self._probes[endpoint] = asyncio.create_task(self._probe(endpoint))

    def join(self, endpoint: Endpoint) -> None:
        """Use one more endpoint, once its server answers."""
        endpoint.breaker.open("it was not asked before")
        self.endpoints.append(endpoint)
        self.watch(endpoint)

    def leave(self, endpoint: Endpoint) -> None:
        """Send nothing more to an endpoint; what is under way there goes on."""
        self.endpoints.remove(endpoint)
        if endpoint in self._probes:
            self._probes[endpoint].cancel()

    def wake(self) -> None:
        """Let probes that wait go out now."""
        self._woken.set()
        self._woken.clear()

    def halt(self) -> None:
        """Probe nothing more."""
        self._is_halted = True
        for probe in self._probes.values():
            probe.cancel()

    async def close(self) -> None:
        """End probes and timers."""
        self.halt()
        await asyncio.gather(*self._probes.values(), return_exceptions=True)
        if self._alarm is not None:
            self._alarm.cancel()

    def progress(self, open_: int) -> Progress:
        """What is under way and what the client is waiting for, where this many requests have no answer yet."""
        now = self._clock()
        in_flight = len(self._under_way)
        oldest_s = now - next(iter(self._under_way.values()), (now, 0))[0]
        pauses = {endpoint: endpoint.pause_s(now) for endpoint in self.endpoints if not endpoint.left}
        paused_until = {endpoint.url: clock_time(pause) for endpoint, pause in pauses.items() if pause > 0}
        parts = [f"{_requests(in_flight)} in flight for up to {oldest_s:.0f} s"] if in_flight else []
        if open_ > in_flight and pauses and all(pauses.values()):
            parts += [_reason(endpoint, at(clock_time(pause))) for endpoint, pause in pauses.items()]
        elif open_ > in_flight:
            for unit, bucket in self._limits.items():
                if (wait := bucket.wait_s()) > 0:
                    limit = f"{bucket.per_minute:g} {unit} a minute"
                    parts.append(f"waiting for the limit of {limit} until {at(clock_time(wait))}")
        if not parts and open_:
            parts.append(f"waiting to ask {_requests(open_)} again")
        servers = sum(endpoint.breaker.state == "closed" for endpoint in pauses)
        return Progress(in_flight, open_ - in_flight, oldest_s, paused_until, "; ".join(parts), servers=servers)

    def _wait_s(self, endpoint: Endpoint, ask: Ask, now: float) -> float:
        if endpoint.breaker.state == "half open" and any(
            self._slots.waits((ask.form, failures)) for failures in range(ask.failures)
        ):
            return _FOREVER
        return endpoint.wait_s(ask.form, now)

    def _send(self, endpoint: Endpoint, ask: Ask, now: float) -> None:
        self._under_way[ask] = now, endpoint.throttle.sent()
        endpoint.sent += 1
        endpoint.breaker.is_probed = endpoint.breaker.state == "half open"
        if ask.form not in endpoint.settled:
            endpoint.trials.setdefault(ask.form, now)
        for unit, bucket in self._limits.items():
            bucket.take(ask.amounts[unit])

    def _ended(self, endpoint: Endpoint, ask: Ask) -> int:
        endpoint.trials.pop(ask.form, None)
        return self._under_way.pop(ask)[1]

    def _is_alive(self, endpoint: Endpoint, sent_at: float) -> None:
        if not endpoint.breaker.succeeded(sent_at):
            return
        outage_s = self._clock() - endpoint.breaker.opened_at
        if outage_s > _BLIP_S:
            endpoint.throttle.begin_again()
        if endpoint.said_outage:
            endpoint.said_outage = False
            self._tell(f"{endpoint.url} answers again after {outage_s:.0f} s")

    def _leave(self, endpoint: Endpoint, why: str) -> None:
        if not endpoint.left:
            endpoint.left = why
            if any(not other.left for other in self.endpoints):
                self._tell(f"{why}; going on with the other endpoints")

    async def _probe(self, endpoint: Endpoint) -> None:
        breaker = endpoint.breaker
        try:
            while breaker.state == "open":
                pause = breaker.pause_s * self._jitter.uniform(0.75, 1.0)
                endpoint.next_try_at = self._clock() + pause
                if breaker.failed_probes and not endpoint.said_outage:
                    endpoint.said_outage = True
                    alive = any(not one.left and one.breaker.state == "closed" for one in self.endpoints)
                    manner = "going on with the others" if alive else "waiting"
                    self._tell(f"{endpoint.url} does not answer ({breaker.why}); {manner}, next try in {pause:.0f} s")
                with contextlib.suppress(TimeoutError):
                    async with asyncio.timeout(pause):
                        await self._woken.wait()
                reply = await endpoint.models()
                if isinstance(reply, Trouble):
                    breaker.probe_failed(reply.why)
                elif reply.status >= 500 or (reply.status < 300 and not listed(reply)):
                    breaker.probe_failed(f"HTTP {reply.status}")
                elif short := self._too_short(endpoint):
                    self._leave(endpoint, short)
                    break
                else:
                    breaker.half_open()
        finally:
            del self._probes[endpoint]
        self._slots.serve()

    def _too_short(self, endpoint: Endpoint) -> str:
        """That requests may not fit into the context of an endpoint, in a line; empty: they do, as far as is known."""
        for model, length in endpoint.context_lengths.items():
            if length < (least := self.context_lengths.get(model, length)):
                return f"{endpoint.url}: {model} has a context of {length:,} tokens there, and {least:,} elsewhere"
        return ""

    def _serve_in(self, seconds: float) -> None:
        loop = asyncio.get_running_loop()
        when = loop.time() + max(0.001, seconds)
        if self._alarm is not None:
            if not self._alarm.cancelled() and loop.time() < self._alarm.when() <= when:
                return
            self._alarm.cancel()
        self._alarm = loop.call_at(when, self._slots.serve)


def _estimated_tokens(request: Request) -> int:
    """About what a request will use: a token for each four bytes of the messages, and as many as it allows."""
    prompt = sum(len(message.content.encode("utf-8", "surrogatepass")) for message in request.messages) // 4
    allowed = request.sampling.get("max_tokens") or request.sampling.get("max_completion_tokens") or 256
    return prompt + int(allowed)


def _requests(number: int) -> str:
    return "1 request" if number == 1 else f"{number} requests"


def _reason(endpoint: Endpoint, then: str) -> str:
    if endpoint.breaker.state != "closed":
        return f"{endpoint.url} does not answer ({endpoint.breaker.why}); next try at {then}"
    return f"waiting for the rate limit of {endpoint.url} until {then}"
