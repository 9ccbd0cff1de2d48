"""Functions that a program gives: checks, kept by their source; forms of export and models, used as they are."""

from __future__ import annotations

import ast
import builtins
import dis
import inspect
import sys
import textwrap
import types
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, TypeVar

import regex

from selfinstruct.config.sections import OwnCode
from selfinstruct.errors import ConfigError
from selfinstruct.exports.row_files import NAMES
from selfinstruct.exports.writing import ALL
from selfinstruct.given_files import read_text
from selfinstruct.own import OWN, defined, give, key_of, stored_name
from selfinstruct.pool.records import Row

Check = TypeVar("Check", bound=Callable[..., str | None])
Form = TypeVar("Form", bound=Callable[[Row], dict[str, Any] | None])
_FUTURE = "from __future__ import annotations\n\n\n"
"""Stands before a function, whose annotations may name what there is not when it runs by itself."""
_DECORATOR = regex.compile(r"(?:\w+\.)?check")
_FILE_NAME = regex.compile(r"\w[\w-]{0,63}")
_CODE_OF_OURS = f"{OWN}_"


def check(function: Check) -> Check:
    """The function itself, once it is sure that it can be kept: a check of your own, for the list `checks`.

    Of one parameter, the instruction, or of two, a task and an instance. It gives a reason for refusing it, or None.

    Raises:
        ConfigError: its source cannot be had, or it does not work by itself.
    """
    if not function.__module__.startswith(_CODE_OF_OURS):  # a copy that is being loaded from its stored source
        kept(function)
    return function


def export_format(name: str) -> Callable[[Form], Form]:
    """Make the function below it a form of export of this name, as long as the program runs.

    It takes a row and gives one JSON object, or None to leave the row out.

    Raises:
        ConfigError: the name is taken, or can be no name of a file.
    """
    if name in (*NAMES, ALL):
        raise ConfigError(f"export_format {name!r}: there is a built-in form of this name; choose another one")
    if not _FILE_NAME.fullmatch(name):
        raise ConfigError(f"export_format {name!r}: the name becomes that of a file; use letters, digits, _ and - only")

    def given(function: Form) -> Form:
        give("exports", name, function)
        return function

    return given


def form_name(form: str | Callable[[Row], dict[str, Any] | None]) -> str:
    """The name of a form of export, which may be given as the function itself. Raises: ConfigError."""
    if isinstance(form, str):
        return form
    export_format(_name(form))(form)
    return _name(form)


def asked(function: Callable[..., Any]) -> tuple[str, OwnCode]:
    """What a configuration calls a model that is an async function, and the function.

    Raises:
        ConfigError: it is no async function.
    """
    name = _name(function)
    called = function if inspect.iscoroutinefunction(function) else getattr(function, "__call__", None)  # noqa: B004
    if not inspect.iscoroutinefunction(called):
        raise ConfigError(f"model: {name} is no async function of messages; write `async def {name}(messages): ...`")
    return f"{_module(function)}.py:{name}", OwnCode("", "", called)


def kept(function: Callable[..., Any]) -> tuple[str, OwnCode]:
    """What a configuration calls a check that is a function, and its source as it is stored with the pool.

    A function that needs nothing from outside is kept alone; else one of a file that was imported is kept with it.

    Raises:
        ConfigError: its source cannot be had, or it does not work by itself.
    """
    name, source = _name(function), _source(function)
    missing = sorted({*_used(compile(source, name, "exec"))} - {name, *dir(builtins)})
    if missing:
        path = getattr(sys.modules.get(function.__module__), "__file__", None) or ""
        if function.__module__ == "__main__" or not path.endswith(".py") or "." in function.__qualname__:
            raise ConfigError(
                f"{name} uses {', '.join(missing)} from outside of it; a check is kept by its source and works by "
                "itself, so import or define what it needs within it"
            )
        source = read_text(Path(path), "a file of Python")
    return f"{key_of(source)}.py:{name}", OwnCode(stored_name(source, name), source, defined(source, name, name))


def _name(function: Callable[..., Any]) -> str:
    found = getattr(function, "__name__", None) or getattr(getattr(function, "func", None), "__name__", None)
    return str(found or type(function).__name__)


def _module(function: Callable[..., Any]) -> str:
    return str(getattr(function, "__module__", None) or "__main__").rpartition(".")[2]


def _source(function: Callable[..., Any]) -> str:
    """The source of a function without its decorator `check`. Raises: ConfigError."""
    name = _name(function)
    if not isinstance(function, types.FunctionType):
        raise ConfigError(f"{name} is no function that was written by `def`, and a check is kept by its source")
    try:
        text = textwrap.dedent(inspect.getsource(function))
        node = next(
            (one for one in ast.parse(text).body if isinstance(one, ast.FunctionDef | ast.AsyncFunctionDef)), None
        )
    except (OSError, TypeError, SyntaxError):
        node = None
    if node is None:
        raise ConfigError(
            f"{name}: the source of this function cannot be had, and a check is kept by it; write it by `def` in a "
            "notebook or a file"
        )
    if isinstance(node, ast.AsyncFunctionDef):
        raise ConfigError(f"{name}: a check is no async function; write `def {name}(...)`")
    for one in node.decorator_list:
        if not _DECORATOR.fullmatch(ast.unparse(one)):
            raise ConfigError(
                f"{name}: the decorator @{ast.unparse(one)} would be lost, since a check is kept by its source alone; "
                "leave it out"
            )
    return _FUTURE + "\n".join(text.splitlines()[node.lineno - 1 : node.end_lineno]) + "\n"


def _used(code: types.CodeType) -> Iterator[str]:
    """The names that code looks up outside of its functions."""
    found = list(dis.get_instructions(code))
    own = {one.argval for one in found if one.opname in {"STORE_NAME", "STORE_GLOBAL"}}
    looked_up = {one.argval for one in found if one.opname in {"LOAD_NAME", "LOAD_GLOBAL"}}
    yield from (name for name in looked_up - own if not name.startswith("__"))
    for inner in code.co_consts:
        if isinstance(inner, types.CodeType):
            yield from _used(inner)
