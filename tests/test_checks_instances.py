"""Each rule for instances: what it hits, what comes near and must survive, and that nothing vanishes."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from selfinstruct.checks.labels import is_one_of, stated_labels
from selfinstruct.checks.screening import screen_instances
from selfinstruct.types import InstanceCandidate, Task
from tests.builders import changed, instance_fault, settings

PLAIN = "Explain the words to me."
SETTINGS = settings()


def task(instruction: str = PLAIN, is_classification: bool | None = False) -> Task:
    return Task(id="t1", instruction=instruction, is_classification=is_classification)


def candidates(*pairs: tuple[str, str]) -> tuple[InstanceCandidate, ...]:
    return tuple(InstanceCandidate("r1", position, *pair) for position, pair in enumerate(pairs))


def reason(instruction: str, given_input: str, output: str, *, classification: bool = False) -> str | None:
    found = instance_fault(SETTINGS, instruction, output, given_input, is_classification=classification)
    return found.reason if found else None


def reasons(
    of: Task, *pairs: tuple[str, str], labels: tuple[str, ...] = (), max_instances: int = 5
) -> list[str | None]:
    """The reason of each instance, None where it is kept."""
    _, rejections = screen_instances(of, candidates(*pairs), changed(SETTINGS, max_instances=max_instances), labels)
    by_position = {rejection.position: rejection.reason for rejection in rejections}
    return [by_position.get(position) for position in range(len(pairs))]


SHORT = st.text(st.sampled_from('ab :`<>[]\n"\0\ud800中。'), max_size=8) | st.sampled_from(
    ["Yes", "no.", "N/A", "None", ""]
)
CANDIDATES = st.lists(
    st.builds(
        InstanceCandidate,
        st.sampled_from(["r1", "r2"]),
        st.integers(0, 3),
        SHORT,
        SHORT,
        st.sampled_from(["stop", "length"]),
    ),
    max_size=12,
)


@given(CANDIDATES, st.sampled_from([True, False, None]), st.sampled_from([(), ("Yes", "No")]), st.integers(1, 5))
def test_every_candidate_is_kept_or_rejected_once_and_order_is_kept(
    given_candidates: list[InstanceCandidate], classification: bool | None, labels: tuple[str, ...], max_instances: int
) -> None:
    of = task(is_classification=classification)
    kept, rejections = screen_instances(of, given_candidates, changed(SETTINGS, max_instances=max_instances), labels)
    ended = [(each.request_id, each.position, each.output) for each in kept]
    ended += [(each.request_id, each.position, each.text) for each in rejections]
    assert Counter(ended) == Counter((each.request_id, each.position, each.output) for each in given_candidates)
    remaining = iter(given_candidates)
    assert all(any(replace(other, input=each.input) == each for other in remaining) for each in kept)
    assert len(kept) <= max_instances
    assert all(each.evidence.encode() and each.kind == "instance" and each.task_id == of.id for each in rejections)


@given(st.text(st.characters()), st.text(st.characters()), st.text(st.characters()))
def test_no_text_makes_a_rule_raise(instruction: str, given_input: str, output: str) -> None:
    reason(instruction, given_input, output)
    reason(instruction, given_input, output, classification=True)


def test_a_rejection_says_where_it_came_from() -> None:
    candidate = InstanceCandidate("r9", 4, "given", "", source=2)
    _, (rejection,) = screen_instances(task(), [candidate], SETTINGS)
    assert (rejection.request_id, rejection.position, rejection.source) == ("r9", 4, 2)
    assert (rejection.input, rejection.text, rejection.reason) == ("given", "", "empty_output")


FAULTY = {
    "broken_text": [("a\0", "b"), ("a", "b\x08"), ("\udfff", "b"), ("a", "na\ufffdve")],
    "empty_output": [("given", output) for output in ("", "\n\t\n", "\u200b", " \ufeff ", "\u2060")],
    "cut_off": [
        ("List:", "a"), ("a", "The list is:"), ("a", "结果如下："), ("a", "```python\nx = 1"), ("```\nx = 1", "a"),
        ("a", "ok\n```\nx\n```\n```js\ny"),
    ],
    "same_as_input": [
        (" the sky ", "the sky\n"), ("Article: the sky is blue, so is the sea", "the sky is blue, so is the sea"),
    ],
    "placeholder": [
        ("<noinput>", "a"), ("<No Input>", "a"), ("N/A", "a"), ("(none)", "a"), ("No input required.", "a"),
        ("无", "a"),
        ("Lorem ipsum dolor sit amet", "a"), ("Read [insert text here] aloud", "a"), ("a", "N/A"), ("", "None"),
        ("a", "Yours, [Your Name]"), ("a", "I love my new [Product Name]."), ("a", "Hello <insert name>"),
        ("a", "Dear [Recipient],\nHello."), ("a", "此致，【您的姓名】"),
    ],
    "refusal": [
        ("a", output)
        for output in (
            "I'm sorry, but I can't help with that.", "I’m sorry, but I cannot provide that.",
            "Sorry, I can't do that.",
            "As an AI language model, I have no feelings.", "As an AI, I do not eat.", "I am unable to open links.",
            "I cannot provide medical advice.", "I don't have access to the internet.",
            "作为一个AI语言模型，我没有情感。",
            "Unfortunately, I cannot browse the web.", "很抱歉，我无法回答这个问题。", "Als KI habe ich keine Meinung.",
            "Es tut mir leid, aber ich kann dabei nicht helfen.", "En tant qu'IA, je n'ai pas d'avis.",
            "Je suis désolé, mais je ne peux pas répondre.", "Lo siento, pero no puedo ayudar con eso.",
        )
    ],
    "merged_tasks": [
        (text, "a")
        for text in (
            "It rains.\n\nTask: Write a poem.", "It rains.\n### Instruction:\nWrite a poem.",
            "It rains.\n4. Instruction: Write a poem.", "It rains.\nExample 2\nIt snows.",
            "It rains.\nClass label: wet",
            "It rains.\nInput: snow\nOutput: It snows.",
        )
    ],
    "attachment": [
        ("See attached.", "a"), ("[image]", "a"), ("[Image of a dog]", "a"), ("![a dog](dog.png)", "a"),
        ("https://www.example.com/news/1", "a"), ("https://a.example/1\nhttps://a.example/2", "a"),
        ("a", "Here it is: ![dog](dog.png)"), ("a", "Please refer to the attached spreadsheet."), ("附件中的文章", "a"),
    ],
}  # fmt: skip
GOOD = [
    *((PLAIN, "given", output) for output in ("0", "是", "😀", "{}", "+")),
    (PLAIN, "Ann:\nBen:\nCai:", "Ann: 1\nBen: 2\nCai: 3"), (PLAIN, "hot : cold :: wet :", "dry"),
    (PLAIN, "a", "```python\nx = 1\n```"), (PLAIN, "a", "Use `x` and ``` in a line"),
    (PLAIN, "the sky", "The sky"), (PLAIN, "List: [1, 2, 3]", "[1, 2, 3]"),
    (PLAIN, "Blue: the sky, the sea", "the sky"),
    # Brackets and honest nothings.
    (PLAIN, "[1, 2, 3]", "a"), (PLAIN, "a", "[x for x in y]"), (PLAIN, "a", "See [your profile](https://a.example)."),
    (PLAIN, "The sky is [MASK].", "The sky is blue."), (PLAIN, "Which are prime: 4, 6?", "None"),
    (PLAIN, "none of them came", "nobody came"), (PLAIN, "Hi [person name], see you", "a"),
    ("Write SQL for the question.", "a", "SELECT [Name] FROM [Customer];"), ("Name it, or output N/A.", "a", "N/A"),
    ("Write an email template for thanks.", "", "Dear [Name], thanks. [Your Name]"),
    ("Explain what lorem ipsum is for.", "", "Lorem ipsum is filler text."),
    # Regret that is asked for or told.
    ("Write an apology to a guest.", "", "I'm sorry, but I can't undo what happened."),
    ("Reply and refuse the invitation politely.", "Join us!", "Unfortunately, I cannot attend."),
    ("拒绝对方的邀请。", "来吧", "很抱歉，我无法参加。"),
    ("Translate into English.", "Lo siento, pero no puedo ir.", "I'm sorry, but I can't go."),
    (PLAIN, "a", "I'm sorry to hear about your dog."), (PLAIN, "a", "I can't help smiling when it rains."),
    (PLAIN, "a", "As an AI researcher, I train models."), (PLAIN, "a", "The bot said: I'm sorry, but I can't."),
    # Labels that belong to the answer.
    (PLAIN, "a", "Example 1: drizzle\nExample 2: storm"),
    ("Give the input and the output of a test of abs.", "a", "Input: -1\nOutput: 1"),
    ("Plan my day as tasks.", "a", "Morning\n\nTask: wash up"), (PLAIN, "a", "Instructions:\n1. Boil water."),
    ("Write an instruction for a cook.", "a", "Instruction: Boil water."),
    # Links, letters and markup that belong to the task.
    ("Extract all links from the text.", "Read https://a.example and rest.", "https://a.example"),
    ("Is this a valid URL?", "https://a.example", "Yes"),
    ("Write a cover letter.", "Ann, a nurse", "Please see the attached file. Regards, Ann"),
    ("Sum up in a line.", "Dear Ann, see the attached report. Bo", "Bo sent a report."),
    ("Write HTML for a page with a logo.", "", '<img src="logo.png">'),
    (PLAIN, "She grew attached to the dog.", "She came to love it."),
]  # fmt: skip


@pytest.mark.parametrize(("wanted", "row"), [(why, row) for why, rows in FAULTY.items() for row in rows])
def test_each_fault_has_its_reason(wanted: str, row: tuple[str, str]) -> None:
    assert reason(PLAIN, *row) == wanted


@pytest.mark.parametrize(("instruction", "given_input", "output"), GOOD)
def test_look_alikes_survive(instruction: str, given_input: str, output: str) -> None:
    assert reason(instruction, given_input, output) is None


def test_an_answer_that_ran_out_of_tokens_is_cut_off() -> None:
    _, (rejection,) = screen_instances(task(), [InstanceCandidate("r1", 0, "a", "b", "length")], SETTINGS)
    assert rejection.reason == "cut_off"


@pytest.mark.parametrize("label", ["None", "N/A", "none"])
def test_a_classification_may_have_the_label_none(label: str) -> None:
    assert reason("Name the emotion in the line.", "Rain fell.", label, classification=True) is None
    assert reasons(task("Sort it.", True), ("a", label), labels=("Joy", "None", "N/A")) == [None]


KEPT, DUPLICATE, CONFLICT = None, "duplicate", "conflicting_outputs"


@pytest.mark.parametrize(
    ("classification", "pairs", "wanted"),
    [
        (False, [("a", "b"), ("a ", " b\n"), ("c", "b")], [KEPT, DUPLICATE, KEPT]),
        (True, [("a", "Yes"), ("a", "yes.")], [KEPT, DUPLICATE]),
        (False, [("a", "b"), ("x", "y"), ("a", "c")], [CONFLICT, KEPT, CONFLICT]),
        # Without an input the first answer of a generation is kept; labels all contradict each other.
        (False, [("", "b"), (" ", "c"), ("", "d")], [KEPT, CONFLICT, CONFLICT]),
        (None, [("", "b"), ("", "c")], [KEPT, CONFLICT]),
        (True, [("", "Yes"), ("", "No")], [CONFLICT, CONFLICT]),
        # What is faulty by itself contradicts nobody.
        (False, [("a", ""), ("a", "b")], ["empty_output", KEPT]),
    ],
)
def test_instances_of_a_task_are_judged_together(
    classification: bool | None, pairs: list[tuple[str, str]], wanted: list[str | None]
) -> None:
    assert reasons(task(is_classification=classification), *pairs) == wanted


def test_labels_outside_the_set_are_found() -> None:
    pairs = (("a", "Positive"), ("b", "negative."), ("c", "blue"), ("d", "Positive, because it says so"))
    found = [None, None, "label_outside_set", None]
    assert reasons(task("Label it.", True), *pairs, labels=("positive", "negative")) == found
    assert reasons(task("Classify the review as positive or negative.", True), *pairs) == found
    assert reasons(task("Label it.", True), *pairs) == [None] * 4
    assert reasons(task("Label it.", False), *pairs, labels=("positive", "negative")) == [None] * 4


def test_the_first_instances_are_kept_when_there_are_too_many_and_rejected_ones_take_no_place() -> None:
    pairs = tuple((letter, letter.upper()) for letter in "abcd")
    assert reasons(task(), *pairs, max_instances=2) == [KEPT, KEPT, "too_many", "too_many"]
    pairs = ("a", ""), ("b", "B"), ("b", "B"), ("c", "C")
    assert reasons(task(), *pairs, max_instances=2) == ["empty_output", KEPT, DUPLICATE, KEPT]


@pytest.mark.parametrize(
    ("instruction", "labels"),
    [
        ('Is it fair? Output "fair" or "not fair".', ("fair", "not fair")),
        ("Classify the review as Positive or Negative.", ("Positive", "Negative")),
        ("Is the claim right? Yes or no?", ("Yes", "no")),
        ("Answer the question with A, B, or C.", ("A", "B", "C")),
        ("Which team is it: Billing, Technical Support, or Returns?", ("Billing", "Technical Support", "Returns")),
        ("这句话对不对？回答“是”或“否”。", ("是", "否")),
        ("Classify it into positive, negative or mixed.", ("positive", "negative", "mixed")),
    ],
)
def test_stated_labels_are_read(instruction: str, labels: tuple[str, ...]) -> None:
    assert stated_labels(instruction) == labels


@pytest.mark.parametrize(
    "instruction",
    [
        "Classify the animals as mammals or reptiles.", "Say yes or no and explain why.", "Rate it from 1 to 5.",
        "Label the topic, for example Sports or Music.", "Decide whether the sentence is about Anna.",
        "If it is right, output yes. Otherwise, correct it.", "Compare London and Paris.", "",
    ],
)  # fmt: skip
def test_no_labels_are_read_where_there_is_doubt(instruction: str) -> None:
    assert stated_labels(instruction) == ()


def test_an_output_is_compared_with_the_labels() -> None:
    labels = ("Yes", "No")
    assert all(is_one_of(output, labels) for output in ("YES", '"yes".', "No; it is not", "yes, no"))
    assert not any(is_one_of(output, labels) for output in ("perhaps", "yesterday", ""))
