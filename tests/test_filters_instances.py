"""Each rule for instances: what it hits, what comes near and must survive, and that nothing vanishes."""

from __future__ import annotations

import json
from collections import Counter
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from selfinstruct.filters.instances import judge_instances
from selfinstruct.filters.labels import is_one_of, stated_labels
from selfinstruct.records import InstanceCandidate, Rejection, Task
from selfinstruct.settings import FilterSettings, Settings

ROOT = Path(__file__).parents[1]
PLAIN = "Explain the words to me."


def settings(max_instances: int = 5) -> Settings:
    return Settings(prompts={}, stages={}, filters=FilterSettings(max_instances=max_instances, personal_data="off"))


def task(instruction: str = PLAIN, is_classification: bool | None = False) -> Task:
    return Task(id="t1", instruction=instruction, is_classification=is_classification)


def candidates(*pairs: tuple[str, str]) -> tuple[InstanceCandidate, ...]:
    return tuple(InstanceCandidate("r1", position, *pair) for position, pair in enumerate(pairs))


def reason(instruction: str, given_input: str, output: str, *, classification: bool = False) -> str | None:
    """The reason for which one instance is rejected; None: it is kept."""
    kept, rejections = judge_instances(task(instruction, classification), candidates((given_input, output)), settings())
    assert len(kept) + len(rejections) == 1
    return rejections[0].reason if rejections else None


def reasons(
    of: Task, *pairs: tuple[str, str], labels: tuple[str, ...] = (), max_instances: int = 5
) -> list[str | None]:
    """The reason of each instance, None where it is kept."""
    _, rejections = judge_instances(of, candidates(*pairs), settings(max_instances), labels)
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
    kept, rejections = judge_instances(of, given_candidates, settings(max_instances), labels)
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
    _, (rejection,) = judge_instances(task(), [candidate], settings())
    assert (rejection.request_id, rejection.position, rejection.source) == ("r9", 4, 2)
    assert (rejection.input, rejection.text, rejection.reason) == ("given", "", "empty_output")


@pytest.mark.parametrize(
    ("given_input", "output"), [("a\0", "b"), ("a", "b\x08"), ("\udfff", "b"), ("a", "na\ufffdve")]
)
def test_broken_text_is_found(given_input: str, output: str) -> None:
    assert reason(PLAIN, given_input, output) == "broken_text"


@pytest.mark.parametrize("output", ["", " ", "\n\t\n", "\u200b", " \ufeff ", "\u2060"])
def test_an_empty_output_is_found(output: str) -> None:
    assert reason(PLAIN, "given", output) == "empty_output"


@pytest.mark.parametrize("output", ["0", "是", "😀", "a", "{}", "+"])
def test_a_short_output_is_not_empty(output: str) -> None:
    assert reason(PLAIN, "given", output) is None


@pytest.mark.parametrize(
    ("given_input", "output"),
    [
        ("List:", "a"),
        ("a", "The list is:"),
        ("a", "结果如下："),
        ("a", "```python\nx = 1"),
        ("```\nx = 1", "a"),
        ("a", "Steps: "),
        ("a", "ok\n```\nx\n```\n```js\ny"),
    ],
)
def test_cut_off_texts_are_found(given_input: str, output: str) -> None:
    assert reason(PLAIN, given_input, output) == "cut_off"


def test_an_answer_that_ran_out_of_tokens_is_cut_off() -> None:
    _, (rejection,) = judge_instances(task(), [InstanceCandidate("r1", 0, "a", "b", "length")], settings())
    assert rejection.reason == "cut_off"


@pytest.mark.parametrize(
    ("given_input", "output"),
    [
        ("Ann:\nBen:\nCai:", "Ann: 1\nBen: 2\nCai: 3"),
        ("hot : cold :: wet :", "dry"),
        ("a", "```python\nx = 1\n```"),
        ("a", "time: 10:30"),
        ("a", "Use `x` and ``` in a line"),
        ("a", "A list: b"),
    ],
)
def test_whole_texts_are_not_cut_off(given_input: str, output: str) -> None:
    assert reason(PLAIN, given_input, output) is None


def test_an_output_that_repeats_its_input_is_found() -> None:
    assert reason(PLAIN, " the sky ", "the sky\n") == "same_as_input"
    assert reason(PLAIN, "the sky", "The sky") is None
    assert reason(PLAIN, "Article: the sky is blue, so is the sea", "the sky is blue, so is the sea") == "same_as_input"
    assert reason(PLAIN, "List: [1, 2, 3]", "[1, 2, 3]") is None
    assert reason(PLAIN, "Blue: the sky, the sea", "the sky") is None


@pytest.mark.parametrize(
    ("given_input", "output"),
    [
        ("<noinput>", "a"),
        ("<No Input>", "a"),
        ("[no input]", "a"),
        ("N/A", "a"),
        ("None", "a"),
        ("(none)", "a"),
        ("No input required.", "a"),
        ("Input goes here", "a"),
        ("Lorem ipsum dolor sit amet", "a"),
        ("无", "a"),
        ("Read [insert text here] aloud", "a"),
        ("a", "N/A"),
        ("", "None"),
        ("a", "<No Output>"),
        ("a", "Yours, [Your Name]"),
        ("a", "Dear [Recipient],\nHello."),
        ("a", "Welcome to [Company Name]!"),
        ("a", "Hello <insert name>"),
        ("a", "此致，【您的姓名】"),
    ],
)
def test_placeholders_are_found(given_input: str, output: str) -> None:
    assert reason(PLAIN, given_input, output) == "placeholder"


@pytest.mark.parametrize(
    ("instruction", "given_input", "output"),
    [
        (PLAIN, "[1, 2, 3]", "a"),
        (PLAIN, "a", "[x for x in y]"),
        (PLAIN, "a", "See [your profile](https://a.example)."),
        (PLAIN, "The sky is [MASK].", "The sky is blue."),
        (PLAIN, "Which are prime: 4, 6?", "None"),
        (PLAIN, "none of them came", "nobody came"),
        (PLAIN, "Hi [person name], see you", "a"),
        (PLAIN, "a", "return [word] + words"),
        ("Write SQL for the question.", "a", "SELECT [Name] FROM [Customer];"),
        ("Name the page, or output N/A.", "a", "N/A"),
        ("Write an email template for thanks.", "", "Dear [Name], thanks. [Your Name]"),
        ("Replace the placeholders in the text.", "I met [name] in [city].", "I met Ann in Rome."),
        ("Explain what lorem ipsum is for.", "", "Lorem ipsum is filler text."),
        (PLAIN, "Notable: not applicable law", "a"),
    ],
)
def test_brackets_and_honest_nothings_survive(instruction: str, given_input: str, output: str) -> None:
    assert reason(instruction, given_input, output) is None


@pytest.mark.parametrize("label", ["None", "N/A", "none"])
def test_a_classification_may_have_the_label_none(label: str) -> None:
    assert reason("Name the emotion in the line.", "Rain fell.", label, classification=True) is None
    assert reasons(task("Sort it.", True), ("a", label), labels=("Joy", "None", "N/A")) == [None]


@pytest.mark.parametrize(
    "output",
    [
        "I'm sorry, but I can't help with that.",
        "I’m sorry, but I cannot provide that.",
        "Sorry, I can't do that.",
        "As an AI language model, I have no feelings.",
        "As an AI, I do not eat.",
        "I cannot provide medical advice.",
        "I am unable to open links.",
        "I don't have access to the internet.",
        "Unfortunately, I cannot browse the web.",
        "作为一个AI语言模型，我没有情感。",
        "很抱歉，我无法回答这个问题。",
        "Als KI habe ich keine Meinung.",
        "Es tut mir leid, aber ich kann dabei nicht helfen.",
        "En tant qu'IA, je n'ai pas d'avis.",
        "Je suis désolé, mais je ne peux pas répondre.",
        "Lo siento, pero no puedo ayudar con eso.",
    ],
)
def test_refusals_are_found(output: str) -> None:
    assert reason(PLAIN, "a", output) == "refusal"


@pytest.mark.parametrize(
    ("instruction", "given_input", "output"),
    [
        ("Write an apology to a guest.", "", "I'm sorry, but I can't undo what happened."),
        ("Reply and refuse the invitation politely.", "Join us!", "Unfortunately, I cannot attend."),
        ("Turn down the job offer.", "", "I am unable to accept it."),
        ("拒绝对方的邀请。", "来吧", "很抱歉，我无法参加。"),
        ("Translate into English.", "Lo siento, pero no puedo ir.", "I'm sorry, but I can't go."),
        (PLAIN, "a", "I'm sorry to hear about your dog."),
        (PLAIN, "a", "I can't help smiling when it rains."),
        (PLAIN, "a", "I cannot believe how far we came."),
        (PLAIN, "a", "As an AI researcher, I train models."),
        (PLAIN, "a", "As an airline pilot, I fly."),
        (PLAIN, "a", "The bot said: I'm sorry, but I can't."),
        (PLAIN, "a", "作为一个老师，我爱学生。"),
    ],
)
def test_regret_that_is_asked_for_or_told_survives(instruction: str, given_input: str, output: str) -> None:
    assert reason(instruction, given_input, output) is None


@pytest.mark.parametrize(
    "output",
    [
        "It rains.\n\nTask: Write a poem.",
        "It rains.\n### Instruction:\nWrite a poem.",
        "It rains.\n4. Instruction: Write a poem.",
        "It rains.\nInstruction: Write a poem.",
        "It rains.\nExample 2\nIt snows.",
        "It rains.\nInput: snow\nOutput: It snows.",
        "It rains.\nClass label: wet",
        "下雨了。\n\n任务：写一首诗",
    ],
)
def test_a_text_that_runs_on_into_the_next_task_is_found(output: str) -> None:
    assert reason(PLAIN, "a", output) == "merged_tasks"
    assert reason(PLAIN, output, "a") == "merged_tasks"


@pytest.mark.parametrize(
    ("instruction", "output"),
    [
        ("Give me two examples of rain.", "Example 1: drizzle\nExample 2: storm"),
        (PLAIN, "Example 1: drizzle\nExample 2: storm"),
        ("Write test cases for abs.", "Input: -1\nOutput: 1"),
        ("Plan my day as tasks.", "Morning\n\nTask: wash up"),
        (PLAIN, "Task 1: plan\nTask 2: build"),
        (PLAIN, "Instructions:\n1. Boil water."),
        ("Write an instruction for a cook.", "Instruction: Boil water."),
        (PLAIN, "### Instructions\nBoil water."),
    ],
)
def test_labels_that_belong_to_the_answer_survive(instruction: str, output: str) -> None:
    assert reason(instruction, "a", output) is None


@pytest.mark.parametrize(
    ("given_input", "output"),
    [
        ("See attached.", "a"),
        ("See the attached file for the text.", "a"),
        ("[image]", "a"),
        ("[Image of a dog]", "a"),
        ("![a dog](dog.png)", "a"),
        ('<img src="dog.png">', "a"),
        ("https://www.example.com/news/1", "a"),
        ("https://a.example/1\nhttps://a.example/2", "a"),
        ("Image: a dog on a beach", "a"),
        ("a", "Here it is: ![dog](dog.png)"),
        ("附件中的文章", "a"),
    ],
)
def test_what_the_model_cannot_have_is_found(given_input: str, output: str) -> None:
    assert reason(PLAIN, given_input, output) == "attachment"


@pytest.mark.parametrize(
    ("instruction", "given_input", "output"),
    [
        ("Extract all links from the text.", "Read https://a.example and rest.", "https://a.example"),
        ("Is this a valid URL?", "https://a.example", "Yes"),
        ("Name the domain.", "https://a.example/b", "a.example"),
        ("Write a cover letter.", "Ann, a nurse", "Please see the attached file. Regards, Ann"),
        ("Sum up in a line.", "Dear Ann, see the attached report. Bo", "Bo sent a report."),
        ("Write HTML for a page with a logo.", "", '<img src="logo.png">'),
        ("Repair the markdown.", "![a dog](dog.png", "![a dog](dog.png)"),
        (PLAIN, "services:\n  web:\n    image: nginx", "It runs a web server."),
        (PLAIN, "She grew attached to the dog.", "She came to love it."),
        (PLAIN, "the image of a town", "its reputation"),
    ],
)
def test_links_and_letters_that_belong_to_the_task_survive(instruction: str, given_input: str, output: str) -> None:
    assert reason(instruction, given_input, output) is None


def test_only_the_first_of_equal_instances_is_kept() -> None:
    assert reasons(task(), ("a", "b"), ("a ", " b\n"), ("c", "b")) == [None, "duplicate", None]
    assert reasons(task(is_classification=True), ("a", "Yes"), ("a", "yes.")) == [None, "duplicate"]


def test_several_outputs_of_one_input_reject_each_other() -> None:
    assert reasons(task(), ("a", "b"), ("x", "y"), ("a", "c")) == ["conflicting_outputs", None, "conflicting_outputs"]


def test_without_an_input_the_first_answer_of_a_generation_is_kept() -> None:
    assert reasons(task(), ("", "b"), (" ", "c"), ("", "d")) == [None, "conflicting_outputs", "conflicting_outputs"]
    assert reasons(task(is_classification=None), ("", "b"), ("", "c")) == [None, "conflicting_outputs"]


def test_contradicting_labels_are_all_rejected_without_an_input_too() -> None:
    assert reasons(task(is_classification=True), ("", "Yes"), ("", "No")) == ["conflicting_outputs"] * 2


def test_an_instance_with_a_fault_of_its_own_contradicts_nobody() -> None:
    assert reasons(task(), ("a", ""), ("a", "b")) == ["empty_output", None]


def test_labels_outside_the_set_are_found() -> None:
    pairs = (("a", "Positive"), ("b", "negative."), ("c", "blue"), ("d", "Positive, because it says so"))
    found = [None, None, "label_outside_set", None]
    assert reasons(task("Label it.", True), *pairs, labels=("positive", "negative")) == found
    assert reasons(task("Classify the review as positive or negative.", True), *pairs) == found
    assert reasons(task("Label it.", True), *pairs) == [None] * 4
    assert reasons(task("Label it.", False), *pairs, labels=("positive", "negative")) == [None] * 4


def test_the_first_instances_are_kept_when_there_are_too_many() -> None:
    pairs = tuple((letter, letter.upper()) for letter in "abcd")
    assert reasons(task(), *pairs, max_instances=2) == [None, None, "too_many", "too_many"]


def test_what_is_rejected_takes_no_place() -> None:
    assert reasons(task(), ("a", ""), ("b", "B"), ("b", "B"), ("c", "C"), max_instances=2) == [
        "empty_output",
        None,
        "duplicate",
        None,
    ]


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
        "Classify the animals as mammals or reptiles.",
        "Say yes or no and explain why.",
        "Rate it from 1 to 5.",
        "Label the topic, for example Sports or Music.",
        "Decide whether the sentence is about Anna.",
        "If it is right, output yes. Otherwise, correct it.",
        "Compare London and Paris.",
        "",
    ],
)
def test_no_labels_are_read_where_there_is_doubt(instruction: str) -> None:
    assert stated_labels(instruction) == ()


@pytest.mark.parametrize(
    ("output", "hit"),
    [
        ("YES", True),
        ('"yes".', True),
        ("No; it is not", True),
        ("yes, no", True),
        ("perhaps", False),
        ("yesterday", False),
        ("", False),
    ],
)
def test_an_output_is_compared_with_the_labels(output: str, hit: bool) -> None:
    assert is_one_of(output, ("Yes", "No")) == hit


@pytest.mark.parametrize("name", ["en", "zh"])
def test_no_shipped_seed_has_a_fault(name: str) -> None:
    path = ROOT / "seeds" / f"{name}.jsonl"
    if not path.is_file():
        pytest.skip(f"{path} is absent")
    found: list[Rejection] = []
    for line in path.read_text(encoding="utf-8").splitlines():
        seed = json.loads(line)
        pairs = [(each["input"], each["output"]) for each in seed["instances"]]
        of = task(seed["instruction"], seed["is_classification"])
        kept, rejections = judge_instances(of, candidates(*pairs), settings())
        found += rejections
        assert len(kept) + len(rejections) == len(pairs)
    assert found == []
