"""What the answers of a run have in common that its user should know: nothing in them, cut ends, cut prompts."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from selfinstruct.checks.wording import excerpt
from selfinstruct.types import Completion, Request

FEWEST, MOST = 8, 16
"""After so many answers of nothing to a stage, two rounds' worth within these bounds, a run goes on no longer."""
CUT_SHARE = 0.2
"""Cut answers are told of when they are more than this share of those to a stage."""
SAME = 6
"""So many prompts of different length that have the most tokens of all, and as many, are prompts that were cut."""
_LEAST_CAP = 256
_SPREAD = 1.1

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
    with_text: int = 0
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
        self._caps: dict[tuple[str, str], _Cap] = {}

    def note(self, request: Request, completion: Completion) -> None:
        """Count one more."""
        stage = self._stages.setdefault(request.stage, _Stage(request))
        stage.answers += 1
        if completion.kind == "failed" or not completion.text.strip():
            stage.empty[completion.finish_reason] += 1
            stage.thought += bool(completion.reasoning)
            stage.refusal = completion.text if completion.kind == "failed" else stage.refusal
        else:
            stage.with_text += 1
        stage.cut += request.api == "chat" and completion.finish_reason == "length"
        self._note_prompt(request, completion)

    def silence(self) -> str:
        """What is wrong where no answer to a stage holds anything; else empty."""
        for name, stage in self._stages.items():
            if stage.with_text == 0 and stage.answers >= self._enough:
                ((cause, count),) = stage.empty.most_common(1)
                if stage.refusal and cause not in _CAUSES:
                    said = excerpt(stage.refusal, 200)
                    return f"all {stage.answers:,} answers to {name} are failures: {count:,} {cause}: {said}"
                usual = _THOUGHT if stage.thought > stage.answers // 2 else _NO_CAUSE
                words = _CAUSES.get(cause, usual).format(
                    stage=name, cause=cause, max_tokens=_max_tokens(stage.request), off=_THINKING_OFF
                )
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
        cap = self._caps.setdefault((completion.endpoint, request.model), _Cap())
        tokens = completion.prompt_tokens
        if cap.is_told or tokens < max(_LEAST_CAP, cap.tokens):
            return
        if tokens > cap.tokens:
            cap.tokens, cap.lengths = tokens, set()
        cap.lengths.add(sum(len(message.content.encode(errors="replace")) for message in request.messages))
        if len(cap.lengths) >= SAME and max(cap.lengths) >= _SPREAD * min(cap.lengths):
            cap.is_told = True
            self._tell(
                f"{completion.endpoint} seems to cut prompts at {tokens:,} tokens: it counts as many for prompts of "
                f"{min(cap.lengths):,} to {max(cap.lengths):,} bytes; give {request.model} a longer context (Ollama: "
                "num_ctx or OLLAMA_CONTEXT_LENGTH, llama.cpp: -c, vLLM: --max-model-len)"
            )


def _max_tokens(request: Request) -> Any:
    sampling: Mapping[str, Any] = {**request.sampling, **(request.sampling.get("extra_body") or {})}
    names = ("max_tokens", "max_completion_tokens")
    return next((sampling[name] for name in names if sampling.get(name)), "the server's own")
