"""Which rows are wanted, in which order: they are read once, and kept as far as they are searched and ordered.

That takes a few kilobytes of memory a row, so that a piece of text is found among 50,000 rows while somebody types.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, Literal, NamedTuple

from pydantic import BaseModel, ConfigDict

from selfinstruct.pool.reader import Reader, snapshot
from selfinstruct.pool.records import Row, StoredSample
from selfinstruct.review.doubt import Doubt, Lengths, doubt
from selfinstruct.review.labels import Labels, RowPlace

FEW = 1000
"""Tasks that were changed since are read one by one; of more, all rows are read again."""


class Wanted(BaseModel):
    """Which rows are shown, and in what order; an empty text takes all."""

    model_config = ConfigDict(extra="forbid")

    show: Literal["all", "unlabelled", "marked", "removed", "edited", "unranked"] = "all"
    text: str = ""
    """A piece of the row's texts."""
    reason: str = ""
    """A piece of why it was removed, of what the judge said, or of why its conversation ended."""
    source: str = ""
    score: int | None = None
    """The judge's lowest score is at most this."""
    order: Literal["pool", "doubt"] = "pool"


class _Known(NamedTuple):
    """A row as far as it is searched and ordered; texts are without case."""

    text: str
    ended: str
    judged: str
    source: str
    score: int | None
    """The judge's lowest one."""
    is_edited: bool
    is_unranked: bool
    doubt: Doubt
    without_verdict: Doubt
    """The doubt of somebody who may not see what the judge said."""


class Listing:
    """The rows of these places; `is_open` tells whether the reader may see what others said of one."""

    def __init__(
        self, folder: Path, rows: Mapping[RowPlace, int], labels: Labels, is_open: Callable[[RowPlace], bool]
    ) -> None:
        self._folder, self._indices, self._places = folder, rows, [*rows]
        self._labels, self._is_open = labels, is_open
        self._lock = threading.Lock()
        self._known: list[_Known] = []
        self._lengths: Lengths | None = None
        self._event = -1
        """The last event that is in what is known."""

    def read(self) -> None:
        """Read the rows now, so that nobody has to wait for that later."""
        with snapshot(self._folder) as pool:
            self._catch_up(pool)

    def of(self, wanted: Wanted) -> dict[str, Any]:
        """The indices of these rows in this order; where they are ordered by doubt, also why each is doubtful."""
        if wanted == Wanted():
            return {"rows": [*range(len(self._places))], "why": []}
        with snapshot(self._folder) as pool:
            known = self._catch_up(pool)
            gone = pool.removed_rows() if wanted.reason or wanted.show == "removed" else {}
        opened = [self._is_open(place) for place in self._places]
        found: Iterable[int] = range(len(self._places))
        for fits in self._tests(wanted, known, opened, gone):
            found = filter(fits, found)
        if wanted.order == "pool":
            return {"rows": [*found], "why": []}
        doubts = [(known[one].doubt if opened[one] else known[one].without_verdict, one) for one in found]
        doubts.sort(key=lambda one: (-one[0].points, one[1]))
        return {"rows": [one for _, one in doubts], "why": ["; ".join(one.why) for one, _ in doubts]}

    def _tests(
        self, wanted: Wanted, known: Sequence[_Known], opened: Sequence[bool], gone: Mapping[tuple[str, int], str]
    ) -> list[Callable[[int], bool]]:
        """What tells of an index whether its row is wanted, for each thing that is asked for."""
        places, labels = self._places, self._labels
        shown: dict[str, Callable[[int], bool]] = {
            "unlabelled": lambda one: labels.of(places[one]) is None,
            "marked": lambda one: labels.is_marked(places[one]),
            "removed": lambda one: opened[one] and places[one] in gone,
            "edited": lambda one: known[one].is_edited,
            "unranked": lambda one: known[one].is_unranked,
        }
        tests = [shown[wanted.show]] if wanted.show in shown else []
        text, reason, most = wanted.text.casefold(), wanted.reason.casefold(), wanted.score
        if wanted.source:
            tests.append(lambda one: known[one].source == wanted.source)
        if most is not None:
            tests.append(lambda one: opened[one] and (known[one].score or most + 1) <= most)
        if text:
            tests.append(lambda one: text in known[one].text)
        if reason:
            tests.append(
                lambda one: (
                    reason in known[one].ended
                    or (opened[one] and (reason in known[one].judged or reason in gone.get(places[one], "").casefold()))
                )
            )
        return tests

    def _catch_up(self, pool: Reader) -> list[_Known]:
        """The rows as this reader of the pool sees them."""
        with self._lock:
            event = pool.last_event()
            changed = pool.changed_tasks(self._event) if self._known else []
            if not self._known or len(changed) > FEW:
                rows = self._rows(pool.rows(sampled=True, with_removed=True))
                self._lengths = lengths = Lengths.of([row for _, row in rows])
                self._known = [_known(row, lengths) for _, row in sorted(rows, key=lambda one: one[0])]
            elif self._lengths is not None:
                for task in changed:
                    for place, row in self._rows(pool.rows(sampled=True, with_removed=True, task_id=task)):
                        self._known[place] = _known(row, self._lengths)
            self._event = event
            return self._known

    def _rows(self, rows: Iterable[Row]) -> list[tuple[int, Row]]:
        found = ((self._indices.get(RowPlace(row.task_id, row.number)), row) for row in rows)
        return [(index, row) for index, row in found if index is not None]


def _known(row: Row, lengths: Lengths) -> _Known:
    said = row.verdict
    texts = [row.instruction, row.input, row.output, *(text for one in row.turns for text in (one.user, one.assistant))]
    judged = [said.outcome, said.valid_reason, said.input_reason, said.output_reason] if said else []
    return _Known(
        "\n".join(texts).casefold(), row.ended.casefold(), "\n".join(judged).casefold(), row.source or "",
        min((one for one in row.scores if one is not None), default=None) if said else None,
        row.is_edited, any(one.is_preferred is None for one in to_rank(row)),
        doubt(row, lengths, with_verdict=True), doubt(row, lengths, with_verdict=False),
    )  # fmt: skip


def to_rank(row: Row) -> list[StoredSample]:
    """The other answers that can be compared with the output, each text once."""
    found: dict[str, StoredSample] = {}
    for one in row.samples:
        if one.number is not None:
            found.setdefault(one.output.strip(), one)
    return [one for text, one in found.items() if text not in {"", row.output.strip()}]
