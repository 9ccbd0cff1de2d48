"""Answers by agreement: which answers are short and definite, which are the same, and which of several is taken."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from selfinstruct.settings import AgreementSettings
from selfinstruct.short_answers import final_answer, is_definite, same_answer
from selfinstruct.steps.self_consistency import agreed, is_enough
from selfinstruct.types import Completion, Prompt, Task
from tests.builders import changed, settings
from tests.test_judging import follow, outcome

ASKS = Task("t", "How many apples are left?", False)


def completions(*texts: str) -> list[Completion]:
    return [Completion(str(place), "answer", text, "stop") for place, text in enumerate(texts)]


@pytest.mark.parametrize(
    ("text", "answer"),
    [
        ("42", "42"),
        (" Paris.\n", "Paris."),
        ("6 x 7 = 42\nAnswer: 42", "42"),
        ("First this.\nThen that.\n\n**Answer:** 42 apples", "42 apples"),
        ("**Final answer: Paris**", "Paris"),
        ("So the answer is: 7.", "7."),
        ("**Berlin**", "Berlin"),
        ("$\\boxed{12}$", "12"),
        ("计算如下\n答案：12", "12"),
        ("Answer: 1\nbut I am not sure", "Answer: 1\nbut I am not sure"),
        ("", ""),
    ],
)
def test_what_an_answer_comes_to(text: str, answer: str) -> None:
    assert final_answer(text) == answer


@pytest.mark.parametrize(
    ("instruction", "output"),
    [
        ("How many apples are left?", "12"),
        ("How many apples are left?", "1,200 apples"),
        ("What does it cost?", "$4.50"),
        ("What does it cost?", "-3 °C"),
        ("Work it out step by step.", "12 - 5 = 7\n7 + 1 = 8\nAnswer: 8"),
        ("Which country is the city in?", "France"),
        ("Sort the words by length.", "fig, pear, apple"),
        ("Say whether the review is positive or negative.", "Positive"),
        ("这座城市属于哪个国家？", "法国"),
        ("Write the number in words and give its double as a number.", "24"),
    ],
)
def test_short_definite_answers(instruction: str, output: str) -> None:
    assert is_definite(Task("t", instruction, False), output)


@pytest.mark.parametrize(
    ("instruction", "output"),
    [
        ("How many apples are left?", ""),
        ("How many apples are left?", "There are twelve apples left in the big basket."),
        ("How many apples are left?", "12\n\nBecause 5 were eaten."),
        ("Suggest a name for a bakery.", "Golden Crust"),
        ("Write a title for this text.", "A Day at Sea"),
        ("Name a river in France.", "Loire"),
        ("Give one example of a mammal.", "Dog"),
        ("Rephrase the sentence.", "He went home."),
        ("Pick a random number below ten.", "7"),
        ("给这家面包店起名。", "金色面包"),
        ("Explain the rule.", "这是一个非常非常长的句子它没有任何空格但是有很多字"),
    ],
)
def test_answers_that_others_cannot_be_held_against(instruction: str, output: str) -> None:
    assert not is_definite(Task("t", instruction, False), output)


def test_a_classification_is_definite_whatever_its_verb() -> None:
    assert is_definite(Task("t", "Suggest a category: news, sport or art.", True), "Sport")
    assert not is_definite(Task("t", "Suggest a category: news, sport or art.", False), "Sport")


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("1,000", "1000.0"),
        ("Paris", "paris."),
        ("ice-cream", "Ice cream"),
        ("+5", "5"),
        ("5 + 6 = 11\nAnswer: 11", "11"),
        ("12 , 13", "12, 13"),
        ("−4", "-4"),
        ("１２", "12"),
        ("**Yes**", "yes"),
        ("0.0", "0"),
        ("don’t", "Don't!"),
        ("10²", "10^2"),
        ("½", "1/2"),
        ("2½", "2 1/2"),
        ("007.50", "7.5"),
        ("٣", "3"),
        ("H₂O", "H2O"),
    ],
)
def test_the_same_answers(one: str, other: str) -> None:
    assert same_answer(one) == same_answer(other)


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("5", "-5"),
        ("5", "5%"),
        ("$5", "€5"),
        ("1/2", "12"),
        ("10:30", "1030"),
        ("3.5", "35"),
        ("5 6", "56"),
        ("C+", "C"),
        ("x+1", "x-1"),
        ("yes", "no"),
        ("5 km", "5 m"),
        ("3+4", "3-4"),
        ("!!", "??"),
        ("10²", "102"),
        ("10⁻²", "10²"),
        ("2½", "21/2"),
        ("1234567890123456789012345678901", "1234567890123456789012345678999"),
        ("0.1234567890123456789012345678901", "0.1234567890123456789012345678902"),
    ],
)
def test_different_answers(one: str, other: str) -> None:
    assert same_answer(one) != same_answer(other)


@pytest.mark.parametrize(
    ("texts", "sample", "votes"),
    [
        (["1", "2", "2.0"], 1, 2),
        (["1", "2", "1", "2", "3"], 0, 2),
        (["", "", "9"], 2, 1),
        (["a", "b"], 0, 1),
        (["", ""], 0, 0),
    ],
)
def test_the_most_frequent_answer_as_first_given(texts: list[str], sample: int, votes: int) -> None:
    found = agreed(completions(*texts))
    assert (found.sample, found.votes) == (sample, votes)


def test_failed_and_cut_answers_have_no_vote_but_count() -> None:
    cut, failed = Completion("1", "answer", "8", "length"), Completion("2", "failed", "8", "timeout")
    found = agreed([*completions("7"), cut, failed])
    assert (found.votes, found.answers) == (1, (("7", 1),))
    assert not is_enough(found, 3, AgreementSettings(answers=3, min_share="0.5"))


def test_an_equal_share_is_enough_and_reckoned_exactly() -> None:
    found = agreed(completions("a", "a", "b"))
    assert is_enough(found, 3, AgreementSettings(answers=3, min_share="0.6666"))
    assert not is_enough(found, 3, AgreementSettings(answers=3, min_share="0.6667"))
    assert is_enough(agreed(completions("a", "a", "a", "b", "c")), 5, AgreementSettings(answers=5, min_share="0.6"))


@given(st.lists(st.text(), min_size=1, max_size=8))
def test_no_text_makes_the_vote_fail(texts: list[str]) -> None:
    found = agreed(completions(*texts))
    assert sum(votes for _, votes in found.answers) == sum(bool(text.strip()) for text in texts)
    for text in texts:
        is_definite(ASKS, text)


@pytest.mark.parametrize(
    ("keeps_steps", "texts", "kept", "reasons"),
    [
        (True, ["Answer: 4", "2 + 3 = 5\nAnswer: 5", "3 + 2 = 5\nAnswer: 5"], ["2 + 3 = 5\nAnswer: 5"], []),
        (False, ["Answer: 4", "2 + 3 = 5\nAnswer: 5", "3 + 2 = 5\nAnswer: 5"], ["5"], []),
        (False, ["4", "5", "6"], [], ["no_agreement"]),
        (
            False,
            ["It is four, since two and two make four.", "5", "5"],
            ["It is four, since two and two make four."],
            [],
        ),
    ],
)
def test_a_task_by_agreement(keeps_steps: bool, texts: list[str], kept: list[str], reasons: list[str]) -> None:
    def says(prompt: Prompt) -> str:
        if prompt.stage == "inputs":
            return json.dumps({"missing": "nothing", "inputs": []})
        return texts[prompt.index // 1_000_000]

    recipe = settings().recipe.model_copy(update={"before_answer": "keep" if keeps_steps else "strip"})
    chosen = changed(settings(), agreement=AgreementSettings(answers=3), recipe=recipe)
    end, prompts = follow(says, chosen, Task("t", "How much is two and three?", False))
    assert outcome(end) == (kept, reasons)
    definite = len(texts[0]) < 12
    others = [(texts[0] if keeps_steps else "4", False), (texts[2] if keeps_steps else "5", True)]
    assert [(one.output, one.is_right) for one in end.samples] == (others if definite and kept else [])
    assert [prompt.index for prompt in prompts[1:]] == ([0, 1_000_000, 2_000_000] if definite else [0])
    if reasons:
        assert end.rejections[0].evidence == '1 of 3 answers agree; given were: "4" 1, "5" 1, "6" 1'


def test_the_line_with_the_result_is_asked_for_only_where_answers_are_compared() -> None:
    def says(prompt: Prompt) -> str:
        return json.dumps({"missing": "nothing", "inputs": []}) if prompt.stage == "inputs" else "4"

    one = follow(says, settings())[1][-1]
    several = follow(says, changed(settings(), agreement=AgreementSettings(answers=2, min_share="0.5")))[1][-1]
    assert "Answer:" not in one.messages[0].content
    assert several.messages[0].content.startswith(one.messages[0].content)
    assert several.messages[0].content.endswith("holds nothing but the result.")
