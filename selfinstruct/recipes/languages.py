"""Prompts that ask for the wanted languages, in words."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence

_LINE = re.compile(r"^.*\{\{language\?\}\}.*\n?", re.MULTILINE)
_NAME = re.compile(r"\{\{language(?:\?|\|([^{}]*))?\}\}")


def speaks_of_language(prompt: str) -> bool:
    """Whether the wanted language has a place in a template."""
    return _NAME.search(prompt) is not None


def in_languages(prompts: Mapping[str, str], names: Sequence[str]) -> dict[str, str]:
    """The prompt templates by name, with the languages that are wanted: any one of these.

    `{{language|the language of the examples}}` says what stands there where none is wanted; a line with
    `{{language?}}` is then left out.
    """
    wanted = " or ".join(filter(None, (", ".join(names[:-1]), *names[-1:])))
    kept = {name: text if wanted else _LINE.sub("", text) for name, text in prompts.items()}
    return {name: _NAME.sub(lambda found: wanted or found[1] or "", text) for name, text in kept.items()}
