"""Embeddings of texts from a server that speaks the OpenAI API."""

from __future__ import annotations

import asyncio
import json
import math
import time
from collections.abc import Sequence

from selfinstruct.errors import AccessError
from selfinstruct.models.endpoint import Endpoint, EndpointConfig
from selfinstruct.models.error_bodies import said
from selfinstruct.models.statuses import told
from selfinstruct.models.wire import Lost

AT_ONCE = 64
"""Texts in one request."""
_TRIES, _PAUSE_S = 4, 1.0
_PASSING = {408, 409, 425, 429}


def embed(config: EndpointConfig, model: str, texts: Sequence[str]) -> list[list[float]]:
    """The vector of each text, all of one length.

    Raises:
        AccessError: the server does not answer, refuses, or answers something else.
    """
    return asyncio.run(_embed(config, model, texts))


async def _embed(config: EndpointConfig, model: str, texts: Sequence[str]) -> list[list[float]]:
    endpoint = Endpoint(config, 1, time.monotonic)
    try:
        vectors: list[list[float]] = []
        for start in range(0, len(texts), AT_ONCE):
            batch = list(texts[start : start + AT_ONCE])
            vectors += _read(await _ask(endpoint, model, batch), len(batch), endpoint.url)
    finally:
        await endpoint.close()
    if len({len(vector) for vector in vectors}) > 1:
        raise AccessError(f"{endpoint.url}: its embeddings differ in length; name one model")
    return vectors


async def _ask(endpoint: Endpoint, model: str, texts: Sequence[str]) -> bytes:
    """The body of the answer; what may pass is asked again a few times."""
    why = ""
    for number in range(_TRIES):
        if number:
            await asyncio.sleep(_PAUSE_S * 2 ** (number - 1))
        reply = await endpoint.ask("/embeddings", {"model": model, "input": texts})
        if isinstance(reply, Lost):
            why = reply.why
            if reply.kind == "left":
                break
        elif reply.status < 300:
            return reply.content
        else:
            why = told(reply.status, said(reply.content))
            if reply.status < 500 and reply.status not in _PASSING:
                break
    raise AccessError(f"{endpoint.url} gives no embeddings by {model}: {why}")


def _read(body: bytes, count: int, url: str) -> list[list[float]]:
    try:
        items = sorted(json.loads(body)["data"], key=lambda item: item["index"])
        vectors = [[float(value) for value in item["embedding"]] for item in items]
    except (ValueError, LookupError, TypeError) as error:
        raise AccessError(f"{url}: its answer holds no embeddings") from error
    if len(vectors) != count or not all(vector and all(map(math.isfinite, vector)) for vector in vectors):
        raise AccessError(f"{url}: its answer holds {len(vectors)} embeddings for {count} texts, or empty ones")
    return vectors
