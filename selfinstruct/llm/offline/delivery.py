"""How an answer goes out over HTTP, and how it fails to: one function a fault of the transport."""

from __future__ import annotations

import asyncio
import json
import socket
import struct
from collections.abc import Mapping
from typing import Any

from aiohttp import web

from selfinstruct.llm.offline.faults import STATUSES, Faults
from selfinstruct.llm.offline.protocol import RequestError, aborted

KEEPS_ITS_SLOT = frozenset({"hang", "slow", "cut"})
"""Faults that come while the request is worked on; all others come at once."""

_PAGE = "<!doctype html>\n<title>Gateway{echo}</title>\n<h1>This is a page for people</h1>\n<p>It is no answer.</p>\n"

_RESET_ON_CLOSE = struct.pack("ii", 1, 0)


async def hang() -> None:
    """Never ends but by being cancelled."""
    await asyncio.Event().wait()


async def faulty(
    request: web.Request, kind: str, faults: Faults, payload: Mapping[str, Any], echo: str
) -> web.StreamResponse:
    """The response that a fault of this kind makes of an answer. Raises: RequestError for those that are an error."""
    match kind:
        case "html":
            return web.Response(text=_PAGE.format(echo=echo), content_type="text/html")
        case "empty":
            return web.json_response({**payload, "choices": []})
        case "abort":
            return web.json_response(aborted(payload))
        case "cut":
            return await _cut(request, json.dumps(payload).encode())
        case "drop":
            reset(request.transport)
            return web.Response()
        case _:
            message = STATUSES[kind]
            code = "rate_limit_exceeded" if kind == "429" else None
            raise RequestError(int(kind), message, code, retry_after_s=faults.seconds(kind))


async def _cut(request: web.Request, body: bytes) -> web.StreamResponse:
    response = web.StreamResponse(headers={"Content-Type": "application/json", "Content-Length": str(len(body))})
    await response.prepare(request)
    await response.write(body[: len(body) // 2])
    if request.transport is not None:
        request.transport.close()
    return response


def reset(transport: asyncio.BaseTransport | None) -> None:
    """Close a connection so that the other side sees it reset, not ended."""
    if isinstance(transport, asyncio.Transport):
        sock = transport.get_extra_info("socket")
        if sock is not None:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET_ON_CLOSE)
        transport.abort()
