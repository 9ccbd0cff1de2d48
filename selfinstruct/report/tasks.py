"""One pass over a pool's tasks: a row for each in the page's table, and what the figures are reckoned from."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable, Container, Iterator
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from selfinstruct.diversity.verbs import read
from selfinstruct.filters.wording import word_count
from selfinstruct.novelty.index import Index
from selfinstruct.report.lineage import generation
from selfinstruct.store import figures as store
from selfinstruct.store.reading import Connection

LISTED = 100_000
"""Tasks in the table: the newest ones of a larger pool."""
DETAILED = 2000
"""Tasks, and rejections, whose full texts are in the page."""
LONGEST = 4000
"""Characters of a text that are shown; `explain` shows all."""
COMPARISONS = 20_000_000
"""With more pairs of a seed and a task, not every task is compared with the seeds."""


class Figures(NamedTuple):
    """The figures of one generated task; None where one is not known."""

    round: int
    nearest: float | None
    nearest_seed: float | None
    words: int
    instances: int
    with_input: int
    is_classification: int | None
    finished: bool
    generation: int


@dataclass(slots=True)
class Tasks:
    """What one pass found. It fills as `rows` is read."""

    figures: list[Figures] = field(default_factory=list)
    """Those of the generated tasks that are not removed, in order."""
    judged: list[tuple[str, str, float | None]] = field(default_factory=list)
    """Their (id, instruction, score to the nearest earlier one)."""
    readings: Counter[tuple[str, str]] = field(default_factory=Counter)
    """Their verbs and nouns."""
    input_words: Counter[int] = field(default_factory=Counter)
    """How many inputs that are not empty have how many words."""
    output_words: Counter[int] = field(default_factory=Counter)
    positions: dict[str, int] = field(default_factory=dict)
    """The position of each task in the pool by its id."""
    details: list[Any] = field(default_factory=list)
    """[position, [[input, output], ...], positions of the tasks shown] of those whose full texts are in the page."""


def rows(connection: Connection, found: Tasks) -> Iterator[list[Any]]:
    """The rows of the table, in the order of the pool, while `found` fills.

    A row is [position, id, state, instruction, classification, round, nearest score, its position, score to the nearest
    seed, verb, noun, words, instances, generation]; the state may also be `seed` or `removed`.
    """
    nearest_seed = _nearest_seed(connection)
    detailed = store.newest_and_closest(connection, DETAILED)
    removed = store.removed(connection)
    first_listed = store.first_of_newest(connection, LISTED)
    generations: dict[int, int] = {}
    for task, instances in store.tasks_with_instances(connection):
        place, instruction = task["position"], task["instruction"]
        parents = [found.positions[one] for one in json.loads(task["parents"]) if one in found.positions]
        generations[place] = generation(parents, generations)
        found.positions[task["id"]] = place
        is_generated, is_counted = task["origin"] == "generated", _state(task, removed) not in {"seed", "removed"}
        reading = read(instruction)
        figures = Figures(
            round=task["round"],
            nearest=task["nearest_score"],
            nearest_seed=nearest_seed(place, instruction) if is_generated else None,
            words=round(word_count(instruction)),
            instances=len(instances),
            with_input=sum(bool(instance.input) for instance in instances),
            is_classification=task["is_classification"],
            finished=task["state"] == "done",
            generation=generations[place],
        )
        if is_counted:
            found.figures.append(figures)
            found.judged.append((task["id"], instruction, task["nearest_score"]))
            found.readings[reading] += 1
            found.input_words.update(round(word_count(one.input)) for one in instances if one.input)
            found.output_words.update(round(word_count(one.output)) for one in instances)
        if place in detailed:
            texts = [[shortened(instance.input), shortened(instance.output)] for instance in instances]
            found.details.append([place, texts, parents])
        if place >= first_listed:
            yield [
                place, task["id"], _state(task, removed), shortened(instruction),
                figures.is_classification, figures.round, _rounded(figures.nearest),
                found.positions.get(task["nearest_task"]), _rounded(figures.nearest_seed), *reading, figures.words,
                figures.instances, figures.generation,
            ]  # fmt: skip


def _state(task: store.Row, removed: Container[str]) -> str:
    if task["id"] in removed:
        return "removed"
    return "seed" if task["origin"] == "seed" else str(task["state"])


def _nearest_seed(connection: Connection) -> Callable[[int, str], float | None]:
    """Gives the score of an instruction at a place to the nearest seed; None for those left out of a large pool."""
    seeds = store.seed_instructions(connection)
    index = Index(store.tokenizer(connection))
    for identity, instruction in seeds:
        index.add(identity, instruction)
    every = 1 + store.task_count(connection) * len(seeds) // COMPARISONS

    def score(place: int, instruction: str) -> float | None:
        near = index.nearest(instruction) if place % every == 0 else None
        return near.score if near else None

    return score


def shortened(text: str, longest: int = LONGEST) -> str:
    """The text, or its beginning with a note of how much there is more."""
    return text if len(text) <= longest else f"{text[:longest]} … ({len(text) - longest:,} characters more)"


def _rounded(score: float | None) -> float | None:
    return None if score is None else round(score, 4)
