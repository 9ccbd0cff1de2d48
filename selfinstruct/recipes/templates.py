"""Filling prompt templates: `{{name}}` is replaced once, and what is put in is never read as a template again."""

from __future__ import annotations

import re
from collections.abc import Mapping

from selfinstruct.errors import ConfigError

_PLACEHOLDER = re.compile(r"\{\{(\w+)\}\}")
_OPTIONAL = re.compile(r"^.*\{\{(\w+)\?\}\}.*\n?", re.MULTILINE)


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
