"""What a pool holds, as frozen values: what the reader gives."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal, NamedTuple

from selfinstruct.types import Instance, JudgeVerdict, Origin, Rejection, Task


class StoredInstance(NamedTuple):
    """An instance of a task."""

    number: int
    """Its place in the task, from 0."""
    input: str
    output: str
    source: int | None
    request_id: str | None
    """This and the position name the candidate that it was; None for seeds."""
    request_position: int | None
    verdict: JudgeVerdict | None
    """What the judge said; None where it was not asked."""


class StoredTask(NamedTuple):
    """A seed or an accepted task, with its instances; without any until it is finished."""

    position: int
    """Its place in the pool."""
    id: str
    origin: Origin
    state: str
    instruction: str
    is_classification: int | None
    """0 or 1; None until it is known."""
    round: int | None
    """This, the request and the scores are None for seeds."""
    source: int | None
    request_id: str | None
    request_position: int | None
    parents: str
    """JSON list of the ids of the tasks that were shown when this one was proposed."""
    nearest_score: float | None
    """ROUGE-L F1 to the most similar earlier instruction, as far as it is known."""
    nearest_task: str | None
    mean_score: float | None
    instances: tuple[StoredInstance, ...]


class Row(NamedTuple):
    """One instance of a finished task, with its lineage: a row of training data."""

    task_id: str
    instruction: str
    instance: Instance
    position: int = 0
    """The task's place in the pool."""
    number: int = 0
    """The instance's place in its task, from 0."""
    origin: Origin = "generated"
    round: int | None = None
    parents: str = "[]"
    """JSON list of the ids of the tasks that were shown when this one was proposed."""
    nearest_score: float | None = None
    """ROUGE-L F1 to the most similar earlier instruction, as far as it is known."""
    model: str | None = None
    """What proposed the instruction; None for seeds."""
    output_model: str | None = None
    """What wrote the output."""
    recipe: str | None = None
    is_classification: bool = False
    verdict: JudgeVerdict | None = None
    """What the judge said; None where it was not asked."""

    @property
    def input(self) -> str:
        """What the instruction works on; may be empty."""
        return self.instance.input

    @property
    def output(self) -> str:
        """The answer."""
        return self.instance.output

    @property
    def id(self) -> str:
        """What names this row, the same in every export of the pool."""
        return f"{self.task_id}/{self.number}"


class StoredRejection(NamedTuple):
    """A candidate that was not taken, its number in the order of storing, and its round."""

    number: int
    round: int
    of: Rejection


class StoredAnswer(NamedTuple):
    """The final answer to a request, or the failure that it ended with."""

    request_id: str
    source: int
    stage: str
    round: int | None
    task_id: str | None
    """None where new instructions were asked for."""
    position: int
    """Of the request in its round or task, from 0."""
    model: str
    kind: str
    """`answer` or `failed`."""
    text: str
    reasoning: str
    finish_reason: str
    prompt_tokens: int
    completion_tokens: int
    cached_tokens: int
    latency_s: float
    endpoint: str
    candidates: int | None
    """Candidates read out of it; None until it is read."""
    received_at: str
    """ISO 8601, UTC."""


class RoundFigures(NamedTuple):
    """One round and what became of its candidates."""

    number: int
    state: str
    accepted: int
    waiting: int
    """Instructions that were read and not decided yet."""
    rejected: Mapping[str, Mapping[str, int]]
    """By kind, `instruction` or `instance`, and reason, the most frequent reason first."""


class Usage(NamedTuple):
    """What the requests of a stage to a model took."""

    stage: str
    model: str
    requests: int
    """Those with a completion."""
    failed: int
    prompt_tokens: int
    completion_tokens: int
    cached_tokens: int
    latency_s: float
    attempts: int
    usd_e12: int
    """Picodollars; a lost attempt counts with what was reserved for it."""


class Event(NamedTuple):
    """What somebody did to tasks later."""

    number: int
    kind: Literal["remove", "restore"]
    reason: str
    condition: str | None
    descendants: int
    created_at: str
    tasks: int
    """How many it took."""


class Used(NamedTuple):
    """An exclusion of a pool, and how many candidates were rejected for it."""

    id: str
    name: str
    rows: int
    hits: int


@dataclass(frozen=True, slots=True)
class Position:
    """How far a pool has come, as far as an export can see it: the same position gives the same rows."""

    tasks: int
    """Finished generated tasks, those without an instance and removed ones too."""
    last_task: str | None
    """The last of them in task order."""
    round: int | None
    """Its round."""
    last_event: int
    """The last removal or restoration there was; 0 if none."""
    open: Sequence[str] = field(default_factory=list)
    """The ids of the tasks before it that were not finished."""


@dataclass(frozen=True, slots=True)
class PoolHistory:
    """What a forecast wants to know of a pool; as it stands, that of a pool which is not there yet."""

    meta: Mapping[str, str] = field(default_factory=dict)
    """Its own facts, as `read_meta` gives them."""
    seeds: tuple[Task, ...] = ()
    generated: Sequence[tuple[Task, int]] = ()
    """Accepted tasks in order, each with its round."""
    removed: frozenset[str] = frozenset()
    """Ids of the tasks that are removed, seeds among them."""
    done: int = 0
    pending: int = 0
    """Accepted tasks whose follow-ups are not finished."""
    last_goal: tuple[int | None, int | None] = (None, None)
    """(goal, more) of the last run."""
    next_round: int = 0
    stages: Mapping[str, Usage] = field(default_factory=dict)
    """What each stage took, of any model."""
