"""Embeddings of texts from a server that speaks the OpenAI API."""

from __future__ import annotations

import asyncio
import json
import math
import time
from collections.abc import Sequence

from selfinstruct.errors import AccessError
from selfinstruct.models.endpoint import Endpoint, EndpointConfig
from selfinstruct.models.statuses import said, told
from selfinstruct.models.wire import Trouble

AT_ONCE = 64
"""Texts in one request."""
_RETRIES = 3


def embed(config: EndpointConfig, model: str, texts: Sequence[str]) -> list[list[float]]:
    """The vector of each text, all of one length.

    Raises:
        AccessError: the server does not answer, refuses, or answers something else.
    """
    return asyncio.run(_embed(config, model, texts))


async def _embed(config: EndpointConfig, model: str, texts: Sequence[str]) -> list[list[float]]:
    endpoint = Endpoint(config, 1, time.monotonic, retries=_RETRIES)
    vectors: list[list[float]] = []
    try:
        for start in range(0, len(texts), AT_ONCE):
            batch = texts[start : start + AT_ONCE]
            reply = await endpoint.ask("/embeddings", {"model": model, "input": list(batch)})
            if isinstance(reply, Trouble) or reply.status >= 300:
                why = reply.why if isinstance(reply, Trouble) else told(reply.status, said(reply.content), endpoint)
                raise AccessError(f"{endpoint.url} gives no embeddings by {model}: {why}")
            vectors += _read(reply.content, len(batch), endpoint.url)
    finally:
        await endpoint.close()
    if len({len(vector) for vector in vectors}) > 1:
        raise AccessError(f"{endpoint.url}: its embeddings differ in length; name one model")
    return vectors


def _read(body: bytes, count: int, url: str) -> list[list[float]]:
    try:
        items = sorted(json.loads(body)["data"], key=lambda item: item["index"])
        vectors = [[float(value) for value in item["embedding"]] for item in items]
    except (ValueError, LookupError, TypeError) as error:
        raise AccessError(f"{url}: its answer holds no embeddings") from error
    if len(vectors) != count or not all(vector and all(map(math.isfinite, vector)) for vector in vectors):
        raise AccessError(f"{url}: its answer holds {len(vectors)} embeddings for {count} texts, or empty ones")
    return vectors
