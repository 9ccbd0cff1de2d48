"""What is answered to the question how a task goes on."""

from __future__ import annotations

from dataclasses import dataclass

from selfinstruct.records import InstanceCandidate, JudgeVerdict, Prompt, Rejection, Task


@dataclass(frozen=True, slots=True)
class Ask:
    """More questions are to be asked for this task."""

    prompts: tuple[Prompt, ...]
    is_classification: bool | None
    """As far as it is known."""
    waiting: tuple[InstanceCandidate, ...] = ()
    """Candidates already read whose outputs are still wanted."""
    rejections: tuple[Rejection, ...] = ()
    """What was rejected while reading the answers so far."""
    verdicts: tuple[JudgeVerdict, ...] = ()
    """What the judge has said so far."""


@dataclass(frozen=True, slots=True)
class Settled:
    """All answers are in: the candidates to be judged, and what was rejected while reading."""

    is_classification: bool
    candidates: tuple[InstanceCandidate, ...]
    rejections: tuple[Rejection, ...] = ()
    labels: tuple[str, ...] = ()
    """The closed set of outputs that a classification states; empty when none is stated."""


@dataclass(frozen=True, slots=True)
class Finished:
    """Nothing more is to be asked: the task with what it is, the instances it keeps, the rejections of the others."""

    task: Task
    instances: tuple[InstanceCandidate, ...]
    rejections: tuple[Rejection, ...]
    verdicts: tuple[JudgeVerdict, ...] = ()
