"""Everything wrong or doubtful in a seed file, and what it holds."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from fractions import Fraction
from itertools import chain
from pathlib import Path
from statistics import fmean

import numpy as np
from rapidfuzz.distance import Indel
from rapidfuzz.process import cdist

from selfinstruct.checks.instruction_language import languages_of
from selfinstruct.errors import ConfigError
from selfinstruct.seeds.reading import fill_sheet
from selfinstruct.seeds.rows import FileObject, Place, SeedFault, Severity
from selfinstruct.similarity.tokens import tokenize
from selfinstruct.types import Task

MAX_PAIRS = 10_000
"""Near-duplicates that a report names. A file of copies has millions, which are only counted."""
LEAST_FOR_LANGUAGE = 20
"""Tasks from which on their languages are told: a guess about one short text is often wrong."""
_BLOCK = 512
"""Texts that are compared with all others at once, so that even a file of copies needs little memory."""
_SLACK = 1e-6
"""Room for float noise in the search; its pairs are then tested exactly."""


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
    """The languages of the instructions with their shares, in words; empty for few tasks."""

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
    keep: Callable[[FileObject], object] | None = None,
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
    pairs, count = near_duplicates(instructions, threshold, [task.system for task in tasks])
    try:
        few = len(tasks) < LEAST_FOR_LANGUAGE
        language = "" if few else languages_of(instructions).said() or "none that can be told"
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
        near_duplicates=tuple(NearDuplicate(places[i], places[j], score, instructions[j]) for i, j, score in pairs),
        near_duplicate_count=count,
        language=language,
    )


def near_duplicates(
    texts: Sequence[str], threshold: float, systems: Sequence[str] = ()
) -> tuple[list[tuple[int, int, float]], int]:
    """The pairs (i, j, ROUGE-L F1), i < j, with a score above the threshold (0 to 1), and how many there are in all.

    Exact. The most alike come first, at most `MAX_PAIRS`; then those of the first texts. Two texts with other system
    texts, if such are given, are no pair.
    """
    said = np.unique(np.array(systems or [""] * len(texts), object), return_inverse=True)[1]
    tokens = [tokenize(text) for text in texts]
    # Numbers for tokens, frequent ones small: rapidfuzz looks those up in a table and not in a hash.
    rank = {token: rank for rank, (token, _) in enumerate(Counter(chain.from_iterable(tokens)).most_common())}
    encoded = [[rank[token] for token in one] for one in tokens]
    order = np.array(sorted((i for i, one in enumerate(encoded) if one), key=lambda i: len(encoded[i])), np.int64)
    ordered = [encoded[i] for i in order]
    lengths = np.array([len(one) for one in ordered], np.int64)
    exact = Fraction(str(threshold))
    best, count = np.zeros((3, 0)), 0
    for start in range(0, len(ordered), _BLOCK):
        stop = min(start + _BLOCK, len(ordered))
        # F1 is at most 2m / (m + n) for lengths m <= n: longer texts than this cannot be alike.
        longest = lengths[stop - 1] * (2 - threshold) / threshold if threshold > 0 else lengths[-1]
        end = int(np.searchsorted(lengths, longest + _SLACK, side="right"))
        scores = cdist(
            ordered[start:stop], ordered[start:end], scorer=Indel.normalized_similarity,
            score_cutoff=max(threshold - _SLACK, 0.0), workers=-1,
        )  # fmt: skip
        row, column = np.nonzero(np.triu(scores, 1))
        total = lengths[row + start] + lengths[column + start]
        # The length of a longest common subsequence is a whole number, so it comes back exactly from the score.
        common = np.rint(scores[row, column].astype(np.float64) * total / 2).astype(np.int64)
        kept = 2 * common * exact.denominator > exact.numerator * total
        kept &= said[order[row + start]] == said[order[column + start]]
        count += int(kept.sum())
        one, other = order[row[kept] + start], order[column[kept] + start]
        found = np.array([np.minimum(one, other), np.maximum(one, other), 2 * common[kept] / total[kept]])
        best = np.concatenate((best, found), axis=1)
        best = best[:, np.lexsort((best[1], best[0], -best[2]))[:MAX_PAIRS]]
    return [(int(i), int(j), score) for i, j, score in best.T.tolist()], count
