"""The page's server, on loopback, for whoever has the token.

Every answer with data wants the token in a header, which no other page can send; the host and the origin of a request
must be the server's own, so that no name that was bent to loopback gets in. All of that is looked at before a body is
read, of which only so many bytes are, and only for so long. What the page may load and run is fixed by
its policy: files of this package, nothing else.
"""

from __future__ import annotations

import asyncio
import secrets
import socket
from collections.abc import Callable
from importlib import resources
from pathlib import Path
from typing import Any

import uvicorn
from fastapi import FastAPI, HTTPException, Request, Response
from fastapi.responses import JSONResponse
from starlette.requests import ClientDisconnect
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from selfinstruct.errors import PoolError, SelfInstructError
from selfinstruct.review.labels import Labels
from selfinstruct.review.session import Decision, Session, Show
from selfinstruct.store.rows import Place

_ASSETS = {"review.js": "text/javascript", "review.css": "text/css"}
LONGEST_BODY = 64 * 1024
"""Bytes of a decision, its reason included."""
BODY_S = 10.0
"""How long a body may take to come."""
HEADERS = {
    "Content-Security-Policy": (
        "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; img-src data:; "
        "base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
    ),
    "Cache-Control": "no-store",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
}


def review_app(session: Session, token: str, port: int) -> ASGIApp:
    """The application that serves a session at this port."""
    app = FastAPI(docs_url=None, redoc_url=None, openapi_url=None)

    async def guard(scope: Scope, receive: Receive, send: Send) -> None:
        request = Request(scope, receive)

        async def send_with_headers(message: Message) -> None:
            if message["type"] == "http.response.start":
                message["headers"] = [*message["headers"], *_RAW_HEADERS]
            await send(message)

        fault = _foreign(request, port) or _without_token(request, token)
        answer = _refused(403, fault) if fault else await _body(request)
        if isinstance(answer, bytes):
            await app(scope, _given(answer, receive), send_with_headers)
        else:
            await answer(scope, receive, send_with_headers)

    @app.exception_handler(SelfInstructError)
    async def one_line(_: Request, error: SelfInstructError) -> Response:
        return JSONResponse({"detail": str(error)}, 409)

    @app.get("/")
    def page() -> Response:
        return Response(_asset("review.html"), media_type="text/html")

    @app.get("/assets/{name}")
    def asset(name: str) -> Response:
        return Response(_asset(name), media_type=_ASSETS[name]) if name in _ASSETS else Response(status_code=404)

    @app.get("/api/rows/{index}")
    def row(index: int) -> dict[str, Any]:
        return _there(session.row(index))

    @app.get("/api/find")
    def find(start: int, show: Show, forward: bool = True) -> dict[str, int | None]:
        return {"index": session.find(start, show, forward=forward)}

    @app.post("/api/decisions")
    def decide(said: Decision) -> dict[str, Any]:
        return _there(session.decide(said))

    return guard


_RAW_HEADERS = [(name.lower().encode(), value.encode()) for name, value in HEADERS.items()]


def _foreign(request: Request, port: int) -> str:
    """Why a request is none of this page's; empty if it is. Browsers send the origin with each POST."""
    hosts = {f"127.0.0.1:{port}", f"localhost:{port}"}
    if request.headers.get("host") not in hosts:
        return "another host is meant"
    origin = request.headers.get("origin")
    own = {f"http://{host}" for host in hosts} | ({None} if request.method in {"GET", "HEAD"} else set())
    return "" if origin in own else "asked by another origin"


def _without_token(request: Request, token: str) -> str:
    """Why a request has not the token that its answer wants; empty if it has, or if there are no data in the answer."""
    path = request.scope["path"]
    if path.startswith("/assets/"):
        return ""
    given = request.query_params.get("token", "") if path == "/" else request.headers.get("x-token", "")
    is_right = secrets.compare_digest(given.encode(), token.encode())
    return "" if is_right else "the token is wrong; use the address that `review` printed"


def _refused(status: int, fault: str) -> Response:
    """An answer after which the connection is closed: what is left of the request is not read."""
    return JSONResponse({"detail": fault}, status, {"Connection": "close"})


async def _body(request: Request) -> bytes | Response:
    """All of a request's body, or the answer to one that is too long or too slow."""
    too_long = _refused(413, f"the body has more than {LONGEST_BODY:,} bytes")
    if int(request.headers.get("content-length", "0")) > LONGEST_BODY:  # h11 lets none but a number pass
        return too_long
    body = b""
    try:
        async with asyncio.timeout(BODY_S):
            async for chunk in request.stream():
                body += chunk
                if len(body) > LONGEST_BODY:
                    return too_long
    except TimeoutError:
        return _refused(408, f"the body took more than {BODY_S:g} s")
    except ClientDisconnect:
        return Response(status_code=400)
    return body


def _given(body: bytes, receive: Receive) -> Receive:
    """What an application receives whose request's body has been read."""
    messages: list[Message] = [{"type": "http.request", "body": body, "more_body": False}]

    async def again() -> Message:
        return messages.pop() if messages else await receive()

    return again


def _there(found: dict[str, Any] | None) -> dict[str, Any]:
    if found is None:
        raise HTTPException(404, "no such row")
    return found


def _asset(name: str) -> bytes:
    return (resources.files("selfinstruct.review") / "assets" / name).read_bytes()


def listen(port: int) -> socket.socket:
    """A socket on loopback; 0 takes a free port.

    Raises:
        PoolError: the port is in use.
    """
    opened = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
    opened.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        opened.bind(("127.0.0.1", port))
        opened.listen(128)  # whoever is quick with the address waits until the server takes over
    except OSError as error:
        opened.close()
        raise PoolError(f"--port: {port} cannot be used ({error.strerror}); 0 takes a free one") from error
    return opened


def configuration(app: ASGIApp) -> uvicorn.Config:
    """How the application is served: quietly, without words about itself, with bounded headers, as h11 has them."""
    return uvicorn.Config(
        app, http="h11", ws="none", log_level="warning", access_log=False, server_header=False, lifespan="off"
    )


def serve(folder: Path, rows: tuple[Place, ...], port: int, tell: Callable[[str], None], *, blind: bool) -> None:
    """Serve the page until Ctrl-C; `tell` gets its address."""
    token = secrets.token_urlsafe(24)
    with listen(port) as opened:
        port = opened.getsockname()[1]
        app = review_app(Session(folder, rows, Labels(folder), blind), token, port)
        tell(f"http://127.0.0.1:{port}/?token={token}")
        uvicorn.Server(configuration(app)).run(sockets=[opened])
