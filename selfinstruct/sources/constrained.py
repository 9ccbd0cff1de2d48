"""Which constraints a new task gets."""

from __future__ import annotations

from dataclasses import replace
from random import Random

from selfinstruct.constraints import LANGUAGES, draw, kinds_of
from selfinstruct.settings import Settings
from selfinstruct.types import USE, Task


def constrained(task: Task, settings: Settings) -> Task:
    """A new task with the constraints that are drawn for it; without any where its answers are labels, or known."""
    rules = settings.constraints
    generator = Random(f"{settings.seed}/{task.id}/constraints")
    is_known = task.is_classification or task.answer or task.drawn.get(USE) == "output"
    if is_known or generator.random() >= float(rules.share):
        return task
    language = next((one for one in settings.filters.languages if one in LANGUAGES), LANGUAGES[0])
    return replace(task, constraints=draw(generator, rules.most, language, kinds_of(rules.kinds, rules.leave_out)))
