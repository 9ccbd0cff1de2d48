"""Rewards for trainers, as TRL's GRPOTrainer takes them; what they need comes with the rows of the form `grpo`."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

from selfinstruct import short_answers
from selfinstruct.constraints import missed
from selfinstruct.models.thinking import without_thinking
from selfinstruct.types import Constraint

Said = str | Sequence[Mapping[str, Any]]
"""A text, or the turns of a conversation."""


def same_answer(
    prompts: Sequence[Said], completions: Sequence[Said], answer: Sequence[str | None], **more: Any
) -> list[float | None]:
    """1.0 for each completion that comes to its answer, else 0.0; None where there is none.

    Compared is what stands after "Answer:" in the last line, or all of it. Numbers are the same by value, words
    regardless of case and marks. What was thought before, in any of the known forms, does not count.
    """
    del prompts, more
    return [
        float(short_answers.same_answer(_result(said)) == short_answers.same_answer(right)) if right else None
        for said, right in zip(completions, answer, strict=True)
    ]


def keeps_constraints(
    prompts: Sequence[Said], completions: Sequence[Said], constraints: Sequence[str | None], **more: Any
) -> list[float | None]:
    """1.0 for each completion that keeps to all of its constraints, else 0.0, as for an empty one; None: it has none.

    `constraints` holds for each a JSON list of objects with `name` and `arguments`. Raises: KeyError: no such name.
    """
    del prompts, more
    demands = [
        [Constraint(one["name"], one["arguments"], "") for one in json.loads(text or "[]")] for text in constraints
    ]
    return [
        float(bool(text := _result(said).strip()) and missed(some, text) is None) if some else None
        for said, some in zip(completions, demands, strict=True)
    ]


def _result(said: Said) -> str:
    text = said if isinstance(said, str) else str(said[-1].get("content") or "") if said else ""
    return without_thinking(text, may_be_opened=True)[1]
