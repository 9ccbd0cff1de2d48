"""A row of training data in each form that is written as lines of JSON."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Literal, NamedTuple

from selfinstruct.errors import ConfigError
from selfinstruct.own import in_words, named, raised
from selfinstruct.pool.records import Row

END = "<|endoftext|>"
"""The end of a completion of the form self-instruct, as in the files of the original."""


ReasoningIn = Literal["field", "think"]


@dataclass(frozen=True, slots=True)
class Wording:
    """What an export adds to the texts of a row."""

    system: str = ""
    """A system text for rows without one of their own, in forms with a place for it; empty: none."""
    mixed_prompts: bool = False
    """Vary the wording and layout of the prompts of the form self-instruct from row to row."""
    csv_safe: bool = False
    """Put ' before a text in CSV that a spreadsheet would run as a formula."""
    reasoning: ReasoningIn = "field"
    """Where the form reasoning has it: in `reasoning_content` beside the answer, or between <think> tags before it."""


@dataclass(frozen=True, slots=True)
class Unfit:
    """The stable reason for which a form cannot carry a row unchanged."""

    reason: str


class Frame(NamedTuple):
    """The text around instruction and input in a prompt."""

    before: str
    between: str
    after: str


WITH_INPUT = (
    Frame("", "\n\nInput: ", "\n\nOutput:"),
    Frame("", "\n\n", "\n\n"),
    Frame("", "\n", "\nAnswer:"),
    Frame("", "\n\nThis is given:\n", "\n\nWhat is the answer?\n"),
    Frame("Instruction: ", "\nGiven: ", "\nResult:"),
    Frame("What to do: ", "\n\nWith this: ", "\n\nAnswer:"),
    Frame("Do the following. ", "\n\n---\n", "\n---\n\n"),
)
"""The prompts of the form self-instruct for rows with an input; the first one is the default."""
WITHOUT_INPUT = (
    Frame("", "", "\n\nOutput:"),
    Frame("", "", "\n\n"),
    Frame("", "", "\nAnswer:"),
    Frame("", "", "\n\nWhat is the answer?\n"),
    Frame("Instruction: ", "", "\nResult:"),
    Frame("What to do: ", "", "\n\nAnswer:"),
    Frame("Do the following. ", "", "\n\n"),
)
"""The prompts for rows without an input."""


def asked(row: Row) -> str:
    """The turn of the user: the instruction, and the input after an empty line."""
    return f"{row.instruction}\n\n{row.instance.input}" if row.instance.input else row.instruction


def alpaca(row: Row) -> dict[str, Any]:
    """The fields of Alpaca: instruction, input, output."""
    return {"instruction": row.instruction, "input": row.instance.input, "output": row.instance.output}


def prompt_completion_plain(row: Row) -> dict[str, Any]:
    """Prompt and completion as text. The prompt ends in an empty line, because trainers join the two as they are."""
    return {"prompt": asked(row) + "\n\n", "completion": row.instance.output}


_SPEAKERS = {"system": "system", "user": "human", "assistant": "gpt"}
"""Who speaks in ShareGPT, by role."""


def _sharegpt(wording: Wording) -> Form:
    def sharegpt(row: Row) -> dict[str, Any]:
        turns = messages(row, wording)
        return {"conversations": [{"from": _SPEAKERS[one["role"]], "value": one["content"]} for one in turns]}

    return sharegpt


def _without_system(form: Form) -> Form:
    """A form with no place for a system text: a row that has its own is left out, or its answer would lack a reason."""
    return lambda row: Unfit("system") if row.system else form(row)


def turns_asked(row: Row, wording: Wording) -> list[dict[str, str]]:
    """The turns before the first answer: the system text, if there is one, and the turn of the user."""
    text = row.system or wording.system
    system = [{"role": "system", "content": text}] if text else []
    return [*system, {"role": "user", "content": asked(row)}]


def messages(row: Row, wording: Wording) -> list[dict[str, str]]:
    """The whole conversation, which ends with an answer."""
    said = [("assistant", row.output)]
    for turn in row.turns:
        said += [("user", turn.user), ("assistant", turn.assistant)]
    return [*turns_asked(row, wording), *({"role": role, "content": text} for role, text in said)]


def _messages(wording: Wording) -> Form:
    return lambda row: {"messages": messages(row, wording)}


def _prompt_completion(wording: Wording) -> Form:
    """All that comes before the last answer, and that answer."""

    def prompt_completion(row: Row) -> dict[str, Any]:
        *before, last = messages(row, wording)
        return {"prompt": before, "completion": [last]}

    return prompt_completion


def _gemini(wording: Wording) -> Form:
    """The form for supervised tuning of Gemini models: `contents`, and `systemInstruction` if there is a system text.

    Source: Google Cloud, "Prepare supervised fine-tuning data for Gemini models", its dataset example.
    """

    def content(text: str) -> dict[str, Any]:
        return {"parts": [{"text": text}]}

    def gemini(row: Row) -> dict[str, Any]:
        text, roles = row.system or wording.system, {"user": "user", "assistant": "model"}
        system = {"systemInstruction": content(text)} if text else {}
        turns = [(roles.get(one["role"]), content(one["content"])) for one in messages(row, wording)]
        return {**system, "contents": [{"role": role, **said} for role, said in turns if role]}

    return gemini


def _self_instruct(wording: Wording) -> Form:
    def self_instruct(row: Row) -> dict[str, Any] | Unfit:
        instance = row.instance
        if END in row.instruction or END in instance.input or END in instance.output:
            return Unfit("end_mark")
        frames = WITH_INPUT if instance.input else WITHOUT_INPUT
        digest = hashlib.sha256(row.id.encode("utf-8", "surrogatepass")).digest()
        frame = frames[int.from_bytes(digest[:8], "big") % len(frames) if wording.mixed_prompts else 0]
        prompt = frame.before + row.instruction + frame.between + instance.input + frame.after
        gap = " " if prompt.endswith(":") else ""
        return {"prompt": prompt, "completion": gap + instance.output + END}

    return self_instruct


Form = Callable[[Row], dict[str, Any] | Unfit]
"""Makes one JSON object of a row."""

FORMATS: Mapping[str, Callable[[Wording], Form]] = {
    "alpaca": lambda _: _without_system(alpaca),
    "sharegpt": _sharegpt,
    "messages": _messages,
    "prompt-completion": _prompt_completion,
    "prompt-completion-plain": lambda _: _without_system(prompt_completion_plain),
    "self-instruct": lambda wording: _without_system(_self_instruct(wording)),
    "gemini-tuning": _gemini,
    "mlx": _messages,
}
"""By name of a form: the function that makes it for a wording."""


def title(name: str) -> str:
    """What a form is called in an export: its name, or NAME of `FILE.py:NAME`."""
    return name.rpartition(":")[2]


def form_named(name: str) -> Callable[[Wording], Form]:
    """A form by its name, or the user's own: a function of a row that gives one JSON object.

    Raises:
        ConfigError: it cannot be read or loaded.
    """
    if name in FORMATS:
        return FORMATS[name]
    function = named("exports", name)

    def form(row: Row) -> dict[str, Any] | Unfit:
        try:
            found = function(row)
        except (Exception, SystemExit) as error:
            raise ConfigError(f"--format {name}: row {row.id}: {raised(error)}; mend the function") from error
        if found is None:
            return Unfit(title(name).lower())
        if not isinstance(found, dict):
            raise ConfigError(f"--format {name}: row {row.id} gave {in_words(found)[:60]}; wanted a dict, or None")
        return found

    return lambda _: form
