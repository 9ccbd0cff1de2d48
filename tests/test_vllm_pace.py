"""How many requests a vLLM server is sent at once."""

from __future__ import annotations

import asyncio
from dataclasses import replace

import pytest

from selfinstruct.models.routing import Slots
from selfinstruct.models.vllm.metrics import Metrics
from selfinstruct.models.vllm.pace import LEAST, MOST, first_limit, keep_pace, next_limit

IDLE = Metrics(0, 0, 0.0, 0, 0, 0, 0, 0, 16, 400_000)


@pytest.mark.parametrize(("cache_tokens", "wanted"), [(None, 32), (400_000, 160), (10_000_000, MOST), (1_000, LEAST)])
def test_it_begins_with_what_the_cache_holds(cache_tokens: int | None, wanted: int) -> None:
    assert first_limit(replace(IDLE, kv_cache_tokens=cache_tokens)) == wanted


def test_without_figures_it_begins_with_the_usual_number() -> None:
    assert first_limit(None) == 32


@pytest.mark.parametrize(
    ("limit", "running", "queued", "cache", "waiting", "wanted"),
    [
        (64, 64, 0, 0.5, 100, 72),  # room there, and more to send
        (64, 64, 0, 0.5, 0, 64),  # nothing more to send
        (64, 10, 0, 0.5, 100, 64),  # what was granted is not used yet
        (64, 64, 0, 0.95, 100, 64),  # its cache is full
        (64, 60, 4, 0.9, 100, 64),  # a short queue keeps it busy
        (64, 30, 34, 1.0, 100, 36),  # a long one brings nothing
        (64, 0, 64, 1.0, 100, 6),
        (LEAST, 0, 64, 1.0, 100, LEAST),
        (MOST, MOST, 0, 0.1, 900, MOST),
    ],
)
def test_the_queue_of_the_server_decides(
    limit: int, running: int, queued: int, cache: float, waiting: int, wanted: int
) -> None:
    now = replace(IDLE, running=running, waiting=queued, kv_cache_use=cache)
    assert next_limit(limit, now, waiting) == wanted


class Server:
    """Runs up to so many at once and lets the rest wait; its cache is never full."""

    def __init__(self, bears: int) -> None:
        self.bears = bears

    def metrics(self, sent: int) -> Metrics:
        return replace(IDLE, running=min(sent, self.bears), waiting=max(0, sent - self.bears))


@pytest.mark.parametrize("bears", [8, 40, 200])
def test_it_finds_what_a_server_bears_from_any_beginning(bears: int) -> None:
    for beginning in (LEAST, 32, MOST):
        limit = beginning
        for _ in range(80):
            limit = next_limit(limit, Server(bears).metrics(limit), waiting=1000)
        assert bears * 0.9 <= limit <= bears * 1.25 + 4


def test_the_queues_are_resized_within_their_bounds() -> None:
    slots = [Slots(100), Slots(20)]

    async def work() -> None:
        async def read() -> Metrics:
            return replace(IDLE, running=64, waiting=0)

        pace = asyncio.create_task(keep_pace(64, slots, read, lambda: 10, look_s=0.01))
        async with asyncio.timeout(60):
            while slots[0].size <= 64:  # noqa: ASYNC110 - it tells nobody
                await asyncio.sleep(0.01)
        pace.cancel()

    asyncio.run(work())
    assert 64 < slots[0].size <= 100
    assert slots[1].size == 20
