"""Ways to ask a model for tasks and to read its answers."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from selfinstruct.ask import Ask
from selfinstruct.errors import ConfigError
from selfinstruct.own import OWN, installed, stored
from selfinstruct.recipes import chat, paper
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
    "paper": Recipe(
        "paper", paper.API, paper.STAGES, paper.DEFAULT_SAMPLING, paper.propose, paper.read_proposals, _paper_instances
    ),
}


def recipe_of(settings: Settings) -> Recipe:
    """The recipe by which a round is asked and read: a built-in one, or the user's own. Raises: ConfigError."""
    name = settings.recipe.name
    if name in RECIPES:
        return RECIPES[name]
    return own_recipe(stored(name, settings.own_code) if name.startswith(OWN) else installed("recipes", name), name)


def own_recipe(found: object, name: str) -> Recipe:
    """The recipe of the user's own that was found under a name.

    Raises:
        ConfigError: it is none, or cannot be used.
    """
    if not isinstance(found, Recipe):
        raise ConfigError(f"{name} is no recipe; it has to be a `selfinstruct.recipes.Recipe`")
    if found.name not in [*RECIPES]:
        raise ConfigError(f"{name} has the name {found.name!r}; wanted is {' or '.join(RECIPES)}")
    if fault := fault_of(found):
        raise ConfigError(f"{name} {fault}")
    return guarded(found, name)
