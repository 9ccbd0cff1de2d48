"""A model's habits at rates of one's own: what each looks like, how often it shows, and that the request decides."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest

from selfinstruct.errors import ConfigError
from selfinstruct.models.offline.book import book_of, entries, find
from selfinstruct.models.offline.flaws import PHRASES, QUIRKS
from selfinstruct.models.offline.options import parse_quirks
from selfinstruct.models.offline.protocol import Model, answer_chat, answer_completion, count_tokens
from selfinstruct.models.offline.reply import Style
from selfinstruct.types import Instance, Task
from tests.builders import book_says

SHOWN = ["Name three rivers.", "Say what day follows Monday."]


def proposal(seed: int, **more: Any) -> dict[str, Any]:
    shown = "\n".join(json.dumps({"instruction": text}) for text in SHOWN)
    content = f'{shown}\nWrite 8 new tasks, as {{"tasks": [...]}}.'.replace('{"tasks": ', '{"tasks":')
    return {"model": "offline", "seed": seed, "messages": [{"role": "user", "content": content}], **more}


KNOWN = next(one for one in entries() if one.needs_input and len(one.answers[0].output) > 100)


def question(seed: int, **more: Any) -> dict[str, Any]:
    content = f"{KNOWN.instruction}\n\n{KNOWN.answers[0].input}"
    return {"model": "offline", "seed": seed, "messages": [{"role": "user", "content": content}], **more}


def ask(quirks: str, body: dict[str, Any], style: Style = "tasks") -> dict[str, Any]:
    """The choice in the answer."""
    answer = answer_chat(body, Model(style, parse_quirks(quirks)))
    choice: dict[str, Any] = answer["choices"][0] | {"usage": answer["usage"]}
    return choice


def text(quirks: str, body: dict[str, Any], style: Style = "tasks") -> str:
    return str(ask(quirks, body, style)["message"]["content"])


def is_json(found: str) -> bool:
    try:
        json.loads(found)
    except ValueError:
        return False
    return True


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ("foo=1%", f"unknown kind 'foo'; known: {', '.join(QUIRKS)}"),
        ("badjson=60%,empty=60%", "the rates add up to 120%; 100% is the most"),
        ("none,dup=1%", "unknown kind 'none'"),
    ],
)
def test_a_wrong_quirk_is_one_clear_line(given: str, said: str) -> None:
    with pytest.raises(ConfigError, match=f"^--quirk: {said}"):
        parse_quirks(given)


@pytest.mark.parametrize("quirks", ["none", "dup=0,badjson=0%"])
def test_rates_of_nothing_switch_the_flaws_off(quirks: str) -> None:
    for seed in range(60):
        found = text(quirks, proposal(seed))
        tasks = [task["instruction"] for task in json.loads(found)["tasks"]]
        assert len(tasks) == 8
        assert not set(tasks) & set(SHOWN)
        assert book_says(KNOWN.instruction, KNOWN.answers[0].input, text(quirks, question(seed)))
    usual = [answer_chat(question(seed), Model())["choices"][0]["message"]["content"] for seed in range(300)]
    assert len(set(usual)) > 1, "without quirks the model has its own flaws"


@pytest.mark.parametrize("style", ["tasks", "words"])
def test_a_share_of_the_tasks_repeats_a_demonstration(style: Style) -> None:
    found = [
        task["instruction"]
        for seed in range(150)
        for task in json.loads(text("dup=20%", proposal(seed), style))["tasks"]
    ]
    assert sum(task in SHOWN for task in found) / len(found) == pytest.approx(0.2, abs=0.04)


SIGNS: dict[str, Callable[[dict[str, Any]], bool]] = {
    "badjson": lambda choice: not is_json(choice["message"]["content"]) and choice["finish_reason"] == "stop",
    "length": lambda choice: choice["finish_reason"] == "length",
    "refusal": lambda choice: choice["message"]["content"] in PHRASES["refusals"],
    "empty": lambda choice: choice["message"]["content"] == "",
    "think": lambda choice: choice["message"]["content"].startswith("<think>\n"),
    "reasoning": lambda choice: bool(choice["message"].get("reasoning_content")),
    "fence": lambda choice: choice["message"]["content"].startswith("```json\n"),
}


@pytest.mark.parametrize("kind", SIGNS)
@pytest.mark.parametrize("style", ["tasks", "words"])
def test_a_quirk_shows_as_often_as_it_should(kind: str, style: Style) -> None:
    assert all(SIGNS[kind](ask(f"{kind}=100%", proposal(seed), style)) for seed in range(20))
    share = sum(SIGNS[kind](ask(f"{kind}=30%", proposal(seed), style)) for seed in range(300)) / 300
    assert share == pytest.approx(0.3, abs=0.09)


def test_a_thought_stands_before_the_answer_and_leaves_it_whole() -> None:
    plain = text("none", proposal(1))
    thought, _, rest = text("think=100%", proposal(1)).partition("</think>\n\n")
    assert rest == plain
    assert thought.startswith("<think>\nLet me think.")
    choice = ask("reasoning=100%", proposal(1))
    assert choice["message"]["content"] == plain
    both = count_tokens(plain) + count_tokens(choice["message"]["reasoning_content"])
    assert choice["usage"]["completion_tokens"] == both


def test_an_endless_answer_uses_all_the_tokens_it_may() -> None:
    choice = ask("length=100%", proposal(1, max_tokens=500))
    assert (choice["finish_reason"], choice["usage"]["completion_tokens"]) == ("length", 500)
    assert " and so on and so on and so" in choice["message"]["content"]
    assert not is_json(choice["message"]["content"])


@pytest.mark.parametrize("limit", [1, 5, 30])
def test_no_quirk_goes_beyond_the_tokens_asked_for(limit: int) -> None:
    for seed in range(40):
        for quirks in ("think=100%,reasoning=100%,fence=100%", "length=50%,badjson=50%,reasoning=50%"):
            choice = ask(quirks, proposal(seed, max_tokens=limit))
            assert choice["usage"]["completion_tokens"] <= limit
            spoken = count_tokens(choice["message"]["content"])
            assert spoken + count_tokens(choice["message"].get("reasoning_content", "")) <= limit


def test_completions_have_the_quirks_that_a_text_can_have() -> None:
    body = {"model": "offline", "prompt": "Tasks:\n1. Name a colour.\n2.", "stop": ["\n5."], "max_tokens": 400}
    for quirks, finish in (("none", "stop"), ("length=100%", "length"), ("reasoning=100%", "stop")):
        choice = answer_completion(body, Model("tasks", parse_quirks(quirks)))["choices"][0]
        assert choice["finish_reason"] == finish
    plain = answer_completion(body, Model("tasks", parse_quirks("none")))
    assert answer_completion(body, Model("tasks", parse_quirks("reasoning=100%")))["usage"] == plain["usage"]


def in_a_rut(seed: int, quirks: str, *more: str) -> list[str]:
    """The instructions of one answer to a prompt with these further lines."""
    body = proposal(seed)
    body["messages"][-1]["content"] = "\n".join([body["messages"][-1]["content"], *more])
    return [task["instruction"] for task in json.loads(text(quirks, body))["tasks"]]


def test_a_model_in_a_rut_goes_on_with_the_kinds_that_it_is_shown() -> None:
    shown = [json.dumps({"instruction": entry.instruction}) for entry in entries() if entry.kind == "plans"][:3]
    assert set(kinds_in_a_rut(*shown)) == {"plans"}
    assert "plans" not in kinds_in_a_rut()


def kinds_in_a_rut(*shown: str) -> list[str]:
    found = [find(text) for seed in range(40) for text in in_a_rut(seed, "rut=100%", *shown)]
    return [entry.kind for entry in found if entry]


ASKS = ["begin some of the new ones with: Write, translate", "Some of the next ones begin with: Write"]


@pytest.mark.parametrize("words", ASKS)
def test_a_model_in_a_rut_begins_at_times_as_it_is_asked_to(words: str) -> None:
    def share(*more: str) -> float:
        texts = [text for seed in range(60) for text in in_a_rut(seed, "rut=100%", *more)]
        return sum(text.lower().startswith(("write ", "translate ")) for text in texts) / len(texts)

    assert share(words) > 0.2 > 0.1 > share()


SUMS = [
    Task(
        f"s{number}", f"What is {number} plus 400?\n\nReply with the number alone.", is_classification=False,
        instances=(Instance("", f"{number + 400}"),),
    )
    for number in range(200)
]  # fmt: skip
"""Tasks of the user's, with an empty line in each instruction."""


def said(task: Task, quirks: str, seed: int = 0) -> str:
    """The answer of a model that has the sums for its book."""
    messages = [{"role": "user", "content": task.instruction}]
    body = {"model": "offline", "seed": seed, "messages": messages}
    answer = answer_chat(body, Model("tasks", parse_quirks(quirks), book_of(SUMS)))
    return str(answer["choices"][0]["message"]["content"])


def is_right(task: Task, quirks: str, seed: int = 0) -> bool:
    return said(task, quirks, seed) == task.instances[0].output


def test_a_model_with_tasks_of_the_users_proposes_and_answers_these() -> None:
    body = proposal(0)
    answer = answer_chat(body, Model("tasks", parse_quirks("none"), book_of(SUMS)))
    tasks = json.loads(answer["choices"][0]["message"]["content"])["tasks"]
    assert len({task["instruction"] for task in tasks} & {task.instruction for task in SUMS}) == 8
    assert all(is_right(task, "none") for task in SUMS)
    assert not any(is_right(task, "wrong=100%") for task in SUMS)


def test_wrong_answers_to_a_question_differ_and_at_times_agree() -> None:
    answers = [said(SUMS[0], "wrong=30%", seed) for seed in range(100)]
    assert answers == [said(SUMS[0], "wrong=30%", seed) for seed in range(100)]
    wrong = [answer for answer in answers if answer != SUMS[0].instances[0].output]
    assert len(wrong) / 100 == pytest.approx(0.3, abs=0.12)
    assert 1 < len({*wrong}) < len(wrong)


def test_a_hard_question_stays_hard_and_is_so_for_every_weaker_model() -> None:
    hard = {
        share: {task.id for task in SUMS if not any(is_right(task, f"hard={share}%", seed) for seed in range(4))}
        for share in (20, 60)
    }
    assert len(hard[20]) / len(SUMS) == pytest.approx(0.2, abs=0.08)
    assert len(hard[60]) / len(SUMS) == pytest.approx(0.6, abs=0.1)
    assert hard[20] < hard[60]
