"""What a vLLM server says of itself at /metrics, as figures, and whether it gets on."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass

import aiohttp

_SAMPLE = re.compile(r"^(?P<name>[\w:]+)(?:\{(?P<labels>.*)\})? (?P<value>\S+)")
_LABEL = re.compile(r'(\w+)="((?:[^"\\]|\\.)*)"')
_ANSWER_S = 10.0
_MOST, _LONGEST_COUNT = 1e15, 16


@dataclass(frozen=True, slots=True)
class Metrics:
    """Counts since the server's start, over all its engines."""

    running: int
    waiting: int
    kv_cache_use: float
    """0 to 1, of the fullest engine."""
    prefix_queries: int
    """Prompt tokens looked up in the prefix cache."""
    prefix_hits: int
    prompt_tokens: int
    cached_tokens: int
    """Prompt tokens that the cache served."""
    generation_tokens: int
    block_size: int | None
    """Tokens of a cache block; only whole blocks are shared."""
    kv_cache_tokens: int | None
    """That the cache holds; divided by the tokens of a request, how many can run at once."""

    @property
    def tokens(self) -> int:
        """All that was worked on: it grows while the server gets on."""
        return self.prompt_tokens + self.generation_tokens

    @property
    def hit_share(self) -> float | None:
        """Share of looked-up prompt tokens that were in the prefix cache."""
        return self.prefix_hits / self.prefix_queries if self.prefix_queries else None


def parse_metrics(text: str) -> Metrics | None:
    """The figures in a page in Prometheus' text form; None where it is no vLLM server's."""
    found: dict[str, list[float]] = {}
    block_size = cache_tokens = None
    for name, labels, value in _samples(text):
        found.setdefault(name, []).append(value)
        if name == "cache_config_info":
            size, blocks = _count(labels.get("block_size", "")), _count(labels.get("num_gpu_blocks", ""))
            block_size = block_size if size is None else size
            if size is not None and blocks is not None:
                cache_tokens = (cache_tokens or 0) + size * blocks
    if "num_requests_running" not in found:
        return None

    def total(name: str) -> int:
        return int(sum(found.get(name, ())))

    return Metrics(
        running=total("num_requests_running"),
        waiting=total("num_requests_waiting"),
        kv_cache_use=max(found.get("kv_cache_usage_perc", [0.0])),
        prefix_queries=total("prefix_cache_queries_total"),
        prefix_hits=total("prefix_cache_hits_total"),
        prompt_tokens=total("prompt_tokens_total"),
        cached_tokens=total("prompt_tokens_cached_total"),
        generation_tokens=total("generation_tokens_total"),
        block_size=block_size,
        kv_cache_tokens=cache_tokens,
    )


def _samples(text: str) -> Iterator[tuple[str, dict[str, str], float]]:
    """(name without `vllm:`, labels, value) of each of vLLM's own samples."""
    for line in text.splitlines():
        if not line.startswith("vllm:"):
            continue
        sample = _SAMPLE.match(line)
        if sample is None:
            continue
        try:
            value = float(sample["value"])
        except ValueError:
            continue
        if not 0 <= value < _MOST:  # Prometheus has NaN and Inf too
            continue
        yield sample["name"].removeprefix("vllm:"), dict(_LABEL.findall(sample["labels"] or "")), value


def _count(text: str) -> int | None:
    return int(text) if text.isdecimal() and len(text) < _LONGEST_COUNT else None


async def read_metrics(session: aiohttp.ClientSession, base_url: str) -> Metrics | None:
    """The figures of the server whose API is at `base_url`; None where it is no vLLM server or keeps no figures.

    Raises:
        aiohttp.ClientError, TimeoutError: it does not answer.
    """
    status, text = await _get(session, root_of(base_url) + "/metrics")
    return parse_metrics(text) if status == 200 else None


async def is_healthy(session: aiohttp.ClientSession, base_url: str) -> bool:
    """Whether the server says that its engine lives. Raises like `read_metrics`."""
    status, _ = await _get(session, root_of(base_url) + "/health")
    return status == 200


async def context_lengths(session: aiohttp.ClientSession, base_url: str, key: str) -> dict[str, int | None]:
    """The models that the server lists, and how many tokens of prompt and answer each takes, where it says.

    Empty where the answer is not a list of models, or the key is not the server's. Raises like `read_metrics`.
    """
    status, text = await _get(session, base_url + "/models", {"Authorization": f"Bearer {key}"})
    try:
        cards = json.loads(text)["data"] if status == 200 else []
        lengths = {str(card["id"]): card.get("max_model_len") for card in cards}
    except (ValueError, LookupError, TypeError, AttributeError, RecursionError):
        return {}
    return {name: length if isinstance(length, int) else None for name, length in lengths.items()}


async def _get(session: aiohttp.ClientSession, url: str, headers: dict[str, str] | None = None) -> tuple[int, str]:
    """Status and body of a GET."""
    async with session.get(url, headers=headers, timeout=aiohttp.ClientTimeout(total=_ANSWER_S)) as response:
        return response.status, await response.text(errors="replace")


def root_of(base_url: str) -> str:
    """A server's address without the `/v1` of its API: /health and /metrics are beside that."""
    return base_url.rstrip("/").removesuffix("/v1")


class Pulse:
    """For how long a server has had work without getting on with it."""

    def __init__(self) -> None:
        self._tokens = -1
        self._since: float | None = None

    def still_s(self, metrics: Metrics | None, in_flight: int, now: float) -> float:
        """Seconds up to `now`; 0 where there is no work, or no figures.

        `in_flight` are the requests that a client waits for: an engine that hangs may not have counted them.
        """
        is_idle = metrics is None or metrics.running + metrics.waiting + in_flight == 0
        if metrics is None or is_idle or metrics.tokens != self._tokens or self._since is None:
            self._tokens = -1 if metrics is None else metrics.tokens
            self._since = now
            return 0.0
        return now - self._since
