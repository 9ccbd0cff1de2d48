"""Answers by agreement: of several answers to one question, the one that most of them give.

Self-consistency (Wang et al. 2022b, "Self-Consistency Improves Chain of Thought Reasoning in Language Models"): the
reasoning may go many ways, the right result is where most of them end. It needs results that can be compared, so it is
for short definite answers only: a label, a number, a word or a short phrase.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction

from selfinstruct.settings import AgreementSettings
from selfinstruct.short_answers import final_answer, same_answer
from selfinstruct.types import Completion


@dataclass(frozen=True, slots=True)
class Agreed:
    """The answer that most samples give: the earliest sample that gives it, how many do, and what was said in all."""

    sample: int
    votes: int
    answers: tuple[tuple[str, int], ...]
    """Each different answer as first given, with its votes, the most frequent first; those without one left out."""


def agreed(samples: Sequence[Completion]) -> Agreed:
    """The vote over the answers to one question. One that failed, is empty or breaks off has no vote; ties go to the
    answer given first.
    """  # noqa: D205
    keys = [
        same_answer(one.text) if one.kind == "answer" and one.finish_reason != "length" and one.text.strip() else None
        for one in samples
    ]
    votes = Counter(key for key in keys if key is not None)
    first = {key: keys.index(key) for key in votes}
    ranking = sorted(votes, key=lambda key: (-votes[key], first[key]))
    answers = tuple((final_answer(samples[first[key]].text), votes[key]) for key in ranking)
    return Agreed(first[ranking[0]], votes[ranking[0]], answers) if ranking else Agreed(0, 0, ())


def is_enough(found: Agreed, asked: int, rules: AgreementSettings) -> bool:
    """Whether the most frequent answer has the share of votes that is wanted; an equal share is enough."""
    return Fraction(found.votes, asked) >= Fraction(rules.min_share)
