"""Is a version good enough? Pure: figures and bounds in, reasons out."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from selfinstruct.config.sections import PublishSection

Figures = Mapping[str, float | None]

AT_LEAST = {
    "min_tasks": "tasks",
    "min_acceptance": "recent_acceptance",
    "min_distinct_2": "distinct_2",
    "min_verb_noun_entropy": "verb_noun_entropy",
    "min_vendi_score": "vendi_score",
}
"""Bound -> the figure that may not be less."""
AT_MOST = {
    "max_duplicate_share": "duplicate_share",
    "max_short_share": "short_share",
    "max_cut_share": "cut_share",
    "max_compression_ratio": "compression_ratio",
    "max_top_openings_share": "top_openings_share",
    "max_mean_nearest_rouge_l": "mean_nearest_rouge_l",
}
"""Bound -> the figure that may not be more."""
KEEP_UP = ("tasks", "verb_noun_entropy", "vendi_score")
"""Figures that grow with a pool: they may not fall by more than `max_drop` against the last good version."""


def reasons_against(figures: Figures, before: Figures | None, bounds: PublishSection) -> Sequence[str]:
    """Why a version is refused, one line each; none if it is good. `before` are the figures of the last good one."""
    reasons = []
    for name, figure in AT_LEAST.items():
        bound, found = getattr(bounds, name), figures.get(figure)
        if bound is not None and found is not None and found < bound:
            reasons.append(f"{figure} {shown(found)} is less than {name} = {shown(bound)}")
    for name, figure in AT_MOST.items():
        bound, found = getattr(bounds, name), figures.get(figure)
        if bound is not None and found is not None and found > bound:
            reasons.append(f"{figure} {shown(found)} is more than {name} = {shown(bound)}")
    for figure in KEEP_UP:
        found, earlier = figures.get(figure), (before or {}).get(figure)
        if found is None or not earlier or bounds.max_drop is None:
            continue
        if found < earlier * (1 - bounds.max_drop):
            drop = 1 - found / earlier
            reasons.append(
                f"{figure} fell by {drop:.1%}, from {shown(earlier)} to {shown(found)}: "
                f"more than max_drop = {shown(bounds.max_drop)}"
            )
    return reasons


def shown(value: float | None) -> str:
    """A figure for people."""
    if value is None:
        return "-"
    return f"{value:,}" if isinstance(value, int) else f"{value:,.4f}".rstrip("0").rstrip(".")
