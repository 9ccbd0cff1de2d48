"""The rows that are reviewed, and what a reader said of them, which is appended to files in the pool."""

from __future__ import annotations

import contextlib
import json
import os
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict

from selfinstruct.errors import PoolError
from selfinstruct.pool.journal import now
from selfinstruct.pool.places import Candidate, Place, candidate_at, removed_tasks, row_at
from selfinstruct.pool.removal import Selection, change

LABELS, MARKS = "labels.jsonl", "marks.jsonl"
Label = Literal["keep", "remove"]
Show = Literal["all", "unlabelled", "marked", "removed"]


class Labels:
    """The labels and marks of a pool's rows. The last line about a row counts; no line is ever changed."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._lock = threading.Lock()
        self._labels: dict[Place, Label] = {
            place: line["label"] for place, line in _lines(folder / LABELS) if line.get("label") in {"keep", "remove"}
        }
        self._marked = {place: line.get("marked") is True for place, line in _lines(folder / MARKS)}

    def of(self, place: Place) -> Label | None:
        """The label of a row; None if it has none."""
        return self._labels.get(place)

    def is_marked(self, place: Place) -> bool:
        """Is the row marked?"""
        return self._marked.get(place, False)

    def is_task_to_go(self, place: Place) -> bool:
        """Has another row of this row's task the label "remove"?"""
        with self._lock:
            return any(
                label == "remove" and one.task_id == place.task_id and one != place
                for one, label in self._labels.items()
            )

    def label(self, place: Place, candidate: Candidate, label: Label, question: str | None) -> None:
        """Label a row, with the question of the judge that it fails.

        `candidate` names the row also after a replay, which may change its number within the task.
        """
        request, position = candidate
        line = {
            "task_id": place.task_id, "instance": place.instance, "request_id": request, "request_position": position,
            "label": label, **({"question": question} if question else {}),
        }  # fmt: skip
        with self._lock:
            self._append(LABELS, line)
            self._labels[place] = label

    def mark(self, place: Place, *, marked: bool) -> None:
        """Mark a row to come back to, or remove the mark."""
        with self._lock:
            self._append(MARKS, {"task_id": place.task_id, "instance": place.instance, "marked": marked})
            self._marked[place] = marked

    def _append(self, name: str, line: dict[str, Any]) -> None:
        path = self._folder / name
        try:
            with path.open("ab+") as file:
                if file.tell():
                    file.seek(-1, os.SEEK_END)
                    if file.read(1) != b"\n":
                        file.write(b"\n")
                file.write(json.dumps(line).encode() + b"\n")
                file.flush()
                os.fsync(file.fileno())
        except OSError as error:
            raise PoolError(f"{path}: cannot be written ({error.strerror})") from error


def _lines(path: Path) -> Iterator[tuple[Place, dict[str, Any]]]:
    """The lines of a file that are about a row; other lines are ignored."""
    try:
        text = path.read_text(encoding="utf-8", errors="replace")
    except FileNotFoundError:
        return
    except OSError as error:
        raise PoolError(f"{path}: cannot be read ({error.strerror})") from error
    for line in text.splitlines():
        with contextlib.suppress(ValueError, RecursionError):
            said = json.loads(line)
            if isinstance(said, dict) and isinstance(said.get("task_id"), str):
                instance = said.get("instance", 0)
                if isinstance(instance, int):
                    yield Place(said["task_id"], instance), said


class Decision(BaseModel):
    """A reader's decision about a row."""

    model_config = ConfigDict(extra="forbid")

    task_id: str
    instance: int
    decision: Literal["keep", "remove", "mark", "unmark"]
    reason: str = ""
    question: Literal["valid", "input", "output"] | None = None
    """The question of the judge that the row fails."""


@dataclass(frozen=True, slots=True)
class Session:
    """The rows of a pool that are reviewed, in order, and their labels."""

    folder: Path
    rows: tuple[Place, ...]
    labels: Labels
    blind: bool
    """Show the judge's verdict on a row only after the row has a label."""

    def row(self, index: int) -> dict[str, Any] | None:
        """The row at this index, for the page; None if there is none."""
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
        """Store a decision, and remove or restore the row's task; None if the row is not reviewed here.

        `stays_out` says that the task of a row to keep stays removed, because another of its rows is to be removed.
        """
        place = Place(said.task_id, said.instance)
        if place not in self.rows:
            return None
        if said.decision in {"mark", "unmark"}:
            self.labels.mark(place, marked=said.decision == "mark")
            return {"noted": True, "stays_out": False}
        reason, task = said.reason.strip(), Selection((place.task_id,))
        is_kept = said.decision == "keep"
        stays_out = is_kept and self.labels.is_task_to_go(place)
        if not is_kept:
            change(self.folder, "remove", task, reason or "removed in review", now())
        elif not stays_out:
            change(self.folder, "restore", task, reason or "kept in review", now())
        question = None if is_kept else said.question
        self.labels.label(place, candidate_at(self.folder, place), "keep" if is_kept else "remove", question)
        return {"noted": True, "stays_out": stays_out}
