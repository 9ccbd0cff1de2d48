"""A rehearsal with made-up answers before anything is asked, so that faulty settings cost nothing."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

from selfinstruct.algorithm import finish, plan_request, plan_round
from selfinstruct.ask import Ask
from selfinstruct.checks import instance_checks, instruction_checks
from selfinstruct.errors import OwnCodeError
from selfinstruct.recipes.fitting import check_room, most_likely_tokens
from selfinstruct.settings import Settings
from selfinstruct.steps import ASKED, functions_of
from selfinstruct.steps.own_steps import called
from selfinstruct.types import PASSAGE, PROPOSE, Completion, Instance, InstanceCandidate, Passage, Prompt, Task


async def rehearse(
    settings: Settings,
    seeds: Sequence[Task],
    context_lengths: Mapping[str, int | None] | None = None,
    passages: Sequence[Passage] = (),
) -> None:
    """Render every prompt and bind every check, to make sure that the settings can be used.

    `context_lengths` has by stage how many tokens its model takes, as far as that is known.

    Raises:
        ConfigError: a prompt names a placeholder that has no value, a check's setting is not known, an answer may be so
            long that no prompt fits before it, or a step of the user's own fails before it had an answer.
    """
    lengths = context_lengths or {}
    instruction_checks(settings)
    instance_checks(settings)
    planned = plan_round(0, settings, seeds, seeds[:1], passages=passages)
    check_room(min(planned, key=lambda request: most_likely_tokens(request.messages)), lengths.get(PROPOSE))

    async def ask(prompt: Prompt) -> Completion:
        request = plan_request(prompt, settings, None, task.id)
        check_room(request, lengths.get(prompt.stage))
        return Completion(request.id, "answer", '{"labels": ["Yes"], "inputs": ["It does."]}', "stop")

    for is_classification in (False, True):
        task = Task("rehearsal", "Say whether it rains.", is_classification)
        await finish(task, ask, without_steps(settings), seeds)
    for request in planned:
        if PASSAGE in request.drawn:
            shown = next(one for one in passages if one.id == request.drawn[PASSAGE])
            await finish(replace(task, drawn=request.drawn, passage=shown), ask, without_steps(settings), seeds)
    await rehearse_steps(task, [Instance("It does.", "It rains.")], ask, settings)


async def rehearse_steps(task: Task, rows: Sequence[Instance], ask: Ask, settings: Settings) -> None:
    """Put what the steps ask about these rows; the answers are made up, so only what comes before one is a mistake.

    Raises:
        OwnCodeError: a step of the user's own fails before it had an answer.
    """
    found = [InstanceCandidate("", place, row.input, row.output) for place, row in enumerate(rows)]
    for name in settings.recipe.steps:
        for one in found if name in ASKED else ():
            for prompt in ASKED[name](task, one, settings):
                await ask(prompt)
    for name, function in functions_of(settings):
        asked: list[Prompt] = []

        async def door(prompt: Prompt, asked: list[Prompt] = asked) -> Completion:
            asked.append(prompt)
            return await ask(prompt)

        try:
            await called(name, function, task, rows, door)
        except OwnCodeError as error:
            if not asked:
                raise OwnCodeError(f"recipe.steps: {error}; tried on a made-up row before anything is asked") from error


def without_steps(settings: Settings) -> Settings:
    """The same settings with an empty list of steps."""
    return settings.model_copy(update={"recipe": settings.recipe.model_copy(update={"steps": ()})})
