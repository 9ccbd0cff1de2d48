"""Over three hundred rows of our own, half of them with one known fault each: what the rules find and must not find."""

from __future__ import annotations

import json
from collections import Counter
from dataclasses import dataclass

import pytest

from selfinstruct.checks import BUILT_IN, validators
from selfinstruct.checks.instances import INSTANCE_RULES, judge_instances
from selfinstruct.config.loading import load
from selfinstruct.config.shaping import pool_settings
from selfinstruct.types import Instance, InstanceCandidate, Task
from tests.builders import ROOT

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


def verdict(row: Row) -> str:
    """The reason for which the default rules reject a row; empty: they keep it."""
    candidate = InstanceCandidate("r", 0, row.instance.input, row.instance.output)
    _, rejected = judge_instances(row.task, [candidate], DEFAULT, validators=validators(DEFAULT))
    return rejected[0].reason if rejected else ""


def all_faults(row: Row) -> set[str]:
    """What each of the rules says by itself, not only the first that finds something."""
    candidate = InstanceCandidate("r", 0, row.instance.input, row.instance.output)
    found = [rule(row.task, candidate, ()) for rule in INSTANCE_RULES]
    found += [check(row.task, row.instance) for check in validators(DEFAULT)]
    _, together = judge_instances(row.task, [candidate], DEFAULT)
    return {fault.reason for fault in found if fault} | {rejection.reason for rejection in together}


def test_the_set_is_as_described() -> None:
    kinds = Counter(row.fault for row in ROWS)
    assert (len(ROWS), kinds[""]) == (316, 158)
    assert len(kinds) - 1 >= 15
    assert min(kinds.values()) >= 4
    assert len({row.task.id for row in ROWS}) == 316
    assert len({(row.task.instruction, row.instance) for row in ROWS}) == 316


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row.task.id)
def test_each_fault_is_found_and_no_good_row_is_rejected(row: Row) -> None:
    assert verdict(row) == row.fault
    assert all_faults(row) == ({row.fault} if row.fault else set())


@pytest.mark.parametrize("name", BUILT_IN)
def test_each_validator_finds_rows_of_its_kind_by_itself_and_no_others(name: str) -> None:
    found = [row for row in ROWS if BUILT_IN[name](row.task, row.instance)]
    assert len({row.fault for row in found}) == 1
    assert found[0].fault
    assert len(found) >= 2


def test_the_documents_count_the_rows_and_no_seed_is_rejected() -> None:
    good = sum(not row.fault for row in ROWS)
    written = " ".join((ROOT / "docs" / "checks.md").read_text(encoding="utf-8").split())
    for said in (
        f"has {len(ROWS)} rows: {good} good",
        f"{len(ROWS) - good} with",
        f"{len(SEEDS)} instances of the seeds",
    ):
        assert said in written, said
    assert not any(map(verdict, SEEDS))
