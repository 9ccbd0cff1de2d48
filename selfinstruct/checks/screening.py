"""What the checks make of candidates: the fault of an instruction or an input, and the instances that are kept."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace

from selfinstruct.checks import instance_checks
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
from selfinstruct.checks.instructions import InstructionCheck
from selfinstruct.checks.labels import stated_labels
from selfinstruct.checks.material import NEEDLESS, no_material
from selfinstruct.checks.wording import plain
from selfinstruct.settings import Settings
from selfinstruct.types import Instance, InstanceCandidate, Rejection, Task


def fault_of_instruction(text: str, checks: Iterable[InstructionCheck]) -> Fault | None:
    """What the first of the checks that finds something says."""
    text = plain(text)
    return next((fault for check in checks if (fault := check(text))), None)


def fault_of_input(task: Task, text: str, settings: Settings) -> Fault | None:
    """What is wrong with an input whatever the output will be; of an empty one, that the instruction needs another."""
    case = _case(task, InstanceCandidate("", 0, text, "An answer."), ())
    return _fault(case, instance_checks(settings, of_inputs=True))


def judge_instances(
    task: Task,
    candidates: Sequence[InstanceCandidate],
    settings: Settings,
    labels: tuple[str, ...] = (),
    seeds: Sequence[Task] = (),
) -> tuple[tuple[InstanceCandidate, ...], tuple[Rejection, ...]]:
    """The candidates that become instances of the task, in their order, and one rejection for each of the others.

    Each candidate is judged by itself first, then those left together, so that a faulty one neither contradicts nor
    displaces a good one. `labels` are those of a classification where the recipe knows them; otherwise those that the
    instruction states are used. A faulty input is dropped where the instruction needs none.
    """
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


def _case(task: Task, candidate: InstanceCandidate, labels: tuple[str, ...]) -> Case:
    return Case(
        replace(task, instruction=plain(task.instruction)),
        replace(candidate, input=plain(candidate.input), output=plain(candidate.output)),
        labels,
        (task, Instance(candidate.input, candidate.output)),
    )


def _fault(case: Case, checks: Iterable[InstanceCheck]) -> Fault | None:
    return next((fault for check in checks if (fault := check(case))), None)
