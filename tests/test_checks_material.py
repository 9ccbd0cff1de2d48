"""Rows of real, small models: material that is none, echoes of prompts and seeds, texts that ask nothing."""

from __future__ import annotations

import json
from collections import Counter
from itertools import groupby

import pytest

from selfinstruct.checks import instruction_checks
from selfinstruct.checks.screening import fault_of_instruction, screen_instances
from selfinstruct.types import Instance, InstanceCandidate, Task
from tests.builders import ROOT, settings

REAL = ROOT.parent / "shared/data/real_models"
SETTINGS = settings()
CHECKS = instruction_checks(SETTINGS)
SEED = Task(
    "s",
    "Thank the caller.",
    False,
    (Instance("Mrs Vo rang about the lost blue umbrella.", "Thank you for ringing us."),),
)


def decided(instruction: str, *rows: tuple[str, str]) -> list[tuple[str, str] | str]:
    """What becomes of (input, output) of one task: the instance, or the reason."""
    if fault := fault_of_instruction(instruction, CHECKS):
        return [fault.reason] * len(rows)
    candidates = [InstanceCandidate("r", place, *row) for place, row in enumerate(rows)]
    kept, rejected = screen_instances(Task("t", instruction, False), candidates, SETTINGS, (), [SEED])
    ends = {one.position: (one.input, one.output) for one in kept} | {one.position: one.reason for one in rejected}
    return [ends[place] for place in range(len(rows))]


NEEDLESS = [
    ("Write a Python function that adds two numbers.", "two_numbers", "def add(a, b):\n    return a + b"),
    ("Write a Python function that adds two numbers.", "a list of numbers", "def add(a, b):\n    return a + b"),
    ("Show how to sort a list in Java.", "example list", "Call Collections.sort(names)."),
    ("Explain what a mortgage is.", "Explain what a mortgage is", "A loan for a house, which secures it."),
    ("Explain what a mortgage is.", "...", "A loan for a house, which secures it."),
    (
        "What are the benefits of sleep?",
        "Sleep helps the body repair its muscles and strengthens what was learned.",
        "Sleep helps the body repair its muscles and strengthens what was learned. It lifts the mood.",
    ),
]
FAULTY = [
    ("Find the mistake in the following function.", "", "The loop never ends.", "no_material"),
    ("Compare the original text with the new one and count the words.", "", "The new one is longer.", "no_material"),
    ("Summarise this article in one sentence.", "article.txt", "It is about trade.", "described_input"),
    ("Sort the following list of names by length.", "a list of names", "Ann, Bert, Clara", "described_input"),
    ("Sort the following list of names by length.", "*", "Ann, Bert, Clara", "letterless_input"),
    ("Name a river in Peru.", "", "...", "letterless"),
    ("Filter the entries of a database by a condition.", "", "Sure, please provide the database.", "asks_for_input"),
    ("Create a plan for a new tool.", "", "Sure, I can. What kind of tool are you referring to?", "asks_for_input"),
    ("Add two items to a cart.", "", "I'm ready to help. Which ones?", "asks_for_input"),
    ("Write the antonym for the following words.", "", "Word: Happy\nAntonym: Sad", "no_material"),
    (
        "Name three good habits.",
        "",
        "No greeting, no preamble, no remark about what you are going to do.",
        "prompt_echo",
    ),
    ("Say what the caller lost.", "Mrs Vo rang about the lost blue umbrella.", "Her umbrella.", "copied_instance"),
    ("Say goodbye in two words to a guest.", "", "Thank you for ringing us.", "copied_instance"),
    ("Name an author of the last century whose book is considered to be", "", "Proust.", "unfinished"),
    ("Does it make sense to consider a", "", "Yes.", "unfinished"),
    ("Write a map of a city in words.", "", "I apologize, but I can't assist with that request.", "refusal"),
    ("Translate the paragraph into plain English.", "", "It is plain.", "no_material"),
    ("Name the animal that is usually called", "", "A dog.", "unfinished"),
]
GOOD = [
    ("Which operator divides two integers in Python without a rest?", "", "//"),
    ("Give the opposite of the word.", "list", "A heap."),
    ("Write a function that, given the following two arguments, adds them: a and b.", "", "def f(a, b): return a + b"),
    ("Correct the grammar of the sentence.", "She go to the market every day.", "She goes to the market every day."),
    ("Explain the following words: tort, lien.", "", "A tort is a civil wrong, a lien a right to keep goods."),
    ("Write an email that asks a client for the missing figures.", "", "Could you please provide the missing figures?"),
    ("Try coming up with a name for a bakery.", "", "Crumbs"),
    ("Draw a conclusion from the two statements.", "All cats sleep. Tom is a cat.", "Tom sleeps."),
    ("Two marbles are drawn from a bag of three red and two blue ones. How likely are two red ones?", "", "3/10"),
    ("Which of the two numbers is larger?", "first: 3, second: 5", "second"),
]  # fmt: skip


@pytest.mark.parametrize(("instruction", "given", "output"), NEEDLESS)
def test_a_needless_input_is_dropped_and_the_row_kept(instruction: str, given: str, output: str) -> None:
    assert decided(instruction, (given, output)) == [("", output)]


@pytest.mark.parametrize(("instruction", "given", "output", "reason"), FAULTY)
def test_faults_of_small_models_are_named(instruction: str, given: str, output: str, reason: str) -> None:
    assert decided(instruction, (given, output)) == [reason]


@pytest.mark.parametrize(("instruction", "given", "output"), GOOD)
def test_look_alikes_survive(instruction: str, given: str, output: str) -> None:
    assert decided(instruction, (given, output)) == [(given, output)]


def test_rows_of_a_real_model_are_decided_as_a_reader_did() -> None:
    """Fifty rows of a model of half a billion parameters, each with a reader's label."""
    if not REAL.is_dir():
        pytest.skip(f"REAL ROWS NOT TESTED: {REAL} is not there")
    rows = [json.loads(line) for line in (REAL / "q_rows.jsonl").read_text("utf-8").splitlines()]
    labels = [json.loads(line)["label"] for line in (REAL / "q_labels.jsonl").read_text("utf-8").splitlines()]
    kept: Counter[str] = Counter()
    without_input: set[str] = set()
    for instruction, group in groupby(zip(rows, labels, strict=True), key=lambda one: one[0]["instruction"]):
        of = list(group)
        for (row, label), end in zip(
            of, decided(instruction, *((row["input"], row["output"]) for row, _ in of)), strict=True
        ):
            kept[label] += not isinstance(end, str)
            if label == "input_only" and end in {("", row["output"]), "conflicting_outputs", "duplicate"}:
                without_input.add(f"{instruction} {row['input']}")
    assert kept["good"] >= 9
    assert len(without_input) >= 12
    assert kept["bad"] <= 12
