"""The offline model as judge and reviser: it says the computed truth, errs as often as it is told, and mends rows."""

from __future__ import annotations

import json
from typing import Any

import pytest

from selfinstruct.llm.offline.protocol import Model, answer_chat
from selfinstruct.llm.offline.quirks import parse_quirks
from selfinstruct.llm.offline.writer import check

ROUND = "Round the number to the nearest ten."
GOOD = {"instruction": ROUND, "input": "1234", "output": "1230"}
BAD = {"instruction": ROUND, "input": "1234", "output": "1240"}
MARKS = {
    "verdict": '{"valid_task": {"reason": "...", "score": 5}}',
    "revision": '{"critique": "...", "input": "...", "output": "..."}',
}


def ask(form: str, row: dict[str, str], quirks: str = "none", seed: int = 0, *, with_schema: bool = True) -> Any:
    """The JSON in the answer."""
    content = f"The row:\n{json.dumps(row)}\n\nAnswer with JSON of this form:\n{MARKS[form]}"
    body: dict[str, Any] = {"model": "offline", "seed": seed, "messages": [{"role": "user", "content": content}]}
    if with_schema:
        body["response_format"] = {"type": "json_schema", "json_schema": {"name": form, "schema": {}}}
    answer = answer_chat(body, Model("tasks", parse_quirks(quirks)))
    return json.loads(answer["choices"][0]["message"]["content"])


def scores(row: dict[str, str], quirks: str = "none", seed: int = 0) -> list[int]:
    return [one["score"] for one in ask("verdict", row, quirks, seed).values()]


@pytest.mark.parametrize("with_schema", [True, False])
def test_a_verdict_has_three_questions_with_reason_and_score(with_schema: bool) -> None:
    said = ask("verdict", BAD, with_schema=with_schema)
    assert list(said) == ["valid_task", "suitable_input", "correct_output"]
    assert said["correct_output"]["reason"] == "The rule gives 1230."
    assert set(ask("revision", BAD, with_schema=with_schema)) == {"critique", "input", "output"}


@pytest.mark.parametrize(
    ("row", "truth"),
    [
        (GOOD, (True, True, True)),
        (BAD, (True, True, False)),
        ({**GOOD, "input": "a few"}, (True, False, False)),
        ({**GOOD, "input": ""}, (True, False, False)),
        ({"instruction": "Be nice to each other today.", "input": "", "output": "Yes."}, (False, False, False)),
    ],
)
def test_without_quirks_it_says_the_truth(row: dict[str, str], truth: tuple[bool, ...]) -> None:
    for seed in range(40):
        assert tuple(score > 3 for score in scores(row, seed=seed)) == truth


@pytest.mark.parametrize("row", [GOOD, BAD])
def test_each_score_is_wrong_at_the_rate_given(row: dict[str, str]) -> None:
    truth = [score > 3 for score in scores(row)]
    for place in range(3):
        wrong = [(scores(row, "judge_wrong=20%", seed)[place] > 3) != truth[place] for seed in range(500)]
        assert sum(wrong) / len(wrong) == pytest.approx(0.2, abs=0.05)


def test_outputs_are_wrong_at_the_rate_given_and_differ() -> None:
    said = set[str]()
    wrong = 0
    for seed in range(400):
        messages = [{"role": "user", "content": f"{ROUND}\n\n1234"}]
        answer = answer_chat({"model": "offline", "seed": seed, "messages": messages},
                             Model("tasks", parse_quirks("wrong=25%")))  # fmt: skip
        text = answer["choices"][0]["message"]["content"]
        said.add(text)
        wrong += not check(ROUND, "1234", text)
    assert wrong / 400 == pytest.approx(0.25, abs=0.06)
    assert len(said) > 5


def test_labels_are_wrong_at_the_rate_given_and_stay_labels() -> None:
    task = json.dumps({"instruction": "Answer Approve if the number is a prime number, otherwise Decline."})
    content = f'{task}\nwrite up to 3 inputs for it, as {{"labels": []}}'
    right = wrong = 0
    for seed in range(150):
        body = {"model": "offline", "seed": seed, "messages": [{"role": "user", "content": content}]}
        answer = answer_chat(body, Model("tasks", parse_quirks("wrong=25%")))
        for one in json.loads(answer["choices"][0]["message"]["content"])["inputs"]:
            verdict = check(json.loads(task)["instruction"], one["input"], one["label"])
            if verdict is not None:
                assert one["label"] in {"Approve", "Decline"}
                right, wrong = right + verdict, wrong + (not verdict)
    assert wrong / (right + wrong) == pytest.approx(0.25, abs=0.06)


def test_a_revision_is_right_and_leaves_what_was_right() -> None:
    assert ask("revision", BAD) == {"critique": "The output has to be 1230.", "input": "1234", "output": "1230"}
    assert ask("revision", GOOD) == {"critique": "Nothing is wrong.", "input": "1234", "output": "1230"}
    mended = ask("revision", {**BAD, "input": "no number"})
    assert check(ROUND, mended["input"], mended["output"])
    unknown = {"instruction": "Be nice to each other today.", "input": "a", "output": "b"}
    assert {**ask("revision", unknown), "critique": ""} == {"critique": "", "input": "a", "output": "b"}
    wrong = [ask("revision", BAD, "wrong=30%", seed)["output"] != "1230" for seed in range(300)]
    assert sum(wrong) / 300 == pytest.approx(0.3, abs=0.07)


def test_other_quirks_meet_verdicts_as_they_meet_any_json() -> None:
    with pytest.raises(ValueError, match=r"Expecting|Unterminated|Extra"):
        ask("verdict", GOOD, "badjson=100%")
