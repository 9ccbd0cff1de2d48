"""The reward for short definite answers: what a completion comes to, in the forms that trainers hand over."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest

from selfinstruct.rewards import keeps_constraints, same_answer
from tests.builders import ROOT


@pytest.mark.parametrize(
    ("said", "answer", "reward"),
    [
        ("42", "42", 1.0),
        ("Six times seven.\nAnswer: **42.0**", "42", 1.0),
        ("The answer might be 42, or 43.", "42", 0.0),
        ("<think>\n41, no: 43.\n</think>\n\n42", "42", 1.0),
        ("41, no: 43.\n</think>\n\n42", "42", 1.0),
        ("<think>\n42", "42", 0.0),
        ("sport", "Sport", 1.0),
        ("", "42", 0.0),
    ],
)
def test_a_completion_is_right_if_it_comes_to_the_answer(said: str, answer: str, reward: float) -> None:
    turns = [{"role": "assistant", "content": said}]
    columns = {"pass_rate": [None, 0.5], "trainer_state": None}
    assert same_answer(["Q", "Q"], [said, said], [answer, answer], **columns) == [reward, reward]
    assert same_answer([[], []], [turns, []], [answer, answer]) == [reward, 0.0]


def test_constraints_are_all_kept_or_not() -> None:
    both = json.dumps([{"name": "no_commas", "arguments": {}}, {"name": "at_most_words", "arguments": {"words": 3}}])
    said = ["One and two", "One, two", [{"role": "assistant", "content": "<think>a, b</think>Yes."}], "Well, yes."]
    assert keeps_constraints([""] * 4, said, [both, both, both, "[]"]) == [1.0, 0.0, 1.0, None]
    assert keeps_constraints([""] * 3, ["", "Yes", "Yes"], [both, None, ""]) == [0.0, None, None]
    assert same_answer(["Q", "Q"], ["42", "42"], ["", None]) == [None, None]


def test_each_completion_has_an_answer() -> None:
    with pytest.raises(ValueError, match="shorter"):
        same_answer(["Q", "Q"], ["1", "2"], ["1"])


def test_the_reward_is_light_to_import() -> None:
    code = "import sys, selfinstruct.rewards; print([m for m in ('pydantic', 'openai', 'pandas') if m in sys.modules])"
    found = subprocess.run([sys.executable, "-c", code], cwd=ROOT, check=True, capture_output=True, text=True)
    assert found.stdout.strip() == "[]"
