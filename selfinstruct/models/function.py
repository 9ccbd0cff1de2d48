"""A model that is an async function of the user's, asked where otherwise a server is."""

from __future__ import annotations

import asyncio
import inspect
import json
from collections.abc import Awaitable, Callable, Iterator, Mapping
from typing import Any

from selfinstruct.checks.wording import excerpt
from selfinstruct.errors import ConfigError
from selfinstruct.models.endpoint import Endpoint, EndpointConfig
from selfinstruct.models.limits import Clock
from selfinstruct.models.wire import Reply, Trouble
from selfinstruct.own import in_words, raised

_COUNTS = ("prompt_tokens", "completion_tokens")
MOST_LOST = 8
"""Lost connections after which a function that never answered is left."""
ModelFunction = Callable[..., Awaitable[str | Mapping[str, Any]]]
"""Of the messages (dicts with role and content) and, where it takes a second value, of the rest of a server's body
(model, temperature, response_format, ...). It gives the text, or a mapping with `text` and, where they are known,
`finish_reason`, `prompt_tokens` and `completion_tokens`."""


class FunctionEndpoint(Endpoint):
    """Answers by a function.

    An exception with a `status_code` counts as that status of a server, one that an `OSError` caused as a lost
    connection, another one as a 400.
    """

    def __init__(
        self, config: EndpointConfig, slots: int, clock: Clock, tell: Callable[[str], None] = lambda _: None
    ) -> None:
        super().__init__(config, slots, clock, tell)
        assert config.function is not None  # noqa: S101 - for the type checker
        self.url = config.key_name
        self._function = config.function
        self._timeout_s = config.timeout_s
        self._takes_options = _positions(config.function) > 1
        try:
            inspect.signature(config.function).bind(*(None, None)[: 1 + self._takes_options])
        except TypeError as error:
            raise ConfigError(
                f"{self.url}: {error}; wanted is a function of the messages, or of messages and options"
            ) from error
        self._calls_lost = 0
        """How often it lost its connection."""

    async def ask(self, path: str, body: Mapping[str, Any]) -> Reply | Trouble:
        """What the function gives, in the form of a server's response."""
        del path
        options = {name: value for name, value in body.items() if name not in {"messages", "prompt"}}
        messages = body.get("messages") or [{"role": "prompt", "content": body.get("prompt", "")}]
        given = (messages, options) if self._takes_options else (messages,)
        try:
            async with asyncio.timeout(self._timeout_s) as limit:
                said = await self._function(*given)
        except asyncio.CancelledError as error:
            if (task := asyncio.current_task()) is None or task.cancelling():
                raise
            return _refusal(400, raised(error))  # nobody asked for it
        except (Exception, SystemExit) as error:  # noqa: BLE001 - nothing a user's function does ends a run unsaid
            return Trouble("late", f"no answer within {self._timeout_s:g} s") if limit.expired() else self._read(error)
        if fault := _fault(said):
            return _refusal(400, f"the function gave {fault}")
        return Reply(200, {}, json.dumps(_as_body(said)).encode())

    def _read(self, error: BaseException) -> Reply | Trouble:
        """What an exception of the function means."""
        status = getattr(error, "status_code", None)
        if isinstance(status, int) and status >= 400:
            return _refusal(status, raised(error))
        if not any(isinstance(one, OSError) for one in _causes(error)):  # a TimeoutError is one
            return _refusal(400, raised(error))
        self._calls_lost += 1
        if self._calls_lost < MOST_LOST or self.answered_at > float("-inf"):
            return Trouble("failed", raised(error))
        said = f"{self.url}: none of {self._calls_lost} calls was answered ({raised(error)})"
        return Trouble("left", f"{said}; is what it asks running?")

    async def models(self) -> Reply | Trouble:
        """It lists the function, by which an outage that is over is seen."""
        return Reply(200, {}, json.dumps({"data": [{"id": getattr(self._function, "__name__", "own")}]}).encode())


def _positions(function: ModelFunction) -> int:
    """How many values it takes by position."""
    found = inspect.signature(function).parameters.values()
    return sum(one.kind in {one.POSITIONAL_ONLY, one.POSITIONAL_OR_KEYWORD} for one in found)


def _causes(error: BaseException | None) -> Iterator[BaseException]:
    """The error and what it was raised from: clients put their own over the one of the connection."""
    while error is not None:
        yield error
        error = error.__cause__


def _refusal(status: int, message: str) -> Reply:
    return Reply(status, {}, json.dumps({"error": {"message": message}}).encode())


def _fault(said: object) -> str:
    """What is wrong with what a function gave; empty where it can be used."""
    if isinstance(said, str):
        return ""
    wanted = "; wanted a text, or a mapping with `text`"
    if not isinstance(said, Mapping) or "text" not in said or not isinstance(said["text"], str | None):
        return excerpt(in_words(said)) + wanted
    if not isinstance(said.get("finish_reason"), str | None):
        return f"the finish_reason {excerpt(in_words(said['finish_reason']))}{wanted}, and a text as finish_reason"
    for name in _COUNTS:
        count = said.get(name)
        if count is not None and not (isinstance(count, int) and count >= 0):
            return f"{excerpt(in_words(count))} as {name}; wanted a whole number, or no such key"
    return ""


def _as_body(said: str | Mapping[str, Any]) -> dict[str, Any]:
    answer = {"text": said} if isinstance(said, str) else dict(said)
    text = answer.get("text")
    choice = {"message": {"content": text}, "text": text, "finish_reason": answer.get("finish_reason") or "stop"}
    usage = {name: answer[name] for name in _COUNTS if answer.get(name) is not None}
    return {"choices": [choice], "usage": usage or None}
