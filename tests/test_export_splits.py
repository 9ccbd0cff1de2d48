"""Splits: nothing alike across sides, and no row ever changes side."""

from __future__ import annotations

import json
from collections.abc import Sequence
from fractions import Fraction
from itertools import permutations
from pathlib import Path

import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from selfinstruct.cli import commands as cli
from selfinstruct.errors import ConfigError
from selfinstruct.exports.choice import Choice
from selfinstruct.exports.splits import Sides, Split, split_of, walk
from selfinstruct.exports.writing import Exported, Options, export
from selfinstruct.similarity.tokens import TOKENIZERS
from selfinstruct.types import Instance, Task
from tests.builders import grow, made_pool

HALVES = split_of("train=0.5,test=0.5")
USUAL = [1, 1, 0, 0, 0, 0, 0, 0, 0, 0, 1, 0, 0, 0, 1, *[0] * 9]
"""Where `train=0.9,test=0.1` puts the tasks 0 to 23; as a pool's rows keep their sides, it never changes."""
Walked = tuple[int, str, Sequence[str]]


def likeness(one: str, other: str) -> Fraction:
    """ROUGE-L F1 as it is defined."""
    a, b = (TOKENIZERS["unicode"](text) for text in (one, other))
    row = [0] * (len(b) + 1)
    for x in a:
        before, row = row, [0]
        for place, y in enumerate(b):
            row.append(before[place] + 1 if x == y else max(before[place + 1], row[place]))
    return Fraction(2 * row[-1], len(a) + len(b)) if a and b else Fraction(0)


def expected(tasks: Sequence[Walked], split: Split) -> list[str | None]:
    """The sides by their rule, every pair compared."""
    names = list(split.shares)
    found: list[str | None] = []
    for place, (_, task_id, texts) in enumerate(tasks):
        near = {
            found[earlier]
            for earlier in range(place)
            if any(likeness(one, other) > Fraction(1, 2) for one in texts for other in tasks[earlier][2])
        } - {None}
        found.append(near.pop() if len(near) == 1 else None if near else names[split.drawn(task_id)])
    return found


def sides_of(sides: Sides, tasks: Sequence[Walked]) -> list[str | None]:
    return [sides.of(position) for position, _, _ in tasks]


WORDS = st.lists(st.sampled_from(["sort", "the", "words", "by", "length", "add", "two"]), min_size=1, max_size=6)
TASKS = st.lists(st.lists(WORDS.map(" ".join), min_size=1, max_size=3), max_size=40).map(
    lambda texts: [(2 * place + 1, f"t{place:020x}", own) for place, own in enumerate(texts)]
)


@settings(max_examples=50)
@given(tasks=TASKS, batch=st.integers(1, 50), text=st.sampled_from(["a=0.5,b=0.5", "a=0.2,b=0.3,c=0.5"]))
def test_each_task_is_on_the_side_that_the_rule_says(tasks: list[Walked], batch: int, text: str) -> None:
    split = split_of(text)
    assert sides_of(walk(tasks, split, batch), tasks) == expected(tasks, split)


@settings(max_examples=50)
@given(tasks=TASKS, until=st.integers(0, 40), batch=st.integers(1, 50))
def test_what_comes_later_changes_no_side(tasks: list[Walked], until: int, batch: int) -> None:
    early = tasks[:until]
    assert sides_of(walk(tasks, HALVES, batch), early) == sides_of(walk(early, HALVES), early)


def test_a_task_between_two_sides_is_left_out_and_has_no_say() -> None:
    ids: dict[str, list[str]] = {"train": [], "test": []}
    for name in (f"t{number:020x}" for number in range(60)):
        ids[list(HALVES.shares)[HALVES.drawn(name)]].append(name)
    tasks = [
        (0, ids["train"][0], ["a b c d"]),
        (1, ids["test"][0], ["e f g h"]),
        (2, ids["test"][1], ["a b c d e f g h"]),  # two thirds to both
        (3, ids["train"][1], ["b c d e f g"]),  # like the last alone
    ]
    assert sides_of(walk(tasks[:3], HALVES), tasks[:3]) == ["train", "test", None]
    assert likeness(tasks[3][2][0], tasks[2][2][0]) > Fraction(1, 2)
    assert sides_of(walk(tasks, HALVES), tasks) == expected(tasks, HALVES)


# --- in a pool ------------------------------------------------------------------------------------------------------


def rows_by_side(out: Path, split: str) -> dict[tuple[str, str, str], str]:
    found: dict[tuple[str, str, str], str] = {}
    for name in split_of(split).shares:
        for line in (out / f"alpaca-{name}.jsonl").read_text("utf-8").splitlines():
            row = json.loads(line)
            found[row["instruction"], row["input"], row["output"]] = name
    return found


def exported(pool: Path, out: Path, split: str = "train=0.6,test=0.4", **choice: object) -> Exported:
    return export(pool, ["alpaca"], out, Options(choice=Choice(**choice), split=split_of(split)))  # type: ignore[arg-type]


def test_growing_a_pool_removing_tasks_and_choosing_rows_moves_no_row(tmp_path: Path) -> None:
    pool, out, split = tmp_path / "p", tmp_path / "x", "train=0.6,test=0.4"
    grow(pool, target=25)
    first = exported(pool, out)
    before = rows_by_side(out, split)
    assert len(before) == first.rows > 20
    assert set(before.values()) == {"train", "test"}
    grow(pool, more=25)
    exported(pool, out)
    after = rows_by_side(out, split)
    assert len(after) > 40
    assert {row: after[row] for row in before} == before
    gone = [row[0] for row in list(before)[::3]]
    quoted = ", ".join("'" + text.replace("'", "''") + "'" for text in gone)
    assert cli.run(["remove", str(pool), "--where", f"instruction IN ({quoted})", "--reason", "a test"]) == 0
    exported(pool, out)
    left = rows_by_side(out, split)
    assert 0 < len(left) < len(after)
    assert left == {row: after[row] for row in left}
    for choice in ({"limit": 12}, {"one_instance": True}, {"max_chars": 150}, {"include_seeds": True}):
        exported(pool, out, **choice)
        chosen = rows_by_side(out, split)
        assert {row: side for row, side in chosen.items() if row in left} == {
            row: left[row] for row in chosen if row in left
        }


def test_bridges_are_counted_and_named_and_all_rows_of_a_task_are_on_one_side(tmp_path: Path) -> None:
    texts = ["a b c d", "e f g h", "a b c d e f g h", "i j k l"]
    every = ([f"t{shift + number:020x}" for number in range(4)] for shift in range(400))
    names = next(names for names in every if HALVES.drawn(names[0]) != HALVES.drawn(names[1]))
    tasks = [
        Task(name, text, False, (Instance("", "One."), Instance(" ".join(f"{name}{n}" for n in range(9)), "Two.")))
        for name, text in zip(names, texts, strict=True)
    ]
    found = exported(made_pool(tmp_path / "p", tasks), tmp_path / "x", "train=0.5,test=0.5")
    manifest = json.loads((tmp_path / "x/manifest.json").read_text("utf-8"))
    sides = rows_by_side(tmp_path / "x", "train=0.5,test=0.5")
    for text in {row[0] for row in sides}:
        assert len({side for row, side in sides.items() if row[0] == text}) == 1
    assert {row[0] for row in sides} == {texts[0], texts[1], texts[3]}
    assert found.left_out == manifest["left_out"]["rows"] == {"bridges_splits": 2}
    lines = [json.loads(line) for line in (tmp_path / "x/left_out.jsonl").read_text("utf-8").splitlines()]
    assert {"task_id": names[2], "instance": 0, "format": None, "reason": "bridges_splits"} in lines
    assert len(lines) == 2


def test_shares_are_told_with_a_warning_where_they_are_far_off(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    apart = [" ".join(f"{word}{n}" for word in ("stone", "river", "cloud", "candle")) for n in range(60)]
    tasks = [Task(f"t{n:020x}", text, False, (Instance("", "Yes."),)) for n, text in enumerate(apart)]
    assert cli.run(["export", str(made_pool(tmp_path / "p", tasks)), "--split", "a=0.5,b=0.5"]) == 0
    err = capsys.readouterr().err
    assert "a: " in err
    assert "wanted 50.0%" in err
    assert "warning" not in err
    alike = [Task(f"t{n:020x}", "all of these are alike", False, (Instance(f"{n}", "Yes."),)) for n in range(60)]
    assert cli.run(["export", str(made_pool(tmp_path / "q", alike)), "--split", "a=0.5,b=0.5"]) == 0
    err = capsys.readouterr().err
    assert "100.0% of the rows, wanted 50.0%" in err
    assert err.count("off by more than half") == 2
    names = {path.name for path in (tmp_path / "q/export").iterdir()}
    assert {"alpaca-a.jsonl", "alpaca-b.jsonl", "messages-a.jsonl", "messages-b.jsonl"} <= names


def test_a_side_without_rows_is_not_told_to_trainers(tmp_path: Path) -> None:
    alike = [Task(f"t{n:020x}", "all of these are alike", False, (Instance(f"{n}", "Yes."),)) for n in range(9)]
    found = exported(made_pool(tmp_path / "p", alike), tmp_path / "x", "a=0.5,b=0.5")
    (empty,) = [path.name for path, count in found.counts.items() if not count]
    assert empty not in (tmp_path / "x/dataset_info.json").read_text("utf-8")
    assert f"path: {empty}" not in (tmp_path / "x/README.md").read_text("utf-8")
    for side in ("a", "b"):  # the larger share is to be trained on
        exported(tmp_path / "p", tmp_path / side, "a=0.6,b=0.4" if side == "a" else "a=0.4,b=0.6")
        config = tmp_path / side / "axolotl.yaml"
        there = set(rows_by_side(tmp_path / side, "a=0.5,b=0.5").values())
        assert config.exists() == (there == {side})
        assert not config.exists() or "test_datasets" not in config.read_text("utf-8")


@pytest.mark.parametrize(
    ("text", "trained", "order"),
    [
        ("test=0.4,train=0.6", "train", ["train", "test"]),
        ("test=0.6,train=0.4", "train", ["train", "test"]),
        ("test=0.1,validation=0.1,train=0.8", "train", ["train", "validation", "test"]),
        ("b=0.3,a=0.1,c=0.6", "c", ["a", "b", "c"]),
        ("b=0.5,a=0.5", "a", ["a", "b"]),
        ("heldout=0.3,test=0.2,learn=0.5", "learn", ["test", "heldout", "learn"]),
    ],
)
def test_the_order_in_which_sides_are_named_makes_no_difference(
    tmp_path: Path, text: str, trained: str, order: list[str]
) -> None:
    apart = [" ".join(f"{word}{n}" for word in ("stone", "river", "cloud", "candle")) for n in range(60)]
    tasks = [Task(f"t{n:020x}", text, False, (Instance("", "Yes."),)) for n, text in enumerate(apart)]
    pool = made_pool(tmp_path / "p", tasks)
    exports = []
    for number, parts in enumerate(permutations(text.split(","))):
        exported(pool, tmp_path / str(number), ",".join(parts))
        exports.append({path.name: path.read_bytes() for path in (tmp_path / str(number)).iterdir()})
    assert all(one == exports[0] for one in exports)
    assert list(split_of(text).shares) == order
    config = yaml.safe_load(exports[0]["axolotl.yaml"])
    assert [one["path"] for one in config["datasets"]] == [f"alpaca-{trained}.jsonl"]
    assert [one["path"] for one in config["test_datasets"]] == [f"alpaca-{s}.jsonl" for s in order if s != trained]


def test_sides_of_the_usual_spelling_are_drawn_in_the_order_in_which_it_names_them() -> None:
    split = split_of("train=0.9,test=0.1")
    assert [split.drawn(f"t{number:020x}") for number in range(24)] == USUAL


@pytest.mark.parametrize(
    "text",
    ["Train=0.5,train=0.5", "all=0.5,test=0.5", "All=0.5,test=0.5", "train", "train=1", "train=0.5,test=0.4",
     "train=0.5,train=0.5", "a/b=0.5,c=0.5", "a=-1,b=2", "a=x,b=1", "a=0,b=1", "a=1/0,b=1", "",
     ",".join(f"s{n}=0.05" for n in range(20))],
)  # fmt: skip
def test_a_split_that_cannot_be_meant_is_one_clear_line(text: str) -> None:
    with pytest.raises(ConfigError, match="wanted two or more names with shares that sum up to 1"):
        split_of(text)


@settings(max_examples=20)
@given(st.integers(0, 2**64))
def test_shares_are_kept_where_nothing_is_alike(first: int) -> None:
    split = split_of("train=0.9,test=0.1")
    drawn = [split.drawn(f"t{first + number:020x}") for number in range(2000)]
    assert 100 < drawn.count(1) < 300
