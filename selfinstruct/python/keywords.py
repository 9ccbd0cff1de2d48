"""Settings as keywords: those of the config file, by the names that they have there or on the command line.

What is said of an option in words of the command line is said of the keyword here, in this one place.
"""

from __future__ import annotations

import contextlib
import inspect
import re
from collections import defaultdict
from collections.abc import Callable, Collection, Iterator, Mapping
from pathlib import Path
from typing import Any, TypeVar

from selfinstruct.config.habits import ON_KEYS, is_secret
from selfinstruct.config.loading import configured, over, put
from selfinstruct.config.sections import FIELDS, OPTIONS, PLACES, SECTIONS, Config, OwnCode
from selfinstruct.errors import ConfigError, SelfInstructError, nearest
from selfinstruct.own import in_words
from selfinstruct.python.functions import asked, kept
from selfinstruct.types import storable

Function = TypeVar("Function", bound=Callable[..., Any])
TABLES = (*(name for name in SECTIONS if name), "stages", "prices")
"""The tables of the config file, which are given as mappings."""
_COMMAND_OR_OPTION = re.compile(r"`[^`]*`|--([a-z][a-z0-9-]*)")
_OTHER_NAMES = {"format": "formats", "all": "everything"}
"""Keywords by options of another name."""
_LISTS = (("filters", "checks", "check"), ("recipe", "sources", "source"), ("recipe", "steps", "step"))
"""The lists that may hold functions, by table and key, and what each of these is."""
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
    path = None if config is None else path_in("config", config)
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
    found = configured(path, tree, tell)
    found.give(own)
    return found


def _own(tree: dict[str, Any]) -> dict[str, OwnCode]:
    """Put names in the place of functions; what they stand for."""
    own: dict[str, OwnCode] = {}
    model = found if isinstance(found := tree.get("model"), dict) else {}
    if callable(model.get("name")):
        name, own_model = asked(model.pop("name"))
        if beside := model.keys() & {"backend", "base_url", "base_url_file"}:
            raise ConfigError(f"model: {name.rpartition(':')[2]} answers itself; leave out {min(beside)}")
        own[name] = own_model
        model["backend"] = name
    for table, key, kind in _LISTS:
        of = found if isinstance(found := tree.get(table), dict) else {}
        given = of.get(key)
        entries = [given] if isinstance(given, str) or callable(given) else given
        if isinstance(entries, list | tuple):
            listed = []
            for entry in entries:
                name, code = kept(kind, entry) if callable(entry) else (entry, None)
                listed.append(name)
                own |= {name: code} if code else {}
            of[key] = listed
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
    defaults = {name: FIELDS[place].get_default() for name, place in KEYWORDS.items()} | dict.fromkeys(TABLES)
    return with_keywords({name: default for name, default in defaults.items() if name not in but})


def with_keywords(defaults: Mapping[str, Any]) -> Callable[[Function], Function]:
    """Show keywords in the signature of a function that takes them as `**more`, each with its default."""

    def decorated(function: Function) -> Function:
        signature = inspect.signature(function)
        own = {name: one for name, one in signature.parameters.items() if one.kind is not inspect.Parameter.VAR_KEYWORD}
        more = [
            inspect.Parameter(name, inspect.Parameter.KEYWORD_ONLY, default=default)
            for name, default in defaults.items()
            if name not in own
        ]
        function.__signature__ = signature.replace(parameters=[*own.values(), *more])  # type: ignore[attr-defined]
        return function

    return decorated


def in_keywords(text: str, **names: str) -> str:
    """A line of the command line as it is said to a program: keywords for options, but in commands between backticks.

    `names` are keywords by options of another name.
    """

    def said(found: re.Match[str]) -> str:
        option = found[1].replace("-", "_") if found[1] else ""
        return names.get(option, _OTHER_NAMES.get(option, option)) if option else found[0]

    return _COMMAND_OR_OPTION.sub(said, text)


@contextlib.contextmanager
def told_in_keywords(**names: str) -> Iterator[None]:
    """Within, errors name keywords; as a decorator, those of a function."""
    try:
        yield
    except SelfInstructError as error:
        error.args = (in_keywords(str(error), **names),)
        raise


def given(name: str, value: Any, kinds: type | tuple[type, ...], wanted: str) -> Any:
    """The value of a keyword, which is of one of these kinds. Raises: ConfigError."""
    if isinstance(value, kinds) and not (isinstance(value, bool) and kinds is int):
        return value
    raise ConfigError(f"{name}: {in_words(value)} given, wanted {wanted}")


def path_in(name: str, value: Any) -> Path:
    """The path that a keyword names. Raises: ConfigError."""
    return Path(given(name, value, (str, Path), "a path"))
