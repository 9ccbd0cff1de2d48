"""Ways to ask a model for tasks and to read its answers."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import lru_cache
from typing import Any

from selfinstruct.ask import Ask
from selfinstruct.checks.screening import InstructionRules, ScreenInstances, instruction_rules, screen_instances
from selfinstruct.errors import ConfigError
from selfinstruct.own import OWN, installed, stored
from selfinstruct.recipes import chat, original, paper
from selfinstruct.recipes.own_recipes import fault_of, guarded
from selfinstruct.settings import Settings
from selfinstruct.types import Api, Candidate, Completion, Prompt, Rejection, Request, Task, Written


@dataclass(frozen=True, slots=True)
class Recipe:
    """One way to ask and to read the answers."""

    name: str
    """Of the built-in recipe whose prompts it fills."""
    api: Api
    stages: tuple[str, ...]
    """In the order a task goes through them."""
    sampling: Mapping[str, Mapping[str, Any]]
    """The parameters of each stage, unless the configuration says otherwise."""
    propose: Callable[[Settings, Sequence[Task], int, str | None, Sequence[str]], Prompt]
    """(settings, demonstrations, index within the round, topic, words to begin with) -> what is asked."""
    read_proposals: Callable[[Request, Completion, Settings], list[Candidate | Rejection]]
    write_instances: Callable[[Task, Ask, Settings, Sequence[Task], chat.InputFault], Awaitable[Written]]
    """(task, door to the model, settings, the pool's seeds, faults of inputs) -> its instances, unscreened."""
    propose_again: Callable[[Request, Completion, Settings], Prompt | None] = lambda *_: None
    """What is asked once more after an answer without a task; None: nothing."""
    instruction_rules: Callable[[Settings], InstructionRules] = instruction_rules
    """Binds to the settings what an instruction must pass before it is compared with others."""
    screen_instances: ScreenInstances = screen_instances
    filters: Mapping[str, Any] = field(default_factory=dict)
    """Settings of [filters] that hold whatever the configuration says."""
    lag_grows: bool = True
    """Whether the lag of rounds grows with the pool; otherwise it stays `lookahead`."""
    stores_all_scores: bool = False
    """Whether a task keeps its mean score to all earlier instructions and the ten most similar of them."""


async def _chat_instances(
    task: Task, ask: Ask, settings: Settings, seeds: Sequence[Task], fault: chat.InputFault
) -> Written:
    del seeds
    return await chat.write_instances(task, ask, settings, fault)


async def _paper_instances(
    task: Task, ask: Ask, settings: Settings, seeds: Sequence[Task], fault: chat.InputFault
) -> Written:
    del fault
    return await paper.write_instances(task, ask, settings, seeds)


async def _original_instances(
    task: Task, ask: Ask, settings: Settings, seeds: Sequence[Task], fault: chat.InputFault
) -> Written:
    del fault
    return await original.write_instances(task, ask, settings, seeds)


_PAPER = Recipe(
    "paper", paper.API, paper.STAGES, paper.DEFAULT_SAMPLING, paper.propose, paper.read_proposals, _paper_instances
)
ORIGINAL = "original"
RECIPES: Mapping[str, Recipe] = {
    "chat": Recipe(
        "chat",
        chat.API,
        chat.STAGES,
        chat.DEFAULT_SAMPLING,
        chat.propose,
        chat.read_proposals,
        _chat_instances,
        chat.propose_again,
    ),
    "paper": _PAPER,
    ORIGINAL: replace(
        _PAPER,
        read_proposals=original.read_proposals,
        write_instances=_original_instances,
        instruction_rules=original.instruction_rules,
        screen_instances=original.screen_instances,
        filters={"tokenizer": "rouge_score", "personal_data": "off"},
        lag_grows=False,
        stores_all_scores=True,
    ),
}


def recipe_of(settings: Settings) -> Recipe:
    """The recipe by which a round is asked and read: a built-in one, or the user's own. Raises: ConfigError."""
    name = settings.recipe.name
    return RECIPES.get(name) or _own_recipe(name, tuple(settings.own_code.items()))


@lru_cache(maxsize=16)
def _own_recipe(name: str, sources: tuple[tuple[str, str], ...]) -> Recipe:
    found = stored(name, dict(sources)) if name.startswith(OWN) else installed("recipes", name)
    return own_recipe(found, name)


def own_recipe(found: object, name: str) -> Recipe:
    """The recipe of the user's own that was found under a name.

    Raises:
        ConfigError: it is none, or cannot be used.
    """
    if not isinstance(found, Recipe):
        raise ConfigError(f"{name} is no recipe; it has to be a `selfinstruct.recipes.Recipe`")
    prompts = dict.fromkeys(one.name for one in RECIPES.values())
    if found.name not in [*prompts]:
        raise ConfigError(f"{name} has the name {found.name!r}; wanted is {' or '.join(prompts)}")
    if fault := fault_of(found):
        raise ConfigError(f"{name} {fault}")
    return guarded(found, name)
