"""The texts that are kept out of a pool, stored with it by content."""

from __future__ import annotations

import json
import sqlite3
import threading
import zlib
from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING

from selfinstruct.pool.opening import Writer
from selfinstruct.pool.statements import Statement, insert
from selfinstruct.seeds.benchmarks import free_name
from selfinstruct.settings import Settings
from selfinstruct.types import Exclusion

if TYPE_CHECKING:  # exports read this module, and most have no use for the search
    from selfinstruct.checks.contaminated import Excluded

ExcludedBy = Callable[[Settings], "Excluded | None"]
"""What rounds of these settings keep out; None if that is nothing."""


def add_exclusions(exclusions: Iterable[Exclusion], known: Iterable[tuple[str, str]] = ()) -> list[Statement]:
    """Keep those that are not `known`, by (id, name); of two files of the same name the later one gets a number."""
    names = dict(known)
    statements = []
    for exclusion in exclusions:
        if exclusion.id not in names:
            name = names[exclusion.id] = free_name(exclusion.name, set(names.values()))
            texts = json.dumps([[number, list(texts)] for number, texts in exclusion.rows], ensure_ascii=False)
            packed = zlib.compress(texts.encode("utf-8", "surrogatepass"), 1)
            row = {"id": exclusion.id, "name": name, "rows": len(exclusion.rows), "texts": packed}
            statements.append(insert("exclusions", row, once=True))
    return statements


def keep_exclusions(pool: Writer, exclusions: Iterable[Exclusion]) -> None:
    """Store them with the pool, before a round is planned by them."""
    with pool.connect() as connection:
        connection.execute("BEGIN IMMEDIATE")
        known = connection.execute("SELECT id, name FROM exclusions").fetchall()
        for sql, values in add_exclusions(exclusions, [(row["id"], row["name"]) for row in known]):
            connection.execute(sql, values)
        connection.execute("COMMIT")


def read_exclusion(connection: sqlite3.Connection, identity: str) -> Exclusion:
    """An exclusion as it was stored, under the name it has in this pool."""
    name, packed = connection.execute("SELECT name, texts FROM exclusions WHERE id = ?", [identity]).fetchone()
    rows = json.loads(zlib.decompress(packed).decode("utf-8", "surrogatepass"))
    return Exclusion(identity, name, tuple((number, tuple(texts)) for number, texts in rows))


def excluded_by(pool: Writer) -> ExcludedBy:
    """What the pool's rounds keep out, by their settings; each combination is read and indexed once."""
    from selfinstruct.checks.contaminated import Excluded  # noqa: PLC0415

    built: dict[tuple[tuple[str, ...], str], Excluded] = {}
    lock = threading.Lock()

    def of(settings: Settings) -> Excluded | None:
        if not settings.exclusions:
            return None
        key = (settings.exclusions, settings.filters.exclude_threshold)
        with lock:
            if key not in built:
                with pool.connect() as connection:
                    exclusions = [read_exclusion(connection, identity) for identity in settings.exclusions]
                built[key] = Excluded(exclusions, settings.filters.exclude_threshold)
            return built[key]

    return of
