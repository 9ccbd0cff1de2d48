"""A rehearsal with made-up answers before anything is asked, so that faulty settings cost nothing."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from selfinstruct.algorithm import finish, plan_request, plan_round
from selfinstruct.checks import instance_checks, instruction_checks
from selfinstruct.recipes.fitting import check_room, most_likely_tokens
from selfinstruct.settings import Settings
from selfinstruct.steps.judging import judge_prompt, revise_prompt
from selfinstruct.types import PROPOSE, Completion, InstanceCandidate, Prompt, Task


async def rehearse(
    settings: Settings, seeds: Sequence[Task], context_lengths: Mapping[str, int | None] | None = None
) -> None:
    """Render every prompt and bind every check, to make sure that the settings can be used.

    `context_lengths` has by stage how many tokens its model takes, as far as that is known.

    Raises:
        ConfigError: a prompt names a placeholder that has no value, a check's setting is not known, or an answer may be
            so long that no prompt fits before it.
    """
    lengths = context_lengths or {}
    instruction_checks(settings)
    instance_checks(settings)
    planned = plan_round(0, settings, seeds, seeds[:1])
    check_room(min(planned, key=lambda request: most_likely_tokens(request.messages)), lengths.get(PROPOSE))

    async def ask(prompt: Prompt) -> Completion:
        request = plan_request(prompt, settings, None, task.id)
        check_room(request, lengths.get(prompt.stage))
        return Completion(request.id, "answer", '{"labels": ["Yes"], "inputs": ["It does."]}', "stop")

    for is_classification in (False, True):
        task = Task("rehearsal", "Say whether it rains.", is_classification)
        await finish(task, ask, settings, seeds)
    if settings.judge.enabled:
        instance = InstanceCandidate("", 0, "", "No.")
        for prompt in (
            judge_prompt(task, instance, 0, settings),
            revise_prompt(task, instance, "", settings, settings.judge.principles),
        ):
            if prompt.stage in settings.stages:
                check_room(plan_request(prompt, settings, None, task.id), lengths.get(prompt.stage))
