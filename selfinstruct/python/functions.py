"""Functions that a program gives, kept with the pool by their source; forms of export and models, used as they are."""

from __future__ import annotations

import ast
import builtins
import dis
import functools
import inspect
import sys
import textwrap
import types
from collections.abc import Awaitable, Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, TypeVar, overload

import regex

from selfinstruct.checks.own_checks import asks_for_instruction
from selfinstruct.config.sections import OwnCode
from selfinstruct.errors import ConfigError
from selfinstruct.exports.row_files import KNOWN
from selfinstruct.exports.writing import ALL
from selfinstruct.given_files import read_text
from selfinstruct.own import OWN, defined, give, given_name, in_words, key_of, stored_name
from selfinstruct.pool.records import Row
from selfinstruct.sources import check_source
from selfinstruct.steps.own_steps import check_step
from selfinstruct.types import Instance

Check = TypeVar("Check", bound=Callable[..., str | None])
Source = TypeVar("Source", bound=Callable[..., str | Sequence[dict[str, str]]])
Step = TypeVar("Step", bound=Callable[..., Awaitable[Sequence[Instance | str]]])
Form = TypeVar("Form", bound=Callable[[Row], dict[str, Any] | None])
_FUTURE = "from __future__ import annotations\n\n\n"
"""Stands before a function, whose annotations may name what there is not when it runs by itself."""
_DECORATOR = regex.compile(r"(?:\w+\.)?(?:check|step|source)")
_FILE_NAME = regex.compile(r"\w[\w-]{0,63}")
_FITS: Mapping[str, Callable[[str, Any], object]] = {
    "check": asks_for_instruction, "step": check_step, "source": check_source,
}  # fmt: skip
"""What makes sure that a function can be called, by its kind."""
_CODE_OF_OURS = f"{OWN}_"


def check(function: Check) -> Check:
    """The function itself, once it is sure that it can be kept: a check of your own, for the list `checks`.

    Of one parameter, the instruction, or of two, a task and an instance. It gives a reason for refusing it, or None.

    Raises:
        ConfigError: its source cannot be had, or it does not work by itself.
    """
    _try("check", function)
    return function


def step(function: Step) -> Step:
    """The async function itself, once it is sure that it can be kept: a step of your own, for the list `steps`.

    Of an accepted task, the tuple of its rows that stand so far, and the door to the model: `await ask("...")`. It
    gives for each row, in order, the row, another one, or the reason for refusing it.

    Raises:
        ConfigError: its source cannot be had, or it does not work by itself.
    """
    _try("step", function)
    return function


def source(function: Source) -> Source:
    """The function itself, once it is sure that it can be kept: a source of your own, for the list `sources`.

    Of the number of the request, a `random.Random` of its own and the tasks that were drawn for it. It gives what is
    asked: a text, or messages.

    Raises:
        ConfigError: its source cannot be had, or it does not work by itself.
    """
    _try("source", function)
    return function


def _try(kind: str, function: Callable[..., Any]) -> None:
    if not callable(function):
        raise ConfigError(f"{kind}: {in_words(function)} is no function; write @{kind} above a `def`")
    module = str(getattr(function, "__module__", ""))
    if not module.startswith(_CODE_OF_OURS):  # else a copy that is being loaded from its stored source
        kept(kind, function)


@overload
def export_format(name: str) -> Callable[[Form], Form]: ...
@overload
def export_format(name: Form) -> Form: ...
def export_format(name: Any) -> Any:
    """Make the function below it a form of export of this name, or of its own, as long as the program runs.

    It takes a row and gives one JSON object, or None to leave the row out.

    Raises:
        ConfigError: the name is taken, or can be no name of a file.
    """
    if callable(name):
        return export_format(_name(name))(name)
    if not isinstance(name, str):
        raise ConfigError(f"export_format: {in_words(name)} is no name; write @export_format('NAME')")
    if name in (*KNOWN, ALL):
        raise ConfigError(f"export_format {name!r}: there is a built-in form of this name; choose another one")
    if not _FILE_NAME.fullmatch(name):
        raise ConfigError(f"export_format {name!r}: the name becomes that of a file; use letters, digits, _ and - only")

    def given(function: Form) -> Form:
        if not callable(function):
            raise ConfigError(f"export_format {name!r}: {in_words(function)} is no function of a row")
        give("exports", name, function)
        return function

    return given


def form_names(given: object) -> Sequence[str]:
    """The names of forms of export, each given by its name or as the function itself.

    Raises:
        ConfigError: one is neither, or two functions have one name.
    """
    forms = [given] if isinstance(given, str) or callable(given) else given
    if not isinstance(forms, list | tuple):
        raise ConfigError(f"formats: {in_words(given)} given, wanted names of forms, or functions")
    named: dict[str, object] = {}
    for form in forms:
        if not isinstance(form, str) and not callable(form):
            raise ConfigError(f"formats: {in_words(form)} given, wanted the name of a form, or a function")
        name = form if isinstance(form, str) else given_name("exports", form) or _name(form)
        if callable(form) and callable(other := named.get(name, form)) and other is not form:
            raise ConfigError(
                f"formats: two functions have the name {name}; give one another by @export_format('NAME')"
            )
        if callable(form):
            export_format(name)(form)
        named.setdefault(name, form)
    return [*named]


def asked(function: Callable[..., Any]) -> tuple[str, OwnCode]:
    """What a configuration calls a model that is an async function, and the function.

    Raises:
        ConfigError: it is no async function.
    """
    name = _name(function)
    called = function if inspect.iscoroutinefunction(function) else getattr(function, "__call__", None)  # noqa: B004
    if not inspect.iscoroutinefunction(called):
        raise ConfigError(f"model: {name} is no async function of messages; write `async def {name}(messages): ...`")
    return f"{_module(_within(function))}.py:{name}", OwnCode("", "", called)


def kept(kind: str, function: Callable[..., Any]) -> tuple[str, OwnCode]:
    """What a configuration calls a function of this kind, and its source as it is stored with the pool.

    A function that needs nothing from outside is kept alone; else one of a file that was imported is kept with it.

    Raises:
        ConfigError: its source cannot be had, or it does not work by itself.
    """
    name, source = _name(function), _source(kind, function)
    _FITS[kind](name, function)
    file = ""
    missing = sorted({*_used(compile(source, name, "exec"))} - {name, *dir(builtins)})
    if missing:
        path = getattr(sys.modules.get(function.__module__), "__file__", None) or ""
        if function.__module__ == "__main__" or not path.endswith(".py") or "." in function.__qualname__:
            raise ConfigError(
                f"{name} uses {', '.join(missing)} from outside of it; a {kind} is kept by its source and works by "
                "itself, so import or define what it needs within it"
            )
        source, file = read_text(Path(path), "a file of Python"), Path(path).name
    found = defined(source, name, file or name)
    return f"{key_of(source)}.py:{name}", OwnCode(stored_name(source, name, file), source, found)


def _name(function: Callable[..., Any]) -> str:
    function = _within(function)
    return str(getattr(function, "__name__", None) or type(function).__name__)


def _within(function: Callable[..., Any]) -> Callable[..., Any]:
    """The function that a partial one calls."""
    while isinstance(function, functools.partial):
        function = function.func
    return function


def _module(function: Callable[..., Any]) -> str:
    return str(getattr(function, "__module__", None) or "__main__").rpartition(".")[2]


def _source(kind: str, function: Callable[..., Any]) -> str:
    """The source of a function without the decorator that is for its kind. Raises: ConfigError."""
    name = _name(function)
    if not isinstance(function, types.FunctionType):
        raise ConfigError(f"{name} is no function that was written by `def`, and a {kind} is kept by its source")
    try:
        text = textwrap.dedent(inspect.getsource(function))
        node = next(
            (one for one in ast.parse(text).body if isinstance(one, ast.FunctionDef | ast.AsyncFunctionDef)), None
        )
    except (OSError, TypeError, SyntaxError):
        node = None
    if node is None:
        raise ConfigError(
            f"{name}: the source of this function cannot be had, and a {kind} is kept by it; write it by `def` in a "
            "notebook or a file"
        )
    if (kind == "step") is not isinstance(node, ast.AsyncFunctionDef):
        wanted = f"an async function; write `async def {name}(task, rows, ask)`"
        wanted = wanted if kind == "step" else f"no async function; write `def {name}(...)`"
        raise ConfigError(f"{name}: a {kind} is {wanted}")
    for one in node.decorator_list:
        if not _DECORATOR.fullmatch(ast.unparse(one)):
            raise ConfigError(
                f"{name}: the decorator @{ast.unparse(one)} would be lost, since a {kind} is kept by its source alone; "
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
