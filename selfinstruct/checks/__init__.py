"""Checks of finished instances, chosen by name in the configuration; each says what is wrong with one, or nothing."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from functools import lru_cache
from importlib import import_module

from selfinstruct.checks.faults import Fault
from selfinstruct.checks.instances import Validator
from selfinstruct.checks.own_checks import failed, own_check
from selfinstruct.checks.patterns import forbidden_pattern, wanted_pattern
from selfinstruct.checks.personal_data import personal_data
from selfinstruct.checks.wording import plain
from selfinstruct.errors import ConfigError, unknown
from selfinstruct.own import OWN
from selfinstruct.settings import Settings
from selfinstruct.types import Instance, Task


def _later(module: str, name: str) -> Validator:
    """A validator whose module is loaded when it is first asked: its many patterns take a while to compile.

    An error of its own is `validator_error`, as with the user's: one text must not end a run. Most validators see the
    texts without long white space and what nobody sees; those of hidden characters and of forms see all of it.
    """

    def check(task: Task, instance: Instance) -> Fault | None:
        ask: Validator = getattr(import_module(f"{__name__}.{module}"), name)
        try:
            if name != "hidden_characters":
                task = replace(task, instruction=plain(task.instruction))
                if module != "forms":
                    instance = Instance(plain(instance.input), plain(instance.output))
            return ask(task, instance)
        except Exception as error:  # noqa: BLE001 - whatever a text does to a validator must not end a run
            return failed(name, error)

    return check


BUILT_IN: Mapping[str, Validator] = {
    "labels": _later("repetition", "unstated_label"),
    "restated_question": _later("repetition", "restated_question"),
    "leftover_marker": _later("markers", "leftover_marker"),
    "hidden_characters": _later("markers", "hidden_characters"),
    "cut_off": _later("repetition", "cut_off"),
    "numeric_answer": _later("arithmetic", "numeric_answer"),
    "language_match": _later("languages", "language_match"),
    "max_repetition": _later("repetition", "max_repetition"),
    "json": _later("forms", "json_form"),
    "toml": _later("forms", "toml_form"),
    "xml": _later("forms", "xml_form"),
    "python_syntax": _later("forms", "python_syntax"),
    "yaml": _later("forms", "yaml_form"),
}
"""Validators that need no argument, in order of price."""
WITH_PATTERN: Mapping[str, Callable[[str], Validator]] = {"regex": wanted_pattern, "no_regex": forbidden_pattern}
"""Validators that are written with a pattern, such as `regex:^\\d+$`."""
CAREFUL = "language_match:lingua"
"""The one that needs the extra `languages`."""
DEFAULT_VALIDATORS: tuple[str, ...] = tuple(BUILT_IN)
DEFAULT = "default"
"""In a configuration: all of these."""


def validators(settings: Settings) -> tuple[Validator, ...]:
    """The validators that settings name, the cheapest first: patterns, then built-in ones, then the user's own.

    Where personal data is to be rejected, the check for it comes before all.

    Raises:
        ConfigError: a name, a pattern or a function is not to be used.
    """
    chosen = _bound(settings.filters.validators, tuple(sorted(settings.own_code.items())))
    return (_personal_data, *chosen) if settings.filters.personal_data == "reject" else chosen


def _personal_data(task: Task, instance: Instance) -> Fault | None:
    del task
    return personal_data(instance.input) or personal_data(instance.output)


@lru_cache(maxsize=16)
def _bound(names: tuple[str, ...], sources: tuple[tuple[str, str], ...]) -> tuple[Validator, ...]:
    by_digest = dict(sources)
    cheap: list[Validator] = []
    dear: list[Validator] = []
    for name in names:
        kind, _, argument = name.partition(":")
        if kind == OWN:
            if check := own_check(name, by_digest):
                dear.append(check)
        elif name == CAREFUL:
            from selfinstruct.checks.output_language import careful_language_match  # noqa: PLC0415 - as in `_later`

            dear.insert(0, careful_language_match())
        elif kind in WITH_PATTERN:
            cheap.append(WITH_PATTERN[kind](argument))
        elif name not in BUILT_IN:
            known = [DEFAULT, *BUILT_IN, CAREFUL]
            more = [*(f"{one}:PATTERN" for one in WITH_PATTERN), "FILE.py:FUNCTION"]
            hint = unknown(name, known, shown=", ".join([*known, *more]))
            raise ConfigError(f"filters.validators: unknown validator {name!r}; {hint}")
    return (*cheap, *(BUILT_IN[name] for name in BUILT_IN if name in names), *dear)
