"""Which rows are chosen for an export."""

from __future__ import annotations

import json
import random
from fractions import Fraction
from pathlib import Path

import pytest

from selfinstruct.cli import commands as cli
from selfinstruct.errors import ConfigError
from selfinstruct.exports.choice import Choice, farthest_first
from selfinstruct.exports.writing import Options, export
from selfinstruct.types import Instance, Task
from tests.builders import grow, made_pool
from tests.test_export_splits import likeness

SEEDS = [Task("s0", "Name the seas.", False, (Instance("", "North Sea."), Instance("of Asia", "Yellow Sea.")), "seed")]
TASKS = [
    Task("t1", "Add them.", False, (Instance("1, 2", "3"), Instance("10, 20, 30", "60"))),
    Task("t2", "Say yes.", False, (Instance("", "Yes."),)),
    Task("t3", "Never answered.", False),
    Task("t4", "Write much.", False, (Instance("", "x" * 500), Instance("short", "y"))),
]


@pytest.fixture
def pool(tmp_path: Path) -> Path:
    return made_pool(tmp_path / "p", TASKS, SEEDS)


def chosen(pool: Path, choice: Choice) -> list[str]:
    """The outputs of the rows that are exported."""
    found = export(pool, ["alpaca"], pool / "export", Options(choice=choice))
    manifest = json.loads((pool / "export/manifest.json").read_text("utf-8"))
    assert manifest["left_out"]["rows"] == found.left_out
    return [json.loads(line)["output"][:20] for line in found.paths[0].read_text("utf-8").splitlines()]


LONG = "x" * 20


@pytest.mark.parametrize(
    ("choice", "outputs"),
    [
        (Choice(), ["3", "60", "Yes.", LONG, "y"]),
        (Choice(include_seeds=True), ["North Sea.", "Yellow Sea.", "3", "60", "Yes.", LONG, "y"]),
        (Choice(origin="seed"), ["North Sea.", "Yellow Sea."]),
        (Choice(one_instance=True), ["3", "Yes.", LONG]),
        (Choice(one_instance=True, max_chars=100), ["3", "Yes.", "y"]),
        (Choice(min_chars=len("Add them.10, 20, 3060")), ["60", LONG]),
        (Choice(max_chars=len("Add them.10, 20, 3060")), ["3", "60", "Yes.", "y"]),
        (Choice(min_chars=13, max_chars=14), ["3"]),
        (Choice(limit=99), ["3", "60", "Yes.", LONG, "y"]),
    ],
)
def test_rows_are_chosen_as_asked_in_the_order_of_the_pool(pool: Path, choice: Choice, outputs: list[str]) -> None:
    assert chosen(pool, choice) == outputs


@pytest.mark.parametrize(
    ("choice", "line"),
    [
        (Choice(origin="seed", include_seeds=True), "--include-seeds: --origin seed takes seeds alone"),
        (Choice(limit=0), "--limit: 0 given, wanted a whole number, 1 or more"),
        (Choice(min_chars=-3), "--min-chars: -3 given, wanted a whole number, 1 or more"),
        (Choice(min_chars=9, max_chars=8), "--min-chars 9 is more than --max-chars 8: no row is left"),
    ],
)
def test_bounds_that_cannot_be_meant_are_one_clear_line(pool: Path, choice: Choice, line: str) -> None:
    with pytest.raises(ConfigError, match=line):
        export(pool, ["alpaca"], pool / "export", Options(choice=choice))
    assert not (pool / "export").exists()


def test_the_options_of_the_command_are_those_of_the_choice(pool: Path) -> None:
    command = ["export", str(pool), "--include-seeds", "--one-instance", "--min-chars", "2", "--max-chars", "200"]
    assert cli.run([*command, "--limit", "2", "--origin", "generated"]) == 0
    manifest = json.loads((pool / "export/manifest.json").read_text("utf-8"))
    wanted = {
        "origin": "generated", "include_seeds": True, "one_instance": True, "min_chars": 2, "max_chars": 200,
        "limit": 2, "max_tokens": None, "split": None, "system": "", "mixed_prompts": False,
        "formats": ["alpaca", "messages"],
    }  # fmt: skip
    assert wanted.items() <= manifest["export"].items()
    assert cli.run(["export", str(pool), "--origin", "nowhere"]) == 2


# --- a diverse choice -----------------------------------------------------------------------------------------------


def test_the_choice_depends_on_the_rows_alone_and_a_larger_one_holds_the_smaller() -> None:
    generator = random.Random(3)
    words = [f"w{n}" for n in range(40)]
    texts = {n: " ".join(generator.choices(words, k=8)) for n in range(700)}
    names = {n: f"{n}/0" for n in texts}
    found = farthest_first(names, 300, texts.__getitem__)
    assert len(set(found)) == 300
    backwards = dict(reversed(names.items()))
    assert farthest_first(backwards, 300, texts.__getitem__) == found
    assert farthest_first(names, 50, texts.__getitem__) == found[:50]


def test_each_row_is_within_a_step_of_the_farthest() -> None:
    generator = random.Random(4)
    words = [f"w{n}" for n in range(12)]
    texts = {n: " ".join(generator.choices(words, k=6)) for n in range(90)}
    found = farthest_first({n: f"{n}/0" for n in texts}, 40, texts.__getitem__)
    for place in range(1, 40):
        scores = {
            n: max(likeness(texts[n], texts[one]) for one in found[:place]) for n in set(texts) - set(found[:place])
        }
        assert scores[found[place]] <= max(Fraction(1, 10), min(scores.values()) + Fraction(1, 20))


def test_a_limit_keeps_the_order_of_the_pool_and_grows_by_rows(tmp_path: Path) -> None:
    grow(tmp_path / "p", target=25)
    everything = chosen_rows(tmp_path / "p", Choice())
    few, more = (chosen_rows(tmp_path / "p", Choice(limit=count)) for count in (6, 15))
    assert (len(few), len(more)) == (6, 15)
    assert set(few) <= set(more)
    assert few == [row for row in everything if row in set(few)]
    assert few != everything[:6]


def chosen_rows(pool: Path, choice: Choice) -> list[str]:
    export(pool, ["alpaca"], pool / "export", Options(choice=choice))
    return (pool / "export/alpaca.jsonl").read_text("utf-8").splitlines()
