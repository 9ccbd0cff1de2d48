"""Prompts that ask for the wanted languages, in words."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence

_UNCHANGED = "If nothing is wrong, repeat input and output unchanged."
_CHAT: Mapping[str, tuple[str, str]] = {
    "propose.system": (
        "Write in the language of the examples.",
        "Write every task in {any}, whatever language the examples are in.",
    ),
    "inputs.system": (
        "Write in the language of the instruction.",
        "Write in {same} unless the instruction works on text in another language, as a translation may.",
    ),
    "labelled_inputs.system": (
        "Write in the language of the instruction.",
        "Write in {same} unless the instruction works on text in another language.",
    ),
    "respond.system": (
        "Answer in the language of the instruction unless it asks for another.",
        "Answer in {same} unless the task asks for another language.",
    ),
    "judge.system": ("", "The row is to be in {same} unless the task asks for another language or works on one."),
    "revise.system": (
        _UNCHANGED,
        f"{_UNCHANGED} Write in {{same}} unless the task asks for another language or works on one.",
    ),
}
"""By prompt: what it says where no language is named, and what takes its place."""
_ALSO: Mapping[str, tuple[str, str]] = {"propose.user": ("{{number}} new tasks", "{{number}} new tasks in {any}")}
"""What is said a second time, near the answer."""
_PAPER: Mapping[str, str] = {
    "propose": "The next ones are written in {any}:\n",
    "classify": "The last task is in {any}.\n\n",
    "instances_input_first": "The last task is done in {same} unless it asks for another language.\n\n",
    "instances_output_first": "The last task is done in {same} unless it asks for another language.\n\n",
}
"""By prompt: what stands before the line that the model goes on from."""
_GOES_ON = re.compile(r"^.*\{\{(?:number|instruction)\}\}", re.MULTILINE)


def in_languages(prompts: Mapping[str, str], names: Sequence[str]) -> dict[str, str]:
    """The prompt templates by name, with the languages that are wanted: any one of these for a task, and then the same.

    Prompts of a user's own that say nothing of the kind get the sentence too. Without languages all stay as they are.
    """
    if not names:
        return dict(prompts)
    wanted = " or in ".join(filter(None, (", in ".join(names[:-1]), names[-1])))
    same = wanted if len(names) == 1 else f"{wanted}, whichever the task is in,"

    def said(sentence: str) -> str:
        return sentence.replace("{any}", wanted).replace("{same}", same)

    changed = dict(prompts)
    for name, text in prompts.items():
        if name in _PAPER:
            line = _GOES_ON.search(text)
            place = line.start() if line else 0
            changed[name] = text[:place] + said(_PAPER[name]) + text[place:]
        elif name in _CHAT or name in _ALSO:
            usual, instead = _CHAT.get(name) or _ALSO[name]
            if usual and usual in text:
                changed[name] = text.replace(usual, said(instead), 1)
            elif name in _CHAT:
                changed[name] = f"{text.rstrip()}\n{said(instead.removeprefix(usual).strip())}\n"
    return changed
