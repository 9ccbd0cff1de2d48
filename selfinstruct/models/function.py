"""A model that is an async function of the user's, asked where otherwise a server is."""

from __future__ import annotations

import asyncio
import inspect
import json
from collections.abc import Awaitable, Callable, Mapping
from typing import Any

from selfinstruct.models.endpoint import Endpoint, EndpointConfig
from selfinstruct.models.limits import Clock
from selfinstruct.models.wire import Reply, Trouble
from selfinstruct.own import in_words

ModelFunction = Callable[..., Awaitable[str | Mapping[str, Any]]]
"""Of the messages (dicts with role and content) and, where it takes a second value, of the rest of a server's body
(model, temperature, response_format, ...). It gives the text, or a mapping with `text` and, where they are known,
`finish_reason`, `prompt_tokens` and `completion_tokens`."""


class FunctionEndpoint(Endpoint):
    """Answers by a function. An exception with a `status_code` counts as that status, another one as a 400."""

    def __init__(
        self, config: EndpointConfig, slots: int, clock: Clock, tell: Callable[[str], None] = lambda _: None
    ) -> None:
        super().__init__(config, slots, clock, tell)
        assert config.function is not None  # noqa: S101 - for the type checker
        self.url = config.key_name
        self._function = config.function
        self._timeout_s = config.timeout_s
        self._takes_options = len(inspect.signature(config.function).parameters) > 1

    async def ask(self, path: str, body: Mapping[str, Any]) -> Reply | Trouble:
        """What the function gives, in the form of a server's response."""
        del path
        options = {name: value for name, value in body.items() if name not in {"messages", "prompt"}}
        messages = body.get("messages") or [{"role": "prompt", "content": body.get("prompt", "")}]
        given = (messages, options) if self._takes_options else (messages,)
        try:
            async with asyncio.timeout(self._timeout_s):
                said = await self._function(*given)
        except TimeoutError:
            return Trouble("late", f"no answer within {self._timeout_s:g} s")
        except OSError as error:
            return Trouble("failed", in_words(error))
        except Exception as error:  # noqa: BLE001 - whatever a user's function does must not end a run without a word
            status = getattr(error, "status_code", None)
            said_by = {"error": {"message": f"{type(error).__name__}: {in_words(error)}"}}
            return Reply(status if isinstance(status, int) and status >= 400 else 400, {}, json.dumps(said_by).encode())
        return Reply(200, {}, json.dumps(_as_body(said)).encode())

    async def models(self) -> Reply | Trouble:
        """It lists none."""
        return Reply(200, {}, b'{"data": []}')


def _as_body(said: str | Mapping[str, Any]) -> dict[str, Any]:
    answer = {"text": said} if isinstance(said, str) else dict(said)
    text = answer.get("text")
    choice = {"message": {"content": text}, "text": text, "finish_reason": answer.get("finish_reason", "stop")}
    usage = {name: answer[name] for name in ("prompt_tokens", "completion_tokens") if name in answer}
    return {"choices": [choice], "usage": usage or None}
