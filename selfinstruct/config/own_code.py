"""What a configuration names as `FILE.py:NAME`: the user's own code, read once and kept by content."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from selfinstruct.checks import chosen
from selfinstruct.errors import ConfigError
from selfinstruct.given_files import read_text
from selfinstruct.own import OWN, defined, file_and_name, installed, key_of, stored_name
from selfinstruct.recipes import RECIPES, Recipe


def own_code(text: str, place: str) -> tuple[str, str, Any] | None:
    """The stored name, the source and the thing itself that `FILE.py:NAME` stands for; None where it is none.

    Raises:
        ConfigError: the file cannot be read or loaded, or defines no such name.
    """
    found = file_and_name(text)
    if found is None:
        return None
    path, name = found
    try:
        source = read_text(Path(path), "a file of Python")
        return stored_name(source, name), source, defined(source, name, path)
    except ConfigError as error:
        raise ConfigError(f"{place}: {error}") from error


def own_checks(entries: Sequence[str]) -> tuple[tuple[str, ...], dict[str, str]]:
    """The names of checks in their order, and the sources of the user's own by digest.

    Raises:
        ConfigError: a name is unknown, or a file cannot be read or loaded, or has no such function.
    """
    named: list[str] = []
    sources: dict[str, str] = {}
    for entry in entries:
        if entry.startswith(f"{OWN}:"):
            raise ConfigError(f"filters.checks: {entry!r} is the form of stored settings; give FILE.py:FUNCTION")
        if not entry.startswith(("regex:", "no_regex:")) and (found := own_code(entry, "filters.checks")):
            name, source, function = found
            if not callable(function):
                raise ConfigError(f"filters.checks: {entry} is no function")
            sources[key_of(source)] = source
            named.append(name)
        else:
            named.append(entry)
    return chosen(named), sources


def recipe_named(name: str) -> Recipe:
    """The recipe that a configuration names: a built-in one, or the user's own as `FILE.py:NAME`.

    Raises:
        ConfigError: there is no such recipe.
    """
    if name in RECIPES:
        return RECIPES[name]
    found = own_code(name, "recipe.name")
    recipe = found[2] if found else installed("recipes", name)
    if not isinstance(recipe, Recipe):
        raise ConfigError(f"recipe.name: {name} is no recipe; it has to be a `selfinstruct.recipes.Recipe`")
    if recipe.name not in RECIPES:
        raise ConfigError(f"recipe.name: {name} has the name {recipe.name!r}; wanted is {' or '.join(RECIPES)}, "
                          "whose prompts it fills")  # fmt: skip
    return recipe
