"""A real HTTP server whose answers a test decides."""

from __future__ import annotations

import asyncio
import contextlib
import json
import socket
import ssl
import threading
from collections.abc import Awaitable, Callable, Iterator, Mapping, Sequence
from typing import Any

from aiohttp import web

from selfinstruct.models.offline.options import parse_quirks
from selfinstruct.models.offline.protocol import CARD, Model, RequestError, answer_chat, answer_completion, count_tokens

Answer = Callable[[int, str, dict[str, Any], web.Request], Awaitable[web.StreamResponse]]
"""(how many requests came before, path, body, request) -> response."""


def completion(text: str, finish_reason: str = "stop", **usage: int) -> web.Response:
    """An answer in OpenAI's form, for both APIs."""
    choice = {
        "index": 0,
        "finish_reason": finish_reason,
        "text": text,
        "message": {"role": "assistant", "content": text},
    }
    counted = {"prompt_tokens": 7, "completion_tokens": 3, **usage}
    return web.json_response({"id": "x", "object": "completion", "choices": [choice], "usage": counted})


def error(status: int, message: str, headers: dict[str, str] | None = None, **more: Any) -> web.Response:
    """An error in OpenAI's form."""
    return web.json_response({"error": {"message": message, "type": "error", **more}}, status=status, headers=headers)


def says(choose: Callable[[int, dict[str, Any]], web.StreamResponse | None]) -> Answer:
    """What a server answers that is chosen by how many requests came before and the body; None: `fine`."""

    async def answer(place: int, _: str, body: dict[str, Any], __: web.Request) -> web.StreamResponse:
        return choose(place, body) or completion("fine")

    return answer


@contextlib.contextmanager
def held_port() -> Iterator[int]:
    """A port that nobody else gets: it refuses connections but while a `ScriptedServer` of this port is entered."""
    with socket.socket() as held:
        held.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        held.bind(("127.0.0.1", 0))
        port: int = held.getsockname()[1]
        yield port


class ScriptedServer:
    """Serves `/v1/...` on loopback in a thread; `bodies` are the POST bodies in the order they came.

    `models` are the names it lists, or the cards. While `is_up` is not set, every request gets a 503. The port is a
    free one unless a held one is given; the server may be entered again after it was left.
    """

    def __init__(
        self, answer: Answer, models: Sequence[str | dict[str, Any]] = ("m",), port: int = 0,
        tls: ssl.SSLContext | None = None, host: str = "127.0.0.1",
    ) -> None:  # fmt: skip
        self._answer = answer
        self._models = models
        self._host, self._port = host, port
        self._tls = tls
        self.is_up = threading.Event()
        self.is_up.set()
        self.probes = 0
        self.bodies: list[dict[str, Any]] = []
        self.keys: list[str] = []
        self.base_url = ""

    def __enter__(self) -> ScriptedServer:
        self._loop = asyncio.new_event_loop()
        self._ready = threading.Event()
        self._thread = threading.Thread(target=self._serve, daemon=True)
        self._thread.start()
        assert self._ready.wait(60), "the server does not start"
        return self

    def __exit__(self, *_: object) -> None:
        self._loop.call_soon_threadsafe(self._stop.set)
        self._thread.join(60)
        self._loop.close()

    def _serve(self) -> None:
        asyncio.set_event_loop(self._loop)
        self._loop.run_until_complete(self._run())

    async def _run(self) -> None:
        self._stop = asyncio.Event()
        app = web.Application()
        self.add_routes(app)
        runner = web.AppRunner(app, handle_signals=False, shutdown_timeout=0.1)
        await runner.setup()
        site = web.TCPSite(runner, self._host, self._port, reuse_port=bool(self._port), ssl_context=self._tls)
        await site.start()
        port = runner.addresses[0][1]
        self.base_url = f"http{'s' if self._tls else ''}://{self._host}:{port}/v1"
        self._ready.set()
        await self._stop.wait()
        await runner.cleanup()

    def add_routes(self, app: web.Application) -> None:
        """What is served where."""
        app.router.add_get("/v1/models", self._list)
        app.router.add_post("/v1/{path:.*}", self._post)

    async def _list(self, request: web.Request) -> web.Response:
        self.keys.append(request.headers.get("Authorization", ""))
        self.probes += 1
        if not self.is_up.is_set():
            return error(503, "down")
        cards = [model if isinstance(model, dict) else {"id": model, "object": "model"} for model in self._models]
        return web.json_response({"object": "list", "data": cards})

    async def _post(self, request: web.Request) -> web.StreamResponse:
        body = json.loads(await request.read())
        place = len(self.bodies)
        self.bodies.append(body)
        self.keys.append(request.headers.get("Authorization", ""))
        if not self.is_up.is_set():
            return error(503, "down")
        return await self._answer(place, request.match_info["path"], body, request)


class GatedServer(ScriptedServer):
    """The offline model, which answers chat requests only as a test allows.

    Of the requests in the order they came, the first `let_through` are answered, the others wait until that is raised.
    """

    def __init__(self, let_through: float = 0, quirk: str | None = None) -> None:
        super().__init__(self._answer_in_turn, models=("offline",))
        self.let_through = let_through
        self._model = Model(quirks=None if quirk is None else parse_quirks(quirk))

    @property
    def is_waited_for(self) -> bool:
        """Whether a request waits to be let through."""
        return len(self.bodies) > self.let_through

    @property
    def repeated(self) -> int:
        """How many requests came that had come before."""
        return len(self.bodies) - len({json.dumps(body) for body in self.bodies})

    async def _answer_in_turn(self, place: int, _: str, body: dict[str, Any], __: web.Request) -> web.Response:
        while place >= self.let_through:  # noqa: ASYNC110 - raised by another thread
            await asyncio.sleep(0.005)
        return web.json_response(answer_chat(body, self._model))


def short_server(context_length: int) -> ScriptedServer:
    """The offline model with a context of this many tokens for prompt and answer together."""

    async def answer(_: int, path: str, body: dict[str, Any], __: web.Request) -> web.Response:
        texts = [message["content"] for message in body["messages"]] if "messages" in body else [body["prompt"]]
        if sum(map(count_tokens, texts)) + body.get("max_tokens", 1) > context_length:
            said = f"This model's maximum context length is {context_length} tokens"
            return error(400, said, code="context_length_exceeded")
        answered = answer_chat if path == "chat/completions" else answer_completion
        return web.json_response(answered(body, Model()))

    return ScriptedServer(answer, models=[{**CARD, "max_model_len": context_length}])


def without_schemas(body: Mapping[str, Any], model: Model) -> dict[str, Any]:
    """What a server answers that enforces no schema."""
    if (body.get("response_format") or {}).get("type") == "json_schema":
        said = "Invalid parameter: 'response_format' of type 'json_schema' is not supported with this model."
        raise RequestError(400, said, "unsupported_value", "response_format")
    return answer_chat(body, model)
