"""A family of tasks: how its instructions are worded, where its inputs come from and how its answers are computed."""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from selfinstruct.llm.offline.wording import Params, Wording

UNUSABLE = (ValueError, KeyError, IndexError, ArithmeticError, RecursionError)
"""What computing an answer raises when the parameters or the input are not such as the family writes."""


@dataclass(frozen=True, slots=True)
class Family:
    """Tasks of one kind. A family without `make_input` has all its data in the instruction."""

    name: str
    wordings: tuple[Wording, ...]
    draw: Callable[[random.Random], Params]
    """Draws what stands in the gaps of the wordings."""
    compute: Callable[[Params, str], str]
    """The right answer for the gaps and an input; raises one of `UNUSABLE` for those it cannot work with."""
    make_input: Callable[[Params, random.Random], str] | None = None
    labels: Callable[[Params], tuple[str, ...]] | None = None
    """The fixed labels of a classification; None for any other task."""
    weight: float = 1.0
    """How often the family is chosen, relative to the others."""

    @property
    def is_classification(self) -> bool:
        """Whether the answers are labels out of a fixed set."""
        return self.labels is not None

    def write(self, rng: random.Random) -> str:
        """A new instruction."""
        params = self.draw(rng)
        return rng.choice(self.wordings).write(params, rng)

    def recognise(self, instruction: str) -> Params | None:
        """The gaps of an instruction of this family, or None for any other."""
        for wording in self.wordings:
            params = wording.read(instruction)
            if params is not None:
                return params
        return None

    def inputs(self, params: Params, rng: random.Random, count: int) -> list[str]:
        """Up to `count` different inputs, none when the task needs none; those of a classification vary in label."""
        if self.make_input is None:
            return []
        by_label: dict[str, list[str]] = {}
        seen: set[str] = set()
        for _ in range(count * 6):
            text = self.make_input(params, rng)
            if text in seen:
                continue
            seen.add(text)
            by_label.setdefault(self.compute(params, text) if self.is_classification else "", []).append(text)
            if not self.is_classification and len(seen) >= count:
                break
        return _in_turn(list(by_label.values()), count)

    def answer(self, params: Params, text: str) -> str | None:
        """The computed answer, or None when these parameters or this input have none."""
        if self.make_input is not None and not text.strip():
            return None
        try:
            return self.compute(params, text)
        except UNUSABLE:
            return None


def _in_turn(groups: Sequence[list[str]], count: int) -> list[str]:
    """One of each group, then a second of each, and so on, until there are `count`."""
    out: list[str] = []
    for index in range(max((len(group) for group in groups), default=0)):
        out += [group[index] for group in groups if index < len(group)]
    return out[:count]
