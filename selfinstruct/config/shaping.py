"""The values of a configuration that shape a pool: they are stored with each round, files by content."""

from __future__ import annotations

from collections.abc import Iterable
from importlib import resources
from importlib.resources.abc import Traversable
from pathlib import Path

from selfinstruct.checks import chosen
from selfinstruct.checks.instruction_language import language_names
from selfinstruct.checks.own_checks import asks_for_instruction
from selfinstruct.config.roles import recipe_of, stage_models, stages_in_use
from selfinstruct.config.sections import Config
from selfinstruct.errors import ConfigError
from selfinstruct.given_files import read_text
from selfinstruct.own import OWN, key_of
from selfinstruct.recipes.languages import in_languages, speaks_of_language
from selfinstruct.settings import STANDARD, PoolSettings, Settings
from selfinstruct.steps import judging
from selfinstruct.types import Exclusion


def pool_settings(
    config: Config, model: str, context_length: int | None = None, exclusions: Iterable[Exclusion] = ()
) -> Settings:
    """The pool-shaping values of a configuration, files by content; `model` serves stages that name none.

    `exclusions` are what the files of `filters.exclude` hold.
    """
    section, filters = config.recipe, config.filters
    checks, sources = _checks(config)
    if own := config.own_code(section.name, "recipe.name"):
        sources[key_of(own.source)] = own.source
    languages = language_names(filters.languages)
    named = {
        "name": own.stored if own else section.name,
        "guidance": section.guidance.strip(),
        "topics": None,
        "prompts": STANDARD,
    }
    recipe = recipe_of(config)
    kept = {"languages": tuple(languages), "checks": checks, "exclude": (), **recipe.filters}
    served = stage_models(config, recipe, model, context_length)
    return Settings(
        **{name: getattr(config, name) for name in PoolSettings.model_fields if name not in {"recipe", "filters"}},
        recipe=section.model_copy(update=named),
        filters=filters.model_copy(update=kept),
        prompts=in_languages(_prompts(config), list(languages.values())),
        topics=_topics(section.topics),
        stages={stage: served[stage] for stage in stages_in_use(config)},
        context_length=context_length,
        own_code=sources,
        exclusions=tuple(sorted(exclusion.id for exclusion in exclusions)),
    )


def _checks(config: Config) -> tuple[tuple[str, ...], dict[str, str]]:
    """The names of the checks in their order, and the sources of the user's own by digest."""
    names: list[str] = []
    sources: dict[str, str] = {}
    for entry in config.filters.checks:
        if entry.startswith(f"{OWN}:"):
            raise ConfigError(f"filters.checks: {entry!r} is the form of stored settings; give FILE.py:FUNCTION")
        own = None if entry.startswith(("regex:", "no_regex:")) else config.own_code(entry, "filters.checks")
        if own is not None:
            asks_for_instruction(f"filters.checks: {entry}", own.value)
            sources[key_of(own.source)] = own.source
        names.append(own.stored if own else entry)
    return chosen(names), sources


def _prompts(config: Config) -> dict[str, str]:
    """The prompts in use by name: those of the recipe and, where it is on, of the judge; the chosen ones among them."""
    packaged = resources.files("selfinstruct.recipes") / "prompts"
    section, of_recipe = config.recipe, packaged / recipe_of(config).name
    sets = sorted(entry.name for entry in of_recipe.iterdir() if entry.is_dir())
    prompts = _texts(of_recipe / STANDARD if sets else of_recipe) | _texts(packaged / judging.JUDGE)
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
    return {name: text for name, text in prompts.items() if config.judge.enabled or name not in judging.STAGES}


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
        lines = read_text(path, "a text file with a topic a line").splitlines()
    except ConfigError as error:
        raise ConfigError(f"recipe.topics: {error}") from error
    topics = tuple(line.strip() for line in lines if line.strip() and not line.startswith("#"))
    if not topics:
        raise ConfigError(f"recipe.topics: {path} holds no topic; give one a line")
    return topics
