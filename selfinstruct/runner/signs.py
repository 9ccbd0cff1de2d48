"""What a run should tell its user: that answers are empty or cut, that one is late, that nothing new is kept."""

from __future__ import annotations

import math
from collections import Counter, defaultdict, deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from statistics import median
from typing import Any

from selfinstruct.checks import own_checks
from selfinstruct.checks.wording import excerpt
from selfinstruct.diversity.diagnosis import mostly
from selfinstruct.steps import own_steps
from selfinstruct.types import Completion, Finished, Rejection, Request

FEWEST, MOST = 8, 16
"""After two rounds' worth of answers of nothing to a stage, within these bounds, a run goes on no longer."""
CUT_SHARE = 0.2
"""Cut answers are told of when they are more than this share of those to a stage."""
SAME, LEAST_CAP, SPREAD = 6, 256, 1.1
"""Prompts were cut where this many of different length have the same, largest count of tokens."""
TIMES_THE_MEDIAN, LEAST_S, LEAST_ANSWERS = 10, 30.0, 10
"""A request is late after this many times its stage's median, at least this long, once this many answers are there."""
VERDICTS = 30
"""After how many verdicts a judge is checked for differences between instances."""
_FAILED = {own_checks.FAILED: "check", own_steps.FAILED: "step"}
"""What failed, by reason."""
NO_JUDGE = "it does not tell good rows from bad, so its scores mean nothing; use a larger model under [stages.judge]"

_THINKING_OFF = "extra_body = { chat_template_kwargs = { enable_thinking = false } }"
_CAUSES = {
    "length": "were cut at max_tokens ({max_tokens}) before the answer began, as where a model thinks first; raise "
    "max_tokens in [model] or [stages.{stage}], or turn thinking off there, mostly by {off}",
    "tool_calls": "call tools and say nothing; let the server offer the model no tools",
    "refusal": "are refusals; try other seeds or guidance, or another model",
    "content_filter": "were filtered by the server; try other seeds or guidance, or another model",
}
_THOUGHT = "hold thoughts that never end and no answer; raise max_tokens, or turn thinking off, mostly by {off}"
_NO_CAUSE = "hold no text (finish reason {cause}); see whether the server has the model's own chat template"


@dataclass(slots=True)
class _Stage:
    """The answers of this run to one stage."""

    request: Request
    answers: int = 0
    cut: int = 0
    empty: Counter[str] = field(default_factory=Counter)
    """By finish reason."""
    thought: int = 0
    """Of the empty ones, those that hold reasoning."""
    refusal: str = ""
    """What the server said last in place of an answer."""


@dataclass(slots=True)
class _Cap:
    """The prompts with the most tokens of all, by the server's count; their lengths in bytes."""

    tokens: int = 0
    lengths: set[int] = field(default_factory=set)
    is_told: bool = False


class Heard:
    """Counts the answers of a run; `tell` is told of prompts that were cut when that is seen."""

    def __init__(self, round_size: int, tell: Callable[[str], None]) -> None:
        self._enough = max(FEWEST, min(MOST, 2 * round_size))
        self._tell = tell
        self._stages: dict[str, _Stage] = {}
        self._caps: defaultdict[tuple[str, str], _Cap] = defaultdict(_Cap)

    def note(self, request: Request, completion: Completion) -> None:
        """Count one more."""
        stage = self._stages.setdefault(request.stage, _Stage(request))
        stage.answers += 1
        stage.cut += request.api == "chat" and completion.finish_reason == "length"
        if completion.kind == "failed" or not completion.text.strip():
            stage.empty[completion.finish_reason] += 1
            stage.thought += bool(completion.reasoning)
            stage.refusal = completion.text if completion.kind == "failed" else stage.refusal
        self._note_prompt(request, completion)

    def silence(self) -> str:
        """What is wrong where no answer to a stage holds anything; else empty."""
        for name, stage in self._stages.items():
            if not self._enough <= stage.answers == stage.empty.total():
                continue
            ((cause, count),) = stage.empty.most_common(1)
            if stage.refusal and cause not in _CAUSES:
                said = excerpt(stage.refusal, 200)
                return f"all {stage.answers:,} answers to {name} are failures: {count:,} {cause}: {said}"
            words = _CAUSES.get(cause, _THOUGHT if stage.thought > stage.answers // 2 else _NO_CAUSE)
            words = words.format(stage=name, cause=cause, max_tokens=_max_tokens(stage.request), off=_THINKING_OFF)
            return f"all {stage.answers:,} answers to {name} are empty: {count:,} {words}"
        return ""

    def cut(self) -> str:
        """Of which stages many answers were cut, and what to do; else empty."""
        found = [
            f"{stage.cut:,} of {stage.answers:,} to {name} (max_tokens {_max_tokens(stage.request)})"
            for name, stage in self._stages.items()
            if stage.cut > CUT_SHARE * stage.answers
        ]
        return f"answers were cut: {', '.join(found)}; raise max_tokens in [model] or [stages.NAME]" if found else ""

    def _note_prompt(self, request: Request, completion: Completion) -> None:
        cap, tokens = self._caps[completion.endpoint, request.model], completion.prompt_tokens
        if cap.is_told or tokens < max(LEAST_CAP, cap.tokens):
            return
        if tokens > cap.tokens:
            cap.tokens, cap.lengths = tokens, set()
        cap.lengths.add(sum(len(message.content.encode(errors="replace")) for message in request.messages))
        if len(cap.lengths) >= SAME and max(cap.lengths) >= SPREAD * min(cap.lengths):
            cap.is_told = True
            self._tell(
                f"{completion.endpoint} seems to cut prompts at {tokens:,} tokens: it counts as many for prompts of "
                f"{min(cap.lengths):,} to {max(cap.lengths):,} bytes; give {request.model} a longer context (Ollama: "
                "num_ctx or OLLAMA_CONTEXT_LENGTH, llama.cpp: -c, vLLM: `--max-model-len`)"
            )


def _max_tokens(request: Request) -> Any:
    sampling: Mapping[str, Any] = {**request.sampling, **(request.sampling.get("extra_body") or {})}
    return sampling.get("max_tokens") or sampling.get("max_completion_tokens") or "the server's own"


class Pace:
    """How long answers take, by stage, so that the one is seen that takes far longer than the others."""

    def __init__(self) -> None:
        self._took: defaultdict[str, deque[float]] = defaultdict(lambda: deque(maxlen=200))
        self._since: dict[str, tuple[Request, float]] = {}
        self._told: set[str] = set()

    @contextmanager
    def timed(self, request: Request, now: Callable[[], float]) -> Iterator[None]:
        """Note how long the answer to a request takes; `now` is in seconds."""
        since = now()
        self._since[request.id] = (request, since)
        try:
            yield
            self._took[request.stage].append(now() - since)
        finally:
            del self._since[request.id]

    def stragglers(self, now: float) -> list[tuple[Request, float, float]]:
        """Requests that take ten times the median of their stage, each once: with the seconds so far and the median."""
        found = []
        for request, since in self._since.values():
            took = self._took[request.stage]
            usual = median(took) if len(took) >= LEAST_ANSWERS else math.inf
            if request.id not in self._told and now - since > max(TIMES_THE_MEDIAN * usual, LEAST_S):
                self._told.add(request.id)
                found.append((request, now - since, usual))
        return found


class Endings:
    """How the tasks that were finished last in this run ended, so that it is seen when none keeps an instance."""

    def __init__(self, window: int = 100) -> None:
        self._last: deque[tuple[bool, Counter[str]]] = deque(maxlen=window)
        self._scores: list[tuple[int | None, int | None, int | None]] = []
        self._told = False

    def note(self, end: Finished) -> str:
        """Count one more; a warning, once, where a judge gives all instances the same scores."""
        self._last.append((bool(end.instances), Counter(rejection.reason for rejection in end.rejections)))
        if self._told:
            return ""
        self._scores += [(one.valid, one.input, one.output) for one in end.verdicts if one.valid is not None]
        self._told = len(self._scores) >= VERDICTS
        if not self._told or len(set(self._scores)) > 1:
            return ""
        scores = " ".join(map(str, self._scores[0]))
        return f"the judge has given all of {len(self._scores)} instances the scores {scores}: {NO_JUDGE}"

    def fault(self, least: float) -> str:
        """What is wrong when less than this share of the last ones, or none, kept an instance; else empty."""
        kept, most = sum(one for one, _ in self._last), self._last.maxlen or 0
        if len(self._last) < most or (kept and kept >= least * most):
            return ""
        said = mostly(sum((rejected for _, rejected in self._last), Counter[str]()))
        said = f"{said}; `explain` with such a reason shows some" if said else "(the recipe wrote none)"
        return f"almost no task keeps an instance: {kept:,} of the last {most:,} {said}"


class Failing:
    """Counts what checks and steps failed on, so that one is seen that fails on all that it is shown.

    `kind` are the candidates, for people.
    """

    def __init__(self, kind: str) -> None:
        self._kind = kind
        self._seen = 0
        self._passed = False
        self._failures: Counter[str] = Counter()
        self._last: dict[str, str] = {}

    def fault(self, found: Sequence[object]) -> str:
        """What is wrong once these were judged as well: nothing has passed, and most failed in one place; else empty.

        What is no `Rejection` has passed.
        """
        self._seen += len(found)
        for one in found:
            self._passed = self._passed or not isinstance(one, Rejection)
            if isinstance(one, Rejection) and one.reason in _FAILED:
                name, _, said = one.evidence.partition(" ")
                name = f"{_FAILED[one.reason]} {name.rstrip(':')}"
                self._failures[name] += 1
                self._last[name] = said
        name, count = max(self._failures.items(), key=lambda one: one[1], default=("", 0))
        if self._passed or count < max(FEWEST, self._seen / 2):
            return ""
        failed = f"the {name} failed on {count:,} of {self._seen:,} {self._kind}, and none passed"
        return f"{failed}: {self._last[name]}; mend it"


def keeps_code(pool: Path) -> str:
    """What becomes of rounds that were planned with code of the user's which is then mended."""
    return (
        "rounds that are planned keep the code stored with them; to judge their answers by a mended file, "
        f"`replay {pool} --pool NEW` with the same options"
    )


def ran_dry(rounds: Sequence[tuple[int, Counter[str]]], least: float) -> str:
    """What is wrong when less than this share of the candidates of these rounds, or none, was accepted; else empty.

    A round is given as how many were accepted, and how many were rejected for which reason.
    """
    accepted, reasons = sum(one for one, _ in rounds), sum((rejected for _, rejected in rounds), Counter[str]())
    decided = accepted + reasons.total()
    if accepted and accepted >= least * decided:
        return ""
    return (
        f"almost nothing new: {accepted:,} of {decided:,} candidates were accepted in the last {len(rounds)} rounds "
        f"{mostly(reasons)}"
    )
