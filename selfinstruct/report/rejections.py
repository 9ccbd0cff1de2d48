"""The rejections as rows of the page's table."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from selfinstruct.report.tasks import DETAILED, LONGEST, shortened
from selfinstruct.store import figures as store
from selfinstruct.store.reading import Connection

LISTED = 60_000
"""Rejections in the table: the newest ones of a larger pool."""
_GLANCE = 240
"""Characters of the text of a rejection that is not among the newest or closest."""


def rows(connection: Connection, positions: Mapping[str, int]) -> Iterator[list[Any]]:
    """The rows of the table, the newest first.

    A row is [request id (its beginning), position in it, kind, reason, round, score, position of the nearest task,
    position of the task it was meant for, text, evidence, input].
    """
    whole = store.newest_and_closest_rejections(connection, DETAILED)
    for row in store.rejections(connection, LISTED):
        longest = LONGEST if row["number"] in whole else _GLANCE
        yield [
            row["request_id"][:12], row["request_position"], row["kind"], row["reason"], row["round"],
            None if row["score"] is None else round(row["score"], 4), positions.get(row["nearest_task"]),
            positions.get(row["task_id"]), shortened(row["text"], longest), shortened(row["evidence"], longest),
            shortened(row["input"], longest),
        ]  # fmt: skip
