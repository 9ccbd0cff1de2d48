"""The routes of the offline server: who is let in, who meets a fault, who waits for a slot, and what is counted."""

from __future__ import annotations

import asyncio
import hashlib
import hmac
import json
import math
import time
from collections import Counter
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

from aiohttp import web

from selfinstruct.llm.offline.delivery import KEEPS_ITS_SLOT, faulty, hang
from selfinstruct.llm.offline.faults import Faults
from selfinstruct.llm.offline.load import Load, Outage
from selfinstruct.llm.offline.meter import Ledger, Meter, Minute
from selfinstruct.llm.offline.protocol import (
    Model,
    RequestError,
    answer_chat,
    answer_completion,
    model_card,
    model_not_found,
)
from selfinstruct.llm.offline.writer import MODEL

_MAX_BODY_BYTES = 64 * 2**20
_DIGEST_BYTES = 16

Answer = Callable[[Mapping[str, Any], Model], dict[str, Any]]


@dataclass(frozen=True, slots=True)
class Conduct:
    """Everything that may be asked of a server."""

    model: Model = field(default_factory=Model)
    load: Load = field(default_factory=Load)
    faults: Faults = field(default_factory=Faults)
    api_key: str | None = None
    echo_key: bool = False
    """Whether error bodies repeat the Authorization header, as some gateways do."""


@dataclass(frozen=True, slots=True)
class _Mark:
    """Where the counts stood at a time."""

    time: float
    slot_seconds: float = 0.0
    requests: int = 0
    answered: int = 0


class Service:
    """The routes and what they count. Used by one event loop only."""

    def __init__(self, conduct: Conduct, clock: Callable[[], float] = time.monotonic) -> None:
        self.conduct = conduct
        self._clock = clock
        self.begin()

    def begin(self) -> None:
        """Start the clock: outages are reckoned from now, and nothing has been counted."""
        now, slots = self._clock(), self.conduct.load.slots
        self._slots = asyncio.Semaphore(slots) if slots else None
        self._waiting = 0
        self._outcomes: Counter[str] = Counter()
        self._faults: Counter[str] = Counter()
        self._tokens: Counter[str] = Counter()
        self.ledger = Ledger(now)
        self._meter = Meter(now)
        self._let_in, self._tokens_let_in, self._tokens_asked = Minute(), Minute(), Minute()
        self._start = self._reset = _Mark(now)
        self._end: float | None = None

    def end(self) -> None:
        """Stop the clock."""
        self._end = self._clock()

    def app(self) -> web.Application:
        """The application with its routes."""
        app = web.Application(client_max_size=_MAX_BODY_BYTES, middlewares=[self._errors_in_openai_form])
        app.add_routes(
            [
                web.get("/health", self._health),
                web.get("/stats", self._show_stats),
                web.post("/stats/reset", self._reset_stats),
                web.get("/v1/models", self._models),
                web.get("/v1/models/{name}", self._model),
                web.post("/v1/chat/completions", self._chat),
                web.post("/v1/completions", self._completion),
            ]
        )
        return app

    def stats(self, since_s: float | None = None) -> dict[str, Any]:
        """What was counted; with `since_s` also how busy the slots were in the last so many seconds."""
        now = self._clock() if self._end is None else self._end
        requests = self.ledger.seen.total()
        stats = {
            "requests": requests,
            "distinct": len(self.ledger.seen),
            "repeated": requests - len(self.ledger.seen),
            "asked_again": dict(self.ledger.again),
            "answered": self._outcomes["answered"],
            "refused": self._outcomes["refused"],
            "abandoned": self._outcomes["abandoned"],
            "outage": self._outcomes["outage"],
            "rate_limited": self._outcomes["rate_limited"],
            "token_limited": self._outcomes["token_limited"],
            "faults": {kind: self._faults[kind] for kind in self.conduct.faults.rates},
            "in_flight": self.ledger.in_flight,
            "most_in_flight": self.ledger.most_in_flight,
            "slots": self.conduct.load.slots,
            "busy": self._meter.busy,
            "most_busy": self._meter.most_busy,
            "waiting": self._waiting,
            "prompt_tokens": self._tokens["prompt"],
            "completion_tokens": self._tokens["completion"],
            "requests_by_minute": list(self.ledger.by_minute),
            "most_requests_a_minute": self.ledger.minute.most,
            "most_tokens_a_minute": self._tokens_asked.most,
            "since_start": self._since(self._start, now),
            "since_reset": self._since(self._reset, now),
        }
        if since_s is not None:
            slot_seconds, start = self._meter.between(now - since_s, now)
            stats["window"] = self._busy_share(slot_seconds, now - start)
        return stats

    def _since(self, mark: _Mark, now: float) -> dict[str, Any]:
        here = self._mark(now)
        counts = {"requests": here.requests - mark.requests, "answered": here.answered - mark.answered}
        return self._busy_share(here.slot_seconds - mark.slot_seconds, now - mark.time) | counts

    def _mark(self, now: float) -> _Mark:
        return _Mark(now, self._meter.until(now), self.ledger.seen.total(), self._outcomes["answered"])

    def _busy_share(self, slot_seconds: float, seconds: float) -> dict[str, float | None]:
        slots = self.conduct.load.slots
        share = round(slot_seconds / (slots * seconds), 4) if slots and seconds > 0 else None
        return {"seconds": round(seconds, 3), "busy_slot_seconds": round(slot_seconds, 3), "busy_share": share}

    @web.middleware
    async def _errors_in_openai_form(
        self, request: web.Request, handler: Callable[[web.Request], Any]
    ) -> web.StreamResponse:
        try:
            if request.path.startswith("/v1/"):
                self._check_key(request)
            response: web.StreamResponse = await handler(request)
        except RequestError as error:
            fault = error
        except (web.HTTPNotFound, web.HTTPMethodNotAllowed, web.HTTPRequestEntityTooLarge) as error:
            fault = RequestError(error.status, f"{error.reason}: {request.method} {request.path}")
        else:
            return response
        fault.message += self._echo(request)
        return web.json_response(fault.payload, status=fault.status, headers=fault.headers)

    def _echo(self, request: web.Request) -> str:
        return f" (Authorization: {request.headers.get('Authorization', '')})" if self.conduct.echo_key else ""

    def _check_key(self, request: web.Request) -> None:
        if self.conduct.api_key is None:
            return
        given = request.headers.get("Authorization", "").removeprefix("Bearer ")
        if not hmac.compare_digest(given.encode(), self.conduct.api_key.encode()):
            raise RequestError(401, "Incorrect API key provided.", "invalid_api_key")

    async def _health(self, _: web.Request) -> web.Response:
        return web.json_response({"status": "ok", "model": MODEL, "style": self.conduct.model.style})

    async def _show_stats(self, request: web.Request) -> web.Response:
        since = request.query.get("since")
        try:
            since_s = None if since is None else float(since)
        except ValueError:
            since_s = math.nan
        if since_s is not None and not 0 < since_s < math.inf:
            raise RequestError(400, f"Invalid value for 'since': {since!r}. It must be a number of seconds.")
        return web.json_response(self.stats(since_s))

    async def _reset_stats(self, _: web.Request) -> web.Response:
        self._reset = self._mark(self._clock())
        return web.json_response({"status": "ok"})

    async def _models(self, _: web.Request) -> web.Response:
        self._check_outage()
        return web.json_response({"object": "list", "data": [model_card(self.conduct.model.limits)]})

    async def _model(self, request: web.Request) -> web.Response:
        self._check_outage()
        if request.match_info["name"] != MODEL:
            raise model_not_found(request.match_info["name"])
        return web.json_response(model_card(self.conduct.model.limits))

    async def _chat(self, request: web.Request) -> web.StreamResponse:
        return await self._answer(request, answer_chat)

    async def _completion(self, request: web.Request) -> web.StreamResponse:
        return await self._answer(request, answer_completion)

    async def _answer(self, request: web.Request, answer: Answer) -> web.StreamResponse:
        raw = await request.read()
        body = hashlib.sha256(raw).digest()[:_DIGEST_BYTES]
        self.ledger.arrive(self._clock(), body)
        outcome = "abandoned"
        try:
            turned_away = self._turned_away(body)
            payload: dict[str, Any] = {}
            if turned_away is None:
                payload = answer(_parsed(raw), self.conduct.model)
                turned_away = self._over_token_limit(body, payload["usage"]["total_tokens"])
            if turned_away is not None:
                outcome = "turned_away"
                raise turned_away
            kind = self.conduct.faults.at(body, self.ledger.attempt(body))
            if kind is not None:
                self._faults[kind] += 1
                if kind != "slow":
                    outcome = "fault"
            response = await self._deliver(request, body, payload, kind)
            if outcome == "abandoned":
                outcome = "answered"
                self._tokens["prompt"] += payload["usage"]["prompt_tokens"]
                self._tokens["completion"] += payload["usage"]["completion_tokens"]
        except RequestError:
            if outcome == "abandoned":
                outcome = "refused"
            raise
        else:
            return response
        finally:
            self._outcomes[outcome] += 1
            self.ledger.leave(body, was_answered=outcome in {"answered", "refused"})

    async def _deliver(
        self, request: web.Request, body: bytes, payload: dict[str, Any], kind: str | None
    ) -> web.StreamResponse:
        """Sends the answer, or what a fault makes of it. The one place where time passes."""
        faults = self.conduct.faults
        if kind is not None and kind not in KEEPS_ITS_SLOT:
            return await faulty(request, kind, faults, payload, self._echo(request))
        seconds = self.conduct.load.latency.of(body)
        if kind == "slow":
            seconds += faults.seconds(kind) or 0.0
        async with self._slot():
            if kind == "hang":
                await hang()
            if seconds:
                await asyncio.sleep(seconds)
        if kind == "cut":
            return await faulty(request, kind, faults, payload, self._echo(request))
        return web.json_response(payload)

    @asynccontextmanager
    async def _slot(self) -> AsyncIterator[None]:
        """One of the slots, as soon as one is free."""
        if self._slots is not None:
            self._waiting += 1
            try:
                await self._slots.acquire()
            finally:
                self._waiting -= 1
        self._meter.change(self._clock(), 1)
        try:
            yield
        finally:
            self._meter.change(self._clock(), -1)
            if self._slots is not None:
                self._slots.release()

    def seconds(self) -> float:
        """Seconds since the start."""
        return self._clock() - self._start.time

    def outage(self) -> Outage | None:
        """The outage that is going on."""
        seconds = self.seconds()
        outages = self.conduct.load.outages
        return next((out for out in outages if out.start_s <= seconds < out.start_s + out.length_s), None)

    def _check_outage(self) -> None:
        if self.outage() is not None:
            raise RequestError(503, "The server is not available; this is an outage given on request.")

    def _turned_away(self, body: bytes) -> RequestError | None:
        """The error of a request that meets an outage or comes too soon; None lets it in."""
        try:
            self._check_outage()
        except RequestError as error:
            self._outcomes["outage"] += 1
            self.ledger.turn_away(body)
            return error
        limit, now = self.conduct.load.rate_limit, self._clock()
        if limit is None:
            return None
        if wait_s := self._let_in.wait(now, 1, limit):
            self._outcomes["rate_limited"] += 1
            self.ledger.turn_away(body)
            return _too_soon(f"{limit} requests a minute", wait_s)
        self._let_in.add(now)
        return None

    def _over_token_limit(self, body: bytes, tokens: int) -> RequestError | None:
        """The error of a request with so many tokens, if they are too many for now; None lets it in."""
        limit, now = self.conduct.load.token_limit, self._clock()
        self._tokens_asked.add(now, tokens)
        if limit is None:
            return None
        if wait_s := self._tokens_let_in.wait(now, tokens, limit):
            self._outcomes["token_limited"] += 1
            self.ledger.turn_away(body)
            return _too_soon(f"{limit} tokens a minute", wait_s)
        self._tokens_let_in.add(now, tokens)
        return None


def _too_soon(limit: str, wait_s: float) -> RequestError:
    wait_s = math.ceil(wait_s)
    message = f"Rate limit reached: {limit}. Please try again in {wait_s} s."
    return RequestError(429, message, "rate_limit_exceeded", retry_after_s=wait_s)


def _parsed(raw: bytes) -> dict[str, Any]:
    try:
        body = json.loads(raw)
    except (ValueError, RecursionError):
        raise RequestError(400, "We could not parse the JSON body of your request.", "invalid_json") from None
    if not isinstance(body, dict):
        raise RequestError(400, "The JSON body of your request must be an object.", "invalid_json")
    return body
