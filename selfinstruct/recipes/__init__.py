"""Ways to ask a model for tasks and to read its answers."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from selfinstruct.recipes import chat, paper
from selfinstruct.recipes.steps import Ask, Settled
from selfinstruct.records import Api, Candidate, Completion, Prompt, Rejection, Request, Settings, Task

Answers = Mapping[tuple[str, int], Completion]
Asked = Mapping[tuple[str, int], Request]


@dataclass(frozen=True, slots=True)
class Recipe:
    """One way to ask and to read the answers."""

    name: str
    api: Api
    stages: tuple[str, ...]
    """In the order a task goes through them."""
    sampling: Mapping[str, Mapping[str, Any]]
    """The parameters of each stage, unless the configuration says otherwise."""
    propose: Callable[[Settings, Sequence[Task], int, str | None, Sequence[str]], Prompt]
    """(settings, demonstrations, index within the round, topic, words to begin with) -> what is asked."""
    read_proposals: Callable[[Request, Completion, Settings], list[Candidate | Rejection]]
    follow_up: Callable[[Task, Answers, Asked, Settings, Sequence[Task], chat.InputFault], Ask | Settled]
    """(task, answers so far, their requests, settings, the pool's seeds, faults of inputs) -> what comes next."""
    propose_again: Callable[[Request, Completion, Settings], Prompt | None] = lambda *_: None
    """What is asked once more after an answer without a task; None: nothing."""


def _chat_follow_up(
    task: Task, answers: Answers, asked: Asked, settings: Settings, seeds: Sequence[Task], fault: chat.InputFault
) -> Ask | Settled:
    del seeds
    return chat.follow_up(task, answers, asked, settings, fault)


def _paper_follow_up(
    task: Task, answers: Answers, asked: Asked, settings: Settings, seeds: Sequence[Task], fault: chat.InputFault
) -> Ask | Settled:
    del fault
    return paper.follow_up(task, answers, asked, settings, seeds)


RECIPES = {
    "chat": Recipe(
        "chat",
        chat.API,
        chat.STAGES,
        chat.DEFAULT_SAMPLING,
        chat.propose,
        chat.read_proposals,
        _chat_follow_up,
        chat.propose_again,
    ),
    "paper": Recipe(
        "paper", paper.API, paper.STAGES, paper.DEFAULT_SAMPLING, paper.propose, paper.read_proposals, _paper_follow_up
    ),
}
