"""The steps: what works on the rows of an accepted task, once they are written and checked, in the order of a list.

`recipe.steps` names them. Each is a coroutine that gets the task as it stands and the door to the model, and gives the
task as it is then. What it asks is known by its stage, so one that is put in, taken out or changed leaves the answers
to all others as they are.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable, Mapping
from typing import Any

from selfinstruct import own
from selfinstruct.ask import Ask
from selfinstruct.settings import PoolSettings, Settings
from selfinstruct.steps import attempts, judging, sampling, turns
from selfinstruct.steps.judging import Validate
from selfinstruct.steps.own_steps import Function, own_step
from selfinstruct.types import Api, Finished, InstanceCandidate, Prompt, Task

Step = Callable[[Finished, Ask, Settings, Validate], Awaitable[Finished]]
"""(the task as it stands, door to the model, settings, what the checks make of a changed row) -> the task after it."""

STEPS: Mapping[str, Step] = {
    judging.JUDGE: judging.judge, sampling.SAMPLE: sampling.sample, attempts.ATTEMPTS: attempts.attempts,
    turns.TURNS: turns.turns,
}  # fmt: skip
ASKED: Mapping[str, Callable[[Task, InstanceCandidate, Settings], list[Prompt]]] = {
    judging.JUDGE: judging.asked_about, sampling.SAMPLE: sampling.asked_about, attempts.ATTEMPTS: attempts.asked_about,
    turns.TURNS: turns.asked_about,
}  # fmt: skip
"""By the name of a step: all that it asks about a row, if its answers can be read."""
default = (judging.JUDGE,)
"""What `default` stands for in a configuration, to be put into a list with others."""
_MORE = tuple(name for name in STEPS if name not in default)
API: Api = "chat"
"""Of every step, whatever the recipe's is."""
OF_JUDGE = (*judging.STAGES, sampling.COMPARE, turns.JUDGE_TURNS)
"""The stages at which rows are judged."""
BUILT_IN = (*OF_JUDGE, sampling.SAMPLE, *attempts.STAGES, *turns.STAGES)
"""All stages of the built-in steps, but for those that `sample.stages` may name."""
_SAMPLING: Mapping[str, Mapping[str, Any]] = {
    **judging.DEFAULT_SAMPLING,
    sampling.COMPARE: judging.DEFAULT_SAMPLING[judging.JUDGE],
    **dict.fromkeys(attempts.STAGES, sampling.DEFAULT_SAMPLING),
    **turns.DEFAULT_SAMPLING,
}
DEFAULT_SAMPLING: Mapping[str, Any] = {"temperature": 0.3, "max_tokens": 1536}
"""Of a step of the user's own."""


def chosen(entries: Iterable[str]) -> tuple[str, ...]:
    """The names that a configuration gives, each once. Raises: ConfigError."""
    return tuple(dict.fromkeys(own.chosen("steps", entries, default, "recipe.steps", _MORE, _MORE.__contains__)))


def steps_of(settings: Settings) -> list[Step]:
    """The steps that settings name, in their order. Raises: ConfigError."""
    functions = dict(functions_of(settings))
    return [own_step(name, functions[name]) if name in functions else STEPS[name] for name in settings.recipe.steps]


def functions_of(settings: Settings) -> list[tuple[str, Function]]:
    """The user's own among them, or a package's, by name. Raises: ConfigError."""
    names = [name for name in settings.recipe.steps if name not in STEPS]
    return [(name, own.function_of("steps", name, settings.own_code)) for name in names]


def stages_of(of: PoolSettings) -> tuple[str, ...]:
    """The stages at which steps ask, in the order of the steps; those of the judge as far as it is switched on."""
    by_points = (judging.JUDGE,) if of.sample.by == "points" else (sampling.COMPARE,)
    judged = judging.STAGES if of.judge.revise else (judging.JUDGE,)
    found: list[str] = []
    for name in of.recipe.steps:
        if name in {own.DEFAULT, judging.JUDGE}:
            found += judged if of.judge.enabled else ()
        elif name == sampling.SAMPLE:
            found += (*of.sample.stages, *by_points)
        elif name == attempts.ATTEMPTS:
            found += (*attempts.STAGES, *((judging.JUDGE,) if of.attempts.right_by == "judge" else ()))
        elif name == turns.TURNS:
            found += (*turns.STAGES, *((turns.JUDGE_TURNS,) if of.judge.enabled else ()))
        elif not name.startswith("-"):
            found.append(own.short(name))
    return tuple(dict.fromkeys(found))


def sampling_at(stage: str, of: PoolSettings) -> Mapping[str, Any]:
    """How a model samples at a stage of a step, unless the configuration says otherwise."""
    return _SAMPLING.get(stage) or (sampling.DEFAULT_SAMPLING if stage in of.sample.stages else DEFAULT_SAMPLING)
