"""Checks of finished instances, chosen by name in the configuration; each says what is wrong with one, or nothing."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import lru_cache

from selfinstruct.errors import ConfigError
from selfinstruct.filters.instances import Validator
from selfinstruct.filters.personal_data import personal_data
from selfinstruct.filters.wording import Fault
from selfinstruct.records import Instance, Settings, Task
from selfinstruct.validators.arithmetic import numeric_answer
from selfinstruct.validators.forms import json_form, python_syntax, toml_form, xml_form, yaml_form
from selfinstruct.validators.languages import careful_language_match, language_match
from selfinstruct.validators.markers import hidden_characters, leftover_marker
from selfinstruct.validators.own import own_check
from selfinstruct.validators.patterns import forbidden_pattern, wanted_pattern
from selfinstruct.validators.repetition import cut_off, max_repetition, restated_question, unstated_label

BUILT_IN: Mapping[str, Validator] = {
    "labels": unstated_label,
    "restated_question": restated_question,
    "leftover_marker": leftover_marker,
    "hidden_characters": hidden_characters,
    "cut_off": cut_off,
    "numeric_answer": numeric_answer,
    "language_match": language_match,
    "max_repetition": max_repetition,
    "json": json_form,
    "toml": toml_form,
    "xml": xml_form,
    "python_syntax": python_syntax,
    "yaml": yaml_form,
}
"""Validators that need no argument, in order of price."""
WITH_PATTERN: Mapping[str, Callable[[str], Validator]] = {"regex": wanted_pattern, "no_regex": forbidden_pattern}
"""Validators that are written with a pattern, such as `regex:^\\d+$`."""
CAREFUL = "language_match:lingua"
"""The one that needs the extra `languages`."""
DEFAULT_VALIDATORS: tuple[str, ...] = tuple(BUILT_IN)
DEFAULT = "default"
"""In a configuration: all of these."""
OWN = "own"
"""What a function of the user's is called in settings: `own:DIGEST:FUNCTION`; its source is there by digest."""


def validators(settings: Settings) -> tuple[Validator, ...]:
    """The validators that settings name, the cheapest first: patterns, then built-in ones, then the user's own.

    Where personal data is to be rejected, the check for it comes before all.

    Raises:
        ConfigError: a name, a pattern or a function is not to be used.
    """
    chosen = _bound(settings.validators, tuple(sorted(settings.own_checks.items())))
    return (_personal_data, *chosen) if settings.personal_data == "reject" else chosen


def _personal_data(task: Task, instance: Instance) -> Fault | None:
    del task
    return personal_data(instance.input) or personal_data(instance.output)


@lru_cache(maxsize=16)
def _bound(names: tuple[str, ...], sources: tuple[tuple[str, str], ...]) -> tuple[Validator, ...]:
    by_digest = dict(sources)
    cheap, dear = [], []
    for name in names:
        kind, _, argument = name.partition(":")
        if kind == OWN:
            digest, _, function = argument.partition(":")
            dear.append(own_check(by_digest.get(digest, ""), function))
        elif name == CAREFUL:
            dear.insert(0, careful_language_match())
        elif kind in WITH_PATTERN:
            cheap.append(WITH_PATTERN[kind](argument))
        elif name not in BUILT_IN:
            raise ConfigError(
                f"filters.validators: unknown validator {name!r}; known: {DEFAULT}, {', '.join(BUILT_IN)}, {CAREFUL}, "
                f"{', '.join(f'{one}:PATTERN' for one in WITH_PATTERN)}, FILE.py:FUNCTION"
            )
    return (*cheap, *(BUILT_IN[name] for name in BUILT_IN if name in names), *dear)
