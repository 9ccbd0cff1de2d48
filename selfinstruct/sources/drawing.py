"""What the tasks of each request are to fit: one value of each list of `draw`, and the quotas of their combinations."""

from __future__ import annotations

import itertools
import math
import random
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence

from selfinstruct.checks.faults import Fault, reject
from selfinstruct.settings import PoolSettings, Settings

Cell = tuple[str, ...]
"""A value of each list that the quotas are over, in their order."""


def _cells_of(drawn: Mapping[str, str], over: Sequence[str]) -> list[Cell]:
    """The cell of a task by what was drawn for its request; none where it counts for none."""
    return [tuple(drawn[name] for name in over)] if over and all(name in drawn for name in over) else []


def cells(settings: PoolSettings) -> list[Cell]:
    """All cells of the quotas."""
    return list(itertools.product(*(settings.draw[name] for name in settings.quotas.over)))


def counted(drawn: Iterable[Mapping[str, str]], over: Sequence[str]) -> Counter[Cell]:
    """How many of these fall into each cell."""
    return Counter(cell for one in drawn for cell in _cells_of(one, over))


class Filled:
    """How many of the accepted tasks of a pool each cell has.

    `drawn()` gives what was drawn for them.
    """

    def __init__(self, drawn: Callable[[], Iterable[Mapping[str, str]]] = tuple) -> None:
        self._drawn = drawn
        self._counts: dict[Sequence[str], Counter[Cell]] = {}
        self._lack: dict[Sequence[str], int] = {}
        """Both by the lists that quotas are over."""

    def add(self, drawn: Mapping[str, str]) -> None:
        """Count another task."""
        self._lack.clear()
        for over, counts in self._counts.items():
            counts.update(_cells_of(drawn, over))

    def fault(self, drawn: Mapping[str, str], settings: Settings) -> Fault | None:
        """`quota_full` for a task for whose request a cell was drawn that has its tasks."""
        over, most = settings.quotas.over, settings.quotas.each
        for cell in _cells_of(drawn, over):
            if self._count(over)[cell] >= most:
                said = ", ".join(f"{name}: {value}" for name, value in zip(over, cell, strict=True))
                return reject("quota_full", f"{most} tasks of {said}")
        return None

    def lack(self, settings: Settings) -> float:
        """How many tasks all quotas together still take; without quotas there is no end."""
        over = settings.quotas.over
        if not over:
            return math.inf
        if over not in self._lack:
            counts = self._count(over)
            self._lack[over] = sum(max(0, settings.quotas.each - counts[cell]) for cell in cells(settings))
        return self._lack[over]

    def _count(self, over: Sequence[str]) -> Counter[Cell]:
        if over not in self._counts:
            self._counts[over] = counted(self._drawn(), over)
        return self._counts[over]


class Quotas:
    """What the cells still lack, for the draws of one round.

    `known` is what was drawn for the tasks that are known, and `between` what was for later requests. Such a request is
    taken to bring half of what it asks for.
    """

    def __init__(
        self, known: Iterable[Mapping[str, str]], between: Iterable[Mapping[str, str]], settings: Settings
    ) -> None:
        over = settings.quotas.over
        accepted, asked = counted(known, over), counted(between, over)
        self._each = settings.recipe.tasks_per_request / 2
        lacking = {cell: settings.quotas.each - accepted[cell] for cell in cells(settings)}
        self._open = [cell for cell in lacking if lacking[cell] > 0] or [*lacking]
        self._expected = {cell: lacking[cell] - asked[cell] * self._each for cell in self._open}

    def draw(self, generator: random.Random) -> tuple[Cell, int]:
        """A cell by what it is expected to lack, and how many tasks are worth asking for.

        One that is known to be full is drawn only where all are.
        """
        weights = [max(0.0, self._expected[cell]) for cell in self._open]
        chosen = generator.choices(self._open, weights if any(weights) else None)[0]
        count = max(1, min(math.ceil(2 * self._each), math.ceil(2 * self._expected[chosen])))
        self._expected[chosen] -= count / 2
        return chosen, count


def draw(generator: random.Random, settings: Settings, quotas: Quotas | None) -> tuple[dict[str, str], int]:
    """A value of each list by name, and how many tasks to ask for.

    Values are drawn by weight; those of lists that quotas are over by what their combination lacks.
    """
    drawn, count = dict[str, str](), settings.recipe.tasks_per_request
    if quotas is not None:
        cell, count = quotas.draw(generator)
        drawn = dict(zip(settings.quotas.over, cell, strict=True))
    for name, weights in settings.draw.items():
        if name not in drawn:
            drawn[name] = generator.choices([*weights], [*weights.values()])[0]
    return {name: drawn[name] for name in settings.draw}, count


def draw_topic(generator: random.Random, topics: Sequence[str]) -> str | None:
    """One of the topics, or None when there are none."""
    return generator.choice(topics) if topics else None


def asking_for(count: int, settings: Settings) -> Settings:
    """The settings of a request that asks for so many tasks."""
    if count == settings.recipe.tasks_per_request:
        return settings
    recipe = settings.recipe.model_copy(update={"tasks_per_request": count})
    return settings.model_copy(update={"recipe": recipe})


def in_words(topic: str | None, drawn: Mapping[str, str]) -> str:
    """What was drawn, for a prompt; empty where nothing was."""
    return "; ".join([*([topic] if topic else []), *(f"{name}: {value}" for name, value in drawn.items())])
