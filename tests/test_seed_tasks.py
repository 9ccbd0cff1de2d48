"""The hand-written English seed tasks: their counts, their variety, and whether their answers are right."""

from __future__ import annotations

import ast
import contextlib
import io
import json
import math
import re
import sqlite3
import statistics
from collections.abc import Callable
from dataclasses import dataclass
from fractions import Fraction
from itertools import combinations
from pathlib import Path
from typing import Any

import pytest
from rapidfuzz.distance import LCSseq

Cases = list[tuple[tuple[Any, ...], Any]]  # the arguments of a call, and what it must return

SEEDS_PATH = Path(__file__).resolve().parent.parent / "seeds" / "en.jsonl"
KEYS = ["id", "name", "instruction", "instances", "is_classification"]
# What the pipeline's own filter refuses in an instruction: a text model can neither see, play nor open these.
REFUSED_WORDS = re.compile(
    r"\b(images?|graphs?|pictures?|files?|maps?|draw|plot|go to|videos?|audio|music|flowcharts?|diagrams?)\b",
    re.IGNORECASE,
)
PLACEHOLDERS = re.compile(r"\[[A-Z][A-Za-z ]*\]|\bN/A\b|<noinput>|\bTODO\b|As an AI|\bI cannot\b|https?://|\S@\S+\.\w")
NUMBER = re.compile(r"-?\d[\d,]*(?:\.\d+)?(?:/\d+)?")


@dataclass(frozen=True)
class Instance:
    input: str
    output: str


@dataclass(frozen=True)
class Seed:
    id: str
    name: str
    instruction: str
    instances: tuple[Instance, ...]
    is_classification: bool

    @property
    def first_word(self) -> str:
        return re.sub(r"\W", "", self.instruction.split()[0].lower())

    @property
    def texts(self) -> list[str]:
        """Every text of the task; empty inputs are left out."""
        found = [self.instruction]
        for instance in self.instances:
            found += [instance.input, instance.output]
        return [text for text in found if text]


def read_records() -> list[dict[str, Any]]:
    return [json.loads(line) for line in SEEDS_PATH.read_text(encoding="utf-8").splitlines()]


def read_seeds() -> list[Seed]:
    return [
        Seed(
            id=record["id"],
            name=record["name"],
            instruction=record["instruction"],
            instances=tuple(Instance(**instance) for instance in record["instances"]),
            is_classification=record["is_classification"],
        )
        for record in read_records()
    ]


SEEDS = read_seeds()
BY_ID = {seed.id: seed for seed in SEEDS}
CLASSIFICATION = [seed for seed in SEEDS if seed.is_classification]


def seed_named(name: str) -> Seed:
    return next(seed for seed in SEEDS if seed.name == name)


def states_label(instruction: str, label: str) -> bool:
    return re.search(rf"(?<!\w){re.escape(label)}(?!\w)", instruction) is not None


def rouge_l(left: list[str], right: list[str]) -> float:
    """F1 of the longest common subsequence of words."""
    return 2 * LCSseq.similarity(left, right) / (len(left) + len(right))


def words_of(text: str) -> list[str]:
    return re.sub(r"[^a-z0-9]+", " ", text.lower()).split()


# ---------------------------------------------------------------- shape and counts


def test_every_line_is_an_object_with_the_agreed_keys_in_order() -> None:
    for record in read_records():
        assert list(record) == KEYS
        assert isinstance(record["is_classification"], bool)
        for instance in record["instances"]:
            assert list(instance) == ["input", "output"]
            assert all(isinstance(value, str) for value in instance.values())


def test_there_are_175_tasks_with_running_ids_and_unique_names() -> None:
    assert [seed.id for seed in SEEDS] == [f"en-{number:03}" for number in range(1, 176)]
    assert len({seed.name for seed in SEEDS}) == 175
    assert all(re.fullmatch(r"[a-z0-9]+(_[a-z0-9]+)*", seed.name) for seed in SEEDS)


def test_at_least_40_tasks_are_classification() -> None:
    assert len(CLASSIFICATION) >= 40


def test_at_least_50_tasks_need_no_input() -> None:
    assert sum(all(not instance.input for instance in seed.instances) for seed in SEEDS) >= 50


def test_most_tasks_have_one_instance_and_20_to_40_have_two_or_three() -> None:
    several = [seed for seed in SEEDS if len(seed.instances) > 1]
    assert 20 <= len(several) <= 40
    assert all(1 <= len(seed.instances) <= 3 for seed in SEEDS)


def test_at_least_14_code_and_14_arithmetic_tasks_are_there() -> None:
    assert sum(seed.name.startswith("code_") for seed in SEEDS) >= 14
    assert sum(seed.name.startswith("math_") for seed in SEEDS) >= 14


def test_instructions_start_with_at_least_60_different_words() -> None:
    assert len({seed.first_word for seed in SEEDS}) >= 60


def test_instructions_have_between_4_and_60_words_and_8_to_20_on_average() -> None:
    lengths = [len(seed.instruction.split()) for seed in SEEDS]
    assert min(lengths) >= 4
    assert max(lengths) <= 60
    assert 8 <= statistics.mean(lengths) <= 20


def test_no_two_instructions_are_alike() -> None:
    tokens = {seed.id: words_of(seed.instruction) for seed in SEEDS}
    alike = [
        (one.instruction, other.instruction)
        for one, other in combinations(SEEDS, 2)
        if rouge_l(tokens[one.id], tokens[other.id]) > 0.6
    ]
    assert not alike


def test_outputs_range_from_one_word_to_more_than_a_hundred() -> None:
    lengths = [len(instance.output.split()) for seed in SEEDS for instance in seed.instances]
    assert min(lengths) == 1
    assert 100 < max(lengths) <= 220


# ---------------------------------------------------------------- the pipeline's own rules


@pytest.mark.parametrize("seed", SEEDS, ids=lambda seed: str(seed.id))
def test_no_seed_would_be_refused_by_the_pipeline(seed: Seed) -> None:
    assert re.match(r"[A-Za-z0-9]", seed.instruction)
    assert not seed.instruction.startswith("Write a program")
    for text in seed.texts:
        assert not REFUSED_WORDS.search(text)
        assert not PLACEHOLDERS.search(text)
        assert text == text.strip()
        assert not text.endswith(":")
    for instance in seed.instances:
        assert instance.output
        assert instance.output != instance.input
        assert not re.fullmatch(r"(\d+[.)]|[-*])\s*", instance.output)
    assert len({instance.input for instance in seed.instances}) == len(seed.instances)


# ---------------------------------------------------------------- classification


def test_every_label_is_stated_in_its_instruction() -> None:
    for seed in CLASSIFICATION:
        for instance in seed.instances:
            assert instance.input, seed.name
            assert states_label(seed.instruction, instance.output), seed.name


def test_instances_of_one_classification_task_carry_different_labels() -> None:
    for seed in CLASSIFICATION:
        assert len({instance.output for instance in seed.instances}) == len(seed.instances), seed.name


def test_at_least_12_classification_tasks_have_more_than_two_labels() -> None:
    # Three or more labels are listed with commas before the last "and" or "or", or shown by three instances.
    listed = re.compile(r"[\w-]+( [\w-]+)*, [^,;]+, (and|or) ")
    several = [s for s in CLASSIFICATION if len(s.instances) > 2 or listed.search(s.instruction)]
    assert len(several) >= 12


def is_prime(number: int) -> bool:
    return number > 1 and all(number % divisor for divisor in range(2, math.isqrt(number) + 1))


def prime_label(text: str) -> str:
    return "prime" if is_prime(int(text)) else "composite"


def triangle_label(text: str) -> str:
    a, b, c = sorted(int(side) for side in text.split(","))
    if a + b <= c:
        return "Impossible"
    return {1: "Equilateral", 2: "Isosceles", 3: "Scalene"}[len({a, b, c})]


def larger_fraction_label(text: str) -> str:
    first, second = (Fraction(part) for part in text.split(" and "))
    return "Equal" if first == second else ("First" if first > second else "Second")


def raised_error_label(code: str) -> str:
    with contextlib.redirect_stdout(io.StringIO()):
        try:
            exec(code, {})
        except (LookupError, TypeError, ValueError) as error:
            return type(error).__name__
    return "nothing raised"


def growth_label(code: str) -> str:
    """The counter the function returns, at two sizes, tells how its running time grows."""
    namespace: dict[str, Any] = {}
    exec(code, namespace)
    small, large = namespace["f"](1000), namespace["f"](4000)
    if large == small:
        return "constant"
    ratio = large / small
    return "logarithmic" if ratio < 2 else ("linear" if ratio < 8 else "quadratic")


def balance_label(equation: str) -> str:
    def atoms(side: str) -> dict[str, int]:
        counts: dict[str, int] = {}
        for term in side.split("+"):
            found = re.fullmatch(r"(\d*)\s*(\w+)", term.strip())
            assert found is not None
            times = int(found[1] or 1)
            for element, number in re.findall(r"([A-Z][a-z]?)(\d*)", found[2]):
                counts[element] = counts.get(element, 0) + times * int(number or 1)
        return counts

    left, right = equation.split("->")
    return "Balanced" if atoms(left) == atoms(right) else "Unbalanced"


COMPUTABLE_LABELS: dict[str, Callable[[str], str]] = {
    "prime_or_composite": prime_label,
    "triangle_type": triangle_label,
    "larger_fraction": larger_fraction_label,
    "python_error_type": raised_error_label,
    "loop_time_complexity": growth_label,
    "equation_balance": balance_label,
}


@pytest.mark.parametrize("name", COMPUTABLE_LABELS)
def test_labels_that_can_be_computed_are_right(name: str) -> None:
    for instance in seed_named(name).instances:
        assert COMPUTABLE_LABELS[name](instance.input) == instance.output


# ---------------------------------------------------------------- Python code


def run(code: str) -> dict[str, Any]:
    namespace: dict[str, Any] = {}
    exec(code, namespace)
    return namespace


def prints_its_output(seed: Seed) -> None:
    for instance in seed.instances:
        with contextlib.redirect_stdout(io.StringIO()) as printed:
            run(instance.input)
        assert printed.getvalue().rstrip("\n") == instance.output


def answers(function: str, cases: Cases) -> Callable[[Seed], None]:
    """A check that calls the function the seed's output defines and compares what it returns."""

    def check(seed: Seed) -> None:
        for instance in seed.instances:
            defined = run(instance.output)[function]
            for arguments, expected in cases:
                assert defined(*arguments) == expected, (seed.name, arguments)

    return check


def behaves_as_before(function: str, cases: Cases) -> Callable[[Seed], None]:
    """As `answers`, and the code of the input must have given the same results."""

    def check(seed: Seed) -> None:
        answers(function, cases)(seed)
        for instance in seed.instances:
            before = run(instance.input)[function]
            for arguments, expected in cases:
                assert before(*arguments) == expected, (seed.name, arguments)

    return check


def check_type_hints(seed: Seed) -> None:
    cases: Cases = [(("Ada", 3), "Ada, Ada, Ada"), (("Bo", 2, "-"), "Bo-Bo"), (("x", 0), "")]
    behaves_as_before("repeat_name", cases)(seed)
    definition = ast.parse(seed.instances[0].output).body[0]
    assert isinstance(definition, ast.FunctionDef)
    assert definition.returns is not None
    assert all(argument.annotation is not None for argument in definition.args.args)


def check_docstring(seed: Seed) -> None:
    cases: Cases = [(("ada lovelace",), "A.L."), (("Grace B Hopper",), "G.B.H."), (("",), "")]
    behaves_as_before("initials", cases)(seed)
    docstring = run(seed.instances[0].output)["initials"].__doc__
    assert "full_name" in docstring
    assert "Returns" in docstring


def check_fixed_average(seed: Seed) -> None:
    answers("average", [(([2, 4, 9],), 5.0), (([],), 0.0), (([7],), 7.0), (([-1, 1],), 0.0)])(seed)
    assert run(seed.instances[0].input)["average"]([2, 4, 9]) != 5.0, "the input must have the bug"


def check_single_comprehension(seed: Seed) -> None:
    cases: Cases = [
        ((["a", "pear", "banana"], 3), ["PEAR", "BANANA"]),
        (([], 2), []),
        ((["abc"], 3), []),
    ]
    behaves_as_before("long_words", cases)(seed)
    nodes = list(ast.walk(ast.parse(seed.instances[0].output)))
    assert sum(isinstance(node, ast.ListComp) for node in nodes) == 1
    assert not any(isinstance(node, ast.For) for node in nodes)


def check_iterative_digit_sum(seed: Seed) -> None:
    behaves_as_before("digit_sum", [((0,), 0), ((9,), 9), ((10,), 1), ((98765,), 35), ((1000001,), 2)])(seed)
    defined = run(seed.instances[0].output)["digit_sum"]
    assert defined(10**5000 - 1) == 9 * 5000, "a recursive version would run out of stack here"


def check_fast_duplicates(seed: Seed) -> None:
    behaves_as_before(
        "has_duplicates", [(([1, 2, 3],), False), (([1, 2, 1],), True), (([],), False), ((["a", "b", "b"],), True)]
    )(seed)
    assert run(seed.instances[0].output)["has_duplicates"](range(200_000)) is False


def check_fibonacci(seed: Seed) -> None:
    defined = run(seed.instances[0].output)["fibonacci_up_to"]
    assert list(defined(20)) == [0, 1, 1, 2, 3, 5, 8, 13]
    assert list(defined(21))[-1] == 21
    assert list(defined(0)) == [0]
    assert list(defined(-1)) == []


def check_stack(seed: Seed) -> None:
    stack = run(seed.instances[0].output)["Stack"]()
    assert stack.is_empty() is True
    for take in (stack.pop, stack.peek):
        with pytest.raises(IndexError):
            take()
    stack.push("a")
    stack.push("b")
    assert stack.is_empty() is False
    assert [stack.peek(), stack.pop(), stack.pop()] == ["b", "b", "a"]
    assert stack.is_empty() is True


def check_parse_duration(seed: Seed) -> None:
    cases: Cases = [(("1h30m",), 90), (("45m",), 45), (("2h",), 120), (("0m",), 0)]
    answers("parse_duration", cases)(seed)
    for wrong in ("", "h", "30", "1m2h", "1h 30m", "-5m"):
        with pytest.raises(ValueError, match="not a duration"):
            run(seed.instances[0].output)["parse_duration"](wrong)


ROMAN = [("I", 1), ("IV", 4), ("IX", 9), ("XIV", 14), ("XLII", 42), ("XC", 90), ("CDXLIV", 444), ("MCMXCIV", 1994)]

CODE_CHECKS: dict[str, Callable[[Seed], None]] = {
    "en-002": prints_its_output,  # code_print_slice_step
    "en-004": answers(  # code_merge_intervals
        "merge_intervals",
        [
            (([],), []),
            (([(5, 8), (1, 3), (2, 4)],), [(1, 4), (5, 8)]),
            (([(1, 2), (2, 3)],), [(1, 3)]),
            (([(1, 10), (2, 3), (11, 12)],), [(1, 10), (11, 12)]),
        ],
    ),
    "en-006": answers("sum_of_squares", [(([1, -2, 3],), 10), (([],), 0), (([-1, 0],), 0), (([1.5],), 2.25)]),
    "en-011": prints_its_output,  # code_print_mutable_default
    "en-016": check_fast_duplicates,
    "en-019": answers(  # code_flatten_dict
        "flatten",
        [
            (({},), {}),
            (({"a": 1, "b": {"c": 2, "d": {"e": 3}}},), {"a": 1, "b.c": 2, "b.d.e": 3}),
            (({"x": [1, {"y": 2}]},), {"x": [1, {"y": 2}]}),
        ],
    ),
    "en-027": check_docstring,
    "en-028": check_type_hints,
    "en-039": check_parse_duration,
    "en-046": check_iterative_digit_sum,
    "en-050": check_single_comprehension,
    "en-051": answers("roman_to_int", [((numeral,), value) for numeral, value in ROMAN]),
    "en-055": answers(  # code_is_leap_year
        "is_leap_year", [((2000,), True), ((1900,), False), ((2024,), True), ((2023,), False), ((2400,), True)]
    ),
    "en-059": answers("count_vowels", [(("Education",), 5), (("",), 0), (("RHYTHM",), 0), (("AeIoU xyz",), 5)]),
    "en-121": check_stack,
    "en-128": answers(  # code_luhn_check
        "luhn_valid",
        [(("79927398713",), True), (("79927398710",), False), (("0",), True), (("18",), True), (("19",), False)],
    ),
    "en-129": check_fixed_average,
    "en-132": check_fibonacci,
    "en-137": answers(  # code_group_anagrams
        "group_anagrams",
        [
            (([],), []),
            ((["listen", "pear", "Silent", "reap", "fig"],), [["listen", "Silent"], ["pear", "reap"], ["fig"]]),
        ],
    ),
    "en-160": prints_its_output,  # code_print_trace_loop
}


def test_the_code_table_covers_every_code_seed() -> None:
    assert set(CODE_CHECKS) == {seed.id for seed in SEEDS if seed.name.startswith("code_")}


@pytest.mark.parametrize("seed_id", CODE_CHECKS)
def test_every_code_seed_runs_and_answers_right(seed_id: str) -> None:
    seed = BY_ID[seed_id]
    assert all("```" not in instance.output for instance in seed.instances)
    CODE_CHECKS[seed_id](seed)


# ---------------------------------------------------------------- arithmetic


def money(text: str) -> Fraction:
    return Fraction(text)


TIMESHEET = ["7.5", "8", "6.25", "8", "5.75"]

# The expected final number of every instance of the task, worked out anew.
MATH_ANSWERS: dict[str, list[Fraction]] = {
    "en-014": [3 * 125 * Fraction(120, 100) * money("0.96")],  # math_invoice_in_francs
    "en-015": [Fraction(45, 60) * 24 + Fraction(80, 60) * 18],  # math_cycling_distance
    "en-023": [(340 - Fraction(1, 2) * 80) / (80 + 120)],  # math_trains_meet
    "en-024": [Fraction((9 - 2) * 180)],  # math_nonagon_angles
    "en-032": [money("86.40") * Fraction(115, 100) / 4],  # math_split_bill_with_tip
    "en-060": [Fraction(9 + 15, 3 * 2 - 4), Fraction(2 * -8 - 4, 7 - 2)],  # math_linear_equation
    "en-077": [Fraction(math.factorial(6), math.factorial(3) * math.factorial(2))],  # math_banana_arrangements
    "en-081": [300 * Fraction(40, 100) / Fraction(25, 100) - 300],  # math_dilute_solution
    "en-089": [Fraction(math.comb(5, 2), math.comb(8, 2))],  # math_two_red_marbles
    "en-101": [sum(map(Fraction, TIMESHEET), Fraction(0)) * money("18.40")],  # math_timesheet_pay
    "en-105": [Fraction(1260, 15 - 8)],  # math_break_even_mugs
    "en-114": [  # math_median_delivery_time
        Fraction(statistics.median([34, 28, 41, 30, 55, 29])),
        Fraction(statistics.median([12, 19, 7, 23, 15])),
    ],
    "en-118": [Fraction(420, 30) * Fraction(360, 30)],  # math_floor_tiles
    "en-138": [Fraction(int("101101", 2))],  # math_binary_to_decimal
    "en-140": [Fraction(903 - 840, 840) * 100],  # math_rent_increase
    "en-145": [Fraction(420, 100) * money("6.5") * money("1.80")],  # math_fuel_cost
    "en-168": [2400 * money("0.035") * Fraction(30, 12)],  # math_simple_interest
    "en-169": [60 / (Fraction(1, 6) + Fraction(1, 4))],  # math_two_taps
}


def last_number(text: str) -> Fraction:
    found = NUMBER.findall(text.replace("−", "-"))
    return Fraction(found[-1].replace(",", ""))


def test_the_math_table_covers_every_math_seed() -> None:
    assert set(MATH_ANSWERS) == {seed.id for seed in SEEDS if seed.name.startswith("math_")}


@pytest.mark.parametrize("seed_id", MATH_ANSWERS)
def test_every_math_seed_ends_with_the_right_number(seed_id: str) -> None:
    assert [last_number(instance.output) for instance in BY_ID[seed_id].instances] == MATH_ANSWERS[seed_id]


@pytest.mark.parametrize("seed_id", MATH_ANSWERS)
def test_every_intermediate_equality_in_a_math_seed_holds(seed_id: str) -> None:
    """Checks each "a op b ... = c" written with plain numbers, whatever unit or currency sign stands beside them."""
    operand = r"-?\d+(?:\.\d+)?(?:/\d+)?"
    chain = re.compile(rf"(?<![\w.)/*+-])({operand}(?: [*/+-] {operand})+) = ({operand})(?![\d/])")
    for instance in BY_ID[seed_id].instances:
        plain = re.sub(r"(?<=\d),(?=\d{3})", "", instance.output)
        plain = plain.translate(str.maketrans("×÷−", "*/-", "$"))
        for left, right in chain.findall(plain):
            value = eval(re.sub(operand, lambda m: f"Fraction('{m[0]}')", left), {"Fraction": Fraction})
            assert value == Fraction(right), (left, right)


# ---------------------------------------------------------------- SQL, regular expressions, JSON


def test_the_sql_seed_for_top_customers_answers_right() -> None:
    with contextlib.closing(sqlite3.connect(":memory:")) as database:
        database.execute("CREATE TABLE orders(id INTEGER, customer TEXT, amount REAL, ordered_on TEXT)")
        amounts = [("Ann", 10), ("Bob", 50), ("Ann", 45), ("Cy", 5), ("Di", 20)]
        rows = [(number, customer, amount, "2001-01-01") for number, (customer, amount) in enumerate(amounts)]
        database.executemany("INSERT INTO orders VALUES (?, ?, ?, ?)", rows)
        found = database.execute(seed_named("sql_top_customers").instances[0].output).fetchall()
    assert found == [("Ann", 55.0), ("Bob", 50.0), ("Di", 20.0)]


def test_the_sql_seed_for_empty_departments_answers_right() -> None:
    with contextlib.closing(sqlite3.connect(":memory:")) as database:
        database.execute("CREATE TABLE departments(id, name)")
        database.execute("CREATE TABLE employees(id, name, department_id)")
        database.executemany("INSERT INTO departments VALUES (?, ?)", [(1, "Sales"), (2, "Archive"), (3, "Legal")])
        database.executemany("INSERT INTO employees VALUES (?, ?, ?)", [(1, "Eva", 1), (2, "Jo", 3), (3, "Li", None)])
        found = database.execute(seed_named("sql_departments_without_staff").instances[0].output).fetchall()
    assert found == [("Archive",)]


def test_the_regex_seed_matches_every_24_hour_time_and_nothing_else() -> None:
    pattern = re.compile(seed_named("regex_24_hour_time").instances[0].output)
    times = {f"{hour:02}:{minute:02}" for hour in range(24) for minute in range(60)}
    candidates = {f"{hour:02}:{minute:02}" for hour in range(100) for minute in range(100)} | {"7:45", "07:5", " 07:45"}
    assert {candidate for candidate in candidates if pattern.search(candidate)} == times


@pytest.mark.parametrize("name", ["library_book_json", "order_email_to_json", "csv_to_json"])
def test_json_answers_parse(name: str) -> None:
    for instance in seed_named(name).instances:
        assert isinstance(json.loads(instance.output), (dict, list))


def test_markdown_tables_have_equally_many_cells_in_every_row() -> None:
    tables = 0
    for seed in SEEDS:
        for instance in seed.instances:
            for text in (instance.input, instance.output):
                rows = [line for line in text.splitlines() if line.startswith("|")]
                tables += bool(rows)
                assert len({row.count("|") for row in rows}) <= 1, seed.name
    assert tables >= 4


def test_stated_length_limits_are_kept() -> None:
    limits = {
        "castle_tour_welcome": 90,
        "retirement_card": 50,
        "shorten_product_blurb": 25,
        "headline_from_release": 9,
    }
    for name, limit in limits.items():
        assert len(seed_named(name).instances[0].output.split()) <= limit, name
    assert 50 <= len(seed_named("museum_label").instances[0].output.split()) <= 70
    assert len(seed_named("commit_message_from_notes").instances[0].output.splitlines()[0]) < 50
