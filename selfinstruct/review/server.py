"""The page's server, on loopback, for whoever has the token.

Every answer with data wants the token in a header, which no other page can send; the host and the origin of a request
must be the server's own, so that no name that was bent to loopback gets in. What the page may load and run is fixed by
its policy: files of this package, nothing else.
"""

from __future__ import annotations

import secrets
import socket
from collections.abc import Awaitable, Callable
from importlib import resources
from pathlib import Path
from typing import Annotated, Any

import uvicorn
from fastapi import Depends, FastAPI, Header, HTTPException, Request, Response
from fastapi.responses import JSONResponse

from selfinstruct.errors import PoolError, SelfInstructError
from selfinstruct.review.labels import Labels
from selfinstruct.review.session import Decision, Session, Show
from selfinstruct.store.rows import Place

_ASSETS = {"review.js": "text/javascript", "review.css": "text/css"}
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


def review_app(session: Session, token: str, port: int) -> FastAPI:
    """The application that serves a session at this port."""
    app = FastAPI(docs_url=None, redoc_url=None, openapi_url=None)

    @app.middleware("http")
    async def guard(request: Request, proceed: Callable[[Request], Awaitable[Response]]) -> Response:
        fault = _foreign(request, port)
        response = JSONResponse({"detail": fault}, 403) if fault else await proceed(request)
        response.headers.update(HEADERS)
        return response

    @app.exception_handler(SelfInstructError)
    async def one_line(_: Request, error: SelfInstructError) -> Response:
        return JSONResponse({"detail": str(error)}, 409)

    def check(given: str) -> None:
        if not secrets.compare_digest(given.encode(), token.encode()):
            raise HTTPException(403, "the token is wrong; use the address that `review` printed")

    def has_token(x_token: Annotated[str, Header()] = "") -> None:
        check(x_token)

    @app.get("/")
    def page(token: str = "") -> Response:
        check(token)
        return Response(_asset("review.html"), media_type="text/html")

    @app.get("/assets/{name}")
    def asset(name: str) -> Response:
        return Response(_asset(name), media_type=_ASSETS[name]) if name in _ASSETS else Response(status_code=404)

    @app.get("/api/rows/{index}", dependencies=[Depends(has_token)])
    def row(index: int) -> dict[str, Any]:
        return _there(session.row(index))

    @app.get("/api/find", dependencies=[Depends(has_token)])
    def find(start: int, show: Show, forward: bool = True) -> dict[str, int | None]:
        return {"index": session.find(start, show, forward=forward)}

    @app.post("/api/decisions", dependencies=[Depends(has_token)])
    def decide(said: Decision) -> dict[str, Any]:
        return _there(session.decide(said))

    return app


def _foreign(request: Request, port: int) -> str:
    """Why a request is none of this page's; empty if it is. Browsers send the origin with each POST."""
    hosts = {f"127.0.0.1:{port}", f"localhost:{port}"}
    if request.headers.get("host") not in hosts:
        return "another host is meant"
    origin = request.headers.get("origin")
    own = {f"http://{host}" for host in hosts} | ({None} if request.method in {"GET", "HEAD"} else set())
    return "" if origin in own else "asked by another origin"


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


def configuration(app: FastAPI) -> uvicorn.Config:
    """How the application is served: quietly, without words about itself."""
    return uvicorn.Config(app, log_level="warning", access_log=False, server_header=False, lifespan="off")


def serve(folder: Path, rows: tuple[Place, ...], port: int, tell: Callable[[str], None], *, blind: bool) -> None:
    """Serve the page until Ctrl-C; `tell` gets its address."""
    token = secrets.token_urlsafe(24)
    with listen(port) as opened:
        port = opened.getsockname()[1]
        app = review_app(Session(folder, rows, Labels(folder), blind), token, port)
        tell(f"http://127.0.0.1:{port}/?token={token}")
        uvicorn.Server(configuration(app)).run(sockets=[opened])
