"""The check `toxic`: what it refuses of labelled lines, where it looks, and what is said without its package."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from selfinstruct.checks import CHECKS, chosen, instruction_checks
from selfinstruct.checks.screening import fault_of_input, fault_of_instruction, screen_instances
from selfinstruct.settings import Settings
from selfinstruct.types import InstanceCandidate, Task
from tests.builders import ROOT, settings

LINES = [json.loads(line) for line in (ROOT / "tests/data/toxic_lines.jsonl").read_text("utf-8").splitlines()]
RUDE = "You are an idiot and nobody in this office can stand you."
BREAD = "The bakery on Mill Lane opened in 1987 and moved to the square in 2004. It sells bread, rolls and cakes. "


@pytest.fixture(scope="module")
def toxic() -> Settings:
    pytest.importorskip("profanity_check", reason="TOXIC NOT TESTED: the extra toxic is not installed")
    return settings(checks=("toxic",))


def test_it_is_used_only_where_it_is_named() -> None:
    assert chosen(["default"]) == tuple(CHECKS)
    assert chosen(["default", "toxic"]) == (*CHECKS, "toxic")
    assert chosen(["toxic", "json", "-toxic"]) == ("json",)


def test_most_toxic_lines_are_refused_and_few_that_only_look_so(toxic: Settings) -> None:
    checks = instruction_checks(toxic)
    refused = [line for line in LINES if fault_of_instruction(line["text"], checks)]
    assert sum(line["toxic"] for line in LINES) == 30
    assert sum(line["toxic"] for line in refused) >= 25
    assert [line["text"] for line in refused if not line["toxic"]][5:] == []


def test_one_rude_sentence_is_found_in_a_long_text(toxic: Settings) -> None:
    checks = instruction_checks(toxic)
    assert fault_of_instruction(BREAD * 9, checks) is None
    for text in (f"{BREAD * 9}{RUDE} {BREAD * 9}", f"{BREAD * 9}\n{RUDE}\n"):
        found = fault_of_instruction(text, checks)
        assert found is not None
        assert (found.reason, RUDE[:40] in found.evidence) == ("toxic", True)


@pytest.mark.parametrize("text", ["", "42", "-\n\n...", "你好。"])
def test_a_text_without_english_words_passes(toxic: Settings, text: str) -> None:
    assert fault_of_instruction(text, instruction_checks(toxic)) is None


def test_inputs_are_refused_before_they_are_answered_and_outputs_after(toxic: Settings) -> None:
    task = Task("t", "Write a reply to the letter.", is_classification=False)
    found = fault_of_input(task, RUDE, toxic)
    assert found is not None
    assert found.reason == "toxic"
    assert fault_of_input(task, BREAD, toxic) is None
    rows = [InstanceCandidate("r", 0, BREAD, RUDE), InstanceCandidate("r", 1, BREAD, "Thank you for your bread.")]
    kept, rejected = screen_instances(task, rows, toxic)
    assert ([one.position for one in kept], [one.reason for one in rejected]) == ([1], ["toxic"])


def test_without_its_package_a_run_ends_at_its_start_with_one_line(tmp_path: Path) -> None:
    (tmp_path / "profanity_check.py").write_text("raise ImportError('not here')\n", encoding="utf-8")
    (tmp_path / "c.toml").write_text('[filters]\nchecks = ["default", "toxic"]\n', encoding="utf-8")
    command = [sys.executable, "-m", "selfinstruct", "generate", "--config", "c.toml", "--target", "2"]
    paths = {"PYTHONPATH": f"{tmp_path}:{ROOT}"}
    ran = subprocess.run(command, cwd=tmp_path, env=os.environ | paths, capture_output=True, text=True, check=False)
    assert ran.returncode == 2
    assert 'pip install "selfinstruct[toxic]"' in ran.stderr.splitlines()[-1]
    assert not (tmp_path / "outputs").exists()
