"""The tables of the page: one pass over a pool's tasks, from which the figures are computed too, and its rejections."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass, field
from itertools import islice
from typing import Any

import orjson

from selfinstruct.checks.wording import word_count
from selfinstruct.diversity.figures import Instructions, Least
from selfinstruct.diversity.verbs import read
from selfinstruct.pool.reader import Reader
from selfinstruct.pool.records import StoredInstance, StoredTask
from selfinstruct.report.instruction_map import POINTS, Place
from selfinstruct.similarity.index import Index

TASKS, REJECTIONS = 60_000, 60_000
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

    instructions: Instructions = field(default_factory=Instructions)
    rows: int = 0
    short: int = 0
    """Rows with an output of two words or fewer."""
    positions: dict[str, int] = field(default_factory=dict)
    """The position of each task in the pool by its id, of seeds and removed tasks too."""
    details: list[Any] = field(default_factory=list)
    """[position, [[input, output, user, assistant, ...], ...], positions of the tasks shown] of each task with whole
    texts in the page, of other tasks too, in no order."""
    places: list[Place] = field(default_factory=list)
    """Instructions for the map: those of tasks and seeds, and of the newest rejections once these were read."""
    samples: Least[tuple[str, Any]] = field(default_factory=lambda: Least(SAMPLES))
    """The id and details of some."""


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
    first = size - TASKS
    every = 1 + min(size, TASKS) * len(index) // COMPARISONS
    detailed = pool.newest_and_closest("tasks", DETAILED)
    more, length = deque[tuple[int, Any]](), 0
    removed, removed_rows = pool.removed(), pool.removed_rows()
    generations: dict[int, int] = {}
    for task in pool.tasks():
        place, instruction = task.position, task.instruction
        found.positions[task.id] = place
        is_removed = task.id in removed
        instances = task.instances
        if removed_rows and not is_removed:
            instances = tuple(one for one in instances if (task.id, one.number) not in removed_rows)
        parents = [found.positions[one] for one in orjson.loads(task.parents) if one in found.positions]
        generations[place] = 1 + max([generations[parent] for parent in parents], default=-1)
        state = "removed" if is_removed else "seed" if task.origin == "seed" else task.state
        if is_counted := state == "done" and bool(instances):
            found.instructions.add(task.id, instruction, task.nearest_score)
            found.rows += len(instances)
            found.short += sum([_is_short(one.output) for one in instances])
        if place < first and place not in detailed:
            continue
        texts = [_texts(one) for one in instances]
        detail = [place, texts, parents]
        if place in detailed:
            found.details.append(detail)
        else:
            more.append((sum(len(text) for one in texts for text in one), detail))
            length += more[-1][0]
            while length > WHOLE:
                length -= more.popleft()[0]
        if place >= first:
            if is_counted:
                found.samples.add(task.id, (task.id, detail))
            if state != "removed":
                found.places.append(Place("seed" if state == "seed" else "task", place, instruction))
            is_compared = task.origin == "generated" and place % every == 0
            near = index.nearest(instruction) if is_compared else None
            yield [
                place, task.id, state, shortened(instruction), task.is_classification, task.round,
                _rounded(task.nearest_score), found.positions.get(task.nearest_task or ""),
                _rounded(near.score if near else None), *read(instruction), _words(instruction),
                generations[place], sources.get(task.id), _drawn(task),
                parents[0] if len(parents) == 1 else None, [_figures(one) for one in instances],
                instances[0].output[:_OUTPUT] if instances else "",
            ]  # fmt: skip
    found.details += [detail for _, detail in more]


def _is_short(output: str) -> bool:
    # A text has no fewer words than its beginning, which is counted sooner.
    return _words(output[:24]) <= 2 and _words(output) <= 2


def _words(text: str) -> int:
    return round(word_count(text))


def _figures(one: StoredInstance) -> list[int]:
    words = [_words(one.input), _words(one.output)]
    said = one.verdict
    scores = (said.valid, said.input, said.output) if said else ()
    return [*words, len(one.turns), *(score or 0 for score in scores)]


def _texts(one: StoredInstance) -> list[str]:
    turns = [text for turn in one.turns for text in (turn.user, turn.assistant)]
    return [shortened(text) for text in (one.input, one.output, *turns)]


def _drawn(task: StoredTask) -> dict[str, str] | None:
    """What the request of a task was made of, as far as it says something to people."""
    found = orjson.loads(task.drawn) if task.drawn else {}
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
