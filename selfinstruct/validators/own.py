"""Checks that users write: a function (Task, Instance) -> reason or None, in a file that the pool keeps by content.

It is the user's own program and runs in this process, with all that it may do. Nothing that a model wrote is run.
"""

from __future__ import annotations

import sys
import types
from collections.abc import Callable
from functools import lru_cache
from typing import Any

import regex

from selfinstruct.errors import ConfigError
from selfinstruct.filters.instances import Validator
from selfinstruct.filters.wording import Fault, excerpt
from selfinstruct.records import Instance, Task, digest

_REASON = regex.compile(r"\s*(?P<reason>[a-z][a-z0-9_]{0,63})\s*(?::\s*(?P<evidence>.*))?", regex.DOTALL)
LONGEST_EVIDENCE = 300


def own_check(source: str, function: str, file: str = "the stored check") -> Validator:
    """A check that asks the function of this name in a Python source; what it gives is the reason.

    "too_terse" is a reason, "too_terse: 3 words" one with evidence; any other text is evidence for a reason named after
    the function. What is no text, and any error, is `validator_error`.

    Raises:
        ConfigError: the source cannot be loaded or has no such function.
    """
    found = _functions(source, file).get(function)
    if not callable(found):
        raise ConfigError(f"filters.validators: {file} has no function {function}")

    def check(task: Task, instance: Instance) -> Fault | None:
        try:
            said = found(task, instance)
        except (Exception, SystemExit) as error:  # noqa: BLE001 - whatever a user's function does must not end a run
            return failed(function, error)
        return None if said is None else _fault(function, said)

    return check


def failed(function: str, error: BaseException) -> Fault:
    """`validator_error` for an error that a check of this name ran into."""
    return Fault("validator_error", excerpt(f"{function}: {type(error).__name__}: {_text(error)}", LONGEST_EVIDENCE))


def _fault(function: str, said: object) -> Fault:
    if not isinstance(said, str):
        return Fault("validator_error", f"{function} gave {excerpt(_text(said))}; wanted a text, the reason, or None")
    named = _REASON.fullmatch(said)
    if named is None:
        return Fault(function.lower(), excerpt(said, LONGEST_EVIDENCE))
    return Fault(named["reason"], excerpt(named["evidence"] or f"{function} said so", LONGEST_EVIDENCE))


def _text(value: object) -> str:
    """The text of a value whose own `__str__` may fail; without halves of surrogate pairs."""
    try:
        text = str(value) if isinstance(value, BaseException) else repr(value)
    except Exception:  # noqa: BLE001 - the value is of the user's making
        text = f"a {type(value).__name__}"
    return text.encode("utf-8", "replace").decode()


@lru_cache(maxsize=16)
def _functions(source: str, file: str) -> dict[str, Callable[[Task, Instance], Any]]:
    """The names that a source defines, once it has been run as a module of its own."""
    module = types.ModuleType(f"own_check_{digest(source)[:12]}")
    sys.modules[module.__name__] = module  # dataclasses and pickling look a module up by its name
    try:
        exec(compile(source, file, "exec"), module.__dict__)  # noqa: S102 - the user's own program, see above
    except (Exception, SystemExit) as error:
        del sys.modules[module.__name__]
        at = f":{error.lineno}" if isinstance(error, SyntaxError) and error.lineno else ""
        raise ConfigError(
            f"filters.validators: {file}{at} cannot be loaded: {type(error).__name__}: {_text(error)}; "
            "it has to work by itself, with installed packages only"
        ) from error
    return module.__dict__
