"""Constraints on answers: what is drawn, how it is said, and which answers keep to it."""

from __future__ import annotations

import json
import re
from itertools import combinations
from pathlib import Path
from random import Random

import pytest

from selfinstruct.cli import commands as cli
from selfinstruct.config.loading import load
from selfinstruct.constraints import IN_IFEVAL, KINDS, LANGUAGES, _wordings, draw, missed
from selfinstruct.errors import ConfigError
from selfinstruct.exports.writing import export
from selfinstruct.pool.reader import snapshot
from selfinstruct.rewards import keeps_constraints
from selfinstruct.types import Constraint
from tests.builders import ROOT, assert_it_adds_up, exported, grow, rows

HOLDS = {
    "at_most_words": ({"words": 3}, "One two three.", "One two three four."),
    "at_least_words": ({"words": 3}, "One two-sided thing.", "One two-sided."),
    "words_between": ({"least": 2, "most": 3}, "今天好", "今天很好"),
    "at_most_characters": ({"characters": 5}, " 12345\n", "123456"),
    "at_most_sentences": ({"sentences": 2}, "It is 3.5. Well!", "One. Two. Three"),
    "sentences": ({"sentences": 2}, "今天好。明天呢？", "今天好。明天呢？好。"),
    "short_sentences": ({"words": 3}, "One two three. One.", "One two. One two three four."),
    "paragraphs": ({"paragraphs": 2}, "One.\nStill one.\n\nTwo.\n", "One.\n\nTwo.\n\nThree."),
    "one_line": ({}, "All of it.\n", "Some of it.\nMore."),
    "bullets": ({"items": 2}, "Here:\n- a\n* b", "- a\n- b\n- c"),
    "numbered": ({"items": 2}, "1. a\n2. b", "1. a\n3. b"),
    "alphabetical": ({}, "- Ant\n- bee\n- Cat", "- bee\n- Ant\n- Cat"),
    "labelled_steps": ({"steps": 2}, "Step 1: a\nStep 2: b", "Step 1: a\nb"),
    "table": ({"columns": 2}, "| a | b |\n|---|---|\n| 1 | 2 |", "| a | b |\n| 1 | 2 |"),
    "json_object": ({"first": "a", "second": "b"}, '```json\n{"a": 1, "b": 2}\n```', '{"a": 1}'),
    "code_block": ({}, "```\nx = 1\n```", "```\nx = 1\n```\nThat is it."),
    "heading": ({}, "# Title\nText", "Title\nText"),
    "begins_with": ({"word": "today"}, '"Today is fine.', "It is fine today."),
    "ends_with": ({"words": "That is all."}, "It is. That is all.\n", "That is all. Bye."),
    "ends_with_question": ({}, "Is it?", "Is it? Yes."),
    "postscript": ({}, "Text.\n\nP.S. More.", "P.S. More.\n\nText."),
    "in_quotes": ({}, '"All of it."', 'He said "no" and left.'),
    "lower_case": ({}, "no capitals, 3", "One capital"),
    "upper_case": ({}, "ALL OF IT", "MOST of IT"),
    "includes": ({"word": "often"}, "Often so.", "Oftener."),
    "word_times": ({"word": "今天", "times": 2}, "今天和今天", "今天"),
    "avoids": ({"word": "very"}, "It is every day.", "Very good."),
    "avoids_letter": ({"letter": "z"}, "No such letter", "Zero"),
    "no_commas": ({}, "One; two", "一，二"),
    "no_digits": ({}, "one", "1"),
    "numbers": ({"numbers": 2}, "3.5 and 1,000", "3.5"),
    "bold": ({"phrases": 1}, "It is **so**.", "It is *so*."),
}


@pytest.mark.parametrize("name", KINDS)
def test_a_checker_tells_answers_that_keep_to_it_from_others(name: str) -> None:
    arguments, good, bad = HOLDS[name]
    one = Constraint(name, arguments, "So.")
    assert missed([one], good) is None
    assert missed([one], bad) is one
    missed([one], "")


def test_every_kind_is_described() -> None:
    text = (ROOT / "docs/checks.md").read_text(encoding="utf-8").partition("## Constraints")[2].partition("\n## ")[0]
    assert re.findall(r"`(\w+)`", text.partition("The kinds:")[2]) == list(KINDS)


@pytest.mark.parametrize("language", LANGUAGES)
def test_what_is_drawn_is_said_whole_and_never_contradicts_itself(language: str) -> None:
    seen = set()
    for seed in range(2000):
        found = draw(Random(seed), 3, language, KINDS)
        assert 1 <= len(found) <= 3
        assert found == draw(Random(seed), 3, language, KINDS)
        for one, other in combinations(found, 2):
            assert not KINDS[one.name].claims & KINDS[other.name].claims
        for one in found:
            assert "{" not in one.words
            assert all(str(value) in one.words for value in one.arguments.values())
            KINDS[one.name].holds("Any answer.", **one.arguments)
        seen |= {one.name for one in found}
    assert seen == {name for name in KINDS if language in _wordings()[name]}
    assert len(KINDS) >= 30


def config(folder: Path, text: str) -> Path:
    path = folder / "c.toml"
    path.write_text(f'[model]\nbackend = "offline"\n[constraints]\n{text}\n', encoding="utf-8")
    return path


def test_rows_of_a_pool_keep_to_what_their_instruction_says(tmp_path: Path) -> None:
    chosen = config(tmp_path, 'share = 0.7\nmost = 2\nleave_out = ["ifeval", "bold"]')
    assert grow(tmp_path / "p", config=chosen, target=40, concurrency=1).exit_code == 0
    assert grow(tmp_path / "q", config=chosen, target=40, concurrency=64).exit_code == 0
    assert exported(tmp_path / "p") == exported(tmp_path / "q")
    assert_it_adds_up(tmp_path / "p")
    with snapshot(tmp_path / "p") as pool:
        kept = [(row, json.loads(row.constraints)) for row in pool.rows() if row.constraints]
    assert len(kept) > 2
    for row, constraints in kept:
        assert row.instruction.endswith(" ".join(one["words"] for one in constraints))
        assert all(KINDS[one["name"]].holds(row.output, **one["arguments"]) for one in constraints)
        assert not {one["name"] for one in constraints} & {*IN_IFEVAL, "bold"}
    export(tmp_path / "p", ["grpo"], tmp_path / "out")
    lines = [json.loads(line) for line in (tmp_path / "out" / "grpo.jsonl").read_text("utf-8").splitlines()]
    asked = {line["prompt"][0]["content"]: line for line in lines if line["constraints"] != "[]"}
    for row, _ in kept:
        line = asked[f"{row.instruction}\n\n{row.input}" if row.input else row.instruction]
        assert keeps_constraints([""], [row.output], [line["constraints"]]) == [1.0]
    reasons = rows(tmp_path / "p", "SELECT reason FROM rejections WHERE reason LIKE 'constraint_missed:%'")
    assert reasons
    labelled = "SELECT COUNT(*) FROM tasks WHERE is_classification AND origin = 'generated' AND constraints != ''"
    assert rows(tmp_path / "p", labelled) == [(0,)]


def test_a_replay_of_two_pools_has_the_constraints_that_their_answers_were_asked_with(tmp_path: Path) -> None:
    chosen = config(tmp_path, "share = 1")
    recorded = dict[str, str]()
    drawn = "SELECT instruction, constraints FROM tasks WHERE constraints != ''"
    for seed in (1, 2):
        grow(tmp_path / f"{seed}", config=chosen, target=20, seed=seed)
        recorded |= dict(rows(tmp_path / f"{seed}", drawn))
    replay = ["replay", tmp_path / "1", tmp_path / "2", "--pool", tmp_path / "both", "--config", chosen]
    assert cli.run([str(word) for word in replay]) == 0
    found = dict(rows(tmp_path / "both", drawn + " AND source = 1"))
    both = found.keys() & recorded.keys()
    assert len(both) > 5
    assert {text: found[text] for text in both} == {text: recorded[text] for text in both}


@pytest.mark.parametrize(
    ("text", "line"),
    [
        ('kinds = ["no_coma"]', "did you mean no_commas"),
        ('share = 1\nkinds = ["bold"]\nleave_out = ["ifeval"]', "constraints.leave_out leaves no kind"),
        ('share = 1\n[recipe]\nname = "paper"', "constraints.share: the recipe paper"),
    ],
)
def test_settings_that_cannot_be_used_are_one_line(tmp_path: Path, text: str, line: str) -> None:
    with pytest.raises(ConfigError, match=line):
        load(config(tmp_path, text), {})
