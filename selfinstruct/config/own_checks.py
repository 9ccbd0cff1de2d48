"""The validators of a configuration as settings keep them: a user's check by the content of its file."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import regex

from selfinstruct.errors import ConfigError
from selfinstruct.given_files import read_text
from selfinstruct.records import digest
from selfinstruct.validators import DEFAULT, DEFAULT_VALIDATORS, OWN
from selfinstruct.validators.own import own_check

_FILE = regex.compile(r"(?P<path>.+\.py):(?P<function>[^\W\d]\w*)")


def resolve(entries: Sequence[str]) -> tuple[tuple[str, ...], dict[str, str]]:
    """The names of validators in their order, and the sources of the user's checks by digest.

    "default" stands for the default ones, "FILE.py:FUNCTION" for a check of the user's.

    Raises:
        ConfigError: a file cannot be read or loaded, or has no such function.
    """
    names: list[str] = []
    sources: dict[str, str] = {}
    for entry in entries:
        if entry == DEFAULT:
            names += DEFAULT_VALIDATORS
        elif (found := _FILE.fullmatch(entry)) and not entry.startswith(("regex:", "no_regex:")):
            source = _read(Path(found["path"]))
            own_check(source, found["function"], found["path"])
            key = digest(source)[:16]
            sources[key] = source
            names.append(f"{OWN}:{key}:{found['function']}")
        elif entry.startswith(f"{OWN}:"):
            raise ConfigError(f"filters.validators: {entry!r} is the form of stored settings; give FILE.py:FUNCTION")
        else:
            names.append(entry)
    return tuple(dict.fromkeys(names)), sources


def _read(path: Path) -> str:
    try:
        return read_text(path, "a file of Python")
    except ConfigError as error:
        raise ConfigError(f"filters.validators: {error}") from error
