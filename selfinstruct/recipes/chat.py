"""The `chat` recipe: instruction-tuned models write tasks and inputs as JSON, and answer as they would a user.

Three stages. `propose` asks for several new instructions at once; `inputs` asks what an accepted instruction works on,
for classifications label first; `respond` sends instruction and input as a user would and takes the plain answer as the
output, so that code and long text never pass through JSON. With `agreement`, a short definite answer is asked for
several times, and the one that most of them give is taken. With `with_answer`, new tasks come with an answer, after
some thought, and are kept if most answers to them are that one (Yu et al. 2025, "CoT-Self-Instruct", section 3).
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Annotated, Any

from pydantic import BaseModel, BeforeValidator, ValidationError

from selfinstruct.ask import Ask, gather
from selfinstruct.checks.faults import Fault, reject, reject_piece, rejection
from selfinstruct.checks.labels import may_be_classification
from selfinstruct.checks.material import spoken_of
from selfinstruct.checks.wording import excerpt, plain
from selfinstruct.recipes.json_answers import object_of, read_items, read_object, schema_of, tidy_instruction
from selfinstruct.recipes.responding import parted, question
from selfinstruct.recipes.templates import conversation
from selfinstruct.settings import Settings
from selfinstruct.short_answers import final_answer, is_definite, is_same, same_answer
from selfinstruct.steps.self_consistency import agreed, is_enough
from selfinstruct.types import (
    APART,
    PROPOSE,
    USE,
    Api,
    Candidate,
    Completion,
    InstanceCandidate,
    Message,
    Passage,
    Prompt,
    Rejection,
    Request,
    Sample,
    Schema,
    Task,
    Written,
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
_YES = re.compile(r"\W*yes\b", re.IGNORECASE)


_FLAG = {"type": "boolean"}


def _text(most: int, least: int = 0) -> dict[str, Any]:
    """A string with bounds on its length. Without a bound, small models write on to the end of their tokens."""
    return {"type": "string", "minLength": least, "maxLength": most}


def _list(items: Mapping[str, Any], most: int, least: int = 0) -> dict[str, Any]:
    return {"type": "array", "items": dict(items), "minItems": least, "maxItems": most}


def _new_tasks(settings: Settings, count: int) -> Schema:
    task = object_of({"instruction": _text(1000, 1), "is_classification": _FLAG})
    if settings.recipe.with_answer:
        task = object_of({"thoughts": _text(1500, 1), "instruction": _text(1000, 1), "answer": _text(100, 1)})
    return schema_of("new_tasks", {"tasks": _list(task, count, count)})


def _task_inputs(settings: Settings, least: int = 0) -> Schema:
    inputs = _list(_text(1500, 1), settings.recipe.inputs_per_task, least)
    return schema_of("task_inputs", {"missing": _text(200, 1), "inputs": inputs})


def _labelled_inputs(settings: Settings) -> Schema:
    case = object_of({"label": _text(80, 1), "input": _text(1000, 1)})
    inputs = _list(case, settings.recipe.inputs_per_task)
    return schema_of("labelled_inputs", {"labels": _list(_text(80, 1), 20, 2), "inputs": inputs})


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
    answer: Text = ""


class _Case(BaseModel):
    """An input, after its label in a classification."""

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
    template, listed = settings.prompts[PROPOSE], json.dumps({"tasks": shown}, ensure_ascii=False)
    if settings.recipe.with_answer:
        template = settings.prompts["propose_with_answer"]
        listed = "\n".join(f"- {task.instruction}" for task in demonstrations)
    values = {
        "shown": str(len(shown)), "demonstrations": listed, "topic": topic or "", "verbs": ", ".join(verbs)
    }  # fmt: skip
    prompt = proposal(template, values, index, settings, settings.recipe.tasks_per_request)
    return replace(prompt, demonstrations=tuple(task.id for task in demonstrations))


def proposal(template: str, values: Mapping[str, str], index: int, settings: Settings, count: int) -> Prompt:
    """The propose request that asks for so many tasks by a template; number and guidance are added to its values."""
    words = {**values, "number": str(count), "guidance": settings.recipe.guidance}
    return Prompt(PROPOSE, index, conversation(template, words), _new_tasks(settings, count))


def propose_again(request: Request, completion: Completion, settings: Settings) -> Prompt | None:
    """A second question after an answer whose list holds no task, in other words; None where none is due."""
    items = read_items(completion.text, "tasks") if completion.kind == "answer" else None
    if request.index >= settings.round_size or items is None or items.whole or items.broken:
        return None
    messages = conversation(settings.prompts["again"], {"number": str(settings.recipe.tasks_per_request)})
    return Prompt(
        PROPOSE, request.index + settings.round_size,
        (*request.messages, Message("assistant", json.dumps({"tasks": []})), *messages),
        request.schema, request.demonstrations, request.left_out, request.topic, request.verbs,
    )  # fmt: skip


def read_proposals(request: Request, completion: Completion, settings: Settings) -> list[Candidate | Rejection]:
    """The candidates of a propose completion in order, and what of it cannot be read."""
    del request
    if completion.kind == "failed":
        return [_unreadable(completion, 0, "", f"the request failed: {completion.text}")]
    items = read_items(completion.text, "tasks")
    if items is None or not (items.whole or items.broken):
        why = "no list of tasks in the answer" if items is None else "the list of tasks is empty"
        return [_unreadable(completion, 0, completion.text, why)]
    found: list[Candidate | Rejection] = []
    for position, item in enumerate(items.whole):
        try:
            task = _NewTask(instruction=item) if isinstance(item, str) else _NewTask.model_validate(item)
        except ValidationError as error:
            text = json.dumps(item, ensure_ascii=False)
            found.append(_unreadable(completion, position, text, _first_fault(error)))
        else:
            instruction = tidy_instruction(task.instruction)
            one = Candidate(
                completion.request_id, position, instruction, task.is_classification, completion.source,
                task.answer if settings.recipe.with_answer else "",
            )  # fmt: skip
            is_open = settings.recipe.with_answer and not is_definite(Task("", instruction, None), one.answer)
            why = f"its answer is no number, word or short phrase: {excerpt(one.answer) or 'none'}"
            found.append(rejection(one, reject("open_answer", why)) if is_open else one)
    if items.broken:
        found.append(reject_piece(completion, len(found), items.broken, _broken(completion)))
    return found


async def write_instances(task: Task, ask: Ask, settings: Settings, input_fault: InputFault) -> Written:
    """What a task works on and what comes of it: inputs with an output each; for classifications labels first."""
    ordinary = replace(task, is_classification=False)
    if task.answer or task.passage is not None:
        return await _with_what_is_known(task, ask, settings)
    if not task.is_classification or not may_be_classification(task.instruction):
        return await _with_inputs(ordinary, 0, ask, settings, input_fault)
    answer = await ask(_inputs_prompt(task, settings, labelled=True))
    read = _read_material(answer)
    if isinstance(read, str):
        return Written(True, (), (_unreadable(answer, 0, answer.text, read, task),))
    labels = _labels(read)
    if len(labels) < 2:  # what has no labels to choose from is no classification
        return await _with_inputs(ordinary, 1, ask, settings, input_fault)
    rejections = _broken_off(task, answer, read)
    cases = [case for case in read.inputs if case.input]
    if cases or read.broken:
        found = tuple(
            InstanceCandidate(answer.request_id, position, case.input, case.label, "stop", answer.source)
            for position, case in enumerate(cases)
        )
        return Written(True, found, tuple(rejections), labels)
    candidates, faulty = _sift(task, answer, [], settings, input_fault)
    answered, lost, samples = await _respond(task, candidates, ask, settings)
    return Written(True, answered, (*faulty, *rejections, *lost), labels, samples)


async def _with_what_is_known(task: Task, ask: Ask, settings: Settings) -> Written:
    """The instance of a task that needs no question for inputs: its answer is known, or it is about a passage."""
    use = task.drawn.get(USE)
    if task.passage is not None and use == "output":
        return await _translated_back(task, task.passage, ask, settings)
    given = task.passage.titled if task.passage is not None and use == "input" else ""
    found, gone, samples = await _respond(task, [InstanceCandidate("", 0, given, "")], ask, settings)
    is_classification = bool(task.is_classification) and not task.answer and may_be_classification(task.instruction)
    return Written(is_classification, found, gone, samples=samples)


async def _translated_back(task: Task, passage: Passage, ask: Ask, settings: Settings) -> Written:
    """The passage as the output of an instruction that was written for it; of several pairs each is a row."""
    pairs = enumerate(passage.pairs)
    found = await gather(_good_answer(task, place, given, text, ask, settings) for place, (given, text) in pairs)
    kept = tuple(one for one in found if isinstance(one, InstanceCandidate))
    return Written(False, kept, tuple(one for one in found if isinstance(one, Rejection)))


async def _good_answer(
    task: Task, place: int, given: str, text: str, ask: Ask, settings: Settings
) -> InstanceCandidate | Rejection:
    """This text as the output for this input, if the model takes it for a good answer to the instruction."""
    values = {"instruction": task.instruction, "passage": text, "given": given}
    said = await ask(Prompt(RESPOND, place, conversation(settings.prompts["is_answer"], values)))
    one = InstanceCandidate(said.request_id, 0, given, text, source=said.source)
    if said.kind == "answer" and _YES.match(said.text):
        return one
    fault = reject("not_an_answer", excerpt(said.text, 200))
    if said.kind == "failed":
        fault = reject("no_answer", f"the request failed: {said.text}")
    return rejection(one, fault, task)


async def _with_inputs(task: Task, index: int, ask: Ask, settings: Settings, input_fault: InputFault) -> Written:
    """The same for an ordinary task; its material is asked for again where the first answer has none."""
    first = _inputs_prompt(task, settings, index)
    candidates, rejections = _read_inputs(task, await ask(first), settings, input_fault)
    if not candidates and any(one.reason == "no_material" for one in rejections):
        candidates, more = _read_inputs(task, await ask(_inputs_again(task, first, settings)), settings, input_fault)
        rejections += more
    answered, lost, samples = await _respond(task, candidates, ask, settings)
    return Written(False, answered, (*rejections, *lost), samples=samples)


def _read_inputs(
    task: Task, answer: Completion, settings: Settings, input_fault: InputFault
) -> tuple[list[InstanceCandidate], list[Rejection]]:
    """The inputs of an answer that are worth an output, and why the others are not."""
    read = _read_material(answer)
    if isinstance(read, str):
        return [], [_unreadable(answer, 0, answer.text, read, task)]
    given = [case.input for case in read.inputs if case.input]
    texts = [] if _NOTHING.fullmatch(read.missing) else given
    candidates, rejections = _sift(task, answer, texts, settings, input_fault)
    needless = reject("input_not_needed", "the model said that no input is needed")
    rejections += [
        reject_piece(answer, place, "", needless, task, text)
        for place, text in enumerate(given[len(texts) :], len(texts) + 1)
    ]
    return candidates, [*rejections, *_broken_off(task, answer, read)]


def _labels(read: _Material) -> tuple[str, ...]:
    """The short labels, each once."""
    short = [label for label in read.labels if label and len(label.split()) <= _LABEL_WORDS]
    return tuple({label.casefold(): label for label in reversed(short)}.values())[::-1]


async def _respond(
    task: Task, candidates: Sequence[InstanceCandidate], ask: Ask, settings: Settings
) -> tuple[tuple[InstanceCandidate, ...], tuple[Rejection, ...], tuple[Sample, ...]]:
    """The candidates with an output, the rejections of those that got none, and what else was answered."""
    found = await gather(_answered(task, candidate, ask, settings) for candidate in candidates)
    answered = tuple(one for one, _ in found if isinstance(one, InstanceCandidate))
    lost = tuple(one for one, _ in found if isinstance(one, Rejection))
    return answered, lost, tuple(sample for _, samples in found for sample in samples)


async def _answered(
    task: Task, candidate: InstanceCandidate, ask: Ask, settings: Settings
) -> tuple[InstanceCandidate | Rejection, Sequence[Sample]]:
    first = await ask(_respond_prompt(task, candidate, settings))
    if first.kind == "failed":
        return rejection(_named(candidate, first), reject("no_answer", f"the request failed: {first.text}"), task), ()
    rules = settings.agreement
    if rules.answers == 1 or not is_definite(task, task.answer or first.text):
        return _taking(first, candidate, settings), ()
    more = await gather(ask(_respond_prompt(task, candidate, settings, number)) for number in range(1, rules.answers))
    return _by_agreement(task, candidate, [first, *more], settings)


def _by_agreement(
    task: Task, candidate: InstanceCandidate, given: Sequence[Completion], settings: Settings
) -> tuple[InstanceCandidate | Rejection, Sequence[Sample]]:
    """The candidate with the output that most answers give, and the others; or its rejection where too few agree."""
    found = agreed(given)
    chosen = given[found.sample]
    taken = _taking(chosen, candidate, settings, is_short=True)
    said = ", ".join(f'"{answer[:60]}" {votes}' for answer, votes in found.answers)
    if not is_enough(found, len(given), settings.agreement):
        evidence = f"{found.votes} of {len(given)} answers agree; given were: {said or 'none'}"
        return rejection(replace(taken, output=chosen.text.strip()), reject("no_agreement", evidence), task), ()
    if task.answer and same_answer(task.answer) != same_answer(chosen.text):
        evidence = f'"{task.answer}" came with the task; given were: {said}'
        return rejection(taken, reject("answer_disagrees", evidence), task), ()
    samples = [
        Sample(
            one.request_id, 0, taken.request_id, taken.position,
            _taking(one, candidate, settings, is_short=True).output, "agreement", is_same(one.text, chosen.text),
            source=one.source,
        )
        for place, one in enumerate(given)
        if place != found.sample and one.kind == "answer" and one.text.strip() and one.finish_reason != "length"
    ]  # fmt: skip
    return taken, samples


def _taking(
    answer: Completion, candidate: InstanceCandidate, settings: Settings, *, is_short: bool = False
) -> InstanceCandidate:
    """The candidate with this answer as its output."""
    reasoning, output = parted(answer, settings)
    way = settings.recipe.before_answer
    if is_short and way != "keep":
        output = final_answer(answer.text)
        steps, _, last = answer.text.strip().rpartition("\n")
        is_last = last.rstrip("*_ .").endswith(output.rstrip("."))
        reasoning = (steps.strip() if way == "reasoning" and is_last else "") or answer.reasoning
    return replace(_named(candidate, answer), output=output, reasoning=reasoning, finish_reason=answer.finish_reason)


def _named(candidate: InstanceCandidate, answer: Completion) -> InstanceCandidate:
    """The candidate; one for which nothing was asked before is one of this answer."""
    if candidate.request_id:
        return candidate
    return replace(candidate, request_id=answer.request_id, source=answer.source)


def _sift(
    task: Task, inputs: Completion, texts: Sequence[str], settings: Settings, input_fault: InputFault
) -> tuple[list[InstanceCandidate], list[Rejection]]:
    """Inputs worth an answer, and those that are not, before anything is paid for them.

    Where none is, the instruction is answered without one, unless it speaks of material that it does not hold.
    """
    candidates: list[InstanceCandidate] = []
    rejections: list[Rejection] = []
    for position, text in enumerate((*texts, "")):
        if not text and candidates:
            break
        found = input_fault(task, text)
        fault = Fault(*found) if found else None
        if fault is None and any(text == earlier.input for earlier in candidates):
            fault = reject("duplicate", "the same input was given before")
        if fault is None and len(candidates) == settings.filters.max_instances:
            fault = reject("too_many", f"more than {settings.filters.max_instances} inputs")
        candidate = InstanceCandidate(inputs.request_id, position, text, "", source=inputs.source)
        if fault is None:
            candidates.append(candidate)
        else:
            rejections.append(rejection(candidate, fault, task))
    return candidates, rejections


def _inputs_prompt(task: Task, settings: Settings, index: int = 0, *, labelled: bool = False) -> Prompt:
    name, schema = ("labelled_inputs", _labelled_inputs) if labelled else (INPUTS, _task_inputs)
    values = {"instruction": task.instruction, "number": str(settings.recipe.inputs_per_task)}
    return Prompt(INPUTS, index, conversation(settings.prompts[name], values), schema(settings))


def _inputs_again(task: Task, first: Prompt, settings: Settings) -> Prompt:
    """The second question for inputs, which names the material that the first answer took for needless."""
    values = {"material": spoken_of(plain(task.instruction)), "number": str(settings.recipe.inputs_per_task)}
    said = Message("assistant", json.dumps({"missing": "nothing", "inputs": []}))
    messages = (*first.messages, said, *conversation(settings.prompts["material"], values))
    return Prompt(INPUTS, first.index + 2, messages, _task_inputs(settings, 1))


def _respond_prompt(task: Task, candidate: InstanceCandidate, settings: Settings, number: int = 0) -> Prompt:
    return Prompt(RESPOND, candidate.position + APART * number, question(task, candidate.input, settings))


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


def _broken_off(task: Task, inputs: Completion, read: _Material) -> list[Rejection]:
    """The case in whose middle an answer ends."""
    if not read.broken:
        return []
    return [reject_piece(inputs, len(read.inputs) + 1, read.broken, _broken(inputs), task)]


def _broken(answer: Completion) -> Fault:
    reason = "cut_off" if answer.finish_reason == "length" else "unreadable"
    return reject(reason, f"the list breaks off (finish reason {answer.finish_reason})")


def _first_fault(error: ValidationError) -> str:
    first = error.errors()[0]
    return f"{'.'.join(str(part) for part in first['loc']) or 'item'}: {first['msg']}"


def _unreadable(answer: Completion, position: int, text: str, why: str, task: Task | None = None) -> Rejection:
    return reject_piece(answer, position, text, reject("unreadable", why), task)
