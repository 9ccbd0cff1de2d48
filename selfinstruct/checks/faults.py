"""What a check says of a faulty text, and the rejection that this makes of a candidate."""

from __future__ import annotations

from dataclasses import dataclass

from selfinstruct.types import Candidate, CandidateKind, Completion, InstanceCandidate, Rejection, Task, storable


@dataclass(frozen=True, slots=True)
class Fault:
    """Why a text is not taken: a stable reason and what was found, in words."""

    reason: str
    evidence: str


def reject(reason: str, evidence: str) -> Fault:
    """What a check gives for a faulty text; the evidence becomes a text that the database can hold."""
    return Fault(reason, storable(evidence))


def rejection(candidate: Candidate | InstanceCandidate, fault: Fault, task: Task | None = None) -> Rejection:
    """A candidate as the rejection that a fault makes of it; an instance is one of a task."""
    kind: CandidateKind
    if isinstance(candidate, Candidate):
        kind, text, given = "instruction", candidate.instruction, ""
    else:
        kind, text, given = "instance", candidate.output, candidate.input
    return Rejection(
        kind=kind,
        reason=fault.reason,
        request_id=candidate.request_id,
        position=candidate.position,
        text=text,
        input=given,
        evidence=fault.evidence,
        task_id=task.id if task else None,
        source=candidate.source,
    )


def reject_piece(
    answer: Completion, position: int, text: str, fault: Fault, task: Task | None = None, given: str = ""
) -> Rejection:
    """A piece of an answer that is no candidate: what should be an instruction or, of a task, an instance."""
    if task is None:
        return rejection(Candidate(answer.request_id, position, text, source=answer.source), fault)
    piece = InstanceCandidate(answer.request_id, position, given, text, source=answer.source)
    return rejection(piece, fault, task)
