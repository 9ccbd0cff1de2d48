"""Is this a good seed file? Everything wrong or doubtful in it, and what it holds."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import fmean

import numpy as np

from selfinstruct.errors import ConfigError
from selfinstruct.filters.language import languages_of
from selfinstruct.novelty.tokens import tokenize
from selfinstruct.records import Task
from selfinstruct.seeds.faults import Place, SeedFault, Severity
from selfinstruct.seeds.likeness import Pairs, pair_blocks
from selfinstruct.seeds.reading import fill_sheet
from selfinstruct.seeds.rows import Row

MAX_PAIRS = 10_000
"""Near-duplicates that a report names; a file of copies has millions, which are only counted."""


@dataclass(frozen=True, slots=True)
class NearDuplicate:
    """Two tasks of a file whose instructions are alike, in file order, with their ROUGE-L F1."""

    place: Place
    other_place: Place
    score: float
    text: str
    other_text: str


@dataclass(frozen=True, slots=True)
class SeedReport:
    """What a seed file holds. The counts are of the rows that could be read."""

    path: Path
    container: str
    """`JSON Lines`, `JSON array`, `CSV` or `Parquet`; empty if the file is none of them."""
    forms: Mapping[str, int]
    """Rows by form: `own`, `columns`, `chat`."""
    tasks: int
    instances: int
    classifications: int
    """Tasks that are a classification."""
    instances_without_input: int
    mean_words: float
    """Words of an instruction on average, characters in scripts that do not separate words; 0.0 without tasks."""
    leading_words: int
    """Distinct first words of the instructions."""
    faults: tuple[SeedFault, ...]
    """Errors in file order, then warnings and notes; those that differ in values alone are one, with their count."""
    near_duplicates: tuple[NearDuplicate, ...]
    """The most alike first, at most `MAX_PAIRS`."""
    near_duplicate_count: int
    threshold: float
    language: str = ""
    """Those of the instructions with their shares, in words."""

    @property
    def errors(self) -> tuple[SeedFault, ...]:
        """The faults for which `read_seeds` refuses the file."""
        return self.of("error")

    @property
    def warnings(self) -> tuple[SeedFault, ...]:
        """The faults with which the file is read all the same."""
        return self.of("warning")

    def of(self, severity: Severity) -> tuple[SeedFault, ...]:
        """The faults of this severity."""
        return tuple(fault for fault in self.faults if fault.severity == severity)


def check_seeds(
    path: Path,
    faults_of: Callable[[Task], list[str]] | None = None,
    threshold: float = 0.7,
    keep: Callable[[Row], object] | None = None,
) -> SeedReport:
    """All faults, doubts and near-duplicates of a seed file; never raises for what the file holds or lacks.

    `faults_of` gives the rules that a task would break if the pipeline had to judge it; each is a warning. `keep` is
    handed each row that could be read.
    """
    sheet = fill_sheet(path, keep) if keep else fill_sheet(path)
    tasks = list(sheet.tasks())
    places = [entry.place for entry in sheet.entries]
    for task, place in zip(tasks, places, strict=True) if faults_of else ():
        for said in faults_of(task) if faults_of else ():
            wanted, remedy = "a task that the pipeline's own rules accept", "change it or leave it out"
            sheet.doubts.add(SeedFault(place, "", said, wanted, remedy, "warning"))
    instructions = [task.instruction for task in tasks]
    tokens = [tokenize(text) for text in instructions]
    instances = [instance for task in tasks for instance in task.instances]
    pairs, count = _most_alike(instructions, threshold)
    return SeedReport(
        path=path,
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
            NearDuplicate(places[i], places[j], score, instructions[i], instructions[j])
            for i, j, score in zip(pairs.first.tolist(), pairs.second.tolist(), pairs.score.tolist(), strict=True)
        ),
        near_duplicate_count=count,
        threshold=threshold,
        language=_language(instructions),
    )


def _language(instructions: Sequence[str]) -> str:
    try:
        return languages_of(instructions).said() or "none that can be told"
    except ConfigError:
        return 'not told (pip install "selfinstruct[languages]")'


def _most_alike(texts: Sequence[str], threshold: float) -> tuple[Pairs, int]:
    none = np.zeros(0, np.int64)
    best, count = Pairs(none, none, np.zeros(0, np.float64)), 0
    for pairs in pair_blocks(texts, threshold):
        count += len(pairs.first)
        best = best.joined(pairs).best(MAX_PAIRS)
    return best, count
