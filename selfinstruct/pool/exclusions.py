"""The texts that are kept out of a pool, stored with it by content."""

from __future__ import annotations

import json
import sqlite3
import threading
import zlib
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from selfinstruct.pool.opening import Pool
from selfinstruct.pool.writer import Statement
from selfinstruct.seeds.benchmarks import free_name
from selfinstruct.settings import Settings
from selfinstruct.types import Exclusion

if TYPE_CHECKING:  # exports read this module, and most have no use for the search
    from selfinstruct.checks.contaminated import Excluded

ExcludedBy = Callable[[Settings], "Excluded | None"]
"""What rounds of these settings keep out; None if that is nothing."""


@dataclass(frozen=True, slots=True)
class Used:
    """An exclusion of a pool, and how much was rejected for it."""

    id: str
    name: str
    rows: int
    hits: int


def used(connection: sqlite3.Connection, identities: Iterable[str]) -> list[Used]:
    """These exclusions of the pool, with the candidates that were rejected as near one of their rows."""
    # The evidence begins with the name, which is unique in a pool, and the number of the row.
    sql = (
        "SELECT e.id, e.name, e.rows, (SELECT COUNT(*) FROM rejections j WHERE j.reason = 'contaminated' "
        "AND substr(j.evidence, 1, length(e.name) + 5) = e.name || ' row ') FROM exclusions e "
        "WHERE e.id IN (SELECT value FROM json_each(?)) ORDER BY e.id"
    )
    return [Used(*row) for row in connection.execute(sql, [json.dumps(sorted(set(identities)))])]


def add_exclusion(exclusion: Exclusion, names: Iterable[str]) -> Statement:
    """Keep an exclusion. `names` are those taken: another file of the same name gets a number behind it."""
    texts = json.dumps([[number, list(texts)] for number, texts in exclusion.rows], ensure_ascii=False)
    packed = zlib.compress(texts.encode("utf-8", "surrogatepass"), 1)
    row = (exclusion.id, free_name(exclusion.name, set(names)), len(exclusion.rows), packed)
    return "INSERT OR IGNORE INTO exclusions (id, name, rows, texts) VALUES (?, ?, ?, ?)", row


def add_exclusions(exclusions: Iterable[Exclusion], known: Iterable[tuple[str, str]] = ()) -> list[Statement]:
    """Keep those that are not known yet, as (id, name)."""
    names = dict(known)
    statements = []
    for exclusion in exclusions:
        if exclusion.id not in names:
            statements.append(add_exclusion(exclusion, names.values()))
            names[exclusion.id] = str(statements[-1][1][1])
    return statements


def keep_exclusions(pool: Pool, exclusions: Iterable[Exclusion]) -> None:
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


def excluded_by(pool: Pool) -> ExcludedBy:
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
