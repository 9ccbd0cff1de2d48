"""The `chat` recipe: instruction-tuned models write tasks and inputs as JSON, and answer as they would a user.

Three stages. `propose` asks for several new instructions at once; `inputs` asks what an accepted instruction works on,
for classifications label first; `respond` sends instruction and input as a user would and takes the plain answer as the
output, so that code and long text never pass through JSON. With `agreement`, a short definite answer is asked for
several times, and the one that most of them give is taken.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from typing import Annotated, Any, TypeVar

from pydantic import BaseModel, BeforeValidator, ValidationError

from selfinstruct.recipes.agreement import agreed, is_definite, is_enough, output_of
from selfinstruct.recipes.answers import read_items, read_object, tidy_instruction
from selfinstruct.recipes.steps import Ask, Settled
from selfinstruct.recipes.templates import fill
from selfinstruct.records import (
    APART,
    PROPOSE,
    AgreementRules,
    Api,
    Candidate,
    Completion,
    InstanceCandidate,
    Message,
    Prompt,
    Rejection,
    Request,
    Schema,
    Settings,
    Task,
)

INPUTS = "inputs"
RESPOND = "respond"
STAGES = (PROPOSE, INPUTS, RESPOND)
API: Api = "chat"
DEFAULT_SAMPLING: Mapping[str, Mapping[str, Any]] = {
    PROPOSE: {"temperature": 1.0, "top_p": 0.95, "max_tokens": 1536},
    INPUTS: {"temperature": 0.8, "top_p": 0.95, "max_tokens": 1536},
    RESPOND: {"temperature": 0.3, "max_tokens": 1536},
}

InputFault = Callable[[Task, str], tuple[str, str] | None]
"""Why an input is not worth an answer, as (reason, evidence)."""


def _object(properties: Mapping[str, Any]) -> dict[str, Any]:
    return {
        "type": "object",
        "properties": dict(properties),
        "required": list(properties),
        "additionalProperties": False,
    }


_TEXT = {"type": "string"}
_FLAG = {"type": "boolean"}
NEW_TASKS = Schema(
    "new_tasks",
    _object({"tasks": {"type": "array", "items": _object({"instruction": _TEXT, "is_classification": _FLAG})}}),
)
TASK_INPUTS = Schema("task_inputs", _object({"needs_input": _FLAG, "inputs": {"type": "array", "items": _TEXT}}))
LABELLED_INPUTS = Schema(
    "labelled_inputs",
    _object(
        {
            "labels": {"type": "array", "items": _TEXT},
            "needs_input": _FLAG,
            "inputs": {"type": "array", "items": _object({"label": _TEXT, "input": _TEXT})},
        }
    ),
)


def _as_text(value: Any) -> Any:
    """Numbers, lists and tables that a model put where a string was asked for, as the text a user would paste."""
    if isinstance(value, str):
        return value.strip()
    if value is None:
        return ""
    return json.dumps(value, ensure_ascii=False)


Text = Annotated[str, BeforeValidator(_as_text)]
Form = TypeVar("Form", bound=BaseModel)


class _NewTask(BaseModel):
    instruction: str
    is_classification: bool | None = None


class _Inputs(BaseModel):
    needs_input: bool | None = None
    inputs: list[Text]


class _LabelledInput(BaseModel):
    label: Text
    input: Text = ""


class _LabelledInputs(BaseModel):
    labels: list[Text] = []
    needs_input: bool | None = None
    inputs: list[_LabelledInput]


def propose(
    settings: Settings, demonstrations: Sequence[Task], index: int, topic: str | None, verbs: Sequence[str] = ()
) -> Prompt:
    """The prompt of one propose request. `verbs` are those that new tasks are asked to begin with."""
    shown = [
        json.dumps({"instruction": task.instruction, "is_classification": bool(task.is_classification)},
                   ensure_ascii=False)
        for task in demonstrations
    ]  # fmt: skip
    values = {
        "shown": str(len(shown)),
        "demonstrations": "\n".join(shown),
        "number": str(settings.tasks_per_request),
        "topic": topic or "",
        "verbs": ", ".join(verbs),
        "guidance": settings.guidance,
    }
    return Prompt(
        stage=PROPOSE,
        index=index,
        messages=_messages(settings, PROPOSE, values),
        schema=NEW_TASKS,
        demonstrations=tuple(task.id for task in demonstrations),
    )


def read_proposals(request: Request, completion: Completion, settings: Settings) -> list[Candidate | Rejection]:
    """The candidates of a propose completion in order, and what of it cannot be read."""
    del settings
    if completion.kind == "failed":
        return [_unreadable(request, 0, "", f"the request failed: {completion.text}", "instruction")]
    items = read_items(completion.text, "tasks")
    if items is None or not (items.whole or items.broken):
        return [_unreadable(request, 0, completion.text, "no list of tasks in the answer", "instruction")]
    found: list[Candidate | Rejection] = []
    for position, item in enumerate(items.whole):
        try:
            task = _NewTask(instruction=item) if isinstance(item, str) else _NewTask.model_validate(item)
        except ValidationError as error:
            text = json.dumps(item, ensure_ascii=False)
            found.append(_unreadable(request, position, text, _first_fault(error), "instruction"))
        else:
            instruction = tidy_instruction(task.instruction)
            found.append(Candidate(request.id, position, instruction, task.is_classification, request.source))
    if items.broken:
        reason = "cut_off" if completion.finish_reason == "length" else "unreadable"
        found.append(
            Rejection("instruction", reason, request.id, len(found), items.broken,
                      evidence=f"the list breaks off (finish reason {completion.finish_reason})", source=request.source)
        )  # fmt: skip
    return found


def follow_up(
    task: Task,
    answers: Mapping[tuple[str, int], Completion],
    requests: Mapping[tuple[str, int], Request],
    settings: Settings,
    input_fault: InputFault,
) -> Ask | Settled:
    """What to ask next for an accepted task, or its instance candidates when all answers are in.

    A function of the answers so far, by (stage, index); it may be asked again from the start at any time.
    """
    inputs = answers.get((INPUTS, 0))
    if inputs is None:
        return Ask((_inputs_prompt(task, settings),), task.is_classification)
    asked = requests[INPUTS, 0]
    if inputs.kind == "failed":
        fault = _unreadable(asked, 0, "", f"the request failed: {inputs.text}", "instance", task)
        return Settled(bool(task.is_classification), (), (fault,))
    if task.is_classification:
        return _after_labelled_inputs(task, asked, inputs, answers, settings, input_fault)
    read = _read(_Inputs, inputs.text)
    if isinstance(read, str):
        return Settled(False, (), (_unreadable(asked, 0, inputs.text, read, "instance", task),))
    texts = [text for text in read.inputs if text] if read.needs_input is not False else []
    unneeded = [text for text in read.inputs if text] if read.needs_input is False else []
    candidates, rejections = _sift(task, asked, texts or [""], settings, input_fault)
    rejections += [
        Rejection("instance", "input_not_needed", asked.id, len(texts or [""]) + place, "", input=text,
                  evidence="the model said that no input is needed", task_id=task.id, source=asked.source)
        for place, text in enumerate(unneeded)
    ]  # fmt: skip
    return _after_responses(task, candidates, rejections, answers, settings, ())


def _after_labelled_inputs(
    task: Task,
    asked: Request,
    inputs: Completion,
    answers: Mapping[tuple[str, int], Completion],
    settings: Settings,
    input_fault: InputFault,
) -> Ask | Settled:
    read = _read(_LabelledInputs, inputs.text)
    if isinstance(read, str):
        return Settled(True, (), (_unreadable(asked, 0, inputs.text, read, "instance", task),))
    labels = tuple(dict.fromkeys(label for label in read.labels if label))
    cases = [case for case in read.inputs if case.input]
    if not cases:
        candidates, rejections = _sift(task, asked, [""], settings, input_fault)
        return _after_responses(task, candidates, rejections, answers, settings, labels)
    found = tuple(
        InstanceCandidate(asked.id, position, case.input, case.label, inputs.finish_reason, asked.source)
        for position, case in enumerate(cases)
    )
    return Settled(True, found, (), labels)


def _after_responses(
    task: Task,
    candidates: list[InstanceCandidate],
    rejections: list[Rejection],
    answers: Mapping[tuple[str, int], Completion],
    settings: Settings,
    labels: tuple[str, ...],
) -> Ask | Settled:
    """Ask for the outputs that are not there yet; settled when all are."""
    wanted = [candidate for candidate in candidates if (RESPOND, candidate.position) not in answers]
    if wanted:
        prompts = tuple(_respond_prompt(task, candidate, settings) for candidate in wanted)
        return Ask(prompts, task.is_classification, tuple(candidates), tuple(rejections))
    samples = {candidate.position: _samples(task, candidate, answers, settings) for candidate in candidates}
    more = tuple(
        _respond_prompt(task, candidate, settings, number)
        for candidate in candidates
        for number in samples[candidate.position]
        if (RESPOND, candidate.position + APART * number) not in answers
    )
    if more:
        return Ask(more, task.is_classification, tuple(candidates), tuple(rejections))
    answered = []
    for candidate in candidates:
        completion = answers[RESPOND, candidate.position]
        if len(samples[candidate.position]) > 1 and settings.agreement is not None:
            given = [answers[RESPOND, candidate.position + APART * number] for number in samples[candidate.position]]
            one = _by_agreement(task, candidate, given, settings.agreement)
            if isinstance(one, Rejection):
                rejections.append(one)
            else:
                answered.append(one)
            continue
        if completion.kind == "failed":
            rejections.append(
                Rejection("instance", "no_answer", candidate.request_id, candidate.position, "", input=candidate.input,
                          evidence=f"the request failed: {completion.text}", task_id=task.id, source=candidate.source)
            )  # fmt: skip
            continue
        answered.append(
            InstanceCandidate(candidate.request_id, candidate.position, candidate.input, completion.text.strip(),
                              completion.finish_reason, candidate.source)
        )  # fmt: skip
    return Settled(bool(task.is_classification), tuple(answered), tuple(rejections), labels)


def _samples(
    task: Task, candidate: InstanceCandidate, answers: Mapping[tuple[str, int], Completion], settings: Settings
) -> range:
    """The numbers of the answers that are wanted: one, or several where the first is short and definite."""
    first = answers[RESPOND, candidate.position]
    if settings.agreement is None or first.kind == "failed" or not is_definite(task, first.text):
        return range(1)
    return range(settings.agreement.answers)


def _by_agreement(
    task: Task, candidate: InstanceCandidate, given: Sequence[Completion], rules: AgreementRules
) -> InstanceCandidate | Rejection:
    """The candidate with the output that most answers give, or its rejection where too few agree."""
    found = agreed(given)
    chosen = given[found.sample]
    if not is_enough(found, len(given), rules):
        said = ", ".join(f'"{answer[:60]}" {votes}' for answer, votes in found.answers)
        evidence = f"{found.votes} of {len(given)} answers agree; given were: {said or 'none'}"
        return Rejection("instance", "no_agreement", candidate.request_id, candidate.position, chosen.text.strip(),
                         candidate.input, evidence, task_id=task.id, source=candidate.source)  # fmt: skip
    output = output_of(chosen.text, rules)
    return InstanceCandidate(
        candidate.request_id, candidate.position, candidate.input, output, chosen.finish_reason, candidate.source
    )


def _sift(
    task: Task, asked: Request, texts: Sequence[str], settings: Settings, input_fault: InputFault
) -> tuple[list[InstanceCandidate], list[Rejection]]:
    """Inputs worth an answer, and those that are not, before anything is paid for them."""
    candidates: list[InstanceCandidate] = []
    rejections: list[Rejection] = []
    for position, text in enumerate(texts):
        fault = input_fault(task, text) if text else None
        if fault is None and any(text == earlier.input for earlier in candidates):
            fault = ("duplicate", "the same input was given before")
        if fault is None and len(candidates) == settings.max_instances:
            fault = ("too_many", f"more than {settings.max_instances} inputs")
        if fault is None:
            candidates.append(InstanceCandidate(asked.id, position, text, "", source=asked.source))
        else:
            rejections.append(
                Rejection("instance", fault[0], asked.id, position, "", input=text, evidence=fault[1],
                          task_id=task.id, source=asked.source)
            )  # fmt: skip
    return candidates, rejections


def _inputs_prompt(task: Task, settings: Settings) -> Prompt:
    name, schema = ("labelled_inputs", LABELLED_INPUTS) if task.is_classification else (INPUTS, TASK_INPUTS)
    values = {
        "task": json.dumps({"instruction": task.instruction}, ensure_ascii=False),
        "number": str(settings.inputs_per_task),
    }
    return Prompt(INPUTS, 0, _messages(settings, name, values), schema)


def _respond_prompt(task: Task, candidate: InstanceCandidate, settings: Settings, number: int = 0) -> Prompt:
    steps = settings.prompts.get("steps", "").strip() if settings.agreement is not None else ""
    values = {"instruction": task.instruction, "input": candidate.input, "steps": steps}
    return Prompt(RESPOND, candidate.position + APART * number, _messages(settings, RESPOND, values))


def _messages(settings: Settings, name: str, values: Mapping[str, str]) -> tuple[Message, ...]:
    """The two messages of a stage: what is the same for all its requests comes first, so that servers can cache it."""
    return (
        Message("system", fill(settings.prompts[f"{name}.system"], values).strip()),
        Message("user", fill(settings.prompts[f"{name}.user"], values).strip()),
    )


def _read(form: type[Form], text: str) -> Form | str:
    """The answer in its form, or what is wrong with it."""
    value = read_object(text)
    if value is None:
        return "no JSON object in the answer"
    try:
        return form.model_validate(value)
    except ValidationError as error:
        return _first_fault(error)


def _first_fault(error: ValidationError) -> str:
    first = error.errors()[0]
    return f"{'.'.join(str(part) for part in first['loc']) or 'item'}: {first['msg']}"


def _unreadable(
    request: Request, position: int, text: str, evidence: str, kind: Any, task: Task | None = None
) -> Rejection:
    return Rejection(kind, "unreadable", request.id, position, text, evidence=evidence,
                     task_id=task.id if task else None, source=request.source)  # fmt: skip
