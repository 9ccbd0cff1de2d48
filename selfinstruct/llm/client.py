"""Asking any OpenAI-compatible server: bounded, retried in this one place, and clear about what cannot be helped.

Failures come in three kinds (law 5). Transient ones are tried again for as long as the run goes on. Faults of access or
configuration end the use of an endpoint. Faults of the request itself are its final answer, of kind `failed`.
"""

from __future__ import annotations

import asyncio
import random
import time
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from email.utils import parsedate_to_datetime
from typing import Any
from urllib.parse import urlsplit, urlunsplit

import httpx2
import openai

from selfinstruct.errors import AccessError
from selfinstruct.llm.slots import Halted, Slots
from selfinstruct.llm.wire import Capabilities, NoAnswer, adapt, body_of, path_of, read_answer, sent_form
from selfinstruct.records import Completion, Request, canonical_json

TOO_MANY_TIMEOUTS = 8
"""Time-outs of one request, while its endpoint answers others, after which it is given up as `failed`."""
_TRANSIENT = {408, 409, 425, 429}
_ACCESS = {401, 402, 403, 404, 405}
_TOO_LONG = ("maximum context length", "context_length", "too long", "exceeds the model", "max_model_len")

Tell = Callable[[str], None]
Keep = Callable[[Completion], Awaitable[None]]


async def _nothing(_: Completion) -> None:
    """Keep an answer nowhere."""


@dataclass(frozen=True, slots=True)
class EndpointConfig:
    """Where a model is served and how to get in."""

    base_url: str
    api_key: str = field(repr=False, default="none")
    key_name: str = "OPENAI_API_KEY"
    """The environment variable the key came from, for messages."""
    headers: Mapping[str, str] = field(default_factory=dict, repr=False)
    timeout_s: float = 600.0


class _Left(Exception):  # noqa: N818
    """This endpoint is of no use any more; the text says why."""


class Endpoint:
    """One server: its client, what it takes, and whether it is still of use."""

    def __init__(self, config: EndpointConfig, connections: int) -> None:
        limits = httpx2.Limits(max_connections=connections, max_keepalive_connections=connections)
        timeout = httpx2.Timeout(config.timeout_s, connect=10.0)
        base_url, user = without_credentials(config.base_url)
        headers = dict(config.headers)
        self.config = config
        self.url = base_url
        self.capabilities: dict[str, Capabilities] = {}
        self.settled: set[tuple[str, str]] = set()
        self.first_use: dict[tuple[str, str], asyncio.Lock] = {}
        self.left = ""
        self.in_flight = 0
        self.answers = 0
        self.client = openai.AsyncOpenAI(
            base_url=base_url if not user else config.base_url,
            api_key=config.api_key,
            default_headers=headers,
            max_retries=0,
            timeout=timeout,
            http_client=openai.DefaultAioHttpClient(limits=limits, timeout=timeout),
        )

    async def post(self, path: str, body: Mapping[str, Any]) -> bytes:
        """The body of a response with a status below 400."""
        response = await self.client.post(path, cast_to=httpx2.Response, body=dict(body))
        return response.content

    async def models(self) -> list[dict[str, Any]]:
        """What the server says it serves; empty where it does not say.

        Raises:
            AccessError: nothing listens there, or it refuses the key.
        """
        try:
            response = await self.client.get("/models", cast_to=httpx2.Response)
            listed = response.json()["data"]
        except openai.APIConnectionError as error:
            if _is_late(error):
                return []
            raise AccessError(f"{self.url}: nothing answers there ({_cause(error)}); is the server running?") from error
        except (openai.AuthenticationError, openai.PermissionDeniedError) as error:
            raise AccessError(self.refusal(error)) from error
        except (openai.APIStatusError, ValueError, LookupError, TypeError):
            return []
        return [item for item in listed if isinstance(item, dict)] if isinstance(listed, list) else []

    def refusal(self, error: openai.APIStatusError) -> str:
        """One line for a refused key, without repeating what the server echoes."""
        return f"{self.url} refuses the key (HTTP {error.status_code}); set {self.config.key_name} to a valid one"


def without_credentials(url: str) -> tuple[str, str]:
    """A URL without `user:pass@`, and that part."""
    parts = urlsplit(url)
    user, at, host = parts.netloc.rpartition("@")
    return urlunsplit((parts.scheme, host, parts.path, parts.query, parts.fragment)), user if at else ""


class Client:
    """The endpoints that serve a role, used as one.

    `known` are capabilities learned in earlier runs by (URL, model); `learned` is told of new ones.
    """

    def __init__(
        self,
        endpoints: list[EndpointConfig],
        slots: Slots,
        *,
        tell: Tell,
        known: Mapping[tuple[str, str], Mapping[str, Any]] | None = None,
        learned: Callable[[str, str, Capabilities], None] = lambda *_: None,
    ) -> None:
        self.slots = slots
        self.endpoints = [Endpoint(endpoint, slots.size) for endpoint in endpoints]
        self._tell = tell
        self._learned = learned
        self._answered: set[tuple[str, str, str]] = set()
        self._halted = asyncio.Event()
        self._jitter = random.Random()
        for endpoint in self.endpoints:
            for (url, model), capabilities in (known or {}).items():
                if url == endpoint.url:
                    endpoint.capabilities[model] = Capabilities.from_dict(capabilities)
                    endpoint.settled |= {(model, "schema"), (model, "plain")}

    async def check(self) -> list[dict[str, Any]]:
        """Make sure that at least one endpoint answers and takes the key; the models the first such one lists.

        Raises:
            AccessError: none does; the text is that of the last.
        """
        fault: AccessError | None = None
        listed: list[dict[str, Any]] | None = None
        for endpoint in self.endpoints:
            try:
                models = await endpoint.models()
            except AccessError as error:
                endpoint.left = str(error)
                fault = error
                if len(self.endpoints) > 1:
                    self._tell(f"{error}; going on without it")
            else:
                listed = models if listed is None else listed
        if listed is None:
            raise fault or AccessError("no endpoint is configured")
        return listed

    async def complete(self, request: Request, priority: int, keep: Keep = _nothing) -> Completion:
        """The final answer to a request.

        `keep` is awaited with the answer before its slot is given to another request, so that no more answers than
        there are slots can be lost at once.

        Raises:
            Halted: the run stops before there is one.
            AccessError: no endpoint is left that could give one, or the server refuses the configuration.
        """
        timeouts = 0
        for attempt in range(1_000_000):
            endpoint = self._pick()
            await self.slots.take(priority)
            endpoint.in_flight += 1
            try:
                answer = await self._attempt(endpoint, request)
                await keep(answer)
            except _Left as left:
                self._leave(endpoint, str(left))
                continue
            except openai.APIConnectionError as error:
                timeouts += _is_late(error)
                if timeouts >= TOO_MANY_TIMEOUTS and endpoint.answers:
                    answer = _failed(request, endpoint, "timeout", f"{timeouts} time-outs")
                    await keep(answer)
                    return answer
                wait, why = self._backoff(0 if _is_late(error) else attempt), _cause(error)
            except openai.APIStatusError as error:
                wait, why = _retry_after(error) or self._backoff(attempt), f"HTTP {error.status_code}"
            except NoAnswer as error:
                wait, why = self._backoff(attempt), str(error)
            else:
                endpoint.answers += 1
                return answer
            finally:
                endpoint.in_flight -= 1
                self.slots.give_back()
            if attempt in {2, 5} or wait > 30:
                self._tell(f"{endpoint.url}: {why}; asking again in {wait:.0f} s")
            await self._sleep(wait)
        raise AssertionError("unreachable")

    def had_answers(self, kinds: set[tuple[str, str, str]]) -> None:
        """Know the questions, as (stage, model, sampling as JSON), that had an answer in earlier runs.

        Only without one is a 400 taken for a fault of the configuration.
        """
        self._answered |= kinds

    def halt(self) -> None:
        """Send nothing more; what is under way goes on."""
        self._halted.set()
        self.slots.halt()

    async def close(self) -> None:
        """Close the connections."""
        for endpoint in self.endpoints:
            await endpoint.client.close()

    async def _attempt(self, endpoint: Endpoint, request: Request) -> Completion:
        """Ask once, in the form this endpoint takes; the first use of a form goes alone until it is known to work."""
        use = (request.model, "schema" if request.schema else "plain")
        if use in endpoint.settled:
            return await self._adapting(endpoint, request)
        async with endpoint.first_use.setdefault(use, asyncio.Lock()):
            answer = await self._adapting(endpoint, request)
            endpoint.settled.add(use)
            self._learned(endpoint.url, request.model, endpoint.capabilities.get(request.model, Capabilities()))
        return answer

    async def _adapting(self, endpoint: Endpoint, request: Request) -> Completion:
        while True:
            capabilities = endpoint.capabilities.get(request.model, Capabilities())
            body = body_of(request, capabilities)
            started = time.monotonic()
            try:
                raw = await endpoint.post(path_of(request), body)
            except openai.APIStatusError as error:
                cured = self._cure(endpoint, request, capabilities, body, error)
                if isinstance(cured, Completion):
                    return cured
                continue
            latency = time.monotonic() - started
            sent = sent_form(request, body)
            answer = read_answer(request, raw, endpoint=endpoint.url, sent=sent, latency_s=latency)
            self._answered.add(_kind_of_question(request))
            return answer

    def _cure(
        self,
        endpoint: Endpoint,
        request: Request,
        capabilities: Capabilities,
        body: Mapping[str, Any],
        error: openai.APIStatusError,
    ) -> Completion | None:
        """A final failure, or None when a changed form may help. Transient errors are raised again."""
        message, param, code = _said(error)
        if error.status_code in _TRANSIENT and code != "insufficient_quota":
            raise error
        if error.status_code >= 500:
            raise error
        if error.status_code in {401, 403}:
            raise _Left(endpoint.refusal(error))
        if error.status_code in _ACCESS or code == "insufficient_quota":
            raise _Left(f"{endpoint.url}: HTTP {error.status_code}: {self._safe(endpoint, message)}")
        if any(mark in message.lower() or mark == code for mark in _TOO_LONG):
            return _failed(request, endpoint, "too_long", self._safe(endpoint, message))
        weaker = adapt(capabilities, message, param, body)
        if weaker is not None:
            if endpoint.capabilities.get(request.model, Capabilities()) == capabilities:
                endpoint.capabilities[request.model] = weaker
                self._tell(f"{endpoint.url}: {_difference(capabilities, weaker)} (the server refused the other form)")
                self._learned(endpoint.url, request.model, weaker)
            return None
        if _kind_of_question(request) not in self._answered:
            raise AccessError(
                f"{endpoint.url} refuses every {request.stage} request to {request.model} "
                f"(HTTP {error.status_code}): {self._safe(endpoint, message)}"
            )
        return _failed(request, endpoint, code or "bad_request", self._safe(endpoint, message))

    def _safe(self, endpoint: Endpoint, message: str) -> str:
        """A server's words without the key, should it echo it, on one line of bearable length."""
        key = endpoint.config.api_key
        text = message.replace(key, "***") if len(key) > 3 else message
        return " ".join(text.split())[:500]

    def _pick(self) -> Endpoint:
        useful = [endpoint for endpoint in self.endpoints if not endpoint.left]
        if not useful:
            raise AccessError(self.endpoints[-1].left if self.endpoints else "no endpoint is configured")
        return min(useful, key=lambda endpoint: endpoint.in_flight)

    def _leave(self, endpoint: Endpoint, why: str) -> None:
        if not endpoint.left:
            endpoint.left = why
            if any(not other.left for other in self.endpoints):
                self._tell(f"{why}; going on with the other endpoints")

    def _backoff(self, attempt: int) -> float:
        return min(60.0, 0.5 * 2.0 ** min(attempt, 7)) * self._jitter.uniform(0.75, 1.25)

    async def _sleep(self, seconds: float) -> None:
        try:
            await asyncio.wait_for(self._halted.wait(), seconds)
        except TimeoutError:
            return
        raise Halted


def _kind_of_question(request: Request) -> tuple[str, str, str]:
    return request.stage, request.model, canonical_json(request.sampling)


def _failed(request: Request, endpoint: Endpoint, kind: str, message: str) -> Completion:
    return Completion(request.id, "failed", message, kind, endpoint=endpoint.url, source=request.source)


def _said(error: openai.APIStatusError) -> tuple[str, str | None, str]:
    """(message, param, code) of an error body, whatever form it has."""
    body = error.body if isinstance(error.body, dict) else {}
    inner = body.get("error")
    body = inner if isinstance(inner, dict) else body
    message = body.get("message") or body.get("detail") or error.message
    param = body.get("param")
    return str(message), param if isinstance(param, str) else None, str(body.get("code") or "")


def _difference(before: Capabilities, after: Capabilities) -> str:
    if before.structure != after.structure:
        return f"structure is asked for as {after.structure} instead of {before.structure}"
    if before.max_tokens_name != after.max_tokens_name:
        return f"{before.max_tokens_name} is sent as {after.max_tokens_name}"
    return f"{', '.join(sorted(set(after.dropped) - set(before.dropped)))} is left out"


def _retry_after(error: openai.APIStatusError) -> float | None:
    """Seconds that the server asks to wait, from `Retry-After` as seconds or date; None where it does not say."""
    value = str(error.response.headers.get("retry-after", ""))
    try:
        return max(0.0, float(value))
    except ValueError:
        pass
    try:
        return max(0.0, float(parsedate_to_datetime(value).timestamp() - time.time()))
    except (TypeError, ValueError):
        return None


def _is_late(error: openai.APIConnectionError) -> bool:
    """Connected, but no answer in time. The aiohttp transport reports a refused connection as a time-out as well."""
    return isinstance(error, openai.APITimeoutError) and not isinstance(error.__cause__, httpx2.ConnectTimeout)


def _cause(error: Exception) -> str:
    cause = error.__cause__ or error
    return str(cause) or type(cause).__name__
