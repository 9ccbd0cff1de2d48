"""How many candidates each stage of screening saw and left, and what agreement and the judge came to."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from typing import TYPE_CHECKING

from selfinstruct.types import APART, BY_JUDGE, BY_STEPS

if TYPE_CHECKING:
    from selfinstruct.pool.reader import Reader

READ = "read"
UNREAD = frozenset(
    {"unreadable", "no_label", "no_answer", "no_agreement", "answer_disagrees", "open_answer", "input_not_needed"}
)
"""Reasons for which nothing is left that a rule could look at."""
JUDGED_BY = {
    "instruction": ("rules", "novelty", "decontamination"),
    "instance": ("rules", "decontamination", "judge", "steps"),
}
"""The stages after reading, by kind, the cheapest first."""
_STAGE_OF = {
    "near_duplicate": "novelty",
    "contaminated": "decontamination",
    **dict.fromkeys(BY_JUDGE, "judge"),
    **dict.fromkeys(BY_STEPS, "steps"),
}
SAMPLED = f"stage = 'respond' AND position / {APART} = 1 AND state = 'answered'"
"""The second answer to a question."""


def by_stage(
    rejected: Mapping[tuple[str, str], int], kept: Mapping[str, int], waiting: int
) -> dict[str, dict[str, dict[str, int]]]:
    """How many instructions and how many instances each stage of screening saw and left, in order of price.

    `rejected` counts rejections by kind and reason, `kept` what was taken by kind. What still waits is read, and seen
    by nothing else yet. A revised or changed instance counts as another one. What a step of the user's refuses for a
    reason of its own counts with the rules.
    """
    lost: dict[str, Counter[str]] = {"instruction": Counter(), "instance": Counter()}
    for (kind, reason), count in rejected.items():
        lost[kind][_stage(kind, reason)] += count
    found: dict[str, dict[str, dict[str, int]]] = {}
    for kind, reasons in lost.items():
        undecided = waiting if kind == "instruction" else 0
        seen = kept[kind] + reasons.total() + undecided
        found[f"{kind}s"] = {READ: {"seen": seen, "left": seen - reasons[READ]}}
        seen -= reasons[READ] + undecided
        for stage in JUDGED_BY[kind]:
            found[f"{kind}s"][stage] = {"seen": seen, "left": seen - reasons[stage]}
            seen -= reasons[stage]
    return found


def _stage(kind: str, reason: str) -> str:
    """The stage of screening at which candidates of a kind are rejected for a reason."""
    if reason in UNREAD or (kind == "instruction" and reason == "cut_off"):
        return READ
    return _STAGE_OF.get(reason, "rules")


def of_agreement(pool: Reader) -> dict[str, int] | None:
    """How many questions were asked several times, and for how many too few answers agreed; None: for none."""
    asked, apart = pool.connection.execute(
        f"SELECT (SELECT COUNT(*) FROM requests WHERE {SAMPLED}), "
        "(SELECT COUNT(*) FROM rejections WHERE reason = 'no_agreement')"
    ).fetchone()
    return {"asked": asked, "no_agreement": apart} if asked else None


def of_judge(pool: Reader) -> dict[str, int] | None:
    """What became of the instances that were shown to the judge; None where none was.

    `judged` is the sum of `passed`, the four reasons and `revised`, all of the first form of an instance; `saved` are
    the revised ones that were kept in their second form.
    """
    outcomes = dict(
        pool.connection.execute(
            f"SELECT COALESCE(IIF(j.reason IN {BY_JUDGE}, j.reason, NULL), "
            "IIF(i.task_id IS NULL, v.outcome, 'passed')), COUNT(*) FROM verdicts v "
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
    saved = pool.connection.execute(
        "SELECT COUNT(*) FROM instances i JOIN requests r ON r.source = i.source AND r.id = i.request_id "
        "WHERE r.stage = 'revise'"
    ).fetchone()[0]
    return {"judged": sum(outcomes.values()), **{name: outcomes.get(name, 0) for name in names}, "saved": saved}
