"""The checks: each says why a candidate is refused, or nothing. `filters.checks` names them in their order.

A check of instructions sees a text; one of instances sees a `Case`. Some names stand for one of each. Whether a
candidate is new, and whether the instances of a task go together, is no check but part of the algorithm.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import lru_cache
from importlib import import_module
from typing import Literal

from selfinstruct import own
from selfinstruct.checks import instances, instructions, wording
from selfinstruct.checks.beyond_text import beyond_text
from selfinstruct.checks.echoes import copied_instance, prompt_echo
from selfinstruct.checks.faults import Fault
from selfinstruct.checks.instances import Case, InstanceCheck, InstanceRule, Validator
from selfinstruct.checks.instruction_language import wrong_language
from selfinstruct.checks.instructions import InstructionCheck
from selfinstruct.checks.merged import merged_tasks
from selfinstruct.checks.own_checks import asks_for_instruction, failed, of_instance, of_instruction
from selfinstruct.checks.patterns import forbidden_pattern, wanted_pattern
from selfinstruct.checks.personal_data import personal_data
from selfinstruct.checks.toxic import classifier, toxic
from selfinstruct.checks.unfinished import unfinished
from selfinstruct.settings import Settings
from selfinstruct.types import Task

OfInstructions = Callable[[Settings], InstructionCheck | None]
"""Binds a check to the settings; None: they ask for nothing that it could find."""
CheckedPart = Literal["instance", "input", "user", "turn"]
OfInstances = Callable[[Settings, Sequence[Task]], InstanceCheck | None]
"""The same, with the pool's seeds."""


def _text(check: InstructionCheck) -> OfInstructions:
    return lambda _: check


def _rule(rule: InstanceRule) -> OfInstances:
    return lambda *_: lambda case: rule(case.task, case.candidate, case.labels)


def _validator(module: str, name: str) -> OfInstances:
    """A check whose module is loaded when it is first asked: its many patterns take a while to compile.

    An error of its own is `validator_error`, as with the user's: one text must not end a run. Parsers and the check of
    hidden characters see the texts as they are.
    """

    def check(case: Case) -> Fault | None:
        ask: Validator = getattr(import_module(f"{__name__}.{module}"), name)
        task = case.as_written[0] if name == "hidden_characters" else case.task
        instance = case.as_written[1] if module == "structured" or name == "hidden_characters" else case.instance
        try:
            return ask(task, instance)
        except Exception as error:  # noqa: BLE001 - whatever a text does to a check must not end a run
            return failed(name, error)

    return lambda *_: check


def _personal_data(settings: Settings) -> InstructionCheck | None:
    return personal_data if settings.filters.personal_data == "reject" else None


def _personal_data_of_instance(settings: Settings, _: Sequence[Task]) -> InstanceCheck | None:
    def check(case: Case) -> Fault | None:
        return next((found for text in case.as_written[1].texts if (found := personal_data(text))), None)

    return check if settings.filters.personal_data == "reject" else None


def _languages(settings: Settings) -> InstructionCheck | None:
    return wrong_language(settings.filters.languages) if settings.filters.languages else None


def _toxic(_: Settings) -> InstructionCheck:
    classifier()
    return toxic


def _toxic_instance(*_: object) -> InstanceCheck:
    classifier()
    return lambda case: next((found for text in case.instance.texts if (found := toxic(text))), None)


CHECKS: Mapping[str, tuple[OfInstructions | None, OfInstances | None]] = {
    "broken_text": (_text(wording.broken_text), _rule(instances.broken_text)),
    "starts_with_punctuation": (_text(instructions.starts_with_punctuation), None),
    "too_short": (lambda settings: instructions.too_short(settings.filters.min_words), None),
    "too_long": (lambda settings: instructions.too_long(settings.filters.max_words), None),
    "blocked_words": (lambda settings: instructions.blocked_words(settings.filters.blocked_words), None),
    "unfinished": (_text(unfinished), None),
    "no_request": (_text(instructions.no_request), None),
    "empty_output": (None, _rule(instances.empty_output)),
    "cut_off": (None, _rule(instances.cut_off)),
    "same_as_input": (None, _rule(instances.same_as_input)),
    "placeholder": (_text(instructions.placeholder), _rule(instances.placeholder)),
    "material": (None, _rule(instances.material)),
    "refusal": (None, _rule(instances.refusal)),
    "asks_for_input": (None, _rule(instances.asks_for_input)),
    "merged_tasks": (_text(merged_tasks), _rule(instances.merged_tasks)),
    "attachment": (None, _rule(instances.attachment)),
    "beyond_text": (_text(beyond_text), None),
    "prompt_echo": (
        lambda settings: lambda text: prompt_echo(text, settings.prompts),
        lambda settings, _: lambda case: prompt_echo("\n".join(case.instance.texts), settings.prompts),
    ),
    "copied_instance": (None, lambda _, seeds: lambda case: copied_instance(*case.instance.texts, seeds)),
    "personal_data": (_personal_data, _personal_data_of_instance),
    "language": (_languages, None),
    "labels": (None, _validator("repetition", "unstated_label")),
    "restated_question": (None, _validator("repetition", "restated_question")),
    "leftover_marker": (None, _validator("markers", "leftover_marker")),
    "hidden_characters": (None, _validator("markers", "hidden_characters")),
    "loose_end": (None, _validator("repetition", "loose_end")),
    "numeric_answer": (None, _validator("arithmetic", "numeric_answer")),
    "language_match": (None, _validator("output_language", "language_match")),
    "max_repetition": (
        _text(lambda text: import_module(f"{__name__}.repetition").loop(text)),
        _validator("repetition", "max_repetition"),
    ),
    "json": (None, _validator("structured", "json_form")),
    "toml": (None, _validator("structured", "toml_form")),
    "xml": (None, _validator("structured", "xml_form")),
    "python_syntax": (None, _validator("structured", "python_syntax")),
    "yaml": (None, _validator("structured", "yaml_form")),
    "unsupported": (None, _validator("unsupported", "unsupported")),
}
"""By name, in the order of `default`: of instructions, of instances."""
FURTHER: Mapping[str, tuple[OfInstructions | None, OfInstances | None]] = {"toxic": (_toxic, _toxic_instance)}
"""The same, of those that need an extra and are not part of `default`."""
_BUILT_IN = {**CHECKS, **FURTHER}
default = (*CHECKS,)
"""What `default` stands for in a configuration, to be put into a list with others."""
CAREFUL = "language_match:lingua"
"""A check that needs the extra `languages`."""
WITH_PATTERN: Mapping[str, Callable[[str], Validator]] = {"regex": wanted_pattern, "no_regex": forbidden_pattern}
"""Checks that are written with a pattern, such as `regex:^\\d+$`."""
_OF_INPUTS = frozenset(
    {
        "broken_text", "cut_off", "placeholder", "material", "merged_tasks", "attachment", "prompt_echo",
        "personal_data", "toxic",
    }
)  # fmt: skip
"""Those of instances that check an input by itself as well."""


_OF_USERS = (_OF_INPUTS - {"material"}) | {"refusal", "leftover_marker", "hidden_characters"}
"""Those of instances that check a further turn of the user as well."""
_NOT_OF_TURNS = frozenset({"material", "labels", "numeric_answer"})
"""Those of instances that would need all that was said before a turn."""


def chosen(entries: Iterable[str]) -> tuple[str, ...]:
    """The names that a configuration gives, each once. Raises: ConfigError."""
    more = (*FURTHER, CAREFUL, *(f"{one}:PATTERN" for one in WITH_PATTERN))
    return tuple(dict.fromkeys(own.chosen("checks", entries, CHECKS, "filters.checks", more, _is_further)))


def instruction_checks(settings: Settings) -> tuple[InstructionCheck, ...]:
    """The checks of instructions that settings name, in their order.

    Raises:
        ConfigError: a function of the user's cannot be loaded.
    """
    found = (_of_instructions(name, settings) for name in settings.filters.checks)
    return tuple(check for check in found if check is not None)


def instance_checks(
    settings: Settings, seeds: Sequence[Task] = (), of: CheckedPart = "instance"
) -> tuple[InstanceCheck, ...]:
    """The checks of instances that settings name, in their order; of these, those of a part alone.

    Raises:
        ConfigError: a pattern or a function is not to be used.
    """
    names = [name for name in settings.filters.checks if _looks_at(name, of)]
    found = (_of_instances(name, settings, seeds) for name in names)
    return tuple(check for check in found if check is not None)


def _looks_at(name: str, part: CheckedPart) -> bool:
    """Whether a check of instances looks at a part: an input, a further turn of the user, or one with its answer."""
    match part:
        case "input":
            return name in _OF_INPUTS
        case "user":
            return name in _OF_USERS
        case "turn":
            return name not in _NOT_OF_TURNS
    return True


def has_own_check(settings: Settings) -> bool:
    """Whether settings name a check of instructions that is code of the user's own, or of a package's."""
    found = ((name, _own(name, settings)) for name in settings.filters.checks if name not in _BUILT_IN)
    return any(function is not None and asks_for_instruction(name, function) for name, function in found)


def _of_instructions(name: str, settings: Settings) -> InstructionCheck | None:
    if name in _BUILT_IN:
        bind = _BUILT_IN[name][0]
        return bind(settings) if bind else None
    function = _own(name, settings)
    return of_instruction(name, function) if function and asks_for_instruction(name, function) else None


def _of_instances(name: str, settings: Settings, seeds: Sequence[Task]) -> InstanceCheck | None:
    if name in _BUILT_IN:
        bind = _BUILT_IN[name][1]
        return bind(settings, seeds) if bind else None
    function = _own(name, settings)
    if function is None:
        return _as_written(_given(name))
    return None if asks_for_instruction(name, function) else _as_written(of_instance(name, function))


def _own(name: str, settings: Settings) -> Callable[..., object] | None:
    """The user's function, from a file or a package; None: the name is that of a check with an argument."""
    return None if _has_argument(name) else own.function_of("checks", name, settings.own_code)


def _is_further(name: str) -> bool:
    return name in FURTHER or _has_argument(name)


def _has_argument(name: str) -> bool:
    return name == CAREFUL or name.partition(":")[0] in WITH_PATTERN


@lru_cache(maxsize=64)
def _given(name: str) -> Validator:
    if name == CAREFUL:
        from selfinstruct.checks.output_language import careful_language_match  # noqa: PLC0415 - as in `_validator`

        return careful_language_match()
    kind, _, argument = name.partition(":")
    return WITH_PATTERN[kind](argument)


def _as_written(validator: Validator) -> InstanceCheck:
    return lambda case: validator(*case.as_written)
