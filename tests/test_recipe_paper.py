"""The `paper` recipe: its prompts against golden files, its reading in tables, and that no text is too much for it."""

from __future__ import annotations

import os
import time
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from selfinstruct.config.loading import load
from selfinstruct.config.shaping import pool_settings
from selfinstruct.pool.originals import read_originals
from selfinstruct.recipes import original, paper
from selfinstruct.settings import RecipeSettings, Settings
from selfinstruct.types import (
    Candidate,
    Completion,
    Instance,
    InstanceCandidate,
    Message,
    Prompt,
    Rejection,
    Request,
    Task,
    Written,
)
from tests.builders import changed, settle

GOLDEN = Path(__file__).parent / "golden"
PROMPTS = Path(paper.__file__).parent / "prompts" / "paper"
PARITY = Path(__file__).resolve().parents[2] / "shared" / "parity"
needs_parity = pytest.mark.skipif(
    not PARITY.is_dir(), reason=f"PARITY NOT TESTED: the recorded runs of the original are not at {PARITY}"
)
TASK = Task("t1", "Say whether\n  it rains.", None)
ANY_TEXT = st.text(st.characters(exclude_categories=()))
"""Lone surrogates included."""
PIECES = [
    *(
        "Example 1",
        "Example 2:",
        "**Input:** a",
        "Input 1: b",
        "Output: c",
        "Output 2:",
        "output: <noinput>",
        "Task: d",
    ),
    *(
        "Class label: X",
        "label: Y",
        "Sentence: e",
        "f",
        "",
        "10. g",
        "11) h",
        "- i",
        "In 2016. Then",
        "Task 12: j",
        "12.",
    ),
    *("k. 13. l", "一。14、二", '"m"', "\x00", "\ud800", "Class label:", "Input: n Output: o"),
]
LOOSE = st.lists(st.sampled_from(PIECES)).map("\n".join)
REASONS = st.sampled_from(["stop", "length", "content_filter", ""])


def settings(**values: Any) -> Settings:
    prompts = {path.stem: path.read_text(encoding="utf-8") for path in PROMPTS.glob("*.txt")}
    recipe = RecipeSettings(name="paper", tasks_per_request=7)
    return changed(Settings(seed=1, recipe=recipe, prompts=prompts, stages={}), **values)


SETTINGS = settings()


def seed(number: int, text: str, is_classification: bool | None, *instances: tuple[str, str]) -> Task:
    return Task(f"s{number}", text, is_classification, tuple(Instance(*one) for one in instances), "seed")


SEEDS = (
    seed(1, "Turn the sentence into the past tense:", False, ("She walks home.", "She walked home.")),
    seed(
        2,
        "Name the capital of the\ncountry.",
        False,
        ("Kenya", "Nairobi"),
        ("Peru", "Lima"),
        ("Nepal", "Kathmandu"),
        ("Chad", "N'Djamena"),
    ),
    seed(3, "Give three reasons to get up early.", False, ("", "Quiet.\nLight.\nTime.")),
    seed(4, "把下面的句子翻译成英文。", False, ("今天下雨。", "It is raining today.")),
    seed(5, "Is the review friendly?", True, ("Loved it!", "yes"), ("Great.", "yes"), ("Never again.", "no")),
    seed(6, "Which of the four seasons is the coldest?", True, ("", "winter")),
    seed(7, "Say which language this is.", True, ("Guten Morgen", "German"), ("Bonjour", "French")),
    seed(8, "Explain the form of an answer.", False, ("Output: what?", "Class label: none")),
    seed(9, "Has nobody said what this is?", None, ("a", "b")),
)


def write(
    task: Task = TASK, *, seeds: tuple[Task, ...] = SEEDS, of: Settings = SETTINGS, **answers: Completion
) -> Written | list[Prompt]:
    """What is written after these answers by stage, or the questions that are asked next."""
    given = {(stage, 0): completion for stage, completion in answers.items()}
    return settle(lambda ask: paper.write_instances(task, ask, of, seeds), given)


def asked(step: Written | list[Prompt]) -> Prompt:
    assert isinstance(step, list)
    [prompt] = step
    return prompt


def words(prompt: Prompt) -> str:
    [message] = prompt.messages
    assert message.role == "prompt"
    return message.content


def answer(text: str, finish_reason: str = "stop", name: str = "r") -> Completion:
    return Completion(name, "answer", text, finish_reason)


def ask(label: str | None = None, seeds: tuple[Task, ...] = SEEDS, task: Task = TASK, **values: Any) -> str:
    answers = {} if label is None else {"classify": answer(label)}
    return words(asked(write(task, seeds=seeds, of=settings(**values), **answers)))


def is_golden(name: str, prompt: str) -> None:
    """The end is marked in the file, since a prompt may end without a line end or with one."""
    path, text = GOLDEN / name, prompt + "<END>\n"
    if os.environ.get("UPDATE_GOLDEN"):
        path.write_text(text, encoding="utf-8")
    assert path.exists(), f"{path} is missing; write it with UPDATE_GOLDEN=1 pytest {Path(__file__).name}"
    assert path.read_text(encoding="utf-8") == text, (
        f"the prompt differs from {path}; if that is meant, write it anew with UPDATE_GOLDEN=1 pytest "
        f"{Path(__file__).name} and look at the difference"
    )


# --- asking ---------------------------------------------------------------------------------------------------------


def test_the_propose_prompt_is_as_written_down() -> None:
    prompt = paper.propose(SETTINGS, SEEDS[:8], 3, None)
    assert (prompt.stage, prompt.index) == ("propose", 3)
    assert prompt.demonstrations == tuple(task.id for task in SEEDS[:8])
    is_golden("paper_propose.txt", words(prompt))
    assert words(prompt).endswith("\n9.")
    assert "\n1. Turn the sentence into the past tense\n2. Name the capital of the country.\n" in words(prompt)


def test_guidance_and_topic_get_their_lines() -> None:
    prompt = paper.propose(settings(guidance="Only about\ngardens {{number}}."), SEEDS[:2], 0, "soil {{topic}}")
    is_golden("paper_propose_guided.txt", words(prompt))
    assert "gardens {{number}}." in words(prompt)


def test_the_wanted_language_is_said_right_before_the_list_goes_on() -> None:
    german = pool_settings(load(None, {"recipe": "paper", "language": ["de", "fr"]}), "m")
    prompt = paper.propose(german, SEEDS[:2], 0, None)
    is_golden("paper_propose_german_french.txt", words(prompt))


def test_the_classify_prompt_is_as_written_down() -> None:
    is_golden("paper_classify.txt", ask())
    assert ask().endswith("\n\nTask: Say whether it rains.\nFixed labels:")


def test_the_instances_prompt_of_generation_is_as_written_down() -> None:
    is_golden("paper_instances_input_first.txt", ask("no"))
    assert ask("no").endswith("\n\nTask: Say whether it rains.\n")
    assert "Class label:" not in ask("no")


def test_the_instances_prompt_of_classification_is_as_written_down() -> None:
    is_golden("paper_instances_output_first.txt", ask("yes"))
    assert ask("yes").endswith("\n\nTask: Say whether it rains.\n")


@pytest.mark.parametrize("label", [None, "yes", "no"])
def test_all_tasks_share_the_beginning_of_their_prompt(label: str | None) -> None:
    other = Task("t2", "Another one.", None)
    assert ask(label).replace("Say whether it rains.", "Another one.") == ask(label, task=other)
    assert ask(label, seed=2) != ask(label)


def test_different_labels_are_shown_first() -> None:
    assert "Class label: yes\nInput: Loved it!\n\nClass label: no\nInput: Never again.\n\n" in ask("yes")


@pytest.mark.parametrize("label", [None, "yes", "no"])
@pytest.mark.parametrize("seeds", [(), SEEDS[:1], SEEDS[4:5], SEEDS[7:8]])
def test_any_seeds_do(label: str | None, seeds: tuple[Task, ...]) -> None:
    assert ask(label, seeds).count("Task: Say whether it rains.\n") == 1


def test_counts_and_length_of_examples_are_bounded() -> None:
    many = tuple(seed(n, f"Do thing {n}.", n % 2 == 0, ("x" * (5000 if n < 60 else 5), f"y{n}")) for n in range(100))
    many += tuple(seed(n, f"Do thing {n}.", n % 2 == 0, ("", f"y{n}")) for n in range(100, 140))
    assert ask(None, many).count("\nFixed labels: no\n") == 12
    assert ask(None, many).count("\nFixed labels: yes\n") == 8
    for label in ("yes", "no"):
        text = ask(label, many)
        assert text.count("Task: Do thing") == 8
        assert text.count("\nInput: ") == 5
        assert len(text) < 3000


def test_stop_strings_are_few_and_cannot_cut_a_year() -> None:
    assert set(paper.DEFAULT_SAMPLING) == set(paper.STAGES)
    for sampling in paper.DEFAULT_SAMPLING.values():
        assert len(sampling["stop"]) <= 4
    for stop in paper.DEFAULT_SAMPLING["propose"]["stop"]:
        assert stop not in "What happened in 2016. It cost $16. Add 16) and 16: to it.\n160. Next"


def test_the_request_for_a_task_of_known_kind_skips_the_classification() -> None:
    prompt = asked(write(Task("t", "Do it.", True)))
    assert prompt.stage == "instances"
    assert "Class label:" in words(prompt)


# --- reading proposals ----------------------------------------------------------------------------------------------


def proposals(text: str, finish_reason: str = "stop", prompt: str = "1. a\n9.") -> list[Candidate | Rejection]:
    request = Request("r", "propose", 0, None, 0, "completions", "m", {}, (Message("prompt", prompt),))
    return paper.read_proposals(request, answer(text, finish_reason), SETTINGS)


def texts(items: list[Candidate | Rejection]) -> list[str]:
    return [one.instruction for one in items if isinstance(one, Candidate)]


@pytest.mark.parametrize(
    ("text", "read"),
    [
        (" Name a PhD.\n10. Use Python.\n11. End.", ["Name a PhD.", "Use Python.", "End."]),
        ("One.\n10.Two.\n11) Three.\n12: Four.\n13 . Five.", ["One.", "Two.", "Three.", "Four.", "Five."]),
        ("One.\nTask 10: Two.\n**11.** Three.\n(12) Four.\n# 13. Five.", ["One.", "Two.", "Three.", "Four.", "Five."]),
        ("9. One.\n10. Two.", ["One.", "Two."]),
        ("1. One.\n2. Two.\n3. Three.", ["One.", "Two.", "Three."]),
        ("- One.\n- Two.", ["One.", "Two."]),
        ("- One.\n10. - Two.\n11. Task: Three.", ["One.", "Two.", "Three."]),
        ("\n10. Only this.", ["Only this."]),
        ("One. 10. Two. 11. Three.", ["One.", "Two.", "Three."]),
        ("写一首诗。10.翻译句子。\n11、数一数。", ["写一首诗。", "翻译句子。", "数一数。"]),
        ("写一首诗。10、翻译句子。11、数一数。", ["写一首诗。", "翻译句子。", "数一数。"]),
        ("一\n１０．二", ["一", "二"]),
        ("What happened in 2016. Then count.\n10. Two.", ["What happened in 2016. Then count.", "Two."]),
        ("What happened in\n2016. Then count.", ["What happened in 2016. Then count."]),
        ("It costs $16. Why?\n10. Is it 3.5 or\n3.5?", ["It costs $16. Why?", "Is it 3.5 or 3.5?"]),
        ("At\n10:30 he came.\n10. Two.", ["At 10:30 he came.", "Two."]),
        ("Add 1 to 10. Then stop.", ["Add 1 to 10. Then stop."]),
        ("Sort:\n1. a\n2. b\n10. Two.", ["Sort: 1. a 2. b", "Two."]),
        ("Choose:\n- a\n- b\n10. Two.", ["Choose: - a - b", "Two."]),
        ("One.\n12. Three.", ["One.", "Three."]),
        ("One.\r\n10. Two.\r\n", ["One.", "Two."]),
        ("One\nand on.\n10. Two.", ["One and on.", "Two."]),
        ("One.\n10.\n11. Three.", ["One.", "Three."]),
        ('"One is here."\n10. “Two.”\n11. "Three.\n12. Say "four"', ["One is here.", "Two.", "Three.", 'Say "four"']),
        ('"A" or "B"?\n10. It is the dogs\'', ['"A" or "B"?', "It is the dogs'"]),
        ("**One.**\n10. 'Two.'", ["One.", "Two."]),
    ],
)
def test_lists_are_read_in_all_their_variants(text: str, read: list[str]) -> None:
    items = proposals(text)
    assert texts(items) == read
    assert [one.position for one in items] == list(range(len(items)))


def test_the_numbering_goes_on_from_the_prompt() -> None:
    assert texts(proposals("One.\n5. Two.", prompt="...\n4.")) == ["One.", "Two."]
    assert texts(proposals("One. 5. Two.", prompt="...\n4.")) == ["One.", "Two."]
    assert texts(proposals("One.\n5. Two.", prompt="...\n9.")) == ["One. 5. Two."]


def test_words_before_the_list_are_no_task() -> None:
    first, *rest = proposals("Sure, here are some more:\n9. One.\n10. Two.")
    assert isinstance(first, Rejection)
    assert (first.reason, first.text) == ("unreadable", "Sure, here are some more:")
    assert texts(rest) == ["One.", "Two."]


def test_a_cut_list_loses_its_last_item_only() -> None:
    items = proposals("One.\n10. Two.\n11. Thr", "length")
    assert texts(items) == ["One.", "Two."]
    last = items[-1]
    assert isinstance(last, Rejection)
    assert (last.kind, last.reason, last.text, last.position) == ("instruction", "cut_off", "Thr", 2)


def test_a_list_that_was_cut_behind_a_number_loses_nothing() -> None:
    assert texts(proposals("One.\n10. Two.\n11.", "length")) == ["One.", "Two."]


@pytest.mark.parametrize("completion", [answer(""), answer(" \n9. \n"), Completion("r", "failed", "", "too_long")])
def test_a_list_with_nothing_to_read_is_one_rejection(completion: Completion) -> None:
    request = Request("r", "propose", 0, None, 0, "completions", "m", {}, ())
    [lost] = paper.read_proposals(request, completion, SETTINGS)
    assert isinstance(lost, Rejection)
    assert (lost.kind, lost.reason, lost.position, lost.text) == ("instruction", "unreadable", 0, completion.text)


# --- reading follow-ups ---------------------------------------------------------------------------------------------


def read(text: str, *, is_classification: bool = False, reason: str = "stop") -> tuple[list[Any], list[Any]]:
    candidates, rejections = paper.read_instances(TASK, answer(text, reason), is_classification=is_classification)
    places = sorted([one.position for one in candidates] + [one.position for one in rejections])
    assert places == list(range(len(places)))
    assert all(one.task_id == "t1" for one in rejections)
    return [(one.input, one.output) for one in candidates], [(one.reason, one.text) for one in rejections]


@pytest.mark.parametrize(
    ("text", "pairs"),
    [
        ("Output: 42", [("", "42")]),
        ("Output:\n- a\n- b\n", [("", "- a\n- b")]),
        ("Example 1\nInput: a\nOutput: b\n\nExample 2\nInput: c\nOutput: d", [("a", "b"), ("c", "d")]),
        ("Example 1:\ninput 1: a\nOUTPUT 1: b\n**Example 2**\n**Input:** c\n**Output:** d", [("a", "b"), ("c", "d")]),
        ("### Example 1\nInput: a\n- Output: b", [("a", "b")]),
        ("Example 1. Input: a\nOutput: b\nExample 2 Input: c\nOutput: d", [("a", "b"), ("c", "d")]),
        ("Input: a Output: b", [("a", "b")]),
        ("Input: a\nOutput: b\nInput: c\nOutput: d", [("a", "b"), ("c", "d")]),
        ("Example 1\nParagraph: a\nQuestion: b\nOutput: c", [("Paragraph: a\nQuestion: b", "c")]),
        ("Text: a\nOutput: b\nText: c\nOutput: d", [("Text: a", "b"), ("Text: c", "d")]),
        ("Recipe: a\nOutput:\nRecipe: b", [("Recipe: a", "Recipe: b")]),
        ("Sentence 1: a\nSentence 2: b\nOutput: c", [("Sentence 1: a\nSentence 2: b", "c")]),
        ("Input 1: a\nInput 2: b\nOutput: c", [("Input 1: a\nInput 2: b", "c")]),
        ("Output: a\nOutput: b", [("", "a\nb")]),
        ("Output: a\nOutput: a", [("", "a")]),
        ("Output: For Example this one", [("", "For Example this one")]),
        ("Output: see\nExample: it works", [("", "see\nExample: it works")]),
        ("Example 1\nInput: <noinput>\nOutput: a", [("", "a")]),
        (
            "Input: None\nOutput: a\nInput: N/A.\nOutput: b\nInput: (No input needed)\nOutput: c",
            [("", x) for x in "abc"],
        ),
        ("Input: none of them\nOutput: a", [("none of them", "a")]),
        ("Word: none\nOutput: a", [("Word: none", "a")]),
        ("Input: a\nOutput:\nInput: b\nOutput: c", [("a", ""), ("b", "c")]),
        ("Input: a\r\nOutput: b\r\n", [("a", "b")]),
        ("Output: \x00 \ud800", [("", "\x00 \ud800")]),
        ("例：\nInput： 一\nOutput： 二", [("例：\nInput： 一", "二")]),
    ],
)
def test_instances_of_generation_are_read_in_all_their_variants(text: str, pairs: list[tuple[str, str]]) -> None:
    assert read(text) == (pairs, [])


@pytest.mark.parametrize(
    ("text", "pairs", "lost"),
    [
        ("Example 1\nOnly an input\nExample 2\nInput: a\nOutput: b", [("a", "b")], ["Only an input"]),
        ("Example 1\nOnce upon a time.", [], ["Once upon a time."]),
        ("just text", [], ["just text"]),
        ("Input: a\nOutput: b\nInput: c", [("a", "b")], ["Input: c"]),
        ("Output: a\nTask: Another\nOutput: b", [("", "a")], ["Task: Another\nOutput: b"]),
        ("Task: Say whether it rains.\nOutput: no", [("", "no")], ["Task: Say whether it rains."]),
        ("Here they are.\nExample 1\nInput: a\nOutput: b", [("a", "b")], ["Here they are."]),
    ],
)
def test_a_piece_without_an_output_is_never_taken_for_one(
    text: str, pairs: list[tuple[str, str]], lost: list[str]
) -> None:
    assert read(text) == (pairs, [("unreadable", one) for one in lost])


@pytest.mark.parametrize(
    ("text", "pairs", "lost"),
    [
        ("Class label: X\nInput: a\n\nClass label: Y\nInput: b", [("a", "X"), ("b", "Y")], []),
        ("class LABEL 1: X\nSentence: a\nLabel: Y\nSentence: b", [("Sentence: a", "X"), ("Sentence: b", "Y")], []),
        ("Class label: X", [("", "X")], []),
        ("Class label: X\nClass label: Y", [("", "X"), ("", "Y")], []),
        ("Class label:\nX\nInput: a", [("a", "X")], []),
        ("Class label:\nInput: a", [("a", "")], []),
        ("Class label: X\nInput: None", [("", "X")], []),
        ("Example 1\nClass label: X\nInput: a\nExample 2\nClass label: Y\nInput: b", [("a", "X"), ("b", "Y")], []),
        ("Input: a\nClass label: X\nInput: b\nClass label: Y", [("a", "X"), ("b", "Y")], []),
        ("Example 1\nText: a\nClass label: X\nExample 2\nText: b\nLabel: Y", [("Text: a", "X"), ("Text: b", "Y")], []),
        ("The labels are:\nClass label: X\nInput: a", [("a", "X")], ["The labels are:"]),
        ("Note: all of them\nClass label: X\nInput: a", [("a", "X")], ["Note: all of them"]),
        ("Example 1\nInput: a\nOutput: X", [("a", "X")], []),
        ("positive or negative", [], ["positive or negative"]),
    ],
)
def test_instances_of_classification_are_read_in_all_their_variants(
    text: str, pairs: list[tuple[str, str]], lost: list[str]
) -> None:
    assert read(text, is_classification=True) == (pairs, [("unreadable", one) for one in lost])


def test_the_last_instance_of_a_cut_answer_says_so() -> None:
    text = "Input: a\nOutput: b\nInput: c\nOutput: d"
    candidates, _ = paper.read_instances(TASK, answer(text, "length"), is_classification=False)
    assert [one.finish_reason for one in candidates] == ["stop", "length"]


def test_an_answer_cut_within_an_input_spares_the_instances_before_it() -> None:
    candidates, rejections = paper.read_instances(
        TASK, answer("Input: a\nOutput: b\nInput: c", "length"), is_classification=False
    )
    assert [one.finish_reason for one in candidates] == ["stop"]
    assert [(one.reason, one.text) for one in rejections] == [("cut_off", "Input: c")]


@pytest.mark.parametrize(
    ("said", "is_classification"),
    [
        (" yes", True),
        ("No", False),
        ("YES.", True),
        ("\nno, it is", False),
        ("Fixed labels: yes", True),
        ("**Yes**", True),
    ],
)
def test_labels_are_read_leniently(said: str, is_classification: bool) -> None:
    end = write(classify=answer(said), instances=answer("Output: a"))
    assert isinstance(end, Written)
    assert (end.is_classification, "no_label" in [one.reason for one in end.rejections]) == (is_classification, False)


@pytest.mark.parametrize("completion", [answer("Not sure"), answer(""), Completion("r", "failed", "", "too_long")])
def test_without_a_label_the_task_goes_on_as_generation(completion: Completion) -> None:
    end = write(classify=completion, instances=answer("Output: a", name="i"))
    assert isinstance(end, Written)
    assert (end.is_classification, [one.output for one in end.candidates]) == (False, ["a"])
    [lost] = end.rejections
    assert (lost.kind, lost.reason, lost.request_id, lost.position, lost.text, lost.task_id) == (
        *("instance", "no_label", "r", 0),
        *(completion.text, "t1"),
    )


def test_a_failed_request_for_instances_settles_the_task() -> None:
    failed = Completion("i", "failed", "", "content_filter")
    end = write(classify=answer("no"), instances=failed)
    assert isinstance(end, Written)
    [lost] = end.rejections
    assert (lost.reason, lost.evidence) == ("unreadable", "the request failed: content_filter")


# --- any text -------------------------------------------------------------------------------------------------------


@given(st.one_of(ANY_TEXT, LOOSE), REASONS)
def test_any_list_is_read_and_loses_no_words(text: str, reason: str) -> None:
    items = proposals(text, reason)
    assert items
    assert [one.position for one in items] == list(range(len(items)))
    kept = "".join(one.instruction if isinstance(one, Candidate) else one.text for one in items)
    # Letters only: numbers, bullets and quotes around items are taken off, and so is a "Task" before a number.
    wanted = [letter for letter in text if letter.isalpha() and letter not in "Tasktinruco"]
    found = [letter for letter in kept if letter.isalpha() and letter not in "Tasktinruco"]
    assert [letter.casefold() for letter in found] == [letter.casefold() for letter in wanted]


@given(ANY_TEXT, st.one_of(ANY_TEXT, LOOSE), st.sampled_from(["answer", "failed"]), REASONS)
def test_every_follow_up_ends(label: str, text: str, kind: Any, reason: str) -> None:
    answers: dict[str, Completion] = {}
    for stage, said in (("classify", label), ("instances", text)):
        assert asked(write(**answers)).stage == stage
        answers[stage] = Completion(stage, kind, said, reason)
    end = write(**answers)
    assert isinstance(end, Written)
    assert "instances" in [one.request_id for one in end.candidates] + [one.request_id for one in end.rejections]


@given(st.one_of(ANY_TEXT, LOOSE), st.booleans(), REASONS)
def test_any_answer_is_read_and_places_are_in_order(text: str, is_classification: bool, reason: str) -> None:
    pairs, lost = read(text, is_classification=is_classification, reason=reason)
    assert pairs or lost


@given(st.lists(st.tuples(st.sampled_from("abc"), st.sampled_from("xyz")), min_size=1), st.booleans())
def test_what_the_prompt_shows_is_what_is_read(instances: list[tuple[str, str]], is_classification: bool) -> None:
    if is_classification:
        text = "\n\n".join(f"Class label: {output}\nInput: {given}" for given, output in instances)
    else:
        text = "\n\n".join(f"Example {n}\nInput: {a}\nOutput: {b}" for n, (a, b) in enumerate(instances, 1))
    assert read(text, is_classification=is_classification) == (instances, [])


@pytest.mark.parametrize(
    "piece", [" ", "*", "_", "#", "\t", "\n", "Example 1\n", "Output ", "1. ", "a: ", '"', "9", "- ", "\n1. ", "\n9. "]
)
def test_no_text_is_slow_to_read(piece: str) -> None:
    text = "x" + piece * 20_000 + "x"
    start = time.thread_time()
    proposals(text)
    for is_classification in (True, False):
        read(text, is_classification=is_classification)
        read("Output: a" + text, is_classification=is_classification)
    assert time.thread_time() - start < 2


# --- against recorded runs of the original --------------------------------------------------------------------------


@needs_parity
def test_the_lists_of_a_real_model_are_read_as_the_original_read_them_but_with_their_case() -> None:
    exchanges = [exchange for exchanges in read_originals(PARITY / "davinci_a").rounds for exchange in exchanges]
    ours = [text for one in exchanges for text in texts(paper.read_proposals(*one, SETTINGS))]
    theirs = [text for one in exchanges for text in texts(original.read_proposals(*one, SETTINGS))]
    assert len(ours) == 85
    assert [text.capitalize() for text in ours] == theirs
    assert ours != theirs


@needs_parity
@pytest.mark.parametrize(("folder", "instances"), [("davinci_a", 76), ("davinci_b", 270)])
def test_the_instances_of_a_real_model_are_read(folder: str, instances: int) -> None:
    """The counts are what was read by eye and found right; a change of the reading shows here."""
    found: list[InstanceCandidate] = []
    for key, exchanges in read_originals(PARITY / folder).follow_ups.items():
        answers = {request.stage: completion for request, completion in exchanges}
        if "instances" in answers:
            end = write(Task("t", key, None), seeds=(), **answers)
            assert isinstance(end, Written)
            found += end.candidates
    assert len(found) == instances
    assert not [one for one in found if one.output.startswith(("Input:", "Output:", "Example "))]
