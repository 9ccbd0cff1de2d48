"""Where a request goes and when: the least loaded endpoint that may be sent more, within the limits a minute.

An endpoint in outage gets nothing but probes, GET /models first, then one request, with growing pauses between them.
"""

from __future__ import annotations

import asyncio
import contextlib
import random
from collections.abc import Callable, Mapping, Sequence

from selfinstruct.errors import AccessError
from selfinstruct.models.endpoint import Endpoint, listed
from selfinstruct.models.limits import Bucket, Clock, Heard
from selfinstruct.models.progress import Progress, at, clock_time
from selfinstruct.models.slots import Slots, Ticket
from selfinstruct.models.wire import Lost, Structure, Trouble, estimated_tokens
from selfinstruct.types import Completion, Request

_MOST_FAILURES = 3
_FOREVER = float("inf")
_BLIP_S = 5.0
"""After an outage no longer than this a server is taken to bear what it bore before."""
_LOAD: Mapping[str, Heard] = {"throttled": "refused", "overloaded": "overloaded", "late": "overloaded"}

Tell = Callable[[str], None]


class Ask(Ticket):
    """A request on its way to an answer."""

    def __init__(self, router: Router, request: Request, priority: int) -> None:
        super().__init__(priority, lambda: router.route(self), lambda endpoint: router.take_back(self, endpoint))
        self.request = request
        self.form = (request.model, "schema" if request.schema else "plain")
        self.tokens = estimated_tokens(request) if router.counts_tokens else 0
        self.attempts = 0
        self.failures = 0
        self.faults = 0
        """Failures while its endpoint answered others."""
        self.failed_at = float("inf")
        """When it failed last; before that, when it was first sent."""
        self.is_alone = False
        """Whether, when it failed last, all else had been answered or had failed too."""
        self.hiccups = 0
        """How often its answer was empty or of an unknown form."""
        self.malformed = 0
        """How often in a row what the model wrote was not of the wanted form."""
        self.structure: Structure | None = None
        """A weaker form of structured answers than the endpoint takes, for this request alone."""
        self._router = router
        self.fail(0)

    def fail(self, by: int = 1) -> None:
        """Count a failure that may be this request's own fault: those with fewer go first to a server in doubt."""
        self.failures = min(_MOST_FAILURES, self.failures + by)
        self.kind = self.kind_with(self.failures)

    def kind_with(self, failures: int) -> tuple[int, tuple[str, str], int]:
        """The queue of requests like this one with so many failures."""
        return id(self._router), self.form, failures


class Router:
    """The endpoints of a role and what is under way to them."""

    def __init__(
        self,
        endpoints: Sequence[Endpoint],
        slots: Slots,
        clock: Clock,
        tell: Tell,
        requests_per_minute: float | None,
        tokens_per_minute: float | None,
    ) -> None:
        self.endpoints = endpoints
        self._slots = slots
        self._clock = clock
        self._tell = tell
        self._requests = Bucket(requests_per_minute, clock) if requests_per_minute else None
        self._tokens = Bucket(tokens_per_minute, clock) if tokens_per_minute else None
        self._under_way: dict[Ask, tuple[float, int]] = {}
        # since when, and the number its endpoint gave it
        self._jitter = random.Random()
        self._alarm: asyncio.TimerHandle | None = None
        self._probes: dict[Endpoint, asyncio.Task[None]] = {}
        self._is_halted = False
        self._woken = asyncio.Event()

    @property
    def counts_tokens(self) -> bool:
        """Whether there is a limit of tokens."""
        return self._tokens is not None

    def route(self, ask: Ask) -> Endpoint | None:
        """The endpoint to send a request to now, with the request counted there; None: not yet.

        Raises:
            AccessError: no endpoint is left.
        """
        useful = [endpoint for endpoint in self.endpoints if not endpoint.left]
        if not useful:
            raise AccessError(self.endpoints[-1].left if self.endpoints else "no endpoint is configured")
        wait = self._limits_wait_s(ask.tokens)
        if wait <= 0:
            now = self._clock()
            wait, chosen = _FOREVER, None
            for endpoint in useful:
                seconds = self._wait_s(endpoint, ask, now)
                wait = min(wait, seconds)
                if seconds <= 0 and (chosen is None or endpoint.load < chosen.load):
                    chosen = endpoint
            if chosen is not None:
                self._send(chosen, ask, now)
                return chosen
        if wait < _FOREVER:
            self._serve_in(wait)
        return None

    def take_back(self, ask: Ask, endpoint: Endpoint) -> None:
        """Undo `route`: nothing was sent."""
        self.cancelled(endpoint, ask)
        if self._requests:
            self._requests.put_back(1)
        if self._tokens:
            self._tokens.put_back(ask.tokens)

    def heard(self, endpoint: Endpoint, ask: Ask, sent_at: float, outcome: Completion | Trouble) -> None:
        """Take note of how an attempt ended."""
        number = self._ended(endpoint, ask)
        self._correct_tokens(ask, outcome if isinstance(outcome, Completion) else outcome.paid)
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
            ask.fail()
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
        if endpoint.breaker.state == "open" and endpoint not in self._probes and not self._is_halted:
            self._probes[endpoint] = asyncio.create_task(self._probe(endpoint))

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
        """End all that runs beside."""
        self.halt()
        await asyncio.gather(*self._probes.values(), return_exceptions=True)
        if self._alarm is not None:
            self._alarm.cancel()

    def progress(self, open_: int) -> Progress:
        """What is under way and what is waited for, with so many requests handed over."""
        in_flight = len(self._under_way)
        oldest_s = self._clock() - next(iter(self._under_way.values()), (self._clock(), 0))[0]
        pauses = {endpoint: endpoint.pause_s(self._clock()) for endpoint in self.endpoints if not endpoint.left}
        paused_until = {endpoint.url: clock_time(pause) for endpoint, pause in pauses.items() if pause > 0}
        parts = [f"{_requests(in_flight)} in flight for up to {oldest_s:.0f} s"] if in_flight else []
        if open_ > in_flight and pauses and all(pause > 0 for pause in pauses.values()):
            parts += [_reason(endpoint, pause) for endpoint, pause in pauses.items()]
        elif open_ > in_flight:
            parts += self._limit_reason()
        if not parts and open_:
            parts.append(f"waiting to ask {_requests(open_)} again")
        return Progress(in_flight, open_ - in_flight, oldest_s, paused_until, "; ".join(parts))

    def _wait_s(self, endpoint: Endpoint, ask: Ask, now: float) -> float:
        if endpoint.breaker.state == "half open" and any(
            self._slots.waits(ask.kind_with(failures)) for failures in range(ask.failures)
        ):
            return _FOREVER
        return endpoint.wait_s(ask.form, now)

    def _limits_wait_s(self, tokens: int) -> float:
        wait = self._requests.wait_s() if self._requests else 0.0
        return max(wait, self._tokens.wait_s(tokens)) if self._tokens else wait

    def _send(self, endpoint: Endpoint, ask: Ask, now: float) -> None:
        self._under_way[ask] = now, endpoint.throttle.sent()
        endpoint.sent += 1
        endpoint.breaker.is_probed = endpoint.breaker.state == "half open"
        if ask.form not in endpoint.settled:
            endpoint.trials.setdefault(ask.form, now)
        if self._requests:
            self._requests.take()
        if self._tokens:
            self._tokens.take(ask.tokens)

    def _ended(self, endpoint: Endpoint, ask: Ask) -> int:
        endpoint.trials.pop(ask.form, None)
        return self._under_way.pop(ask)[1]

    def _correct_tokens(self, ask: Ask, paid: Completion | None) -> None:
        if self._tokens is None or paid is None:
            return
        used = paid.prompt_tokens + paid.completion_tokens
        if used or paid.is_free:
            self._tokens.put_back(ask.tokens - used)

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
                    await asyncio.wait_for(self._woken.wait(), pause)
                reply = await endpoint.models()
                if isinstance(reply, Lost):
                    breaker.probe_failed(reply.why)
                elif reply.status >= 500 or (reply.status < 300 and not listed(reply)):
                    breaker.probe_failed(f"HTTP {reply.status}")
                else:
                    breaker.half_open()
        finally:
            del self._probes[endpoint]
        self._slots.serve()

    def _serve_in(self, seconds: float) -> None:
        loop = asyncio.get_running_loop()
        when = loop.time() + max(0.001, seconds)
        if self._alarm is not None:
            if not self._alarm.cancelled() and loop.time() < self._alarm.when() <= when:
                return
            self._alarm.cancel()
        self._alarm = loop.call_at(when, self._slots.serve)

    def _limit_reason(self) -> list[str]:
        for bucket, unit in ((self._requests, "requests"), (self._tokens, "tokens")):
            wait = bucket.wait_s() if bucket else 0.0
            if bucket and wait > 0:
                return [f"waiting for the limit of {bucket.per_minute:g} {unit} a minute until {at(clock_time(wait))}"]
        return []


def _requests(number: int) -> str:
    return "1 request" if number == 1 else f"{number} requests"


def _reason(endpoint: Endpoint, pause_s: float) -> str:
    then = at(clock_time(pause_s))
    if endpoint.breaker.state != "closed":
        return f"{endpoint.url} does not answer ({endpoint.breaker.why}); next try at {then}"
    return f"waiting for the rate limit of {endpoint.url} until {then}"
