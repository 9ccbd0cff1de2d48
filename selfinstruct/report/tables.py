"""The tables of the page: one pass over a pool's tasks, from which the figures are computed too, and its rejections."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from itertools import islice
from typing import Any, NamedTuple

from selfinstruct.checks.wording import word_count
from selfinstruct.diversity.verbs import read
from selfinstruct.pool.reader import Reader
from selfinstruct.similarity.index import Index

TASKS, REJECTIONS = 100_000, 60_000
"""The most rows of each table; of a larger pool the newest ones."""
DETAILED = 2000
"""The tasks and rejections, each, whose full texts are in the page."""
LONGEST = 4000
"""The characters that are shown of a text; `explain` shows all."""
_GLANCE = 240
"""The characters that are shown of a rejection that is not among the newest or closest."""
COMPARISONS = 20_000_000
"""With more pairs of a seed and a task, only evenly spaced tasks are compared with the seeds."""


class TaskFigures(NamedTuple):
    """The figures of one generated task; None where one is not known."""

    round: int | None
    nearest: float | None
    nearest_seed: float | None
    words: int
    instances: int
    with_input: int
    is_classification: int | None
    finished: bool
    generation: int


@dataclass(slots=True)
class TaskSummary:
    """What one pass finds; it fills while `task_rows` is read."""

    figures: list[TaskFigures] = field(default_factory=list)
    """One for each generated task that is not removed, in order."""
    scored: list[tuple[str, str, float | None]] = field(default_factory=list)
    """Their (id, instruction, score to the nearest earlier instruction)."""
    readings: Counter[tuple[str, str]] = field(default_factory=Counter)
    """Their verbs and nouns."""
    input_words: Counter[int] = field(default_factory=Counter)
    """The number of inputs by their number of words; empty inputs do not count."""
    output_words: Counter[int] = field(default_factory=Counter)
    positions: dict[str, int] = field(default_factory=dict)
    """The position of each task in the pool by its id."""
    details: list[Any] = field(default_factory=list)
    """[position, [[input, output], ...], positions of the tasks shown] of each task with full texts in the page."""


def task_rows(pool: Reader, found: TaskSummary) -> Iterator[list[Any]]:
    """The rows of the table of tasks in the order of the pool; `found` fills meanwhile.

    A row is [position, id, state, instruction, classification, round, nearest score, its position, score to the nearest
    seed, verb, noun, words, instances, generation]; the state may also be `seed` or `removed`. The generation of a task
    that was shown none is 0, of others one more than the highest of those shown.
    """
    settings = pool.settings()
    index = Index(settings.filters.tokenizer if settings else "unicode")
    for seed in pool.tasks("t.origin = 'seed'"):
        index.add(seed.id, seed.instruction)
    size = pool.size()
    every = 1 + size * len(index) // COMPARISONS
    detailed = pool.newest_and_closest("tasks", DETAILED)
    removed, removed_rows = pool.removed(), pool.removed_rows()
    generations: dict[int, int] = {}
    for task in pool.tasks():
        place, instruction = task.position, task.instruction
        is_removed = task.id in removed
        instances = [one for one in task.instances if is_removed or (task.id, one.number) not in removed_rows]
        parents = [found.positions[one] for one in json.loads(task.parents) if one in found.positions]
        generations[place] = 1 + max((generations[parent] for parent in parents), default=-1)
        found.positions[task.id] = place
        is_compared = task.origin == "generated" and place % every == 0
        near = index.nearest(instruction) if is_compared else None
        state = "removed" if is_removed else "seed" if task.origin == "seed" else task.state
        reading = read(instruction)
        figures = TaskFigures(
            round=task.round,
            nearest=task.nearest_score,
            nearest_seed=near.score if near else None,
            words=round(word_count(instruction)),
            instances=len(instances),
            with_input=sum(bool(instance.input) for instance in instances),
            is_classification=task.is_classification,
            finished=task.state == "done",
            generation=generations[place],
        )
        if state not in {"seed", "removed"}:
            found.figures.append(figures)
            found.scored.append((task.id, instruction, task.nearest_score))
            found.readings[reading] += 1
            found.input_words.update(round(word_count(one.input)) for one in instances if one.input)
            found.output_words.update(round(word_count(one.output)) for one in instances)
        if place in detailed:
            texts = [
                [shortened(one.input), shortened(one.output),
                 *(shortened(text) for turn in one.turns for text in (turn.user, turn.assistant))]
                for one in instances
            ]  # fmt: skip
            found.details.append([place, texts, parents])
        if place >= size - TASKS:
            yield [
                place, task.id, state, shortened(instruction), figures.is_classification, figures.round,
                _rounded(figures.nearest), found.positions.get(task.nearest_task or ""), _rounded(figures.nearest_seed),
                *reading, figures.words, figures.instances, figures.generation,
            ]  # fmt: skip


def rejection_rows(pool: Reader, positions: Mapping[str, int]) -> Iterator[list[Any]]:
    """The rows of the table of rejections, the newest first.

    A row is [beginning of the request id, position in it, kind, reason, round, score, position of the nearest task,
    position of the task it was meant for, text, evidence, input].
    """
    whole = pool.newest_and_closest("rejections", DETAILED)
    for number, round_, one in islice(pool.rejections(), REJECTIONS):
        longest = LONGEST if number in whole else _GLANCE
        yield [
            one.request_id[:12], one.position, one.kind, one.reason, round_,
            _rounded(one.score), positions.get(one.nearest or ""), positions.get(one.task_id or ""),
            *(shortened(text, longest) for text in (one.text, one.evidence, one.input)),
        ]  # fmt: skip


def shortened(text: str, longest: int = LONGEST) -> str:
    """The text, or its beginning and how much is left out."""
    return text if len(text) <= longest else f"{text[:longest]} … ({len(text) - longest:,} characters more)"


def _rounded(score: float | None) -> float | None:
    return None if score is None else round(score, 4)
