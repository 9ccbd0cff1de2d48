"""The offline model behind a real HTTP server on loopback that speaks the OpenAI API."""

from __future__ import annotations

import asyncio
import contextlib
import signal
import socket
import threading
from collections import Counter
from collections.abc import Callable, Collection
from typing import Any, TypedDict, Unpack

from aiohttp import web

from selfinstruct.llm.offline.delivery import reset
from selfinstruct.llm.offline.faults import Faults
from selfinstruct.llm.offline.load import Latency, Load, Outage
from selfinstruct.llm.offline.protocol import Limits, Model
from selfinstruct.llm.offline.quirks import Quirks
from selfinstruct.llm.offline.service import Conduct, Service
from selfinstruct.llm.offline.writer import Style

HOST = "127.0.0.1"

_BACKLOG = 1024
_SHUTDOWN_S = 1.0


class Options(TypedDict, total=False):
    """What may be asked of a server beside its address, style and key."""

    latency_s: float
    """Short for a load with a fixed latency."""
    max_model_len: int | None
    refuse: Collection[str]
    """Parameters and response formats that get a 400."""
    load: Load
    faults: Faults
    quirks: Quirks | None
    echo_key: bool


def _conduct(style: Style, api_key: str | None, options: Options) -> Conduct:
    load = options.get("load", Load())
    if latency_s := options.get("latency_s", 0.0):
        load = Load(load.slots, Latency("fixed", latency_s), load.outages, load.rate_limit, load.token_limit)
    limits = Limits(options.get("max_model_len"), frozenset(options.get("refuse", ())))
    model = Model(style, options.get("quirks"), limits)
    return Conduct(model, load, options.get("faults", Faults()), api_key, options.get("echo_key", False))


async def serve(
    host: str = HOST,
    port: int = 0,
    style: Style = "tasks",
    api_key: str | None = None,
    *,
    on_ready: Callable[[str], None] = lambda _: None,
    **options: Unpack[Options],
) -> None:
    """Serves until cancelled; `on_ready` gets the base URL once requests can come. Raises: OSError for a taken port."""
    await _serve(Service(_conduct(style, api_key, options)), _bound(host, port), on_ready)


def run(
    host: str = HOST,
    port: int = 0,
    style: Style = "tasks",
    api_key: str | None = None,
    *,
    on_ready: Callable[[str], None] = lambda _: None,
    **options: Unpack[Options],
) -> None:
    """Serves in the foreground until SIGINT or SIGTERM. Raises: OSError for a taken port."""

    async def until_signalled() -> None:
        loop = asyncio.get_running_loop()
        server = asyncio.ensure_future(serve(host, port, style, api_key, on_ready=on_ready, **options))
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
        **options: Unpack[Options],
    ) -> None:
        self.base_url = ""
        """Set once the server is entered."""
        self._service = Service(_conduct(style, api_key, options))
        self._address = (host, port)
        self._thread: threading.Thread | None = None
        self._loop: asyncio.AbstractEventLoop | None = None
        self._stop: Callable[[], None] = lambda: None

    @property
    def seen(self) -> Counter[bytes]:
        """How often each exact request body came, by the first 16 bytes of its SHA-256."""
        return self._service.ledger.seen

    def stats(self, since_s: float | None = None) -> dict[str, Any]:
        """What `/stats` says; after the server has ended, what it said last."""
        if self._thread is None or self._loop is None:
            return self._service.stats(since_s)
        return asyncio.run_coroutine_threadsafe(_stats(self._service, since_s), self._loop).result()

    def __enter__(self) -> OfflineServer:
        sock = _bound(*self._address)
        ready = threading.Event()

        async def main() -> None:
            server = asyncio.ensure_future(_serve(self._service, sock, on_ready))
            loop = self._loop = asyncio.get_running_loop()

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


async def _stats(service: Service, since_s: float | None) -> dict[str, Any]:
    return service.stats(since_s)


def _bound(host: str, port: int) -> socket.socket:
    """A listening socket; bound before any thread starts, so that a taken port is the caller's error."""
    return socket.create_server((host, port), family=_family(host), backlog=_BACKLOG)


def _family(host: str) -> socket.AddressFamily:
    return socket.AF_INET6 if ":" in host else socket.AF_INET


async def _serve(service: Service, sock: socket.socket, on_ready: Callable[[str], None]) -> None:
    runner = web.AppRunner(service.app(), access_log=None, shutdown_timeout=_SHUTDOWN_S, handler_cancellation=True)
    await runner.setup()
    try:
        site = web.SockSite(runner, sock, backlog=_BACKLOG)
        await site.start()
        service.begin()
        host, port = sock.getsockname()[:2]
        on_ready(f"http://{f'[{host}]' if ':' in host else host}:{port}/v1")
        for outage in service.conduct.load.outages:
            if outage.refuses:
                site = await _refuse(service, runner, site, outage, (host, port))
        await asyncio.Event().wait()
    finally:
        service.end()
        await runner.cleanup()


async def _refuse(
    service: Service, runner: web.AppRunner, site: web.SockSite, outage: Outage, address: tuple[str, int]
) -> web.SockSite:
    """Waits for the outage, resets open connections, refuses new ones while it lasts; the site that serves afterwards.

    A socket that is bound and does not listen refuses connections and keeps the port from others.
    """
    await asyncio.sleep(max(0.0, outage.start_s - service.seconds()))
    await site.stop()
    server = runner.server
    for connection in server.connections if server is not None else ():
        reset(connection.transport)
    with contextlib.ExitStack() as stack:
        sock = stack.enter_context(_rebound(*address))
        await asyncio.sleep(max(0.0, outage.start_s + outage.length_s - service.seconds()))
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        site = web.SockSite(runner, sock, backlog=_BACKLOG)
        await site.start()
        stack.pop_all()
    return site


def _rebound(host: str, port: int) -> socket.socket:
    """A socket bound to a port that this server had until now, and shut to others."""
    with contextlib.ExitStack() as stack:
        sock = stack.enter_context(socket.socket(_family(host)))
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        sock.bind((host, port))
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 0)
        stack.pop_all()
    return sock
