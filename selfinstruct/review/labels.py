"""What a reader said of rows, appended to files beside the pool."""

from __future__ import annotations

import contextlib
import json
import os
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Literal

from selfinstruct.errors import PoolError
from selfinstruct.store.rows import Candidate, Place

LABELS, MARKS = "labels.jsonl", "marks.jsonl"
Label = Literal["keep", "remove"]


class Labels:
    """The labels and marks of a pool's rows. Of several lines about one row the last counts; none is ever changed."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._lock = threading.Lock()
        self._labels: dict[Place, Label] = {
            place: line["label"] for place, line in _lines(folder / LABELS) if line.get("label") in {"keep", "remove"}
        }
        self._marked = {place: line.get("marked") is True for place, line in _lines(folder / MARKS)}

    def of(self, place: Place) -> Label | None:
        """What was said of a row last; None if nothing was."""
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
        """Say of a row that it is to stay or to go, and which question it fails.

        `candidate` names the row wherever it stands: its number within the task is another one after a replay.
        """
        request, position = candidate
        about = {"task_id": place.task_id, "instance": place.instance, "request_id": request}
        more = {"question": question} if question else {}
        with self._lock:
            self._append(LABELS, {**about, "request_position": position, "label": label, **more})
            self._labels[place] = label

    def mark(self, place: Place, *, marked: bool) -> None:
        """Mark a row to come back to, or take the mark away."""
        with self._lock:
            self._append(MARKS, {"task_id": place.task_id, "instance": place.instance, "marked": marked})
            self._marked[place] = marked

    def _append(self, name: str, line: dict[str, Any]) -> None:
        path = self._folder / name
        try:
            with path.open("ab+") as file:
                whole = file.tell() == 0 or _ends_with_newline(file.name)
                file.write(b"" if whole else b"\n")
                file.write(json.dumps(line).encode() + b"\n")
                file.flush()
                os.fsync(file.fileno())
        except OSError as error:
            raise PoolError(f"{path}: cannot be written ({error.strerror})") from error


def _ends_with_newline(name: str) -> bool:
    with Path(name).open("rb") as file:
        file.seek(-1, os.SEEK_END)
        return file.read(1) == b"\n"


def _lines(path: Path) -> Iterator[tuple[Place, dict[str, Any]]]:
    """The lines of a file that speak of a row; others may be somebody else's."""
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
