"""What the judge said of instances and what several answers to one question came to, read from a pool."""

from __future__ import annotations

import sqlite3
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from selfinstruct.settings import Settings
from selfinstruct.steps import judging
from selfinstruct.types import APART, BEST, QUESTIONS

READ = "read"
UNREAD = frozenset({"unreadable", "no_label", "no_answer", "no_agreement", "input_not_needed"})
"""Reasons for which nothing is left that a rule could look at."""
JUDGED_BY = {
    "instruction": ("rules", "novelty", "decontamination"),
    "instance": ("rules", "decontamination", "judge"),
}
"""The stages behind reading, by kind, the cheapest first."""
_SAMPLED = f"stage = 'respond' AND position / {APART} = 1 AND state = 'answered'"
"""The second answer to a question."""


@dataclass(frozen=True, slots=True)
class Judged:
    """An instance of the pool and its scores, by question."""

    task_id: str
    position: int
    scores: Mapping[str, int]


def agreement_yield(connection: sqlite3.Connection) -> dict[str, int] | None:
    """How many questions were asked several times, and for how many too few answers agreed; None: for none."""
    asked = _count(connection, f"SELECT COUNT(*) FROM requests WHERE {_SAMPLED}")  # noqa: S608 - a constant
    if not asked:
        return None
    apart = _count(connection, "SELECT COUNT(*) FROM rejections WHERE reason = 'no_agreement'")
    return {"asked": asked, "no_agreement": apart}


def yield_by_stage(connection: sqlite3.Connection) -> dict[str, dict[str, dict[str, int]]]:
    """How many instructions and how many instances each stage of judging saw and left over, in order of price.

    What still waits is read, and seen by nothing else yet. A revised instance counts as another one.
    """
    lost: dict[str, Counter[str]] = {"instruction": Counter(), "instance": Counter()}
    for row in connection.execute("SELECT kind, reason, COUNT(*) FROM rejections GROUP BY kind, reason"):
        lost[row[0]][_stage(row[0], row[1])] += row[2]
    waiting = {"instruction": _count(connection, "SELECT COUNT(*) FROM waiting")}
    kept = {
        "instruction": _count(connection, "SELECT COUNT(*) FROM tasks WHERE origin = 'generated'"),
        "instance": _count(connection, "SELECT COUNT(*) FROM instances WHERE request_id IS NOT NULL"),
    }
    found: dict[str, dict[str, dict[str, int]]] = {}
    for kind, reasons in lost.items():
        seen = kept[kind] + reasons.total() + waiting.get(kind, 0)
        found[f"{kind}s"] = {READ: {"seen": seen, "left": seen - reasons[READ]}}
        seen -= reasons[READ] + waiting.get(kind, 0)
        for stage in JUDGED_BY[kind]:
            found[f"{kind}s"][stage] = {"seen": seen, "left": seen - reasons[stage]}
            seen -= reasons[stage]
    return found


def _stage(kind: str, reason: str) -> str:
    """The stage of judging at which candidates of a kind are rejected for a reason."""
    if reason in UNREAD or (kind == "instruction" and reason == "cut_off"):
        return READ
    return {"near_duplicate": "novelty", "contaminated": "decontamination"}.get(
        reason, "judge" if reason in judging.REASONS else "rules"
    )


def judge_yield(connection: sqlite3.Connection) -> dict[str, int] | None:
    """What became of the instances that were shown to the judge; None where none was.

    `judged` is the sum of `passed`, the four reasons and `revised`, all of the first form of an instance; `saved` are
    the revised ones that were kept in their second form.
    """
    outcomes = dict(
        connection.execute(
            "SELECT COALESCE(j.reason, IIF(i.task_id IS NULL, v.outcome, 'passed')), COUNT(*) FROM verdicts v "
            "JOIN requests r ON r.source = v.source AND r.id = v.request_id AND r.stage != 'revise' "
            "LEFT JOIN rejections j ON j.source = v.source AND j.request_id = v.request_id "
            "AND j.request_position = v.request_position AND j.kind = 'instance' "
            "LEFT JOIN instances i ON i.task_id = v.task_id AND i.source = v.source "
            "AND i.request_id = v.request_id AND i.request_position = v.request_position GROUP BY 1"
        ).fetchall()
    )
    if not outcomes:
        return None
    names = ("passed", "judged_invalid", "judged_input", "judged_output", "judge_unreadable", "revised")
    saved = _count(
        connection,
        "SELECT COUNT(*) FROM instances i JOIN requests r ON r.source = i.source AND r.id = i.request_id "
        "WHERE r.stage = 'revise'",
    )
    return {"judged": sum(outcomes.values()), **{name: outcomes.get(name, 0) for name in names}, "saved": saved}


def verdicts_on(connection: sqlite3.Connection, candidate: sqlite3.Row) -> list[tuple[str, str]]:
    """What the judge said of an instance or a rejected one, as (label, text)."""
    row = connection.execute(
        "SELECT * FROM verdicts WHERE (source, request_id, request_position) = (?, ?, ?)",
        [candidate[name] for name in ("source", "request_id", "request_position")],
    ).fetchone()
    if row is None:
        return []
    lines = [("judged", f"{row['outcome']}, request {row['judge_request']}")]
    if row["valid_score"] is None:
        return [*lines, ("  unreadable", row["valid_reason"])]
    labels = {"valid": "valid task", "input": "suitable input", "output": "correct output"}
    for name, label in labels.items():
        lines.append((f"  {label}", f"{row[f'{name}_score']} of 5: {row[f'{name}_reason']}"))
    return lines


def answers_of(connection: sqlite3.Connection, task_id: str) -> list[tuple[str, str]]:
    """All answers to the questions of a task that were asked several times, as (label, text)."""
    found = connection.execute(
        "SELECT r.position, c.text FROM requests r JOIN completions c "  # noqa: S608 - constants
        "ON c.source = r.source AND c.request_id = r.id WHERE r.task_id = ?1 AND r.stage = 'respond' "
        f"AND r.position % {APART} IN (SELECT position % {APART} FROM requests WHERE task_id = ?1 AND {_SAMPLED}) "
        f"ORDER BY r.position % {APART}, r.position",
        (task_id,),
    )
    return [
        (f"answer {row['position'] // APART + 1} of input {row['position'] % APART + 1}", row["text"]) for row in found
    ]


def judged_instances(connection: sqlite3.Connection) -> dict[tuple[str, int] | tuple[str, str, int], Judged]:
    """The instances of the pool that the judge could be read on.

    Each stands there twice: by task and position within it, and by task, request and position in the answer.
    """
    found = connection.execute(
        "SELECT i.task_id, i.position, v.* FROM instances i JOIN verdicts v ON v.source = i.source "
        "AND v.request_id = i.request_id AND v.request_position = i.request_position "
        "WHERE v.valid_score IS NOT NULL ORDER BY i.task_id, i.position"
    )
    judged: dict[tuple[str, int] | tuple[str, str, int], Judged] = {}
    for row in found:
        task = row["task_id"]
        one = Judged(task, row["position"], {name: row[f"{name}_score"] for name in QUESTIONS})
        judged[task, one.position] = judged[task, row["request_id"], row["request_position"]] = one
    return judged


def scores_given(connection: sqlite3.Connection) -> dict[str, dict[int, int]]:
    """How often each score was given, by question; revised forms included."""
    return {
        name: {
            score: _count(connection, f"SELECT COUNT(*) FROM verdicts WHERE {name}_score = ?", (score,))  # noqa: S608
            for score in range(1, BEST + 1)
        }
        for name in QUESTIONS
    }


def judge_rules(connection: sqlite3.Connection) -> dict[str, int] | None:
    """The minimum scores of the round planned last, by question; None where no judge was on."""
    row = connection.execute(
        "SELECT c.settings FROM rounds r JOIN configurations c ON c.id = r.configuration ORDER BY r.number DESC LIMIT 1"
    ).fetchone()
    judge = Settings.from_json(row["settings"]).judge if row else None
    return {name: getattr(judge, f"min_{name}") for name in QUESTIONS} if judge and judge.enabled else None


def task_exists(connection: sqlite3.Connection, task_id: str) -> bool:
    """Is there such a task in the pool?"""
    return connection.execute("SELECT 1 FROM tasks WHERE id = ?", (task_id,)).fetchone() is not None


def _count(connection: sqlite3.Connection, sql: str, values: Sequence[int] = ()) -> int:
    return int(connection.execute(sql, values).fetchone()[0])
