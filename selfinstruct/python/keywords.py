"""Settings as keywords: those of the config file, by the names that they have there or on the command line."""

from __future__ import annotations

import inspect
from collections import defaultdict
from collections.abc import Callable, Collection, Mapping
from pathlib import Path
from typing import Any, TypeVar

from selfinstruct.config.habits import ON_KEYS, is_secret
from selfinstruct.config.loading import configured, over, put
from selfinstruct.config.sections import FIELDS, OPTIONS, PLACES, SECTIONS, Config, OwnCode
from selfinstruct.errors import ConfigError, nearest
from selfinstruct.python.functions import asked, kept
from selfinstruct.types import storable

Function = TypeVar("Function", bound=Callable[..., Any])
TABLES = (*(name for name in SECTIONS if name), "stages", "prices")
"""The tables of the config file, which are given as mappings."""
_OF_OTHER_COMMANDS = ("publish.", "finetune.")


def _keywords() -> dict[str, str]:
    found: dict[str, list[str]] = defaultdict(list)
    for place in FIELDS:
        if not place.startswith(_OF_OTHER_COMMANDS):
            found[place.rpartition(".")[2]].append(place)
    alone = {key: places[0] for key, places in found.items() if len(places) == 1}
    return {**alone, **{name: one.place for name, one in OPTIONS.items()}}


KEYWORDS: Mapping[str, str] = _keywords()
"""The places of settings by keyword. A key that several tables have is that of the option, else of none."""


def read(pool: str | Path | None, config: str | Path | None, settings: Mapping[str, Any], tell: Any = None) -> Config:
    """The configuration for these keywords over the environment, the config file and the defaults; None: not given.

    Raises:
        ConfigError: one line that names the setting, what was found and what is wanted.
    """
    tables: dict[str, Any] = {}
    keys: dict[str, Any] = {}
    for name, value in ({"pool": pool} | dict(settings)).items():
        if isinstance(value, str) and storable(value) != value:
            raise ConfigError(f"{name}: this is no text in UTF-8: {value!r}")
        if value is None:
            continue
        if name in TABLES and isinstance(value, Mapping):
            put(tables, name, dict(value))
        elif name in KEYWORDS:
            put(keys, KEYWORDS[name], value)
        else:
            raise ConfigError(_on_unknown(name))
    tree = over(tables, keys)
    own = _own(tree)
    found = configured(None if config is None else Path(config), tree, tell)
    found.give(own)
    return found


def _own(tree: dict[str, Any]) -> dict[str, OwnCode]:
    """Put names in the place of functions; what they stand for."""
    own: dict[str, OwnCode] = {}
    filters, model = tree.get("filters", {}), tree.get("model", {})
    if callable(model.get("name")):
        name, own_model = asked(model.pop("name"))
        if beside := model.keys() & {"backend", "base_url"}:
            raise ConfigError(f"model: {name.rpartition(':')[2]} answers itself; leave out {min(beside)}")
        own[name] = own_model
        model["backend"] = name
    checks = filters.get("checks")
    if checks is not None:
        listed = []
        for entry in [checks] if isinstance(checks, str) or callable(checks) else checks:
            name, code = kept(entry) if callable(entry) else (entry, None)
            listed.append(name)
            own |= {name: code} if code else {}
        filters["checks"] = listed
    return own


def _on_unknown(name: str) -> str:
    said = f"unknown setting {name!r}; "
    if is_secret(name):
        return said + ON_KEYS
    if several := [place for place in FIELDS if place.rpartition(".")[2] == name]:
        return (
            said
            + "give its table: "
            + " or ".join(f"{place.rpartition('.')[0]}={{{name!r}: ...}}" for place in several)
        )
    meant = nearest(name, [*KEYWORDS, *TABLES])
    if meant is None and (place := PLACES.meant(name)):
        meant = next((one for one, where in KEYWORDS.items() if where == place), place)
    return said + (f"did you mean {meant}?" if meant else "docs/configuration.md lists them")


def with_settings(but: Collection[str] = ()) -> Callable[[Function], Function]:
    """Show every setting in the signature of a function that takes them as `**settings`, each with its default."""

    def decorated(function: Function) -> Function:
        signature = inspect.signature(function)
        own = [one for one in signature.parameters.values() if one.kind is not inspect.Parameter.VAR_KEYWORD]
        left_out = {*but, *(one.name for one in own)}
        shown = [_parameter(name) for name in dict.fromkeys([*KEYWORDS, *TABLES]) if name not in left_out]
        function.__signature__ = signature.replace(parameters=[*own, *shown])  # type: ignore[attr-defined]
        return function

    return decorated


def _parameter(name: str) -> inspect.Parameter:
    default = None if name in TABLES else FIELDS[KEYWORDS[name]].get_default()
    return inspect.Parameter(name, inspect.Parameter.KEYWORD_ONLY, default=default)
