"""Checks that users write: functions that say why an instruction or an instance is refused, or nothing."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from typing import Any

import regex

from selfinstruct.checks.faults import Fault, reject
from selfinstruct.checks.instances import Validator
from selfinstruct.checks.instructions import InstructionCheck
from selfinstruct.checks.wording import excerpt
from selfinstruct.errors import ConfigError
from selfinstruct.own import in_words, raised, short

_REASON = regex.compile(r"\s*(?P<reason>[a-z][a-z0-9_]{0,63})\s*(?::\s*(?P<evidence>.*))?", regex.DOTALL)
LONGEST_EVIDENCE = 300
FAILED = "validator_error"
"""The reason where a check fails itself; its evidence begins with the name of the check."""


def asks_for_instruction(name: str, function: Callable[..., Any]) -> bool:
    """Whether a function of the user's wants one value, an instruction; else it wants a task and an instance.

    Parameters with a default count only where all have one.

    Raises:
        ConfigError: it wants neither.
    """
    wanted = "wanted is a plain function of one (instruction) or of two (task, instance)"
    if not callable(function) or inspect.iscoroutinefunction(function):
        raise ConfigError(f"{name} is {'async' if callable(function) else 'no function'}; {wanted}")
    try:
        found = inspect.signature(function).parameters.values()
    except (TypeError, ValueError):
        raise ConfigError(f"{name} does not say its parameters; {wanted}") from None
    must = [one for one in found if one.default is one.empty and one.kind not in {one.VAR_POSITIONAL, one.VAR_KEYWORD}]
    given = [one for one in must or found if one.kind in {one.POSITIONAL_ONLY, one.POSITIONAL_OR_KEYWORD}]
    named = [one.name for one in must if one.kind is one.KEYWORD_ONLY]
    if named or len(given) not in {1, 2}:
        said = f"needs {named[0]} by name" if named else f"has {len(given)} parameters"
        raise ConfigError(f"{name} {said}; {wanted}")
    return len(given) == 1


def of_instruction(name: str, function: Callable[..., Any]) -> InstructionCheck:
    """A check of instructions that asks a function of the user's.

    "too_terse" is a reason, "too_terse: 3 words" one with evidence; any other text is evidence for a reason named after
    the function. What is no text, and any error, is `validator_error`.
    """
    return lambda text: _said(name, function, text)


def of_instance(name: str, function: Callable[..., Any]) -> Validator:
    """The same for a check of instances."""
    return lambda task, instance: _said(name, function, task, instance)


def failed(function: str, error: BaseException) -> Fault:
    """`validator_error` for an error that a check of this name ran into."""
    return reject(FAILED, excerpt(f"{function}: {raised(error)}", LONGEST_EVIDENCE))


def _said(name: str, function: Callable[..., Any], *given: Any) -> Fault | None:
    called = short(name)
    try:
        said = function(*given)
    except (Exception, SystemExit) as error:  # noqa: BLE001 - whatever a user's function does must not end a run
        return failed(called, error)
    except KeyboardInterrupt:  # it held up a run that was to end
        raise KeyboardInterrupt(f"the check {called}") from None
    if said is None:
        return None
    if not isinstance(said, str):
        return reject(FAILED, f"{called} gave {excerpt(in_words(said))}; wanted a text, the reason, or None")
    return fault_in(called, said)


def fault_in(called: str, said: str) -> Fault:
    """What a function of the user's of this name says of a text that it refuses: a reason, also with its evidence."""
    named = _REASON.fullmatch(said)
    if named is None:
        return reject(called.lower(), excerpt(said, LONGEST_EVIDENCE))
    return reject(named["reason"], excerpt(named["evidence"] or f"{called} said so", LONGEST_EVIDENCE))
