"""What readers said of rows: lines that are appended to files in the pool's folder."""

from __future__ import annotations

import contextlib
import json
import os
import threading
from collections import defaultdict
from collections.abc import Hashable, Iterator
from pathlib import Path
from typing import Any, Literal, NamedTuple

from selfinstruct.errors import PoolError

LABELS, MARKS = "labels.jsonl", "marks.jsonl"
KeepOrRemove = Literal["keep", "remove"]


class RowPlace(NamedTuple):
    """Where a row is."""

    task_id: str
    instance: int

    @property
    def name(self) -> str:
        """TASK/NUMBER."""
        return f"{self.task_id}/{self.instance}"


class Said(NamedTuple):
    """The label of a row, with the question of the judge that it fails."""

    label: KeepOrRemove
    question: str | None = None


class Labels:
    """One reader's labels and marks of a pool's rows. The last line about a row counts; no line is ever changed."""

    def __init__(self, folder: Path, reader: str = "") -> None:
        self._folder, self.reader = folder, reader
        self._lock = threading.Lock()
        self._labels: dict[RowPlace, Said | None] = {}
        for place, line in _lines(folder / LABELS):
            if line.get("by", "") == reader and line.get("label", "") in {"keep", "remove", None}:
                self._labels[place] = Said(line["label"], line.get("question")) if line["label"] else None
        self._marked = {
            place: line.get("marked") is True for place, line in _lines(folder / MARKS) if line.get("by", "") == reader
        }

    def of(self, place: RowPlace) -> Said | None:
        """What was said of a row; None if nothing was."""
        return self._labels.get(place)

    def places(self) -> list[RowPlace]:
        """The rows that are labelled."""
        return [place for place, said in [*self._labels.items()] if said is not None]

    def is_marked(self, place: RowPlace) -> bool:
        """Is the row marked?"""
        return self._marked.get(place, False)

    def label(self, place: RowPlace, candidate: tuple[str | None, int | None], said: Said | None) -> None:
        """Label a row, or take its label back.

        `candidate`, the request that brought the row and the place in its answer, names the row also after a replay,
        which may change its number within the task.
        """
        request, position = candidate
        line = {
            "task_id": place.task_id, "instance": place.instance, "request_id": request, "request_position": position,
            "label": said and said.label, **({"question": said.question} if said and said.question else {}),
        }  # fmt: skip
        with self._lock:
            self._append(LABELS, line)
            self._labels[place] = said

    def mark(self, place: RowPlace, *, marked: bool) -> None:
        """Mark a row to come back to, or remove the mark."""
        with self._lock:
            self._append(MARKS, {"task_id": place.task_id, "instance": place.instance, "marked": marked})
            self._marked[place] = marked

    def _append(self, name: str, line: dict[str, Any]) -> None:
        path = self._folder / name
        line |= {"by": self.reader} if self.reader else {}
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


def kept_by_reader(folder: Path) -> dict[str, dict[Hashable, bool]]:
    """What each reader of a pool keeps, by name and row."""
    found: dict[str, dict[Hashable, bool]] = defaultdict(dict)
    for place, line in _lines(folder / LABELS):
        mine = found[str(line.get("by", ""))]
        mine.pop(place, None)
        if line.get("label") in {"keep", "remove"}:
            mine[place] = line["label"] == "keep"
    return found


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
