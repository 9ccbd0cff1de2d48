"""The writer of the built-in model: its answers are a function of the request, well formed and right."""

from __future__ import annotations

import csv
import io
import json
import os
import random
import re
import sqlite3
import statistics
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable, Mapping
from datetime import date, datetime, timedelta
from itertools import product
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from rapidfuzz.distance import Indel

from selfinstruct.llm.offline import flaws, knowledge, openings, writer
from selfinstruct.llm.offline.families import FAMILIES
from selfinstruct.llm.offline.family import Family
from selfinstruct.llm.offline.voices import NO_RULE, zipf_words
from selfinstruct.llm.offline.wording import wording

BY_NAME = {family.name: family for family in FAMILIES}
DRAWS = 40

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


def instructions(seed: int, requests: int) -> list[str]:
    """What the model proposes when shown nothing, faulty ones included."""
    found = []
    for index in range(requests):
        text = writer.chat(propose_body([], 10, seed=seed * 100_000 + index)).text
        if text.startswith('{"tasks"') and text.endswith("}"):
            found += [task["instruction"] for task in json.loads(text)["tasks"]]
    return found


def draws(name: str, count: int = DRAWS) -> list[tuple[str, dict[str, str], str, str]]:
    """Instruction, gaps, input and answer of one family, many times."""
    family, rng, found = BY_NAME[name], random.Random(name), []
    for _ in range(count):
        instruction = family.write(rng)
        params = family.recognise(instruction)
        assert params is not None
        for text in family.inputs(params, rng, 2) or [""]:
            answer = knowledge.answer(instruction, text)
            assert answer is not None
            found.append((instruction, params, text, answer))
    return found


# The same request, the same answer


def test_an_answer_is_a_function_of_the_request() -> None:
    for body in (
        propose_body([]),
        task_body("Sort a, b.", "task_inputs"),
        chat_body("Find the weekday of 1 May 2000."),
    ):
        assert writer.chat(body) == writer.chat(json.loads(json.dumps(body)))
    assert len({writer.chat(propose_body([], seed=seed)).text for seed in range(20)}) == 20


def test_transport_fields_and_the_spelling_of_max_tokens_change_nothing() -> None:
    plain = writer.chat(propose_body([], max_tokens=900, seed=4))
    assert plain == writer.chat(propose_body([], max_completion_tokens=900, seed=4, user="me", stream=False, n=1))
    assert plain != writer.chat(propose_body([], max_tokens=901, seed=4))


def test_the_hash_seed_of_the_process_changes_nothing() -> None:
    code = (
        "from selfinstruct.llm.offline import writer\n"
        "for i in range(60):\n"
        "    ask = lambda text: print(writer.chat({'model': 'offline', 'seed': i, "
        "'messages': [{'role': 'user', 'content': text}]}).text)\n"
        "    ask('Write 5 new tasks {\"tasks\":')\n"
        '    ask(\'{"instruction": "Is the noun Singular or Plural?"}\\\\n{"labels":\')\n'
        "    print(writer.complete({'model': 'offline', 'prompt': 'Tasks\\n1.', 'seed': i}).text)\n"
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


# Wordings


def test_a_wording_reads_back_what_it_wrote() -> None:
    greeting = wording("[Greet|Welcome] {who:word}[, please|] and count to {n:int}; {who} waits")
    rng = random.Random(1)
    for _ in range(20):
        text = greeting.write({"who": "Ada", "n": "7"}, rng)
        assert greeting.read(text) == {"who": "Ada", "n": "7"}
    assert greeting.read("Greet Ada and count to 7; Bo waits") is None
    assert greeting.read("Greet Ada and count to many; Ada waits") is None


@pytest.mark.parametrize("family", FAMILIES, ids=lambda family: family.name)
def test_every_instruction_of_a_family_is_recognised_and_answered(family: Family) -> None:
    rng = random.Random(family.name)
    for _ in range(DRAWS):
        instruction = family.write(rng)
        known = knowledge.identify(openings.write(rng) + instruction)
        assert known is not None, instruction
        assert known[0] is family, (instruction, known[0].name)
        texts = family.inputs(known[1], rng, 4)
        assert len(set(texts)) == len(texts)
        assert bool(texts) == (family.make_input is not None)
        for text in texts or [""]:
            answer = knowledge.answer(instruction, text)
            assert answer, (instruction, text)
            assert answer == answer.strip()
            assert "\n\n" not in answer + text
            assert writer.check(instruction, text, answer) is True
            assert writer.check(instruction, text, answer + " or not") is False
            if family.labels:
                assert answer in family.labels(known[1])


def test_every_wording_of_every_family_is_read_by_that_family_alone() -> None:
    rng = random.Random(3)
    for family in FAMILIES:
        for said in family.wordings:
            for _ in range(5):
                text = said.write(family.draw(rng), rng)
                known = knowledge.identify(text)
                assert known is not None, text
                assert known[0] is family, (text, known[0].name)


def test_instructions_are_plain_single_lines_without_blocked_words() -> None:
    blocked = re.compile(
        r"\b(images?|graphs?|pictures?|files?|maps?|draw|plot|go to|videos?|audio|music|flowchart|diagram|photos?)\b",
        re.IGNORECASE,
    )
    for family in FAMILIES:
        rng = random.Random(family.name)
        for _ in range(DRAWS):
            text = openings.write(rng) + family.write(rng)
            assert not blocked.search(text), text
            assert text.isascii()
            assert text[0].isalnum()
            assert "\n" not in text
            assert "  " not in text
            assert 4 <= len(text.split()) <= 110, text


def test_check_has_no_opinion_on_what_no_family_wrote() -> None:
    assert writer.check("Tell me about your childhood.", "", "It was short.") is None
    assert writer.check("Round the number to the nearest ten.", "[insert text here]", "10") is False


def test_classifications_are_asked_about_inputs_of_several_labels() -> None:
    for family in FAMILIES:
        if family.labels is None or family.make_input is None:
            continue
        rng = random.Random(family.name)
        params = family.recognise(family.write(rng))
        assert params is not None
        labels = Counter(family.compute(params, text) for text in family.inputs(params, rng, 6))
        assert len(labels) > 1, (family.name, labels)


# Answers worked out again by other means


def _numbers(text: str) -> list[int]:
    return [int(number) for number in re.findall(r"-?\d+", text)]


def _say(day: date) -> str:
    return f"{day.day} {day.strftime('%B')} {day.year}"


def _day(text: str) -> date:
    return datetime.strptime(text, "%d %B %Y").date()  # noqa: DTZ007 - dates have no zone


def _minutes(text: str) -> int:
    hours, minutes = re.search(r"(\d+) hour", text), re.search(r"(\d+) minute", text)
    return 60 * int(hours[1] if hours else 0) + int(minutes[1] if minutes else 0)


def _later(text: str, minutes: int) -> str:
    start = datetime(2000, 1, 2, *map(int, text.split(":")))  # noqa: DTZ001 - a wall clock
    return (start + timedelta(minutes=minutes)).strftime("%H:%M")


Gaps = Mapping[str, str]

AGAIN: dict[str, Callable[[Gaps, str, str], bool]] = {
    "total": lambda p, _, out: _numbers(out)[-1] == sum(_numbers(p["numbers"])),
    "mean": lambda p, _, out: (
        abs(float(out.rstrip(".").split()[-1]) - statistics.mean(_numbers(p["numbers"]))) <= 0.0051
    ),
    "median": lambda p, _, out: float(out.rstrip(".").split()[-1]) == statistics.median(_numbers(p["numbers"])),
    "percent": lambda p, _, out: abs(float(out.rstrip(".").split()[-1]) - int(p["n"]) * int(p["p"]) / 100) < 0.006,
    "discount": lambda p, _, out: float(out.split()[-2]) == round(int(p["n"]) * (100 - int(p["p"])) / 100, 2),
    "brackets": lambda p, _, out: _numbers(out)[-1] == (int(p["a"]) + int(p["b"])) * int(p["c"]) - int(p["d"]),
    "sort_numbers": lambda p, _, out: (
        _numbers(out) == sorted(_numbers(p["numbers"]), reverse=p["order"] == "largest to smallest")
    ),
    "union": lambda p, _, out: out.split(", ") == sorted(set(re.split(r", | and ", f"{p['first']}, {p['second']}"))),
    "in_common": lambda p, _, out: (
        set(re.split(r", | and ", out)) - {"They have nothing in common."}
        == set(re.split(r", | and ", p["first"])) & set(re.split(r", | and ", p["second"]))
    ),
    "count_letter": lambda p, _, out: f"occurs {Counter(p['text'].lower())[p['letter']]} time" in out,
    "caesar_inputs": lambda p, text, out: all(
        (ord(a) - ord(b)) % 26 == int(p["n"]) for a, b in zip(text, out, strict=True) if a.isalpha()
    ),
    "csv_to_json": lambda _, text, out: (
        [{k: int(v) if v.isdigit() else v for k, v in row.items()} for row in csv.DictReader(io.StringIO(text))]
        == json.loads(out)
    ),
    "column_sum": lambda p, text, out: (
        _numbers(out)[-1] == sum(int(line.split(",")[int(p["column"]) - 1]) for line in text.splitlines()[1:])
    ),
    "weekday": lambda p, _, out: _day(p["date"]).strftime("%A") in out,
    "date_after": lambda p, _, out: _say(_day(p["date"]) + timedelta(int(p["n"]))) in out,
    "days_between": lambda p, _, out: _numbers(out)[0] == _day(p["other"]).toordinal() - _day(p["date"]).toordinal(),
    "ends_at": lambda p, _, out: _later(p["start"], _minutes(p["length"])) in out,
    "temperature": lambda p, _, out: (
        abs(float(re.findall(r"it is (-?[\d.]+)", out)[0]) - int(p["n"]) * 1.8 - 32) < 0.01
        if p["from"] == "Celsius"
        else abs(float(re.findall(r"it is (-?[\d.]+)", out)[0]) - (int(p["n"]) - 32) / 1.8) < 0.051
    ),
    "from_binary": lambda _, text, out: int(out.split()[-1]) == int(text, 2),
    "prime_factors": lambda p, _, out: (
        eval(out.split(" = ")[-1].replace("x", "*")) == int(p["n"]) if "=" in out else True
    ),
    "slice_value": lambda p, _, out: out == str(list(eval(f"[{p['items']}]"))[int(p["a"]) : int(p["b"])]),
    "loop_value": lambda p, _, out: int(out) == _run_loop(int(p["start"]), int(p["n"]), int(p["step"])),
    "string_expression": lambda p, text, out: out == str(eval(p["code"], {"x": text})),
    "write_function": lambda p, _, out: callable(_defined(out)[p["name"]]),
    "sql_query": lambda p, _, out: _runs_as_sql(p, out),
    "receipt": lambda p, _, out: (
        _numbers(out)[-1] == sum(int(a) * int(b) for a, b in re.findall(r"(\d+) \w+ at (\d+) euros", p["lines"]))
    ),
    "number_rule": lambda p, text, out: (out == p["yes"]) == _number_holds(p["rule"], int(text)),
    "price_band": lambda p, text, out: (
        out == p["xyz"[(_numbers(text)[0] >= int(p["low"])) + (_numbers(text)[0] > int(p["high"]))]]
    ),
    "leap_year": lambda _, text, out: (out == "Leap year") == ((date(int(text), 3, 1) - timedelta(1)).day == 29),
    "pack": lambda p, _, out: _numbers(out)[0] == _best_load(_numbers(p["items"]), int(p["limit"])),
    "spell_numbers": lambda _, text, out: _read_words(out) == int(text),
    "to_roman": lambda p, _, out: _read_roman(out) == int(p["n"]),
}


def _run_loop(value: int, n: int, step: int) -> int:
    for i in range(n):
        value += i * step
    return value


def _defined(code: str) -> dict[str, Any]:
    names: dict[str, Any] = {}
    exec(code, names)
    return names


def _runs_as_sql(p: Gaps, query: str) -> bool:
    columns = sorted({*re.split(r", | and ", p["columns"]), p["number"], p["order"]})
    with sqlite3.connect(":memory:") as database:
        database.execute(f"CREATE TABLE {p['table']} ({', '.join(columns)})")
        rows = [tuple(value * 7 + i for i in range(len(columns))) for value in range(60)]
        database.executemany(f"INSERT INTO {p['table']} VALUES ({', '.join('?' * len(columns))})", rows)
        found = database.execute(query).fetchall()
    database.close()
    at = columns.index(p["number"])
    kept = [row for row in rows if (row[at] > int(p["n"]) if p["more"] == "greater" else row[at] < int(p["n"]))]
    kept.sort(reverse=p["way"] == "descending")
    wanted = [columns.index(name) for name in re.split(r", | and ", p["columns"])]
    return found == [tuple(row[i] for i in wanted) for row in kept]


def _number_holds(rule: str, n: int) -> bool:
    return {
        "even": not n & 1,
        "odd": bool(n & 1),
        "a multiple of three": sum(map(int, str(n))) % 3 == 0,
        "a multiple of seven": n in range(0, n + 1, 7),
        "a square number": n in {i * i for i in range(n + 1)},
        "a prime number": sum(n % d == 0 for d in range(1, n + 1)) == 2,
        "made of digits that are all different": max(Counter(str(n)).values()) == 1,
        "a palindrome": str(n) == "".join(reversed(str(n))),
    }[rule]


def _best_load(weights: list[int], limit: int) -> int:
    loads = (
        sum(w for w, taken in zip(weights, choice, strict=True) if taken)
        for choice in product((0, 1), repeat=len(weights))
    )
    return max(load for load in loads if load <= limit)


_SMALL = (
    "zero one two three four five six seven eight nine ten eleven twelve thirteen fourteen fifteen sixteen seventeen"
    " eighteen nineteen"
)
_ROUND = "twenty thirty forty fifty sixty seventy eighty ninety"


def _read_words(text: str) -> int:
    values = {word: i for i, word in enumerate(_SMALL.split())} | {
        word: 10 * i for i, word in enumerate(_ROUND.split(), 2)
    }
    total = part = 0
    for word in re.findall(r"[a-z]+", text):
        if word == "hundred":
            part *= 100
        elif word == "thousand":
            total, part = part * 1000, 0
        elif word != "and":
            part += values[word]
    return total + part


def _read_roman(text: str) -> int:
    for pair, plain in (
        ("IV", "IIII"),
        ("IX", "VIIII"),
        ("XL", "XXXX"),
        ("XC", "LXXXX"),
        ("CD", "CCCC"),
        ("CM", "DCCCC"),
    ):
        text = text.replace(pair, plain)
    return sum({"I": 1, "V": 5, "X": 10, "L": 50, "C": 100, "D": 500, "M": 1000}[letter] for letter in text)


@pytest.mark.parametrize("name", AGAIN)
def test_answers_agree_with_another_computation(name: str) -> None:
    for instruction, params, text, answer in draws(name):
        assert AGAIN[name](params, text, answer), (instruction, text, answer)


def test_the_equations_of_every_story_hold_and_lead_to_its_result() -> None:
    for name in (name for name in BY_NAME if name.startswith("story_")):
        for instruction, _, _, answer in draws(name):
            equations = re.findall(r"\d+ [-+x/] \d+ = \d+", answer)
            for equation in equations:
                left, right = equation.replace("x", "*").split(" = ")
                assert eval(left) == int(right), answer
            if equations:
                said = answer.splitlines()[-1].split(". ")[-1]
                assert equations[-1].split()[-1] in said.replace(".", "").split(), answer
            else:
                assert answer.isdigit(), (instruction, answer)


def test_the_functions_do_what_was_asked() -> None:
    expected: dict[str, Callable[[Callable[..., Any], int], bool]] = {
        "returns the sum of the numbers": lambda f, k: f([k, 2 * k, 2 * k + 1]) == 3 * k,
        "splits a list into pieces": lambda f, k: [len(piece) for piece in f(list(range(2 * k + 1)))] == [k, k, 1],
        "returns the": lambda f, k: True,
        "rounds a price down": lambda f, k: f(5 * k + 1) == 5 * k,
        "pads a whole number": lambda f, k: f(1) == "0" * (k - 1) + "1",
        "shortens a text": lambda f, k: (f("a" * k), f("b" * (k + 1))) == ("a" * k, "b" * k + "..."),
        "checks whether a number": lambda f, k: (f(1, 1 + k), f(1, 2 + k)) == (True, False),
        "counts how many words": lambda f, k: f("a" * (k + 1) + " b") == 1,
    }
    tried = set()
    for _, params, _, answer in draws("write_function", 300):
        for start, holds in expected.items():
            if params["what"].startswith(start):
                tried.add(start)
                assert holds(_defined(answer)[params["name"]], _numbers(params["what"])[0]), answer
    assert tried == set(expected)


def test_syllogisms_agree_with_every_small_world() -> None:
    """A conclusion follows if it holds in each way to fill three sets over three things in which the premises hold."""
    subsets = [{s for s, bit in zip((0, 1, 2), bits, strict=True) if bit} for bits in product((0, 1), repeat=3)]
    meaning: dict[str, Callable[[set[int], set[int]], bool]] = {
        "all": lambda a, b: a <= b,
        "no": lambda a, b: not a & b,
        "some": lambda a, b: bool(a & b),
        "some not": lambda a, b: bool(a - b),
    }
    claim = re.compile(r"\b([Aa]ll|[Nn]o|[Ss]ome) (\w+) (?:are )?(not )?(\w+)[.?]")
    for name in (name for name in BY_NAME if name.startswith("syllogism_")):
        for instruction, _, _, answer in draws(name, 10):
            question = re.sub(r"Are all (\w+) (\w+)\?", r"All \1 are \2?", instruction)
            found = [(f"{q.lower()}{' not' if no else ''}", a, b) for q, a, no, b in claim.findall(question)]
            assert len(found) == 3, (instruction, found)
            names = sorted({word for _, a, b in found for word in (a, b)})
            follows = all(
                meaning[found[2][0]](world[found[2][1]], world[found[2][2]])
                for sets in product(subsets, repeat=3)
                for world in [dict(zip(names, sets, strict=True))]
                if all(meaning[kind](world[a], world[b]) for kind, a, b in found[:2])
            )
            assert answer == ("Yes" if follows else "No"), instruction


# The form of each stage


@pytest.mark.parametrize("schema", ["new_tasks", None])
def test_propose_writes_as_many_tasks_as_asked(schema: str | None) -> None:
    sizes = Counter()
    for seed in range(200):
        text = writer.chat(propose_body(["Name three rivers."], 7, schema, seed=seed)).text
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
    texts = [writer.chat(propose_body([], 3, None, seed=seed)).text for seed in range(200)]
    assert 20 < sum(text.startswith("```json") for text in texts) < 90
    assert 5 < sum(not text.startswith(("{", "```", "[")) for text in texts) < 50
    object_form = {"type": "json_object"}
    texts = [
        writer.chat(propose_body([], 3, None, seed=seed) | {"response_format": object_form}).text for seed in range(99)
    ]
    assert not any(text.startswith("```") for text in texts)


def test_a_stage_is_known_by_its_schema_or_by_the_marks_in_the_message() -> None:
    line = json.dumps({"instruction": "Is the noun Singular or Plural?"})
    marked = {
        'Write 4 new tasks. Answer {"tasks": []}': "tasks",
        f'{line}\nup to 2 inputs. Answer {{"missing": "a noun", "inputs": []}}': "inputs",
        f'{line}\nup to 2 inputs. Answer {{"labels": [], "inputs": []}}': "labels",
    }
    for message, key in marked.items():
        answers = [writer.chat(chat_body(message, seed=seed)).text for seed in range(20)]
        assert sum(f'"{key}"' in answer for answer in answers) > 15
    for schema, key in zip(SCHEMAS, ("tasks", "inputs", "labels"), strict=True):
        answers = [writer.chat(task_body("Say when.", schema, seed=seed)).text for seed in range(20)]
        assert sum(f'"{key}"' in answer for answer in answers) > 15


def test_inputs_suit_the_task_and_its_answers_are_right() -> None:
    right = wrong = 0
    for seed in range(150):
        answer = writer.chat(task_body("Round the number to the nearest ten.", "task_inputs", 3, seed=seed))
        if answer.is_cut or "inputs" not in answer.text:
            continue
        value = json.loads(answer.text)
        assert value["missing"] != "nothing"
        assert len(value["inputs"]) <= 4
        for text in value["inputs"]:
            reply = writer.chat(chat_body(f"Round the number to the nearest ten.\n\n{text}", seed=seed)).text
            if reply == str((int(text) + 5) // 10 * 10 if text.isdigit() else None):
                right += 1
            else:
                wrong += 1
    assert right > 350
    assert 5 < wrong < 60


def test_a_task_complete_in_itself_needs_no_input() -> None:
    answers = Counter(
        writer.chat(task_body("Find the weekday of 1 May 2000.", "task_inputs", seed=seed)).text for seed in range(100)
    )
    assert answers['{"missing": "nothing", "inputs": []}'] > 90


def test_labelled_inputs_cover_the_labels() -> None:
    whole = outside = 0
    for seed in range(150):
        answer = writer.chat(task_body("Is the noun Singular or Plural?", "labelled_inputs", 4, seed=seed))
        if answer.is_cut or '"labels"' not in answer.text:
            continue
        value = json.loads(answer.text)
        assert value["labels"] == ["Singular", "Plural"]
        labels = {pair["label"] for pair in value["inputs"]}
        whole += labels == {"Singular", "Plural"}
        outside += not labels <= {"Singular", "Plural"}
    assert whole > 120
    assert 0 < outside < 15


def test_a_classification_without_input_gives_its_label_alone() -> None:
    instruction = "Yes or no: is kiwi among plum, kiwi and pear?"
    answers = [writer.chat(task_body(instruction, "labelled_inputs", seed=seed)).text for seed in range(30)]
    assert sum(json.loads(a)["inputs"] == [{"label": "Yes", "input": ""}] for a in answers if a.endswith("]}")) > 25


def test_a_response_reads_instruction_and_input_back() -> None:
    ask = "Add up column 2 of the CSV table, whose first line holds the headings, and show the sum."
    table = "item,price\nlamps,3\nrolls,40"
    for message in (f"{ask}\n\n{table}", f"{ask}\n\nInput: {table}", f"Here is a little job for you. {ask}\n\n{table}"):
        answers = Counter(writer.chat(chat_body(message, seed=seed)).text for seed in range(60))
        assert answers["3 + 40 = 43"] > 50
    parts = [{"type": "text", "text": f"{ask}\n\n"}, {"type": "text", "text": table}]
    body = {"model": "offline", "messages": [{"role": "system", "content": "x"}, {"role": "user", "content": parts}]}
    assert writer.chat(body).text == "3 + 40 = 43"


def test_an_unknown_task_is_declined() -> None:
    assert writer.chat(chat_body("Describe the sea.")).text == NO_RULE


def test_a_base_model_goes_on_with_the_numbered_list() -> None:
    prompt = "Come up with a series of tasks:\n1. Name a colour.\n2. Sort a, b and c.\n3."
    text = writer.complete({"model": "offline", "prompt": prompt}).text
    numbers = [int(n) for n in re.findall(r"(?m)^(\d+)\. ", f"3.{text}")]
    assert numbers == list(range(3, 17))
    assert text.startswith(" ")


def test_a_base_model_says_whether_labels_are_fixed() -> None:
    prompt = "Task: Name a colour.\nFixed labels: no\n\nTask: Is the noun Singular or Plural?\nFixed labels:"
    answers = Counter(
        writer.complete({"model": "offline", "prompt": prompt, "seed": i}).text.split("\n")[0] for i in range(300)
    )
    assert answers[" yes"] > 285
    assert len(answers) > 1
    prompt = prompt.replace("Is the noun Singular or Plural?", "Find the weekday of 1 May 2000.")
    assert writer.complete({"model": "offline", "prompt": prompt}).text.startswith(" no\n")


def test_a_base_model_writes_instances_input_first() -> None:
    prompt = "Write examples.\n\nTask: Round the number to the nearest ten.\n"
    for seed in range(40):
        text = writer.complete({"model": "offline", "prompt": prompt, "seed": seed}).text
        assert text.startswith(("Example 1\nInput: ", "Output: "))
        assert "\n\nTask: " in text
    prompt = "Task: Find the weekday of 1 May 2000.\n"
    texts = Counter(
        writer.complete({"model": "offline", "prompt": prompt, "seed": i}).text.split("\n\n")[0] for i in range(60)
    )
    assert texts["Output: 1 May 2000 was a Monday."] > 50


def test_a_base_model_writes_instances_output_first() -> None:
    prompt = "Task: Which colour?\nClass label: red\nInput: rose\n\nTask: Is the noun Singular or Plural?\n"
    text = writer.complete({"model": "offline", "prompt": prompt, "seed": 2}).text
    own = text.split("\n\nTask: ")[0]
    assert re.fullmatch(r"(Class label: \w+\nInput: \w+\n\n)*Class label: \w+\nInput: \w+", own)
    prompt = "Class label: red\n\nTask: Yes or no: is kiwi among plum, kiwi and pear?\n"
    assert writer.complete({"model": "offline", "prompt": prompt, "seed": 2}).text.startswith(
        "Class label: Yes\n\nTask: "
    )


@settings(max_examples=150)
@given(st.text(), st.sampled_from([*SCHEMAS, None]), st.sampled_from(["tasks", "words"]))
def test_no_message_makes_the_writer_fail(text: str, schema: str | None, style: writer.Style) -> None:
    hard = (
        "",
        " x\n9.",
        "\nFixed labels:",
        '{"instruction": 3}',
        '{"instruction": "Round the number to the nearest ten."}',
    )
    for tail in hard:
        assert isinstance(writer.chat(chat_body(text + tail, schema), style).text, str)
        assert isinstance(writer.complete({"model": "offline", "prompt": f"Task: {text}{tail}\n"}, style).text, str)


@settings(max_examples=150)
@given(st.sampled_from(FAMILIES), st.integers(0, 50), st.text())
def test_no_input_makes_an_answer_fail(family: Family, seed: int, text: str) -> None:
    instruction = family.write(random.Random(seed))
    assert isinstance(writer.check(instruction, text, "x"), bool)
    changed = flaws.nearly(instruction, random.Random(seed))
    assert writer.check(changed, text, "x") in (None, False, True)


SEATS = (
    f"{', '.join('abcdefghijkl')} sit on a sofa. a is at the far left, b is directly left of c, and c is not at the"
    " right end. What is the order?"
)


@pytest.mark.parametrize(
    ("instruction", "text"),
    [
        ("Restate the measurement, which is in grams, in ounces.", "1e999999999 grams"),
        ("Multiply 1e999999999 by 1/2 and reduce the fraction as far as possible.", ""),
        ("A chess club meets every 3 days, first on 1 May 2000. List the first 999999999 dates.", ""),
        ("Write the JSON list of objects as CSV with a header line.", "[" * 100_000),
        ("Format the comma-separated lines as a Markdown table.", "a,b\r\rc,d\n" + "x" * 200_000),
        ("Turn the binary number into a decimal one and show the powers of two that you add.", "1" * 100_000),
        ("Which of " + "Peru and " * 20_000 + "Chile lie in Asia?", ""),
        (SEATS, ""),
    ],
    ids=lambda text: text[:30],
)
def test_hostile_numbers_and_sizes_take_no_time(instruction: str, text: str) -> None:
    start = time.thread_time()
    assert knowledge.answer(instruction, text) is None
    assert time.thread_time() - start < 2


# Faults on purpose


def test_faulty_proposals_are_there_and_rare() -> None:
    texts = instructions(1, 500)
    unknown = [text for text in texts if knowledge.identify(text) is None]
    assert 0.04 < len(unknown) / len(texts) < 0.1
    for holds in (
        lambda t: len(t.split()) <= 3,
        lambda t: not t[0].isalnum(),
        lambda t: len(t.split()) > 150,
        lambda t: re.search(r" \d\. (Then|Next|After that) ", t),
        lambda t: re.search(r"(?i)\b(picture|image|map|attached file|video|audio|graph|flowchart)\b", t),
    ):
        assert 0.001 < sum(bool(holds(text)) for text in texts) / len(texts) < 0.03


def test_demonstrations_come_back_verbatim_and_nearly() -> None:
    shown = ["Name the 3 longest rivers of the world.", "Explain what a lighthouse keeper does at night."]
    texts = Counter()
    for seed in range(200):
        found = writer.chat(propose_body(shown, 10, seed=seed))
        if not found.is_cut and '"instruction"' in found.text:
            texts.update(task["instruction"] for task in json.loads(found.text)["tasks"])
    share = sum(texts[text] for text in shown) / texts.total()
    near = sum(
        n
        for text, n in texts.items()
        if text not in shown and any(Indel.normalized_similarity(text, s) > 0.8 for s in shown)
    )
    assert 0.03 < share < 0.09
    assert 0.03 < near / texts.total() < 0.09


def test_about_two_in_a_hundred_completions_are_no_whole_json() -> None:
    bad = cut = empty = 0
    for seed in range(1000):
        answer = writer.chat(propose_body([], 3, seed=seed))
        cut += answer.is_cut
        try:
            value = json.loads(answer.text)
            empty += value == {"tasks": []}
            bad += not isinstance(value, dict) or "tasks" not in value
        except ValueError:
            bad += 1
    assert 8 <= bad <= 35
    assert 3 <= cut <= 20
    assert 1 <= empty <= 12


def test_faulty_answers_are_there_and_rare() -> None:
    message = "Round the number to the nearest ten.\n\n1234"
    answers = Counter(writer.chat(chat_body(message, seed=seed)).text for seed in range(1500))
    assert 0.93 < answers["1230"] / 1500 < 0.98
    assert answers[""] > 0
    assert answers["1234"] > 0
    assert any("\n\nInstruction: " in answer for answer in answers)
    assert any("sorry" in answer.lower() for answer in answers)


def test_most_tasks_end_with_a_good_instance() -> None:
    """The whole way of a task by chat: inputs or labels, then responses, each judged by `check`."""
    good = tried = 0
    for index, instruction in enumerate(text for text in instructions(2, 60) if knowledge.identify(text)):
        is_labelled = knowledge.identify(instruction)[0].is_classification  # type: ignore[index]
        answer = writer.chat(
            task_body(instruction, "labelled_inputs" if is_labelled else "task_inputs", seed=index)
        ).text
        tried += 1
        try:
            value = json.loads(answer)
            items = value["inputs"]
        except (ValueError, KeyError, TypeError):
            continue
        if is_labelled:
            good += any(writer.check(instruction, item["input"], item["label"]) for item in items)
            continue
        texts = items if value["missing"] != "nothing" else [""]
        replies = [
            (t, writer.chat(chat_body(f"{instruction}\n\n{t}" if t else instruction, seed=index)).text) for t in texts
        ]
        good += any(writer.check(instruction, text, reply) for text, reply in replies)
    assert tried > 400
    assert good / tried > 0.9


# Variety


def test_two_thousand_instructions_are_new_to_each_other(capsys: pytest.CaptureFixture[str]) -> None:
    """Proposes with growing demonstrations; an instruction counts when no accepted one has a ROUGE-L F1 above 0.7."""
    accepted: list[str] = []
    tokens: list[list[str]] = []
    rates: dict[int, float] = {}
    tried = requests = 0
    rng = random.Random(0)
    while len(accepted) < 2000:
        shown = rng.sample(accepted, min(8, len(accepted)))
        requests += 1
        assert requests < 1000
        answer = writer.chat(propose_body(shown, 6, seed=requests))
        if answer.is_cut or '"instruction"' not in answer.text:
            continue
        for task in json.loads(answer.text)["tasks"]:
            tried += 1
            words = re.findall(r"[a-z0-9]+", task["instruction"].lower())
            if not 3 < len(words) <= 150:
                continue
            if any(Indel.normalized_similarity(words, other, score_cutoff=0.7001) > 0.7 for other in tokens):
                continue
            accepted.append(task["instruction"])
            tokens.append(words)
            rates.setdefault(len(accepted), len(accepted) / tried)
    with capsys.disabled():
        print(f"\naccepted: {rates[200]:.0%} at 200, {rates[2000]:.0%} at 2000, after {requests} requests")
    assert 0.5 < rates[200] < 0.75
    assert rates[2000] > 0.4
    known = [knowledge.identify(text) for text in accepted]
    assert len({pair[0].name for pair in known if pair}) > 200
    lengths = sorted(len(text.split()) for text in accepted)
    assert lengths[len(lengths) // 20] >= 7
    assert lengths[len(lengths) * 9 // 10] <= 45


# The style for load


def test_words_style_gives_distinct_instructions_without_end() -> None:
    texts = []
    for seed in range(100):
        texts += [
            t["instruction"] for t in json.loads(writer.chat(propose_body([], 20, seed=seed), "words").text)["tasks"]
        ]
    assert len(set(texts)) == 2000
    assert all(8 <= len(text.split()) <= 24 for text in texts)
    body = task_body(texts[0], "task_inputs", seed=1)
    assert json.loads(writer.chat(body, "words").text).keys() == {"missing", "inputs"}
    assert len(writer.chat(chat_body(texts[0]), "words").text.split()) <= 20
    listed = writer.complete({"model": "offline", "prompt": "Tasks:\n1."}, "words").text
    assert len(re.findall(r"(?m)^\d+\. ", "1." + listed)) == 16


def test_words_style_has_natural_frequencies() -> None:
    counts = Counter(zipf_words(40_000, random.Random(5)))
    ranked = [count for _, count in counts.most_common()]
    assert len(ranked) > 2500
    assert 0.02 < ranked[0] / 40_000 < 0.1
    assert 5 < ranked[0] / ranked[20] < 12
