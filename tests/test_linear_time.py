"""No text takes a check, a filter, a validator or a reader long: 100 kB of anything within a second of computing."""

from __future__ import annotations

import time
from collections.abc import Callable
from zlib import crc32

import pytest

from selfinstruct.checks import CHECKS, instance_checks, instruction_checks
from selfinstruct.checks.instances import Case
from selfinstruct.checks.instructions import copy_of_demonstration
from selfinstruct.checks.labels import is_one_of, stated_labels
from selfinstruct.checks.personal_data import mask
from selfinstruct.checks.screening import fault_of_input, fault_of_instruction
from selfinstruct.models.thinking import without_thinking
from selfinstruct.recipes import RECIPES, original
from selfinstruct.recipes.json_answers import read_items, read_object, tidy_instruction
from selfinstruct.settings import Settings
from selfinstruct.similarity.tokens import TOKENIZERS, pieces
from selfinstruct.types import Completion, Instance, InstanceCandidate, Message, Request, Task
from tests.builders import changed, settings

LENGTH = 100_000
UNITS = (
    # One character.
    *"*-=#._:;,!?/\\|<>&@$~%^+([{)]}\"'“「`aA1 \t\n的한…é",
    # Of several code points.
    "กี", "e\u0301", "\u0301", "👨\u200d👩\u200d👧", "\u200b", "\r\n", "\ud800",
    # Words, numbers, items.
    "a b ", "Aa ", "the ", "word ", "1. ", "1, ", "1 + ", "= 1 ", "x 1 ", "0 30 ", "1+1=", "1234-", "12. ", "a. ",
    "a? ", "yes or ", '"a", ',
    "AB12 ", "+1 ", "1、中", "1. a\n", "- a\n", "# a\n", "> ", "*\n", "- ", "a\n\n", "|a|\n",
    # What patterns look for, again and again.
    "-----BEGIN PRIVATE KEY-----\n", "-----BEGIN PRIVATE KEY-----\nA1b2C3d4\n", "eyJaaaaaaaaaa.", "sk-", "key=", "tel ",
    "a@b.", "lee@a.com ",
    "http://a ", "Task: ", "Task 1:\n", "Instruction ", "Example 2\n", "Input:\n", "\nOutput:", ". input: a",
    '{"a":', '{"instruction": ',
    "<a>", "[a](", "```\n", "```python\n", "~~~a\n", "def f(:\n", "SELECT ", "not ", "User:\n", "Write a poem. ",
    "open the ",
    "send a b ", "and then ", "draw a ", "describe the ", "image ", "translate it into ", "as an ",
    "i'm a ", "ai language ", "sorry, ",
    "<think>", "</think>", "</think>\n", "<|end|> ", "<|channel|>a<|message|>", " analysis a", "assistantfinal ",
    "*1a <&\\\"'`[({.-=#\n",
)  # fmt: skip
ASKED = (
    "Tell me about it as JSON, in French.",
    "Write a Python function as XML.",
    "Find the average of the numbers.",
    "Is it yes or no?",
)
SETTINGS = settings(personal_data="reject", blocked_words=("map", "go to"))


def only(name: str) -> Settings:
    """The settings with one check."""
    return changed(SETTINGS, checks=(name,))


def of_instance(ask: Callable[[Task, str, str], object], field: str) -> Callable[[str], object]:
    """A check of instances with a text in this field, of one of several tasks by how the text begins."""

    def check(text: str) -> None:
        asked = ASKED[crc32(text[:32].encode("utf-8", "surrogatepass")) % len(ASKED)]
        task = Task("t", text if field == "instruction" else asked, True)
        ask(task, text if field == "input" else "5", text if field == "output" else "1 + 2 = 3, yes.")

    return check


def case(task: Task, given: str, output: str) -> Case:
    """What a check of instances is shown."""
    return Case(task, InstanceCandidate("r", 0, given, output), ("Yes", "No"), (task, Instance(given, output)))


def read(recipe: str, text: str) -> None:
    """Read a text as an answer to a propose request."""
    request = Request("r", "propose", 0, None, 0, "chat", "m", {}, (Message("user", "Go on."),), None, ())
    list(RECIPES[recipe].read_proposals(request, Completion("r", "answer", text, "stop"), settings(recipe)))


OF_TEXTS: dict[str, Callable[[str], object]] = {
    **{f"{name} of instructions": check for name in CHECKS for check in instruction_checks(only(name))},
    "all of instructions": lambda text: fault_of_instruction(text, instruction_checks(SETTINGS)),
    "copy_of_demonstration": lambda text: copy_of_demonstration(text, ["Sort it.", text]),
    "original of instructions": original.fault_of_instruction,
    "all of an input": lambda text: fault_of_input(Task("t", "Sort it.", None), text, SETTINGS),
    "mask": mask,
    "stated_labels": stated_labels,
    "is_one_of": lambda text: is_one_of(text, ("Yes", "No")),
    **{f"tokens of {name}": tokenizer for name, tokenizer in TOKENIZERS.items()},
    "pieces": pieces,
    **{f"reader of {name}": lambda text, name=name: read(name, text) for name in RECIPES},
    "without_thinking": lambda text: [without_thinking(text, may_be_opened=opened) for opened in (True, False)],
    "read_object": read_object,
    "read_items": lambda text: read_items(text, "tasks"),
    "tidy_instruction": tidy_instruction,
}
OF_INSTANCES: dict[str, Callable[[Task, str, str], object]] = {
    f"{name} of instances": lambda task, given, output, check=check: check(case(task, given, output))
    for name in CHECKS
    for check in instance_checks(only(name))
}
EVERYTHING = OF_TEXTS | {
    f"{name}, {field}": of_instance(ask, field)
    for name, ask in OF_INSTANCES.items()
    for field in ("instruction", "input", "output")
}


def seconds(check: Callable[[str], object], unit: str, length: int) -> float:
    """How long a check computes over two texts of this length."""
    body = (unit * (length // len(unit) + 1))[:length]
    started = time.process_time()
    check(body)
    check(f"Calculate {body}\nx:")
    return time.process_time() - started


@pytest.mark.parametrize("name", EVERYTHING)
def test_no_text_takes_long(name: str) -> None:
    for unit in UNITS:
        # What is done with a twentieth so soon could not take so long with the whole even if it were quadratic.
        if seconds(EVERYTHING[name], unit, LENGTH // 20) > 0.005:
            assert seconds(EVERYTHING[name], unit, LENGTH) < 2, unit
