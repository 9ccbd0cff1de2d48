"""Recipes that users write: what is wanted of one, and of each of its functions when it is called."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any, get_args

from selfinstruct.ask import Ask, Asked
from selfinstruct.checks.wording import excerpt
from selfinstruct.errors import OwnCodeError
from selfinstruct.own import in_words, raised
from selfinstruct.types import (
    PROPOSE,
    Api,
    Candidate,
    Completion,
    InstanceCandidate,
    Message,
    Prompt,
    Rejection,
    Request,
    Role,
    Schema,
    Task,
    Written,
    canonical_json,
    storable,
)

if TYPE_CHECKING:
    from selfinstruct.recipes import Recipe
    from selfinstruct.recipes.chat import InputFault
    from selfinstruct.settings import Settings


def fault_of(recipe: Recipe) -> str:
    """What is wrong with the values of a recipe; empty where nothing is."""
    stages, sampling = recipe.stages, recipe.sampling
    if recipe.api not in get_args(Api):
        return f"has the api {_shown(recipe.api)}; wanted is {' or '.join(get_args(Api))}"
    if not isinstance(stages, tuple) or not all(isinstance(one, str) for one in stages) or stages[:1] != (PROPOSE,):
        return f"has the stages {_shown(stages)}; wanted is a tuple of names that begins with {PROPOSE!r}"
    for stage in stages:
        if not isinstance(sampling, Mapping) or not isinstance(sampling.get(stage), Mapping):
            return f"has no sampling for its stage {stage!r}; wanted is a mapping such as {{'max_tokens': 1024}}"
    try:
        canonical_json(sampling)
    except (TypeError, ValueError) as error:
        return f"has a sampling that JSON cannot hold ({in_words(error)})"
    return ""


def guarded(recipe: Recipe, name: str) -> Recipe:
    """The recipe with functions that raise `OwnCodeError` where the user's own do not do what is wanted of them."""
    at = f"recipe {name.rpartition(':')[2]}"

    def propose(*given: Any) -> Prompt:
        found = _called(f"{at}: propose", recipe.propose, *given)
        prompt: Prompt = _right(f"{at}: propose", found, _fault_of_prompt(found, recipe.stages))
        return prompt

    def read_proposals(request: Request, completion: Completion, settings: Settings) -> list[Candidate | Rejection]:
        found = _called(f"{at}: read_proposals", recipe.read_proposals, request, completion, settings)
        _right(f"{at}: read_proposals", found, _fault_of_items(found, (Candidate, Rejection), {request.id}))
        return list(found)

    def propose_again(request: Request, completion: Completion, settings: Settings) -> Prompt | None:
        found = _called(f"{at}: propose_again", recipe.propose_again, request, completion, settings)
        fault = _fault_of_prompt(found, recipe.stages) if found is not None else ""
        prompt: Prompt | None = _right(f"{at}: propose_again", found, fault)
        return prompt

    async def write_instances(
        task: Task, ask: Ask, settings: Settings, seeds: Sequence[Task], fault: InputFault
    ) -> Written:
        asked, known = Asked(ask), set[tuple[str, int]]()

        async def door(prompt: Prompt) -> Completion:
            wrong = _fault_of_prompt(prompt, recipe.stages) or _fault_of_question(prompt, known)
            _right(f"{at}: write_instances", prompt, wrong, "asked")
            known.add((prompt.stage, prompt.index))
            return await asked(prompt)

        found, error = None, None
        try:
            work = recipe.write_instances(task, door, settings, seeds, fault)
            found = await work if inspect.isawaitable(work) else work
        except (Exception, SystemExit) as caught:  # noqa: BLE001 - whatever a user's function does is one line
            error = caught
        answers = {answer.request_id for _, answer in await asked.answers()}
        if isinstance(error, OwnCodeError):
            raise error
        if error is not None:
            raise OwnCodeError(f"{at}: write_instances raised {raised(error)}; mend it") from error
        written: Written = _right(f"{at}: write_instances", found, _fault_of_written(found, answers))
        kept = (replace(one, input=storable(one.input), output=storable(one.output)) for one in written.candidates)
        return replace(
            written, candidates=tuple(kept), rejections=tuple(written.rejections), labels=tuple(written.labels)
        )

    return replace(
        recipe,
        propose=propose,
        read_proposals=read_proposals,
        propose_again=propose_again,
        write_instances=write_instances,
    )


def _called(at: str, function: Callable[..., Any], *given: Any) -> Any:
    try:
        return function(*given)
    except (Exception, SystemExit) as error:
        raise OwnCodeError(f"{at} raised {raised(error)}; mend it") from error


def _right(at: str, found: Any, fault: str, did: str = "gave") -> Any:
    """What was found, if there is no fault in it."""
    if fault:
        raise OwnCodeError(f"{at} {did} {_shown(found)}; {fault}")
    return found


def _fault_of_prompt(found: object, stages: Sequence[str]) -> str:
    """What was wanted instead of this prompt; empty where it can be asked."""
    if not isinstance(found, Prompt):
        return "wanted is a `selfinstruct.types.Prompt`"
    if found.stage not in stages:
        return f"its stage {_shown(found.stage)} is none of the recipe's ({', '.join(stages)}); add it to `stages`"
    if not isinstance(found.index, int) or found.index < 0:
        return "its index has to be a whole number, 0 or more"
    if not isinstance(found.messages, tuple) or not found.messages or not all(map(_is_message, found.messages)):
        return "its messages have to be a tuple of `selfinstruct.types.Message`, each with a role and a text"
    if not isinstance(found.schema, Schema | None):
        return "its schema has to be a `selfinstruct.types.Schema`, or None"
    return ""


def _fault_of_question(prompt: Prompt, asked: Collection[tuple[str, int]]) -> str:
    """What was wanted instead of this question about a task, besides those that were asked; empty where it is right."""
    if prompt.stage == PROPOSE:
        return f"the stage {PROPOSE!r} is for new instructions; give what is asked about a task another one"
    if (prompt.stage, prompt.index) in asked:
        return f"stage {prompt.stage!r} and index {prompt.index} were asked before; each question has its own"
    return ""


def _is_message(found: object) -> bool:
    return isinstance(found, Message) and found.role in get_args(Role) and isinstance(found.content, str)


def _fault_of_written(found: object, answers: Collection[str]) -> str:
    """What was wanted instead of this; empty where it can be used."""
    if not isinstance(found, Written):
        return "wanted is a `selfinstruct.types.Written`"
    if not isinstance(found.is_classification, bool):
        return "its is_classification has to be True or False"
    if not isinstance(found.labels, tuple | list) or not all(isinstance(one, str) for one in found.labels):
        return "its labels have to be a tuple of texts"
    for name, kind in (("candidates", InstanceCandidate), ("rejections", Rejection)):
        if fault := _fault_of_items(getattr(found, name), (kind,), answers):
            return f"{name}: {fault}"
    return "" if _are_apart((*found.candidates, *found.rejections)) else _APART


def _fault_of_items(found: object, kinds: tuple[type, ...], answers: Collection[str]) -> str:
    """What was wanted instead of these candidates and rejections; empty where they can be used."""
    if not isinstance(found, tuple | list) or not all(isinstance(one, kinds) for one in found):
        return f"wanted is a list of {' or '.join(f'`selfinstruct.types.{kind.__name__}`' for kind in kinds)}"
    for one in found:
        for name in _TEXTS:
            if hasattr(one, name) and not isinstance(getattr(one, name), str):
                return f"the {name} of one is {_shown(getattr(one, name))}; wanted is a text"
        if not isinstance(one.position, int):
            return f"the position of one is {_shown(one.position)}; wanted is a whole number"
        if one.request_id not in answers:
            return f"the request_id of one is {_shown(one.request_id)}; wanted is that of an answer, its `request_id`"
    return "" if _are_apart(found) else _APART


_TEXTS = ("request_id", "instruction", "input", "output", "finish_reason", "reason", "text", "evidence")
_APART = "two have the same request_id and position; number those of one answer from 0"


def _are_apart(found: Sequence[Any]) -> bool:
    return len({(one.request_id, one.position) for one in found}) == len(found)


def _shown(found: object) -> str:
    return excerpt(in_words(found))
