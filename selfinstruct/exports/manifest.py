"""The figures of an export, for its manifest and its card."""

from __future__ import annotations

import hashlib
import platform
from collections import Counter
from contextlib import suppress
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import selfinstruct
from selfinstruct.diversity.figures import diversity, evenly
from selfinstruct.pool.records import Row

MOST_COMPARED = 10_000
"""Instructions that the diversity is computed from; of more, evenly spaced ones are taken."""


class Spaced:
    """Evenly spaced items of a stream: all of a short one, else between half of `most` and `most`."""

    def __init__(self, most: int = MOST_COMPARED) -> None:
        self.items: list[tuple[str, str, float | None]] = []
        self._most = most
        self._step = 1
        self._seen = 0

    def add(self, item: tuple[str, str, float | None]) -> None:
        """Take the next item of the stream, or skip it."""
        if self._seen % self._step == 0:
            if len(self.items) == self._most:
                del self.items[1::2]
                self._step *= 2
            if self._seen % self._step == 0:
                self.items.append(item)
        self._seen += 1


class Figures:
    """Counts of the rows that were written."""

    def __init__(self) -> None:
        self.rows: Counter[str | None] = Counter()
        """By side of the split; None without a split."""
        self.tasks = 0
        self.without_input = 0
        self.origins: Counter[str] = Counter()
        self.instruction_models: Counter[str] = Counter()
        self.output_models: Counter[str] = Counter()
        self._characters = [0, 0, 0]
        self._last_task = ""
        self._instructions = Spaced()

    def count(self, row: Row, split: str | None) -> None:
        """Count a row; the rows of a task follow each other."""
        self.rows[split] += 1
        if row.task_id != self._last_task:
            self._last_task = row.task_id
            self.tasks += 1
            self._instructions.add((row.task_id, row.instruction, row.nearest_score))
            self.origins[row.origin] += 1
            if row.model is not None:
                self.instruction_models[row.model] += 1
        if row.output_model is not None:
            self.output_models[row.output_model] += 1
        self.without_input += not row.instance.input
        for place, text in enumerate((row.instruction, row.instance.input, row.instance.output)):
            self._characters[place] += len(text)

    def to_json(self) -> dict[str, Any]:
        """The figures as in the manifest. Means are over rows; that of the input over rows with an input."""
        rows = self.rows.total()
        divisors = (rows, rows - self.without_input, rows)
        means = [round(total / max(1, by), 4) for total, by in zip(self._characters, divisors, strict=True)]
        splits = {name: count for name, count in self.rows.items() if name is not None}
        return {
            "rows": rows,
            **({"rows_by_split": splits} if splits else {}),
            "tasks": self.tasks,
            "tasks_by_origin": dict(sorted(self.origins.items())),
            "rows_without_input": self.without_input,
            "mean_characters": dict(zip(("instruction", "input", "output"), means, strict=True)),
            "tasks_by_instruction_model": dict(sorted(self.instruction_models.items())),
            "rows_by_output_model": dict(sorted(self.output_models.items())),
            "diversity": diversity(evenly(self._instructions.items)).to_json(),
        }


def describe(path: Path) -> dict[str, Any]:
    """Size and checksum of a file."""
    with path.open("rb") as file:
        checksum = hashlib.file_digest(file, "sha256").hexdigest()
    return {"bytes": path.stat().st_size, "sha256": checksum}


def software(*packages: str) -> dict[str, str]:
    """Versions of the software that the bytes of an export depend on."""
    found = {"selfinstruct": selfinstruct.__version__, "python": platform.python_version()}
    for name in packages:
        with suppress(PackageNotFoundError):
            found[name] = version(name)
    return dict(sorted(found.items()))
