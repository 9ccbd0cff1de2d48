"""The `chat` recipe: instruction-tuned models write tasks and inputs as JSON, and answer as they would a user.

Three stages. `propose` asks for several new instructions at once; `inputs` asks what an accepted instruction works on,
for classifications label first; `respond` sends instruction and input as a user would and takes the plain answer as the
output, so that code and long text never pass through JSON. With `agreement`, a short definite answer is asked for
several times, and the one that most of them give is taken.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping, Sequence
from typing import Annotated, Any

from pydantic import BaseModel, BeforeValidator, ValidationError

from selfinstruct.recipes.agreement import agreed, is_definite, is_enough, output_of
from selfinstruct.recipes.answers import read_items, read_object, tidy_instruction
from selfinstruct.recipes.steps import Ask, Settled
from selfinstruct.recipes.templates import conversation
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
"""Why an input is not worth an answer, as (reason, evidence); of an empty one, why the instruction needs another."""

_LABEL_WORDS = 8
_NOTHING = re.compile(
    r"\W*(?:nothing(?: is missing| else)?|none|no|n/?a|not needed|nichts|rien|nada|niente|无|無|没有)\W*", re.IGNORECASE
)
"""What a model says is missing where nothing is."""


def _object(properties: Mapping[str, Any]) -> dict[str, Any]:
    return {
        "type": "object",
        "properties": dict(properties),
        "required": list(properties),
        "additionalProperties": False,
    }


_FLAG = {"type": "boolean"}


def _text(most: int, least: int = 0) -> dict[str, Any]:
    """A string of so many characters. Without a bound, small models write on to the end of their tokens."""
    return {"type": "string", "minLength": least, "maxLength": most}


def _list(items: Mapping[str, Any], most: int, least: int = 0) -> dict[str, Any]:
    return {"type": "array", "items": dict(items), "minItems": least, "maxItems": most}


def _new_tasks(settings: Settings) -> Schema:
    task = _object({"instruction": _text(1000, 1), "is_classification": _FLAG})
    return Schema("new_tasks", _object({"tasks": _list(task, settings.tasks_per_request, settings.tasks_per_request)}))


def _task_inputs(settings: Settings) -> Schema:
    inputs = _list(_text(1500, 1), settings.inputs_per_task)
    return Schema("task_inputs", _object({"missing": _text(200, 1), "inputs": inputs}))


def _labelled_inputs(settings: Settings) -> Schema:
    case = _object({"label": _text(80, 1), "input": _text(1000, 1)})
    labels = _list(_text(80, 1), 20, 2)
    return Schema("labelled_inputs", _object({"labels": labels, "inputs": _list(case, settings.inputs_per_task)}))


def _as_text(value: Any) -> Any:
    """Numbers, lists and tables that a model put where a string was asked for, as the text a user would paste."""
    if isinstance(value, str):
        return value.strip()
    if value is None:
        return ""
    return json.dumps(value, ensure_ascii=False)


Text = Annotated[str, BeforeValidator(_as_text)]


class _NewTask(BaseModel):
    instruction: str
    is_classification: bool | None = None


class _Case(BaseModel):
    """An input, behind its label in a classification."""

    label: Text = ""
    input: Text = ""


def _as_case(value: Any) -> Any:
    """An input without a label, whatever a model put in its place, as a case."""
    return value if isinstance(value, dict) and value.keys() & {"label", "input"} else {"input": value}


class _Material(BaseModel):
    """What an instruction works on, as far as the answer goes."""

    missing: Text = ""
    labels: list[Text] = []
    inputs: list[Annotated[_Case, BeforeValidator(_as_case)]]
    broken: str = ""
    """The rest of an answer that breaks off."""


def propose(
    settings: Settings, demonstrations: Sequence[Task], index: int, topic: str | None, verbs: Sequence[str] = ()
) -> Prompt:
    """The prompt of one propose request. `verbs` are those that new tasks are asked to begin with."""
    shown = [{"instruction": task.instruction, "is_classification": bool(task.is_classification)}
             for task in demonstrations]  # fmt: skip
    values = {
        "shown": str(len(shown)),
        "demonstrations": json.dumps({"tasks": shown}, ensure_ascii=False),
        "number": str(settings.tasks_per_request),
        "topic": topic or "",
        "verbs": ", ".join(verbs),
        "guidance": settings.guidance,
    }
    return Prompt(
        stage=PROPOSE,
        index=index,
        messages=conversation(settings.prompts[PROPOSE], values),
        schema=_new_tasks(settings),
        demonstrations=tuple(task.id for task in demonstrations),
    )


def propose_again(request: Request, completion: Completion, settings: Settings) -> Prompt | None:
    """A second question after an answer whose list holds no task, in other words; None where none is due."""
    items = read_items(completion.text, "tasks") if completion.kind == "answer" else None
    if request.index >= settings.round_size or items is None or items.whole or items.broken:
        return None
    messages = conversation(settings.prompts["again"], {"number": str(settings.tasks_per_request)})
    return Prompt(
        PROPOSE, request.index + settings.round_size,
        (*request.messages, Message("assistant", json.dumps({"tasks": []})), *messages),
        request.schema, request.demonstrations, request.left_out, request.topic, request.verbs,
    )  # fmt: skip


def read_proposals(request: Request, completion: Completion, settings: Settings) -> list[Candidate | Rejection]:
    """The candidates of a propose completion in order, and what of it cannot be read."""
    del settings
    if completion.kind == "failed":
        return [_unreadable(request, 0, "", f"the request failed: {completion.text}", "instruction")]
    items = read_items(completion.text, "tasks")
    if items is None or not (items.whole or items.broken):
        why = "no list of tasks in the answer" if items is None else "the list of tasks is empty"
        return [_unreadable(request, 0, completion.text, why, "instruction")]
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
        return Ask((_inputs_prompt(task, settings, labelled=bool(task.is_classification)),), task.is_classification)
    if not task.is_classification:
        return _after_inputs(task, requests[INPUTS, 0], inputs, answers, settings, input_fault)
    read = _read_material(inputs)
    labels = () if isinstance(read, str) else _labels(read)
    if isinstance(read, str):
        fault = _unreadable(requests[INPUTS, 0], 0, inputs.text, read, "instance", task)
        return Settled(True, (), (fault,))
    if len(labels) > 1:
        return _after_labelled_inputs(task, requests[INPUTS, 0], inputs, read, labels, answers, settings, input_fault)
    ordinary = answers.get((INPUTS, 1))  # what has no labels to choose from is no classification
    if ordinary is None:
        return Ask((_inputs_prompt(task, settings, 1, labelled=False),), task.is_classification)
    return _after_inputs(task, requests[INPUTS, 1], ordinary, answers, settings, input_fault)


def _after_inputs(
    task: Task,
    asked: Request,
    inputs: Completion,
    answers: Mapping[tuple[str, int], Completion],
    settings: Settings,
    input_fault: InputFault,
) -> Ask | Settled:
    read = _read_material(inputs)
    if isinstance(read, str):
        return Settled(False, (), (_unreadable(asked, 0, inputs.text, read, "instance", task),))
    given = [case.input for case in read.inputs if case.input]
    texts = [] if _NOTHING.fullmatch(read.missing) else given
    candidates, rejections = _sift(task, asked, texts, settings, input_fault)
    rejections += [
        Rejection("instance", "input_not_needed", asked.id, place, "", input=text,
                  evidence="the model said that no input is needed", task_id=task.id, source=asked.source)
        for place, text in enumerate(given[len(texts) :], len(texts) + 1)
    ]  # fmt: skip
    rejections += _broken_off(task, asked, inputs, read)
    return _after_responses(task, candidates, rejections, answers, settings, (), is_classification=False)


def _after_labelled_inputs(
    task: Task,
    asked: Request,
    inputs: Completion,
    read: _Material,
    labels: tuple[str, ...],
    answers: Mapping[tuple[str, int], Completion],
    settings: Settings,
    input_fault: InputFault,
) -> Ask | Settled:
    rejections = _broken_off(task, asked, inputs, read)
    cases = [case for case in read.inputs if case.input]
    if not cases and not read.broken:
        candidates, faulty = _sift(task, asked, [], settings, input_fault)
        return _after_responses(
            task, candidates, faulty + rejections, answers, settings, labels, is_classification=True
        )
    found = tuple(
        InstanceCandidate(asked.id, position, case.input, case.label, "stop", asked.source)
        for position, case in enumerate(cases)
    )
    return Settled(True, found, tuple(rejections), labels)


def _labels(read: _Material) -> tuple[str, ...]:
    """The short labels, each once."""
    short = [label for label in read.labels if label and len(label.split()) <= _LABEL_WORDS]
    return tuple({label.casefold(): label for label in reversed(short)}.values())[::-1]


def _after_responses(
    task: Task,
    candidates: list[InstanceCandidate],
    rejections: list[Rejection],
    answers: Mapping[tuple[str, int], Completion],
    settings: Settings,
    labels: tuple[str, ...],
    *,
    is_classification: bool,
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
    return Settled(is_classification, tuple(answered), tuple(rejections), labels)


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
    """Inputs worth an answer, and those that are not, before anything is paid for them.

    Where none is, the instruction is answered without one, unless it speaks of material that it does not hold.
    """
    candidates: list[InstanceCandidate] = []
    rejections: list[Rejection] = []
    for position, text in enumerate((*texts, "")):
        if not text and candidates:
            break
        fault = input_fault(task, text)
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


def _inputs_prompt(task: Task, settings: Settings, index: int = 0, *, labelled: bool) -> Prompt:
    name, schema = ("labelled_inputs", _labelled_inputs) if labelled else (INPUTS, _task_inputs)
    values = {"instruction": task.instruction, "number": str(settings.inputs_per_task)}
    return Prompt(INPUTS, index, conversation(settings.prompts[name], values), schema(settings))


def _respond_prompt(task: Task, candidate: InstanceCandidate, settings: Settings, number: int = 0) -> Prompt:
    steps = settings.prompts.get("steps", "").strip() if settings.agreement is not None else ""
    values = {"instruction": task.instruction, "input": candidate.input, "steps": steps}
    messages = conversation(settings.prompts[RESPOND], values)
    return Prompt(RESPOND, candidate.position + APART * number, messages)


def _read_material(completion: Completion) -> _Material | str:
    """What an answer to the question of inputs holds, or what is wrong with it; of one that is cut, its whole cases."""
    if completion.kind == "failed":
        return f"the request failed: {completion.text}"
    value = read_object(completion.text)
    if value is None or "inputs" not in value:
        cases, labels = (read_items(completion.text, key) for key in ("inputs", "labels"))
        if cases is None or not (cases.whole or cases.broken):
            return "no JSON object with a list of inputs in the answer"
        value = {"inputs": cases.whole, "labels": labels.whole if labels else [], "broken": cases.broken}
    try:
        return _Material.model_validate(value)
    except ValidationError as error:
        return _first_fault(error)


def _broken_off(task: Task, asked: Request, inputs: Completion, read: _Material) -> list[Rejection]:
    """The case in whose middle an answer ends."""
    if not read.broken:
        return []
    reason = "cut_off" if inputs.finish_reason == "length" else "unreadable"
    evidence = f"the list breaks off (finish reason {inputs.finish_reason})"
    return [
        Rejection("instance", reason, asked.id, len(read.inputs) + 1, read.broken, evidence=evidence,
                  task_id=task.id, source=asked.source)
    ]  # fmt: skip


def _first_fault(error: ValidationError) -> str:
    first = error.errors()[0]
    return f"{'.'.join(str(part) for part in first['loc']) or 'item'}: {first['msg']}"


def _unreadable(
    request: Request, position: int, text: str, evidence: str, kind: Any, task: Task | None = None
) -> Rejection:
    return Rejection(kind, "unreadable", request.id, position, text, evidence=evidence,
                     task_id=task.id if task else None, source=request.source)  # fmt: skip
