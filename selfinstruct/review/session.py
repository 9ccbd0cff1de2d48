"""What the page asks for: a row, the next one of a kind, and what was decided about one."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict

from selfinstruct.growth.journal import now
from selfinstruct.review.labels import Labels
from selfinstruct.store.removal import Selection, change
from selfinstruct.store.rows import Place, candidate_at, removed_tasks, row_at

Show = Literal["all", "unlabelled", "marked", "removed"]


class Decision(BaseModel):
    """What the reader decided about a row."""

    model_config = ConfigDict(extra="forbid")

    task_id: str
    instance: int
    decision: Literal["keep", "remove", "mark", "unmark"]
    reason: str = ""
    question: Literal["valid", "input", "output"] | None = None
    """Which question of the judge's the row fails."""


@dataclass(frozen=True, slots=True)
class Session:
    """The rows of a pool that are read, in their order, and what was said of them."""

    folder: Path
    rows: tuple[Place, ...]
    labels: Labels
    blind: bool
    """What the judge said of a row is shown once the row has a label."""

    def row(self, index: int) -> dict[str, Any] | None:
        """The row at this index, for the page; None where there is none."""
        if not 0 <= index < len(self.rows):
            return None
        place = self.rows[index]
        label = self.labels.of(place)
        found = row_at(self.folder, place, with_verdict=not self.blind or label is not None)
        labelled = sum(self.labels.of(one) is not None for one in self.rows)
        said = {"label": label, "marked": self.labels.is_marked(place)}
        return {**found, **said, "index": index, "total": len(self.rows), "labelled": labelled}

    def find(self, start: int, show: Show, *, forward: bool) -> int | None:
        """The index of the first such row from `start` on, forward or backward; None if there is none."""
        gone = removed_tasks(self.folder) if show == "removed" else set()
        tests: dict[Show, Callable[[Place], bool]] = {
            "all": lambda _: True,
            "unlabelled": lambda place: self.labels.of(place) is None,
            "marked": self.labels.is_marked,
            "removed": lambda place: place.task_id in gone,
        }
        indices = range(max(start, 0), len(self.rows)) if forward else range(min(start, len(self.rows) - 1), -1, -1)
        return next((index for index in indices if tests[show](self.rows[index])), None)

    def decide(self, said: Decision) -> dict[str, bool] | None:
        """Note a decision, and remove the row's task or put it back; None where no such row is read here.

        `stays_out` says that the task of a row to keep stays removed, for another row of it that is to go.
        """
        place = Place(said.task_id, said.instance)
        if place not in self.rows:
            return None
        reason, task = said.reason.strip(), Selection((place.task_id,))
        stays_out = said.decision == "keep" and self.labels.is_task_to_go(place)
        if said.decision == "keep":
            if not stays_out:
                change(self.folder, "restore", task, reason or "kept in review", now())
            self.labels.label(place, candidate_at(self.folder, place), "keep", None)
        elif said.decision == "remove":
            change(self.folder, "remove", task, reason or "removed in review", now())
            self.labels.label(place, candidate_at(self.folder, place), "remove", said.question)
        else:
            self.labels.mark(place, marked=said.decision == "mark")
        return {"noted": True, "stays_out": stays_out}
