"""The `chat` recipe: its prompts against golden files, its reading in tables, and that no text is too much for it."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from selfinstruct.algorithm import plan_request
from selfinstruct.config.loading import load
from selfinstruct.config.shaping import pool_settings
from selfinstruct.recipes import chat
from selfinstruct.recipes.json_answers import read_items, read_object, tidy_instruction
from selfinstruct.recipes.templates import fill
from selfinstruct.types import Candidate, Completion, Prompt, Rejection, Request, Schema, Task, Written
from tests.builders import answer, settings, settle, task

GOLDEN = Path(__file__).parent / "golden"
SETTINGS = settings()
SHOWN = [
    task('Explain "osmosis" to a child in two sentences.', 1),
    task("Is the following review positive or negative?", 2, is_classification=True),
    task("List three uses of {{vinegar}} at home.", 3),
]
OPEN = Task("t1", "Shorten the given sentence to at most eight words.", False)
LABELLED = Task("t2", "Say whether the message is spam or not spam.", True)


def is_golden(name: str, prompt: Prompt) -> None:
    text = "".join(f"=== {message.role}\n{message.content}\n" for message in prompt.messages) + "=== end\n"
    path = GOLDEN / name
    if os.environ.get("UPDATE_GOLDEN"):
        path.write_text(text, encoding="utf-8")
    assert path.read_text(encoding="utf-8") == text, (
        f"the prompt differs from {path}; if that is meant, write it with UPDATE_GOLDEN=1 and look at the difference"
    )


def asked(prompt: Prompt, of: Task | None = None) -> Request:
    return plan_request(prompt, SETTINGS, 0 if of is None else None, None if of is None else of.id)


def step(
    of: Task, *texts: tuple[str, int, str], fault: chat.InputFault = lambda *_: None, reason: str = "stop"
) -> Written | list[Prompt]:
    """What is written after these answers, given as (stage, index, text), or the questions that are asked next."""
    answers = {(name, index): answer(asked(Prompt(name, index, ()), of), text, reason) for name, index, text in texts}
    return settle(lambda ask: chat.write_instances(of, ask, SETTINGS, fault), answers)


def prompts(of: Task, *texts: tuple[str, int, str], fault: chat.InputFault = lambda *_: None) -> list[Prompt]:
    """The questions that are asked after these answers."""
    found = step(of, *texts, fault=fault)
    assert isinstance(found, list)
    return found


def written(of: Task, *texts: tuple[str, int, str], fault: chat.InputFault = lambda *_: None) -> Written:
    """What is written after these answers."""
    found = step(of, *texts, fault=fault)
    assert isinstance(found, Written)
    return found


def inputs(*texts: Any, missing: str = "a note") -> tuple[str, int, str]:
    return ("inputs", 0, json.dumps({"missing": missing, "inputs": list(texts)}))


def schema_name(schema: Schema | None) -> str:
    return schema.name if schema else ""


def test_the_propose_prompt_is_as_written_down() -> None:
    prompt = chat.propose(SETTINGS, SHOWN, 2, None)
    assert prompt.demonstrations == ("s1", "s2", "s3")
    assert schema_name(prompt.schema) == "new_tasks"
    is_golden("chat_propose.txt", prompt)


def test_guidance_and_topic_have_their_place_in_the_propose_prompt() -> None:
    guided = settings(guidance="Write for nurses on a ward. Be brief.")
    is_golden("chat_propose_guided.txt", chat.propose(guided, SHOWN, 0, "night shifts"))


def test_the_wanted_language_has_its_place_in_the_propose_prompt() -> None:
    german = pool_settings(load(None, {"language": ["de"]}), "m")
    is_golden("chat_propose_german.txt", chat.propose(german, SHOWN, 0, None))


def test_the_inputs_prompt_is_as_written_down() -> None:
    [prompt] = prompts(OPEN)
    assert schema_name(prompt.schema) == "task_inputs"
    is_golden("chat_inputs.txt", prompt)


def test_the_labelled_inputs_prompt_is_as_written_down() -> None:
    [prompt] = prompts(LABELLED)
    assert schema_name(prompt.schema) == "labelled_inputs"
    is_golden("chat_labelled_inputs.txt", prompt)


def test_the_respond_prompt_is_what_a_user_would_send() -> None:
    is_golden("chat_respond.txt", prompts(OPEN, inputs("It rained all day, {{and}} we stayed in."))[0])
    [without] = prompts(OPEN, inputs(missing="nothing"))
    assert without.messages[-1].content == OPEN.instruction


def test_what_is_the_same_for_all_requests_of_a_stage_comes_first() -> None:
    one = chat.propose(SETTINGS, SHOWN, 0, "a")
    other = chat.propose(SETTINGS, SHOWN[:1], 1, "b")
    assert one.messages[0] == other.messages[0]
    assert len(one.messages[0].content) > 1000


GOOD = (
    '{"tasks": [{"instruction": "Name a river.", "is_classification": false}, '
    '{"instruction": "Is 7 prime?", "is_classification": true}]}'
)


@pytest.mark.parametrize(
    ("text", "wanted"),
    [
        (GOOD, ["Name a river.", "Is 7 prime?"]),
        (f"```json\n{GOOD}\n```", ["Name a river.", "Is 7 prime?"]),
        (f"Here you are:\n{GOOD}\nEnjoy!", ["Name a river.", "Is 7 prime?"]),
        ('[{"instruction": "Name a river."}]', ["Name a river."]),
        ('{"tasks": ["Name a river.", "Name a lake."]}', ["Name a river.", "Name a lake."]),
        ('{"tasks": [{"instruction": "1. Name a river."}]}', ["Name a river."]),
        ('{"tasks": [{"instruction": "\\"Name a river.\\""}]}', ["Name a river."]),
        ('{"tasks": [{"instruction": "Line\none"}]}', ["Line\none"]),
        ('{"tasks": [{"task": "Name a river."}, {"instruction": "Name a lake."}]}', ["unreadable", "Name a lake."]),
        ('{"tasks": [{"instruction": 7}]}', ["unreadable"]),
        (GOOD[:100], ["Name a river.", "unreadable"]),
        ("I would rather not.", ["unreadable"]),
        ('{"tasks": []}', ["unreadable"]),
        ('{"tasks": "none"}', ["unreadable"]),
        ("", ["unreadable"]),
    ],
)
def test_tasks_are_read_out_of_what_models_send(text: str, wanted: list[str]) -> None:
    request = asked(chat.propose(SETTINGS, SHOWN, 0, None))
    found = chat.read_proposals(request, answer(request, text), SETTINGS)
    assert [one.instruction if isinstance(one, Candidate) else one.reason for one in found] == wanted
    assert [one.position for one in found] == list(range(len(found)))


def test_a_cut_completion_loses_only_its_last_item() -> None:
    request = asked(chat.propose(SETTINGS, SHOWN, 0, None))
    found = chat.read_proposals(request, answer(request, GOOD[:112], "length"), SETTINGS)
    assert isinstance(found[0], Candidate)
    assert isinstance(found[1], Rejection)
    assert (found[1].reason, "Is 7" in found[1].text) == ("cut_off", True)


def test_a_failed_request_is_no_data() -> None:
    request = asked(chat.propose(SETTINGS, SHOWN, 0, None))
    found = chat.read_proposals(request, Completion(request.id, "failed", "too long", "too_long"), SETTINGS)
    assert [(one.reason, one.evidence) for one in found if isinstance(one, Rejection)] == [
        ("unreadable", "the request failed: too long")
    ]


def test_inputs_are_answered_and_become_candidates() -> None:
    assert [one.index for one in prompts(OPEN, inputs("One.", "Two."))] == [0, 1]
    assert [one.index for one in prompts(OPEN, inputs("One.", "Two."), ("respond", 1, "B"))] == [0]
    end = written(OPEN, inputs("One.", "Two."), ("respond", 1, " B\n"), ("respond", 0, "A"))
    assert [(one.input, one.output) for one in end.candidates] == [("One.", "A"), ("Two.", "B")]


def test_inputs_that_are_no_good_are_rejected_before_an_answer_is_paid_for() -> None:
    given = inputs("One.", "bad", "One.", {"a": 1})

    def fault(_: Task, text: str) -> tuple[str, str] | None:
        return ("placeholder", "") if text == "bad" else None

    assert [one.index for one in prompts(OPEN, given, fault=fault)] == [0, 3]
    end = written(OPEN, given, ("respond", 0, "A"), ("respond", 3, "B"), fault=fault)
    assert [(one.input, one.output) for one in end.candidates] == [("One.", "A"), ('{"a": 1}', "B")]
    assert [(one.reason, one.input, one.position) for one in end.rejections] == [
        ("placeholder", "bad", 1), ("duplicate", "One.", 2),
    ]  # fmt: skip


def test_inputs_beside_the_word_that_none_is_needed_do_not_vanish() -> None:
    end = written(OPEN, inputs("One.", missing="Nothing."), ("respond", 0, "A"))
    assert [one.input for one in end.candidates] == [""]
    assert [one.reason for one in end.rejections] == ["input_not_needed"]


def test_cases_of_a_classification_come_label_first_and_need_no_answer() -> None:
    text = json.dumps({
        "labels": ["spam", "not spam"],
        "inputs": [{"label": "spam", "input": "Win!"}, {"label": "not spam", "input": "See you at six."}],
    })  # fmt: skip
    end = written(LABELLED, ("inputs", 0, text))
    assert end.labels == ("spam", "not spam")
    assert [(one.input, one.output) for one in end.candidates] == [("Win!", "spam"), ("See you at six.", "not spam")]


def test_a_classification_that_needs_no_case_is_answered() -> None:
    end = written(LABELLED, ("inputs", 0, '{"labels": ["yes", "no"], "inputs": []}'), ("respond", 0, "yes"))
    assert ([one.output for one in end.candidates], end.labels) == (["yes"], ("yes", "no"))


def test_what_has_no_two_short_labels_goes_on_as_an_ordinary_task() -> None:
    labels = json.dumps({"labels": ["Yes", "yes", "a label that goes on for very much longer than any"], "inputs": []})
    [prompt] = prompts(LABELLED, ("inputs", 0, labels))
    assert (prompt.stage, prompt.index, schema_name(prompt.schema)) == ("inputs", 1, "task_inputs")
    ordinary = ("inputs", 1, inputs("Win a boat!")[2])
    end = written(LABELLED, ("inputs", 0, labels), ordinary, ("respond", 0, "It is spam."))
    assert (end.is_classification, [one.output for one in end.candidates]) == (False, ["It is spam."])


@pytest.mark.parametrize(
    ("of", "text"),
    [
        (OPEN, '{"missing": "notes", "inputs": ["One.", "Tw'),
        (LABELLED, '{"labels": ["spam", "not spam"], "inputs": [{"label": "spam", "input": "One."}, {"label": "sp'),
    ],
)
def test_whole_cases_of_a_cut_answer_are_kept(of: Task, text: str) -> None:
    end = step(of, ("inputs", 0, text), ("respond", 0, "A"), reason="length")
    assert isinstance(end, Written)
    assert [one.input for one in end.candidates] == ["One."]
    assert [one.reason for one in end.rejections] == ["cut_off"]


def test_an_instruction_is_answered_without_the_inputs_that_are_at_fault_unless_it_needs_one() -> None:
    def fault(_: Task, text: str) -> tuple[str, str] | None:
        return ("placeholder", "") if text == "bad" else None

    end = written(OPEN, inputs("bad"), ("respond", 1, "A"), fault=fault)
    assert [(one.input, one.position) for one in end.candidates] == [("", 1)]
    assert [(one.reason, one.position) for one in end.rejections] == [("placeholder", 0)]


def test_material_that_an_instruction_speaks_of_is_asked_for_once_more_by_its_name() -> None:
    of = Task("t", "Summarise the following letter.", False)

    def fault(task: Task, text: str) -> tuple[str, str] | None:
        return None if text else ("no_material", "")

    questions = prompts(of, inputs(), fault=fault)
    assert '"the following letter"' in questions[-1].messages[-1].content
    assert questions[-1].messages[: len(questions[0].messages)] == questions[0].messages
    end = written(of, inputs(), ("inputs", 2, '{"inputs": ["Dear Ann, ..."]}'), ("respond", 0, "A"), fault=fault)
    assert [(one.input, one.output) for one in end.candidates] == [("Dear Ann, ...", "A")]
    assert [one.reason for one in end.rejections] == ["no_material"]
    end = written(of, inputs(), ("inputs", 2, '{"inputs": []}'), fault=fault)
    assert [one.reason for one in end.rejections] == ["no_material", "no_material"]


@pytest.mark.parametrize(
    ("instruction", "is_one"),
    [
        ("Write a poem about nature.", False),
        ("Find the longest sentence in this text.", False),
        ("What are the names of the planets?", False),
        ("Summarize whether the review is positive or negative.", True),
        ("Is this bill correct?", True),
        ("Which sport is described?", True),
        ("Guess the genre from the opening line.", False),
        ("In the given text, identify the main idea or focus.", False),
        ("Guess the genre: mystery or romance?", True),
        ("写一首关于春天的诗。", True),
    ],
)
def test_what_cannot_be_a_classification_is_none_whatever_the_model_says(instruction: str, is_one: bool) -> None:
    (question,) = prompts(Task("t", instruction, True))
    assert ("labels" in json.dumps(question.schema and question.schema.body)) == is_one


def test_a_list_without_a_task_is_asked_for_once_more_in_other_words() -> None:
    request = asked(chat.propose(SETTINGS, SHOWN, 0, None))
    again = chat.propose_again(request, answer(request, '{"tasks": []}'), SETTINGS)
    assert again is not None
    assert (again.index, again.messages[:-2]) == (SETTINGS.round_size, request.messages)
    assert [message.role for message in again.messages] == ["system", "user", "assistant", "user", "assistant", "user"]
    second = asked(again)
    assert chat.propose_again(second, answer(second, '{"tasks": []}'), SETTINGS) is None
    assert chat.propose_again(request, answer(request, GOOD), SETTINGS) is None
    empty = chat.read_proposals(request, answer(request, '{"tasks": []}'), SETTINGS)[0]
    assert isinstance(empty, Rejection)
    assert (empty.reason, empty.evidence) == ("unreadable", "the list of tasks is empty")


def test_every_list_and_text_in_the_schemas_has_a_bound() -> None:
    firsts = [*prompts(LABELLED), *prompts(OPEN)]
    found = [json.dumps(one.schema.body) for one in (chat.propose(SETTINGS, SHOWN, 0, None), *firsts) if one.schema]
    assert len(found) == 3
    for schema in found:
        assert schema.count('"array"') == schema.count('"maxItems"') == schema.count('"minItems"')
        assert schema.count('"string"') == schema.count('"maxLength"')


@pytest.mark.parametrize("of", [OPEN, LABELLED])
def test_inputs_that_cannot_be_read_end_the_task_with_one_rejection(of: Task) -> None:
    end = written(of, ("inputs", 0, "no idea"))
    assert (end.candidates, [one.reason for one in end.rejections]) == ((), ["unreadable"])


@given(st.text(), st.booleans())
def test_no_answer_whatever_raises_or_vanishes(text: str, cut: bool) -> None:
    request = asked(chat.propose(SETTINGS, SHOWN, 0, None))
    assert chat.read_proposals(request, answer(request, text, "length" if cut else "stop"), SETTINGS)
    for of in (OPEN, LABELLED):
        assert step(of, ("inputs", 0, text))


KEYS = st.sampled_from(["tasks", "inputs", "labels", "instruction", "label", "input", "missing"])
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(KEYS, inner),
    max_leaves=12,
)


@given(JSON)
def test_no_json_whatever_raises_or_vanishes(value: Any) -> None:
    text = json.dumps(value)
    request = asked(chat.propose(SETTINGS, SHOWN, 0, None))
    assert chat.read_proposals(request, answer(request, text), SETTINGS)
    for of in (OPEN, LABELLED):
        assert step(of, ("inputs", 0, text))


def test_the_readers_take_the_first_object_and_the_whole_items() -> None:
    assert read_object('say {oops} then {"a": 1} and {"b": 2}') == {"a": 1}
    assert read_object("[1]") is None
    items = read_items('{"tasks": [1, [2], {"a": "}"}, "x', "tasks")
    assert items is not None
    assert (items.whole, items.broken) == ((1, [2], {"a": "}"}), '"x')
    assert tidy_instruction("Task 12: Name it.") == "Name it."
    assert tidy_instruction('"A" and "B"') == '"A" and "B"'
    assert tidy_instruction("3.5 is what fraction?") == "3.5 is what fraction?"


def test_what_is_filled_into_a_template_is_never_a_template() -> None:
    assert fill("{{a}} {{b}}", {"a": "{{b}}", "b": "x"}) == "{{b}} x"
    assert fill("one\n{{a?}} line\ntwo", {"a": ""}) == "one\ntwo"
    assert fill("one\nsay {{a?}}\ntwo", {"a": "it"}) == "one\nsay it\ntwo"
