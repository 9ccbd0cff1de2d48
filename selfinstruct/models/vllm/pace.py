"""How many requests a vLLM server is sent at once, found from its cache and its queue."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence

from selfinstruct.models.routing import Slots
from selfinstruct.models.vllm.metrics import Metrics

LEAST, MOST = 4, 256
"""vLLM itself runs at most 128 or 256 at once, unless it is told otherwise; more would wait in its queue."""
TOKENS_OF_A_REQUEST = 2500
"""About what a request holds in the cache, prompt and answer."""
QUEUED_SHARE = 0.1
"""A short queue keeps the server from ever running dry; a longer one brings nothing."""
FULL_CACHE = 0.9
_LOOK_S = 5.0


def first_limit(metrics: Metrics | None) -> int:
    """How many to begin with: as many as the cache holds, or a few where the server does not say."""
    if metrics is None or metrics.kv_cache_tokens is None:
        return 32
    return max(LEAST, min(MOST, metrics.kv_cache_tokens // TOKENS_OF_A_REQUEST))


def next_limit(limit: int, metrics: Metrics, waiting: int) -> int:
    """How many from now on, when so many requests wait on our side for a place.

    The queue of the server stays short: what waits there beyond its share is taken off. Where it has no queue and room
    in its cache, and we have more to send, it gets more.
    """
    if metrics.waiting > max(2.0, QUEUED_SHARE * limit):
        return max(LEAST, min(limit, metrics.running + int(QUEUED_SHARE * limit)))
    if metrics.waiting == 0 and waiting and metrics.kv_cache_use < FULL_CACHE and metrics.running >= limit // 2:
        return min(MOST, limit + max(2, limit // 8))
    return limit


async def keep_pace(
    limit: int,
    every: Sequence[Slots],
    read: Callable[[], Awaitable[Metrics | None]],
    waiting: Callable[[], int],
    look_s: float = _LOOK_S,
) -> None:
    """Give each of these queues so many slots, then adjust the number to the server's queue, until cancelled."""
    while True:
        for slots in every:
            slots.resize(limit)
        await asyncio.sleep(look_s)
        metrics = await read()
        if metrics is not None:
            limit = next_limit(limit, metrics, waiting())
