"""The offline model as judge and reviser: it says what the book says, errs as often as it is told, and mends rows."""

from __future__ import annotations

import json
from typing import Any

import pytest

from selfinstruct.models.offline.book import entries
from selfinstruct.models.offline.options import parse_quirks
from selfinstruct.models.offline.protocol import Model, answer_chat
from tests.builders import book_says

ENTRY = next(one for one in entries() if one.needs_input and not one.is_classification and one.answers[0].wrong)
KNOWN = ENTRY.answers[0]
GOOD = {"instruction": ENTRY.instruction, "input": KNOWN.input, "output": KNOWN.output}
WRONG, FAULT = next(iter(KNOWN.wrong.items()))
BAD = {**GOOD, "output": WRONG}
LABELLED = next(one for one in entries() if one.is_classification and len(one.answers) == 3)
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
    assert FAULT in said["correct_output"]["reason"]
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
    said = [[score > 3 for score in scores(row, "judge_wrong=20%", seed)] for seed in range(500)]
    for place in range(3):
        assert sum(one[place] != truth[place] for one in said) / 500 == pytest.approx(0.2, abs=0.05)


def test_outputs_are_wrong_at_the_rate_given() -> None:
    wrong = 0
    for seed in range(400):
        messages = [{"role": "user", "content": f"{GOOD['instruction']}\n\n{GOOD['input']}"}]
        answer = answer_chat({"model": "offline", "seed": seed, "messages": messages},
                             Model("tasks", parse_quirks("wrong=25%")))  # fmt: skip
        wrong += not book_says(GOOD["instruction"], GOOD["input"], answer["choices"][0]["message"]["content"])
    assert wrong / 400 == pytest.approx(0.25, abs=0.06)


def test_labels_are_wrong_at_the_rate_given_and_stay_labels() -> None:
    task = json.dumps({"instruction": LABELLED.instruction})
    content = f'{task}\nwrite up to 3 inputs for it, as {{"labels": []}}'
    right = wrong = 0
    for seed in range(150):
        body = {"model": "offline", "seed": seed, "messages": [{"role": "user", "content": content}]}
        answer = answer_chat(body, Model("tasks", parse_quirks("wrong=25%")))
        for one in json.loads(answer["choices"][0]["message"]["content"])["inputs"]:
            verdict = book_says(LABELLED.instruction, one["input"], one["label"])
            assert one["label"] in LABELLED.labels
            right, wrong = right + bool(verdict), wrong + (not verdict)
    assert wrong / (right + wrong) == pytest.approx(0.25, abs=0.06)


def test_a_revision_is_right_and_leaves_what_was_right() -> None:
    right = {"input": KNOWN.input, "output": KNOWN.output}
    mended = ask("revision", BAD)
    assert FAULT in mended.pop("critique")
    assert mended == right
    assert ask("revision", GOOD) == {"critique": "Nothing is wrong.", **right}
    assert {**ask("revision", {**BAD, "input": "no number"}), "critique": ""} == {"critique": "", **right}
    unknown = {"instruction": "Be nice to each other today.", "input": "a", "output": "b"}
    assert {**ask("revision", unknown), "critique": ""} == {"critique": "", "input": "a", "output": "b"}
    wrong = [ask("revision", BAD, "wrong=30%", seed)["output"] != KNOWN.output for seed in range(300)]
    assert sum(wrong) / 300 == pytest.approx(0.3, abs=0.07)


def test_other_quirks_meet_verdicts_as_they_meet_any_json() -> None:
    with pytest.raises(ValueError, match=r"Expecting|Unterminated|Extra"):
        ask("verdict", GOOD, "badjson=100%")
