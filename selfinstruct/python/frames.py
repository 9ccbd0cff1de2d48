"""What a pool holds as tables of pandas, each with the same columns and types whatever is in it."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict
from typing import Any

import pandas as pd

from selfinstruct.pool.contents import flag_from
from selfinstruct.pool.reader import Reader
from selfinstruct.pool.records import Row
from selfinstruct.types import Origin

Columns = Mapping[str, str]
"""The types of pandas by name of a column; `object` for lists and dicts."""

TASKS: Columns = {
    "id": "string", "position": "int64", "origin": "string", "state": "string", "instruction": "string",
    "is_classification": "boolean", "round": "Int64", "source": "string", "parents": "object",
    "nearest_score": "float64", "nearest_task": "string", "mean_score": "float64", "instances": "int64",
    "is_removed": "bool", "system": "string", "drawn": "object",
}  # fmt: skip
ROWS: Columns = {
    "task_id": "string", "instance": "int64", "origin": "string", "round": "Int64", "parents": "object",
    "model": "string", "output_model": "string", "recipe": "string", "nearest_score": "float64",
    "is_classification": "bool", "instruction": "string", "input": "string", "output": "string",
    "valid_score": "Int64", "input_score": "Int64", "output_score": "Int64", "topic": "string", "source": "string",
    "system": "string", "weak_share": "float64", "strong_share": "float64", "drawn": "object", "turns": "object",
    "is_edited": "bool", "ended": "string",
}  # fmt: skip
REJECTIONS: Columns = {
    "kind": "string", "reason": "string", "round": "Int64", "task_id": "string", "text": "string", "input": "string",
    "evidence": "string", "score": "float64", "nearest_task": "string", "request_id": "string",
    "request_position": "int64", "recording": "int64",
}  # fmt: skip
ANSWERS: Columns = {
    "request_id": "string", "recording": "int64", "stage": "string", "round": "Int64", "task_id": "string",
    "position": "int64", "model": "string", "kind": "string", "text": "string", "reasoning": "string",
    "finish_reason": "string", "prompt_tokens": "int64", "completion_tokens": "int64", "cached_tokens": "int64",
    "latency_s": "float64", "endpoint": "string", "candidates": "Int64", "received_at": "datetime64[ms, UTC]",
}  # fmt: skip
ROUNDS: Columns = {
    "number": "int64", "state": "string", "accepted": "int64", "rejected": "int64", "waiting": "int64",
    "acceptance": "float64", "rejected_instances": "int64", "reasons": "object",
}  # fmt: skip
LINEAGE: Columns = {
    "id": "string", "generation": "int64", "origin": "string", "round": "Int64", "instruction": "string",
    "parents": "object",
}  # fmt: skip


def tasks(pool: Reader) -> pd.DataFrame:
    """Seeds and accepted tasks in their order, removed ones too; columns of `TASKS`."""
    gone, sources = pool.removed(), pool.source_names()
    return _frame(TASKS, (
        (
            one.id, one.position, one.origin, one.state, one.instruction, flag_from(one.is_classification), one.round,
            sources.get(one.id), json.loads(one.parents), one.nearest_score, one.nearest_task, one.mean_score,
            len(one.instances), one.id in gone, one.system, json.loads(one.drawn or "{}"),
        )
        for one in pool.tasks()
    ))  # fmt: skip


def rows(pool: Reader, *, include_seeds: bool = False) -> pd.DataFrame:
    """Finished rows in the order of exports, without those of removed tasks; columns of `ROWS`."""
    origins: Sequence[Origin] = ("seed", "generated") if include_seeds else ("generated",)
    return _frame(ROWS, map(_row, pool.rows(origins, sampled=True)))


def rejections(pool: Reader) -> pd.DataFrame:
    """Rejected candidates in the order of storing; columns of `REJECTIONS`."""
    found = (
        (
            one.of.kind, one.of.reason, one.round, one.of.task_id, one.of.text, one.of.input, one.of.evidence,
            one.of.score, one.of.nearest, one.of.request_id, one.of.position, one.of.source,
        )
        for one in pool.rejections()
    )  # fmt: skip
    return _frame(REJECTIONS, reversed([*found]))


def answers(pool: Reader) -> pd.DataFrame:
    """What models answered, and failures, in the order of arrival; columns of `ANSWERS`."""
    return _frame(ANSWERS, pool.answers())


def rounds(pool: Reader) -> pd.DataFrame:
    """Rounds in their order, with what became of their candidates; columns of `ROUNDS`."""
    return _frame(ROUNDS, _rounds(pool))


def lineage(pool: Reader, task_id: str) -> pd.DataFrame:
    """A task and all that it descends from by being shown, the nearest first; columns of `LINEAGE`.

    Raises:
        ConfigError: there is no such task.
    """
    task_id, known = pool.task_id(task_id), {one.id: one for one in pool.tasks()}
    generations = {task_id: 0}
    latest = [task_id]
    while latest:
        shown = (one for child in latest for one in json.loads(known[child].parents) if one in known)
        latest = [one for one in dict.fromkeys(shown) if one not in generations]
        generations |= dict.fromkeys(latest, max(generations.values()) + 1)
    found = sorted((generation, known[one].position, known[one]) for one, generation in generations.items())
    return _frame(LINEAGE, (
        (one.id, generation, one.origin, one.round, one.instruction, json.loads(one.parents))
        for generation, _, one in found
    ))  # fmt: skip


def _frame(columns: Columns, records: Iterable[Iterable[Any]]) -> pd.DataFrame:
    values = [*zip(*records, strict=True)] or [()] * len(columns)
    pairs = zip(columns.items(), values, strict=True)
    return pd.DataFrame({name: _series(kind, column) for (name, kind), column in pairs})


def _series(kind: str, values: Iterable[Any]) -> pd.Series[Any]:
    found: pd.Series[Any] = pd.Series([*values], dtype=kind)
    return found


def _row(row: Row) -> tuple[Any, ...]:
    return (
        row.task_id, row.number, row.origin, row.round, json.loads(row.parents), row.model, row.output_model,
        row.recipe, row.nearest_score, row.is_classification, row.instruction, row.input, row.output,
        *row.scores, row.topic, row.source, row.system, row.share_right("weak"), row.share_right("strong"),
        json.loads(row.drawn or "{}"), [asdict(turn) for turn in row.turns], row.is_edited, row.ended,
    )  # fmt: skip


def _rounds(pool: Reader) -> Iterator[tuple[Any, ...]]:
    for one in pool.rounds():
        lost, lost_instances = (sum(one.rejected[kind].values()) for kind in ("instruction", "instance"))
        judged = one.accepted + lost
        share = one.accepted / judged if judged else None
        reasons = {kind: dict(found) for kind, found in one.rejected.items()}
        yield one.number, one.state, one.accepted, lost, one.waiting, share, lost_instances, reasons
