"""Over three hundred rows of our own, half of them with one known fault each: what the rules find and must not find."""

from __future__ import annotations

import json
from collections import Counter
from dataclasses import dataclass

import pytest

from selfinstruct.checks import CHECKS
from selfinstruct.checks.screening import screen_instances
from selfinstruct.config.loading import load
from selfinstruct.config.shaping import pool_settings
from selfinstruct.types import Instance, InstanceCandidate, Task
from tests.builders import ROOT, changed

DEFAULT = pool_settings(load(None, {}), "m")


@dataclass(frozen=True)
class Row:
    task: Task
    instance: Instance
    fault: str = ""


def labelled() -> list[Row]:
    lines = (ROOT / "tests" / "data" / "labelled_rows.jsonl").read_text(encoding="utf-8").split("\n")
    read = [json.loads(line) for line in lines if line]
    return [
        Row(
            Task(row["id"], row["instruction"], row["is_classification"]),
            Instance(row["input"], row["output"]),
            row["fault"],
        )
        for row in read
    ]


ROWS = labelled()
SEEDS = [
    Row(Task(row["id"], row["instruction"], row["is_classification"]), Instance(one["input"], one["output"]))
    for path in sorted((ROOT / "seeds").glob("*.jsonl"))
    for row in map(json.loads, path.read_text(encoding="utf-8").splitlines())
    for one in row["instances"]
]


def found(row: Row, *names: str) -> str:
    """The reason for which these checks reject a row; empty: they keep it."""
    candidate = InstanceCandidate("r", 0, row.instance.input, row.instance.output)
    _, rejected = screen_instances(row.task, [candidate], changed(DEFAULT, checks=names))
    return rejected[0].reason if rejected else ""


def test_the_set_is_as_described() -> None:
    kinds = Counter(row.fault for row in ROWS)
    assert (len(ROWS), kinds[""]) == (316, 158)
    assert len(kinds) - 1 >= 15
    assert min(kinds.values()) >= 4
    assert len({row.task.id for row in ROWS}) == 316
    assert len({(row.task.instruction, row.instance) for row in ROWS}) == 316


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row.task.id)
def test_each_fault_is_found_and_no_good_row_is_rejected(row: Row) -> None:
    assert found(row, *CHECKS) == row.fault
    assert {found(row, name) for name in CHECKS} - {""} == ({row.fault} if row.fault else set())


def test_the_documents_count_the_rows_and_no_seed_is_rejected() -> None:
    good = sum(not row.fault for row in ROWS)
    written = " ".join((ROOT / "docs" / "checks.md").read_text(encoding="utf-8").split())
    for said in (
        f"has {len(ROWS)} rows: {good} good",
        f"{len(ROWS) - good} with",
        f"{len(SEEDS)} instances of the seeds",
    ):
        assert said in written, said
    assert not any(found(row, *CHECKS) for row in SEEDS)
