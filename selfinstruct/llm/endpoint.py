"""One server: its connections, what it takes, how it is doing, and that no secret comes back out of it."""

from __future__ import annotations

import asyncio
import base64
import ipaddress
import json
import os
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import quote, unquote, urlsplit, urlunsplit

import aiohttp
import httpx2
import openai

from selfinstruct.llm.limits import Breaker, Clock, Throttle
from selfinstruct.llm.wire import Capabilities, Lost, Reply

CONNECT_S = 10.0
TRIAL_S = 10.0
"""How long others wait for the first request of a form that may have to be adapted."""
_KEEPALIVE_S = 4.0  # uvicorn, and so vLLM, hangs up after 5
_NO_KEYS = {"none", "empty"}
_SECRET_HEADER = re.compile("auth|key|token|secret|cookie|password", re.IGNORECASE)
_CREDENTIALS = re.compile(rb"\b(Bearer|Basic)\s+[^\s\"'<>\\,;]+", re.IGNORECASE)
_LONG = 12
"""A secret of fewer characters may be a word of an answer, so only error texts are rid of it."""
_CONTEXT_NAMES = ("max_model_len", "context_length", "context_window", "max_context_length")


@dataclass(frozen=True, slots=True, repr=False)
class EndpointConfig:
    """Where a model is served and how to get in."""

    base_url: str
    api_key: str = "none"
    key_name: str = "OPENAI_API_KEY"
    """The environment variable the key came from, for messages."""
    headers: Mapping[str, str] = field(default_factory=dict)
    timeout_s: float = 600.0
    concurrency: int | None = None
    """Requests in flight there at most; None: as many as there are slots."""

    def __repr__(self) -> str:
        return f"EndpointConfig({without_credentials(self.base_url)[0]!r})"


class Endpoint:
    """One server that serves a role."""

    def __init__(self, config: EndpointConfig, slots: int, clock: Clock) -> None:
        self.url, user = without_credentials(config.base_url)
        self.key_name = config.key_name
        self.left = ""
        """Why it is of no use any more."""
        self.capabilities: dict[str, Capabilities] = {}
        self.settled: set[tuple[str, str]] = set()
        """Forms of a question, as (model, `schema` or `plain`), that are known to work."""
        self.trials: dict[tuple[str, str], float] = {}
        """When the first request of a form was sent that is under way."""
        self.throttle = Throttle(min(slots, config.concurrency or slots), clock)
        self.breaker = Breaker(clock)
        self.sent = 0
        self.answered_at = float("-inf")
        self.context_lengths: dict[str, int] = {}
        """By model, as far as the server says."""
        self.said_outage = False
        self.said_until = float("-inf")
        """Until when, by the clock, the server asked to wait when that was last told."""
        self.said_trouble_at = float("-inf")
        self.next_try_at = float("-inf")
        self._secrets = _secrets(config, user)
        self._deadline_s = config.timeout_s + CONNECT_S
        limits = httpx2.Limits(
            max_connections=slots + 1, max_keepalive_connections=slots + 1, keepalive_expiry=_KEEPALIVE_S
        )
        timeout = httpx2.Timeout(config.timeout_s, connect=CONNECT_S)
        headers = dict(config.headers)
        if user:
            headers.setdefault("Authorization", f"Basic {base64.b64encode(unquote(user).encode()).decode()}")
        self._client = openai.AsyncOpenAI(
            base_url=self.url,
            api_key=config.api_key,
            default_headers=headers,
            max_retries=0,
            timeout=timeout,
            http_client=openai.DefaultAioHttpClient(
                limits=limits, timeout=timeout, trust_env=not is_on_loopback(self.url)
            ),
        )

    async def ask(self, path: str, body: Mapping[str, Any]) -> Reply | Lost:
        """What comes back for a POST."""
        return await self._exchange(self._client.post(path, cast_to=httpx2.Response, body=body))

    async def models(self) -> Reply | Lost:
        """What comes back for GET /models; context lengths in it are noted."""
        reply = await self._exchange(self._client.get("/models", cast_to=httpx2.Response))
        if isinstance(reply, Reply):
            for card in listed(reply):
                length = next((card[name] for name in _CONTEXT_NAMES if isinstance(card.get(name), int)), 0)
                if length > 0:
                    self.context_lengths[str(card.get("id"))] = int(length)
        return reply

    async def close(self) -> None:
        """Close the connections."""
        await self._client.close()

    def wait_s(self, form: tuple[str, str], now: float) -> float:
        """Seconds until a request in this form may be sent; infinite where only an event can tell."""
        if self.breaker.state == "half open":
            return float("inf") if self.breaker.is_probed else 0.0
        if self.breaker.state == "open" or not self.throttle.has_room:
            return float("inf")
        wait = self.throttle.wait_s()
        if form in self.trials and form not in self.settled:
            wait = max(wait, self.trials[form] + TRIAL_S - now)
        return wait

    def pause_s(self, now: float) -> float:
        """Seconds for which nothing is sent; 0: it is in use."""
        if self.breaker.state == "closed":
            return max(0.0, self.throttle.paused_until - now)
        return max(0.001, self.next_try_at - now)

    @property
    def load(self) -> tuple[float, int]:
        """For comparing: requests in flight for each that may be, then requests so far."""
        return self.throttle.in_flight / self.throttle.limit, self.sent

    def without_secrets(self, text: str) -> str:
        """A text without the key or other ways in."""
        return self._clean(text.encode(errors="replace"), is_error=True).decode(errors="replace")

    async def _exchange(self, call: Any) -> Reply | Lost:
        try:
            async with asyncio.timeout(self._deadline_s):
                response: httpx2.Response = await call
        except openai.APIStatusError as error:
            response = error.response
        except (openai.APIConnectionError, httpx2.HTTPError, aiohttp.ClientError, TimeoutError) as error:
            return self._lost(error)
        status = response.status_code
        return Reply(status, response.headers, self._clean(response.content, is_error=status >= 300))

    def _lost(self, error: Exception) -> Lost:
        """What became of a request without a response. The aiohttp transport calls every lost connection a time-out."""
        chain: list[BaseException] = [error]
        while (cause := chain[-1].__cause__) is not None:
            chain.append(cause)
        root = next((link for link in chain if isinstance(link, aiohttp.ClientError)), chain[-1])
        if isinstance(root, aiohttp.ClientConnectorError):
            number = root.os_error.errno
            return Lost("refused", self.without_secrets(os.strerror(number) if number else str(root)))
        if isinstance(root, aiohttp.ConnectionTimeoutError):
            return Lost("refused", f"no connection within {CONNECT_S:.0f} s")
        if isinstance(root, TimeoutError | httpx2.TimeoutException):
            return Lost("late", f"no answer within {self._deadline_s - CONNECT_S:g} s")
        return Lost("cut", self.without_secrets(f"connection lost ({root or type(root).__name__})"))

    def _clean(self, content: bytes, *, is_error: bool) -> bytes:
        for secret in self._secrets:
            if (is_error or len(secret) >= _LONG) and secret in content:
                content = content.replace(secret, b"***")
        return _CREDENTIALS.sub(rb"\1 ***", content) if is_error else content


def listed(reply: Reply) -> list[dict[str, Any]]:
    """The models in a reply to GET /models; empty where it does not say."""
    try:
        cards = json.loads(reply.content)["data"]
    except (ValueError, LookupError, TypeError, RecursionError):
        return []
    return [card for card in cards if isinstance(card, dict)] if isinstance(cards, list) else []


def is_on_loopback(url: str) -> bool:
    """Whether a URL is of this machine, which the proxies that the environment names do not reach."""
    host = (urlsplit(url).hostname or "").rstrip(".")
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost" or host.endswith(".localhost")


def without_credentials(url: str) -> tuple[str, str]:
    """A URL without `user:pass@`, and that part."""
    parts = urlsplit(url)
    user, at, host = parts.netloc.rpartition("@")
    return urlunsplit((parts.scheme, host, parts.path, parts.query, parts.fragment)), user if at else ""


def _secrets(config: EndpointConfig, user: str) -> list[bytes]:
    """All that must not be repeated, in the forms in which a server may echo it, longest first."""
    plain = [config.api_key] if config.api_key.lower() not in _NO_KEYS else []
    plain += [value for name, value in config.headers.items() if _SECRET_HEADER.search(name)]
    plain += [value.partition(" ")[2] for value in plain if " " in value]
    if user:
        password = unquote(user.partition(":")[2])
        plain += [user, unquote(user), password, base64.b64encode(unquote(user).encode()).decode()]
    forms = {form for text in plain for form in (text, quote(text), quote(text, safe=""), json.dumps(text)[1:-1])}
    return sorted((form.encode() for form in forms if len(form) > 3), key=len, reverse=True)
