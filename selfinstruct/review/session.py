"""The rows that are reviewed, and what a reader said of them, which is appended to files in the pool."""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import threading
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal, NamedTuple

from pydantic import BaseModel, ConfigDict

from selfinstruct.errors import PoolError
from selfinstruct.pool.condition import matching
from selfinstruct.pool.edits import Selection, change
from selfinstruct.pool.journal import now
from selfinstruct.pool.reader import Reader, snapshot
from selfinstruct.pool.records import StoredTask
from selfinstruct.similarity.common import mark_common
from selfinstruct.types import QUESTIONS

LABELS, MARKS = "labels.jsonl", "marks.jsonl"
Label = Literal["keep", "remove"]
Show = Literal["all", "unlabelled", "marked", "removed"]


class RowPlace(NamedTuple):
    """Where a row is."""

    task_id: str
    instance: int


def places(folder: Path, condition: str | None = None, sample: int | None = None) -> tuple[RowPlace, ...]:
    """The rows of generated tasks in the order of the pool, those of removed tasks too.

    With a condition only those of the tasks for which it holds; with a sample this many of them, the same ones each
    time, as if drawn at random.

    Raises:
        ConfigError: the condition cannot be used.
        PoolError: there is no pool.
    """
    wanted = None if condition is None else set(matching(folder, condition, "origin = 'generated'"))
    with snapshot(folder) as pool:
        tasks = (one for one in pool.tasks("t.origin = 'generated'") if wanted is None or one.id in wanted)
        found = [RowPlace(task.id, one.number) for task in tasks for one in task.instances]
    if sample is None or sample >= len(found):
        return tuple(found)
    drawn = set(sorted(found, key=lambda place: hashlib.sha256(f"{place[0]}/{place[1]}".encode()).digest())[:sample])
    return tuple(place for place in found if place in drawn)


class Labels:
    """The labels and marks of a pool's rows. The last line about a row counts; no line is ever changed."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._lock = threading.Lock()
        self._labels: dict[RowPlace, Label] = {
            place: line["label"] for place, line in _lines(folder / LABELS) if line.get("label") in {"keep", "remove"}
        }
        self._marked = {place: line.get("marked") is True for place, line in _lines(folder / MARKS)}

    def of(self, place: RowPlace) -> Label | None:
        """The label of a row; None if it has none."""
        return self._labels.get(place)

    def is_marked(self, place: RowPlace) -> bool:
        """Is the row marked?"""
        return self._marked.get(place, False)

    def is_task_to_go(self, place: RowPlace) -> bool:
        """Has another row of this row's task the label "remove"?"""
        with self._lock:
            return any(
                label == "remove" and one.task_id == place.task_id and one != place
                for one, label in self._labels.items()
            )

    def label(
        self, place: RowPlace, candidate: tuple[str | None, int | None], label: Label, question: str | None
    ) -> None:
        """Label a row, with the question of the judge that it fails.

        `candidate`, the request that brought the row and the place in its answer, names the row also after a replay,
        which may change its number within the task.
        """
        request, position = candidate
        line = {
            "task_id": place.task_id, "instance": place.instance, "request_id": request, "request_position": position,
            "label": label, **({"question": question} if question else {}),
        }  # fmt: skip
        with self._lock:
            self._append(LABELS, line)
            self._labels[place] = label

    def mark(self, place: RowPlace, *, marked: bool) -> None:
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


def _lines(path: Path) -> Iterator[tuple[RowPlace, dict[str, Any]]]:
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
                    yield RowPlace(said["task_id"], instance), said


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
    rows: tuple[RowPlace, ...]
    labels: Labels
    blind: bool
    """Show the judge's verdict on a row only after the row has a label."""

    def row(self, index: int) -> dict[str, Any] | None:
        """The row at this index, for the page; None if there is none."""
        if not 0 <= index < len(self.rows):
            return None
        place = self.rows[index]
        label = self.labels.of(place)
        with snapshot(self.folder) as pool:
            found = _about(pool, place, with_verdict=not self.blind or label is not None)
        labelled = sum(self.labels.of(one) is not None for one in self.rows)
        said = {"label": label, "marked": self.labels.is_marked(place)}
        return {**found, **said, "index": index, "total": len(self.rows), "labelled": labelled}

    def find(self, start: int, show: Show, *, forward: bool) -> int | None:
        """The index of the first such row from `start` on, forward or backward; None if there is none."""
        with snapshot(self.folder) as pool:
            gone = pool.removed()
        tests: dict[Show, Callable[[RowPlace], bool]] = {
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
        place = RowPlace(said.task_id, said.instance)
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
        elif not stays_out and self._is_removed(place):
            change(self.folder, "restore", task, reason or "kept in review", now())
        question = None if is_kept else said.question
        with snapshot(self.folder) as pool:
            row = _task(pool, place.task_id).instances[place.instance]
        candidate = row.request_id, row.request_position
        self.labels.label(place, candidate, "keep" if is_kept else "remove", question)
        return {"noted": True, "stays_out": stays_out}

    def _is_removed(self, place: RowPlace) -> bool:
        with snapshot(self.folder) as pool:
            return place.task_id in pool.removed()


def _about(pool: Reader, place: RowPlace, *, with_verdict: bool) -> dict[str, Any]:
    """A row with its lineage, its nearest neighbour and what the judge said of it; `verdict` is None without one."""
    task = _task(pool, place.task_id)
    instance, events = task.instances[place.instance], pool.events_of(task.id)
    removals = [one for one in events if one.kind in {"remove", "restore"}]
    said = instance.verdict if with_verdict else None
    return {
        "task_id": place.task_id,
        "instance": place.instance,
        "instances": len(task.instances),
        "instruction": task.instruction,
        "input": instance.input,
        "output": instance.output,
        "turns": [asdict(turn) for turn in instance.turns],
        "is_classification": bool(task.is_classification),
        "round": task.round,
        "removed": removals[-1].reason if removals and removals[-1].kind == "remove" else None,
        "shown": [_shown(_task(pool, one, as_accepted=True)) for one in json.loads(task.parents)],
        "nearest": _nearest(pool, task),
        "verdict": said and {
            "outcome": said.outcome,
            **{f"{name}_{what}": getattr(said, name + suffix) for name in QUESTIONS for what, suffix in _SAID.items()},
        },
    }  # fmt: skip


_SAID = {"score": "", "reason": "_reason"}
"""What is shown of each question, and how its name ends in a verdict."""


def _task(pool: Reader, identity: str, *, as_accepted: bool = False) -> StoredTask:
    (task,) = pool.tasks("t.id = ?", (identity,), as_accepted=as_accepted)
    return task


def _shown(task: StoredTask) -> dict[str, Any]:
    return {"id": task.id, "origin": task.origin, "instruction": task.instruction}


def _nearest(pool: Reader, task: StoredTask) -> dict[str, Any] | None:
    """The nearest task, with the words that both have in common between ‹ and ›."""
    settings = pool.settings(task.round)
    if task.nearest_task is None or task.nearest_score is None or settings is None:
        return None
    other = _task(pool, task.nearest_task, as_accepted=True)
    _, marked = mark_common(task.instruction, other.instruction, settings.filters.tokenizer)
    return {**_shown(other), "marked": marked, "score": round(task.nearest_score, 4)}
