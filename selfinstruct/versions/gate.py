"""The figures of a version, and the bounds that decide whether it is published."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from selfinstruct.config.sections import PublishSection
from selfinstruct.diversity.figures import Instructions, diversity
from selfinstruct.pool.reader import Reader
from selfinstruct.pool.records import RoundFigures, Row
from selfinstruct.similarity.tokens import tokenize

Figures = Mapping[str, float | None]
LAST_ROUNDS = 20
"""The screened rounds that count for the recent acceptance."""
SHORT_TOKENS = 2
"""An output of at most this many words is short."""
LONG_TOKENS = 12
"""An output of at least this many words that occurs twice is a duplicate; a shorter one may be right twice."""
_OPEN_ENDS = (",", ":", "(", "[", "{", "，", "：", "、", "（")
AT_LEAST = {
    "min_tasks": "tasks", "min_acceptance": "recent_acceptance", "min_distinct_2": "distinct_2",
    "min_verb_noun_entropy": "verb_noun_entropy", "min_vendi_score": "vendi_score",
}  # fmt: skip
"""Lower bounds, each with its figure."""
AT_MOST = {
    "max_duplicate_share": "duplicate_share", "max_short_share": "short_share", "max_cut_share": "cut_share",
    "max_compression_ratio": "compression_ratio", "max_top_openings_share": "top_openings_share",
    "max_mean_nearest_rouge_l": "mean_nearest_rouge_l",
}  # fmt: skip
"""Upper bounds, each with its figure."""
KEEP_UP = ("tasks", "verb_noun_entropy", "vendi_score")
"""Figures that grow with a pool: they may not fall by more than `max_drop` from the last good version."""


@dataclass(slots=True)
class _Counts:
    """Counts over the rows. Texts are kept as digests, since there may be a million."""

    rows: int = 0
    generations: int = 0
    """Rows of tasks that are no classification."""
    short: int = 0
    cut: int = 0
    duplicates: int = 0
    seen: set[bytes] = field(default_factory=set)
    tasks: list[str] = field(default_factory=list)


def measure(pool: Reader) -> tuple[dict[str, float | None], list[str]]:
    """(figures by name, ids of the tasks in order) of the rows that would be exported now."""
    counts = _Counts()
    screened = [one for one in pool.rounds() if one.state != "planned"]
    instructions = Instructions()
    for row in pool.rows():
        _count(row, counts)
        if not counts.tasks or counts.tasks[-1] != row.task_id:
            counts.tasks.append(row.task_id)
            instructions.add(row.task_id, row.instruction, row.nearest_score)
    varied = diversity(instructions.pairs()).to_json()
    del varied["instructions"]  # the number of tasks
    return {
        "tasks": len(counts.tasks),
        "rows": counts.rows,
        "duplicate_share": _share(counts.duplicates, counts.rows),
        "short_share": _share(counts.short, counts.generations),
        "cut_share": _share(counts.cut, counts.rows),
        "acceptance": _acceptance(screened),
        "recent_acceptance": _acceptance(screened[-LAST_ROUNDS:]),
        **varied,
    }, counts.tasks


def _acceptance(rounds: Sequence[RoundFigures]) -> float | None:
    """Accepted of screened instructions; None before there is one."""
    accepted = sum(one.accepted for one in rounds)
    return _share(accepted, accepted + sum(sum(one.rejected["instruction"].values()) for one in rounds))


def _count(row: Row, counts: _Counts) -> None:
    output = tokenize(row.instance.output)
    counts.rows += 1
    counts.cut += ends_in_the_middle(row.instance.output)
    if not row.is_classification:
        counts.generations += 1
        counts.short += len(output) <= SHORT_TOKENS
    texts = [tokenize(f"{row.instruction}\n{row.instance.input}")]
    if len(output) >= LONG_TOKENS:
        texts.append(("", *output))
    digests = {hashlib.blake2b("\n".join(text).encode(), digest_size=12).digest() for text in texts}
    counts.duplicates += not digests.isdisjoint(counts.seen)
    counts.seen |= digests


def ends_in_the_middle(output: str) -> bool:
    """Does a text end with a comma, a colon or an open bracket, or inside a block of code?

    The piece at which a model ran out of tokens is not among the rows: it was rejected as `cut_off`.
    """
    return output.rstrip().endswith(_OPEN_ENDS) or output.count("```") % 2 == 1


def _share(part: int, whole: int) -> float | None:
    return _rounded(part / whole) if whole else None


def _rounded(value: float | None) -> float | None:
    return None if value is None else round(value, 4)


def reasons_against(figures: Figures, before: Figures | None, bounds: PublishSection) -> Sequence[str]:
    """The reasons to refuse a version, one line each; `before` are the figures of the last good version."""
    reasons = []
    for word, bounds_of in (("less", AT_LEAST), ("more", AT_MOST)):
        for name, figure in bounds_of.items():
            bound, found = getattr(bounds, name), figures.get(figure)
            if bound is not None and found is not None and (found < bound if word == "less" else found > bound):
                reasons.append(f"{figure} {shown(found)} is {word} than {name} = {shown(bound)}")
    for figure in KEEP_UP:
        found, earlier = figures.get(figure), (before or {}).get(figure)
        if found is None or not earlier or bounds.max_drop is None:
            continue
        if found < earlier * (1 - bounds.max_drop):
            reasons.append(
                f"{figure} fell by {1 - found / earlier:.1%}, from {shown(earlier)} to {shown(found)}: "
                f"more than max_drop = {shown(bounds.max_drop)}"
            )
    return reasons


def shown(value: float | None) -> str:
    """A figure for people."""
    if value is None:
        return "-"
    return f"{value:,}" if isinstance(value, int) else f"{value:,.4f}".rstrip("0").rstrip(".")
