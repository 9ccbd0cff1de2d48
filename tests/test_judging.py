"""The judge: how a verdict is read, which instances stay, what is revised, what follows when an answer is useless."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from selfinstruct import algorithm
from selfinstruct.ask import Unanswered, at_once, recorded
from selfinstruct.settings import JudgeSettings, Settings
from selfinstruct.types import Completion, Finished, Prompt, Task
from tests.builders import changed, settings, task

TASK = Task("t1", "Add up the two numbers that are given to you.", False)
SEEDS = [task("Explain why the sky is blue in two sentences.")]
PROMPTS = {stage: f"[user]\n{stage} {{{{row}}}}" for stage in ("judge", "revise")}
Says = Callable[[Prompt], str | Completion]


def judging(**changes: Any) -> Settings:
    """The recipe chat with a judge."""
    chosen = settings()
    stages = {**chosen.stages, "judge": chosen.stages["respond"], "revise": chosen.stages["respond"]}
    return changed(
        chosen, stages=stages, prompts={**chosen.prompts, **PROMPTS}, judge=JudgeSettings(enabled=True, **changes),
        max_instances=5,
    )  # fmt: skip


def scores(valid: int = 5, given: int = 5, output: int = 5) -> str:
    """A verdict as it is asked for."""
    named = {"valid_task": valid, "suitable_input": given, "correct_output": output}
    return json.dumps({name: {"reason": f"because of {name}", "score": score} for name, score in named.items()})


def follow(says: Says, chosen: Settings, of: Task = TASK) -> tuple[Finished, list[Prompt]]:
    """A task asked about to its end; the model says what `says` says to each prompt."""
    prompts: list[Prompt] = []

    async def ask(prompt: Prompt) -> Completion:
        assert (prompt.stage, prompt.index) not in {(one.stage, one.index) for one in prompts}, "asked twice"
        prompts.append(prompt)
        said = says(prompt)
        identity = algorithm.plan_request(prompt, chosen, 0, of.id).id
        return said if isinstance(said, Completion) else Completion(identity, "answer", said, "stop")

    return at_once(algorithm.finish(of, ask, chosen, SEEDS)), prompts


def model(judge: Callable[[dict[str, str], int], str | Completion], revise: str = "", inputs: int = 2) -> Says:
    """Gives inputs "1 + 2", "2 + 2", ..., answers "10", "20", ..., and judges by a function of (row, index)."""

    def says(prompt: Prompt) -> str | Completion:
        if prompt.stage == "inputs":
            return json.dumps({"missing": "sums", "inputs": [f"{number + 1} + 2" for number in range(inputs)]})
        if prompt.stage == "respond":
            return str(10 * (prompt.index + 1))
        if prompt.stage == "revise":
            return revise
        row = json.loads(prompt.messages[-1].content.removeprefix("judge "))
        return judge(row, prompt.index)

    return says


def outcome(end: Finished) -> tuple[list[str], list[str]]:
    """The outputs that are kept, and the reasons for which the others are not."""
    return [one.output for one in end.instances], [one.reason for one in end.rejections]


def test_without_a_judge_none_is_asked() -> None:
    end, prompts = follow(model(lambda *_: pytest.fail("asked")), changed(judging(), judge=JudgeSettings()))
    assert outcome(end) == (["10", "20"], [])
    assert {prompt.stage for prompt in prompts} == {"inputs", "respond"}


@pytest.mark.parametrize(
    ("said", "kept", "reasons"),
    [
        (scores(), ["10", "20"], []),
        (scores(3, 3, 4), ["10", "20"], []),
        (scores(output=3), ["20"], ["judged_output"]),
        (scores(given=2), ["20"], ["judged_input"]),
        (scores(given=2, output=1), ["20"], ["judged_input"]),
        (scores(valid=2), [], ["judged_invalid", "judged_invalid"]),
        (scores(valid=1, given=1, output=1), [], ["judged_invalid", "judged_invalid"]),
    ],
)
def test_a_score_below_its_minimum_rejects(said: str, kept: list[str], reasons: list[str]) -> None:
    end, prompts = follow(model(lambda row, _: said if row["output"] == "10" else scores()), judging())
    assert outcome(end) == (kept, reasons)
    assert [prompt.index for prompt in prompts if prompt.stage == "judge"] == [0, 1]
    assert [one.outcome for one in end.verdicts] == [reasons[0] if reasons else "passed", "passed"]
    for one in end.rejections:
        assert "because of" in one.evidence


def test_the_judge_sees_only_what_passed_the_rules() -> None:
    seen: list[str] = []

    def judge(row: dict[str, str], _: int) -> str:
        seen.append(row["input"])
        return scores()

    def says(prompt: Prompt) -> str | Completion:
        if prompt.stage == "inputs":
            return '{"missing": "sums", "inputs": ["1 + 2", "https://example.com/a", "3 + 4"]}'
        return "" if (prompt.stage, prompt.index) == ("respond", 2) else model(judge)(prompt)

    end, _ = follow(says, judging())
    assert seen == ["1 + 2"]
    assert outcome(end) == (["10"], ["attachment", "empty_output"])


READABLE = [
    (scores(4, 3, 2), (4, 3, 2)),
    (f"<p>Here it is:</p>\n```json\n{scores(5, 4, 1)}\n```", (5, 4, 1)),
    (scores(5, 3, 4).replace(": 5", ': "5/5"').replace(": 3", ': "3 of 5"').replace(": 4", ": 4.0"), (5, 3, 4)),
]


@pytest.mark.parametrize(("said", "expected"), READABLE)
def test_scores_are_read_as_models_write_them(said: str, expected: tuple[int, int, int]) -> None:
    end, _ = follow(model(lambda *_: said, inputs=1), judging())
    assert [(one.valid, one.input, one.output) for one in end.verdicts] == [expected]


UNREADABLE = [
    "",
    '{"valid_task": 5, "suitable_input": 5, "correct_output": 5}',
    scores().replace("because of valid_task", " "),
    "It is fine.",
    "{}",
    "[5, 5, 5]",
    scores(output=6),
    scores(valid=0),
    '{"valid_task": 5, "suitable_input": 5}',
    '{"valid_task": true, "suitable_input": true, "correct_output": true}',
    '{"valid_task": 5, "suitable_input": 5, "correct_output": 4.5}',
    '{"valid_task": 5, "suitable_input": 5, "correct_output": null}',
]


@pytest.mark.parametrize("said", UNREADABLE)
@pytest.mark.parametrize(("keeps", "kept", "reasons"), [(False, [], ["judge_unreadable"]), (True, ["10"], [])])
def test_what_cannot_be_read_is_asked_three_times(said: str, keeps: bool, kept: list[str], reasons: list[str]) -> None:
    end, prompts = follow(model(lambda *_: said, inputs=1), judging(unreadable="keep" if keeps else "reject"))
    asked = [prompt for prompt in prompts if prompt.stage == "judge"]
    assert [prompt.index for prompt in asked] == [0, 1_000_000, 2_000_000]
    assert len({algorithm.plan_request(prompt, judging(), 0, "t1").id for prompt in asked}) == 3, (
        "each with another seed"
    )
    assert outcome(end) == (kept, reasons)
    assert [(one.outcome, one.valid) for one in end.verdicts] == [("judge_unreadable", None)]


def test_the_second_answer_counts_when_the_first_cannot_be_read() -> None:
    end, prompts = follow(model(lambda _, index: scores(output=1) if index >= 1_000_000 else "what?"), judging())
    assert outcome(end) == ([], ["judged_output", "judged_output"])
    assert sum(prompt.stage == "judge" for prompt in prompts) == 4


def test_a_request_that_fails_for_good_is_not_repeated() -> None:
    failed = Completion("", "failed", "the prompt is too long", "too_long")
    end, prompts = follow(model(lambda *_: failed, inputs=1), judging())
    assert outcome(end) == ([], ["judge_unreadable"])
    assert "too long" in end.rejections[0].evidence
    assert sum(prompt.stage == "judge" for prompt in prompts) == 1


REVISION = json.dumps({"critique": "It is wrong.", "input": "1 + 2", "output": "3"})


def test_a_faulty_instance_is_revised_and_judged_again() -> None:
    def judge(row: dict[str, str], _: int) -> str:
        return scores(output=1) if row["output"] == "10" else scores()

    end, prompts = follow(model(judge, REVISION), judging(revise=True))
    assert outcome(end) == (["3", "20"], ["revised"]), "it takes the place of its first form"
    assert [(prompt.stage, prompt.index) for prompt in prompts[3:]] == [
        ("judge", 0), ("judge", 1), ("revise", 0), ("judge", 3_000_000),
    ]  # fmt: skip
    first, revised = end.rejections[0], end.instances[0]
    assert first.text == "10"
    assert "correct output 1 of 5" in first.evidence
    assert revised.request_id != first.request_id
    assert [one.outcome for one in end.verdicts] == ["judged_output", "passed", "passed"]


def test_a_revision_that_is_no_better_is_rejected_and_not_revised_again() -> None:
    end, prompts = follow(model(lambda *_: scores(output=2), REVISION, inputs=1), judging(revise=True))
    assert outcome(end) == ([], ["revised", "judged_output"])
    assert sum(prompt.stage == "revise" for prompt in prompts) == 1


def test_a_revision_must_pass_the_rules_beside_the_others() -> None:
    def judge(row: dict[str, str], _: int) -> str:
        return scores(output=1) if row["output"] == "10" else scores()

    same_as_the_other = json.dumps({"critique": "", "input": "2 + 2", "output": "4"})
    end, prompts = follow(model(judge, same_as_the_other), judging(revise=True))
    assert outcome(end) == (["20"], ["revised", "conflicting_outputs"]), "what stands is not ended by a revision"
    assert sum(prompt.stage == "judge" for prompt in prompts) == 2
    empty = json.dumps({"critique": "", "input": "1 + 2", "output": " "})
    assert outcome(follow(model(judge, empty), judging(revise=True))[0]) == (
        ["20"],
        ["revised", "empty_output"],
    )


def test_a_revision_that_cannot_be_read_leaves_the_first_form_its_reason() -> None:
    end, _ = follow(model(lambda *_: scores(given=1), "no idea", inputs=1), judging(revise=True))
    assert outcome(end) == ([], ["unreadable", "judged_input"])
    assert end.rejections[0].text == "no idea"


@pytest.mark.parametrize(
    ("revision", "kept"),
    [
        ('{"critique": "", "input": "1 + 2", "output": 3}', ["3"]),
        ('{"input": 12, "output": ["a", "b"]}', ['["a", "b"]']),
        ('Sure!\n```json\n{"input": "1 + 2", "output": " 3 "}\n```', ["3"]),
        ('{"critique": "", "input": null, "output": "3"}', []),
        ('{"critique": "", "output": "3"}', []),
        ("", []),
    ],
)
def test_a_revision_is_read_as_models_write_it(revision: str, kept: list[str]) -> None:
    def judge(row: dict[str, str], _: int) -> str:
        return scores(output=1) if row["output"] == "10" else scores()

    end, _ = follow(model(judge, revision, inputs=1), judging(revise=True))
    assert outcome(end)[0] == kept


def test_a_reason_that_no_server_could_be_sent_does_no_harm() -> None:
    chosen = judging(revise=True)
    chosen = changed(chosen, prompts={**chosen.prompts, "revise": "[user]\n{{row}} {{found}}"})
    broken = scores(output=1).replace("because of correct_output", "\\ud800\\u0000 wrong")
    end, prompts = follow(model(lambda *_: broken, REVISION, inputs=1), chosen)
    asked = next(prompt for prompt in prompts if prompt.stage == "revise").messages[-1].content
    assert asked.endswith("\ufffd\ufffd wrong")
    asked.encode()
    assert end.verdicts[0].output_reason == "\ufffd\ufffd wrong"


def test_an_invalid_task_is_not_revised_and_a_revision_judged_invalid_ends_it() -> None:
    chosen = judging(revise=True)
    end, prompts = follow(model(lambda *_: scores(valid=1, output=1), REVISION), chosen)
    assert outcome(end) == ([], ["judged_invalid", "judged_invalid"])
    assert all(prompt.stage != "revise" for prompt in prompts)

    def later(row: dict[str, str], index: int) -> str:
        return scores(valid=1) if index >= 3_000_000 else scores(output=1 if row["output"] == "10" else 5)

    assert outcome(follow(model(later, REVISION), chosen)[0]) == ([], ["revised", "judged_invalid", "judged_invalid"])


def test_a_verdict_on_another_text_is_no_verdict_on_this_one() -> None:
    chosen = judging()
    _, prompts = follow(model(lambda *_: scores(), inputs=1), chosen)
    asked = {(one.stage, one.index): algorithm.plan_request(one, chosen, 0, "t1") for one in prompts}
    texts = {"inputs": '{"missing": "sums", "inputs": ["1 + 2"]}', "respond": "11", "judge": scores(output=1)}
    answers = {one.id: Completion(one.id, "answer", texts[one.stage], "stop") for one in asked.values()}
    with pytest.raises(Unanswered):
        at_once(algorithm.finish(TASK, recorded(asked, answers), chosen, SEEDS))


@given(
    st.lists(
        st.sampled_from([scores(), scores(output=1), scores(given=2), scores(valid=1), "?", "{"]),
        min_size=12,
        max_size=12,
    ),
    st.sampled_from([REVISION, "nothing", '{"input": "7", "output": "8"}', '{"input": "", "output": ""}']),
    st.booleans(),
    st.booleans(),
)
def test_whatever_is_said_every_candidate_ends_once(said: list[str], revision: str, revises: bool, keeps: bool) -> None:
    chosen = judging(revise=revises, principles=("Be right.",), unreadable="keep" if keeps else "reject")
    end, prompts = follow(
        model(lambda _, index: said[index % 1_000_000 + index // 1_000_000], revision, inputs=3), chosen
    )
    ended = [(one.request_id, one.position) for one in (*end.instances, *end.rejections)]
    assert len(ended) == len(set(ended)) == 3 + sum(prompt.stage == "revise" for prompt in prompts)
    for verdict in end.verdicts:
        assert (verdict.request_id, verdict.position) in ended
