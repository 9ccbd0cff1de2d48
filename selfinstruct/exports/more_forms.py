"""Forms made of more than a row's output: other answers to its question, its reasoning, a result that can be checked.

A row may have nothing for one of them, or several lines, so `all` does not stand for them.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from statistics import fmean, pstdev
from typing import Any

from selfinstruct.exports.formats import Unfit, Wording, prompt_completion_plain, turns_asked
from selfinstruct.pool.records import Row, StoredSample
from selfinstruct.short_answers import final_answer, is_definite, is_same
from selfinstruct.types import Instance, Task

KTO = ("kto", "kto-plain")
"""Those that take questions without a right answer too."""
NOTHING = ("no_pair", "no_checker", "no_reasoning")
"""Why a row has nothing for one of these forms; most rows do not, so no file names them."""
_RULES = ("correction", "person", "revision", "sample", "agreement", "strong", "weak", "judged_output")
"""What makes an answer the rejected one of a pair, the surest first.

A person's word comes before that of the judge, who saw both answers, and this before what other answers say. A form
before its revision differs least from the output, so the pair shows the fault itself.
"""


@dataclass(frozen=True, slots=True)
class Answers:
    """Which other answers to the question of a row are used."""

    all_answers: int = 1
    """At most so many right answers, the output first, each on a line of its own; in the forms of outputs alone."""
    pairs_per_row: int = 1
    min_margin: float = 1.0
    """By how much an output has to have the higher score, where both have one."""
    rejected_at: float = 2.0
    """In standard deviations below the mean of the scores; of answers with scores, the one nearest to it comes first.

    Source: Xiao et al. 2025, "Finding the Sweet Spot: Preference Data Construction for Scaling Preference
    Optimization": of many answers, the worst one taught less than one two deviations below the mean.
    """


Form = Callable[[Row], Sequence[dict[str, Any]] | Unfit]
"""Makes the lines of a row."""


def right(row: Row, most: int) -> list[Row]:
    """The row, and as rows the other right answers to its question, of different texts; at most so many in all."""
    if most == 1:
        return [row]
    found = {row.output.strip(): row}
    task = Task(row.task_id, row.instruction, row.is_classification)
    for one in row.samples:
        if is_definite(task, row.output) and is_definite(task, one.output) and not is_same(one.output, row.output):
            continue
        if one.is_right and one.step in {"agreement", "strong"} and one.output.strip():
            other = row._replace(
                instance=Instance(row.input, one.output), output_model=one.model, verdict=None, reasoning="", samples=()
            )
            found.setdefault(one.output.strip(), other)
    return [*found.values()][:most]


def rejected(row: Row, answers: Answers) -> list[StoredSample]:
    """The answers that are worse than the output, of different texts, the surest and most useful first."""
    found: dict[str, StoredSample] = {}
    for rule in _RULES:
        some = [one for one in row.samples if rule_of(one) == rule]
        for one in _by_score(some, answers.rejected_at) if rule == "sample" else some:
            if _is_worse(one, answers.min_margin):
                found.setdefault(one.output.strip(), one)
    return [one for text, one in found.items() if text not in {"", row.output.strip()}]


def better(row: Row) -> list[StoredSample]:
    """The other answers that a person found better than the output."""
    return [one for one in row.samples if one.is_preferred and one.output.strip() not in {"", row.output.strip()}]


def pairs(row: Row, answers: Answers) -> list[tuple[str, str, StoredSample]]:
    """The preference pairs of a row, each as the better text, the worse, and the answer that is not the output."""
    found = [(one.output, row.output, one) for one in better(row)]
    return (found + [(row.output, one.output, one) for one in rejected(row, answers)])[: answers.pairs_per_row]


def rule_of(one: StoredSample) -> str:
    """What says that an answer is worse than the output, or better: what a person said comes before all else."""
    return one.step if one.is_preferred is None else "person"


def _is_worse(one: StoredSample, min_margin: float) -> bool:
    match rule_of(one):
        case "correction":
            return True
        case "person":
            return one.is_preferred is False
        case "revision":
            return one.margin is None or one.margin >= min_margin
        case "sample":
            return one.margin is not None and one.margin >= min_margin
    return one.is_right is False


def _by_score(samples: Sequence[StoredSample], at: float) -> list[StoredSample]:
    """Those with a score, the nearest first to `at` deviations below the mean of the scores of all, output included."""
    scored = [(-one.margin, one) for one in samples if one.margin is not None]
    if len(scored) < 2:
        return [one for _, one in scored]
    scores = [0.0, *(score for score, _ in scored)]  # the output's is 0
    wanted = fmean(scores) - at * pstdev(scores)
    return [one for _, one in sorted(scored, key=lambda pair: abs(pair[0] - wanted))]


def pass_rate(row: Row) -> float | None:
    """The share of right answers of the strong model, else of all that voted, the output included; None: unknown."""
    if (share := row.share_right("strong")) is not None:
        return round(share, 4)
    votes = [one.is_right for one in row.samples if one.step == "agreement" and one.is_right is not None]
    return round((1 + votes.count(True)) / (1 + len(votes)), 4) if votes else None


def _preference(wording: Wording, answers: Answers, *, plain: bool) -> Form:
    def preference(row: Row) -> Sequence[dict[str, Any]] | Unfit:
        if plain and row.system:
            return Unfit("system")
        return [
            {
                "prompt": _asked(row, wording, plain=plain),
                "chosen": _said(chosen, plain=plain),
                "rejected": _said(worse, plain=plain),
                "rule": rule_of(one),
                # 0 where it is unknown: trainers add margins up, and a column of nothing but null has no type
                "margin": 0.0 if rule_of(one) == "person" else one.margin or 0.0,
            }
            for chosen, worse, one in pairs(row, answers)
        ] or Unfit("no_pair")

    return preference


def _kto(wording: Wording, answers: Answers, *, plain: bool) -> Form:
    def kto(row: Row) -> Sequence[dict[str, Any]] | Unfit:
        if plain and row.system:
            return Unfit("system")
        prompt = _asked(row, wording, plain=plain)
        preferred = [(one.output, True, "person") for one in better(row)]
        own = (row.output, False, "person") if preferred else (row.output, True, "row")
        worse = [(one.output, False, rule_of(one)) for one in rejected(row, answers)]
        return [
            {"prompt": prompt, "completion": _said(text, plain=plain), "label": label, "rule": rule}
            for text, label, rule in [*preferred, *([own] if row.output else []), *worse]
        ]

    return kto


def _grpo(wording: Wording, _: Answers) -> Form:
    def grpo(row: Row) -> Sequence[dict[str, Any]] | Unfit:
        is_short = is_definite(Task(row.task_id, row.instruction, row.is_classification), row.output)
        if not is_short and not row.constraints:
            return Unfit("no_checker")
        checked = {"answer": final_answer(row.output) if is_short else "", "constraints": row.constraints or "[]"}
        checker = {"name": "same_answer" if is_short else "keeps_constraints", **checked}
        prompt = turns_asked(row, wording)
        return [{"prompt": prompt, **checked, "checker": checker, "pass_rate": pass_rate(row)}]

    return grpo


def _reasoning(wording: Wording, _: Answers) -> Form:
    def reasoning(row: Row) -> Sequence[dict[str, Any]] | Unfit:
        thought = row.reasoning
        if not thought.strip():
            return Unfit("no_reasoning")
        if wording.reasoning == "think":
            answer = {"role": "assistant", "content": f"<think>\n{thought}\n</think>\n\n{row.output}"}
        else:
            answer = {"role": "assistant", "content": row.output, "reasoning_content": thought}
        return [{"messages": [*turns_asked(row, wording), answer]}]

    return reasoning


def _asked(row: Row, wording: Wording, *, plain: bool) -> Any:
    return prompt_completion_plain(row)["prompt"] if plain else turns_asked(row, wording)


def _said(text: str, *, plain: bool) -> Any:
    return text if plain else [{"role": "assistant", "content": text}]


MORE_FORMS: Mapping[str, Callable[[Wording, Answers], Form]] = {
    "preference": partial(_preference, plain=False),
    "preference-plain": partial(_preference, plain=True),
    "kto": partial(_kto, plain=False),
    "kto-plain": partial(_kto, plain=True),
    "grpo": _grpo,
    "reasoning": _reasoning,
}
"""By name of a form: the function that makes it."""
