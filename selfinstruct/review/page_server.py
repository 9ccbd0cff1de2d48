"""The server of the review page, on loopback, for requests with the token.

Answers with data need the token in a header, which no other page can send. The host and the origin of a request must be
the server's own, against names that an attacker points to loopback. All of this is checked before the body is read,
whose length and time are limited. By its policy the page loads and runs only files of this package.
"""

from __future__ import annotations

import asyncio
import secrets
import socket
from collections.abc import Callable
from importlib import resources
from pathlib import Path
from typing import Annotated, Any

import uvicorn
from fastapi import FastAPI, HTTPException, Query, Request, Response
from fastapi.responses import JSONResponse
from starlette.requests import ClientDisconnect
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from selfinstruct.errors import PoolError, SelfInstructError
from selfinstruct.review.labels import Labels, RowPlace
from selfinstruct.review.session import Decision, Edit, Ranking, Session, Wanted

_ASSETS = {"review.js": "text/javascript", "review.css": "text/css"}
LONGEST_BODY = 1024 * 1024
"""The most bytes of a decision, or of texts that a person wrote."""
BODY_S = 10.0
"""The longest time for a body to arrive."""
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
        if isinstance(answer, Response):
            await answer(scope, receive, send_with_headers)
            return
        messages: list[Message] = [{"type": "http.request", "body": answer, "more_body": False}]

        async def receive_again() -> Message:
            return messages.pop() if messages else await receive()

        await app(scope, receive_again, send_with_headers)

    _add_what_is_read(app, session)
    _add_what_is_done(app, session)
    return guard


def _add_what_is_read(app: FastAPI, session: Session) -> None:
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

    @app.get("/api/about")
    def about() -> dict[str, Any]:
        return session.about()

    @app.get("/api/list")
    def listed(wanted: Annotated[Wanted, Query()]) -> dict[str, Any]:
        return session.listed(wanted)


def _add_what_is_done(app: FastAPI, session: Session) -> None:
    @app.post("/api/decisions")
    def decide(said: Decision) -> dict[str, Any]:
        return _there(session.decide(said))

    @app.post("/api/edits")
    def edit(said: Edit) -> dict[str, Any]:
        return _there(session.edit(said))

    @app.post("/api/rankings")
    def rank(said: Ranking) -> dict[str, Any]:
        return _there(session.rank(said))

    @app.post("/api/undo")
    def undo() -> dict[str, int | None]:
        return session.undo()


_RAW_HEADERS = [(name.lower().encode(), value.encode()) for name, value in HEADERS.items()]


def _foreign(request: Request, port: int) -> str:
    """Why a request is not from this page; empty if it is. Browsers send the origin with each POST."""
    hosts = {f"127.0.0.1:{port}", f"localhost:{port}"}
    if request.headers.get("host") not in hosts:
        return "another host is meant"
    origin = request.headers.get("origin")
    own = {f"http://{host}" for host in hosts} | ({None} if request.method in {"GET", "HEAD"} else set())
    return "" if origin in own else "asked by another origin"


def _without_token(request: Request, token: str) -> str:
    """Why a request may not have its answer; empty if it has the token, or if the answer holds no data."""
    path = request.scope["path"]
    if path.startswith("/assets/"):
        return ""
    given = request.query_params.get("token", "") if path == "/" else request.headers.get("x-token", "")
    is_right = secrets.compare_digest(given.encode(), token.encode())
    return "" if is_right else "the token is wrong; use the address that `review` printed"


def _refused(status: int, fault: str) -> Response:
    """A refusal that closes the connection, so that the rest of the request is not read."""
    return JSONResponse({"detail": fault}, status, {"Connection": "close"})


async def _body(request: Request) -> bytes | Response:
    """The body of a request, or the answer if it is too long or too slow."""
    too_long = _refused(413, f"the body has more than {LONGEST_BODY:,} bytes")
    if int(request.headers.get("content-length", "0")) > LONGEST_BODY:  # h11 lets only a number pass
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
        opened.listen(128)  # a request before the server has started waits
    except OSError as error:
        opened.close()
        raise PoolError(f"--port: {port} cannot be used ({error.strerror}); 0 takes a free one") from error
    return opened


def configuration(app: ASGIApp) -> uvicorn.Config:
    """The settings of the server: no log, no header that names it, and h11, which limits the headers."""
    return uvicorn.Config(
        app, http="h11", ws="none", log_level="warning", access_log=False, server_header=False, lifespan="off"
    )


def serve(
    folder: Path, rows: tuple[RowPlace, ...], port: int, tell: Callable[[str], None], *, blind: bool, reader: str
) -> None:
    """Serve the page until Ctrl-C. `tell` gets its address."""
    token = secrets.token_urlsafe(24)
    with listen(port) as opened:
        port = opened.getsockname()[1]
        app = review_app(Session(folder, rows, Labels(folder, reader), blind), token, port)
        tell(f"http://127.0.0.1:{port}/?token={token}")
        uvicorn.Server(configuration(app)).run(sockets=[opened])
