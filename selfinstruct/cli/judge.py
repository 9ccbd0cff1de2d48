"""What the judge made of a pool, and how far people agree with it."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from rich.text import Text

from selfinstruct.cli.status import judging_lines
from selfinstruct.cli.text import OUT, line, show_json
from selfinstruct.errors import ConfigError
from selfinstruct.review.calibration import Agreement, calibrate, judged

PRECISION = 0.95
"""The share of what the judge keeps that people are to keep as well, unless told otherwise."""


def show_judge(pool: Path, labels: Path | None, precision: float | None, *, as_json: bool) -> None:
    """What the judge made of a pool; with labels of people how far it agrees with them, and the scores that fit."""
    if precision is not None and (labels is None or not 0 < precision <= 1):
        raise ConfigError("--precision goes with --calibrate FILE and lies above 0, up to 1, such as 0.95")
    if labels is None:
        found = judged(pool)
        if as_json:
            show_json(found)
            return
        for name, value, note in judging_lines({"agreement": None, "samples": 0, "judge": {**found, "scores": 0}}):
            line(name, value, note)
        for name, scores in found["scores"].items():
            line(f"scores on {name}", sum(scores.values()), ", ".join(f"{n:,} x {s}" for s, n in scores.items() if n))
        return
    wanted = precision or PRECISION
    calibration = calibrate(pool, labels, wanted)
    if as_json:
        show_json(calibration.figures())
        return
    unjudged = f"{calibration.unjudged:,} more are of instances without a verdict" if calibration.unjudged else ""
    line("labels", calibration.labels, unjudged)
    if calibration.is_flat:
        line("does not discriminate", "", "the judge gave all labelled instances the same scores; use a larger model")
    _show_agreement("minimum scores now", calibration.minimums, calibration.agreement)
    for name, one in calibration.by_question.items():
        line(f"question {name}", one.total, f"labels that answer it: accuracy {one.accuracy:.3f}, kappa {_kappa(one)}")
    for (first, second), one in calibration.between_people.items():
        names = f"{first or 'somebody unnamed'} and {second}"
        line("labels by two people", one.total, f"{names}: accuracy {one.accuracy:.3f}, kappa {_kappa(one)} (Cohen)")
    reached = f"fitted to a precision of {wanted:g}"
    if not calibration.is_reached:
        reached = f"no scores reach a precision of {wanted:g}; the best there is"
    _show_agreement(reached, calibration.fitted, calibration.fitted_agreement)
    OUT.print(Text("\n[judge]\nenabled = true"))
    for name, least in calibration.fitted.items():
        OUT.print(Text(f"min_{name} = {least}"))


def _kappa(one: Agreement) -> str:
    return "not defined" if one.kappa is None else f"{one.kappa:.3f}"


def _show_agreement(title: str, minimums: Mapping[str, int], found: Agreement) -> None:
    OUT.print(Text(f"\n{title}: {', '.join(f'{name} {least}' for name, least in minimums.items())}"))
    figures = found.figures()
    low, high = figures["precision_interval"] or (None, None)
    notes = {
        "accuracy": f"of {found.total:,}; both keep {found.both:,}, neither {found.neither:,}",
        "kappa": "agreement beyond chance (Cohen)",
        "precision": f"of the {found.both + found.judge_only:,} that the judge keeps; 95 % interval {low} to {high}",
        "recall": f"of the {found.both + found.people_only:,} that people keep",
    }
    for name, note in notes.items():
        line(f"  {name}", "none" if figures[name] is None else f"{figures[name]:.3f}", note)
