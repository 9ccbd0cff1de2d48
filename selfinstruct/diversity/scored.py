"""Which tasks keep their score to the nearest earlier instruction: all of a pool at first, a sample of it later."""

from __future__ import annotations

from collections.abc import Iterable

FULL = 20_000
"""Scores are computed up to this many seeds and tasks of a pool, for all of them in `compat`."""
_SAMPLED = "0"
"""The digit with which the ids of a sixteenth of the tasks begin, after the letter."""


def is_sampled(task_id: str) -> bool:
    """Is this task of the sample whose scores are computed in a pool of any size?"""
    return task_id[1:2] == _SAMPLED


def evenly(rows: Iterable[tuple[str, str, float | None]]) -> list[tuple[str, float | None]]:
    """Instructions of tasks in the order of the pool, as (id, instruction, score), each with its score if that counts.

    Where scores end with the first tasks, those of the sample alone count, else figures would be of these first tasks.
    A task before any with a score has none to have: it is the first of a pool without seeds, or a seed.
    """
    found = list(rows)
    scored = False
    ends = False
    for identity, _, score in found:
        ends = ends or (scored and score is None and not is_sampled(identity))
        scored = scored or score is not None
    return [(text, score if not ends or is_sampled(identity) else None) for identity, text, score in found]
