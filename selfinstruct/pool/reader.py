"""What people and programs want to know of a pool. Reads only, and works while a run is going."""

from __future__ import annotations

import contextlib
import json
import sqlite3
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from selfinstruct.diversity.figures import evenly
from selfinstruct.errors import PoolError
from selfinstruct.pool.contents import load_seeds
from selfinstruct.pool.judged import agreement_yield, answers_of, judge_yield, verdicts_on, yield_by_stage
from selfinstruct.pool.opening import last_goal, open_for_reading, read_meta
from selfinstruct.pool.statements import REPLAYED
from selfinstruct.pool.windows import Past, load_past
from selfinstruct.similarity.common import mark_common
from selfinstruct.types import Task

Connection = sqlite3.Connection
"""What readers hand on; a name for those who speak no SQL."""


@contextlib.contextmanager
def snapshot(folder: Path) -> Iterator[sqlite3.Connection]:
    """A reader that sees the pool as it was at one moment."""
    with contextlib.closing(open_for_reading(folder)) as connection:
        try:
            connection.execute("BEGIN")
            yield connection
        except sqlite3.DatabaseError as error:
            raise PoolError(
                f"{folder / 'pool.db'}: the database is damaged ({error}); still readable: {_readable(connection)}"
            ) from error


def _readable(connection: sqlite3.Connection) -> str:
    """How many rows of each table can still be read, in words."""
    found = []
    for table in ("tasks", "instances", "completions", "requests", "rejections"):
        count = 0
        with contextlib.suppress(sqlite3.DatabaseError):
            for _ in connection.execute(f"SELECT * FROM {table}"):  # noqa: S608 - names are ours
                count += 1
        found.append(f"{count:,} {table}")
    return ", ".join(found)


def status(folder: Path) -> dict[str, Any]:
    """The pool in figures, all of one moment; `candidates` is the sum of what became of them."""
    with snapshot(folder) as connection:
        return status_of(connection, str(folder))


def status_of(connection: sqlite3.Connection, name: str) -> dict[str, Any]:
    """The pool behind this connection in figures, under this name."""
    one = _single(connection)
    states = dict(
        connection.execute("SELECT state, COUNT(*) FROM tasks WHERE origin = 'generated' GROUP BY state").fetchall()
    )
    reasons = connection.execute("SELECT reason, COUNT(*) AS n FROM rejections GROUP BY reason ORDER BY n DESC, reason")
    rejections = {row["reason"]: row["n"] for row in reasons}
    instruction_rejections = one("SELECT COUNT(*) FROM rejections WHERE kind = 'instruction'")
    accepted = sum(states.values())
    judged = accepted + instruction_rejections
    usage = connection.execute(
        "SELECT COALESCE(SUM(prompt_tokens), 0) AS prompt, COALESCE(SUM(completion_tokens), 0) AS completion, "
        "COALESCE(SUM(cached_tokens), 0) AS cached, COUNT(*) AS n, "
        "COALESCE(SUM(kind = 'failed'), 0) AS failed FROM completions"
    ).fetchone()
    settings = connection.execute(
        "SELECT c.settings FROM rounds r JOIN configurations c ON c.id = r.configuration ORDER BY r.number DESC LIMIT 1"
    ).fetchone()
    models = connection.execute("SELECT DISTINCT model FROM requests ORDER BY model").fetchall()
    runs = connection.execute("SELECT * FROM runs ORDER BY id DESC LIMIT 1").fetchone()
    return {
        "pool": name,
        "seeds": one("SELECT COUNT(*) FROM tasks WHERE origin = 'seed'"),
        "tasks": states.get("done", 0),
        "tasks_pending": states.get("pending", 0),
        "tasks_without_instances": states.get("without_instances", 0),
        "removed": one("SELECT COUNT(*) FROM removed r JOIN tasks t ON t.id = r.task_id WHERE t.origin = 'generated'"),
        "seeds_removed": one("SELECT COUNT(*) FROM removed r JOIN tasks t ON t.id = r.task_id WHERE t.origin = 'seed'"),
        "classification_tasks": one(
            "SELECT COUNT(*) FROM tasks WHERE origin = 'generated' AND state = 'done' AND is_classification"
        ),
        "instances": one("SELECT COUNT(*) FROM instances WHERE request_id IS NOT NULL"),
        "waiting": one("SELECT COUNT(*) FROM waiting"),
        "rounds": one("SELECT COUNT(*) FROM rounds"),
        "requests": one("SELECT COUNT(*) FROM requests WHERE state != 'superseded'"),
        "completions": usage["n"],
        "failed": usage["failed"],
        "candidates": one("SELECT COALESCE(SUM(candidates), 0) FROM requests"),
        "rejections": rejections,
        "acceptance_rate": round(accepted / judged, 4) if judged else None,
        "prompt_tokens": usage["prompt"],
        "completion_tokens": usage["completion"],
        "cached_tokens": usage["cached"],
        "attempts": one("SELECT COUNT(*) FROM attempts"),
        "usd": one("SELECT COALESCE(SUM(COALESCE(usd_e12, reserved_usd_e12)), 0) FROM attempts") / 1e12,
        "usage": _usage(connection),
        "radar": _last_window(connection),
        "yield": yield_by_stage(connection),
        "agreement": agreement_yield(connection),
        "judge": judge_yield(connection),
        "recipe": json.loads(settings["settings"])["recipe"]["name"] if settings else None,
        "models": [row["model"] for row in models],
        "goal": runs["goal"] if runs else None,
        "prompts_shortened": one("SELECT COUNT(*) FROM requests WHERE left_out > 0 AND state != 'superseded'"),
        "server_restarts": one("SELECT COALESCE(SUM(server_restarts), 0) FROM runs"),
        "last_run": _last_run(connection, runs) if runs else None,
    }


def _last_window(connection: sqlite3.Connection) -> dict[str, Any] | None:
    """The newest window of the collapse radar."""
    row = connection.execute("SELECT * FROM windows ORDER BY last_round DESC LIMIT 1").fetchone()
    return None if row is None else {**dict(row), "alarms": json.loads(row["alarms"])}


def _last_run(connection: sqlite3.Connection, run: sqlite3.Row) -> dict[str, Any]:
    """How a run ended, and how fast its models wrote between its start and its last answer so far, if any did."""
    sql = (
        "SELECT COALESCE(SUM(completion_tokens), 0) AS tokens, "
        "(julianday(MAX(received_at)) - julianday(?)) * 86400 AS seconds FROM completions WHERE run = ?"
    )
    wrote = connection.execute(sql, (run["started_at"], run["id"])).fetchone()
    is_known = wrote["seconds"] and run["outcome"] != REPLAYED
    speed = wrote["tokens"] / wrote["seconds"] if is_known else None
    return {
        **{key: run[key] for key in ("started_at", "ended_at", "exit_code", "outcome", "server_restarts")},
        "tokens_per_second": None if speed is None else round(speed, 1),
    }


@dataclass(frozen=True, slots=True)
class StageHistory:
    """What a stage has cost so far, in all."""

    requests: int
    prompt_tokens: int
    completion_tokens: int
    latency_s: float


@dataclass(frozen=True, slots=True)
class PoolHistory:
    """What a forecast wants to know of a pool; as it stands, that of a pool which is not there yet."""

    meta: Mapping[str, str] = field(default_factory=dict)
    """Its own facts, as `read_meta` gives them."""
    seeds: tuple[Task, ...] = ()
    generated: Sequence[tuple[Task, int]] = ()
    """Accepted tasks in order, each with its round."""
    removed: frozenset[str] = frozenset()
    """Ids of the tasks that are removed, seeds among them."""
    done: int = 0
    pending: int = 0
    """Accepted tasks whose follow-ups are not finished."""
    last_goal: tuple[int | None, int | None] = (None, None)
    """(goal, more) of the last run."""
    next_round: int = 0
    stages: Mapping[str, StageHistory] = field(default_factory=dict)


def history(folder: Path) -> PoolHistory:
    """The pool's past, for a forecast."""
    with snapshot(folder) as connection:
        one = _single(connection)
        rows_ = connection.execute("SELECT id, instruction, round FROM tasks WHERE round IS NOT NULL ORDER BY position")
        stages = connection.execute(
            "SELECT r.stage, COUNT(*) AS n, SUM(c.prompt_tokens) AS prompt, SUM(c.completion_tokens) AS completion, "
            "SUM(c.latency_s) AS latency FROM completions c "
            "JOIN requests r ON r.source = c.source AND r.id = c.request_id GROUP BY r.stage"
        )
        return PoolHistory(
            meta=read_meta(connection),
            seeds=load_seeds(connection),
            generated=[(Task(row["id"], row["instruction"], None), row["round"]) for row in rows_],
            removed=frozenset(row["task_id"] for row in connection.execute("SELECT task_id FROM removed")),
            done=one("SELECT COUNT(*) FROM tasks WHERE origin = 'generated' AND state = 'done'"),
            pending=one("SELECT COUNT(*) FROM tasks WHERE state = 'pending'"),
            last_goal=last_goal(connection),
            next_round=one("SELECT COALESCE(MAX(number) + 1, 0) FROM rounds"),
            stages={
                row["stage"]: StageHistory(row["n"], row["prompt"], row["completion"], row["latency"]) for row in stages
            },
        )


def _usage(connection: sqlite3.Connection) -> list[dict[str, Any]]:
    """Requests, tokens and cost by stage and model. A lost attempt counts with what was reserved for it."""
    tokens = connection.execute(
        "SELECT r.stage, r.model, COUNT(*) AS requests, SUM(c.prompt_tokens) AS prompt_tokens, "
        "SUM(c.completion_tokens) AS completion_tokens, SUM(c.cached_tokens) AS cached_tokens "
        "FROM completions c JOIN requests r ON r.source = c.source AND r.id = c.request_id "
        "GROUP BY r.stage, r.model ORDER BY r.stage, r.model"
    ).fetchall()
    paid = {
        (row["stage"], row["model"]): (row["attempts"], row["usd_e12"])
        for row in connection.execute(
            "SELECT stage, model, COUNT(*) AS attempts, SUM(COALESCE(usd_e12, reserved_usd_e12)) AS usd_e12 "
            "FROM attempts GROUP BY stage, model"
        )
    }
    found = []
    for row in tokens:
        attempts, usd_e12 = paid.get((row["stage"], row["model"]), (0, 0))
        found.append({**dict(row), "attempts": attempts, "usd": usd_e12 / 1e12})
    return found


def _single(connection: sqlite3.Connection) -> Any:
    return lambda sql: connection.execute(sql).fetchone()[0]


def watched(folder: Path, until: int) -> Past:
    """What the radar has seen, in detail from the last window on that ends by this round."""
    with snapshot(folder) as connection:
        return load_past(connection, until)


def scored_instructions(folder: Path) -> list[tuple[str, float | None]]:
    """The generated tasks' instructions in order, each with its score to the nearest earlier one where that counts.

    Removed tasks are left out.
    """
    sql = (
        "SELECT id, instruction, nearest_score FROM tasks WHERE origin = 'generated' "
        "AND id NOT IN (SELECT task_id FROM removed) ORDER BY position"
    )
    with snapshot(folder) as connection:
        return evenly((row["id"], row["instruction"], row["nearest_score"]) for row in connection.execute(sql))


@dataclass(frozen=True, slots=True)
class Explanation:
    """Everything the pool knows of one task, candidate, rejection or event, as (label, text) in reading order."""

    title: str
    lines: Sequence[tuple[str, str]]


def explain(folder: Path, wanted: str) -> list[Explanation]:
    """What became of `wanted`: a task id, a request id (or the beginning of one), a reason, or a piece of a text.

    A piece of the reason that somebody gave for removing tasks finds that event.

    Raises:
        PoolError: nothing in the pool matches.
    """
    with snapshot(folder) as connection:
        found = [
            *(_explain_task(connection, row) for row in _matching(connection, "tasks", "id", "instruction", wanted)),
            *(
                _explain_rejection(connection, row)
                for row in _matching(connection, "rejections", "request_id", "text", wanted)
            ),
            *_waiting(connection, wanted),
            *_events(connection, wanted),
        ]
    if not found:
        raise PoolError(f"{folder}: no task, candidate, rejection or event is {wanted!r}, and none contains it")
    return found


def _matching(connection: sqlite3.Connection, table: str, identity: str, text: str, wanted: str) -> list[sqlite3.Row]:
    """Rows by id, else by its beginning, else by reason, else by a piece of the text; twenty at most."""
    order = "position" if table == "tasks" else "number"
    conditions = [f"{identity} = ?", f"substr({identity}, 1, length(?1)) = ?1 AND length(?1) >= 6"]
    conditions += ["reason = ?"] if table == "rejections" else []
    for condition in [*conditions, f"instr(lower({text}), lower(?)) > 0"]:
        sql = f"SELECT * FROM {table} WHERE {condition} ORDER BY {order} LIMIT 20"  # noqa: S608 - names are ours
        rows_ = connection.execute(sql, (wanted,)).fetchall()
        if rows_:
            return rows_
    return []


def _explain_task(connection: sqlite3.Connection, row: sqlite3.Row) -> Explanation:
    lines = [("instruction", row["instruction"]), ("origin", row["origin"]), ("state", row["state"])]
    lines.append(("classification", {None: "not known yet", 0: "no", 1: "yes"}[row["is_classification"]]))
    lines += [
        (f"{event['kind']}d", f"{event['reason']} (event {event['number']}, {event['created_at']})".lstrip())
        for event in connection.execute(
            "SELECT e.* FROM event_tasks x JOIN events e ON e.number = x.event WHERE x.task_id = ? ORDER BY e.number",
            (row["id"],),
        )
    ]
    if row["origin"] == "generated":
        lines.append(("round", str(row["round"])))
        lines.append(("request", f"{row['request_id']} position {row['request_position']}"))
        lines += [("shown", _instruction(connection, one)) for one in json.loads(row["parents"])]
        lines += _likeness(connection, row, row["instruction"], row["nearest_score"])
        if row["mean_score"] is not None:
            lines.append(("mean score", f"{row['mean_score']:.4f}"))
    for instance in connection.execute("SELECT * FROM instances WHERE task_id = ? ORDER BY position", (row["id"],)):
        lines += [("input", instance["input"]), ("output", instance["output"])]
        lines += verdicts_on(connection, instance)
    lines += [
        (
            "rejected instance",
            f"{other['reason']}: {other['evidence']} | input: {other['input']} | output: {other['text']}",
        )
        for other in connection.execute("SELECT * FROM rejections WHERE task_id = ? ORDER BY number", (row["id"],))
    ]
    lines += answers_of(connection, row["id"])
    return Explanation(f"task {row['id']}", lines)


def _waiting(connection: sqlite3.Connection, wanted: str) -> Iterator[Explanation]:
    """The instructions that were read and not judged yet, of which this is a piece; twenty at most."""
    found = connection.execute(
        "SELECT * FROM waiting WHERE request_id = ?1 OR instr(lower(text), lower(?1)) > 0 "
        "ORDER BY round, place LIMIT 20",
        (wanted,),
    )
    for row in found:
        lines = [("instruction", row["text"]), ("state", "read, not judged yet; the next run begins with it")]
        lines += [("request", f"{row['request_id']} position {row['request_position']}"), ("round", str(row["round"]))]
        yield Explanation(f"waiting candidate {row['request_id'][:12]}/{row['request_position']}", lines)


def _events(connection: sqlite3.Connection, wanted: str) -> Iterator[Explanation]:
    """The events for whose reason this is a piece; twenty at most."""
    found = connection.execute(
        "SELECT e.*, (SELECT COUNT(*) FROM event_tasks x WHERE x.event = e.number) AS tasks FROM events e "
        "WHERE instr(lower(reason), lower(?)) > 0 ORDER BY number LIMIT 20",
        (wanted,),
    )
    for row in found:
        lines = [("kind", row["kind"]), ("reason", row["reason"]), ("tasks", f"{row['tasks']:,}")]
        if row["condition"] is not None:
            lines.append(("condition", row["condition"]))
        lines += [("descendants", "with them" if row["descendants"] else "without"), ("time", row["created_at"])]
        yield Explanation(f"event {row['number']}", lines)


def _explain_rejection(connection: sqlite3.Connection, row: sqlite3.Row) -> Explanation:
    lines = [("reason", row["reason"]), ("evidence", row["evidence"]), ("text", row["text"])]
    if row["input"]:
        lines.append(("input", row["input"]))
    if row["task_id"]:
        lines.append(("of task", _instruction(connection, row["task_id"])))
    lines += _likeness(connection, row, row["text"], row["score"])
    if row["kind"] == "instance":
        lines += verdicts_on(connection, row)
    lines.append(("request", f"{row['request_id']} position {row['request_position']}"))
    lines.append(("round", str(row["round"])))
    return Explanation(f"rejected {row['kind']} {row['request_id'][:12]}/{row['request_position']}", lines)


def _likeness(
    connection: sqlite3.Connection, row: sqlite3.Row, text: str, score: float | None
) -> list[tuple[str, str]]:
    """The nearest task with its score, and both texts with what they have in common marked."""
    if not row["nearest_task"] or score is None:
        return []
    lines = [("nearest", f"{score:.4f} {_instruction(connection, row['nearest_task'])}")]
    other = connection.execute("SELECT instruction FROM tasks WHERE id = ?", (row["nearest_task"],)).fetchone()
    settings = connection.execute(
        "SELECT settings FROM rounds r JOIN configurations c ON c.id = r.configuration WHERE r.number = ?",
        (row["round"],),
    ).fetchone()
    if other and settings:
        marked = mark_common(text, other["instruction"], json.loads(settings["settings"])["filters"]["tokenizer"])
        lines += zip(("in common: this", "in common: that"), marked, strict=True)
    return lines


def _instruction(connection: sqlite3.Connection, identity: str) -> str:
    row: Mapping[str, Any] | None = connection.execute(
        "SELECT instruction FROM tasks WHERE id = ?", (identity,)
    ).fetchone()
    return f"{row['instruction']} ({identity})" if row else identity
