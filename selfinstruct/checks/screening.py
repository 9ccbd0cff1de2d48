"""What the checks make of candidates: the fault of an instruction or an input, and the instances that are kept."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace

from selfinstruct.checks import instance_checks, instruction_checks
from selfinstruct.checks.faults import Fault, rejection
from selfinstruct.checks.instances import (
    Case,
    InstanceCheck,
    Open,
    conflicting_outputs,
    duplicate,
    label_outside_set,
    too_many,
)
from selfinstruct.checks.instructions import InstructionCheck, copy_of_demonstration
from selfinstruct.checks.labels import stated_labels
from selfinstruct.checks.material import NEEDLESS, no_material
from selfinstruct.checks.personal_data import mask
from selfinstruct.checks.wording import plain
from selfinstruct.settings import Settings
from selfinstruct.types import Instance, InstanceCandidate, Rejection, Task

InstructionRules = Callable[[str, Sequence[str]], Fault | None]
"""The fault of an instruction, given the instructions that the model was shown; None: there is none."""
Screened = tuple[tuple[InstanceCandidate, ...], tuple[Rejection, ...]]
"""The candidates that become instances of a task, in their order, and one rejection for each of the others."""
ScreenInstances = Callable[[Task, Sequence[InstanceCandidate], Settings, tuple[str, ...], Sequence[Task]], Screened]
"""(task, candidates, settings, labels, the pool's seeds) -> what stays and what does not."""


def instruction_rules(settings: Settings) -> InstructionRules:
    """The checks that settings name, and that no demonstration is copied."""
    checks = instruction_checks(settings)
    return lambda text, shown: fault_of_instruction(text, checks) or copy_of_demonstration(text, shown)


def fault_of_instruction(text: str, checks: Iterable[InstructionCheck]) -> Fault | None:
    """What the first of the checks that finds something says."""
    text = plain(text)
    return next((fault for check in checks if (fault := check(text))), None)


def fault_of_input(task: Task, text: str, settings: Settings) -> Fault | None:
    """What is wrong with an input whatever the output will be; of an empty one, that the instruction needs another."""
    case = _case(task, InstanceCandidate("", 0, text, "An answer."), ())
    return _fault(case, instance_checks(settings, of="input"))


def fault_of_turns(task: Task, one: InstanceCandidate, settings: Settings, seeds: Sequence[Task] = ()) -> Fault | None:
    """What is wrong with the turns of an instance after its output; None where it has none.

    What the user says is checked like an input, what is answered like the output of a task that asks for it.
    """
    said, answered = (instance_checks(settings, seeds, of) for of in ("user", "turn")) if one.turns else ((), ())
    for turn in one.turns:
        user = replace(one, input="", output=turn.user, finish_reason="stop")
        reply = replace(one, input="", output=turn.assistant)
        asked = replace(task, instruction=turn.user, is_classification=False)
        if fault := _fault(_case(task, user, ()), said) or _fault(_case(asked, reply, ()), answered):
            return fault
    return None


def screen_instances(
    task: Task,
    candidates: Sequence[InstanceCandidate],
    settings: Settings,
    labels: tuple[str, ...] = (),
    seeds: Sequence[Task] = (),
) -> Screened:
    """The candidates that become instances of the task, in their order, and one rejection for each of the others.

    Each candidate is checked by itself first, then those left together, so that a faulty one neither contradicts nor
    displaces a good one. `labels` are those of a classification where the recipe knows them; otherwise those that the
    instruction states are used. A faulty input is dropped where the instruction needs none. Where settings mask
    personal data, all candidates come back with placeholders, numbered on from those of the instruction.
    """
    if settings.filters.personal_data == "mask":
        candidates = [_masked(task, candidate) for candidate in candidates]
    checks = instance_checks(settings, seeds)
    instruction = plain(task.instruction)
    if task.is_classification and not labels:
        labels = stated_labels(instruction)
    faults: dict[int, Fault] = {}
    candidates = list(candidates)
    for place, candidate in enumerate(candidates):
        fault = _fault(_case(task, candidate, labels), checks)
        if fault and fault.reason in NEEDLESS and not task.is_classification and not no_material(instruction, ""):
            candidates[place] = replace(candidate, input="")
            fault = _fault(_case(task, candidates[place], labels), checks)
        if fault is not None:
            faults[place] = fault
    together: tuple[Callable[[Open], dict[int, Fault]], ...] = (
        lambda left: duplicate(task, left),
        lambda left: conflicting_outputs(task, left),
        lambda left: label_outside_set(task, left, labels),
        lambda left: too_many(left, settings.filters.max_instances),
    )
    for check in together:
        faults |= check({place: each for place, each in enumerate(candidates) if place not in faults})
    kept = tuple(each for place, each in enumerate(candidates) if place not in faults)
    return kept, tuple(rejection(candidates[place], faults[place], task) for place in sorted(faults))


def _masked(task: Task, candidate: InstanceCandidate) -> InstanceCandidate:
    said = [text for turn in candidate.turns for text in (turn.user, turn.assistant)]
    _, given, output, *said = mask(task.instruction, candidate.input, candidate.output, *said)
    turns = (
        replace(turn, user=user, assistant=assistant)
        for turn, user, assistant in zip(candidate.turns, said[::2], said[1::2], strict=True)
    )
    return replace(candidate, input=given, output=output, turns=tuple(turns))


def _case(task: Task, candidate: InstanceCandidate, labels: tuple[str, ...]) -> Case:
    return Case(
        replace(task, instruction=plain(task.instruction)),
        replace(candidate, input=plain(candidate.input), output=plain(candidate.output)),
        labels,
        (task, Instance(candidate.input, candidate.output)),
    )


def _fault(case: Case, checks: Iterable[InstanceCheck]) -> Fault | None:
    return next((fault for check in checks if (fault := check(case))), None)


def faults_of_seed(task: Task, settings: Settings) -> list[str]:
    """The checks that a seed would not pass if it were a candidate, each in a few words."""
    fault = fault_of_instruction(task.instruction, instruction_checks(settings))
    found = [f"{fault.reason}: {fault.evidence}"] if fault else []
    candidates = [
        InstanceCandidate("", place, instance.input, instance.output) for place, instance in enumerate(task.instances)
    ]
    _, rejected = screen_instances(task, candidates, settings)
    return found + [f"instance {one.position + 1}: {one.reason}: {one.evidence}" for one in rejected]
