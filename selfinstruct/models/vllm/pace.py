"""How a vLLM server gets on, by its figures at /metrics: whether it is stuck, and how many requests it is sent."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass

from selfinstruct.models.routing import Slots

_SAMPLE = re.compile(r"^vllm:(\w+)(?:\{(.*)\})? (\S+)", re.MULTILINE)
_LABEL = re.compile(r'(\w+)="((?:[^"\\]|\\.)*)"')
_LARGEST = 1e15

LEAST, MOST = 4, 256
"""Requests at once. vLLM itself runs at most 128 or 256, unless it is told otherwise; more would wait in its queue."""
_REQUEST_TOKENS = 2500
"""About what a request holds in the cache, prompt and answer."""
_QUEUED_SHARE = 0.1
"""A short queue keeps the server from ever running dry; a longer one brings nothing."""
_FULL_CACHE = 0.9
_LOOK_S = 5.0


@dataclass(frozen=True, slots=True)
class Metrics:
    """Counts since the server's start, over all its engines."""

    running: int = 0
    waiting: int = 0
    kv_cache_use: float = 0.0
    """0 to 1, of the fullest engine."""
    kv_cache_tokens: int | None = None
    """How many tokens the cache holds."""
    tokens: int = 0
    """Read and written: the count grows while the server gets on."""


def parse_metrics(text: str) -> Metrics | None:
    """The figures in a page in Prometheus' text form; None where it is no vLLM server's."""
    found: dict[str, list[float]] = {}
    cache_tokens = []
    for name, labels, figure in _SAMPLE.findall(text):
        value = _count(figure)
        if value is not None:
            found.setdefault(name, []).append(value)
        if name == "cache_config_info":
            told = dict(_LABEL.findall(labels))
            size, blocks = _count(told.get("block_size", "")), _count(told.get("num_gpu_blocks", ""))
            if size is not None and blocks is not None:
                cache_tokens.append(int(size * blocks))
    if "num_requests_running" not in found:
        return None

    def total(name: str) -> int:
        return int(sum(found.get(name, ())))

    return Metrics(
        total("num_requests_running"),
        total("num_requests_waiting"),
        max(found.get("kv_cache_usage_perc", [0.0])),
        sum(cache_tokens) if cache_tokens else None,
        total("prompt_tokens_total") + total("generation_tokens_total"),
    )


def _count(text: str) -> float | None:
    """A figure from 0 to `_LARGEST`; None for all else, as Prometheus has NaN and Inf too."""
    try:
        value = float(text)
    except ValueError:
        return None
    return value if 0 <= value < _LARGEST else None


class Pulse:
    """For how long a server has had work without getting on with it."""

    def __init__(self) -> None:
        self._tokens: int | None = None
        self._since = 0.0

    def still_s(self, metrics: Metrics | None, in_flight: int, now: float) -> float:
        """Seconds up to `now`; 0 where there is no work, or no figures.

        `in_flight` are the requests that a client waits for: an engine that hangs may not have counted them.
        """
        if metrics is None or metrics.running + metrics.waiting + in_flight == 0 or metrics.tokens != self._tokens:
            self._tokens = metrics.tokens if metrics else None
            self._since = now
        return now - self._since


def first_limit(metrics: Metrics | None) -> int:
    """How many requests to begin with: as many as the cache holds, or a few where the server does not say."""
    if metrics is None or metrics.kv_cache_tokens is None:
        return 32
    return max(LEAST, min(MOST, metrics.kv_cache_tokens // _REQUEST_TOKENS))


def next_limit(limit: int, metrics: Metrics, waiting: int) -> int:
    """How many requests from now on, when `waiting` wait on our side for a place.

    What waits in the server's queue beyond its share is taken off. Where it has no queue and room in its cache, and we
    have more to send, it gets more.
    """
    if metrics.waiting > max(2.0, _QUEUED_SHARE * limit):
        return max(LEAST, min(limit, metrics.running + int(_QUEUED_SHARE * limit)))
    if metrics.waiting == 0 and waiting and metrics.kv_cache_use < _FULL_CACHE and metrics.running >= limit // 2:
        return min(MOST, limit + max(2, limit // 8))
    return limit


async def keep_pace(
    limit: int,
    every: Sequence[Slots],
    read: Callable[[], Awaitable[Metrics | None]],
    waiting: Callable[[], int],
    look_s: float = _LOOK_S,
) -> None:
    """Give each of these queues that number of slots, then adjust it to the server's queue, until cancelled."""
    while True:
        for slots in every:
            slots.resize(limit)
        await asyncio.sleep(look_s)
        metrics = await read()
        if metrics is not None:
            limit = next_limit(limit, metrics, waiting())
