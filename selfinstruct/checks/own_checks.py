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
from selfinstruct.own import in_words

_REASON = regex.compile(r"\s*(?P<reason>[a-z][a-z0-9_]{0,63})\s*(?::\s*(?P<evidence>.*))?", regex.DOTALL)
LONGEST_EVIDENCE = 300


def asks_for_instruction(function: Callable[..., Any]) -> bool:
    """Whether a function of the user's wants one value, an instruction; else it wants a task and an instance."""
    try:
        found = inspect.signature(function).parameters.values()
    except (TypeError, ValueError):
        return False
    wanted = {inspect.Parameter.POSITIONAL_ONLY, inspect.Parameter.POSITIONAL_OR_KEYWORD}
    return sum(one.kind in wanted and one.default is inspect.Parameter.empty for one in found) == 1


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
    return reject(
        "validator_error", excerpt(f"{function}: {type(error).__name__}: {in_words(error)}", LONGEST_EVIDENCE)
    )


def _said(name: str, function: Callable[..., Any], *given: Any) -> Fault | None:
    short = name.rpartition(":")[2]
    try:
        said = function(*given)
    except (Exception, SystemExit) as error:  # noqa: BLE001 - whatever a user's function does must not end a run
        return failed(short, error)
    if said is None:
        return None
    if not isinstance(said, str):
        return reject("validator_error", f"{short} gave {excerpt(in_words(said))}; wanted a text, the reason, or None")
    named = _REASON.fullmatch(said)
    if named is None:
        return reject(short.lower(), excerpt(said, LONGEST_EVIDENCE))
    return reject(named["reason"], excerpt(named["evidence"] or f"{short} said so", LONGEST_EVIDENCE))
