"""Where the tasks of a merged pool come from."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import NamedTuple

from selfinstruct.pool.statements import Statement
from selfinstruct.types import canonical_json, task_id

SITES = "sites"
"""The key under which a pool's own facts name the pools that it was merged from."""


class Origin(NamedTuple):
    """A source of another pool, and the number that it has here."""

    number: int
    pool: str
    """The id of the first request of that source, which follows from its pool's seed and all that was asked first."""
    source: int
    name: str
    """The name of that pool's folder when it was first merged."""


def origins(meta: Mapping[str, str]) -> list[Origin]:
    """Where the tasks of a pool come from, by its own facts; empty where nothing was merged into it."""
    return [Origin(*one) for one in json.loads(meta.get(SITES, "[]"))]


def keep_origins(known: Sequence[Origin]) -> Statement:
    """Keep them with the pool."""
    return "INSERT OR REPLACE INTO meta VALUES (?, ?)", (SITES, canonical_json(known))


def origin_of(meta: Mapping[str, str], source: int, request_id: str, position: int) -> tuple[str, str] | None:
    """The name of the pool that a candidate was merged from, and the id of its task there; None: it is no such one."""
    found = next((one for one in origins(meta) if one.number == source), None)
    return (found.name, task_id(found.source, request_id, position)) if found else None
