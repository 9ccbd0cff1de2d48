"""Everything wrong or doubtful in a seed file, and what it holds."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import fmean

import numpy as np

from selfinstruct.checks.instruction_language import languages_of
from selfinstruct.errors import ConfigError
from selfinstruct.seeds.likeness import Pairs, pair_blocks
from selfinstruct.seeds.reading import fill_sheet
from selfinstruct.seeds.rows import Place, Row, SeedFault, Severity
from selfinstruct.similarity.tokens import tokenize
from selfinstruct.types import Task

MAX_PAIRS = 10_000
"""Near-duplicates that a report names. A file of copies has millions, which are only counted."""


@dataclass(frozen=True, slots=True)
class NearDuplicate:
    """Two tasks with instructions that are alike, in file order, and their ROUGE-L F1."""

    place: Place
    other_place: Place
    score: float
    other_text: str


@dataclass(frozen=True, slots=True)
class SeedReport:
    """What a seed file holds. The counts are of the rows that could be read."""

    container: str
    """`JSON Lines`, `JSON array`, `CSV` or `Parquet`; empty for other files."""
    forms: Mapping[str, int]
    """Rows by form: `own`, `columns`, `chat`."""
    tasks: int
    instances: int
    classifications: int
    instances_without_input: int
    mean_words: float
    """Mean words of an instruction, or characters in scripts without spaces; 0.0 without tasks."""
    leading_words: int
    """Distinct first words of the instructions."""
    faults: tuple[SeedFault, ...]
    """Errors in file order, then warnings and notes. Those that differ only in values are one, with a count."""
    near_duplicates: tuple[NearDuplicate, ...]
    """The most alike first, at most `MAX_PAIRS`."""
    near_duplicate_count: int
    language: str
    """The languages of the instructions with their shares, in words."""

    @property
    def errors(self) -> tuple[SeedFault, ...]:
        """The faults for which `read_seeds` refuses the file."""
        return self.of("error")

    @property
    def warnings(self) -> tuple[SeedFault, ...]:
        """The doubts that `read_seeds` only tells."""
        return self.of("warning")

    def of(self, severity: Severity) -> tuple[SeedFault, ...]:
        """The faults of this severity."""
        return tuple(fault for fault in self.faults if fault.severity == severity)


def check_seeds(
    path: Path,
    faults_of: Callable[[Task], list[str]] = lambda _: [],
    threshold: float = 0.7,
    keep: Callable[[Row], object] | None = None,
) -> SeedReport:
    """The report on a seed file; it never raises for what the file holds or lacks.

    `faults_of` returns the rules of the pipeline that a task breaks; each becomes a warning. `keep` gets each row that
    could be read.
    """
    sheet = fill_sheet(path, keep)
    tasks = list(sheet.tasks())
    places = [entry.place for entry in sheet.entries]
    for task, place in zip(tasks, places, strict=True):
        for said in faults_of(task):
            sheet.doubts.add(SeedFault(place, "", said, "change it or leave it out", "warning"))
    instructions = [task.instruction for task in tasks]
    tokens = [tokenize(text) for text in instructions]
    instances = [instance for task in tasks for instance in task.instances]
    pairs, count = _most_alike(instructions, threshold)
    try:
        language = languages_of(instructions).said() or "none that can be told"
    except ConfigError:
        language = 'not told (pip install "selfinstruct[languages]")'
    return SeedReport(
        container=sheet.container,
        forms=dict(sheet.forms),
        tasks=len(tasks),
        instances=len(instances),
        classifications=sum(task.is_classification is True for task in tasks),
        instances_without_input=sum(not instance.input for instance in instances),
        mean_words=fmean(map(len, tokens)) if tasks else 0.0,
        leading_words=len({words[:1] for words in tokens}),
        faults=(*sheet.faults.folded(), *sheet.doubts.folded()),
        near_duplicates=tuple(
            NearDuplicate(places[i], places[j], score, instructions[j])
            for i, j, score in zip(*(column.tolist() for column in pairs), strict=True)
        ),
        near_duplicate_count=count,
        language=language,
    )


def _most_alike(texts: Sequence[str], threshold: float) -> tuple[Pairs, int]:
    """The pairs with the highest scores, and how many pairs there are in all."""
    none = np.zeros(0, np.int64)
    best, count = Pairs(none, none, np.zeros(0, np.float64)), 0
    for pairs in pair_blocks(texts, threshold):
        count += len(pairs.first)
        first, second = (np.concatenate(both) for both in zip(best[:2], pairs[:2], strict=True))
        score = np.concatenate((best.score, pairs.score))
        order = np.lexsort((second, first, -score))[:MAX_PAIRS]
        best = Pairs(first[order], second[order], score[order])
    return best, count
