"""The offline model behind a real HTTP server on loopback that speaks the OpenAI API."""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import hmac
import json
import signal
import socket
import threading
from collections import Counter
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, field
from typing import Any

from aiohttp import web

from selfinstruct.llm.offline.protocol import (
    Limits,
    RequestError,
    answer_chat,
    answer_completion,
    model_card,
    model_not_found,
)
from selfinstruct.llm.offline.writer import MODEL, Style

HOST = "127.0.0.1"

_MAX_BODY_BYTES = 64 * 2**20
_BACKLOG = 1024
_SHUTDOWN_S = 1.0

Answer = Callable[[Mapping[str, Any], Style, Limits], dict[str, Any]]


@dataclass(slots=True)
class _Service:
    """The routes and what they count."""

    style: Style
    api_key: str | None
    latency_s: float
    limits: Limits
    seen: Counter[str] = field(default_factory=Counter)
    """Requests by the SHA-256 of their exact body."""
    refused: int = 0
    """How many of them were answered with an error."""
    in_flight: int = 0
    most_in_flight: int = 0

    def app(self) -> web.Application:
        """The application with its routes."""
        app = web.Application(client_max_size=_MAX_BODY_BYTES, middlewares=[self._errors_in_openai_form])
        app.add_routes(
            [
                web.get("/health", self._health),
                web.get("/stats", self._stats),
                web.get("/v1/models", self._models),
                web.get("/v1/models/{name}", self._model),
                web.post("/v1/chat/completions", self._chat),
                web.post("/v1/completions", self._completion),
            ]
        )
        return app

    @web.middleware
    async def _errors_in_openai_form(
        self, request: web.Request, handler: Callable[[web.Request], Any]
    ) -> web.StreamResponse:
        try:
            if request.path.startswith("/v1/"):
                self._check_key(request)
            response: web.StreamResponse = await handler(request)
        except RequestError as error:
            return web.json_response(error.payload, status=error.status)
        except (web.HTTPNotFound, web.HTTPMethodNotAllowed, web.HTTPRequestEntityTooLarge) as error:
            fault = RequestError(error.status, f"{error.reason}: {request.method} {request.path}")
            return web.json_response(fault.payload, status=fault.status)
        return response

    def _check_key(self, request: web.Request) -> None:
        if self.api_key is None:
            return
        given = request.headers.get("Authorization", "").removeprefix("Bearer ")
        if not hmac.compare_digest(given.encode(), self.api_key.encode()):
            raise RequestError(401, "Incorrect API key provided.", "invalid_api_key")

    async def _health(self, _: web.Request) -> web.Response:
        return web.json_response({"status": "ok", "model": MODEL, "style": self.style})

    async def _stats(self, _: web.Request) -> web.Response:
        requests, distinct = self.seen.total(), len(self.seen)
        counts = {"requests": requests, "distinct": distinct, "repeated": requests - distinct, "refused": self.refused}
        return web.json_response(counts | {"in_flight": self.in_flight, "most_in_flight": self.most_in_flight})

    async def _models(self, _: web.Request) -> web.Response:
        return web.json_response({"object": "list", "data": [model_card(self.limits)]})

    async def _model(self, request: web.Request) -> web.Response:
        if request.match_info["name"] != MODEL:
            raise model_not_found(request.match_info["name"])
        return web.json_response(model_card(self.limits))

    async def _chat(self, request: web.Request) -> web.StreamResponse:
        return await self._answer(request, answer_chat)

    async def _completion(self, request: web.Request) -> web.StreamResponse:
        return await self._answer(request, answer_completion)

    async def _answer(self, request: web.Request, answer: Answer) -> web.StreamResponse:
        raw = await request.read()
        self.seen[hashlib.sha256(raw).hexdigest()] += 1
        self.in_flight += 1
        self.most_in_flight = max(self.most_in_flight, self.in_flight)
        try:
            return await self._deliver(request, answer(_parsed(raw), self.style, self.limits))
        except RequestError:
            self.refused += 1
            raise
        finally:
            self.in_flight -= 1

    async def _deliver(self, request: web.Request, payload: dict[str, Any]) -> web.StreamResponse:
        """Sends the answer. The one place where time passes and where a fault of the transport would be put in."""
        del request
        if self.latency_s:
            await asyncio.sleep(self.latency_s)
        return web.json_response(payload)


def _parsed(raw: bytes) -> dict[str, Any]:
    try:
        body = json.loads(raw)
    except (ValueError, RecursionError):
        raise RequestError(400, "We could not parse the JSON body of your request.", "invalid_json") from None
    if not isinstance(body, dict):
        raise RequestError(400, "The JSON body of your request must be an object.", "invalid_json")
    return body


async def serve(
    host: str = HOST,
    port: int = 0,
    style: Style = "tasks",
    api_key: str | None = None,
    *,
    latency_s: float = 0.0,
    max_model_len: int | None = None,
    refuse: Collection[str] = (),
    on_ready: Callable[[str], None] = lambda _: None,
) -> None:
    """Serves until cancelled; `on_ready` gets the base URL once requests can come. Raises: OSError for a taken port."""
    await _serve(
        _Service(style, api_key, latency_s, Limits(max_model_len, frozenset(refuse))), _bound(host, port), on_ready
    )


def run(
    host: str = HOST,
    port: int = 0,
    style: Style = "tasks",
    api_key: str | None = None,
    *,
    latency_s: float = 0.0,
    max_model_len: int | None = None,
    refuse: Collection[str] = (),
    on_ready: Callable[[str], None] = lambda _: None,
) -> None:
    """Serves in the foreground until SIGINT or SIGTERM. Raises: OSError for a taken port."""

    async def until_signalled() -> None:
        loop = asyncio.get_running_loop()
        server = asyncio.ensure_future(
            serve(
                host, port, style, api_key,
                latency_s=latency_s, max_model_len=max_model_len, refuse=refuse, on_ready=on_ready,
            )
        )  # fmt: skip
        for number in (signal.SIGINT, signal.SIGTERM):
            loop.add_signal_handler(number, server.cancel)
        with contextlib.suppress(asyncio.CancelledError):
            await server

    asyncio.run(until_signalled())


class OfflineServer:
    """The server in a thread of its own: `with OfflineServer() as server: ... server.base_url`."""

    def __init__(
        self,
        port: int = 0,
        style: Style = "tasks",
        api_key: str | None = None,
        *,
        host: str = HOST,
        latency_s: float = 0.0,
        max_model_len: int | None = None,
        refuse: Collection[str] = (),
    ) -> None:
        self.base_url = ""
        """Set once the server is entered."""
        self._service = _Service(style, api_key, latency_s, Limits(max_model_len, frozenset(refuse)))
        self._address = (host, port)
        self._thread: threading.Thread | None = None
        self._stop: Callable[[], None] = lambda: None

    @property
    def seen(self) -> Counter[str]:
        """How often each exact request body came, by its SHA-256 in hexadecimal."""
        return self._service.seen

    def __enter__(self) -> OfflineServer:
        sock = _bound(*self._address)
        ready = threading.Event()

        async def main() -> None:
            server = asyncio.ensure_future(_serve(self._service, sock, on_ready))
            loop = asyncio.get_running_loop()

            def stop() -> None:
                loop.call_soon_threadsafe(server.cancel)

            self._stop = stop
            with contextlib.suppress(asyncio.CancelledError):
                await server

        def on_ready(base_url: str) -> None:
            self.base_url = base_url
            ready.set()

        self._thread = threading.Thread(target=asyncio.run, args=(main(),), name="offline-server", daemon=True)
        self._thread.start()
        ready.wait()
        return self

    def __exit__(self, *_: object) -> None:
        thread, self._thread = self._thread, None
        if thread is not None:
            self._stop()
            thread.join()


def _bound(host: str, port: int) -> socket.socket:
    """A listening socket; bound before any thread starts, so that a taken port is the caller's error."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    return socket.create_server((host, port), family=family, backlog=_BACKLOG)


async def _serve(service: _Service, sock: socket.socket, on_ready: Callable[[str], None]) -> None:
    runner = web.AppRunner(service.app(), access_log=None, shutdown_timeout=_SHUTDOWN_S)
    await runner.setup()
    try:
        await web.SockSite(runner, sock, backlog=_BACKLOG).start()
        host, port = sock.getsockname()[:2]
        on_ready(f"http://{f'[{host}]' if ':' in host else host}:{port}/v1")
        await asyncio.Event().wait()
    finally:
        await runner.cleanup()
