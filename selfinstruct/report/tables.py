"""The tables of the page: one pass over a pool's tasks, from which the figures are computed too, and its rejections."""

from __future__ import annotations

import json
from collections import Counter, deque
from collections.abc import Iterator
from dataclasses import dataclass, field
from itertools import islice
from typing import Any

from selfinstruct.checks.wording import word_count
from selfinstruct.diversity.verbs import read
from selfinstruct.pool.reader import Reader
from selfinstruct.pool.records import StoredInstance, StoredTask
from selfinstruct.report.instruction_map import POINTS, Place
from selfinstruct.similarity.index import Index

TASKS, REJECTIONS = 100_000, 60_000
"""The most rows of each table; of a larger pool the newest ones."""
DETAILED = 2000
"""The tasks and rejections, each, whose whole texts are in the page in any case: the closest, and the newest."""
WHOLE = 8_000_000
"""The characters up to which whole texts of further tasks are in the page, those of the newest."""
LONGEST = 4000
"""The characters that are shown of a text; `explain` shows all."""
_GLANCE = 240
"""The characters that are shown of a rejection that is not among the newest or closest."""
SAMPLES = 60
"""Tasks out of which the page shows some at first."""
_OUTPUT = 80
"""The characters that the row of a task shows of its first output."""
_INNER = {"parent", "ways", "passage", "passage_as"}
"""What is drawn for the program alone."""
COMPARISONS = 20_000_000
"""With more pairs of a seed and a task, only evenly spaced tasks are compared with the seeds."""


@dataclass(slots=True)
class TaskSummary:
    """What one pass finds of the generated tasks that an export has; it fills while `task_rows` is read.

    These have a row and are not removed.
    """

    scored: list[tuple[str, str, float | None]] = field(default_factory=list)
    """Their (id, instruction, score to the nearest earlier instruction) in order."""
    output_words: Counter[int] = field(default_factory=Counter)
    """Their outputs by the number of words, one for each row."""
    positions: dict[str, int] = field(default_factory=dict)
    """The position of each task in the pool by its id, of seeds and removed tasks too."""
    details: list[Any] = field(default_factory=list)
    """[position, [[input, output, user, assistant, ...], ...], positions of the tasks shown] of each task with whole
    texts in the page, of other tasks too, in no order."""
    places: list[Place] = field(default_factory=list)
    """Instructions for the map: those of tasks and seeds, and of the newest rejections once these were read."""
    samples: list[tuple[str, Any]] = field(default_factory=list)
    """The details of some, of any time, by their ids; more of them than `SAMPLES`."""


def task_rows(pool: Reader, found: TaskSummary) -> Iterator[list[Any]]:
    """The rows of the table of tasks in the order of the pool; `found` fills meanwhile.

    A row is [position, id, state, instruction, classification, round, nearest score, its position, score to the nearest
    seed, verb, noun, words, generation, source, what was drawn, the only task shown, instances, beginning of the first
    output]. The state may also be `seed` or `removed`. An instance is [words of the input, words of the output, further
    turns], with the judge's scores of task, input and output where it was asked, 0 for one that could not be read. The
    generation of a task that was shown none is 0, of others one more than the highest of those shown.
    """
    settings = pool.settings()
    index = Index(settings.filters.tokenizer if settings else "unicode")
    for seed in pool.tasks("t.origin = 'seed'"):
        index.add(seed.id, seed.instruction)
    size, sources = pool.size(), pool.source_names()
    every = 1 + size * len(index) // COMPARISONS
    detailed = pool.newest_and_closest("tasks", DETAILED)
    more, length = deque[tuple[int, Any]](), 0
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
        figures, texts = [_figures(one) for one in instances], [_texts(one) for one in instances]
        detail = [place, texts, parents]
        if state == "done" and texts:
            found.scored.append((task.id, instruction, task.nearest_score))
            found.output_words.update(one[1] for one in figures)
            found.samples.append((task.id, detail))
            if len(found.samples) > 20 * SAMPLES:
                found.samples = sorted(found.samples)[:SAMPLES]
        if place in detailed:
            found.details.append(detail)
        else:
            more.append((sum(len(text) for one in texts for text in one), detail))
            length += more[-1][0]
            while length > WHOLE:
                length -= more.popleft()[0]
        if place >= size - TASKS:
            if state != "removed":
                found.places.append(Place("seed" if state == "seed" else "task", place, instruction))
            yield [
                place, task.id, state, shortened(instruction), task.is_classification, task.round,
                _rounded(task.nearest_score), found.positions.get(task.nearest_task or ""),
                _rounded(near.score if near else None), *read(instruction), round(word_count(instruction)),
                generations[place], sources.get(task.id), _drawn(task),
                parents[0] if len(parents) == 1 else None, figures,
                instances[0].output[:_OUTPUT] if instances else "",
            ]  # fmt: skip
    found.details += [detail for _, detail in more]


def _figures(one: StoredInstance) -> list[int]:
    words = [round(word_count(one.input)) if one.input else 0, round(word_count(one.output))]
    said = one.verdict
    scores = (said.valid, said.input, said.output) if said else ()
    return [*words, len(one.turns), *(score or 0 for score in scores)]


def _texts(one: StoredInstance) -> list[str]:
    turns = [text for turn in one.turns for text in (turn.user, turn.assistant)]
    return [shortened(text) for text in (one.input, one.output, *turns)]


def _drawn(task: StoredTask) -> dict[str, str] | None:
    """What the request of a task was made of, as far as it says something to people."""
    found = json.loads(task.drawn) if task.drawn else {}
    return {name: shortened(str(found[name]), _OUTPUT) for name in found if name not in _INNER} or None


def rejection_rows(pool: Reader, found: TaskSummary) -> Iterator[list[Any]]:
    """The rows of the table of rejections, the newest first.

    A row is [beginning of the request id, position in it, kind, reason, round, score, position of the nearest task,
    position of the task it was meant for, text, evidence, input].
    """
    whole, positions, placed = pool.newest_and_closest("rejections", DETAILED), found.positions, 0
    for row, (number, round_, one) in enumerate(islice(pool.rejections(), REJECTIONS)):
        if one.kind == "instruction" and placed < POINTS:
            placed += 1
            found.places.append(Place("rejection", row, one.text))
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
