"""Whether a pool's data is good, in a sentence, and the figures that say so with what they are compared to."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

Mark = Literal["good", "look", "bad", "none"]
"""`none`: there is nothing to judge yet."""
_SIZES = (200, 1000, 10_000)
_UNSTEERED: Mapping[str, Sequence[float]] = {"nearest": (0.559, 0.733, 0.882), "openings": (0.395, 0.365, 0.359)}
"""Measured on the first 200, 1,000 and 10,000 instructions that gpt-4o-mini wrote, unfiltered, for a public experiment
(github.com/dimitris-markopoulos/self-instruct-gpt4mini)."""


@dataclass(frozen=True, slots=True)
class _Figure:
    """One figure of the first screen: up to `good` it is good, beyond `bad` it is bad; with `good` above, reversed."""

    name: str
    of: Callable[[Mapping[str, Any]], float | None]
    good: float
    bad: float
    praise: str
    """What is said of a pool with a good one."""
    blame: str
    """What is said of one that wants a look; `{}` is the figure."""
    help: str
    section: str
    """Where the page shows more."""
    reference: str = ""
    """The figure of `_UNSTEERED` and of the seeds that it is compared to."""
    form: str = ".0%"

    def mark(self, value: float | None) -> Mark:
        """What the bounds say."""
        if value is None:
            return "none"
        sign = 1 if self.good < self.bad else -1
        return "good" if sign * value <= sign * self.good else "bad" if sign * value > sign * self.bad else "look"


def _share(part: float, of: float) -> float | None:
    return part / of if of else None


def _accepted(found: Mapping[str, Any]) -> float | None:
    return found["status"]["acceptance_rate"]  # type: ignore[no-any-return]


def _without_row(found: Mapping[str, Any]) -> float | None:
    status = found["status"]
    return _share(status["tasks_without_instances"], status["tasks"] + status["tasks_without_instances"])


_FIGURES = (
    _Figure(
        "Likeness", lambda found: found["diversity"]["mean_nearest_rouge_l"], 0.45, 0.65,
        "unlike each other", "instructions are like each other ({})",
        "Mean ROUGE-L of an instruction to the nearest earlier one; lower is newer.", "novelty", "nearest", ".2f",
    ),
    _Figure(
        "Ten openings", lambda found: found["diversity"]["top_openings_share"], 0.25, 0.5,
        "varied in their wording", "{} of the instructions begin in one of ten ways",
        "Share of instructions that begin with one of the ten most frequent openings of three words.", "topics",
        "openings",
    ),
    _Figure(
        "Short answers", lambda found: found["short_outputs"], 0.35, 0.6,
        "seldom answered in a word or two", "{} of the outputs have two words or fewer",
        "Share of outputs of two words or fewer, labels included.", "shape",
    ),
    _Figure(
        "Accepted", _accepted, 0.25, 0.05,
        "", "only {} of the instructions were accepted",
        "Share of the instructions decided; what was refused, and why, stands below.", "rejected",
    ),
    _Figure(
        "Without a row", _without_row, 0.1, 0.25,
        "", "{} of the accepted tasks got no row",
        "Share of accepted tasks of which no instance passed the checks.", "rejected",
    ),
)  # fmt: skip


def verdict(found: Mapping[str, Any], seeds: Mapping[str, float | None]) -> dict[str, Any]:
    """The sentence, and each figure with its mark, reference and bounds, of the figures of a pool.

    `seeds` has those of the seeds that figures are compared to, by the words of `reference`.
    """
    tasks, rows = found["tasks"], found["rows"]
    marks = [_marked(one, found, seeds) for one in _FIGURES]
    praise = [one.praise for one, (mark, _) in zip(_FIGURES, marks, strict=True) if mark == "good" and one.praise]
    blame = [said["blame"] for mark, said in marks if mark in {"look", "bad"}]
    text = f"{tasks:,} tasks with {rows:,} rows" if tasks else "No task is finished yet"
    praised = [_listed(praise)] if praise and tasks else []
    parts = [*blame, *praised] if any(mark == "bad" for mark, _ in marks) else [*praised, *blame]
    return {
        "said": f"{text}{': ' if parts else ''}{'; '.join(parts)}.",
        "marks": [said for _, said in marks],
    }


def _marked(one: _Figure, found: Mapping[str, Any], seeds: Mapping[str, float | None]) -> tuple[Mark, dict[str, str]]:
    value = one.of(found)
    mark = one.mark(value)
    shown = "none yet" if value is None else format(value, one.form)
    word, end = ("up to", "beyond") if one.good < one.bad else ("from", "below")
    of_seeds = seeds.get(one.reference)
    known = f"seeds {of_seeds:{one.form}}; " if of_seeds is not None else ""
    size = min(range(len(_SIZES)), key=lambda place: abs(_SIZES[place] - found["tasks"]))
    if one.reference:
        known += f"gpt-4o-mini unsteered {_UNSTEERED[one.reference][size]:{one.form}} of {_SIZES[size]:,}"
    return mark, {
        "name": one.name, "value": shown, "mark": mark, "reference": known,
        "bounds": f"good {word} {one.good:{one.form}}, bad {end} {one.bad:{one.form}}",
        "help": one.help, "section": one.section, "blame": one.blame.format(shown),
    }  # fmt: skip


def _listed(words: Sequence[str]) -> str:
    return " and ".join(filter(None, (", ".join(words[:-1]), *words[-1:])))
