"""Checks of instances: by themselves, and beside the other instances of their task."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable
from dataclasses import dataclass

import regex

from selfinstruct.checks import wording
from selfinstruct.checks.faults import Fault, reject
from selfinstruct.checks.holes import hole_left_in, hole_to_fill, speaks_of_holes
from selfinstruct.checks.labels import is_one_of
from selfinstruct.checks.material import fault_of_material, letterless, repeated_by_output
from selfinstruct.checks.merged import own_instance
from selfinstruct.checks.refusals import asks_back, refused
from selfinstruct.checks.word_lists import any_of, words
from selfinstruct.checks.wording import comparable, excerpt, may_hold, quoted
from selfinstruct.similarity.tokens import visible
from selfinstruct.types import Instance, InstanceCandidate, Task

Validator = Callable[[Task, Instance], Fault | None]
"""A check of an instance beside its task."""
InstanceRule = Callable[[Task, InstanceCandidate, tuple[str, ...]], Fault | None]
"""The same, with what is known besides: how the answer ended, and the labels of a classification."""


@dataclass(frozen=True, slots=True)
class Case:
    """What a check of instances is shown: texts without what nobody sees and without long white space."""

    task: Task
    candidate: InstanceCandidate
    labels: tuple[str, ...]
    """Of a classification; empty where none are known."""
    as_written: tuple[Task, Instance]
    """The same with all that is in the texts."""

    @property
    def instance(self) -> Instance:
        """The candidate's input and output."""
        return Instance(self.candidate.input, self.candidate.output)


InstanceCheck = Callable[[Case], Fault | None]
"""A check of one instance that has bound its settings."""

Open = dict[int, InstanceCandidate]
"""Candidates that no check has refused yet, by their place in the order of screening."""

_INPUT_LABEL = regex.compile(r"\A\p{Lu}\p{L}{2,15}\s*:\s+")
_INVISIBLE = regex.compile(r"[\s\p{Cf}\p{Mn}]*")
_FENCE = regex.compile(r"^[ \t]*```", regex.MULTILINE)
_NOTHING = regex.compile(rf"[\W_]*{any_of('nothing')}[\W_]*", regex.IGNORECASE)
_BARE_NONE = regex.compile(r"[\W_]*(?:none|无|ninguna?)[\W_]*", regex.IGNORECASE)
_LOREM = regex.compile(r"\blorem\s+ipsum\b", regex.IGNORECASE)

_NEXT_TASK = regex.compile(
    r"(?:^|\n)[ \t]*#+[ \t]*Instruction[ \t]*\d*[ \t]*(?::|$|\n)"
    r"|(?:^|\n)[ \t]*\**(?:\d{1,3}\s*\.\s*)?Instruction\s*\d*\**\s*:"
    r"|\n[ \t]*\n[ \t]*\**Task\**\s*:|(?:^|\n)[ \t]*Class\s+label\s*:",
    regex.IGNORECASE,
)
_NEXT_EXAMPLE = regex.compile(r"(?:^|\n)[ \t]*\**Example\s*(?:[2-9]|\d\d)\**\s*(?:[:.]|$|\n)", regex.IGNORECASE)
_FIRST_EXAMPLE = regex.compile(r"\bExample\s*1\b", regex.IGNORECASE)

_SEEN = r"(?:image|photo|picture|video|audio|screenshot|图片|照片|视频)"
_EMBEDDED = regex.compile(
    rf"\[\s*(?:the\s+|an?\s+)?{_SEEN}s?(?:\s+(?:of|showing|here)\b[^\]\n]{{0,80}}|\s*\d*|\s*:[^\]\n]{{0,80}})\s*\](?!\()"
    r"|!\[[^\]\n]{0,200}\]\(|<img\b",
    regex.IGNORECASE,
)
_ATTACHED = regex.compile(
    r"\b(?:see|refer\s+to|in|from|open)\s+(?:the\s+|my\s+)?attach(?:ed|ment)s?\b(?!\s+(?:to|style|theor))"
    r"|\battached\s+(?:file|document|image|photo|spreadsheet|article|text)s?\b|附件中",
    regex.IGNORECASE,
)
_LINK = regex.compile(r"[<(\[]?(?:https?://|www\.)\S+", regex.IGNORECASE)


def broken_text(task: Task, candidate: InstanceCandidate, labels: tuple[str, ...]) -> Fault | None:
    """`broken_text` for control characters, lone surrogates and decoding debris in input or output."""
    return wording.broken_text(candidate.input) or wording.broken_text(candidate.output)


def empty_output(task: Task, candidate: InstanceCandidate, labels: tuple[str, ...]) -> Fault | None:
    """`empty_output` for an output of nothing, or of nothing that can be seen."""
    return reject("empty_output", "the output is empty") if _INVISIBLE.fullmatch(candidate.output) else None


def cut_off(task: Task, candidate: InstanceCandidate, labels: tuple[str, ...]) -> Fault | None:
    """`cut_off` where the model ran out of tokens, a text ends with a colon or a code fence stays open.

    As in Wang et al. 2022 for the colon; but an input may end with one as a form does ("Name:" and "Age:" on lines of
    their own) or as an analogy ("hot : cold :: wet :").
    """
    if candidate.finish_reason == "length":
        return reject("cut_off", "the model ran out of tokens")
    for field, text in _texts(candidate):
        if text.rstrip().endswith((":", "：")) and not (field == "input" and _to_fill_in(text)):
            return reject("cut_off", f"the {field} ends {quoted(text.rstrip()[-40:])}")
        if len(_FENCE.findall(text)) % 2:
            return reject("cut_off", f"a code fence in the {field} is not closed")
    return None


def same_as_input(task: Task, candidate: InstanceCandidate, labels: tuple[str, ...]) -> Fault | None:
    """`same_as_input` for an output that repeats the input, or all of it but a label such as "Article:"."""
    given, output = candidate.input.strip(), candidate.output.strip()
    is_same = given == output
    if given and not is_same and output == _INPUT_LABEL.sub("", given, count=1):
        is_same = sum(character.isalpha() for character in output) >= 20  # a list may be sorted already
    return reject("same_as_input", quoted(given)) if given and is_same else None


def placeholder(task: Task, candidate: InstanceCandidate, labels: tuple[str, ...]) -> Fault | None:
    """`placeholder` for an input or output that stands for one, or has a hole: "<noinput>", "N/A", "[Your Name]".

    An output may be "N/A" or "None" where that is a label, the task is a classification or its instruction says so, and
    a bare "None" about an input. Holes are fine where the task is about templates, or in outputs that copy the input.
    """
    if candidate.input.strip() and _NOTHING.fullmatch(candidate.input):
        return reject("placeholder", f"the input is {quoted(candidate.input)}")
    if _NOTHING.fullmatch(candidate.output) and not _may_answer_nothing(task, candidate, labels):
        return reject("placeholder", f"the output is {quoted(candidate.output)}")
    for field, text in _texts(candidate):
        if (found := _LOREM.search(text)) and not words("about_filler").search(task.instruction):
            return reject("placeholder", f'"{found[0]}" in the {field}')
    hole = hole_to_fill(candidate.input) or hole_to_fill(candidate.output)
    if hole is None and (named := hole_left_in(candidate.output)) and named not in candidate.input + task.instruction:
        hole = named
    return reject("placeholder", quoted(hole)) if hole and not speaks_of_holes(task.instruction) else None


def refusal(task: Task, candidate: InstanceCandidate, labels: tuple[str, ...]) -> Fault | None:
    """`refusal` for an output that declines the task, unless the task asks for an apology or a refusal."""
    found = refused(task.instruction, candidate.input, candidate.output)
    return reject("refusal", quoted(found)) if found else None


def merged_tasks(task: Task, candidate: InstanceCandidate, labels: tuple[str, ...]) -> Fault | None:
    """`merged_tasks` for an input or output that runs on into the next task or the next example."""
    for _, text in _texts(candidate):
        if not may_hold(text, "instruction", "task", "label", "example", "input"):
            continue
        if (found := _NEXT_TASK.search(text)) and not words("about_tasks").search(task.instruction):
            return reject("merged_tasks", quoted(text[found.start() :]))
        example = None if _FIRST_EXAMPLE.search(text) else _NEXT_EXAMPLE.search(text)
        run_on = text[example.start() :] if example else own_instance(text)
        if run_on and not words("about_examples").search(task.instruction):
            return reject("merged_tasks", quoted(run_on))
    return None


def attachment(task: Task, candidate: InstanceCandidate, labels: tuple[str, ...]) -> Fault | None:
    """`attachment` for an input or output that refers to what a text model cannot have: a picture, a file, a page.

    Embedded pictures are fine where the task is about markup, "please find attached" in correspondence, and an input
    that is only a link where the task is about the link itself.
    """
    pieces = candidate.input.split()
    if pieces and all(_LINK.fullmatch(piece) for piece in pieces):
        about_links = words("about_links").search(task.instruction)
        if not about_links or words("reads_pages").search(task.instruction):
            return reject("attachment", f"the input is only a link: {quoted(candidate.input)}")
    for _, text in _texts(candidate):
        if not may_hold(text, "[", "<", "attach"):
            continue
        if (found := _EMBEDDED.search(text)) and not words("about_markup").search(task.instruction):
            return reject("attachment", quoted(found[0]))
        if (found := _ATTACHED.search(text)) and not words("correspondence").search(f"{task.instruction}\n{text}"):
            return reject("attachment", quoted(found[0]))
    return None


def material(task: Task, candidate: InstanceCandidate, labels: tuple[str, ...]) -> Fault | None:
    """The fault of an input as material, or of a missing one; `letterless` for an output without letter or digit."""
    return (
        fault_of_material(task.instruction, candidate.input)
        or repeated_by_output(task.instruction, candidate.input, candidate.output)
        or letterless("output", candidate.output, task.instruction)
    )


def asks_for_input(task: Task, candidate: InstanceCandidate, labels: tuple[str, ...]) -> Fault | None:
    """`asks_for_input` for a short output that asks for the material or for details instead of answering."""
    found = asks_back(task.instruction, candidate.input, candidate.output)
    return reject("asks_for_input", quoted(found)) if found else None


def duplicate(task: Task, left: Open) -> dict[int, Fault]:
    """`duplicate` for each candidate with the input and output of an earlier one; labels are compared as labels."""
    first: dict[tuple[str, str], int] = {}
    faults = {}
    for index, candidate in left.items():
        earlier = first.setdefault((_flat(candidate.input), _answer(task, candidate)), index)
        if earlier != index:
            faults[index] = reject("duplicate", f"same input and output as instance {earlier}")
    return faults


def conflicting_outputs(task: Task, left: Open) -> dict[int, Fault]:
    """`conflicting_outputs` where one input has several outputs.

    In a classification the labels contradict each other and all are rejected, those of the empty input too. Elsewhere
    all are rejected when there is an input (as in Wang et al. 2022); without one, several outputs are several good
    answers of which the first is kept.
    """
    by_input: dict[str, list[int]] = defaultdict(list)
    for index, candidate in left.items():
        by_input[_flat(candidate.input)].append(index)
    faults = {}
    for given, indices in by_input.items():
        if len({_answer(task, left[index]) for index in indices}) < 2:
            continue
        keeps_first = not given and not task.is_classification
        for index in indices[1:] if keeps_first else indices:
            faults[index] = reject("conflicting_outputs", f"{len(indices)} outputs for {excerpt(given) or 'no input'}")
    return faults


def label_outside_set(task: Task, left: Open, labels: tuple[str, ...]) -> dict[int, Fault]:
    """`label_outside_set` for outputs of a classification that are none of its labels; without labels nothing is."""
    if not task.is_classification or not labels:
        return {}
    wanted = excerpt(", ".join(labels))
    return {
        index: reject("label_outside_set", f"{quoted(candidate.output, 40)} is none of: {wanted}")
        for index, candidate in left.items()
        if not is_one_of(candidate.output, labels)
    }


def too_many(left: Open, max_instances: int) -> dict[int, Fault]:
    """`too_many` for the candidates after those that a task may have."""
    surplus = list(left)[max(max_instances, 0) :]
    return {index: reject("too_many", f"a task has at most {max_instances}") for index in surplus}


def _answer(task: Task, candidate: InstanceCandidate) -> str:
    return comparable(candidate.output) if task.is_classification else _flat(candidate.output)


def _flat(text: str) -> str:
    return " ".join(visible(text).split())


def _texts(candidate: InstanceCandidate) -> tuple[tuple[str, str], ...]:
    return ("input", candidate.input), ("output", candidate.output)


def _to_fill_in(text: str) -> bool:
    lines = [line.rstrip() for line in text.splitlines() if line.strip()]
    return "::" in text or sum(line.endswith((":", "：")) for line in lines) > 1


def _may_answer_nothing(task: Task, candidate: InstanceCandidate, labels: tuple[str, ...]) -> bool:
    said = regex.escape(candidate.output.strip(" ."))
    return (
        bool(task.is_classification)
        or comparable(candidate.output) in map(comparable, labels)
        or bool(_BARE_NONE.fullmatch(candidate.output) and candidate.input.strip())
        or regex.search(rf"(?<!\w){said}(?!\w)", task.instruction, regex.IGNORECASE) is not None
    )
