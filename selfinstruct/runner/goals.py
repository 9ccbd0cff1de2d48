"""What a run is to reach: so many generated tasks with an instance in all, or so many of their rows."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from selfinstruct.config.sections import DEFAULT_TARGET, Config
from selfinstruct.pool.contents import OpenTask
from selfinstruct.pool.records import Done, StoredGoal
from selfinstruct.settings import Settings


@dataclass(frozen=True, slots=True)
class Goal:
    """How many tasks or rows there are to be in all.

    Tasks are accepted whole and in order, each only if those before it cannot reach the goal, even with as many rows as
    they may still get. So the last task may bring more rows than are missing, and nothing else may.
    """

    number: int
    unit: Literal["tasks", "rows"] = "tasks"
    more: int | None = None
    """The number came from `--more`."""
    goes_on: bool = False
    """It is that of an earlier run which was not reached."""

    def __str__(self) -> str:
        return f"{self.number:,} {self.unit}"

    @property
    def stored(self) -> StoredGoal:
        """It, as the pool keeps it."""
        return StoredGoal(rows=self.number) if self.unit == "rows" else StoredGoal(self.number, self.more)

    def reached(self, done: Done) -> int:
        """How much of it these are."""
        return done.rows if self.unit == "rows" else done.tasks

    def worth(self, instances: int) -> int:
        """How much of it a finished task with this many instances is."""
        return instances if self.unit == "rows" else min(1, instances)

    def most(self, settings: Settings) -> int:
        """How much of it a task accepted under these settings can become."""
        return settings.filters.max_instances if self.unit == "rows" else 1

    def is_reached_by(self, done: Done, unfinished: Sequence[OpenTask]) -> bool:
        """Whether these are enough, with no unfinished task among the first that are."""
        return self.number <= self.reached(done) and not (
            unfinished and self.reached(unfinished[0].done_before) < self.number
        )


def goal_of(config: Config, done: Done, last: StoredGoal, of_job: StoredGoal | None = None) -> Goal:
    """The goal of a run over a pool with these finished tasks, whose last run had the goal `last`.

    `of_job` is what the first attempt at the same job was given, to which `--more` then goes; None: this is the first.
    """
    if config.target_rows is not None:
        return Goal(config.target_rows, "rows")
    if config.more is None:
        return Goal(config.target or DEFAULT_TARGET)
    if of_job is not None and of_job.tasks is not None:
        return Goal(of_job.tasks, more=of_job.more, goes_on=done.tasks < of_job.tasks)
    if last.more == config.more and last.tasks is not None and done.tasks < last.tasks:
        return Goal(last.tasks, more=last.more, goes_on=True)
    return Goal(done.tasks + config.more, more=config.more)
