"""The original code's reading and rules to the letter, for comparing with data that was made by it.

What `yizhongw/self-instruct` does, including what is better done otherwise (see `paper`): a cut list is lost whole,
instructions lose their capitals, "Example" splits wherever it stands, and a piece without an output marker becomes an
output. Nothing here is shared with `paper`, so that neither can change the other.
"""

from __future__ import annotations

import random
import re
import string
from collections.abc import Sequence

from selfinstruct.ask import Ask
from selfinstruct.checks.faults import Fault
from selfinstruct.checks.screening import InstructionRules
from selfinstruct.recipes.templates import fill
from selfinstruct.settings import Settings
from selfinstruct.similarity.tokens import tokenize_as_rouge_score
from selfinstruct.types import (
    Candidate,
    Completion,
    InstanceCandidate,
    Message,
    Prompt,
    Rejection,
    Request,
    Task,
    Written,
)

BLOCKED_WORDS = (
    *("image", "images", "graph", "graphs", "picture", "pictures", "file", "files"),
    *("map", "maps", "draw", "plot", "go to"),
)

_BROKEN = re.compile("[\x00\ud800-\udfff]")
"""The one rule that is not the original's: text that no file or database can hold."""
_LIST_NUMBER = re.compile(r"\n\d+\s?\. ")
_BLOCKED = re.compile(r"\b(?:" + "|".join(BLOCKED_WORDS) + r")\b", re.IGNORECASE)
_EXAMPLE = re.compile(r"Example\s?\d*\.?")
_OUTPUT = re.compile(r"Output\s*\d*\s*:")
_INPUT = re.compile(r"Input\s*\d*\s*:")
_LABEL = "Class label:"
_GENERATION_SHOWN, _CLASSIFICATION_SHOWN = 19, 12
"""Examples in the original's classify prompt."""
_INPUT_FIRST_SHOWN, _OUTPUT_FIRST_SHOWN = 12, 17
"""Examples in its two instances prompts."""


def tokens(text: str) -> tuple[str, ...]:
    """The tokens of `rouge_score` without stemming: lower case, runs of a-z and 0-9."""
    return tokenize_as_rouge_score(text)


def read_proposals(request: Request, completion: Completion, settings: Settings) -> list[Candidate | Rejection]:
    """The instructions of a completed list, capitalised; one rejection for a list that was cut or holds nothing."""

    def lost(reason: str, evidence: str) -> list[Candidate | Rejection]:
        text, source = completion.text, completion.source
        return [Rejection("instruction", reason, completion.request_id, 0, text, evidence=evidence, source=source)]

    if completion.kind == "failed":
        return lost("unreadable", f"the request failed: {completion.finish_reason}")
    if completion.finish_reason == "length":
        return lost("cut_off", "the whole answer, since it ended with 'length'")
    lines = (" ".join(piece.split()).capitalize() for piece in _LIST_NUMBER.split(completion.text))
    read = [line for line in lines if line]
    if not read:
        return lost("unreadable", "the answer is empty")
    return [
        Candidate(completion.request_id, position, line, source=completion.source) for position, line in enumerate(read)
    ]


def fault_of_instruction(text: str) -> tuple[str, str] | None:  # noqa: PLR0911  # one return a rule
    """The first rule that a (capitalised) instruction breaks, as reason and evidence, or None."""
    if _BROKEN.search(text):
        return "broken_text", "NUL or half of a surrogate pair"
    words = len(text.split())
    if words <= 3:
        return "too_short", f"{words} words"
    if words > 150:
        return "too_long", f"{words} words"
    blocked = _BLOCKED.search(text)
    if blocked:
        return "blocked_words", blocked[0]
    if text.startswith("Write a program"):
        return "starts_with_program", "Write a program"
    if text[0] in string.punctuation:
        return "starts_with_punctuation", text[0]
    if not text[0].isascii():
        return "not_ascii", text[0]
    return None


def instruction_rules(settings: Settings) -> InstructionRules:
    """The original's rules; settings and demonstrations play no part."""
    del settings

    def fault(text: str, shown: Sequence[str]) -> Fault | None:
        del shown
        found = fault_of_instruction(text)
        return Fault(*found) if found else None

    return fault


async def write_instances(task: Task, ask: Ask, settings: Settings, examples: Sequence[Task]) -> Written:
    """The instances of a task, after it was said whether it is a classification.

    As in the original a label that is not "Yes" means generation; if it is not "No" either, that is one `no_label`.
    """
    label = await ask(_classify(task, settings, examples))
    said = label.text.strip() if label.kind == "answer" else ""
    is_classification = said in {"Yes", "yes", "YES"}
    rejections: tuple[Rejection, ...] = ()
    if not is_classification and said.lower() != "no":
        why = "neither Yes nor No" if label.kind == "answer" else f"the request failed: {label.finish_reason}"
        rejections = (_lost(task, label, label.text, "no_label", why),)
    answer = await ask(_instances(task, settings, examples, is_classification=is_classification))
    candidates = read_instances(answer, is_classification=is_classification)
    if not candidates:
        why = "no output in it" if answer.kind == "answer" else f"the request failed: {answer.finish_reason}"
        rejections += (_lost(task, answer, answer.text, "unreadable", why),)
    return Written(is_classification, candidates, rejections)


def read_instances(completion: Completion, *, is_classification: bool) -> tuple[InstanceCandidate, ...]:
    """The instances of an answer; the last one of a cut answer carries the finish reason."""
    text = completion.text if completion.kind == "answer" else ""
    pairs = _labelled_pairs(text) if is_classification else _pairs(text)
    return tuple(
        InstanceCandidate(
            completion.request_id,
            position,
            *pair,
            finish_reason=completion.finish_reason if position == len(pairs) - 1 else "stop",
            source=completion.source,
        )
        for position, pair in enumerate(pairs)
    )


def _pairs(text: str) -> list[tuple[str, str]]:
    text = text.strip()
    if _EXAMPLE.search(text):
        return [_pair(piece.strip()) for piece in _EXAMPLE.split(text) if piece.strip()]
    return [_pair(text)] if _OUTPUT.search(text) else []


def _pair(text: str) -> tuple[str, str]:
    """What stands before the first output marker and between it and the second; no marker: all of it is output."""
    question, *outputs = _OUTPUT.split(text)
    if not outputs:
        question, outputs = "", [text]
    question, output = question.strip(), _INPUT.split(outputs[0])[0].strip()
    prefix = _INPUT.match(question)
    return question[prefix.end() :].strip() if prefix else question, output


def _labelled_pairs(text: str) -> list[tuple[str, str]]:
    pairs = []
    for piece in text.split(_LABEL)[1:]:
        label, _, question = piece.strip().partition("\n")
        pairs.append((question.strip(), label.strip()))
    return pairs


def screen_instances(
    task: Task,
    candidates: Sequence[InstanceCandidate],
    settings: Settings,
    labels: tuple[str, ...] = (),
    seeds: Sequence[Task] = (),
) -> tuple[tuple[InstanceCandidate, ...], tuple[Rejection, ...]]:
    """The instances that are kept, in the order they were read, and the others with the rule they break.

    The original draws its at most 5 instances with a generator seeded once a file and out of a set whose order differs
    from run to run, so its choice cannot be had again. Here it is a uniform draw of `max_instances` that depends on the
    pool's seed and the task only. Labels and seeds play no part.
    """
    del labels, seeds
    kept: list[InstanceCandidate] = []
    rejections: list[Rejection] = []

    def reject(candidate: InstanceCandidate, reason: str, evidence: str) -> None:
        rejections.append(_rejection(task, candidate, reason, evidence))

    for candidate in candidates:
        fault = _fault_of_instance(candidate)
        if fault:
            reject(candidate, *fault)
        else:
            kept.append(candidate)
    outputs = {candidate.input: candidate.output for candidate in kept if candidate.input}
    contradicted = [one for one in kept if one.input and outputs[one.input] != one.output]
    if contradicted:
        for candidate in kept:
            reject(candidate, "conflicting_outputs", f"different outputs for the input {contradicted[0].input!r}")
        return (), tuple(rejections)
    first: dict[tuple[str, str], InstanceCandidate] = {}
    for candidate in kept:
        if first.setdefault((candidate.input, candidate.output), candidate) is not candidate:
            reject(candidate, "duplicate", "the same input and output came before")
    unique = list(first.values())
    if len(unique) > settings.filters.max_instances:
        generator = random.Random(f"{settings.seed}/{task.id}")
        drawn = set(generator.sample(range(len(unique)), settings.filters.max_instances))
        for place, candidate in enumerate(unique):
            if place not in drawn:
                reject(candidate, "too_many", f"not among the {settings.filters.max_instances} drawn of {len(unique)}")
        unique = [candidate for place, candidate in enumerate(unique) if place in drawn]
    return tuple(unique), tuple(sorted(rejections, key=lambda rejection: rejection.position))


def _fault_of_instance(candidate: InstanceCandidate) -> tuple[str, str] | None:
    if candidate.finish_reason == "length":
        return "cut_off", "the last instance of an answer that ended with 'length'"
    if _BROKEN.search(candidate.input + candidate.output):
        return "broken_text", "NUL or half of a surrogate pair"
    if candidate.input == candidate.output:
        return "same_as_input", "the output equals the input"
    if not candidate.output:
        return "empty_output", "the output is empty"
    if candidate.input.endswith(":") or candidate.output.endswith(":"):
        return "cut_off", "the input or the output ends with a colon"
    return None


def _rejection(task: Task, candidate: InstanceCandidate, reason: str, evidence: str) -> Rejection:
    return Rejection(
        "instance",
        reason,
        candidate.request_id,
        candidate.position,
        candidate.output,
        input=candidate.input,
        evidence=evidence,
        task_id=task.id,
        source=candidate.source,
    )


def _lost(task: Task, completion: Completion, text: str, reason: str, evidence: str) -> Rejection:
    return Rejection(
        "instance",
        reason,
        completion.request_id,
        0,
        text,
        evidence=evidence,
        task_id=task.id,
        source=completion.source,
    )


def _classify(task: Task, settings: Settings, examples: Sequence[Task]) -> Prompt:
    """Fixed examples, as in the original: the first seeds of either kind."""
    shown = [seed for seed in examples if seed.is_classification is False][:_GENERATION_SHOWN]
    shown += [seed for seed in examples if seed.is_classification][:_CLASSIFICATION_SHOWN]
    random.Random(f"{settings.seed}/classify").shuffle(shown)
    blocks = [
        f"Task: {_one_line(seed.instruction)}\nFixed labels: {'yes' if seed.is_classification else 'no'}"
        for seed in shown
    ]
    return _prompt(task, settings, "classify", "classify", blocks)


def _instances(task: Task, settings: Settings, examples: Sequence[Task], *, is_classification: bool) -> Prompt:
    """Fixed examples, as in the original: the first seeds of the kind, one instance each."""
    most = _OUTPUT_FIRST_SHOWN if is_classification else _INPUT_FIRST_SHOWN
    blocks = []
    for seed in [one for one in examples if bool(one.is_classification) is is_classification and one.instances][:most]:
        question, output = seed.instances[0].input.strip(), seed.instances[0].output.strip()
        if is_classification:
            lines = [f"{_LABEL} {output}", *([f"Input: {question}"] if question else [])]
        else:
            lines = [*(["Example 1", f"Input: {question}"] if question else []), f"Output: {output}"]
        blocks.append("\n".join([f"Task: {_one_line(seed.instruction)}", *lines]))
    form = "instances_output_first" if is_classification else "instances_input_first"
    return _prompt(task, settings, "instances", form, blocks)


def _prompt(task: Task, settings: Settings, stage: str, template: str, blocks: Sequence[str]) -> Prompt:
    examples = "".join(f"{block}\n\n" for block in blocks)
    text = fill(settings.prompts[template], {"examples": examples, "instruction": _one_line(task.instruction)})
    return Prompt(stage, 0, (Message("prompt", text.rstrip() + ("\n" if stage == "instances" else "")),))


def _one_line(text: str) -> str:
    return " ".join(text.split())
