"""A row of training data in each form that is written as lines of JSON."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple

from selfinstruct.errors import ConfigError
from selfinstruct.own import in_words, named, raised
from selfinstruct.pool.records import Row

END = "<|endoftext|>"
"""The end of a completion of the form self-instruct, as in the files of the original."""


@dataclass(frozen=True, slots=True)
class Wording:
    """What an export adds to the texts of a row."""

    system: str = ""
    """A system text, for forms with a place for it; empty: none."""
    mixed_prompts: bool = False
    """Vary the wording and layout of the prompts of the form self-instruct from row to row."""
    csv_safe: bool = False
    """Put ' before a text in CSV that a spreadsheet would run as a formula."""


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


def _sharegpt(wording: Wording) -> Form:
    system = {"system": wording.system} if wording.system else {}

    def sharegpt(row: Row) -> dict[str, Any]:
        turns = [{"from": "human", "value": asked(row)}, {"from": "gpt", "value": row.instance.output}]
        return {"conversations": turns, **system}

    return sharegpt


def turns_asked(row: Row, wording: Wording) -> list[dict[str, str]]:
    """The turns before the answer: the system text, if there is one, and the turn of the user."""
    system = [{"role": "system", "content": wording.system}] if wording.system else []
    return [*system, {"role": "user", "content": asked(row)}]


def turns_answered(row: Row) -> list[dict[str, str]]:
    """The answer as a turn."""
    return [{"role": "assistant", "content": row.instance.output}]


def _messages(wording: Wording) -> Form:
    return lambda row: {"messages": turns_asked(row, wording) + turns_answered(row)}


def _prompt_completion(wording: Wording) -> Form:
    return lambda row: {"prompt": turns_asked(row, wording), "completion": turns_answered(row)}


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
    "alpaca": lambda _: alpaca,
    "sharegpt": _sharegpt,
    "messages": _messages,
    "prompt-completion": _prompt_completion,
    "prompt-completion-plain": lambda _: prompt_completion_plain,
    "self-instruct": _self_instruct,
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
