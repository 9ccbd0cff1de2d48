"""The figures of a version: functions of the exported rows and of what led to them."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass, field

from selfinstruct.diversity.figures import diversity
from selfinstruct.diversity.scored import evenly
from selfinstruct.novelty.tokens import tokenize
from selfinstruct.store.ledger import acceptance, classifications
from selfinstruct.store.reading import Connection
from selfinstruct.store.training import Row, rows

LAST_ROUNDS = 20
"""Judged rounds of which the recent acceptance is reckoned."""
SHORT_TOKENS = 2
"""An output of at most so many words is short."""
LONG_TOKENS = 12
"""An output of at least so many words that stands twice is a duplicate; shorter ones may well be right twice."""

_OPEN_ENDS = (",", ":", "(", "[", "{", "，", "：", "、", "（")


@dataclass(slots=True)
class _Counts:
    """What is counted while the rows go by; texts are kept as digests, since there may be a million."""

    rows: int = 0
    generations: int = 0
    """Rows of tasks that are no classification."""
    short: int = 0
    cut: int = 0
    duplicates: int = 0
    seen: set[bytes] = field(default_factory=set)
    tasks: list[str] = field(default_factory=list)


def measure(connection: Connection) -> tuple[dict[str, float | None], list[str]]:
    """(figures by name, ids of the tasks in order) of what would be exported now."""
    counts = _Counts()
    varied = diversity(evenly(_instructions(connection, counts)))
    figures: dict[str, float | None] = {
        "tasks": len(counts.tasks),
        "rows": counts.rows,
        "duplicate_share": _share(counts.duplicates, counts.rows),
        "short_share": _share(counts.short, counts.generations),
        "cut_share": _share(counts.cut, counts.rows),
        "acceptance": _rounded(acceptance(connection)),
        "recent_acceptance": _rounded(acceptance(connection, LAST_ROUNDS)),
        **varied.to_json(),
    }
    del figures["instructions"]  # the number of tasks
    return figures, counts.tasks


def _instructions(connection: Connection, counts: _Counts) -> Iterator[tuple[str, str, float | None]]:
    """Each task's id, instruction and nearest score; its rows are counted on the way."""
    classified = classifications(connection)
    for row in rows(connection):
        _count(row, counts, is_classification=row.task_id in classified)
        if not counts.tasks or counts.tasks[-1] != row.task_id:
            counts.tasks.append(row.task_id)
            yield row.task_id, row.instruction, row.nearest_score


def _count(row: Row, counts: _Counts, *, is_classification: bool) -> None:
    output = tokenize(row.instance.output)
    counts.rows += 1
    counts.cut += ends_in_the_middle(row.instance.output)
    if not is_classification:
        counts.generations += 1
        counts.short += len(output) <= SHORT_TOKENS
    texts = [tokenize(f"{row.instruction}\n{row.instance.input}")]
    if len(output) >= LONG_TOKENS:
        texts.append(("", *output))
    digests = {hashlib.blake2b("\n".join(text).encode(), digest_size=12).digest() for text in texts}
    counts.duplicates += not digests.isdisjoint(counts.seen)
    counts.seen |= digests


def ends_in_the_middle(output: str) -> bool:
    """Does a text end with a comma, a colon or an open bracket, or in the middle of a block of code?

    What a model broke off for want of tokens is no row to begin with: the piece it broke off is rejected as `cut_off`.
    """
    return output.rstrip().endswith(_OPEN_ENDS) or output.count("```") % 2 == 1


def _share(part: int, whole: int) -> float | None:
    return _rounded(part / whole) if whole else None


def _rounded(value: float | None) -> float | None:
    return None if value is None else round(value, 4)
