"""Which family an instruction is of, what its right answer is, and whether a given answer is right."""

from __future__ import annotations

import random
from itertools import accumulate

from selfinstruct.llm.offline import openings
from selfinstruct.llm.offline.families import FAMILIES
from selfinstruct.llm.offline.family import Family
from selfinstruct.llm.offline.wording import Params

CLASSIFICATION_WEIGHT = 2.0
"""Classifications are few among the families and hard to vary; they are chosen this much more often."""

_CUMULATIVE = list(
    accumulate(family.weight * (CLASSIFICATION_WEIGHT if family.is_classification else 1) for family in FAMILIES)
)


_LONGEST = 1500
"""Characters; no family writes more, and matching a pattern to a long text may take its time."""


def any_family(rng: random.Random) -> Family:
    """A family, the weightier the likelier."""
    return rng.choices(FAMILIES, cum_weights=_CUMULATIVE)[0]


def identify(instruction: str) -> tuple[Family, Params] | None:
    """The family that could have written the instruction and the gaps it filled, or None."""
    if len(instruction) > _LONGEST:
        return None
    text = openings.strip(" ".join(instruction.split()))
    for family in FAMILIES:
        params = family.recognise(text)
        if params is not None and (family.make_input is not None or family.answer(params, "") is not None):
            return family, params
    return None


def answer(instruction: str, text: str) -> str | None:
    """The right answer to an instruction with its input; None when no family knows it or the input is unusable."""
    known = identify(instruction)
    return known[0].answer(known[1], text) if known else None


def check(instruction: str, text: str, output: str) -> bool | None:
    """Whether the output is what a computing family answers; None when the instruction belongs to none."""
    known = identify(instruction)
    if known is None:
        return None
    return known[0].answer(known[1], text) == output.strip()
