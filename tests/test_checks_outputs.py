"""What the checks of outputs find, and the look-alikes that they leave alone."""

from __future__ import annotations

import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from selfinstruct.checks.output_language import asked_language
from tests.builders import changed, instance_fault, settings

DAY, SKY = "Tell me about your day.", "Tell me about the colour of the sky."
PRIMES = "def is_prime(n):\n    if n == 2:\n    return True\n    return n % 2 == 1"
EXPLAINED = "def f(x):\n    return x\n\nThis gives back what it is given."
BIRD = "The early bird that sings catches the worm."


SETTINGS = settings()


def fault(name: str, instruction: str, output: str, given_input: str = "") -> str | None:
    found = instance_fault(changed(SETTINGS, checks=(name,)), instruction, output, given_input)
    return found.reason if found else None


FAULTY = {
    "numeric_answer": [
        ("What is 5 - 8?", "5 - 8 = 3"), ("Compute 2 + 2 * 3", "12"), ("How much is 7 x 6?", "41"),
        ("Add 3 and 4.", "8"),
        ("Divide 100 by 8.", "12.6"), ("Calculate 25 percent of 200", "The result is 60"), ("12 + 5 = ?", "18"),
        ("Calculate 9 - (4 - 3).", "2"), ("Find the sum of 1.5 and 2.5.", "4.5"),
        ("What is the product of 6 and 7?", "The product is 43."), ("Find the largest of 3, 27 and 9.", "9"),
        ("Wie viel ist 9 mal 9?", "72"), ("What is 10 divided by 4?", "3"), ("Calculate 1/4 + 1/4.", "2/8"),
        ("What is 2 + 2? Show your work.", "First take 2, then add 2. That makes 5."),
        ("What is the square of 7?", "7"),
        ("How many times will 5 divide into 100?", "5 divides into 100 3 times."),
        ("Evaluate the expression.", "25", "3 * (4 + 5) ="), ("Find the average of the numbers.", "6", "2, 4, 9"),
        ("Given some numbers, output the median.", "5", "Numbers: 1, 2, 3, 4, 5"),
    ],
    "language_match": [
        ("Translate into French.", "The house with the red door is theirs."),
        ("Translate into Finnish.", "The house with the red door is theirs and they have a garden."),
        ("Translate into Italian.", "Я не знаю."), ("Translate into Hebrew.", "I do not know."),
        ("Translate into Chinese.", "私はこの本をもう読みました。"),
        ("Translate into Japanese.", "我已经看过这本书了，不过还想再看一遍，因为写得实在太好了。"),
    ],
    "max_repetition": [
        (DAY, "I went home and I went home and I went home and I went home and then I slept."), (DAY, "yes " * 8),
        (DAY, "很好很好很好很好很好很好很好很好"),
        (DAY, "\n".join(["The cat sleeps on the mat."] * 5 + ["The dog sleeps on the rug."] * 4)),
    ],
    "restated_question": [
        ("Can you explain the difference between a list and a tuple in Python?",
         "Can you explain the difference between a list and a tuple in Python?"),
        ("Provide a great recipe for a salad.", "A great recipe for a salad.", "Merchandise"),
        (f'Explain what does the following statement mean? "{BIRD}"', BIRD),
    ],
    "leftover_marker": [
        (SKY, output)
        for output in (
            "<s> It is blue.", "It is blue.<|eot_id|>", "It is blue.<end_of_turn>", "**Response:** It is blue.",
            "ChatGPT: It is blue.", "It is blue.\n\nHuman: And the sea?", "It is blue.\n### User: And the sea?",
            "Blue things:\n1. the sky\n2. the sea\n3.", "</think>\nIt is blue.",
        )
    ],
    "python_syntax": [
        ("Write a function that finds primes.", PRIMES),
        ("Write a Python function that doubles it.", "def double(x)\n    x"),
        ("Write a Python function that doubles it.", "```\ndef double(x):\nreturn 2 * x\n```"),
        ("Double a number.", "```python\ndef double(x):\n    return 2 * x)\n```"),
        ("用Python写一个函数。", "def f(x):\n    print 'a'"), ("Write a Python script.", "import os\n" + "(" * 300),
    ],
    "json": [
        ("Return the result as JSON.", '{"a": 1,}'), ("Answer in JSON with the keys a and b.", "a is 1 and b is 2"),
        ("Write a JSON object that describes a cat.", '{"name": "Mia", "age": 3'),
        ("Describe a cat.", 'Here it is:\n```json\n{"name": Mia}\n```'),
        ("把下面的信息转换成JSON。", "{'name': '小明'}"),
        ("Convert the list to a JSON array.", "[1, 2, NaN]"),
    ],
    "xml": [("Return the data as XML.", "a < b"), ("Describe a note.", "```xml\n<note\n```"),
            ("Answer in XML.", "<a><b></a>"), ("Answer in XML.", "no markup at all")],
    "yaml": [("Answer in YAML.", 'a: "\\UFFFFFFFF"'), ("Answer in YAML.", "a: b: c"), ("Go.", "```yaml\na: b: c\n```")],
    "toml": [("Answer in TOML.", "a = b"), ("Go.", "So:\n```toml\na = b\n```")],
}  # fmt: skip
GOOD = {
    "numeric_answer": [
        ("What is 5 - 8?", "5 − 8 = −3"), ("What is 5/2?", "2 1/2"), ("What is 5/2?", "2,5"),
        ("Calculate 3 / 4.", "75%"),
        ("Was ist 500 + 500?", "1.000"), ("What is 5000 + 5000?", "10 000"), ("What is 100 / 3?", "33"),
        ("What is 7 / 2?", "3 remainder 1"),
        ("Calculate 6/2(1+2).", "9"), ("What is 9/11?", "The attacks of 11 September 2001."),
        ("What is a 4-4-2?", "A formation in football."), ("Add 3 and 4.", "Seven"),
        ("What is 3 + 4 in binary?", "111"),
        ("A box holds 12 + 5 eggs, of which 2 break. How many are left?", "15"), ("What is 12 + 5?", "12 + 5 = 17"),
        ("Find the difference between 4 and 10.", "4 - 10 = -6, so 6"), ("What is 2 + 2?", "```\n4\n```"),
        ("Calculate 10 / 0.", "It has no value, 10 cannot be divided."), ("What is ٢ + ٢?", "٤"),
        ("What is 10^200?", "1 followed by 200 zeros"), ("Calculate 1,000,000 * 1,000,000.", "1 × 10^12"),
        ("Find the average of the numbers.", "5", "2, 4, 9"), ("Add the numbers.", "15", "[2, 4, 9]"),
        ("Evaluate the expression.", "25", "x + 3, for x = 4"), ("Write a story about the numbers.", "25", "2, 4, 9"),
    ],
    "language_match": [
        ("Translate into French.", "La maison à la porte rouge est à eux."), ("Translate into French.", "Bonjour"),
        ('Translate into French: the title "The Waves".', "« Les Vagues »"), ("Translate into Dutch.", "42"),
        ("Translate into German.", 'Die deutsche Fassung von "The Lord of the Rings" heißt "Der Herr der Ringe".'),
        ("Translate into Norwegian.", "Jeg er glad i deg og det er sant."), ("Translate into Japanese.", "東京都"),
        ("Translate into Portuguese.", "Eu não sei onde ela está."), ("Say hello in Spanish.", "¡Hola!"),
        ("Translate into Chinese.", "The translation is: 你好"),
        ("Write code in Python that prints the sum in German.", "print('Die Summe')"),
    ],
    "max_repetition": [
        ("Write the word home ten times.", "home " * 10), ("Write a song about home.", "I went home " * 6),
        (DAY, "I went home and I went home and I went home."), (DAY, "no, no, no, no, no, no, no!"),
        (DAY, "1, 1, 1, 1, 1, 1, 1, 1, 1, 1"), (DAY, "| a | b |\n" * 9), (DAY, "-" * 200),
        (DAY, "\n".join(f"On day {day} I walked {day} miles." for day in range(1, 12))),
    ],
    "restated_question": [
        (f"Correct the sentence: {BIRD}", BIRD),
        ("Explain why bread rises.", "You want to know why bread rises, and the answer is that yeast makes gas."),
        ("Do penguins live in Antarctica?", "Penguins live in Antarctica."),
        ("Rearrange the words: mat the on cat the sat", "the cat sat on the mat"),
        ("Choose the larger animal: the mouse or the elephant in the zoo", "the elephant in the zoo"),
        ("What is the capital of France?", "The capital of France is Paris."),
        ("Name the longest river in the world.", "The Nile is the longest river in the world."),
        ("Write a question about the tides of the sea.", "What are the tides of the sea?"),
    ],
    "loose_end": [
        ("Complete the sentence.", "The old man walked to the harbour every day because"),
        ("Write a poem about the harbour.", "The old man walked to the harbour\nto look for ships and the"),
        ("List some colours of the harbour.", "red,\nblue,\ngreen,\nyellow,\ngrey,\nwhite,\nblack,\nbrown,"),
        (SKY, "Its name is The"), ("Which word is it in most texts?", "The most frequent word in English texts is the"),
    ],
    "leftover_marker": [
        ("Write a dialogue about the sky.", "User: Why is it blue?\nAssistant: Because of the air."),
        (SKY, "Anna: Why is it blue?\nUser: Because of the air."), (SKY, "It is blue - mostly -"),
        ("Explain the special tokens of chat models.", "<|im_start|> begins a turn."), (SKY, "Answer: it is blue."),
        ("Give the input and the output of the function.", "Input: 2\nOutput: 4"), ("How many legs has a dog?", "4."),
        ("Write a response to the letter.", "Response: I shall come."), ("When does it open?", "3. Oktober"),
        ("List three colours.", "1. red\n2. blue\n3. green"), ("Strike out the word in HTML.", "<s>word</s>"),
    ],
    "hidden_characters": [
        (SKY, output)
        for output in (
            "\ufeffIt is blue.", "می‌خواهم", "הים כחול\u200f (the sea)", "क्‍ष", "a\u00a0b",
            "👩‍👩‍👧 and 🏴\U000e0067\U000e0062\U000e0073\U000e0063\U000e0074\U000e007f",
        )
    ],
    "labels": [
        ("Answer with yes or no: is the sky blue?", "Yes, on a clear day."),
        ("Compare Java or Python.", "Both are fine."),
        ('Write a story with the words "cat", "dog" or "bird".', "A mouse lived here."),
        ("Answer yes or no and explain why.", "It depends."),
    ],
    "python_syntax": [
        ("What is wrong with this function? Repeat it.", PRIMES), ("Write a function.", EXPLAINED),
        ("Write a method in Ruby.", "def is_prime(n)\n  n % 2\nend"), ("Write a Python function.", EXPLAINED),
        ("Write a Python function.", "Like this:\n```python\n    x = '\\d'\n    y = 2\n```\nThat is all."),
        ("Write a Python function.", "Use the built-in `sum`."),
        ("Write a Python function.", "```python\n>>> 1\n1\n```"),
        ("Write a Python class.", "```python\nclass A:\n    ...\n\n# ...\n```"),
        ("Write Go.", "```go\nfunc f() {}\n```"),
        ("Find the mistake in this Python code.", "```\ndef f(x)\n```"),
        ("Write a poem about Python.", "import of the night (a sigh"),
    ],
    "json": [
        ("Return the result as JSON.", 'Here you are:\n\n```json\n{"a": 1}\n```\nAnything else?'),
        ("Return the result as JSON.", 'Here you are: {"a": [1, 2]}.'), ("Return it as JSON.", '{"a": 1}\n{"a": 2}'),
        ("Give a valid JSON number.", "12"), ("Answer in JSON.", "[" + "1" * 6000 + "]"),
        ("Explain what JSON is to a beginner.", "A way to write data down."),
        ("Which name does this JSON hold?", "Mia"),
        ("Write a function that reads JSON.", "def read(text): ..."),
        ("Turn the JSON into a sentence.", "Mia is three."),
        ("Convert from JSON to YAML.", "a: 1"), ("Say it as JSON or YAML.", "a: 1"),
    ],
    "xml": [("Answer in XML.", "<a><b c='1'/>x</a>"), ("Answer in XML.", '<?xml version="1.0"?>\n<a/>\n<a/>')],
    "yaml": [("Answer in YAML.", "a: 1\nb:\n  - x\n  - y: 2"), ("Go.", "a: b: c")],
    "toml": [("Answer in TOML.", 'a = 1\n[b]\nc = "d"'), ("Go.", "a = b")],
}  # fmt: skip
REASONS = {
    "numeric_answer": "wrong_number", "language_match": "wrong_language", "max_repetition": "repetition",
    "python_syntax": "invalid_python", **{name: f"invalid_{name}" for name in ("json", "xml", "yaml", "toml")},
}  # fmt: skip


@pytest.mark.parametrize(("name", "row"), [(name, row) for name, rows in FAULTY.items() for row in rows])
def test_faults_are_found(name: str, row: tuple[str, ...]) -> None:
    assert fault(name, *row) == REASONS.get(name, name)


@pytest.mark.parametrize(("name", "row"), [(name, row) for name, rows in GOOD.items() for row in rows])
def test_look_alikes_survive(name: str, row: tuple[str, ...]) -> None:
    assert fault(name, *row) is None


@given(st.integers(-999, 999), st.sampled_from("+-*"), st.integers(0, 999), st.integers(-9999, 9999))
def test_results_are_those_of_python(a: int, operation: str, b: int, said: int) -> None:
    right = {"+": a + b, "-": a - b, "*": a * b}[operation]
    found = fault("numeric_answer", f"Calculate {a} {operation} {b}.", f"It is {said}.")
    assert found == (None if said == right else "wrong_number")


@pytest.mark.parametrize(
    ("instruction", "code"),
    [
        ("Translate from English to Brazilian Portuguese.", "pt"),
        ("Write a poem in Spanish about the sea.", "es"),
        ("Schreibe einen Satz auf Englisch.", "en"),
        ("Réponds en allemand.", "de"),
        ("Put it into simple German for children.", "de"),
        ("Reply in English using one sentence.", "en"),
        ("把这句话翻译成英文。", "en"),
        ("How do you say good morning in Japanese?", "ja"),
        ("A customer has written to our web shop in French; put her message into English.", "en"),
        ("Rewrite the text to polish it.", None),
        ("Describe a walk in Spanish sunshine.", None),
        ("Give the date in Roman and in Arabic numerals.", None),
        ("Translate the word into French and German.", None),
        ("Describe a day in English class.", None),
        ("Write a recipe in French cuisine style.", None),
        ("Explain the meaning of the word in English.", None),
        ("Write it in Chinese with pinyin.", None),
        ("Write a letter to an English teacher.", None),
    ],
)
def test_the_language_asked_for_is_read_from_the_instruction(instruction: str, code: str | None) -> None:
    assert asked_language(instruction) == code


def test_the_careful_one_tells_more_languages_apart() -> None:
    pytest.importorskip("lingua", reason="THE CAREFUL language_match NOT TESTED: the extra languages is not installed")
    careful, finnish = "language_match:lingua", "Translate the text into Finnish."
    estonian = "Ma ei tea, kus see maja on, aba ma küsin homme naabri käest järele."
    assert fault("language_match", finnish, estonian) is None
    assert fault(careful, finnish, estonian) == "wrong_language"
    assert fault(careful, finnish, "En tiedä, missä se talo on, mutta kysyn huomenna naapurilta.") is None
    assert fault(careful, "Say what you think.", estonian) is None


GRAMMAR = {
    "yaml": (
        "Answer in YAML.",
        (
            'a|: |- |\n|  |"|\\x|\\U0010FFFF|\\UFFFFFFFF|\\u|&a|*a|!|!!str|!<|%YAML 1.2|'
            "%TAG ! |---|...|{|}|[|]|,|?|>|'|#|\t|1|<<|+0|é"
        ),
    ),
    "toml": (
        "Answer in TOML.",
        (
            "a|=|1|\"|\"\"\"|'''|'|[|]|[[|]]|\n|.|{|}|,|\\u|\\UFFFFFFFF|\\ud800|2020-01-01|"
            "T25:00:00|0x|1e999|inf|nan|+|-|_|#|9999-99-99|00:00"
        ),
    ),
    "xml": (
        "Answer in XML.",
        (
            '<|a|>|/|<a>|</a>|=|"|\'|&|&#0;|&#xD800;|&#x110000;|;|<?xml|?>|encoding="x"|<!|'
            "-->|<![CDATA[|]]>|\n| |xmlns:b=|b:|é"
        ),
    ),
    "json": (
        "Answer in JSON.",
        '{|}|[|]|:|,|"|a|1|e|999999999999999999999999|\\u|d800|\\|\n|null|NaN|-|.|~~~\n|```\n|```json\n',
    ),
    "python_syntax": (
        "Write a Python function that runs.",
        (
            "def f(x):\n|import a\n|\t| |(|)|lambda|'|\"|\\N{|\\|f'{|}|99999999999|e|0x|=|:|"
            "\n|class A:\n|\f|é|١|if|match|@a\n|# coding: x\n"
        ),
    ),
}
"""By form: an instruction that asks for it, and the pieces that its texts are made of."""


@pytest.mark.parametrize("name", GRAMMAR)
@given(data=st.data())
def test_no_text_of_a_form_makes_its_validator_fail(name: str, data: st.DataObject) -> None:
    instruction, pieces = GRAMMAR[name]
    drawn = st.lists(st.sampled_from(pieces.split("|")), max_size=14)
    assert fault(name, instruction, "".join(data.draw(drawn))) != "validator_error"


SUMS = (
    "1|2|10|1,000|0.5|٣|²|½|3.0|0|007|1.000|-|−|+|*|/|×|÷|^|(|)| |=|, | and |?|%| of |15% of 80| plus | divided by "
    f"|dozen|left|{'9' * 70}|1.{'3' * 5000}|{'9' * 5000}|1/{'7' * 5000}|,000"
).split("|")


ASKS = ["What is {}?", "Calculate {} to 2 decimal places.", "Find the average of {}.", "Add {} and 1.", "Go on."]
DRAWN = st.lists(st.sampled_from(SUMS), max_size=8).map("".join)


@given(st.sampled_from(ASKS), DRAWN, DRAWN)
def test_no_numbers_make_arithmetic_fail(ask: str, question: str, answer: str) -> None:
    assert fault("numeric_answer", ask.format(question), f"So {answer} = {question}") != "validator_error"
    assert fault("numeric_answer", "Find the sum of the numbers.", answer, question) != "validator_error"


@pytest.mark.parametrize(
    ("instruction", "output"),
    [
        ("What is 10 / 3?", "3." + "3" * 5000),
        ("What is 10 / 3?", "1/" + "3" * 5000),
        (f"What is {'9' * 5000} + 1?", "It is 5."),
    ],
)
def test_numbers_without_end_are_not_looked_at(instruction: str, output: str) -> None:
    started = time.process_time()
    assert fault("numeric_answer", instruction, output) is None
    assert time.process_time() - started < 1.5
