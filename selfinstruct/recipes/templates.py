"""Filling prompt templates: `{{name}}` is replaced once, and what is put in is never read as a template again.

A template of a conversation has turns, each begun by a line that is only `[system]`, `[user]` or `[assistant]`.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import cast

from selfinstruct.errors import ConfigError
from selfinstruct.types import Message, Role

_PLACEHOLDER = re.compile(r"\{\{(\w+)\}\}")
_OPTIONAL = re.compile(r"^.*\{\{(\w+)\?\}\}.*\n?", re.MULTILINE)
_TURN = re.compile(r"^\[(system|user|assistant)\]\n", re.MULTILINE)


def fill(template: str, values: Mapping[str, str]) -> str:
    """The template with its placeholders replaced.

    `{{name}}` must be given. A line that holds `{{name?}}` is left out whole when the value is missing or empty.

    Raises:
        ConfigError: the template names a placeholder that has no value.
    """

    def optional(line: re.Match[str]) -> str:
        if not values.get(line[1]):
            return ""
        return line[0].replace("{{" + line[1] + "?}}", "{{" + line[1] + "}}")

    def value(found: re.Match[str]) -> str:
        if found[1] not in values:
            known = ", ".join("{{" + name + "}}" for name in values)
            raise ConfigError(f"a prompt template uses {found[0]}, which has no value here; known: {known}")
        return values[found[1]]

    return _PLACEHOLDER.sub(value, _OPTIONAL.sub(optional, template))


def conversation(template: str, values: Mapping[str, str]) -> tuple[Message, ...]:
    """The turns of a template, each filled; what is filled in begins no turn.

    Raises:
        ConfigError: text stands before the first turn, or a placeholder has no value.
    """
    before, *parts = _TURN.split(template)
    if before.strip() or not parts:
        raise ConfigError(f"a prompt template begins with {before[:40]!r}; wanted a line [system] or [user]")
    turns = zip(parts[::2], parts[1::2], strict=True)
    return tuple(Message(cast(Role, role), fill(text, values).strip()) for role, text in turns)
