"""Requests to a client, as tests make them, and what becomes of them."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

from selfinstruct.models.client import Client
from selfinstruct.models.endpoint import EndpointConfig
from selfinstruct.models.routing import Slots
from selfinstruct.types import Completion, Message, Request, Schema
from tests.servers import Answer, ScriptedServer, says

SCHEMA = Schema("thing", {"type": "object", "properties": {}, "required": [], "additionalProperties": False})
FINE = says(lambda *_: None)


def request(
    identity: str = "ab" * 32, words: str = "Hi", *, api: Any = "chat", schema: Schema | None = None, **sampling: Any
) -> Request:
    role: Any = "user" if api == "chat" else "prompt"
    messages = (Message(role, words),)
    return Request(identity, "propose", 0, None, 0, api, "m", {"max_tokens": 9, **sampling}, messages, schema)


def requests(number: int, **sampling: Any) -> list[Request]:
    return [request(f"{place:08x}" * 8, **sampling) for place in range(number)]


async def asking(
    configs: list[EndpointConfig], asked: list[Request], *, told: list[str] | None = None, slots: int = 8,
    check: bool = False, in_turn: bool = False, after: Callable[[Client], Awaitable[None]] | None = None, **more: Any,
) -> list[Any]:  # fmt: skip
    """The answers, or in their places what was raised; `after` runs meanwhile. `in_turn`: what is raised ends it."""
    client = Client(configs, Slots(slots), tell=[].append if told is None else told.append, **more)
    try:
        if check:
            await client.check()
        if in_turn:
            return [await client.complete(one, 0) for one in asked]
        asks = [asyncio.create_task(client.complete(one, 0)) for one in asked]
        if after is not None:
            await after(client)
        return await asyncio.gather(*asks, return_exceptions=True)
    finally:
        await client.close()


def ask_all(urls: list[str], asked: list[Request], **more: Any) -> list[Any]:
    return asyncio.run(asking([EndpointConfig(url) for url in urls], asked, **more))


def ask(
    answer: Answer, *asked: Request, timeout_s: float = 5.0, **more: Any
) -> tuple[list[Completion], ScriptedServer]:
    """The answers to requests, one after the other, of a server with a key."""
    with ScriptedServer(answer) as server:
        config = EndpointConfig(server.base_url, "secret-key", "MY_KEY", timeout_s=timeout_s)
        return asyncio.run(asking([config], list(asked), in_turn=True, **more)), server


async def until(condition: Callable[[], object]) -> None:
    """Wait for a state, for a minute at most."""
    async with asyncio.timeout(60):
        while not condition():  # noqa: ASYNC110 - what is waited for sets no event
            await asyncio.sleep(0.02)
