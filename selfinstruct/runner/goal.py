"""What a run is to reach."""

from __future__ import annotations

from dataclasses import dataclass

from selfinstruct.config.sections import DEFAULT_TARGET, Config


@dataclass(frozen=True, slots=True)
class Goal:
    """How many generated tasks there are to be in all, and whether that came from `--more`."""

    tasks: int
    more: int | None
    goes_on: bool = False
    """The goal of an earlier run that was not reached."""


def goal_of(config: Config, done: int, last: tuple[int | None, int | None]) -> Goal:
    """The goal of a run over a pool with so many finished tasks, whose last run had this (goal, more)."""
    if config.more is None:
        return Goal(config.target or DEFAULT_TARGET, None)
    goal, more = last
    if more == config.more and goal is not None and done < goal:
        return Goal(goal, more, goes_on=True)
    return Goal(done + config.more, config.more)
