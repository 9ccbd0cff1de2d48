"""Patterns of the user's that an output must have, or must not have."""

from __future__ import annotations

import regex

from selfinstruct.checks.faults import Fault, reject
from selfinstruct.checks.instances import Validator
from selfinstruct.checks.wording import excerpt, quoted
from selfinstruct.errors import ConfigError
from selfinstruct.similarity.tokens import visible
from selfinstruct.types import Instance, Task

TIMEOUT_S = 5.0
"""How long a pattern may look at one output; some patterns go on for ever, and a run must not."""


def wanted_pattern(pattern: str) -> Validator:
    """A check that finds outputs in which the pattern matches nowhere, `no_match`."""
    compiled = _compiled("regex", pattern)

    def check(task: Task, instance: Instance) -> Fault | None:
        del task
        found = _search(compiled, instance.output)
        if found is None:
            return reject("no_match", f"no match of {excerpt(pattern)}")
        return found if isinstance(found, Fault) else None

    return check


def forbidden_pattern(pattern: str) -> Validator:
    """A check that finds outputs in which the pattern matches, with or without what nobody sees, `unwanted_match`."""
    compiled = _compiled("no_regex", pattern)

    def check(task: Task, instance: Instance) -> Fault | None:
        del task
        found = _search(compiled, instance.output) or _search(compiled, visible(instance.output))
        if found is None or isinstance(found, Fault):
            return found
        return reject("unwanted_match", quoted(found[0]))

    return check


def _compiled(kind: str, pattern: str) -> regex.Pattern[str]:
    if not pattern:
        raise ConfigError(f'filters.checks: {kind} needs a pattern, such as "{kind}:[0-9]"')
    try:
        return regex.compile(pattern)
    except regex.error as error:
        raise ConfigError(f"filters.checks: {kind}:{pattern} is no regular expression: {error}") from error


def _search(compiled: regex.Pattern[str], text: str) -> regex.Match[str] | Fault | None:
    try:
        return compiled.search(text, timeout=TIMEOUT_S)
    except TimeoutError:
        return reject("validator_error", f"the pattern {excerpt(compiled.pattern)} took longer than {TIMEOUT_S:g} s")
