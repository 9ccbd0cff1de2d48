"""The built-in model as a real HTTP server on loopback that speaks the OpenAI API, with load, limits and faults.

Here is decided who is let in, who meets a fault, who waits for a slot, and what is counted.
"""

from __future__ import annotations

import asyncio
import hashlib
import json
import math
import signal
import socket
import struct
import threading
import time
from collections import Counter
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from http import HTTPStatus
from pathlib import Path
from typing import Any

from aiohttp import web

from selfinstruct.errors import ConfigError
from selfinstruct.models.offline import options, protocol
from selfinstruct.models.offline.batches import Batches
from selfinstruct.models.offline.book import book_of
from selfinstruct.models.offline.counts import TURNED_AWAY, BodyCounts, Meter, Minute
from selfinstruct.models.offline.protocol import Model, RequestError
from selfinstruct.models.offline.reply import MODEL, Style
from selfinstruct.seeds.reading import read_seeds

HOST = "127.0.0.1"

_BACKLOG = 1024
_PAGE = "<!doctype html>\n<title>Gateway{echo}</title>\n<h1>This is a page for people</h1>\n<p>It is no answer.</p>\n"
_RESET_ON_CLOSE = struct.pack("ii", 1, 0)


class OfflineServer:
    """The server in a thread of its own: `with OfflineServer(slots=8) as server: ... server.base_url`.

    Its options are those of the command `offline-server`, in the same words; entered only once.

    Raises:
        ConfigError: an option that does not fit.
        SeedError: a file of tasks that cannot be read.
        OSError: when entered, for a taken port.
    """

    def __init__(
        self, *, port: int = 0, style: Style = "tasks", tasks: Path | None = None, api_key: str | None = None,
        slots: int | None = None, latency: str | None = None, rate_limit: int | None = None,
        token_limit: int | None = None, outage: str | None = None, fault: str | None = None, quirk: str | None = None,
        echo_key: bool = False, batches: str | None = None,
    ) -> None:  # fmt: skip
        self.base_url = ""
        """Set once the server is entered."""
        if tasks is not None and style == "words":
            raise ConfigError("--tasks: the style words answers from no tasks; leave one of the two out")
        book = None if tasks is None else book_of(read_seeds(tasks))
        self.model = Model(style, None if quirk is None else options.parse_quirks(quirk), book)
        self.answers = {"chat/completions": protocol.answer_chat, "completions": protocol.answer_completion}
        """What answers the body of a request, by its path."""
        self.batches = Batches(
            lambda path, body: self.answers[path](body, self.model), options.parse_batches(batches or "")
        )
        """Files and batches; what they answer is not counted with the other requests."""
        self._port, self._api_key, self._echo_key = port, api_key, echo_key
        self._most_slots, self._rate_limit, self._token_limit = slots, rate_limit, token_limit
        self._latency = options.parse_latency(latency or "fixed:0")
        self._outages = options.parse_outages(outage or "")
        self._faults = options.parse_faults(fault or "")
        self._thread: threading.Thread | None = None
        self._stopped = asyncio.Event()
        self._slots = asyncio.Semaphore(slots) if slots else None
        self._waiting = 0
        self._faults_given: Counter[str] = Counter()
        self._tokens: Counter[str] = Counter()
        self._let_in, self._tokens_let_in, self._tokens_asked = Minute(), Minute(), Minute()
        self._start, self._end = time.monotonic(), math.inf
        self._ledger, self._meter = BodyCounts(), Meter(self._start)

    def __enter__(self) -> OfflineServer:
        self._socket = socket.create_server((HOST, self._port), backlog=_BACKLOG)
        self._port = self._socket.getsockname()[1]
        self.base_url = f"http://{HOST}:{self._port}/v1"
        self._runner = asyncio.Runner(loop_factory=asyncio.new_event_loop)
        self._loop = self._runner.get_loop()
        self._thread = threading.Thread(target=self._run, name="offline-server", daemon=True)
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        thread, self._thread = self._thread, None
        if thread is not None:
            self._loop.call_soon_threadsafe(self._stopped.set)
            thread.join()

    def _run(self) -> None:
        with self._runner:
            self._runner.run(self._serve())

    async def _serve(self) -> None:
        app = web.Application(client_max_size=256 * 2**20, middlewares=[self._in_openais_form])
        app.add_routes([web.get("/health", self._health), web.get("/stats", self._show_stats)])
        app.add_routes(web.get(path, self._models) for path in ("/v1/models", "/v1/models/{name}"))
        app.add_routes(web.post(f"/v1/{path}", self._answer) for path in self.answers)
        app.add_routes(self.batches.routes())
        runner = web.AppRunner(app, access_log=None, shutdown_timeout=1.0, handler_cancellation=True)
        await runner.setup()
        await web.SockSite(runner, self._socket, backlog=_BACKLOG).start()
        refusing = asyncio.create_task(self._refuse_connections(runner))
        await self._stopped.wait()
        self._end = time.monotonic()
        refusing.cancel()
        await runner.cleanup()
        self._socket.close()

    async def _refuse_connections(self, runner: web.AppRunner) -> None:
        """In each outage of connections, resets the open ones and refuses new ones.

        A socket that is bound and does not listen refuses connections and keeps the port from others.
        """
        for outage in self._outages:
            if not outage.refuses:
                continue
            await asyncio.sleep(outage.start_s - self._seconds())
            for site in runner.sites:
                await site.stop()
            for connection in runner.server.connections if runner.server else ():
                _reset(connection.transport)
            self._socket = socket.socket()
            self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            self._socket.bind((HOST, self._port))
            self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 0)
            await asyncio.sleep(outage.end_s - self._seconds())
            self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            await web.SockSite(runner, self._socket, backlog=_BACKLOG).start()

    def _seconds(self) -> float:
        return time.monotonic() - self._start

    @property
    def seen(self) -> Counter[bytes]:
        """How often each exact request body came, by the first 16 bytes of its SHA-256."""
        return self._ledger.seen

    def lock(self, api_key: str) -> None:
        """Demand another key from now on."""
        self._api_key = api_key

    def stats(self, since_s: float | None = None) -> dict[str, Any]:
        """What `/stats` says; after the server has ended, what it said last."""

        async def read() -> dict[str, Any]:
            return self._stats(since_s)

        if self._thread is None:
            return self._stats(since_s)
        return asyncio.run_coroutine_threadsafe(read(), self._loop).result()

    def _stats(self, since_s: float | None) -> dict[str, Any]:
        now, ledger, meter = min(time.monotonic(), self._end), self._ledger, self._meter
        requests, tokens = ledger.seen.total(), self._tokens
        stats = {
            "requests": requests, "distinct": len(ledger.seen), "repeated": requests - len(ledger.seen),
            "asked_again": dict(ledger.again), "in_flight": ledger.in_flight, "most_in_flight": ledger.most_in_flight,
            **{outcome: ledger.outcomes[outcome] for outcome in ("answered", "refused", "abandoned", *TURNED_AWAY)},
            "faults": {kind: self._faults_given[kind] for kind in self._faults},
            "slots": self._most_slots, "busy": meter.busy, "most_busy": meter.most_busy, "waiting": self._waiting,
            "prompt_tokens": tokens["prompt_tokens"], "completion_tokens": tokens["completion_tokens"],
            "most_requests_a_minute": ledger.minute.most, "most_tokens_a_minute": self._tokens_asked.most,
            "since_start": self._busy_share(meter.until(now), now - self._start),
        }  # fmt: skip
        if since_s is not None:
            slot_seconds, start = meter.since(now - since_s, now)
            stats["window"] = self._busy_share(slot_seconds, now - start)
        return stats

    def _busy_share(self, slot_seconds: float, seconds: float) -> dict[str, float | None]:
        share = round(slot_seconds / (self._most_slots * seconds), 4) if self._most_slots and seconds > 0 else None
        return {"seconds": round(seconds, 3), "busy_slot_seconds": round(slot_seconds, 3), "busy_share": share}

    @web.middleware
    async def _in_openais_form(self, request: web.Request, handler: Callable[[web.Request], Any]) -> web.StreamResponse:
        try:
            self._check_key(request)
            response: web.StreamResponse = await handler(request)
        except RequestError as error:
            fault = error
        except (web.HTTPNotFound, web.HTTPMethodNotAllowed, web.HTTPRequestEntityTooLarge) as error:
            fault = RequestError(error.status, f"{error.reason}: {request.method} {request.path}")
        else:
            return response
        fault.error["message"] = f"{fault.error['message']}{self._echo(request)}"
        return web.json_response({"error": fault.error}, status=fault.status, headers=fault.headers)

    def _check_key(self, request: web.Request) -> None:
        is_right = request.headers.get("Authorization") == f"Bearer {self._api_key}"
        if self._api_key is not None and not is_right and request.path.startswith("/v1/"):
            raise RequestError(401, "Incorrect API key provided.", "invalid_api_key")

    def _echo(self, request: web.Request) -> str:
        return f" (Authorization: {request.headers.get('Authorization', '')})" if self._echo_key else ""

    async def _health(self, _: web.Request) -> web.Response:
        return web.json_response({"status": "ok", "model": MODEL, "style": self.model.style})

    async def _show_stats(self, request: web.Request) -> web.Response:
        since = request.query.get("since")
        try:
            since_s = None if since is None else float(since)
        except ValueError:
            since_s = math.nan
        if since_s is None or 0 < since_s < math.inf:
            return web.json_response(self._stats(since_s))
        raise RequestError(400, f"Invalid value for 'since': {since!r}. It must be a number of seconds.")

    async def _models(self, request: web.Request) -> web.Response:
        self._check_outage()
        name = request.match_info.get("name")
        if name not in (None, MODEL):
            raise protocol.model_not_found(name)
        return web.json_response(protocol.CARD if name else {"object": "list", "data": [protocol.CARD]})

    async def _answer(self, request: web.Request) -> web.StreamResponse:
        raw = await request.read()
        body = hashlib.sha256(raw).digest()[:16]
        self._ledger.arrive(time.monotonic(), body)
        outcome = "abandoned"
        try:
            self._check_outage()
            self._check_limit(self._let_in, 1, self._rate_limit, "requests", "rate_limited")
            payload = self.answers[request.path.removeprefix("/v1/")](_parsed(raw), self.model)
            tokens = payload["usage"]["total_tokens"]
            self._tokens_asked.add(time.monotonic(), tokens)
            self._check_limit(self._tokens_let_in, tokens, self._token_limit, "tokens", "token_limited")
            kind = options.fault_at(self._faults, body, self._ledger.attempt(body))
            if kind is not None:
                self._faults_given[kind] += 1
                outcome = "abandoned" if kind == "slow" else "fault"
            response = await self._deliver(request, body, payload, kind)
            if outcome == "abandoned":
                outcome = "answered"
                self._tokens.update(payload["usage"])
        except RequestError as error:
            outcome = error.outcome
            raise
        else:
            return response
        finally:
            self._ledger.leave(body, outcome)

    def _check_outage(self) -> None:
        if any(outage.start_s <= self._seconds() < outage.end_s for outage in self._outages):
            raise RequestError(503, "This is an outage given on request.", outcome="outage")

    def _check_limit(self, let_in: Minute, amount: int, limit: int | None, what: str, outcome: str) -> None:
        """Lets in what fits within the limit of a minute. Raises: RequestError, which says when to come again."""
        now = time.monotonic()
        if limit is None:
            return
        if wait_s := math.ceil(let_in.wait(now, amount, limit)):
            message = f"Rate limit reached: {limit} {what} a minute. Please try again in {wait_s} s."
            raise RequestError(429, message, "rate_limit_exceeded", outcome=outcome, retry_after_s=wait_s)
        let_in.add(now, amount)

    async def _deliver(
        self, request: web.Request, body: bytes, payload: dict[str, Any], kind: str | None
    ) -> web.StreamResponse:
        """Sends the answer, or what a fault makes of it. The one place where time passes."""
        seconds = self._faults[kind].seconds if kind else None
        if kind in options.STATUSES:
            message = f"{HTTPStatus(int(kind)).phrase}: this is a fault given on request."
            code = "rate_limit_exceeded" if kind == "429" else None
            raise RequestError(int(kind), message, code, outcome="fault", retry_after_s=seconds)
        if kind == "drop":
            _reset(request.transport)
        if kind == "html":
            return web.Response(text=_PAGE.format(echo=self._echo(request)), content_type="text/html")
        if kind in {"empty", "abort", "drop"}:
            return web.json_response(protocol.aborted(payload) if kind == "abort" else {**payload, "choices": []})
        async with self._slot():
            if kind == "hang":
                await asyncio.Event().wait()
            await asyncio.sleep(self._latency(body) + (seconds or 0.0))
        return await _cut(request, payload) if kind == "cut" else web.json_response(payload)

    @asynccontextmanager
    async def _slot(self) -> AsyncIterator[None]:
        """One of the slots, as soon as one is free."""
        if self._slots is not None:
            self._waiting += 1
            try:
                await self._slots.acquire()
            finally:
                self._waiting -= 1
        self._meter.change(time.monotonic(), 1)
        try:
            yield
        finally:
            self._meter.change(time.monotonic(), -1)
            if self._slots is not None:
                self._slots.release()


def serve(server: OfflineServer, on_ready: Callable[[str], None]) -> None:
    """Serves until SIGINT or SIGTERM; `on_ready` gets the base URL. Raises: OSError for a taken port."""
    ended = threading.Event()
    with server:
        for number in (signal.SIGINT, signal.SIGTERM):
            signal.signal(number, lambda *_: ended.set())
        on_ready(server.base_url)
        ended.wait()


async def _cut(request: web.Request, payload: dict[str, Any]) -> web.StreamResponse:
    """Half of the body that its head announces."""
    body = json.dumps(payload).encode()
    response = web.StreamResponse(headers={"Content-Type": "application/json", "Content-Length": str(len(body))})
    await response.prepare(request)
    await response.write(body[: len(body) // 2])
    if request.transport is not None:
        request.transport.close()
    return response


def _reset(transport: asyncio.BaseTransport | None) -> None:
    """Close a connection so that the other side sees it reset, not ended."""
    if isinstance(transport, asyncio.Transport):
        if (sock := transport.get_extra_info("socket")) is not None:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET_ON_CLOSE)
        transport.abort()


def _parsed(raw: bytes) -> dict[str, Any]:
    try:
        body = json.loads(raw)
    except (ValueError, RecursionError):
        body = None
    if not isinstance(body, dict):
        raise RequestError(400, "The body of your request must be a JSON object.", "invalid_json")
    return body
