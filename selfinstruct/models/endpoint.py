"""One server: its connections, what it takes, how it is doing, and that no secret comes back out of it."""

from __future__ import annotations

import asyncio
import base64
import functools
import json
import os
import re
import ssl
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal
from urllib.parse import unquote

import aiohttp
import httpx2
import openai

from selfinstruct.errors import ConfigError
from selfinstruct.models.limits import Breaker, Clock, Throttle
from selfinstruct.models.urls import SECRET_NAME, address, has_version, is_on_loopback, spellings
from selfinstruct.models.wire import Capabilities, Reply, Trouble
from selfinstruct.types import storable

CONNECT_S = 10.0
TRIAL_S = 10.0
"""How long others wait for the first request of a form that may have to be adapted."""
_KEEPALIVE_S = 4.0  # uvicorn, and so vLLM, hangs up after 5
_NO_KEYS = {"none", "empty"}
_CREDENTIALS = re.compile(rb"\b(Bearer|Basic)\s+[^\s\"'<>\\,;]+", re.IGNORECASE)
MOST_BYTES = 32 * 2**20
"""Of a body, decoded. No answer is as long; beyond is something else, or a compressed one that never ends."""
_OF_THE_WAY = {"content-encoding", "content-length", "transfer-encoding"}
"""Headers that no longer hold once a body is read and decoded."""
_LONG = 12
"""A secret of fewer characters may be a word of an answer, so only error texts are rid of it."""
_MOST_REDIRECTS = 3
FOREIGN_S = 60.0
"""An endpoint that has answered nothing is left once it has sent other things for so long."""
_PROXIES = {"http_proxy", "https_proxy", "all_proxy", "no_proxy"}
_TLS_ALERT = re.compile(r"\\x15\\x03|\x15\x03")
"""How a server that speaks HTTPS answers what is not."""
_NOT_TLS = re.compile(
    "WRONG_VERSION_NUMBER|RECORD_LAYER_FAILURE|HTTP_REQUEST|UNKNOWN_PROTOCOL|PACKET_LENGTH_TOO_LONG", re.IGNORECASE
)
_EXPIRED, _OTHER_NAME = 10, {62, 64}
"""OpenSSL's numbers for certificates that are out of date, or of another host or address."""
_CONTEXT_NAMES = ("max_model_len", "context_length", "context_window", "max_context_length")


@dataclass(frozen=True, slots=True)
class Batching:
    """How questions are put into batches."""

    pool: str
    """What names the pool at the provider."""
    wait_s: float
    """A wave is complete once nothing was asked for so long."""
    folder: Path | None = None
    """Where batches lie as files, for `vllm run-batch`; None: the provider has them."""
    stragglers: Literal["batch", "live"] = "batch"
    """Where a question is asked again that a batch left without an answer."""
    since: float | None = None
    """When the first batch may have begun that an earlier run left, in Unix time; None: it left none."""


@dataclass(frozen=True, slots=True, repr=False)
class EndpointConfig:
    """Where a model is served and how to get in."""

    base_url: str
    api_key: str = "none"
    key_name: str = "OPENAI_API_KEY"
    """The environment variable the key came from, for messages."""
    headers: Mapping[str, str] = field(default_factory=dict)
    secret_headers: Mapping[str, str] = field(default_factory=dict)
    """Headers whose values came from the environment and are never shown."""
    timeout_s: float = 600.0
    concurrency: int | None = None
    """Requests in flight there at most; None: as many as there are slots."""
    batching: Batching | None = None
    """How questions are put into batches; None: each is sent by itself."""
    function: Callable[..., Awaitable[Any]] | None = None
    """What answers in the place of a server; `key_name` is then how it is called."""
    host: str = ""
    """The name, with its port, that the address in `base_url` was found by; empty: the URL has it."""

    def __repr__(self) -> str:
        return f"EndpointConfig({address(self.base_url).shown!r})"


class _TooLong(httpx2.RequestError):
    """A body goes on beyond what is read of it."""


class _Bounded(openai.DefaultAioHttpClient):
    """Reads every body whole, decoded piece by piece, and none beyond `MOST_BYTES`."""

    async def send(self, request: httpx2.Request, **options: Any) -> httpx2.Response:
        """What comes back, with its body."""
        response = await super().send(request, **{**options, "stream": True})
        body = bytearray()
        try:
            async for piece in response.aiter_bytes():
                body += piece
                if len(body) > MOST_BYTES:
                    raise _TooLong(f"a body of more than {MOST_BYTES >> 20} MiB", request=request)
        finally:
            await response.aclose()
        headers = [(name, value) for name, value in response.headers.multi_items() if name not in _OF_THE_WAY]
        return httpx2.Response(response.status_code, headers=headers, content=bytes(body), request=request)


class Endpoint:
    """One server that serves a role."""

    outlives = False
    """What was asked there is answered also when nobody waits any more, and a later run finds the answer."""

    def __init__(
        self, config: EndpointConfig, slots: int, clock: Clock, tell: Callable[[str], None] = lambda _: None,
        *, retries: int = 0,
    ) -> None:  # fmt: skip
        where = address(config.base_url)
        self.config = config
        self.url, user = where.shown, where.user
        self.base = where.base
        """Where requests go: the URL, or /v1 below it if only that is found to have the API."""
        self._tell = tell
        self._may_be_below = not has_version(where.base)
        self._looked_below = False
        self.has_key = config.api_key.lower() not in _NO_KEYS or bool(user or config.secret_headers)
        self.key_name = config.key_name
        self.is_function = config.function is not None
        """A function of the user's stands in the place of a server."""
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
        self._foreign_since = float("inf")
        self.context_lengths: dict[str, int] = {}
        """By model, as far as the server says."""
        self.said_outage = False
        self.said_until = float("-inf")
        """Until when, by the clock, the server asked to wait when that was last told."""
        self.said_trouble_at = float("-inf")
        self.next_try_at = float("-inf")
        self._deadline_s = config.timeout_s + CONNECT_S
        limits = httpx2.Limits(
            max_connections=slots + 1, max_keepalive_connections=slots + 1, keepalive_expiry=_KEEPALIVE_S
        )
        timeout = httpx2.Timeout(config.timeout_s, connect=CONNECT_S)
        headers = {**({"Host": config.host} if config.host else {}), **config.headers, **config.secret_headers}
        if user:
            headers.setdefault("Authorization", f"Basic {base64.b64encode(unquote(user).encode()).decode()}")
        self._secrets = _secrets(config, headers, user, where.query)
        has_other_key = config.api_key.lower() in _NO_KEYS and config.secret_headers and "Authorization" not in headers
        self._options: Any = {"headers": {"Authorization": openai.Omit()}} if has_other_key else {}
        self._options["idempotency_key"] = ""  # nobody is sent one, so that the client need not draw it at random
        self._client = openai.AsyncOpenAI(
            base_url=self.base,
            api_key=config.api_key,
            default_headers=headers,
            default_query=where.query,
            max_retries=retries,
            timeout=timeout,
            http_client=_http_client(
                limits=limits, timeout=timeout, trust_env=not (config.host or is_on_loopback(self.base))
            ),
        )

    async def ask(self, path: str, body: Mapping[str, Any]) -> Reply | Trouble:
        """What comes back for a POST."""
        return await self._exchange(functools.partial(self._client.post, body=body), f"{self.base}{path}")

    async def models(self) -> Reply | Trouble:
        """What comes back for GET /models; context lengths in it are noted.

        Where nothing is listed, /v1 below the URL is looked at once.
        """
        reply = await self._exchange(self._client.get, f"{self.base}/models")
        if self._may_be_below and isinstance(reply, Reply) and reply.status < 500 and not listed(reply):
            below = None if self._looked_below else await self._exchange(self._client.get, f"{self.base}/v1/models")
            self._looked_below = True
            if isinstance(below, Reply) and listed(below) and self.try_below():
                self._tell(f"{self.url}: no models are listed there, but below /v1; asking there")
                reply = below
        if isinstance(reply, Reply):
            for card in listed(reply):
                length = next((card[name] for name in _CONTEXT_NAMES if isinstance(card.get(name), int)), 0)
                if length > 0:
                    self.context_lengths[str(card.get("id"))] = int(length)
        return reply

    def try_below(self) -> bool:
        """Ask /v1 below the URL from now on; whether that is something new."""
        if not self._may_be_below:
            return False
        self._may_be_below = False
        self.base = f"{self.base}/v1"
        return True

    def is_foreign(self, now: float) -> bool:
        """Note what came with status 200 and is no answer; whether this has gone on for long, with no answer ever."""
        self._foreign_since = min(self._foreign_since, now)
        return self.answered_at == float("-inf") and now - self._foreign_since > FOREIGN_S

    async def speaks_tls(self) -> bool:
        """Whether a server behind an http:// URL, which did not answer, wants https://."""
        url = httpx2.URL(self.base)
        if url.scheme != "http":
            return False
        context = ssl.create_default_context()
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
        try:
            async with asyncio.timeout(CONNECT_S):
                _, writer = await asyncio.open_connection(url.host, url.port or 80, ssl=context)
        except (OSError, TimeoutError, ValueError):
            return False
        writer.transport.abort()
        return True

    @property
    def says_https(self) -> str:
        """That the server wants https://, in a line."""
        return f"{self.url}: the server there speaks HTTPS; name it by https://"

    def halt(self) -> None:
        """Nothing more is to be sent; what is under way goes on."""

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

    async def _exchange(self, send: Callable[..., Awaitable[httpx2.Response]], url: str) -> Reply | Trouble:
        """A response to a request, which follows redirects only to where the key was meant for."""
        try:
            async with asyncio.timeout(self._deadline_s):
                for _ in range(_MOST_REDIRECTS + 1):
                    try:
                        response = await send(url, cast_to=httpx2.Response, options=self._options)
                    except openai.APIStatusError as error:
                        response = error.response
                    if not response.has_redirect_location:
                        break
                    target = response.url.join(response.headers["location"])
                    if _origin(target) != _origin(httpx2.URL(self.base)):
                        shown = target.copy_with(username=None, password=None, query=None, fragment=None)
                        why = (
                            f"{self.url} points to {shown} (HTTP {response.status_code}); nothing was sent there, as "
                            "it would get the key and the prompts; if that is the right server, name it by --base-url"
                        )
                        return Trouble("left", self.without_secrets(why))
                    url = str(target)
        except (openai.APIConnectionError, httpx2.HTTPError, aiohttp.ClientError, TimeoutError) as error:
            return self._lost(error)
        except (ValueError, httpx2.InvalidURL) as error:  # such as a proxy that no HTTP client can use
            return Trouble(
                "left", self.without_secrets(f"{self.url} cannot be asked ({error or type(error).__name__})")
            )
        status = response.status_code
        return Reply(status, response.headers, self._clean(response.content, is_error=status >= 300))

    def _lost(self, error: Exception) -> Trouble:
        """What became of a request without a response. The aiohttp transport calls every lost connection a time-out."""
        chain: list[BaseException] = [error]
        while (cause := chain[-1].__cause__) is not None:
            chain.append(cause)
        root = next((link for link in chain if isinstance(link, aiohttp.ClientError)), chain[-1])
        if fault := self._of_the_way(root):
            return Trouble("left", fault)
        if isinstance(root, aiohttp.ClientConnectorError):
            number = root.os_error.errno
            why = os.strerror(number) if number is not None and number > 0 else root.os_error.strerror or str(root)
            if isinstance(root, aiohttp.ClientProxyConnectionError):
                why = f"no connection to the proxy {root.host}:{root.port}: {why}; look at {_proxy_variables()}"
            return Trouble("unreachable", self.without_secrets(why))
        if isinstance(root, aiohttp.ConnectionTimeoutError):
            return Trouble("unreachable", f"no connection within {CONNECT_S:.0f} s")
        if isinstance(root, _TooLong):
            return Trouble("failed", str(root))
        if isinstance(root, TimeoutError | httpx2.TimeoutException):
            return Trouble("late", f"no answer within {self._deadline_s - CONNECT_S:g} s")
        return Trouble("failed", self.without_secrets(f"connection lost ({root or type(root).__name__})"))

    def _of_the_way(self, root: BaseException) -> str:
        """What is wrong with a proxy, with the encryption or its lack, in a line; empty: nothing."""
        if isinstance(root, aiohttp.ClientHttpProxyError):
            why = f"the proxy refuses to connect (HTTP {root.status} {root.message}); look at {_proxy_variables()}"
            return self.without_secrets(f"{self.url}: {why}")
        if isinstance(root, aiohttp.ClientResponseError) and _TLS_ALERT.search(f"{root.message}"):
            return self.says_https
        cause = getattr(root, "certificate_error", None) or getattr(root, "os_error", None)
        if isinstance(cause, ssl.SSLCertVerificationError):
            what = "set SSL_CERT_FILE to a file with the certificate of the authority that signed it"
            if cause.verify_code == _EXPIRED:
                what = "it is for whoever runs the server to renew it"
            elif cause.verify_code in _OTHER_NAME:
                what = "name the server as its certificate does"
            return f"{self.url}: its certificate is not trusted ({cause.verify_message or cause.reason}); {what}"
        if not isinstance(cause, ssl.SSLError):
            return ""
        if _NOT_TLS.fullmatch(cause.reason or ""):
            return f"{self.url}: the server there does not speak HTTPS ({cause.reason}); name it by http://"
        return f"{self.url}: no encrypted connection can be made ({cause.reason or cause})"

    def _clean(self, content: bytes, *, is_error: bool) -> bytes:
        for secret in self._secrets:
            if (is_error or len(secret) >= _LONG) and secret in content:
                content = content.replace(secret, b"***")
        return _CREDENTIALS.sub(rb"\1 ***", content) if is_error else content


def listed(reply: Reply) -> list[dict[str, Any]]:
    """The models in a reply to GET /models, but those of broken names; empty where it does not say."""
    try:
        cards = json.loads(reply.content)["data"]
    except (ValueError, LookupError, TypeError, RecursionError):
        return []
    cards = [card for card in cards if isinstance(card, dict)] if isinstance(cards, list) else []
    return [card for card in cards if storable(str(card.get("id"))) == str(card.get("id"))]


def _http_client(**options: Any) -> httpx2.AsyncClient:
    """The connections to one server.

    Raises:
        ConfigError: the environment names certificates or proxies that are none.
    """
    try:
        return _Bounded(verify=httpx2.create_ssl_context(), follow_redirects=False, **options)
    except OSError as error:
        name = "SSL_CERT_FILE" if os.environ.get("SSL_CERT_FILE") else "SSL_CERT_DIR"
        raise ConfigError(f"{name}: {os.environ.get(name)!r} cannot be read as certificates ({error})") from None
    except (ValueError, httpx2.InvalidURL):
        raise ConfigError(
            f"one of the variables {_proxy_variables()} is not what it should be: a proxy is named as "
            "http://HOST:PORT, and NO_PROXY holds host names with commas between them"
        ) from None


def _origin(url: httpx2.URL) -> tuple[str, str, int | None]:
    return url.scheme, url.host, url.port


def _proxy_variables() -> str:
    """The names of the variables that are set and name proxies."""
    return ", ".join(name for name in os.environ if name.lower() in _PROXIES and os.environ[name])


def _secrets(config: EndpointConfig, headers: Mapping[str, str], user: str, query: Mapping[str, str]) -> list[bytes]:
    """All that must not be repeated, in the forms in which a server may echo it, longest first."""
    plain = [config.api_key] if config.api_key.lower() not in _NO_KEYS else []
    plain += config.secret_headers.values()
    plain += [value for name, value in (*headers.items(), *query.items()) if SECRET_NAME.search(name)]
    plain += [value.partition(" ")[2] for value in plain if " " in value]
    plain += [user, unquote(user.partition(":")[2])]
    forms = {form for text in plain for form in (*spellings(text), json.dumps(text)[1:-1])}
    return sorted((form.encode(errors="replace") for form in forms if len(form) > 3), key=len, reverse=True)
