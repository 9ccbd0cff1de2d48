"""The answer of the built-in model to a request, in the form that the request asks for.

Pure: the same request always gets the same answer, whatever the machine, the process or the hash seed.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from contextlib import suppress
from random import Random
from typing import Any, Literal

from selfinstruct.models.offline import flaws, talk
from selfinstruct.models.offline.book import Book, built_in
from selfinstruct.models.offline.flaws import ModelAnswer, Quirks
from selfinstruct.models.offline.quoting import PASSAGE, answer_from, passage_in, tasks_about
from selfinstruct.models.offline.voices import QUESTIONS, VOICES, Tasks
from selfinstruct.steps.turns import KINDS
from selfinstruct.types import digest

MODEL = "offline"

SHORT = 40
"""Characters of an answer that comes with a task."""
Style = Literal["tasks", "words"]
Body = Mapping[str, Any]

TRANSPORT = {
    "metadata", "n", "prompt_cache_key", "prompt_cache_retention", "safety_identifier", "service_tier", "store",
    "stream", "stream_options", "user",
}  # fmt: skip
"""Fields of a request that do not shape its answer."""

_STAGES = {
    "labelled": ("labelled_inputs", '{"labels":'),
    "inputs": ("task_inputs", '{"missing":'),
    "propose": ("new_tasks", '{"tasks":'),
    "judge": ("verdict", '{"valid_task":'),
    "revise": ("revision", '{"critique":'),
    "compare": ("comparison", '{"reason":'),
    "subjects": ("subjects", '{"subjects":'),
    "user": ("next_turn", '{"message":'),
    "judge_turns": ("conversation_scores", '{"turns":'),
}
"""How a chat request shows its stage: the name of its schema, and how its answers begin."""


def chat(body: Body, style: Style = "tasks", quirks: Quirks | None = None, book: Book | None = None) -> ModelAnswer:
    """The answer to the body of a chat request, by a book (None: the built-in one).

    With quirks it has no other flaws; they are put in later, but `dup`.
    """
    book = book or built_in()
    rng, voice, messages = generator(body), VOICES[style](quirks, book), body["messages"]
    message = _texts(messages, "user")[-1]
    form = body.get("response_format") or {"type": "text"}
    stage = _stage(messages, form.get("json_schema", {}).get("name"))
    passage = passage_in(message) if style == "tasks" else ""
    if stage == "respond":
        said = [(one["role"], text_of(one)) for one in messages]
        talked = talk.reply(said, voice, book, rng) if len(said) > 2 else None
        known = _of_passage(message, passage) or talked
        return ModelAnswer(known or voice.respond(*_instruction_and_input(message, book), rng))
    answer: dict[str, Any]
    if stage == "propose":
        count = _number(r"Write (\d{1,4}) (?:new |more )?tasks", message, 6)
        wants_answer = "the answer alone" in message
        found = (
            tasks_about(passage, count if "with one task" not in message else 1, rng)
            if passage
            else voice.propose(
                _shown_instructions(messages), count * (20 if wants_answer else 1), rng, _begin_with(message)
            )
        )
        answer = {"tasks": _with_answers(voice, found, rng)[:count] if wants_answer else found}
    elif stage == "judge":
        row = _row_in(message)
        is_quoted = row[2] and answer_from(row[0], row[1] or message.rpartition("other facts: ")[2]) == row[2]
        quoted = {one: {"reason": "So it stands there.", "score": 5} for one in QUESTIONS}
        answer = quoted if is_quoted else voice.verdict(*row, rng)
    elif stage == "revise":
        answer = voice.revision(*_row_in(message), rng)
    elif stage == "subjects":
        subjects = [f"{name}'s {thing}" for name in flaws.PHRASES["names"] for thing in flaws.PHRASES["objects"]]
        answer = {"subjects": rng.sample(subjects, _number(r"Name (\d{1,3}) parts", message, 6))}
    elif stage == "user":
        kind = next((name for name, about in KINDS.items() if about in message), "")
        answer = {"message": talk.next_turn(_talk_in(message), kind, book, rng)}
    elif stage == "judge_turns":
        answer = talk.scores(_talk_in(message), voice, book, rng)
    elif stage == "compare":
        shown = next(iter(_objects(message.splitlines())), {})
        task, text, first, second = (str(shown.get(key, "")) for key in ("instruction", "input", "first", "second"))
        answer = voice.comparison(task, text, first, second, rng)
    else:
        count = _number(r"(\d{1,4}) times|up to (\d{1,4}) (?:labels|inputs)", text_of(messages[0]), 3)
        given = (_shown_instructions(messages[-1:]) or [message.removeprefix("Instruction:").strip()])[-1]
        if stage == "inputs":
            needs, inputs = voice.inputs(given, count, rng)
            answer = {"missing": "what it works on" if needs else "nothing", "inputs": inputs}
        else:
            labels, pairs = voice.labelled(given, count, rng)
            answer = {"labels": list(labels), "inputs": [{"label": label, "input": text} for label, text in pairs]}
    written = json.dumps(answer, ensure_ascii=False)
    if style == "words" or quirks is not None:
        return ModelAnswer(written)
    return flaws.json_answer(written, rng, free=form.get("type") == "text")


def complete(body: Body, style: Style = "tasks", quirks: Quirks | None = None, book: Book | None = None) -> ModelAnswer:
    """The continuation of the prompt of a completions request, as a base model would go on."""
    book = book or built_in()
    rng, voice = generator(body), VOICES[style](quirks, book)
    prompt = body["prompt"] if isinstance(body["prompt"], str) else body["prompt"][0]
    if numbered := re.search(r"(?:^|\n)(\d{1,4})\.\s*$", prompt):
        first = int(numbered[1])
        shown = [found[1] for found in re.finditer(r"(?m)^\d{1,4}\. (\S.*)$", prompt)]
        tasks = voice.propose(shown, max(17 - first, 8), rng, _begin_with(prompt))
        lines = [f"{number}. {_one_line(task)}" for number, task in enumerate(tasks, first)]
        return ModelAnswer("\n".join(lines).removeprefix(f"{first}."))
    asked: list[str] = re.findall(r"(?m)^Task: *(.+)$", prompt)
    task = asked[-1].strip() if asked else ""
    if prompt.rstrip().endswith("Fixed labels:"):
        word = "yes" if voice.is_classification(task) else "no"
        if style == "tasks" and quirks is None and rng.random() < 0.01:
            word = rng.choice(("maybe", "labels", ""))
        return ModelAnswer(f" {word}\n\nTask: {_one_line(*voice.propose((), 1, rng))}\nFixed labels: no")
    if task:
        return ModelAnswer(
            f"{_instances(voice, task, 'Class label:' in prompt, rng)}\n\nTask: {_one_line(*voice.propose((), 1, rng))}"
        )
    return ModelAnswer(voice.respond(*_instruction_and_input(prompt, book), rng))


def _of_passage(message: str, passage: str) -> str:
    """The answer to a question about a passage, in tags or as the input; empty where it is none."""
    if passage and message.endswith("Answer yes or no first."):
        return "Yes, it does all that is asked."
    instruction, _, given = message.partition("\n\n")
    return answer_from(message.rpartition("</passage>")[2], passage) if passage else answer_from(instruction, given)


def generator(body: Body, purpose: str = MODEL) -> Random:
    """Random numbers that follow from what shapes the answer to a request."""
    shaping = {name: value for name, value in body.items() if name not in TRANSPORT and value is not None}
    if "max_completion_tokens" in shaping:
        shaping["max_tokens"] = shaping.pop("max_completion_tokens")
    return Random(int(digest(purpose, shaping)[:32], 16))


def text_of(message: Mapping[str, Any]) -> str:
    """The text of a message, whether it comes whole or in parts."""
    content = message["content"]
    return content if isinstance(content, str) else "".join(part.get("text", "") for part in content)


def _stage(messages: Sequence[Mapping[str, Any]], schema: str | None) -> str:
    """By the schema, else by how the answers in earlier turns begin, else by the form that the last message shows."""
    shown, last = _texts(messages, "assistant")[0], PASSAGE.sub("", _texts(messages, "user")[-1])
    named = [stage for stage, (name, _) in _STAGES.items() if name == schema]
    marked = [s for s, (_, mark) in _STAGES.items() if shown.startswith(mark) or (not shown and mark in last)]
    return [*named, *marked, "respond"][0]


def _texts(messages: Sequence[Mapping[str, Any]], role: str) -> list[str]:
    return [text_of(message) for message in messages if message["role"] == role] or [""]


def _number(pattern: str, message: str, default: int) -> int:
    found = re.search(pattern, message)
    return min(int(next(filter(None, found.groups()))), 200) if found else default


def _objects(lines: Sequence[str]) -> list[dict[str, Any]]:
    """The lines that are JSON objects and speak of an instruction."""
    found = []
    for line in lines:
        if line.startswith("{") and '"instruction"' in line:
            try:
                found.append(json.loads(line))
            except (ValueError, RecursionError):
                continue
    return found


def _shown_instructions(messages: Sequence[Mapping[str, Any]]) -> list[str]:
    """The instructions that earlier turns of the conversation list, or the lines of the last one."""
    shown = _texts(messages, "assistant")[0]
    lines = [shown] if shown else _texts(messages, "user")[-1].splitlines()
    tasks = [task for value in _objects([line.lstrip() for line in lines]) for task in value.get("tasks", [value])]
    return [task["instruction"] for task in tasks if isinstance(task.get("instruction"), str)]


def _row_in(message: str) -> tuple[str, str, str]:
    """Instruction, input and output of the row in a message; empty where there is none."""
    row = next(iter(_objects(message.splitlines())), {})
    return str(row.get("instruction", "")), str(row.get("input", "")), str(row.get("output", ""))


def _talk_in(message: str) -> list[tuple[str, str]]:
    """The conversation in a message, one turn a line."""
    found = []
    for line in message.splitlines():
        with suppress(ValueError, RecursionError, AttributeError):
            found += [(role, str(text)) for role, text in json.loads(line).items() if role in {"user", "assistant"}]
    return found


def _begin_with(message: str) -> list[str]:
    """The words that new tasks are asked to begin with."""
    found = re.search(r"(?:[Bb]egin some|Some) of the (?:new|next) ones (?:begin )?with: (.+)$", message, re.MULTILINE)
    return [word.strip() for word in found[1].split(",")] if found else []


def _instruction_and_input(message: str, book: Book) -> tuple[str, str]:
    """The two halves of what a user sends: an instruction and, after an empty line, its input."""
    instruction, _, text = message.strip().partition("\n\n")
    if not book.find(instruction) and book.find(message):  # it has empty lines itself
        return message, ""
    return instruction.strip(), text.strip().removeprefix("Input:").strip()


def _with_answers(voice: Tasks, tasks: Sequence[Mapping[str, Any]], rng: Random) -> list[dict[str, Any]]:
    """The tasks that work on nothing and have a short answer, each with what the model takes for it."""
    asked = [one["instruction"] for one in tasks if not voice.inputs(one["instruction"], 1, rng)[0]]
    found = [
        {"thoughts": "None is like it.", "instruction": one, "answer": voice.respond(one, "", rng)} for one in asked
    ]
    return [one for one in found if len(one["answer"]) <= SHORT]


def _one_line(task: Mapping[str, Any]) -> str:
    return " ".join(task["instruction"].split())


def _instances(voice: Tasks, task: str, output_first: bool, rng: Random) -> str:
    count = rng.randint(2, 4)
    if output_first:
        pairs = voice.labelled(task, count, rng)[1]
        return "\n\n".join(f"Class label: {label}" + (f"\nInput: {text}" if text else "") for label, text in pairs)
    _, inputs = voice.inputs(task, count, rng)
    if not inputs:
        return f"Output: {voice.respond(task, '', rng)}"
    return "\n\n".join(
        f"Example {i}\nInput: {text}\nOutput: {voice.respond(task, text, rng)}" for i, text in enumerate(inputs, 1)
    )
