"""The hand-written seed tasks: their form, their variety, and whether their answers are right."""

from __future__ import annotations

import contextlib
import io
import json
import math
import re
import sqlite3
import statistics
from collections.abc import Callable
from fractions import Fraction
from typing import Any

import pytest

from selfinstruct.checks.screening import faults_of_seed
from selfinstruct.seeds import check_seeds, read_seeds
from selfinstruct.types import Task
from tests.builders import ROOT, settings

Cases = list[tuple[tuple[Any, ...], Any]]  # the arguments of a call, and what it must return

KEYS = ["id", "name", "instruction", "instances", "is_classification"]
PLACEHOLDERS = re.compile(
    r"\[[A-Z][A-Za-z ]*\]|\bN/A\b|<noinput>|\bTODO\b|As an AI|\bI cannot\b|https?://|\S@\S+\.\w|^(好的，|当然，以下|以下是)|作为(一个)?AI"
    r"|\[(姓名|日期)\]|XXX|××|某某"
)
NUMBER = re.compile(r"-?\d[\d,]*(?:\.\d+)?(?:/\d+)?")
SEEDS = read_seeds(ROOT / "seeds" / "en.jsonl")
BY_ID = {seed.id: seed for seed in SEEDS}


def seed_named(name: str) -> Task:
    return next(seed for seed in SEEDS if seed.name == name)


@pytest.mark.parametrize(("language", "count"), [("en", 175), ("zh", 100)])
def test_seeds_have_one_form_and_the_pipeline_would_accept_them(language: str, count: int) -> None:
    path = ROOT / "seeds" / f"{language}.jsonl"
    rules = settings()
    report = check_seeds(path, lambda task: faults_of_seed(task, rules), threshold=0.6)
    assert (report.faults, report.near_duplicates) == ((), ())
    lines = path.read_text("utf-8").splitlines()
    assert all(line == json.dumps(json.loads(line), ensure_ascii=False) for line in lines)
    assert all(list(json.loads(line)) == KEYS for line in lines)
    seeds = read_seeds(path)
    assert [seed.id for seed in seeds] == [f"{language}-{number:03}" for number in range(1, count + 1)]
    assert len({seed.name for seed in seeds}) == count
    for seed in seeds:
        assert re.fullmatch(r"[a-z0-9]+(_[a-z0-9]+)*", seed.name)
        texts = [seed.instruction, *(text for one in seed.instances for text in (one.input, one.output))]
        for text in texts:
            assert text == text.strip(), seed.id
            assert not text.endswith((":", "：")), seed.id
            assert not PLACEHOLDERS.search(text), seed.id
        assert all(one.output != one.input for one in seed.instances), seed.id
        assert len({one.input for one in seed.instances}) == len(seed.instances), seed.id
        if seed.is_classification:
            assert len({one.output for one in seed.instances}) == len(seed.instances) or language == "zh", seed.id
            assert all(one.output in seed.instruction for one in seed.instances), seed.id


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


def prints_its_output(seed: Task) -> None:
    for instance in seed.instances:
        with contextlib.redirect_stdout(io.StringIO()) as printed:
            run(instance.input)
        assert printed.getvalue().rstrip("\n") == instance.output


def answers(function: str, cases: Cases) -> Callable[[Task], None]:
    """A check that calls the function the seed's output defines and compares what it returns."""

    def check(seed: Task) -> None:
        for instance in seed.instances:
            defined = run(instance.output)[function]
            for arguments, expected in cases:
                assert defined(*arguments) == expected, (seed.name, arguments)

    return check


def check_fixed_average(seed: Task) -> None:
    answers("average", [(([2, 4, 9],), 5.0), (([],), 0.0), (([7],), 7.0), (([-1, 1],), 0.0)])(seed)
    assert run(seed.instances[0].input)["average"]([2, 4, 9]) != 5.0, "the input must have the bug"


def check_iterative_digit_sum(seed: Task) -> None:
    answers("digit_sum", [((0,), 0), ((9,), 9), ((10,), 1), ((98765,), 35), ((1000001,), 2)])(seed)
    defined = run(seed.instances[0].output)["digit_sum"]
    assert defined(10**5000 - 1) == 9 * 5000, "a recursive version would run out of stack here"


def check_fast_duplicates(seed: Task) -> None:
    answers(
        "has_duplicates", [(([1, 2, 3],), False), (([1, 2, 1],), True), (([],), False), ((["a", "b", "b"],), True)]
    )(seed)
    assert run(seed.instances[0].output)["has_duplicates"](range(200_000)) is False


def check_fibonacci(seed: Task) -> None:
    defined = run(seed.instances[0].output)["fibonacci_up_to"]
    assert list(defined(20)) == [0, 1, 1, 2, 3, 5, 8, 13]
    assert list(defined(21))[-1] == 21
    assert list(defined(0)) == [0]
    assert list(defined(-1)) == []


def check_stack(seed: Task) -> None:
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


def check_parse_duration(seed: Task) -> None:
    cases: Cases = [(("1h30m",), 90), (("45m",), 45), (("2h",), 120), (("0m",), 0)]
    answers("parse_duration", cases)(seed)
    for wrong in ("", "h", "30", "1m2h", "1h 30m", "-5m"):
        with pytest.raises(ValueError, match="not a duration"):
            run(seed.instances[0].output)["parse_duration"](wrong)


ROMAN = [("I", 1), ("IV", 4), ("IX", 9), ("XIV", 14), ("XLII", 42), ("XC", 90), ("CDXLIV", 444), ("MCMXCIV", 1994)]

CODE_CHECKS: dict[str, Callable[[Task], None]] = {
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
    "en-027": answers("initials", [(("ada lovelace",), "A.L."), (("Grace B Hopper",), "G.B.H."), (("",), "")]),
    "en-028": answers("repeat_name", [(("Ada", 3), "Ada, Ada, Ada"), (("Bo", 2, "-"), "Bo-Bo"), (("x", 0), "")]),
    "en-039": check_parse_duration,
    "en-046": check_iterative_digit_sum,
    "en-050": answers("long_words", [((["a", "pear", "banana"], 3), ["PEAR", "BANANA"]), ((["abc"], 3), [])]),
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


@pytest.mark.parametrize("seed_id", CODE_CHECKS)
def test_every_code_seed_runs_and_answers_right(seed_id: str) -> None:
    assert set(CODE_CHECKS) == {seed.id for seed in SEEDS if seed.name.startswith("code_")}
    seed = BY_ID[seed_id]
    assert all("```" not in instance.output for instance in seed.instances)
    CODE_CHECKS[seed_id](seed)


# ---------------------------------------------------------------- arithmetic


TIMESHEET = ["7.5", "8", "6.25", "8", "5.75"]

# The expected final number of every instance of the task, computed here.
MATH_ANSWERS: dict[str, list[Fraction]] = {
    "en-014": [3 * 125 * Fraction(120, 100) * Fraction("0.96")],  # math_invoice_in_francs
    "en-015": [Fraction(45, 60) * 24 + Fraction(80, 60) * 18],  # math_cycling_distance
    "en-023": [(340 - Fraction(1, 2) * 80) / (80 + 120)],  # math_trains_meet
    "en-024": [Fraction((9 - 2) * 180)],  # math_nonagon_angles
    "en-032": [Fraction("86.40") * Fraction(115, 100) / 4],  # math_split_bill_with_tip
    "en-060": [Fraction(9 + 15, 3 * 2 - 4), Fraction(2 * -8 - 4, 7 - 2)],  # math_linear_equation
    "en-077": [Fraction(math.factorial(6), math.factorial(3) * math.factorial(2))],  # math_banana_arrangements
    "en-081": [300 * Fraction(40, 100) / Fraction(25, 100) - 300],  # math_dilute_solution
    "en-089": [Fraction(math.comb(5, 2), math.comb(8, 2))],  # math_two_red_marbles
    "en-101": [sum(map(Fraction, TIMESHEET), Fraction(0)) * Fraction("18.40")],  # math_timesheet_pay
    "en-105": [Fraction(1260, 15 - 8)],  # math_break_even_mugs
    "en-114": [  # math_median_delivery_time
        Fraction(statistics.median([34, 28, 41, 30, 55, 29])),
        Fraction(statistics.median([12, 19, 7, 23, 15])),
    ],
    "en-118": [Fraction(420, 30) * Fraction(360, 30)],  # math_floor_tiles
    "en-138": [Fraction(int("101101", 2))],  # math_binary_to_decimal
    "en-140": [Fraction(903 - 840, 840) * 100],  # math_rent_increase
    "en-145": [Fraction(420, 100) * Fraction("6.5") * Fraction("1.80")],  # math_fuel_cost
    "en-168": [2400 * Fraction("0.035") * Fraction(30, 12)],  # math_simple_interest
    "en-169": [60 / (Fraction(1, 6) + Fraction(1, 4))],  # math_two_taps
}


def last_number(text: str) -> Fraction:
    found = NUMBER.findall(text.replace("−", "-"))
    return Fraction(found[-1].replace(",", ""))


@pytest.mark.parametrize("seed_id", MATH_ANSWERS)
def test_every_math_seed_ends_with_the_right_number(seed_id: str) -> None:
    assert set(MATH_ANSWERS) == {seed.id for seed in SEEDS if seed.name.startswith("math_")}
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
