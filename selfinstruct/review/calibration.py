"""How far the judge agrees with people, and the minimum scores by which it would keep what they would."""

from __future__ import annotations

import itertools
import json
import math
from collections import Counter, defaultdict
from collections.abc import Hashable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from selfinstruct.errors import ConfigError
from selfinstruct.given_files import read_text
from selfinstruct.pool.reader import Reader, snapshot
from selfinstruct.pool.yields import of_judge
from selfinstruct.settings import JudgeSettings
from selfinstruct.types import BEST, QUESTIONS

LEAST_LABELS = 50
"""Fewer say too little."""
_Z = 1.96
"""Standard deviations to either side of a 95 % interval."""

Minimums = Mapping[str, int]
"""The least score for each question."""
Key = tuple[str, int] | tuple[str, str, int]
"""An instance, by task and position within it, or by task, request and position in the answer."""


@dataclass(frozen=True, slots=True)
class Label:
    """What a person says of an instance."""

    task_id: str
    instance: int
    """Its position within the task, from 0."""
    candidate: tuple[str, int] | None
    """The request that brought it and its place in the answer; None where the label does not say."""
    keep: bool
    answers: Mapping[str, bool]
    """The person's answers to the questions, as far as they are known."""
    line: int
    reader: str = ""
    """Who says it; empty where nobody is named."""

    @property
    def key(self) -> Key:
        """What the label is about. Positions change when a pool is judged again, candidates do not."""
        return (self.task_id, *self.candidate) if self.candidate else (self.task_id, self.instance)


@dataclass(frozen=True, slots=True)
class Agreement:
    """How the decisions of judge and people compare: how many instances both keep, only one of them, or neither."""

    both: int
    judge_only: int
    people_only: int
    neither: int

    @property
    def total(self) -> int:
        """All of them."""
        return self.both + self.judge_only + self.people_only + self.neither

    @property
    def accuracy(self) -> float:
        """The share on which they agree."""
        return (self.both + self.neither) / self.total

    @property
    def kappa(self) -> float | None:
        """Cohen's kappa: agreement beyond chance, 1 at most; None where each says always the same."""
        judge, people = self.both + self.judge_only, self.both + self.people_only
        by_chance = (judge * people + (self.total - judge) * (self.total - people)) / self.total**2
        return None if by_chance == 1 else (self.accuracy - by_chance) / (1 - by_chance)

    @property
    def precision(self) -> float | None:
        """Of what the judge keeps, the share that people keep; None where it keeps nothing."""
        return _share(self.both, self.both + self.judge_only)

    @property
    def recall(self) -> float | None:
        """Of what people keep, the share that the judge keeps; None where they keep nothing."""
        return _share(self.both, self.both + self.people_only)

    @property
    def precision_interval(self) -> tuple[float, float] | None:
        """Where the precision lies with a confidence of 95 % (Wilson's interval)."""
        share, n = self.precision, self.both + self.judge_only
        if share is None:
            return None
        middle = (share + _Z**2 / (2 * n)) / (1 + _Z**2 / n)
        half = _Z * math.sqrt(share * (1 - share) / n + _Z**2 / (4 * n**2)) / (1 + _Z**2 / n)
        return max(0.0, middle - half), min(1.0, middle + half)

    def figures(self) -> dict[str, Any]:
        """All of it for programs, rounded to four digits."""
        interval = self.precision_interval
        return {
            "both_keep": self.both,
            "only_judge_keeps": self.judge_only,
            "only_people_keep": self.people_only,
            "neither_keeps": self.neither,
            "accuracy": _rounded(self.accuracy),
            "kappa": _rounded(self.kappa),
            "precision": _rounded(self.precision),
            "precision_interval": [_rounded(bound) for bound in interval] if interval else None,
            "recall": _rounded(self.recall),
        }


@dataclass(frozen=True, slots=True)
class Calibration:
    """The judge of a pool beside the labels of people."""

    labels: int
    """Those of instances that were judged."""
    unjudged: int
    """Labels of others."""
    minimums: Minimums
    """Those of the round planned last, or the defaults where no judge was on."""
    agreement: Agreement
    """By these."""
    by_question: Mapping[str, Agreement]
    """As far as people answered it: `both` means that both say yes."""
    fitted: Minimums
    """Those that keep the most of what people keep, at the precision that is wanted or the best there is."""
    fitted_agreement: Agreement
    is_reached: bool
    """Whether the fitted scores have the precision that is wanted."""
    is_flat: bool
    """Whether all have the same scores, so that the judge does not discriminate."""
    between_people: Mapping[tuple[str, str], Agreement]
    """Of each two people who labelled the same instances; in each, the first one stands for the judge."""

    def figures(self) -> dict[str, Any]:
        """All of it for programs."""
        return {
            "labels": self.labels,
            "unjudged": self.unjudged,
            "minimums": dict(self.minimums),
            "agreement": self.agreement.figures(),
            "by_question": {name: one.figures() for name, one in self.by_question.items()},
            "fitted": dict(self.fitted),
            "fitted_agreement": self.fitted_agreement.figures(),
            "is_reached": self.is_reached,
            "is_flat": self.is_flat,
            "between_people": [
                {
                    "people": list(two),
                    "labels": one.total,
                    "accuracy": _rounded(one.accuracy),
                    "kappa": _rounded(one.kappa),
                }
                for two, one in self.between_people.items()
            ],
        }


def calibrate(pool: Path, labels: Path, precision: float) -> Calibration:
    """The agreement of a pool's judge with labels, and the minimum scores that give this precision.

    Each instance is decided by its own scores. The instances of the pool alone can be labelled: what the judge has
    rejected already is seen by nobody.

    Raises:
        ConfigError: a label cannot be read or is of no task, or too few are of judged instances.
    """
    every = read_labels(labels)
    read = [*{label.key: label for label in every}.values()]
    said: dict[str, dict[Hashable, bool]] = defaultdict(dict)
    for label in every:
        said[label.reader][label.key] = label.keep
    with snapshot(pool) as reader:
        judged = _judged_instances(reader)
        if not judged:
            raise ConfigError(f"{pool}: no instance of this pool was judged; switch on judge.enabled and let it grow")
        for label in read:
            if reader.task(label.task_id) is None:
                raise ConfigError(f'{labels}:{label.line}: no task of {pool} has the id "{label.task_id}"')
        settings = reader.settings()
    used = {judged[label.key][0]: (judged[label.key][1], label) for label in read if label.key in judged}
    if len(used) < LEAST_LABELS:
        raise ConfigError(
            f"{labels}: {len(used)} labels of judged instances; {LEAST_LABELS} are needed for figures with a meaning"
        )
    pairs = list(used.values())
    rules = settings.judge if settings and settings.judge.enabled else JudgeSettings()
    minimums = {name: getattr(rules, f"min_{name}") for name in QUESTIONS}
    fitted, is_reached = _fit(pairs, precision)
    return Calibration(
        labels=len(used),
        unjudged=sum(label.key not in judged for label in read),
        minimums=minimums,
        agreement=_agreement(pairs, minimums),
        by_question={
            name: found for name in QUESTIONS if (found := _on_question(pairs, name, minimums[name])) is not None
        },
        fitted=fitted,
        fitted_agreement=_agreement(pairs, fitted),
        is_reached=is_reached,
        is_flat=len({tuple(sorted(scores.items())) for scores, _ in pairs}) == 1,
        between_people=between_people(said),
    )


def between_people(said: Mapping[str, Mapping[Hashable, bool]]) -> dict[tuple[str, str], Agreement]:
    """How each two people agree on what both have labelled, by their names; `said` has what each keeps."""
    found = {}
    for one, other in itertools.combinations(sorted(said), 2):
        if both := said[one].keys() & said[other].keys():
            found[one, other] = _counted(Counter((said[one][key], said[other][key]) for key in both))
    return found


def _judged_instances(reader: Reader) -> dict[Key, tuple[tuple[str, int], Minimums]]:
    """The instances of the pool that the judge could be read on, as (task, position) with the scores by question.

    Each stands there twice: by task and position within it, and by task, request and position in the answer.
    """
    judged: dict[Key, tuple[tuple[str, int], Minimums]] = {}
    for task in reader.tasks():
        for one in task.instances:
            if one.verdict and one.verdict.valid is not None:
                place, candidate = (task.id, one.number), (task.id, one.verdict.request_id, one.verdict.position)
                scores = {name: getattr(one.verdict, name) for name in QUESTIONS}
                judged[place] = judged[candidate] = place, scores
    return judged


def _fit(pairs: Sequence[tuple[Minimums, Label]], precision: float) -> tuple[Minimums, bool]:
    """Of all minimum scores those that keep the most, at the precision wanted; else the most precise ones.

    Of several that keep as much, the more precise, then the lower ones.
    """
    best: tuple[tuple[bool, float, float, int], Minimums] | None = None
    for least in itertools.product(range(1, BEST + 1), repeat=len(QUESTIONS)):
        minimums = dict(zip(QUESTIONS, least, strict=True))
        found = _agreement(pairs, minimums)
        reached = found.precision is not None and found.precision >= precision
        share, kept = found.precision or 0.0, float(found.both)
        rank = (reached, *((kept, share) if reached else (share, kept)), -sum(least))
        if best is None or rank > best[0]:
            best = rank, minimums
    if best is None:
        raise AssertionError("there are scores to choose from")
    return best[1], best[0][0]


def _agreement(pairs: Iterable[tuple[Minimums, Label]], minimums: Minimums) -> Agreement:
    counted = Counter(
        (all(scores[name] >= minimums[name] for name in QUESTIONS), label.keep) for scores, label in pairs
    )
    return _counted(counted)


def _on_question(pairs: Iterable[tuple[Minimums, Label]], name: str, least: int) -> Agreement | None:
    counted = Counter((scores[name] >= least, label.answers[name]) for scores, label in pairs if name in label.answers)
    return _counted(counted) if counted else None


def _counted(counted: Counter[tuple[bool, bool]]) -> Agreement:
    return Agreement(counted[True, True], counted[True, False], counted[False, True], counted[False, False])


def read_labels(path: Path) -> list[Label]:
    """The labels of a JSON Lines file in their order; of several by one person for one instance the last counts.

    One that is null takes back what that person said before.

    Raises:
        ConfigError: one line that names the line of the file, what was found and what is wanted.
    """
    lines = read_text(path, "labels of people in JSON Lines").splitlines()
    found: dict[tuple[Key, str], Label] = {}
    for number, line in enumerate(lines, 1):
        if line.strip():
            label, is_taken_back = _read_label(line, f"{path}:{number}", number)
            found.pop((label.key, label.reader), None)
            if not is_taken_back:
                found[label.key, label.reader] = label
    return list(found.values())


def _read_label(line: str, where: str, number: int) -> tuple[Label, bool]:
    try:
        row = json.loads(line)
    except (ValueError, RecursionError) as error:
        raise ConfigError(f"{where}: this is no JSON ({error}); give one object a line") from error
    if not isinstance(row, dict):
        raise ConfigError(f'{where}: found {_short(row)}; give an object with "task_id", "instance" and "label"')
    task, instance = row.get("task_id"), row.get("instance", 0)
    if not isinstance(task, str) or not task.isascii() or not task:
        raise ConfigError(f'{where}: "task_id" is {_short(task)}; give the id of a task')
    if isinstance(instance, bool) or not isinstance(instance, int) or instance < 0:
        raise ConfigError(f'{where}: "instance" is {_short(instance)}; give its number within the task, from 0')
    request, position = row.get("request_id"), row.get("request_position")
    if request is not None and (
        not isinstance(request, str) or isinstance(position, bool) or not isinstance(position, int)
    ):
        raise ConfigError(
            f'{where}: "request_id" goes with a text and "request_position" with a number, or leave both out'
        )
    reader = row.get("by", "")
    if not isinstance(reader, str):
        raise ConfigError(f'{where}: "by" is {_short(reader)}; give the name of whoever labels, or leave it out')
    is_taken_back = "label" in row and row["label"] is None and not {"keep", *QUESTIONS} & row.keys()
    keep, answers = (False, dict[str, bool]()) if is_taken_back else _answers(row, where)
    candidate = None if request is None else (request, int(position or 0))
    return Label(task, instance, candidate, keep, answers, number, reader), is_taken_back


def _answers(row: Mapping[str, Any], where: str) -> tuple[bool, dict[str, bool]]:
    """Whether to keep the instance, and what is said of each question: "keep" says yes to all, "remove" no to one."""
    if any(name in row for name in QUESTIONS):
        for name in QUESTIONS:
            if not isinstance(row.get(name), bool):
                raise ConfigError(f'{where}: "{name}" is {_short(row.get(name))}; give true or false')
        return all(row[name] for name in QUESTIONS), {name: row[name] for name in QUESTIONS}
    label = row.get("label")
    if isinstance(row.get("keep"), bool) and label is None:
        label = "keep" if row["keep"] else "remove"
    if label not in ("keep", "remove"):
        raise ConfigError(
            f'{where}: "label" is {_short(label)}; give "keep" or "remove", or true or false for each of '
            f"{', '.join(QUESTIONS)}"
        )
    question = row.get("question")
    if question not in (None, "", *QUESTIONS):
        raise ConfigError(f'{where}: "question" is {_short(question)}; give {", ".join(QUESTIONS)}, or leave it out')
    if label == "keep":
        return True, dict.fromkeys(QUESTIONS, True)
    return False, {question: False} if question else {}


def _short(value: Any) -> str:
    text = json.dumps(value, ensure_ascii=False)
    return text if len(text) <= 40 else text[:37] + "..."


def _share(part: int, whole: int) -> float | None:
    return part / whole if whole else None


def _rounded(value: float | None) -> float | None:
    return None if value is None else round(value, 4)


def judged(pool: Path) -> dict[str, Any]:
    """What became of the instances that were judged, and how often each score was given, by question.

    Raises:
        ConfigError: none was judged.
    """
    with snapshot(pool) as reader:
        found = of_judge(reader)
        if found is None:
            raise ConfigError(f"{pool}: no instance of this pool was judged; switch on judge.enabled and let it grow")
        given = {name: dict.fromkeys(range(1, BEST + 1), 0) for name in QUESTIONS}
        for verdict in reader.verdicts():
            for name, counts in given.items():
                if (score := getattr(verdict, name)) is not None:
                    counts[score] += 1
        return {**found, "scores": given}
