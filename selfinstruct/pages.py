"""Pages that are served on loopback, for requests with the token.

Answers with data need the token in a header, which no other page can send. The host and the origin of a request must be
the server's own, against names that an attacker points to loopback. All of this is checked before the body is read,
whose length and time are limited. By its policy a page runs and uses nothing but the script and the style in it.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import secrets
import socket
import sys
import tempfile
import webbrowser
from collections.abc import Iterator
from importlib import resources
from pathlib import Path

import uvicorn
from starlette.requests import ClientDisconnect, Request
from starlette.responses import JSONResponse, Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from selfinstruct.errors import PoolError
from selfinstruct.page_policy import policy

LONGEST_BODY = 1024 * 1024
"""The most bytes of a decision, or of texts that a person wrote."""
BODY_S = 10.0
"""The longest time for a body to arrive."""
_HEADERS = {
    "Cache-Control": "no-store",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
}
_SERVED = "; connect-src 'self'; img-src data:; frame-ancestors 'none'"
"""What the policy of a served page has besides: it may ask its server for data."""


def guarded(app: ASGIApp, html: str, script: str, style: str, token: str, port: int) -> ASGIApp:
    """What serves this page, with its script and style in it, and the data of `app` at this port."""
    page = html.replace("{style}", style).replace("{script}", script).encode()
    headers = {**_HEADERS, "Content-Security-Policy": policy(style, script) + _SERVED}
    raw = [(header.lower().encode(), value.encode()) for header, value in headers.items()]

    async def guard(scope: Scope, receive: Receive, send: Send) -> None:
        request = Request(scope, receive)

        async def send_with_headers(message: Message) -> None:
            if message["type"] == "http.response.start":
                message["headers"] = [*message["headers"], *raw]
            await send(message)

        fault = _foreign(request, port) or _without_token(request, token)
        answer = _refused(403, fault) if fault else await _body(request)
        if isinstance(answer, bytes) and request.scope["path"] == "/":
            answer = Response(page, media_type="text/html")
        if isinstance(answer, Response):
            await answer(scope, receive, send_with_headers)
            return
        messages: list[Message] = [{"type": "http.request", "body": answer, "more_body": False}]

        async def receive_again() -> Message:
            return messages.pop() if messages else await receive()

        await app(scope, receive_again, send_with_headers)

    return guard


def _foreign(request: Request, port: int) -> str:
    """Why a request is not from this page; empty if it is. Browsers send the origin with each POST."""
    hosts = {f"127.0.0.1:{port}", f"localhost:{port}"}
    if request.headers.get("host") not in hosts:
        return "another host is meant"
    origin = request.headers.get("origin")
    own = {f"http://{host}" for host in hosts} | ({None} if request.method in {"GET", "HEAD"} else set())
    return "" if origin in own else "asked by another origin"


def _without_token(request: Request, token: str) -> str:
    """Why a request may not have its answer; empty if it has the token."""
    is_page = request.scope["path"] == "/"
    given = request.query_params.get("token", "") if is_page else request.headers.get("x-token", "")
    is_right = secrets.compare_digest(given.encode(), token.encode())
    return "" if is_right else "the token is wrong; use the address that was printed"


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


def asset(package: str, name: str) -> str:
    """A file of a page, which lies in the folder `assets` of this package."""
    return (resources.files(package) / "assets" / name).read_text("utf-8")


def listen(port: int, option: str) -> socket.socket:
    """A socket on loopback; 0 takes a free port. `option` is where the port was given.

    Raises:
        PoolError: the port is in use.
    """
    # asyncio lets small packets go at once only where the protocol is named; else each answer may take 40 ms longer
    opened = socket.socket(socket.AF_INET, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    opened.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        opened.bind(("127.0.0.1", port))
        opened.listen(128)  # a request before the server has started waits
    except OSError as error:
        opened.close()
        raise PoolError(f"{option}: {port} cannot be used ({error.strerror}); 0 takes a free one") from error
    return opened


def server(app: ASGIApp) -> uvicorn.Server:
    """What serves it: without a log, without a header that names the server, by h11, which limits the headers."""
    told = uvicorn.Config(
        app, http="h11", ws="none", log_level="warning", access_log=False, server_header=False, lifespan="off"
    )
    return uvicorn.Server(told)


def new_token() -> str:
    """A token that nobody can guess."""
    return secrets.token_urlsafe(24)


def address(port: int, token: str) -> str:
    """Where a page is."""
    return f"http://127.0.0.1:{port}/?token={token}"


@contextlib.contextmanager
def shown_in_browser(place: str) -> Iterator[None]:
    """Open an address in the browser of this machine, if there is one with a screen.

    It gets a file that leads there: in its command others on this machine could read the token. The file stays until
    the end of the block.
    """
    # without a screen, a browser of the terminal would take its place
    has_screen = any(os.environ.get(name) for name in ("DISPLAY", "WAYLAND_DISPLAY", "BROWSER"))
    if not has_screen and sys.platform != "darwin":
        yield
        return
    with tempfile.TemporaryDirectory(prefix="selfinstruct-") as folder:  # for its owner alone
        page = Path(folder) / "page.html"
        page.write_text(f'<meta http-equiv="refresh" content="0; url={place}">', encoding="utf-8")
        webbrowser.open(page.as_uri())
        yield
