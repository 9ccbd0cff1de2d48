"""Each rule for instructions: what it hits, and what comes near and must survive."""

from __future__ import annotations

import json
from fractions import Fraction
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from selfinstruct.checks import instruction_checks
from selfinstruct.checks.instructions import blocked_words, copy_of_demonstration, too_long, too_short
from selfinstruct.checks.screening import fault_of_instruction
from selfinstruct.checks.wording import word_count
from tests.builders import ROOT, settings

SHARED = ROOT.parent / "shared"
ANY_TEXT = st.text(st.characters()) | st.text(
    st.sampled_from("ab AN1.,:;\"“”'[](){}<>\n\t\0_X…中的、。《\ud800\ufffd#*`")
)
DEFAULT = instruction_checks(settings())
RULES = instruction_checks(settings(min_words=2, blocked_words=("secret", "map")))


def reason(text: str) -> str | None:
    fault = fault_of_instruction(text, RULES)
    assert fault is None or fault.evidence.encode()
    return fault.reason if fault else None


FAULTY = {
    "broken_text": [
        "Explain why the sky\0 is blue.", "a\x07b is what?", "lone \ud83d half, why?", "line\rline",
        "caf\ufffd au lait",
    ],
    "too_short": ["Up!"],
    "too_long": ["word " * 151],
    "repetition": [
        "Calculate the interest on this deposit. " * 5,
        "What is it? Then explain " + "the reason, and then " * 4 + "stop.",
    ],
    "starts_with_punctuation": [
        ". Find the longest word in the text.", "# Explain why the sky is blue.", "$5 in euros?", "“Write a poem.”",
    ],
    "blocked_words": ["Describe what the secret is about."],
    "unfinished": [
        "List three fruits, two herbs,", "Come up with a series of tasks:",
        'Translate the word "house', "Translate this: “The stars are",
        "Write about a day when...",
        "The second task is to provide a list of items that is considered to be",
        "列出三种水果，",
    ],
    "placeholder": [
        "Write a poem about [insert topic].", "Translate <your text> into French.",
        "Who is the author? ________", "Implement a [tool] with [tool_type] and [tool_name].",
        "写一篇关于【请填写主题】的文章。",
    ],
    "merged_tasks": [
        "Answer Accept or Reject for this password. 8. Next the page numbers follow a rule.",
        "Write a haiku about rain.\n2. Explain how rain forms.",
        "Reverse the words.\nInput: a b\nOutput: b a", "Reverse the words. input: a b. output: b a",
    ],
    "beyond_text": [
        "Conduct a survey to gather feedback on a recent event", "Design a logo for a fictional bakery",
        "Design a poster that promotes an upcoming community event", "Graph the solutions of the equation system",
        "Create a visual representation of the data using charts or graphs", "Draw a picture of a cat on a mat.",
        "Design a simple infographic to illustrate a complex concept", "Review the attached document for errors.",
        "Write a short story inspired by a photograph provided", "How would you change the given picture?",
        "Describe what the picture shows.", "Do you really love reading books or art?",
        "How do you feel about having roommates?", "What’s your favourite colour?",
    ],
    "no_request": [
        "The best part of patience is that it never turns around.", "This is a challenge task.",
        "It is not necessary to make any kind of sacrifice.",
    ],
}  # fmt: skip
GOOD = [
    'Ask a new neighbour three questions that begin with "Do you like".', "How would you calm a nervous passenger?",
    # Marks, signs and letters that belong to texts.
    "tab\tand\nnewline: which is which?", "What does an emoji 😀 say?", "¿Qué es esto?", "《红楼梦》的作者是谁？",
    "“Go” in French?", '"The data is" or "the data are": which of them should I write in a thesis?',
    # Ends that are whole.
    "Complete the sentence: The sky is", "Summarize this email into a single sentence:", "把下面的句子翻译成英文：",
    "Question: in which year did it happen?\nAnswer:", 'Continue the story "Once upon a time..."',
    "What comes next in 1, 4, 7, 10...", "What is a young swan called?", "Was bedeutet „Feierabend“?",
    # Brackets and blanks with a purpose.
    "Fill in the blank: the sky is ____.", "Sort [1, 2, 3] from high to low.", "Explain [x for x in y] in Python.",
    "Replace [MASK] with a fitting verb.", "Read [this text](https://a.example) on rain.",
    "Replace the placeholders, such as [your name], with words.",
    "What does the <title> tag do?", "填空：天空是____色的。",
    # Lists and steps of one task.
    "List 3 tips for better sleep.", "Read the poem. Name its theme. Explain your choice.",
    "Answer these questions:\n1. What is rain?\n2. Why does it fall?", "1) Read the passage. 2) Answer the question.",
    "Pick a category: 1) orders; 2) returns; 3) faults.", "It was founded in 1995. Explain what it does.",
    "Here is an example.\nInput: a b\nOutput: b a\nReverse the words.",
    # Tasks of text about pictures and acts.
    "Write an email to a client with the attached invoice in mind.", "Suggest names for a design studio's logo.",
    "Design a logo concept and describe it in words.", "Draw a conclusion from these two premises.",
    "Write a script for a two-minute promotional video.", "Create a game concept for two players.",
    "Write Python code that plots a graph of sales.", "Suggest titles for a video about bread.",
    "Design a poster in words, including color and slogan.", "Explain the role of the video card in a computer.",
    "Explain how to conduct a survey.", "What picture of the city does the poem paint?",
    # Requests in other words.
    "You are given an array of integers and your task is to find two consecutive numbers that sum up to ten.",
    "You have been assigned to write an article for the newspaper about how to make healthy choices.",
    "A problem from an algebra book - solve it using different methods.",
    "True or false: water boils at a lower temperature.",
]  # fmt: skip


@pytest.mark.parametrize(("wanted", "text"), [(why, text) for why, texts in FAULTY.items() for text in texts])
def test_each_fault_has_its_reason(wanted: str, text: str) -> None:
    assert reason(text) == wanted


@pytest.mark.parametrize("text", GOOD)
def test_look_alikes_survive(text: str) -> None:
    assert reason(text) is None


def test_of_real_instructions_few_are_refused_and_each_is_beyond_text() -> None:
    path = SHARED / "data" / "gpt4o_mini_instructions_10k.txt"
    if not path.is_file():
        pytest.skip(f"{path} is absent")
    texts = path.read_text("utf-8").splitlines()[::3]
    refused = [fault for text in texts if (fault := fault_of_instruction(text, DEFAULT))]
    assert {fault.reason for fault in refused} == {"beyond_text"}
    assert 30 <= len(refused) <= 39


@given(ANY_TEXT)
def test_no_text_makes_a_rule_raise(text: str) -> None:
    for rule in RULES:
        rule(text)
    reason(text)
    copy_of_demonstration(text, (text[1:],))


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("Explain this idiom to me.", 5),
        ("Is it true ?", 3),
        ("解释这个成语。", 4),
        ("用Python解释递归。", Fraction(13, 3)),
        ("이 속담을 설명하세요.", Fraction(9, 2)),
        ("a" * 41, 2),
        ("。。。 ...", 0),
    ],
)
def test_words_are_counted_in_any_script(text: str, words: int | Fraction) -> None:
    assert word_count(text) == words


@pytest.mark.parametrize("text", ["Sort this list.", "写一首诗。", "시를 쓰세요.", "... ... ... ...", "", "เขียน"])
def test_short_texts_are_found(text: str) -> None:
    assert too_short(4)(text) is not None


@pytest.mark.parametrize(
    "text",
    [
        "解释这个成语。",
        "このことわざを説明して。",
        "이 속담을 설명하세요.",
        "อธิบายความหมายของสำนวนนี้",
        "用Python写一个排序函数",
    ],
)
def test_texts_of_four_words_are_long_enough(text: str) -> None:
    assert too_short(4)(text) is None


@pytest.mark.parametrize(
    ("text", "hit"),
    [("a " * 150, False), ("a " * 151, True), ("字" * 225, False), ("字" * 226, True), ("* " * 9000, True)],
)
def test_long_texts_are_found(text: str, hit: bool) -> None:
    assert (too_long(150)(text) is not None) == hit


def test_blocked_words_are_found_and_longer_ones_that_contain_them_survive() -> None:
    blocked = blocked_words(("image", "go to", "map", "graph", "c++", " dry   run ", "", "图片"))
    for text in (
        "Describe the IMAGE in detail.", "Where should I go  to\neat tonight?", "Explain the ｍａｐ to a child.",
        "Describe the flow-chart and the graph.", "请描述这张图片的内容。", "Explain templates in C++ today",
        "Describe a dry\trun of it",
    ):  # fmt: skip
        assert blocked(text) is not None, text
    for text in (
        "Explain what a paragraph is.", "Use your imagination.", "Forgo toast.", "Explain gråph.", "这首诗的意境。",
    ):  # fmt: skip
        assert blocked(text) is None, text
        assert blocked_words(())(text) is None


def test_a_copy_of_a_demonstration_has_the_same_words() -> None:
    text = "Write a haiku about rain."
    for shown in ("  write a HAIKU,\nabout rain!", "Ｗrite a haiku about rain.", "“Write a haiku about rain”"):
        fault = copy_of_demonstration(text, ["Explain tides.", shown])
        assert fault is not None
        assert fault.reason == "copy_of_demonstration"
    for shown in ("Write a haiku about rains.", "Write a haiku", "Explain C++ to me", "", "..."):
        assert copy_of_demonstration(text, [shown]) is None
        assert copy_of_demonstration("Explain C to me", [shown]) is None


def _instructions(path: Path) -> list[str]:
    if not path.is_file():
        pytest.skip(f"{path} is absent")
    with path.open(encoding="utf-8") as lines:
        return [json.loads(line)["instruction"] for line in lines]


@pytest.mark.parametrize("name", ["en", "zh"])
def test_no_shipped_seed_has_a_fault(name: str) -> None:
    texts = _instructions(ROOT / "seeds" / f"{name}.jsonl")
    assert [(text, fault) for text in texts if (fault := fault_of_instruction(text, DEFAULT))] == []


def test_of_the_original_seeds_only_two_are_short_and_one_has_an_open_quote() -> None:
    texts = _instructions(SHARED / "parity" / "seed_tasks.jsonl")
    assert sorted(fault.reason for text in texts if (fault := fault_of_instruction(text, DEFAULT))) == [
        "too_short", "too_short", "unfinished",
    ]  # fmt: skip
