"""The nouns of the project as frozen values. Everything else turns one of these into another."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

import orjson

Origin = Literal["seed", "generated"]
Api = Literal["chat", "completions"]
CandidateKind = Literal["instruction", "instance"]
CompletionKind = Literal["answer", "failed"]

APART = 1_000_000
"""The index of a further question about the same candidate is so much higher; no answer holds as many candidates."""
BEST = 5
"""The highest score of a judge; 1 is the lowest."""
QUESTIONS: Mapping[str, str] = {"valid": "valid_task", "input": "suitable_input", "output": "correct_output"}
"""What a judge is asked: by the name of each question its key in an answer."""
BY_JUDGE = ("judged_invalid", "judged_input", "judged_output", "judge_unreadable", "revised")
"""The reasons for which the judge rejects instances."""
BY_STEPS = ("changed", "step_error", "too_easy", "too_hard", "no_gap")
"""The reasons for which other steps do, besides those that the user's own give themselves."""
DOCUMENT, PASSAGE, USE = "document", "passage", "passage_as"
"""In what was drawn for a request about a passage: its file, its id, and what it is to the tasks (`Use`)."""
Use = Literal["input", "closed_book", "output"]
"""A passage is the input of its tasks, only shown to the one who answers them, or the output."""
PROPOSE = "propose"
"""The stage that every recipe begins with: it asks for new instructions and belongs to a round, not to a task."""


@dataclass(frozen=True, slots=True)
class Turn:
    """What a user says after an answer, and what is answered to that."""

    user: str
    assistant: str
    kind: str = ""
    """What the user does, such as `follow_up`; empty where nobody drew it."""
    score: int | None = None
    """What the judge gives the answer, from 1 to 5; None: it was not asked."""


@dataclass(frozen=True, slots=True)
class Instance:
    """One (input, output) of a task; the input may be empty."""

    input: str
    output: str
    turns: tuple[Turn, ...] = ()
    """How the conversation goes on after the output."""

    @property
    def texts(self) -> tuple[str, str]:
        """The input and the output."""
        return self.input, self.output


@dataclass(frozen=True, slots=True)
class Passage:
    """A piece of a document that tasks are written about."""

    id: str
    """By document, number and texts."""
    document: str
    """The path of the file within its folder."""
    number: int
    """Its place in the document, from 1."""
    heading: str
    """The headings that it stands under, the outer before the inner; empty where there are none."""
    text: str
    given: str = ""
    """The input that the text is the answer to, where the document has it."""
    more: tuple[tuple[str, str], ...] = ()
    """Further inputs with the texts that answer them, by the same instruction."""

    @property
    def titled(self) -> str:
        """The text below its headings."""
        return f"{self.heading}\n\n{self.text}" if self.heading else self.text

    @property
    def pairs(self) -> tuple[tuple[str, str], ...]:
        """Each input with its text."""
        return ((self.given, self.text), *self.more)

    @property
    def in_words(self) -> str:
        """The text below its headings, or all pairs of input and output."""
        pairs = (f"Input: {given}\nOutput: {text}" for given, text in self.pairs)
        return "\n\n".join(pairs) if self.given else self.titled


@dataclass(frozen=True, slots=True)
class Constraint:
    """A demand on an answer that a program can check."""

    name: str
    arguments: Mapping[str, Any]
    words: str
    """How it is said to the one who answers."""


@dataclass(frozen=True, slots=True)
class Task:
    """An instruction, whether it is a classification (None: nobody has said yet), and its instances."""

    id: str
    instruction: str
    is_classification: bool | None
    instances: tuple[Instance, ...] = ()
    origin: Origin = "generated"
    name: str = ""
    system: str = ""
    """The system text that it was written for; empty for generated tasks."""
    answer: str = ""
    """The answer that was written with it, where that was asked for."""
    constraints: tuple[Constraint, ...] = ()
    drawn: Mapping[str, str] = field(default_factory=dict)
    """What the request for it was made of, by name: a value of each list of `draw`, and what its source took."""

    passage: Passage | None = None
    """The passage of a document that it was written about."""

    @property
    def asked(self) -> str:
        """The instruction with its constraints."""
        return " ".join((self.instruction, *(one.words for one in self.constraints)))


Role = Literal["system", "user", "assistant", "prompt"]


@dataclass(frozen=True, slots=True)
class Message:
    """One turn of a conversation. A plain completion prompt is a single message of role `prompt`."""

    role: Role
    content: str


@dataclass(frozen=True, slots=True)
class Schema:
    """A named JSON schema that an answer is asked to follow."""

    name: str
    body: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Prompt:
    """What a recipe wants to ask: the stage, its index within the round or task, the words and the wanted form."""

    stage: str
    index: int
    messages: tuple[Message, ...]
    schema: Schema | None = None
    demonstrations: tuple[str, ...] = ()
    """Ids of the tasks shown."""
    left_out: int = 0
    """Demonstrations and examples that there was no room for."""
    topic: str | None = None
    """What new tasks are asked to be about, if anything."""
    verbs: tuple[str, ...] = ()
    """Words that new tasks are asked to begin with."""
    source_name: str | None = None
    """What gave the words, where new tasks are asked for."""
    drawn: Mapping[str, str] = field(default_factory=dict)
    """What else the words were made of, by name: a value of each list of `draw`, and what the source took."""
    is_exact: bool = False
    """Only an answer to these very words counts, since they show a text that other rules may have changed."""


@dataclass(frozen=True, slots=True)
class StageModel:
    """Which model answers a stage and how it samples."""

    model: str
    api: Api
    sampling: Mapping[str, Any]
    """Parameters as the API names them (temperature, top_p, max_tokens, stop, ..., extra_body)."""


@dataclass(frozen=True, slots=True)
class Request:
    """One planned question to a model. Its id is the SHA-256 of everything that decides the answer (law 3)."""

    id: str
    stage: str
    round: int | None
    task_id: str | None
    index: int
    api: Api
    model: str
    sampling: Mapping[str, Any]
    messages: tuple[Message, ...]
    schema: Schema | None = None
    demonstrations: tuple[str, ...] = ()
    left_out: int = 0
    """Demonstrations and examples that there was no room for."""
    topic: str | None = None
    verbs: tuple[str, ...] = ()
    source_name: str | None = None
    drawn: Mapping[str, str] = field(default_factory=dict)
    """What else the words were made of, by name."""
    source: int = 0
    """0 for the pool's own requests; replayed sources are numbered from 0 as well, in the order given."""


@dataclass(frozen=True, slots=True)
class Completion:
    """What came back for a request: an answer, or a failure that will not be tried again."""

    request_id: str
    kind: CompletionKind
    text: str
    finish_reason: str
    """As the server said: `stop`, `length`, `content_filter`, ...; for a failure the kind of fault."""
    prompt_tokens: int = 0
    completion_tokens: int = 0
    cached_tokens: int = 0
    latency_s: float = 0.0
    endpoint: str = ""
    sent: str = ""
    """JSON of the wire form: how structure was asked for and how parameters were spelled."""
    body: bytes = b""
    """The response body as it came."""
    reasoning: str = ""
    """What the model thought aloud; never part of a candidate."""
    source: int = 0

    @property
    def is_free(self) -> bool:
        """Whether nothing was charged, since the server refused; what it answered without saying a cost is not."""
        return self.kind == "failed" and not self.body


@dataclass(frozen=True, slots=True)
class Candidate:
    """An instruction read out of a propose completion, not decided yet."""

    request_id: str
    position: int
    """Place within the completion, from 0."""
    instruction: str
    is_classification: bool | None = None
    source: int = 0
    answer: str = ""
    """The answer that was written with it, where that was asked for."""


@dataclass(frozen=True, slots=True)
class InstanceCandidate:
    """An input and its output read out of follow-up completions, not decided yet."""

    request_id: str
    """The request in which the candidate first appeared."""
    position: int
    input: str
    output: str
    finish_reason: str = "stop"
    source: int = 0
    reasoning: str = ""
    """What was thought before the output, where that is kept apart from it."""
    turns: tuple[Turn, ...] = ()
    """How the conversation goes on after the output."""
    ended: str = ""
    """Why it does not go on, as `REASON: what was found`; empty where nobody tried."""


@dataclass(frozen=True, slots=True)
class Sample:
    """Another answer to the question of an instance: one that is not its output."""

    request_id: str
    """With `position` and `source` what it is as a candidate."""
    position: int
    of_request: str
    """With `of_position` the candidate whose question it answers; both are of one source."""
    of_position: int
    output: str
    step: str
    """What asked for it: `agreement`, `sample`, `weak` or `strong`."""
    is_right: bool | None = None
    """Whether it says what the output says, or the judge took it for right; None: nobody looked."""
    margin: float | None = None
    """By how much the output scored higher: in points of the judge, or in comparisons won less lost."""
    source: int = 0


@dataclass(frozen=True, slots=True)
class Rejection:
    """A candidate that was not taken: a stable reason, the evidence and the text."""

    kind: CandidateKind
    reason: str
    request_id: str
    position: int
    text: str
    """The instruction, or the output of an instance."""
    input: str = ""
    evidence: str = ""
    """What was found, in words: the rule's measure, the offending piece of text."""
    score: float | None = None
    """ROUGE-L F1 to the nearest task, where the reason is about likeness."""
    nearest: str | None = None
    """Id of that task."""
    task_id: str | None = None
    source: int = 0


@dataclass(frozen=True, slots=True)
class JudgeVerdict:
    """What the judge says of one instance: scores from 1 to 5 with a reason each; None where it cannot be read."""

    request_id: str
    """With `position` and `source` the instance, as a candidate."""
    position: int
    source: int
    task_id: str
    judge_request: str
    """The request whose answer this is, the last one where the judge had to be asked again."""
    outcome: str
    """`passed`, or the reason for which these scores reject."""
    valid: int | None = None
    valid_reason: str = ""
    input: int | None = None
    input_reason: str = ""
    output: int | None = None
    output_reason: str = ""


@dataclass(frozen=True, slots=True)
class Written:
    """What a recipe got from the model for a task: instances that no rule has seen yet, and what cannot be one."""

    is_classification: bool
    candidates: tuple[InstanceCandidate, ...]
    rejections: tuple[Rejection, ...] = ()
    labels: tuple[str, ...] = ()
    """The closed set of outputs that a classification states; empty when none is stated."""
    samples: tuple[Sample, ...] = ()


@dataclass(frozen=True, slots=True)
class Finished:
    """A task with its kind, the instances it keeps, the rejections of the others, and what the judge said.

    Each step makes another one of it.
    """

    task: Task
    instances: tuple[InstanceCandidate, ...]
    rejections: tuple[Rejection, ...]
    verdicts: tuple[JudgeVerdict, ...] = ()
    samples: tuple[Sample, ...] = ()


@dataclass(frozen=True, slots=True)
class Exclusion:
    """Texts to be kept out of a pool: those of a benchmark or a test set."""

    id: str
    """SHA-256 of the rows."""
    name: str
    """The file's name; no part of the identity."""
    rows: tuple[tuple[int, tuple[str, ...]], ...] = field(repr=False)
    """The number of each row that holds text, from 1, with its texts."""


_CANONICAL = json.JSONEncoder(sort_keys=True, separators=(",", ":"), ensure_ascii=False)


def canonical_json(value: Any) -> str:
    """JSON with sorted keys and no spaces, so that equal values give equal text."""
    try:
        return orjson.dumps(value, option=orjson.OPT_SORT_KEYS).decode()
    except TypeError:  # such as of lone surrogates and numbers of more than 64 bits
        return _CANONICAL.encode(value)


_UNSTORABLE = re.compile("[\0\ud800-\udfff]")


def storable(text: str) -> str:
    """The text with NUL and lone surrogates, which the database cannot hold, as U+FFFD."""
    return _UNSTORABLE.sub("\ufffd", text)


def digest(*parts: Any) -> str:
    """SHA-256 of the parts as canonical JSON, in hexadecimal. Lone surrogates stay different, not merged."""
    return hashlib.sha256(canonical_json(parts).encode("utf-8", "surrogatepass")).hexdigest()


def task_id(source: int, request_id: str, position: int) -> str:
    """The id of the task that a candidate becomes."""
    return "t" + digest(source, request_id, position)[:20]
