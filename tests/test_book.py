"""The built-in model answers from its book: as a function of the request, well formed, and right but for its flaws."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import settings as examples
from hypothesis import strategies as st

from selfinstruct.checks import instruction_checks
from selfinstruct.checks.screening import fault_of_instruction, screen_instances
from selfinstruct.models.offline import reply
from selfinstruct.models.offline.book import entries
from selfinstruct.models.offline.voices import NO_RULE
from selfinstruct.seeds.reading import read_seeds
from selfinstruct.similarity.index import Index
from selfinstruct.types import InstanceCandidate, Task
from tests.builders import SEEDS, settings

GIVEN = next(one for one in entries() if one.needs_input and not one.is_classification and not one.answers[0].wrong)
COMPLETE = next(one for one in entries() if not one.needs_input and not one.answers[0].wrong)
LABELLED = next(one for one in entries() if one.is_classification and len(one.labels) > 1)

SCHEMAS = ("new_tasks", "task_inputs", "labelled_inputs")


def chat_body(message: str, schema: str | None = None, **more: Any) -> dict[str, Any]:
    body: dict[str, Any] = {"model": "offline", "messages": [{"role": "user", "content": message}], **more}
    if schema:
        body["response_format"] = {"type": "json_schema", "json_schema": {"name": schema, "schema": {}}}
    return body


def propose_body(shown: list[str], count: int = 6, schema: str | None = "new_tasks", **more: Any) -> dict[str, Any]:
    lines = "\n".join(json.dumps({"instruction": text, "is_classification": False}) for text in shown)
    return chat_body(f'Here are tasks.\n{lines}\nWrite {count} new tasks as {{"tasks": [...]}}', schema, **more)


def task_body(instruction: str, schema: str, count: int = 3, **more: Any) -> dict[str, Any]:
    return chat_body(f"{json.dumps({'instruction': instruction})}\nGive up to {count} inputs.", schema, **more)


# The same request, the same answer


def test_transport_fields_and_the_spelling_of_max_tokens_change_nothing() -> None:
    plain = reply.chat(propose_body([], max_tokens=900, seed=4))
    assert plain == reply.chat(propose_body([], max_completion_tokens=900, seed=4, user="me", stream=False, n=1))
    assert plain != reply.chat(propose_body([], max_tokens=901, seed=4))


def test_the_hash_seed_of_the_process_changes_nothing() -> None:
    message = json.dumps({"instruction": LABELLED.instruction}) + '\n{"labels":'
    code = (
        "from selfinstruct.models.offline import reply\n"
        "for i in range(60):\n"
        "    ask = lambda text: print(reply.chat({'model': 'offline', 'seed': i, "
        "'messages': [{'role': 'user', 'content': text}]}).text)\n"
        "    ask('Write 5 new tasks {\"tasks\":')\n"
        f"    ask({message!r})\n"
        "    print(reply.complete({'model': 'offline', 'prompt': 'Tasks\\n1.', 'seed': i}).text)\n"
    )
    root = Path(__file__).parent.parent
    outputs = {
        subprocess.run(
            [sys.executable, "-c", code],
            cwd=root,
            env={**os.environ, "PYTHONHASHSEED": seed, "PYTHONPATH": str(root)},
            capture_output=True,
            check=True,
            text=True,
        ).stdout
        for seed in ("1", "2")
    }
    assert len(outputs) == 1
    assert len(outputs.pop()) > 10_000


# The form of each stage


@pytest.mark.parametrize("schema", ["new_tasks", None])
def test_propose_writes_as_many_tasks_as_asked(schema: str | None) -> None:
    sizes = Counter()
    for seed in range(200):
        text = reply.chat(propose_body(["Name three rivers."], 7, schema, seed=seed)).text
        found = re.search(r"\{.*\}", text, re.DOTALL)
        try:
            tasks = json.loads(found[0])["tasks"] if found else []
        except (ValueError, KeyError):
            continue
        sizes[len(tasks)] += 1
        for task in tasks:
            assert task.keys() == {"instruction", "is_classification"}
            assert isinstance(task["is_classification"], bool)
    assert sizes[7] > 185
    assert set(sizes) <= {0, 7}


def test_without_an_enforced_form_json_comes_in_fences_and_after_words_at_times() -> None:
    texts = [reply.chat(propose_body([], 3, None, seed=seed)).text for seed in range(200)]
    assert 20 < sum(text.startswith("```json") for text in texts) < 90
    assert 5 < sum(not text.startswith(("{", "```", "[")) for text in texts) < 50
    object_form = {"type": "json_object"}
    texts = [
        reply.chat(propose_body([], 3, None, seed=seed) | {"response_format": object_form}).text for seed in range(99)
    ]
    assert not any(text.startswith("```") for text in texts)


def test_inputs_are_those_of_the_book_and_most_answers_right() -> None:
    right = wrong = 0
    for seed in range(150):
        answer = reply.chat(task_body(GIVEN.instruction, "task_inputs", 3, seed=seed))
        if answer.is_cut or "inputs" not in answer.text:
            continue
        value = json.loads(answer.text)
        assert value["missing"] != "nothing"
        for text in value["inputs"]:
            said = reply.chat(chat_body(f"{GIVEN.instruction}\n\n{text}", seed=seed)).text
            known = GIVEN.answer(text)
            right += known is not None and said == known.output
            wrong += known is None or said != known.output
    assert right > 9 * wrong > 0


def test_labelled_inputs_cover_the_labels() -> None:
    whole = outside = 0
    for seed in range(150):
        answer = reply.chat(task_body(LABELLED.instruction, "labelled_inputs", 4, seed=seed))
        if answer.is_cut or '"labels"' not in answer.text:
            continue
        value = json.loads(answer.text)
        assert value["labels"] == list(LABELLED.labels)
        labels = {pair["label"] for pair in value["inputs"]}
        whole += labels == set(LABELLED.labels)
        outside += not labels <= set(LABELLED.labels)
    assert whole > 120
    assert 0 < outside < 15


def test_a_response_reads_instruction_and_input_back() -> None:
    text, wanted = GIVEN.answers[0].input, GIVEN.answers[0].output
    for message in (f"{GIVEN.instruction}\n\n{text}", f"{GIVEN.instruction}\n\nInput: {text}"):
        answers = Counter(reply.chat(chat_body(message, seed=seed)).text for seed in range(60))
        assert answers[wanted] > 50
    parts = [{"type": "text", "text": f"{GIVEN.instruction}\n\n"}, {"type": "text", "text": text}]
    body = {"model": "offline", "messages": [{"role": "system", "content": "x"}, {"role": "user", "content": parts}]}
    assert reply.chat(body, quirks={}).text == wanted


def test_an_unknown_task_is_declined() -> None:
    assert reply.chat(chat_body("Describe the sea.")).text == NO_RULE


def test_a_base_model_goes_on_with_the_numbered_list() -> None:
    prompt = "Come up with a series of tasks:\n1. Name a colour.\n2. Sort a, b and c.\n3."
    text = reply.complete({"model": "offline", "prompt": prompt}).text
    numbers = [int(n) for n in re.findall(r"(?m)^(\d+)\. ", f"3.{text}")]
    assert numbers == list(range(3, 17))
    assert text.startswith(" ")


def test_a_base_model_says_whether_labels_are_fixed() -> None:
    prompt = f"Task: Name a colour.\nFixed labels: no\n\nTask: {LABELLED.instruction}\nFixed labels:"
    answers = Counter(
        reply.complete({"model": "offline", "prompt": prompt, "seed": i}).text.split("\n")[0] for i in range(300)
    )
    assert answers[" yes"] > 285
    assert len(answers) > 1
    prompt = prompt.replace(LABELLED.instruction, COMPLETE.instruction)
    assert reply.complete({"model": "offline", "prompt": prompt}).text.startswith(" no\n")


def test_a_base_model_writes_instances_input_first() -> None:
    for seed in range(40):
        prompt = f"Write examples.\n\nTask: {GIVEN.instruction}\n"
        text = reply.complete({"model": "offline", "prompt": prompt, "seed": seed}).text
        assert text.startswith(("Example 1\nInput: ", "Output: "))
        assert "\n\nTask: " in text
    prompt = f"Task: {COMPLETE.instruction}\n"
    said = [reply.complete({"model": "offline", "prompt": prompt, "seed": i}).text for i in range(60)]
    assert sum(text.startswith(f"Output: {COMPLETE.answers[0].output}") for text in said) > 45


@examples(max_examples=50)
@given(st.text(), st.sampled_from([*SCHEMAS, None]), st.sampled_from(["tasks", "words"]))
def test_no_message_makes_the_writer_fail(text: str, schema: str | None, style: reply.Style) -> None:
    hard = ("", " x\n9.", "\nFixed labels:", '{"instruction": 3}', json.dumps({"instruction": GIVEN.instruction}))
    for tail in hard:
        assert isinstance(reply.chat(chat_body(text + tail, schema), style).text, str)
        assert isinstance(reply.complete({"model": "offline", "prompt": f"Task: {text}{tail}\n"}, style).text, str)


# Faults on purpose


def test_faulty_proposals_are_there_and_rare() -> None:
    texts = []
    for seed in range(500):
        found = reply.chat(propose_body([], 10, seed=seed))
        if not found.is_cut and '"instruction"' in found.text:
            texts += [task["instruction"] for task in json.loads(found.text)["tasks"]]
    known = {entry.instruction for entry in entries()}
    unknown = [text for text in texts if text not in known]
    assert 0.04 < len(unknown) / len(texts) < 0.1
    for holds in (
        lambda t: len(t.split()) <= 3,
        lambda t: not t[0].isalnum(),
        lambda t: len(t.split()) > 150,
        lambda t: re.search(r" \d\. (Then|Next|After that) ", t),
        lambda t: re.search(r"(?i)\b(picture|image|map|attached file|video|audio|graph|flowchart)\b", t),
    ):
        assert 0.001 < sum(bool(holds(text)) for text in unknown) / len(texts) < 0.03


# What is in the book


def test_every_task_of_the_book_passes_the_rules_and_is_new() -> None:
    """What the checks refuse, nobody would see."""
    shaping = settings()
    checks = instruction_checks(shaping)
    index = Index()
    for seed in read_seeds(SEEDS):
        index.add(seed.id, seed.instruction)
    for entry in entries():
        text = entry.instruction
        assert fault_of_instruction(text, checks) is None, text
        assert "\n\n" not in text, "an empty line parts an instruction from its input"
        assert (near := index.near_duplicate(text, shaping.filters.rouge_threshold)) is None, (text, near)
        index.add(text, text)
        task = Task("t", text, entry.is_classification)
        given = [
            InstanceCandidate("r", place, one.input, one.output, "stop") for place, one in enumerate(entry.answers)
        ]
        _, rejected = screen_instances(task, given, shaping, entry.labels)
        assert not rejected, (text, rejected)
        assert all(one.output not in one.wrong for one in entry.answers), text


# The style for load


def test_words_style_gives_distinct_instructions_without_end() -> None:
    texts = []
    for seed in range(100):
        texts += [
            t["instruction"] for t in json.loads(reply.chat(propose_body([], 20, seed=seed), "words").text)["tasks"]
        ]
    assert len(set(texts)) == 2000
    assert all(8 <= len(text.split()) <= 24 for text in texts)
    body = task_body(texts[0], "task_inputs", seed=1)
    assert json.loads(reply.chat(body, "words").text).keys() == {"missing", "inputs"}
    assert len(reply.chat(chat_body(texts[0]), "words").text.split()) <= 20
    listed = reply.complete({"model": "offline", "prompt": "Tasks:\n1."}, "words").text
    assert len(re.findall(r"(?m)^\d+\. ", "1." + listed)) == 16
