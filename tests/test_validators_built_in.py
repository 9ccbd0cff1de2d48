"""What each built-in validator finds, and the look-alikes that it leaves alone."""

from __future__ import annotations

import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from selfinstruct.records import Instance, Task
from selfinstruct.validators import BUILT_IN, validators
from selfinstruct.validators.languages import asked_language
from tests.builders import settings


def fault(name: str, instruction: str, output: str, given_input: str = "") -> str | None:
    found = BUILT_IN[name](Task("t", instruction, False), Instance(given_input, output))
    return found.reason if found else None


# --- arithmetic -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("instruction", "output"),
    [
        ("What is 5 - 8?", "3"),
        ("What is 5 - 8?", "5 - 8 = 3"),
        ("Compute 2 + 2 * 3", "12"),
        ("How much is 7 x 6?", "41"),
        ("Divide 100 by 8.", "12.6"),
        ("Add 3 and 4.", "8"),
        ("Calculate 25 percent of 200", "The result is 60"),
        ("12 + 5 = ?", "18"),
        ("7乘以8等于多少？", "54"),
        ("Find the sum of 1.5 and 2.5.", "4.5"),
        ("What is 2 ^ 10?", "1000"),
        ("Calculate 9 - (4 - 3).", "2"),
        ("What is the product of 6 and 7?", "The product is 43."),
        ("Find the largest of 3, 27 and 9.", "9"),
        ("Wie viel ist 9 mal 9?", "72"),
        ("What is 10 divided by 4?", "3"),
        ("Calculate 1/4 + 1/4.", "2/8"),
        ("What is 2 + 2? Show your work.", "First take 2, then add 2. That makes 5."),
        ("What is the square of 7?", "7"),
        ("How many times does 4 go into 10?", "4 goes into 10 five times, or 5."),
    ],
)
def test_wrong_results_are_found(instruction: str, output: str) -> None:
    assert fault("numeric_answer", instruction, output) == "wrong_number"


@pytest.mark.parametrize(
    ("instruction", "output"),
    [
        ("What is 5 - 8?", "-3"),
        ("What is 5 - 8?", "5 − 8 = −3"),
        ("What is 5/2?", "2 1/2"),
        ("What is 5/2?", "2,5"),
        ("Calculate 3 / 4.", "75%"),
        ("Was ist 500 + 500?", "1.000"),
        ("What is 5000 + 5000?", "10 000"),
        ("What is 100 / 3?", "33"),
        ("What is 100 / 3?", "33.333..."),
        ("What is 2 / 3, rounded to 3 decimal places?", "0.667"),
        ("What is 7 / 2?", "3 remainder 1"),
        ("Calculate 6/2(1+2).", "9"),
        ("What is 9/11?", "The attacks of 11 September 2001."),
        ("What is 24/7?", "Open all day, 7 days a week."),
        ("What is a 4-4-2?", "A formation in football."),
        ("Add 3 and 4.", "Seven"),
        ("What is 3 + 4 in binary?", "111"),
        ("A box holds 12 + 5 eggs, of which 2 break. How many are left?", "15"),
        ("Find the difference between 4 and 10.", "4 - 10 = -6, so 6"),
        ("Calculate 10 / 0.", "It has no value, 10 cannot be divided."),
        ("What is 10^200?", "1 followed by 200 zeros"),
        ("Calculate 1,000,000 * 1,000,000.", "1 × 10^12"),
        ("What is the average of 3 and 4?", "3.5"),
        ("What is 12 + 5?", "12 + 5 = 17"),
        ("What is 2 + 2?", "```\n4\n```"),
        ("What is ٢ + ٢?", "٤"),
    ],
)
def test_right_results_and_what_is_not_plain_arithmetic_stay(instruction: str, output: str) -> None:
    assert fault("numeric_answer", instruction, output) is None


@pytest.mark.parametrize(
    "output",
    [
        "(1 + 2 + 3 + 4) / 4 = 3.5",
        "So 12 + 5 = 18 apples are left.",
        "First, 3 x 4 = 13.",
        "Step 1: 20 - 5 = 15\nStep 2: 15 * 2 = 35",
        "- 7 * 8 = 54\n- 7 * 9 = 63",
    ],
)
def test_equations_that_do_not_hold_are_found(output: str) -> None:
    assert fault("numeric_answer", "Ada has some apples. How many are left?", output) == "wrong_number"


@pytest.mark.parametrize(
    ("instruction", "output"),
    [
        ("How many are left?", "48 - 29 = 19. There are 19 left."),
        ("How long is the third side?", "The square root of 9 + 16 = 5."),
        ("How long is the third side?", "x + 3 + 4 = 9"),
        ("Solve the equation.", "2x - 15 = 9\n2x = 24\nx = 12"),
        ("How many are left?", "24 + 6 = 6 x 5"),
        ("How many are left?", "24 × 15 = 24 × 10 + 24 × 5 = 360"),
        ("How many are left?", "10 / 3 = 3.33"),
        ("How many are left?", "7 / 2 = 3 remainder 1"),
        ("How much is it now?", "100 - 25% = 75"),
        ("How much is it now?", "100 - 20 = 80%"),
        ("Wie viel ist es?", "1.000 + 500 = 1.500"),
        ("Wie viel ist es?", "3,5 + 1,5 = 5,0"),
        ("Tell me a joke about teamwork.", "1 + 1 = 3"),
        ("Find the pattern.", "6 + 4 = 210"),
        ("Is 2 + 2 = 5?", "2 + 2 = 5 does not hold."),
        ("When was it?", "2023-05 = 3 pages"),
        ("Write a function.", "x = 3 - 4\ny = 5"),
    ],
)
def test_equations_that_hold_or_may_be_meant_stay(instruction: str, output: str) -> None:
    assert fault("numeric_answer", instruction, output) is None


def test_what_is_plainly_python_is_parsed_wherever_it_stands() -> None:
    lost = "def is_prime(n):\n    if n == 2:\n    return True\n    return n % 2 == 1"
    assert fault("python_syntax", "Write a function that finds primes.", lost) == "invalid_python"
    assert fault("python_syntax", "What is wrong with this function? Repeat it.", lost) is None
    assert fault("python_syntax", "Write a method in Ruby.", "def is_prime(n)\n  n % 2\nend") is None
    explained = "def f(x):\n    return x\n\nThis gives back what it is given."
    for instruction in ("Write a function.", "Write a Python function."):
        assert fault("python_syntax", instruction, explained) is None


def test_what_was_to_be_explained_is_no_explanation() -> None:
    said = "The early bird that sings catches the worm."
    assert fault("restated_question", f'Explain the statement: "{said}"', said) == "restated_question"
    assert fault("restated_question", f"What does this mean? {said}", said) == "restated_question"
    assert fault("restated_question", f"Correct the sentence: {said}", said) is None
    asked = f'What does "{said}" look like with a capital at the start of every word?'
    assert fault("restated_question", asked, said.title()) is None


def test_numbers_of_the_input_are_reckoned_where_it_is_nothing_else() -> None:
    assert fault("numeric_answer", "Evaluate the expression.", "25", "3 * (4 + 5) =") == "wrong_number"
    assert fault("numeric_answer", "Find the average of the numbers.", "6", "2, 4, 9") == "wrong_number"
    assert fault("numeric_answer", "Find the average of the numbers.", "5", "2, 4, 9") is None
    assert fault("numeric_answer", "Add the numbers.", "15", "[2, 4, 9]") is None
    assert fault("numeric_answer", "Evaluate the expression.", "25", "x + 3, for x = 4") is None
    assert fault("numeric_answer", "Write a story about the numbers.", "25", "2, 4, 9") is None


@given(st.integers(-999, 999), st.sampled_from("+-*"), st.integers(0, 999), st.integers(-9999, 9999))
def test_the_reckoning_is_that_of_python(a: int, operation: str, b: int, said: int) -> None:
    right = {"+": a + b, "-": a - b, "*": a * b}[operation]
    found = fault("numeric_answer", f"Calculate {a} {operation} {b}.", f"It is {said}.")
    assert found == (None if said == right else "wrong_number")


# --- language -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("instruction", "code"),
    [
        ("Translate the sentence into French.", "fr"),
        ("Translate from English to Brazilian Portuguese.", "pt"),
        ("Write a poem in Spanish about the sea.", "es"),
        ("Schreibe einen Satz auf Englisch.", "en"),
        ("Réponds en allemand.", "de"),
        ("Put it into simple German for children.", "de"),
        ("Reply in English using one sentence.", "en"),
        ("Rewrite the text to polish it.", None),
        ("Write how to marinate chicken in Greek yogurt.", None),
        ("Describe a walk in Spanish sunshine.", None),
        ("Give the date in Roman and in Arabic numerals.", None),
        ("把这句话翻译成英文。", "en"),
        ("用中文回答。", "zh"),
        ("How do you say good morning in Japanese?", "ja"),
        ("Translate the word into French and German.", None),
        ("Write an essay for my class in English literature.", None),
        ("Describe a day in English class.", None),
        ("Write a recipe in French cuisine style.", None),
        ("Explain the meaning of the word in English.", None),
        ("Write it in Chinese with pinyin.", None),
        ("Write a letter to an English teacher.", None),
        ("What was the Spanish Armada?", None),
        ("A customer has written to our web shop in French; put her message into English.", "en"),
    ],
)
def test_the_language_asked_for_is_read_from_the_instruction(instruction: str, code: str | None) -> None:
    assert asked_language(instruction) == code


@pytest.mark.parametrize(
    ("instruction", "output"),
    [
        ("Translate into French.", "The house with the red door is theirs."),
        ("Translate into Finnish.", "The house with the red door is theirs and they have a garden."),
        ("Translate into Italian.", "Я не знаю."),
        ("Translate into Hebrew.", "I do not know."),
        ("Translate into Chinese.", "私はこの本をもう読みました。"),
        ("Translate into Japanese.", "我已经看过这本书了，不过还想再看一遍，因为写得实在太好了。"),
    ],
)
def test_another_language_is_found(instruction: str, output: str) -> None:
    assert fault("language_match", instruction, output) == "wrong_language"


@pytest.mark.parametrize(
    ("instruction", "output"),
    [
        ("Translate into French.", "La maison à la porte rouge est à eux."),
        ("Translate into French.", "Bonjour"),
        ('Translate into French: the title "The Waves".', "« Les Vagues »"),
        ("Translate into German.", 'Die deutsche Fassung von "The Lord of the Rings" heißt "Der Herr der Ringe".'),
        ("Translate into Norwegian.", "Jeg er glad i deg og det er sant."),
        ("Translate into Portuguese.", "Eu não sei onde ela está."),
        ("Translate into Swahili.", "Sijui nyumba iko wapi."),
        ("Translate into Japanese.", "東京都"),
        ("Translate into Chinese.", "The translation is: 你好"),
        ("Say hello in Spanish.", "¡Hola!"),
        ("Write code in Python that prints the sum in German.", "print('Die Summe')"),
        ("Translate into Dutch.", "42"),
    ],
)
def test_the_language_asked_for_and_what_is_in_doubt_stay(instruction: str, output: str) -> None:
    assert fault("language_match", instruction, output) is None


def test_the_careful_one_tells_more_languages_apart() -> None:
    pytest.importorskip("lingua", reason="THE CAREFUL language_match NOT TESTED: the extra languages is not installed")
    (careful,) = validators(settings(validators=("language_match:lingua",), personal_data="off"))
    finnish = Task("t", "Translate the text into Finnish.", False)
    estonian = Instance("", "Ma ei tea, kus see maja on, aba ma küsin homme naabri käest järele.")
    assert fault("language_match", finnish.instruction, estonian.output) is None
    found = careful(finnish, estonian)
    assert found is not None
    assert found.reason == "wrong_language"
    good = Instance("", "En tiedä, missä se talo on, mutta kysyn huomenna naapurilta.")
    assert careful(finnish, good) is None
    assert careful(Task("t", "Say what you think.", False), estonian) is None


# --- loops, endings, questions said again ---------------------------------------------------------------------------


@pytest.mark.parametrize(
    "output",
    [
        "I went home and I went home and I went home and I went home and then I slept.",
        "yes " * 8,
        "很好很好很好很好很好很好很好很好",
        "\n".join(["The cat sleeps on the mat."] * 5 + ["The dog sleeps on the rug."] * 4),
    ],
)
def test_loops_are_found(output: str) -> None:
    assert fault("max_repetition", "Tell me about your day.", output) == "repetition"


@pytest.mark.parametrize(
    ("instruction", "output"),
    [
        ("Write the word home ten times.", "home " * 10),
        ("Write a song about home.", "I went home " * 6),
        ("Tell me about your day.", "I went home and I went home and I went home."),
        ("Tell me about your day.", "no, no, no, no, no, no, no!"),
        ("Tell me about your day.", "1, 1, 1, 1, 1, 1, 1, 1, 1, 1"),
        ("Tell me about your day.", "| a | b |\n" * 9),
        ("Tell me about your day.", "```\nx = 0\nx = 0\nx = 0\nx = 0\nx = 0\nx = 0\nx = 0\nx = 0\n```"),
        ("Tell me about your day.", "\n".join(f"On day {day} I walked {day} miles." for day in range(1, 12))),
        ("Tell me about your day.", "-" * 200),
    ],
)
def test_what_may_repeat_itself_stays(instruction: str, output: str) -> None:
    assert fault("max_repetition", instruction, output) is None


@pytest.mark.parametrize(
    ("instruction", "output"),
    [
        ("Explain why bread rises.", "You want to know why bread rises, and the answer is that yeast makes gas."),
        ("Do penguins live in Antarctica?", "Penguins live in Antarctica."),
        ("Rewrite as a question: Bread rises in the oven.", "Does bread rise in the oven?"),
        ("Rearrange the words: mat the on cat the sat", "the cat sat on the mat"),
        ("Repeat this sentence after me word by word.", "this sentence after me word by word"),
        ("Choose the larger animal: the mouse or the elephant in the zoo", "the elephant in the zoo"),
        ("What is the capital of France?", "The capital of France is Paris."),
        ("Name the longest river in the world.", "The Nile is the longest river in the world."),
        ("Write a question about the tides of the sea.", "What are the tides of the sea?"),
    ],
)
def test_answers_that_use_the_words_of_the_question_stay(instruction: str, output: str) -> None:
    assert fault("restated_question", instruction, output) is None


@pytest.mark.parametrize(
    ("instruction", "output"),
    [
        (
            "Write the beginning of a story that ends with a comma.",
            "The old man walked to the harbour every single day,",
        ),
        ("Complete the sentence.", "The old man walked to the harbour every day because"),
        ("Write a poem about the harbour.", "The old man walked to the harbour\nto look for ships and the"),
        ("List some colours of the harbour.", "red,\nblue,\ngreen,\nyellow,\ngrey,\nwhite,\nblack,\nbrown,"),
        ("Tell me about the harbour.", "It is where ships come to."),
        ("Tell me about the harbour.", "Its name is The"),
        (
            "Which word is the most frequent one in English texts of any sort?",
            "The most frequent word in English texts is the",
        ),
    ],
)
def test_endings_that_are_meant_stay(instruction: str, output: str) -> None:
    assert fault("cut_off", instruction, output) is None


# --- markers --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "output",
    [
        "<s> It is blue.",
        "It is blue.<|eot_id|>",
        "It is blue.<end_of_turn>",
        "**Response:** It is blue.",
        "ChatGPT: It is blue.",
        "It is blue.\n\nHuman: And the sea?",
        "It is blue.\n### User: And the sea?",
        "Blue things:\n1. the sky\n2. the sea\n3.",
        "</think>\nIt is blue.",
    ],
)
def test_leftover_markers_are_found(output: str) -> None:
    assert fault("leftover_marker", "Tell me about the colour of the sky.", output) == "leftover_marker"


@pytest.mark.parametrize(
    ("instruction", "output"),
    [
        ("Write a dialogue about the sky.", "User: Why is it blue?\nAssistant: Because of the air."),
        ("Tell me about the sky.", "Anna: Why is it blue?\nUser: Because of the air."),
        ("Explain the special tokens of chat models.", "<|im_start|> begins a turn."),
        ("Give the input and the output of the function.", "Input: 2\nOutput: 4"),
        ("Write a response to the letter.", "Response: I shall come."),
        ("List three colours.", "1. red\n2. blue\n3. green"),
        ("When does the shop open?", "3. Oktober"),
        ("How many legs has a dog?", "4."),
        ("Strike out the word in HTML.", "<s>word</s>"),
        ("Tell me about the sky.", "It is blue - mostly -"),
        ("Tell me about the sky.", "Answer: it is blue."),
        ("Which note is it?", "A"),
    ],
)
def test_markers_that_belong_there_stay(instruction: str, output: str) -> None:
    assert fault("leftover_marker", instruction, output) is None


@pytest.mark.parametrize(
    "output",
    [
        "\ufeffIt is blue.",
        "می‌خواهم",
        "👩‍👩‍👧 and 🏴\U000e0067\U000e0062\U000e0073\U000e0063\U000e0074\U000e007f",
        "הים כחול\u200f (the sea)",
        "क्‍ष",
        "a\u00a0b",
    ],
)
def test_invisible_characters_that_scripts_need_stay(output: str) -> None:
    assert fault("hidden_characters", "Tell me about the sky.", output) is None


@pytest.mark.parametrize(
    ("instruction", "output"),
    [
        ("Answer with yes or no: is the sky blue?", "Yes, on a clear day."),
        ("Answer with yes or no: is the sky blue?", "I would say yes."),
        ('Write a story with the words "cat", "dog" or "bird".', "A mouse lived here."),
        ("Answer yes or no and explain why.", "It depends."),
        ("Compare Java or Python for beginners.", "Both are fine."),
    ],
)
def test_labels_that_are_there_or_not_wanted_stay(instruction: str, output: str) -> None:
    assert fault("labels", instruction, output) is None


# --- any text -------------------------------------------------------------------------------------------------------

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


@given(st.lists(st.sampled_from(SUMS), max_size=8), st.lists(st.sampled_from(SUMS), max_size=8))
def test_no_numbers_make_arithmetic_fail(asked: list[str], said: list[str]) -> None:
    question, answer = "".join(asked), "".join(said)
    for ask in (
        "What is {}?",
        "Calculate {} to 2 decimal places.",
        "Find the average of {}.",
        "Add {} and 1.",
        "Go on.",
    ):
        assert fault("numeric_answer", ask.format(question), f"So {answer} = {question}") != "validator_error"
    assert fault("numeric_answer", "Find the sum of the numbers.", answer, question) != "validator_error"


@pytest.mark.parametrize(
    ("name", "instruction", "output"),
    [
        ("xml", "Return the data as XML.", "a < b"),
        ("xml", "Describe a note.", "```xml\n<note\n```"),
        ("yaml", "Answer in YAML.", 'a: "\\UFFFFFFFF"'),
    ],
)
def test_what_parsers_choke_on_is_a_fault_of_the_form(name: str, instruction: str, output: str) -> None:
    assert fault(name, instruction, output) == f"invalid_{name}"


@pytest.mark.parametrize(
    ("instruction", "output"),
    [
        ("What is (10^100)^50?", "It is 5."),
        ("What is 10 / 3?", "3." + "3" * 5000),
        ("What is 10 / 3?", "1/" + "3" * 5000),
        ("Tell me about sums.", "So 10 / 3 = 3." + "3" * 5000),
        (f"What is {'9' * 5000} + 1?", "It is 5."),
        ("What is (((9^99)^99)^99)^99?", "It is 5."),
        ("Tell me about powers.", "So 1*(((9^99)^99)^99)^99 = 5"),
    ],
)
def test_numbers_without_end_are_not_looked_at(instruction: str, output: str) -> None:
    started = time.process_time()
    assert fault("numeric_answer", instruction, output) is None
    assert time.process_time() - started < 1.5


@pytest.mark.parametrize("name", BUILT_IN)
def test_a_validator_that_fails_rejects_the_row_and_says_so(name: str) -> None:
    broken: str = None  # type: ignore[assignment]
    found = BUILT_IN[name](Task("t", broken, False), Instance("", "Nothing."))
    assert found is not None
    assert found.reason == "validator_error"
    assert "TypeError" in found.evidence
