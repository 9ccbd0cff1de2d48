"""The models of a run: a client for each stage, and the server behind it where that is started by this program."""

from __future__ import annotations

import asyncio
import contextlib
import inspect
from collections.abc import AsyncIterator, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any

from selfinstruct.config.roles import (
    DEFAULT_CONCURRENCY,
    OPENAI_URL,
    headers_of,
    key_in,
    recipe_named,
    role_of,
    stage_models,
    stages_in_use,
    urls_of,
)
from selfinstruct.config.sections import Config, Role
from selfinstruct.errors import AccessError, ConfigError
from selfinstruct.models.batches import MOST_LINES
from selfinstruct.models.budget import Budget
from selfinstruct.models.client import MOST_TOLD, Client
from selfinstruct.models.endpoint import Batching, EndpointConfig
from selfinstruct.models.routing import Slots
from selfinstruct.models.whereabouts import LOOKED_FOR_EVERY_S, Whereabouts
from selfinstruct.models.wire import Capabilities
from selfinstruct.runner.pump import Growth, Outcome
from selfinstruct.runner.watch import Tell
from selfinstruct.settings import Settings
from selfinstruct.types import digest

CLOCKS_DIFFER_S = 3600.0
"""Between this machine and a provider, at most."""


@dataclass(frozen=True, slots=True)
class Models:
    """What answers the stages."""

    clients: Mapping[str, Client]
    name: str
    """The model of the stages that name none."""
    context_length: int | None
    """The least that any endpoint of a stage in use takes, as far as they say; tokens of prompt and answer."""
    context_lengths: Mapping[str, int | None]
    """By stage in use."""
    concurrency: int
    """The most requests that will be in flight."""
    is_offline: bool

    def in_words(self, settings: Settings) -> str:
        """What answers, and where: gpt-4o-mini at https://api.openai.com/v1."""
        if self.is_offline:
            return "the built-in offline model"
        stages: dict[str, list[str]] = {}
        for stage, served in settings.stages.items():
            urls = [endpoint.url for endpoint in self.clients[stage].endpoints]
            where = " and ".join(urls if len(urls) <= MOST_TOLD else [urls[0], f"{len(urls) - 1} others"])
            stages.setdefault(f"{served.model} at {where}", []).append(stage)
        if len(stages) == 1:
            return next(iter(stages))
        return "; ".join(f"{what} ({', '.join(names)})" for what, names in stages.items())


@contextlib.asynccontextmanager
async def serve(
    config: Config,
    tell: Tell,
    known: Mapping[tuple[str, str], Mapping[str, Any]],
    budget: Budget,
    growths: Sequence[Growth],
    needed: Iterable[str] = (),
    open_since: str | None = None,
) -> AsyncIterator[Models]:
    """The models that the configuration names, reachable while the block runs.

    `known` is what earlier runs learned of endpoints. `growths` hear of the servers; it is empty until there is one.
    `needed` are stages at which only tasks and rounds of earlier runs still ask, `open_since` is when the earliest of
    these runs began, whose batches may hold their questions.

    Raises:
        AccessError, ConfigError: a server does not start or answer, or which model is meant cannot be told.
    """

    def learned(url: str, model: str, capabilities: Capabilities) -> None:
        for growth in growths if local is None else ():  # the port of our own server is another each time
            growth.journal.note_capabilities(url, model, capabilities.to_json())

    async def client_of(role: Role) -> Client:
        """Roles with the same endpoints and limits share one, and with it the queue."""
        endpoints = endpoints_of(config, role, local, open_since)
        kind = (
            role.requests_per_minute, role.tokens_per_minute, role.base_url_file,
            [replace(one, function=None) for one in endpoints],
        )  # fmt: skip
        for other, client in made:
            if other == kind:
                return client
        where = Whereabouts(endpoints, role.base_url, role.base_url_file, tell)
        client = Client(
            await where.now(), Slots(_most_at_once(config, role)),
            tell=tell, known=known, learned=learned, budget=budget,
            requests_per_minute=role.requests_per_minute, tokens_per_minute=role.tokens_per_minute,
        )  # fmt: skip
        made.append((kind, client))
        stack.push_async_callback(client.close)
        if where.may_change:
            moving.append((client, where))
        return client

    async with contextlib.AsyncExitStack() as stack:
        made: list[tuple[Any, Client]] = []
        moving: list[tuple[Client, Whereabouts]] = []
        local = await _start(config, tell, growths, made, stack)
        known = known if local is None else {}
        in_use = stages_in_use(config)
        clients = {stage: await client_of(role_of(config, stage)) for stage in dict.fromkeys([*in_use, *needed])}
        used = list(dict.fromkeys(clients[stage] for stage in in_use))
        listed = [await client.check(config.model_name) for client in used]
        names = [role_of(config, stage).name for stage in in_use]
        name = config.model_name or (names[0] if names[0] and all(names) else _only_model(listed))
        recipe = recipe_named(config)
        served = stage_models(config, recipe, config, name)
        lengths = {stage: clients[stage].context_length(served[stage].model) for stage in in_use}
        fitted = [length for stage in recipe.stages if (length := lengths[stage]) is not None]
        most = max(client.slots.most for client in used)
        for client, where in moving:
            stack.callback(asyncio.create_task(_follow(client, where)).cancel)
        yield Models(clients, name, min(fitted, default=None), lengths, most, config.is_offline)


async def _follow(client: Client, where: Whereabouts) -> None:
    """Have a client ask the servers that there are, as they come and go."""
    while True:
        await asyncio.sleep(LOOKED_FOR_EVERY_S)
        await client.use(await where.now())


async def _start(
    config: Config,
    tell: Tell,
    growths: Sequence[Growth],
    made: Sequence[tuple[Any, Client]],
    stack: contextlib.AsyncExitStack,
) -> EndpointConfig | None:
    """The server that has to be started, and ends with the stack. What it costs to import is paid by who uses it."""
    if config.is_offline:
        from selfinstruct.models.offline.server import OfflineServer  # noqa: PLC0415

        return EndpointConfig(stack.enter_context(OfflineServer()).base_url)
    if not config.starts_vllm:
        return None
    from selfinstruct.models.vllm.command import VllmOptions  # noqa: PLC0415
    from selfinstruct.models.vllm.pace import first_limit, keep_pace  # noqa: PLC0415
    from selfinstruct.models.vllm.process import VllmServer  # noqa: PLC0415

    def ours() -> list[Client]:
        return [client for _, client in made if any(one.url == server.base_url for one in client.endpoints)]

    def is_up_again() -> None:
        for client in ours():
            client.try_again_now()

    def gave_up(reason: str) -> None:
        for growth in growths:
            growth.halt(Outcome(AccessError.exit_code, reason))

    def restarting(times: int) -> None:
        for growth in growths:
            growth.journal.note_restarts(times)

    server = VllmServer(
        VllmOptions(**config.vllm.model_dump()), str(config.model.name), config.pool / "vllm.log", tell,
        in_flight=lambda: sum(client.progress().in_flight for client in ours()),
        gave_up=gave_up, restarting=restarting, is_up_again=is_up_again,
    )  # fmt: skip
    await stack.enter_async_context(server)
    if config.concurrency is None:
        limit = first_limit(await server.metrics())
        tell(f"asking up to {limit} requests at once, adjusted to its queue from now on (--concurrency sets a number)")

        async def adjust() -> None:  # begins to run at the first wait, when the clients are there
            every = [client.slots for client in ours()]
            await keep_pace(limit, every, server.metrics, lambda: sum(one.progress().waiting for one in ours()))

        stack.callback(asyncio.create_task(adjust()).cancel)
    return EndpointConfig(server.base_url, server.api_key, "VLLM_API_KEY")


def _most_at_once(config: Config, role: Role) -> int:
    if config.batch.enabled:
        return MOST_LINES
    if config.concurrency is None and config.starts_vllm and not role.names_servers:
        from selfinstruct.models.vllm.pace import MOST  # noqa: PLC0415

        return MOST
    return config.concurrency or DEFAULT_CONCURRENCY


def check_access(config: Config) -> None:
    """Make sure, without asking anybody, that keys and the command of a server are there for all stages in use.

    Raises:
        AccessError, ConfigError: as the run would.
    """
    for stage in stages_in_use(config):
        endpoints_of(config, role_of(config, stage), None)
    if config.starts_vllm:
        from selfinstruct.models.vllm.command import VllmOptions, port_for, serve_command  # noqa: PLC0415

        options = VllmOptions(**config.vllm.model_dump())
        serve_command(options, str(config.model.name), port_for(options))


def endpoints_of(
    config: Config, role: Role, local: EndpointConfig | None, open_since: str | None = None
) -> list[EndpointConfig]:
    """Where a role's model is asked, each with its key; `local` is the server that was started for the run.

    Raises:
        AccessError: a key is missing.
    """
    urls = urls_of(config, role)
    batching = None
    if config.batch.enabled:
        named = digest(config.seed, config.pool.name)[:16]
        since = None if open_since is None else datetime.fromisoformat(open_since).timestamp() - CLOCKS_DIFFER_S
        batching = Batching(named, config.batch.wait_s, config.batch.folder, config.batch.stragglers, since)
    if batching is not None and batching.folder is not None:
        return [EndpointConfig("http://folder.invalid", key_name=str(batching.folder), batching=batching)]
    if not urls and (own := config.own_code(config.model.backend or "", "model.backend")):
        name = str(config.model.backend)
        if not inspect.iscoroutinefunction(own.value):
            raise ConfigError(f"model.backend: {name} is no async function")
        return [EndpointConfig("http://own.invalid", key_name=name, timeout_s=role.timeout_s, function=own.value)]
    headers, secret_headers = headers_of(role)
    if not urls and local is not None:
        return [replace(local, headers=headers, secret_headers=secret_headers, timeout_s=role.timeout_s)]
    key, key_name = key_in(role.api_key_env) or "none", role.api_key_env
    if key == "none" and OPENAI_URL in urls:
        raise AccessError(f"{OPENAI_URL} wants a key: set {key_name}, or name another server by --base-url")
    return [
        EndpointConfig(url, key, key_name, headers, secret_headers, timeout_s=role.timeout_s, batching=batching)
        for url in urls
    ]


def _only_model(listed: Sequence[Sequence[Mapping[str, Any]]]) -> str:
    """The one model that the first of the servers which list any has."""
    names = [str(item["id"]) for item in next(filter(None, listed), ()) if "id" in item]
    if len(names) == 1:
        return names[0]
    some = f"; the server has {', '.join(sorted(names)[:8])}" if names else ", or wait: the server lists none yet"
    raise ConfigError(f"name the model by --model{some}")
