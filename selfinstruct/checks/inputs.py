"""Whether an input is worth an answer, before one is paid for."""

from __future__ import annotations

from dataclasses import replace

from selfinstruct.checks.echoes import prompt_echo
from selfinstruct.checks.faults import Fault
from selfinstruct.checks.instances import attachment, broken_text, cut_off, merged_tasks, placeholder
from selfinstruct.checks.material import fault_of_material
from selfinstruct.checks.personal_data import personal_data
from selfinstruct.checks.wording import plain
from selfinstruct.settings import Settings
from selfinstruct.types import InstanceCandidate, Task

_RULES = (broken_text, cut_off, placeholder, merged_tasks, attachment)


def fault_of_input(task: Task, text: str, settings: Settings) -> Fault | None:
    """What is wrong with an input whatever the output will be; of an empty one, that the instruction needs another."""
    candidate = InstanceCandidate("", 0, plain(text), "An answer.")
    task = replace(task, instruction=plain(task.instruction))
    fault = next((fault for rule in _RULES if (fault := rule(task, candidate, ()))), None)
    fault = fault or fault_of_material(task.instruction, candidate.input) or prompt_echo(text, settings.prompts)
    return personal_data(text) if fault is None and settings.filters.personal_data == "reject" else fault
