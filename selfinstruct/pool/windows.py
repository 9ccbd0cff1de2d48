"""What the collapse radar has seen: windows of rounds, and how often each verb and noun was asked for."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field

from selfinstruct.diversity.monitor import Window
from selfinstruct.diversity.verbs import Reading
from selfinstruct.pool.statements import insert
from selfinstruct.pool.writer import Statement
from selfinstruct.settings import RadarSettings, Settings
from selfinstruct.types import PROPOSE, canonical_json


@dataclass(slots=True)
class PastRound:
    """A round that is planned, with what was judged in it so far."""

    number: int
    is_settled: bool
    bounds: RadarSettings
    shown: list[str] = field(default_factory=list)
    """Ids of the demonstrations of all its requests."""
    judged: list[tuple[str, str | None, float | None]] = field(default_factory=list)
    """(text, reason of the rejection or None, score to the nearest if it was accepted)."""


@dataclass(frozen=True, slots=True)
class Past:
    """What is needed to go on watching a pool."""

    windows: tuple[Window, ...] = ()
    """The last one that ends by the round asked for, and those after it."""
    pairs: Mapping[Reading, int] = field(default_factory=dict)
    """How many generated tasks of all windows so far have a pair of verb and noun."""
    rounds: tuple[PastRound, ...] = ()
    """In order, from the first of these windows on."""


def load_past(connection: sqlite3.Connection, until: int) -> Past:
    """What was seen, in detail from the last window on that ends by the round `until`."""
    windows = tuple(
        Window(**{**dict(row), "alarms": tuple(json.loads(row["alarms"]))})
        for row in connection.execute(
            "SELECT * FROM windows WHERE last_round >= "
            "(SELECT COALESCE(MAX(last_round), 0) FROM windows WHERE last_round <= ?) ORDER BY last_round",
            (until,),
        )
    )
    first = windows[0].first_round if windows else 0
    pairs = {Reading(row["verb"], row["noun"]): row["tasks"] for row in connection.execute("SELECT * FROM verb_nouns")}
    return Past(windows, pairs, tuple(_rounds(connection, first).values()))


def _rounds(connection: sqlite3.Connection, first: int) -> dict[int, PastRound]:
    bounds: dict[str, RadarSettings] = {}
    found = {}
    for row in connection.execute(
        "SELECT r.number, r.state, r.configuration, c.settings FROM rounds r "
        "JOIN configurations c ON c.id = r.configuration WHERE r.number >= ? ORDER BY r.number",
        (first,),
    ):
        if row["configuration"] not in bounds:
            bounds[row["configuration"]] = Settings.from_json(row["settings"]).radar
        found[row["number"]] = PastRound(row["number"], row["state"] == "settled", bounds[row["configuration"]])
    for row in connection.execute(
        "SELECT round, demonstrations FROM requests "
        "WHERE round >= ? AND task_id IS NULL AND stage = ? AND state != 'superseded'",
        (first, PROPOSE),
    ):
        found[row["round"]].shown.extend(json.loads(row["demonstrations"]))
    for row in connection.execute(
        "SELECT round, instruction, nearest_score FROM tasks WHERE round >= ? ORDER BY position", (first,)
    ):
        found[row["round"]].judged.append((row["instruction"], None, row["nearest_score"]))
    for row in connection.execute(
        "SELECT round, text, reason FROM rejections WHERE round >= ? AND kind = 'instruction'", (first,)
    ):
        found[row["round"]].judged.append((row["text"], row["reason"], None))
    return found


def add_window(window: Window, pairs: Mapping[Reading, int]) -> list[Statement]:
    """A window and the verbs and nouns of the tasks accepted in it."""
    row = {**asdict(window), "alarms": canonical_json(window.alarms)}
    sql = (
        "INSERT INTO verb_nouns (verb, noun, tasks) VALUES (?, ?, ?) "
        "ON CONFLICT (verb, noun) DO UPDATE SET tasks = tasks + excluded.tasks"
    )
    counted: list[Statement] = [(sql, (pair.verb, pair.noun, count)) for pair, count in pairs.items()]
    return [insert("windows", row), *counted]
