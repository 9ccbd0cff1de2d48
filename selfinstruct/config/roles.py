"""What a configuration comes to: its recipe and checks, and the model, endpoints, sampling and price of each stage."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from typing import Any

from selfinstruct import steps
from selfinstruct.config.sections import Config, Role, Sampling
from selfinstruct.errors import ConfigError
from selfinstruct.models.budget import Limits
from selfinstruct.models.prices import Price, listed_price
from selfinstruct.models.urls import as_base_url, urls_in
from selfinstruct.own import installed
from selfinstruct.recipes import RECIPES, Recipe, own_recipe
from selfinstruct.settings import PoolSettings, Settings
from selfinstruct.steps import stages_of
from selfinstruct.types import StageModel

DEFAULT_CONCURRENCY = 32
OPENAI_URL = "https://api.openai.com/v1"
_VARIABLE = re.compile(r"\$\{([^{}]*)\}")
"""Where a header gets its value, or a part of it, from the environment."""


def recipe_named(config: Config) -> Recipe:
    """The recipe that a configuration names: a built-in one, the user's own as `FILE.py:NAME`, or a package's.

    Raises:
        ConfigError: what is named is no recipe.
    """
    name = config.recipe.name
    if name in RECIPES:
        return RECIPES[name]
    own = config.own_code(name, "recipe.name")
    try:
        return own_recipe(own.value if own else installed("recipes", name), name)
    except ConfigError as error:
        raise ConfigError(f"recipe.name: {error}") from error


def stages_in_use(config: Config) -> tuple[str, ...]:
    """The stages of the recipe, and those at which the steps ask."""
    return (*recipe_named(config).stages, *stages_of(config))


def stage_models(
    config: Config, recipe: Recipe, of: PoolSettings, model: str, context_length: int | None = None
) -> dict[str, StageModel]:
    """Which model answers each stage of a recipe and of the steps in these settings, and how it samples."""
    api = dict.fromkeys(recipe.stages, recipe.api) | dict.fromkeys(stages_of(of), steps.API)
    return {
        stage: StageModel(
            role_of(config, stage).name or model, api[stage], sampling_of(config, recipe, stage, context_length)
        )
        for stage in api
    }


def role_of(config: Config, stage: str) -> Role:
    """The model and endpoints of a stage: its own where it names them, else those of all."""
    if config.is_offline:
        return config.model.model_copy(update={"name": None, "base_url": ()})
    own = config.stages.get(stage, Role())
    given = own.model_fields_set | ({"base_url", "base_url_file"} if own.names_servers else set())
    return config.model.model_copy(update={name: getattr(own, name) for name in given})


def urls_of(config: Config, role: Role) -> tuple[str, ...]:
    """Where a role's model is served: its own URLs, else that of the environment, else OpenAI's.

    None where the program starts the server itself.

    Raises:
        ConfigError: the file of URLs cannot be read, holds none, or a line of it is none.
    """
    if role.base_url_file is not None:
        listed, fault = urls_in(role.base_url_file)
        if fault:
            raise ConfigError(fault)
        return (*role.base_url, *listed)
    if role.base_url or config.is_offline or config.starts_vllm or config.own_model:
        return role.base_url
    url = os.environ.get("OPENAI_BASE_URL", "").strip()
    return (base_url(url, "OPENAI_BASE_URL"),) if url else (OPENAI_URL,)


def base_url(url: str, place: str) -> str:
    """A base URL that stands elsewhere than in a configuration.

    Raises:
        ConfigError: it is none.
    """
    try:
        return as_base_url(url)
    except ValueError as error:
        raise ConfigError(f"{place}: {error}") from None


def key_in(variable: str) -> str:
    """The key that an environment variable holds; empty: none.

    Raises:
        ConfigError: no HTTP header can carry it.
    """
    key = os.environ.get(variable, "").strip()
    for place, character in enumerate(key, 1):
        if not ("!" <= character <= "~"):
            raise ConfigError(
                f"{variable}: character {place} of the key, U+{ord(character):04X}, can be in no key; "
                f"set {variable} to the key alone, on one line"
            )
    return key


def headers_of(role: Role) -> tuple[Mapping[str, str], Mapping[str, str]]:
    """The further headers of a role: those written in the configuration, and those with a value of the environment.

    Raises:
        ConfigError: a variable is not set.
    """
    written: dict[str, str] = {}
    secret: dict[str, str] = {}
    for name, value in role.extra_headers.items():
        if not _VARIABLE.search(value):
            written[name] = value
            continue
        for variable in _VARIABLE.findall(value):
            if not key_in(variable):
                raise ConfigError(f"extra_headers: {name} names the environment variable {variable}, which is not set")
        secret[name] = _VARIABLE.sub(lambda found: key_in(found[1]), value)
    return written, secret


def prices_of(config: Config, settings: Settings) -> dict[str, Price]:
    """The prices of the models in use, as far as they are known: configured ones, else the dearest of public lists."""
    found: dict[str, Price] = {}
    for stage, served in settings.stages.items():
        given = config.prices.get(served.model)
        urls = () if given else urls_of(config, role_of(config, stage))
        prices = [Price(given.input, given.output, given.cached)] if given else []
        prices += [price for url in urls if (price := listed_price(served.model, url)) is not None]
        if config.batch.enabled and config.batch.stragglers == "batch":  # nothing is asked live, at the whole price
            prices = [price.halved() for price in prices]
        if served.model in found:
            prices.append(found[served.model])
        if prices:
            found[served.model] = max(prices, key=lambda price: price.input + price.output)
    return found


def sampling_of(config: Config, recipe: Recipe, stage: str, context_length: int | None = None) -> dict[str, Any]:
    """The parameters of a stage by its recipe or step, those of [model] and [stages.X] over them.

    An answer gets at most half of a short context, unless its length is configured.
    """
    sampling = dict(recipe.sampling.get(stage) or steps.sampling_at(stage, config))
    if context_length is not None:
        most = max(1, context_length // 2)
        sampling["max_tokens"] = min(sampling.get("max_tokens", most), most)
    role = role_of(config, stage)
    for name in Sampling.model_fields:
        value = getattr(role, name)
        if value is not None and value != {}:
            sampling[name] = list(value) if isinstance(value, tuple) else value
    return sampling


def limits_of(config: Config) -> Limits:
    """The bounds of a run, except minutes."""
    budget = config.budget
    return Limits(budget.max_usd, budget.max_tokens, budget.max_requests, budget.pool_max_usd)
