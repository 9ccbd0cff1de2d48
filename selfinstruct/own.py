"""What users write themselves: a check, a recipe, an export form or a model, as `NAME` of a Python file of theirs.

The file is kept by content, so that the pool stays what it is when it changes. It is the user's own program and runs in
this process, with all that it may do. Nothing that a model wrote is ever run. Packages may bring such things as well.
"""

from __future__ import annotations

import sys
import traceback
import types
from collections.abc import Mapping
from functools import lru_cache
from importlib.metadata import entry_points
from pathlib import Path
from typing import Any

import regex

from selfinstruct.errors import ConfigError
from selfinstruct.given_files import read_text
from selfinstruct.types import digest

OWN = "own"
_GIVEN: dict[tuple[str, str], Any] = {}
"""What this program gave, by kind and name."""
_MODULE = "own_"
_FILE = regex.compile(r"(?P<path>.+\.py):(?P<name>[^\W\d]\w*)")


def file_and_name(text: str) -> tuple[str, str] | None:
    """The path and the name in `FILE.py:NAME`; None where it is something else."""
    found = _FILE.fullmatch(text)
    return (found["path"], found["name"]) if found else None


def is_own(kind: str, text: str) -> bool:
    """Whether a user's file or a package is named."""
    return file_and_name(text) is not None or installed(kind, text) is not None


def key_of(source: str) -> str:
    """The digest under which stored settings keep a source."""
    return digest(source)[:16]


def stored_name(source: str, name: str) -> str:
    """What stored settings call it: `own:DIGEST:NAME`."""
    return f"{OWN}:{key_of(source)}:{name}"


def stored(name: str, sources: Mapping[str, str]) -> Any:
    """What `own:DIGEST:NAME` stands for, with the sources by digest. Raises: ConfigError."""
    _, key, attribute = name.split(":")
    return defined(sources.get(key, ""), attribute, "the stored code")


def give(kind: str, name: str, value: Any) -> None:
    """Let a name stand for a value of this program as long as it runs; the last one given counts."""
    _GIVEN[kind, name] = value


@lru_cache(maxsize=64)
def installed(kind: str, name: str) -> Any:
    """What an installed package gives under a name, by an entry point of the group `selfinstruct.KIND`; None: nothing.

    Raises:
        ConfigError: it cannot be loaded.
    """
    for found in entry_points(group=f"selfinstruct.{kind}", name=name):
        try:
            return found.load()
        except Exception as error:
            raise ConfigError(f"{name} of {found.value} cannot be loaded: {in_words(error)}") from error
    return None


def named(kind: str, text: str) -> Any:
    """What `FILE.py:NAME`, or a name that this program or a package brings, stands for; None: it is neither.

    Raises:
        ConfigError: it cannot be read or loaded.
    """
    found = file_and_name(text)
    if found is None:
        return _GIVEN.get((kind, text)) or installed(kind, text)
    return defined(read_text(Path(found[0]), "a file of Python"), found[1], found[0])


def defined(source: str, name: str, file: str) -> Any:
    """What a Python source defines under a name, once it has been run as a module of its own.

    Raises:
        ConfigError: the source cannot be loaded or defines no such name.
    """
    found = _module(source, file)
    if name not in found:
        raise ConfigError(f"{file} has no function {name}")
    return found[name]


def in_words(value: object) -> str:
    """The text of a value whose own `__str__` may fail; without halves of surrogate pairs."""
    try:
        text = str(value) if isinstance(value, BaseException) else repr(value)
    except Exception:  # noqa: BLE001 - the value is of the user's making
        text = f"a {type(value).__name__}"
    return text.encode("utf-8", "replace").decode()


def raised(error: BaseException) -> str:
    """The kind and text of an error, and the line of the user's file in which it came up."""
    lines = [
        line
        for frame, line in traceback.walk_tb(error.__traceback__)
        if str(frame.f_globals.get("__name__", "")).startswith(_MODULE)
    ]
    at = f" (line {lines[-1]})" if lines else ""
    return f"{type(error).__name__}: {in_words(error)}".rstrip(": ") + at


@lru_cache(maxsize=16)
def _module(source: str, file: str) -> dict[str, Any]:
    module = types.ModuleType(f"{_MODULE}{digest(source)[:12]}")
    sys.modules[module.__name__] = module  # dataclasses and pickling look a module up by its name
    try:
        exec(compile(source, file, "exec"), module.__dict__)  # noqa: S102 - the user's own program, see above
    except (Exception, SystemExit) as error:
        del sys.modules[module.__name__]
        at = f":{error.lineno}" if isinstance(error, SyntaxError) and error.lineno else ""
        raise ConfigError(
            f"{file}{at} cannot be loaded: {type(error).__name__}: {in_words(error)}; "
            "it has to work by itself, with installed packages only"
        ) from error
    return module.__dict__
