"""The answer of the offline model to a request, in the form that the request asks for.

Pure: the same request always gives the same answer, whatever the machine, the process or the hash seed.
"""

from __future__ import annotations

import json
import random
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from selfinstruct.llm.offline import flaws
from selfinstruct.llm.offline.judge import row_in
from selfinstruct.llm.offline.quirks import Quirks
from selfinstruct.llm.offline.voices import Proposal, Voice, voice_of
from selfinstruct.llm.offline.words import split_words
from selfinstruct.records import digest

__all__ = ["MODEL", "Style", "Text", "chat", "complete", "generator"]

MODEL = "offline"

Style = Literal["tasks", "words"]

TRANSPORT = split_words(
    """metadata n prompt_cache_key prompt_cache_retention safety_identifier service_tier store stream stream_options
    user"""
)
"""Fields of a request that do not shape its answer."""

_STAGE_OF_SCHEMA = {
    "new_tasks": "propose",
    "task_inputs": "inputs",
    "labelled_inputs": "labelled",
    "verdict": "judge",
    "revision": "revise",
}
_STAGE_OF_MARK = {
    '{"labels":': "labelled",
    '{"missing":': "inputs",
    '{"tasks":': "propose",
    '{"valid_task":': "judge",
    '{"critique":': "revise",
}

_MAX_ITEMS = 200


@dataclass(frozen=True, slots=True)
class Text:
    """What was written, and whether it breaks off as if it had grown too long."""

    text: str
    is_cut: bool = False


def chat(body: Mapping[str, Any], style: Style = "tasks", quirks: Quirks | None = None) -> Text:
    """The answer to the body of a chat request. With quirks it has no other flaws; they are put in later, but `dup`."""
    rng, voice = generator(body), voice_of(style, quirks)
    message = _last_user_message(body["messages"])
    form = body.get("response_format") or {"type": "text"}
    stage = _STAGE_OF_SCHEMA.get(_schema_name(form)) or _marked_stage(body["messages"])
    if stage == "respond":
        instruction, text = _instruction_and_input(message)
        return Text(voice.respond(instruction, text, rng))
    answer: dict[str, Any]
    if stage == "propose":
        answer = _new_tasks(voice, body["messages"], message, rng)
    elif stage == "judge":
        answer = voice.verdict(row_in(message), rng)
    elif stage == "revise":
        answer = voice.revision(row_in(message), rng)
    else:
        first = _text_of(body["messages"][0])
        count = _number(r"(\d{1,4}) times|up to (\d{1,4}) (?:labels|inputs)", first, 3)
        given = (_shown_instructions(body["messages"][-1:]) or [message.removeprefix("Instruction:").strip()])[-1]
        answer = _inputs(voice, given, count, rng, labelled=stage == "labelled")
    if style == "words" or quirks is not None:
        return Text(json.dumps(answer, ensure_ascii=False))
    return _as_json(answer, rng, free=form.get("type") == "text")


def complete(body: Mapping[str, Any], style: Style = "tasks", quirks: Quirks | None = None) -> Text:
    """The continuation of the prompt of a completions request, as a base model would go on."""
    rng, voice = generator(body), voice_of(style, quirks)
    prompt = body["prompt"] if isinstance(body["prompt"], str) else body["prompt"][0]
    if numbered := re.search(r"(?:^|\n)(\d{1,4})\.\s*$", prompt):
        return Text(_go_on_listing(voice, prompt, int(numbered[1]), rng))
    task = _last_task(prompt)
    if prompt.rstrip().endswith("Fixed labels:"):
        word = "yes" if voice.is_classification(task) else "no"
        if style == "tasks" and quirks is None and rng.random() < 0.01:
            word = rng.choice(("maybe", "labels", ""))
        return Text(f" {word}\n\nTask: {_another(voice, rng)}\nFixed labels: no")
    if task:
        return Text(f"{_instances(voice, task, 'Class label:' in prompt, rng)}\n\nTask: {_another(voice, rng)}")
    return Text(voice.respond(*_instruction_and_input(prompt), rng))


def generator(body: Mapping[str, Any], purpose: str = MODEL) -> random.Random:
    """Random numbers that follow from what shapes the answer to a request."""
    shaping = {name: value for name, value in body.items() if name not in TRANSPORT and value is not None}
    if "max_completion_tokens" in shaping:
        shaping["max_tokens"] = shaping.pop("max_completion_tokens")
    return random.Random(int(digest(purpose, shaping)[:32], 16))


def _last_user_message(messages: Sequence[Mapping[str, Any]]) -> str:
    return next((_text_of(message) for message in reversed(messages) if message["role"] == "user"), "")


def _text_of(message: Mapping[str, Any]) -> str:
    content = message["content"]
    return content if isinstance(content, str) else "".join(part.get("text", "") for part in content)


def _schema_name(form: Mapping[str, Any]) -> str:
    return str(form["json_schema"]["name"]) if form.get("type") == "json_schema" else ""


def _marked_stage(messages: Sequence[Mapping[str, Any]]) -> str:
    """By how the answers in earlier turns begin, else by the form that the last message shows."""
    shown = next((_text_of(message) for message in messages if message["role"] == "assistant"), "")
    last = _last_user_message(messages)
    marks = _STAGE_OF_MARK.items()
    return next((stage for mark, stage in marks if shown.startswith(mark) or (not shown and mark in last)), "respond")


def _number(pattern: str, message: str, default: int) -> int:
    found = re.search(pattern, message)
    return min(int(next(filter(None, found.groups()))), _MAX_ITEMS) if found else default


def _shown_instructions(messages: Sequence[Mapping[str, Any]]) -> list[str]:
    """The instructions that earlier turns of the conversation list, or the lines of the last one."""
    shown = next((_text_of(message) for message in messages if message["role"] == "assistant"), "")
    found = []
    for text in [shown] if shown else _last_user_message(messages).splitlines():
        if text.lstrip().startswith("{") and '"instruction"' in text:
            try:
                value = json.loads(text)
            except (ValueError, RecursionError):
                continue
            found += [
                one["instruction"] for one in value.get("tasks", [value]) if isinstance(one.get("instruction"), str)
            ]
    return found


def _begin_with(message: str) -> list[str]:
    """The words that new tasks are asked to begin with."""
    found = re.search(r"(?:[Bb]egin some|Some) of the (?:new|next) ones (?:begin )?with: (.+)$", message, re.MULTILINE)
    return [word.strip() for word in found[1].split(",")] if found else []


def _new_tasks(voice: Voice, messages: Sequence[Mapping[str, Any]], wish: str, rng: random.Random) -> dict[str, Any]:
    count = _number(r"Write (\d{1,4}) (?:new |more )?tasks", wish, 6)
    tasks = voice.propose(_shown_instructions(messages), count, rng, _begin_with(wish))
    return {"tasks": [task._asdict() for task in tasks]}


def _inputs(voice: Voice, instruction: str, count: int, rng: random.Random, labelled: bool) -> dict[str, Any]:
    if not labelled:
        needs, inputs = voice.inputs(instruction, count, rng)
        return {"missing": "what it works on" if needs else "nothing", "inputs": inputs}
    labels, _, pairs = voice.labelled(instruction, count, rng)
    inputs_with_labels = [{"label": label, "input": text} for label, text in pairs]
    return {"labels": list(labels), "inputs": inputs_with_labels}


def _as_json(answer: dict[str, Any], rng: random.Random, free: bool) -> Text:
    text = json.dumps(answer, ensure_ascii=False)
    if rng.random() < 0.005 and "tasks" in answer:
        return Text('{"tasks": []}')
    if broken := flaws.unreadable(text, rng):
        return Text(*broken)
    return Text(flaws.wrapped(text, rng) if free else text)


def _instruction_and_input(message: str) -> tuple[str, str]:
    """The two halves of what a user sends: an instruction and, after an empty line, its input."""
    instruction, _, text = message.strip().partition("\n\n")
    return instruction.strip(), text.strip().removeprefix("Input:").strip()


def _go_on_listing(voice: Voice, prompt: str, number: int, rng: random.Random) -> str:
    shown = [found[1] for found in re.finditer(r"(?m)^\d{1,4}\. (\S.*)$", prompt)]
    texts = voice.propose(shown, max(17 - number, 8), rng, _begin_with(prompt))
    lines = [f"{number + i}. {_one_line(task)}" for i, task in enumerate(texts)]
    return "\n".join(lines).removeprefix(f"{number}.")


def _one_line(task: Proposal) -> str:
    return " ".join(task.instruction.split())


def _another(voice: Voice, rng: random.Random) -> str:
    return _one_line(voice.propose((), 1, rng)[0])


def _last_task(prompt: str) -> str:
    tasks: list[str] = re.findall(r"(?m)^Task: *(.+)$", prompt)
    return tasks[-1].strip() if tasks else ""


def _instances(voice: Voice, task: str, output_first: bool, rng: random.Random) -> str:
    count = rng.randint(2, 4)
    if output_first:
        pairs = voice.labelled(task, count, rng).inputs
        return "\n\n".join(
            f"Class label: {label}\nInput: {text}" if text else f"Class label: {label}" for label, text in pairs
        )
    _, inputs = voice.inputs(task, count, rng)
    if not inputs:
        return f"Output: {voice.respond(task, '', rng)}"
    return "\n\n".join(
        f"Example {i}\nInput: {text}\nOutput: {voice.respond(task, text, rng)}" for i, text in enumerate(inputs, 1)
    )
