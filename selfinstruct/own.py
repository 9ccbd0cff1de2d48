"""What users write themselves: a check, a step, a recipe, a form of export or a model, as `NAME` of a Python file.

The file is kept by content, so that the pool stays what it is when it changes. It is the user's own program and runs in
this process, with all that it may do. Nothing that a model wrote is ever run. Packages may bring such things as well.
"""

from __future__ import annotations

import sys
import traceback
import types
from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import lru_cache
from importlib.metadata import entry_points
from pathlib import Path
from typing import Any

import regex

from selfinstruct.errors import ConfigError, unknown
from selfinstruct.given_files import read_text
from selfinstruct.types import digest

OWN = "own"
DEFAULT = "default"
"""In a list of a configuration: all that is built in."""
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


def stored_name(source: str, name: str, path: str = "") -> str:
    """What stored settings call it: `own:DIGEST:FILE.py:NAME`, or `own:DIGEST:NAME` where it is of no file."""
    return ":".join(filter(None, (OWN, key_of(source), Path(path).name, name)))


def stored(name: str, sources: Mapping[str, str]) -> Any:
    """What a name of stored settings stands for, with the sources by digest. Raises: ConfigError."""
    _, key, called = name.split(":", 2)
    file, _, attribute = called.rpartition(":")
    return defined(sources.get(key, ""), attribute, file or "the stored code")


def short(name: str) -> str:
    """NAME of `FILE.py:NAME` or of a name of stored settings; any other name as it is."""
    return name.rpartition(":")[2]


def function_of(kind: str, name: str, sources: Mapping[str, str]) -> Callable[..., Any]:
    """What a name in a list of stored settings stands for: the user's own, or a package's. Raises: ConfigError."""
    found: Callable[..., Any] = stored(name, sources) if name.startswith(f"{OWN}:") else installed(kind, name)
    if found is None:
        raise ConfigError(f"{name} was one of the {kind} of an installed package, which is not there any more")
    return found


def chosen(
    kind: str,
    entries: Iterable[str],
    known: Iterable[str],
    place: str,
    more: Sequence[str] = (),
    is_more: Callable[[str], bool] = lambda _: False,
) -> list[str]:
    """The names that a list of a configuration gives: `default` in full, and without what `-NAME` takes out.

    `known` are the built-in ones, `more` the forms of others, for which `is_more` is true.

    Raises:
        ConfigError: a name is unknown.
    """
    built_in = [*known]

    def is_one(name: str) -> bool:
        is_known = name in built_in or name.startswith(f"{OWN}:") or is_more(name)
        return is_known or installed(kind, name) is not None

    names: list[str] = []
    for entry in entries:
        if entry == DEFAULT:
            names += built_in
        elif entry.startswith("-") and is_one(entry[1:]):
            if entry[1:] not in names:
                raise ConfigError(f"{place}: {entry!r} takes nothing out, since {entry[1:]} is not listed before it")
            names = [name for name in names if name != entry[1:]]
        elif is_one(entry):
            names.append(entry)
        else:
            words = [DEFAULT, *built_in, *more]
            words = [f"-{word}" for word in words[1:]] if entry.startswith("-") else words
            said = unknown(entry, words, ", ".join([*words, "FILE.py:NAME", "-NAME"]))
            raise ConfigError(f"{place}: unknown {kind.removesuffix('s')} {entry!r}; {said}")
    return names


def give(kind: str, name: str, value: Any) -> None:
    """Let a name stand for a value of this program as long as it runs; the last one given counts."""
    _GIVEN[kind, name] = value


def given_name(kind: str, value: object) -> str | None:
    """The name that stands for a value of this program; None: none does."""
    return next((name for (of, name), given in _GIVEN.items() if of == kind and given is value), None)


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
    """The text of a value whose own `__str__` may fail, on one line; without halves of surrogate pairs."""
    try:
        text = str(value) if isinstance(value, BaseException) else repr(value)
    except Exception:  # noqa: BLE001 - the value is of the user's making
        text = f"a {type(value).__name__}"
    return " ".join(text.encode("utf-8", "replace").decode().split())


def raised(error: BaseException) -> str:
    """The kind and text of an error, and the last line of the user's file on the way to it, as `own.py:12`.

    Of a function that a program gave, the line in the source that is kept.
    """
    places = [_place(frame, line) for frame, line in traceback.walk_tb(error.__traceback__) if _is_users(frame)]
    at = f" ({places[-1]})" if places else ""
    return f"{type(error).__name__}: {in_words(error)}".rstrip(": ") + at


def waits_at(work: object) -> str:
    """The function of the user's in which a coroutine waits and the line, as `shorter (own.py:12)`; empty: in none."""
    frames: list[types.FrameType] = []
    while isinstance(work, types.CoroutineType):
        frames += [frame] if (frame := work.cr_frame) and _is_users(frame) else []
        work = work.cr_await
    return f"{frames[0].f_code.co_name} ({_place(frames[-1], frames[-1].f_lineno)})" if frames else ""


def _is_users(frame: types.FrameType) -> bool:
    return str(frame.f_globals.get("__name__", "")).startswith(_MODULE)


def _place(frame: types.FrameType, line: int) -> str:
    file = Path(frame.f_code.co_filename).name
    return f"{file}:{line}" if file.endswith(".py") else f"line {line}"


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
