"""The models of a run: a client for each stage, and the server behind it where that is started by this program."""

from __future__ import annotations

import asyncio
import contextlib
import inspect
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from selfinstruct.config.loading import DEFAULT_CONCURRENCY, Config
from selfinstruct.config.own_code import own_code, recipe_named
from selfinstruct.config.roles import OPENAI_URL, headers_of, key_in, role_of, stage_models, stages_in_use, urls_of
from selfinstruct.config.sections import Role
from selfinstruct.errors import AccessError, ConfigError
from selfinstruct.models.budget import Budget
from selfinstruct.models.client import Client
from selfinstruct.models.endpoint import EndpointConfig
from selfinstruct.models.routing import Slots
from selfinstruct.models.wire import Capabilities
from selfinstruct.recipes import RECIPES
from selfinstruct.settings import Settings
from selfinstruct.steps import judging

Tell = Callable[[str], None]


@dataclass(frozen=True, slots=True)
class Listeners:
    """Who is told what while models are served."""

    learned: Callable[[str, str, Capabilities], None]
    """What an endpoint (URL, model) takes."""
    gave_up: Callable[[str], None]
    """Why the server of this program will not come back."""
    restarting: Callable[[int], None]
    """How often it has been started again, the attempt that begins included."""


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

    def in_words(self, settings: Settings, *, is_offline: bool) -> str:
        """What answers, and where: gpt-4o-mini at https://api.openai.com/v1."""
        if is_offline:
            return "the built-in offline model"
        stages: dict[str, list[str]] = {}
        for stage, served in settings.stages.items():
            where = " and ".join(endpoint.url for endpoint in self.clients[stage].endpoints)
            stages.setdefault(f"{served.model} at {where}", []).append(stage)
        if len(stages) == 1:
            return next(iter(stages))
        return "; ".join(f"{what} ({', '.join(names)})" for what, names in stages.items())


@dataclass(frozen=True, slots=True)
class _Local:
    """A server of this program."""

    url: str
    api_key: str = "none"


@contextlib.asynccontextmanager
async def serve(
    config: Config,
    tell: Tell,
    known: Mapping[tuple[str, str], Mapping[str, Any]],
    budget: Budget,
    listeners: Listeners,
) -> AsyncIterator[Models]:
    """The models that the configuration names, reachable while the block runs.

    Raises:
        AccessError, ConfigError: a server does not start or answer, or which model is meant cannot be told.
    """
    async with contextlib.AsyncExitStack() as stack:
        groups: dict[str, Client] = {}
        local = await _start(config, tell, listeners, groups, stack)
        stack.push_async_callback(_close, groups)
        remember = listeners.learned
        if local is not None:
            known, remember = {}, _forget  # its port is another each time
        stages = [stage for recipe in RECIPES.values() for stage in recipe.stages]
        clients = {
            stage: _client(role_of(config, stage), config, local, tell, known, remember, budget, groups)
            for stage in dict.fromkeys([*stages, *stages_in_use(config), *judging.STAGES])
        }
        used = {id(clients[stage]): clients[stage] for stage in stages_in_use(config)}
        listed: list[dict[str, Any]] = []
        for client in used.values():
            found = await client.check(config.model_name)
            listed = listed or found
        names = [role_of(config, stage).name for stage in stages_in_use(config)]
        name = config.model_name or (names[0] if names[0] and all(names) else _only_model(listed))
        most = max(client.slots.most for client in used.values())
        lengths = _context_lengths(clients, config, name)
        fitted = [length for stage in recipe_named(config.recipe.name).stages if (length := lengths[stage]) is not None]
        yield Models(clients, name, min(fitted, default=None), lengths, most)


async def _start(
    config: Config, tell: Tell, listeners: Listeners, groups: Mapping[str, Client], stack: contextlib.AsyncExitStack
) -> _Local | None:
    """The server that has to be started, and ends with the stack. What it costs to import is paid by who uses it."""
    if config.is_offline:
        from selfinstruct.models.offline.server import OfflineServer  # noqa: PLC0415

        return _Local(stack.enter_context(OfflineServer()).base_url)
    if not config.starts_vllm:
        return None
    from selfinstruct.models.vllm.command import VllmOptions  # noqa: PLC0415
    from selfinstruct.models.vllm.pace import first_limit, keep_pace  # noqa: PLC0415
    from selfinstruct.models.vllm.process import VllmServer  # noqa: PLC0415

    def ours() -> list[Client]:
        return [client for client in groups.values() if any(one.url == server.base_url for one in client.endpoints)]

    def is_up_again() -> None:
        for client in ours():
            client.try_again_now()

    server = VllmServer(
        VllmOptions(**config.vllm.model_dump()), str(config.model.name), config.pool / "vllm.log", tell,
        in_flight=lambda: sum(client.progress().in_flight for client in ours()),
        gave_up=listeners.gave_up, restarting=listeners.restarting, is_up_again=is_up_again,
    )  # fmt: skip
    await stack.enter_async_context(server)
    if config.concurrency is None:
        limit = first_limit(await server.metrics())
        tell(f"asking up to {limit} requests at once, adjusted to its queue from now on (--concurrency sets a number)")

        async def adjust() -> None:  # begins to run at the first wait, when the clients are there
            every = [client.slots for client in ours()]
            await keep_pace(limit, every, server.metrics, lambda: sum(one.progress().waiting for one in ours()))

        stack.callback(asyncio.create_task(adjust()).cancel)
    return _Local(server.base_url, server.api_key)


def _client(
    role: Role,
    config: Config,
    local: _Local | None,
    tell: Tell,
    known: Mapping[tuple[str, str], Mapping[str, Any]],
    learned: Callable[[str, str, Capabilities], None],
    budget: Budget,
    groups: dict[str, Client],
) -> Client:
    """The client of a role; roles with the same endpoints and limits share one, and with it the queue."""
    endpoints = endpoints_of(config, role, local)
    key = repr(
        [role.requests_per_minute, role.tokens_per_minute]
        + [
            (one.base_url, one.key_name, one.timeout_s, sorted({**one.headers, **one.secret_headers}.items()))
            for one in endpoints
        ]
    )
    if key not in groups:
        groups[key] = Client(
            endpoints, Slots(_most_at_once(config, role)), tell=tell, known=known, learned=learned, budget=budget,
            requests_per_minute=role.requests_per_minute, tokens_per_minute=role.tokens_per_minute,
        )  # fmt: skip
    return groups[key]


def _most_at_once(config: Config, role: Role) -> int:
    if config.concurrency is None and config.starts_vllm and not role.base_url:
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


def endpoints_of(config: Config, role: Role, local: _Local | None) -> list[EndpointConfig]:
    """Where a role's model is asked, each with its key; none where a server has yet to be started.

    Raises:
        AccessError: a key is missing.
    """
    urls = urls_of(config, role)
    if not urls and (own := own_code(config.model.backend or "", "model.backend")):
        name = str(config.model.backend)
        if not inspect.iscoroutinefunction(own[2]):
            raise ConfigError(f"model.backend: {name} is no async function")
        return [EndpointConfig("http://own.invalid", key_name=name, timeout_s=role.timeout_s, function=own[2])]
    headers, secret_headers = headers_of(role)
    if not urls and local is not None:
        key, key_name, urls = local.api_key, "VLLM_API_KEY", (local.url,)
    else:
        key, key_name = key_in(role.api_key_env), role.api_key_env
    if not key and OPENAI_URL in urls:
        raise AccessError(f"{OPENAI_URL} wants a key: set {key_name}, or name another server by --base-url")
    return [
        EndpointConfig(url, key or "none", key_name, headers, secret_headers, timeout_s=role.timeout_s) for url in urls
    ]


def _context_lengths(clients: Mapping[str, Client], config: Config, model: str) -> dict[str, int | None]:
    served = stage_models(config, recipe_named(config.recipe.name), model)
    return {stage: clients[stage].context_length(served[stage].model) for stage in stages_in_use(config)}


def _only_model(listed: Sequence[Mapping[str, Any]]) -> str:
    names = [str(item["id"]) for item in listed if "id" in item]
    if len(names) == 1:
        return names[0]
    some = f"; the server has {', '.join(sorted(names)[:8])}" if names else ""
    raise ConfigError(f"name the model by --model{some}")


async def _close(groups: Mapping[str, Client]) -> None:
    for client in groups.values():
        await client.close()


def _forget(url: str, model: str, capabilities: Capabilities) -> None:
    """Keep nothing of what was learned."""
