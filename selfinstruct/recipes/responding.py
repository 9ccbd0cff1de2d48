"""How a model is asked to carry out a task, and what of its answer is the output."""

from __future__ import annotations

import regex

from selfinstruct.recipes.templates import conversation
from selfinstruct.settings import Settings
from selfinstruct.types import USE, Completion, Message, Task

_ANSWER = regex.compile(
    r"^[ \t>*_#]{0,8}(?:(?:the[ \t]+)?(?:final[ \t]+)?answer|(?:最终)?答案)[*_]{0,3}[ \t]?[:：][*_]{0,3}[ \t]*",
    regex.IGNORECASE | regex.MULTILINE,
)


def question(task: Task, given: str, settings: Settings) -> tuple[Message, ...]:
    """The turns by which a model is asked to carry out a task on an input; the input may be empty."""
    template = settings.prompts.get("respond")
    if template is None:  # the recipe asks base models in another way
        return (Message("user", asked_of(task, given)),)
    way: str = settings.recipe.reasoning
    if way == "free":
        way = "steps" if settings.agreement.answers > 1 else ""
    values = {"instruction": task.asked, "input": given, "steps": settings.prompts.get(way, "").strip()}
    if task.passage is not None and task.drawn.get(USE) == "closed_book":
        template, values["passage"] = settings.prompts["from_passage"], task.passage.titled
    return conversation(template, values)


def asked_of(task: Task, given: str) -> str:
    """What a user says who wants a task carried out on an input, which may be empty."""
    return f"{task.asked}\n\n{given}" if given else task.asked


def parted(answer: Completion, settings: Settings) -> tuple[str, str]:
    """The reasoning to be kept apart, and the output: what comes after "Answer:" where that was asked for, or all.

    A text that has it twice may be about questions and answers itself, and is not parted.
    """
    text = answer.text.strip()
    marks = list(_ANSWER.finditer(text))
    is_parted = settings.recipe.reasoning != "free" and settings.recipe.before_answer != "keep"
    if not is_parted or len(marks) != 1 or not text[marks[0].end() :].strip():
        return answer.reasoning, text
    reasoning, output = text[: marks[0].start()].strip(), text[marks[0].end() :].strip()
    return (reasoning if settings.recipe.before_answer == "reasoning" else "") or answer.reasoning, output
