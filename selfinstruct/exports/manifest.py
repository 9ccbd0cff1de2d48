"""The figures of an export, for its manifest and its card."""

from __future__ import annotations

import hashlib
import platform
from collections import Counter
from collections.abc import Sequence
from contextlib import suppress
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import selfinstruct
from selfinstruct.checks.instruction_language import SAMPLE, likely_language
from selfinstruct.checks.output_language import plain_language
from selfinstruct.diversity.figures import Instructions, Least, diversity
from selfinstruct.errors import ConfigError
from selfinstruct.pool.records import Row

LEAST_SHARE = 0.1
"""The share of the rows whose language is told from which on a language is named."""
_BEGINNING = 1000
"""Characters of a row that its language is told by."""


class Figures:
    """Counts of the rows that were written."""

    def __init__(self) -> None:
        self.rows: Counter[str | None] = Counter()
        """By side of the split; None without a split."""
        self.tasks = 0
        self.without_input = 0
        self.with_system = 0
        self.with_turns = 0
        self.edited = 0
        self.origins: Counter[str] = Counter()
        self.instruction_models: Counter[str] = Counter()
        self.output_models: Counter[str] = Counter()
        self._of_instructions = self._of_inputs = self._of_outputs = 0
        """Characters."""
        self._last_task = ""
        self._instructions = Instructions()
        self._sample: Least[Row] = Least(SAMPLE)

    def count(self, row: Row, split: str | None) -> None:
        """Count a row; the rows of a task follow each other."""
        self.rows[split] += 1
        if row.task_id != self._last_task:
            self._last_task = row.task_id
            self.tasks += 1
            self._instructions.add(row.task_id, row.instruction, row.nearest_score)
            self.origins[row.origin] += 1
            if row.model is not None:
                self.instruction_models[row.model] += 1
        if row.output_model is not None:
            self.output_models[row.output_model] += 1
        given = len(row.instance.input)
        self.without_input += not given
        self.with_system += bool(row.system)
        self.with_turns += bool(row.turns)
        self.edited += row.is_edited
        self._sample.add(row.id, row)
        self._of_instructions += len(row.instruction)
        self._of_inputs += given
        self._of_outputs += len(row.instance.output)

    def to_json(self) -> dict[str, Any]:
        """The figures as in the manifest. Means are over rows; that of the input over rows with an input."""
        rows = self.rows.total()
        divisors = (rows, rows - self.without_input, rows)
        totals = (self._of_instructions, self._of_inputs, self._of_outputs)
        means = [round(total / max(1, by), 4) for total, by in zip(totals, divisors, strict=True)]
        splits = {name: count for name, count in self.rows.items() if name is not None}
        return {
            "rows": rows,
            **({"rows_by_split": splits} if splits else {}),
            "tasks": self.tasks,
            "tasks_by_origin": dict(sorted(self.origins.items())),
            "rows_without_input": self.without_input,
            "rows_with_system": self.with_system,
            "rows_with_turns": self.with_turns,
            "rows_edited": self.edited,
            "languages": languages_of_rows(
                [f"{row.instruction}\n{row.input}\n{row.output}"[:_BEGINNING] for row in self._sample.items()]
            ),
            "mean_characters": dict(zip(("instruction", "input", "output"), means, strict=True)),
            "tasks_by_instruction_model": dict(sorted(self.instruction_models.items())),
            "rows_by_output_model": dict(sorted(self.output_models.items())),
            "diversity": diversity(self._instructions.pairs()).to_json(),
        }


def languages_of_rows(texts: Sequence[str]) -> list[str]:
    """The codes (ISO 639-1) of the languages that a tenth of these texts are in, and two or more, in order.

    Plain words and scripts tell most of them; where they do not, the detector of the extra `languages` does, if it is
    there. None is named where too few can be told.
    """
    found = Counter(filter(None, map(plain_language, texts)))
    if found.total() * 2 < len(texts):
        with suppress(ConfigError):  # the detector is not installed
            found = Counter(filter(None, map(likely_language, texts)))
    if found.total() * 2 < len(texts):
        return []
    return sorted(code for code, count in found.items() if count >= max(2, LEAST_SHARE * found.total()))


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
