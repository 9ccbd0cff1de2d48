"""What a pool holds, as frozen values: what the reader gives."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal, NamedTuple

from selfinstruct.types import Instance, JudgeVerdict, Origin, Rejection, Task, Turn


class StoredSample(NamedTuple):
    """Another answer to the question of a row."""

    output: str
    step: str
    """Where it comes from: a step (`agreement`, `sample`, `weak`, `strong`), `revision`: the form before the judge had
    it revised, or `correction`: the output that a person replaced."""
    is_right: bool | None
    """Whether it says what the output says, or the judge took it for right; None: nobody looked."""
    margin: float | None
    """By how much the output scored higher: in points of the judge, or in comparisons won less lost."""
    model: str | None
    """What wrote it."""
    number: int | None = None
    """Its place among the samples of its task; None: it is stored elsewhere."""
    is_preferred: bool | None = None
    """Whether a person found it better than the output; None: nobody compared them."""


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
    model: str | None
    """What wrote the output; None for seeds."""
    reasoning: str
    """What was thought before the output, where that is kept apart; empty where people replaced the output."""
    turns: tuple[Turn, ...]
    """How the conversation goes on after the output; none where people replaced that."""
    ended: str
    """Why it does not go on, as `REASON: what was found`; empty where nobody tried."""
    verdict: JudgeVerdict | None
    """What the judge said; None where it was not asked."""
    is_edited: bool
    """People corrected its texts, or those of its task."""
    replaced: str | None = None
    """The output that people replaced, where the question stayed the same."""
    is_rewritten: bool = False
    """People wrote its output."""


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
    model: str | None
    """What wrote the instruction."""
    parents: str
    """JSON list of the ids of the tasks that were shown when this one was proposed."""
    nearest_score: float | None
    """ROUGE-L F1 to the most similar earlier instruction, as far as it is known."""
    nearest_task: str | None
    mean_score: float | None
    constraints: str
    """JSON list of what was demanded of the answers, each with name, arguments and words; empty: nothing was."""
    system: str
    """The system text of a seed that has one; empty for generated tasks."""
    drawn: str
    """JSON object of what its request was made of, by name, such as `document`; empty: nothing was drawn."""
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
    """What wrote the output; None where a person did."""
    recipe: str | None = None
    is_classification: bool = False
    verdict: JudgeVerdict | None = None
    """What the judge said; None where it was not asked."""
    is_edited: bool = False
    """People corrected its texts."""
    topic: str | None = None
    """What the instruction was to be about; None where nothing was said of it."""
    source: str | None = None
    """Where the instruction comes from; None for seeds."""
    reasoning: str = ""
    """What was thought before the output, where that is kept apart from it."""
    samples: tuple[StoredSample, ...] = ()
    """Other answers to its question, where the reader was asked for them."""
    constraints: str = ""
    """JSON list of what was demanded of the answer, each with name, arguments and words; empty: nothing was."""
    system: str = ""
    """The system text of a seed that has one; empty for generated tasks."""
    drawn: str = ""
    """JSON object of what its request was made of, by name, such as `document`; empty: nothing was drawn."""
    ended: str = ""
    """Why the conversation has no more turns, as `REASON: what was found`; empty where nobody tried."""

    def share_right(self, step: str) -> float | None:
        """The share of right answers among those of a step; None where none is known. The output is none of them."""
        found = [one.is_right for one in self.samples if one.step == step and one.is_right is not None]
        return sum(found) / len(found) if found else None

    @property
    def scores(self) -> tuple[int | None, int | None, int | None]:
        """What the judge said of task, input and output, each 1 to 5."""
        return (self.verdict.valid, self.verdict.input, self.verdict.output) if self.verdict else (None, None, None)

    @property
    def input(self) -> str:
        """What the instruction works on; may be empty."""
        return self.instance.input

    @property
    def output(self) -> str:
        """The answer."""
        return self.instance.output

    @property
    def turns(self) -> tuple[Turn, ...]:
        """How the conversation goes on after the answer."""
        return self.instance.turns

    @property
    def characters(self) -> int:
        """Of instruction, input, output and further turns together."""
        said = (len(turn.user) + len(turn.assistant) for turn in self.turns)
        return len(self.instruction) + len(self.input) + len(self.output) + sum(said)

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


class Correction(NamedTuple):
    """The texts that a row has, since somebody corrected one of them; the instruction is that of the whole task."""

    task_id: str
    position: int
    instruction: str
    input: str
    output: str
    event: int


class Event(NamedTuple):
    """What somebody did to tasks later."""

    number: int
    kind: Literal["remove", "restore", "correct", "revert", "prefer"]
    reason: str
    condition: str | None
    descendants: int
    created_at: str
    tasks: int
    """How many it took."""
    rows: str | None
    """The rows that it took without the others of their tasks, each as TASK/NUMBER; None where there are none."""


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
    """The last event there was; 0 if none."""
    open: Sequence[str] = field(default_factory=list)
    """The ids of the tasks before it that were not finished."""


class Done(NamedTuple):
    """Finished generated tasks with an instance, and their rows."""

    tasks: int = 0
    rows: int = 0


class StoredGoal(NamedTuple):
    """What a run was to reach: tasks in all, with the `--more` that they came from, or rows in all."""

    tasks: int | None = None
    more: int | None = None
    rows: int | None = None


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
    done: Done = field(default_factory=Done)
    pending: int = 0
    """Accepted tasks whose follow-ups are not finished."""
    last_goal: StoredGoal = field(default_factory=StoredGoal)
    """That of the last run."""
    next_round: int = 0
    stages: Mapping[str, Usage] = field(default_factory=dict)
    """What each stage took, of any model."""
