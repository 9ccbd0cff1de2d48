"""The values of a configuration that shape a pool: they are stored with each round, files by content."""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Iterable
from importlib import resources
from importlib.resources.abc import Traversable
from pathlib import Path
from typing import Any

from selfinstruct import checks, sources, steps
from selfinstruct.checks.instruction_language import language_names
from selfinstruct.checks.own_checks import asks_for_instruction
from selfinstruct.config.roles import recipe_named, stage_models
from selfinstruct.config.sections import DEFAULT_TARGET, Config
from selfinstruct.errors import ConfigError
from selfinstruct.given_files import read_list, read_text
from selfinstruct.own import OWN, key_of, short
from selfinstruct.recipes.languages import in_languages, speaks_of_language
from selfinstruct.settings import STANDARD, PoolSettings, Settings
from selfinstruct.sources import check_source
from selfinstruct.steps import judging, turns
from selfinstruct.steps.own_steps import check_step
from selfinstruct.types import Exclusion


def pool_settings(
    config: Config,
    model: str,
    context_length: int | None = None,
    exclusions: Iterable[Exclusion] = (),
    passages: str = "",
) -> Settings:
    """The pool-shaping values of a configuration, files by content; `model` serves stages that name none.

    `exclusions` are what the files of `filters.exclude` hold, `passages` names what `documents.path` does.
    """
    section, filters, recipe = config.recipe, config.filters, recipe_named(config)
    lists, code = lists_in(config)
    if own := config.own_code(section.name, "recipe.name"):
        code[key_of(own.source)] = own.source
    languages = language_names(filters.languages)
    named = {
        "name": own.stored if own else section.name,
        "guidance": section.guidance.strip(),
        "topics": None,
        "prompts": STANDARD,
        "sources": lists["sources"],
        "steps": lists["steps"],
    }
    kept = {"languages": tuple(languages), "checks": lists["checks"], "exclude": (), **recipe.filters}
    return Settings(
        **{
            name: getattr(config, name)
            for name in PoolSettings.model_fields
            if name not in {"recipe", "round_size", "filters", "documents"}
        },
        recipe=section.model_copy(update=named),
        round_size=_round_size(config),
        filters=filters.model_copy(update=kept),
        prompts=in_languages(_prompts(config), list(languages.values())),
        topics=_topics(section.topics),
        stages=stage_models(config, recipe, config, model, context_length),
        context_length=context_length,
        own_code=code,
        documents=config.documents.model_copy(update={"path": None}),
        exclusions=tuple(sorted(exclusion.id for exclusion in exclusions)),
        passages=passages,
    )


ROUNDS_BY_BATCH = 8
"""Rounds that a run by batches is to take, each of which waits for a batch."""


def _round_size(config: Config) -> int:
    """That of the configuration; with batches, where none is given, one that makes few rounds of what is wanted."""
    if not config.batch.enabled or "round_size" in config.model_fields_set:
        return config.round_size
    wanted = config.more or config.target_rows or config.target or DEFAULT_TARGET
    requests = wanted / (config.recipe.tasks_per_request / 2) / ROUNDS_BY_BATCH
    return min(1000, max(config.round_size, math.ceil(requests)))


def lists_in(config: Config) -> tuple[dict[str, tuple[str, ...]], dict[str, str]]:
    """The names in each list, in their order, and the sources of the user's own by digest. Raises: ConfigError."""
    code: dict[str, str] = {}
    listed = _named(config, config.filters.checks, "filters.checks", asks_for_instruction, code)
    asked = _named(config, config.recipe.sources, "recipe.sources", check_source, code)
    found = {"checks": checks.chosen(listed), "sources": sources.chosen(asked), "steps": _steps(config, code)}
    names = [name for names in found.values() for name in names]
    return found, {key: source for key, source in code.items() if any(f":{key}:" in name for name in names)}


def _named(
    config: Config, entries: Iterable[str], place: str, check: Callable[[str, Any], object], code: dict[str, str]
) -> list[str]:
    """The entries of a list with the user's own by their stored names; their sources go into `code`, by digest.

    `check` raises a ConfigError where one cannot be used.
    """
    names: list[str] = []
    for entry in entries:
        if entry.startswith(f"{OWN}:"):
            raise ConfigError(f"{place}: {entry!r} is the form of stored settings; give FILE.py:NAME")
        taken_out = "-" if entry.startswith("-") else ""
        name = entry.removeprefix("-")
        own = None if name.startswith(("regex:", "no_regex:")) else config.own_code(name, place)
        if own is not None:
            check(f"{place}: {name}", own.value)
            code[key_of(own.source)] = own.source
        names.append(f"{taken_out}{own.stored if own else name}")
    return names


def _steps(config: Config, code: dict[str, str]) -> tuple[str, ...]:
    """The names of the steps in their order; the sources of the user's own go into `code`, by digest."""
    place = "recipe.steps"
    names = steps.chosen(_named(config, config.recipe.steps, place, check_step, code))
    taken = [*recipe_named(config).stages, *steps.BUILT_IN, *config.sample.stages]
    for name in names:
        if name not in steps.STEPS:
            if short(name) in taken:
                raise ConfigError(
                    f"{place}: {short(name)} is the name of another stage; give the function another name"
                )
            taken.append(short(name))
    if config.judge.enabled and judging.JUDGE not in names:
        raise ConfigError(
            f"{place}: the judge is switched on and not in the list; add {judging.JUDGE!r} where it belongs"
        )
    return names


def _prompts(config: Config) -> dict[str, str]:
    """The prompts in use by name: those of the recipe and of the steps that are on; the chosen ones among them."""
    packaged = resources.files("selfinstruct.recipes") / "prompts"
    section, of_recipe = config.recipe, packaged / recipe_named(config).name
    sets = sorted(entry.name for entry in of_recipe.iterdir() if entry.is_dir())
    prompts = _texts(of_recipe / STANDARD if sets else of_recipe)
    prompts |= _texts(packaged / judging.JUDGE) | _texts(packaged / "sources") | _texts(packaged / turns.TURNS)
    if section.prompts != STANDARD:
        folder = of_recipe / section.prompts if section.prompts in sets else Path(section.prompts)
        if not folder.is_dir():
            raise ConfigError(
                f"recipe.prompts: {section.prompts} is not a folder, nor a set of prompts of the recipe {section.name} "
                f"({', '.join(sets or [STANDARD])}); a folder holds files such as {next(iter(prompts))}.txt"
            )
        found = _texts(folder)
        if unknown := found.keys() - prompts.keys():
            names = ", ".join(f"{name}.txt" for name in prompts)
            raise ConfigError(
                f"{folder}/{min(unknown)}.txt: the recipe {section.name} has no such prompt; it has {names}"
            )
        if config.filters.languages and (
            mute := [one for one in found if speaks_of_language(prompts[one]) and not speaks_of_language(found[one])]
        ):
            raise ConfigError(
                f"{folder}/{mute[0]}.txt: --language is not asked for; write {{{{language}}}} where it belongs"
            )
        prompts |= found
    in_use = {*steps.stages_of(config), section.reasoning}
    in_use |= {prompt for source in section.sources for prompt in sources.PROMPTS_OF.get(source, ())}
    in_use |= {"propose_with_answer"} if section.with_answer else set()
    of_sources = itertools.chain(*sources.PROMPTS_OF.values())
    optional = {*steps.OF_JUDGE, *of_sources, *turns.STAGES, "propose_with_answer", "step_by_step", "least_to_most"}
    return {name: text for name, text in prompts.items() if name in in_use or name not in optional}


def _texts(folder: Traversable) -> dict[str, str]:
    files = sorted((entry for entry in folder.iterdir() if entry.name.endswith(".txt")), key=lambda entry: entry.name)
    return {
        entry.name.removesuffix(".txt"): read_text(entry, "a prompt")
        if isinstance(entry, Path)
        else entry.read_text("utf-8")
        for entry in files
    }


def _topics(path: Path | None) -> tuple[str, ...]:
    if path is None:
        return ()
    try:
        return read_list(path, "topic")
    except ConfigError as error:
        raise ConfigError(f"recipe.topics: {error}") from error
