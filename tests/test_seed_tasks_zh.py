"""The answers of the Chinese seed tasks. `test_seed_tasks.py` tests their form."""

from __future__ import annotations

import datetime as dt
import itertools
import json
import unicodedata
from collections.abc import Callable
from fractions import Fraction
from typing import Any

import pytest

from tests.builders import ROOT

Task = dict[str, Any]


LINES = (ROOT / "seeds" / "zh.jsonl").read_text("utf-8").splitlines()
BY_NAME: dict[str, Task] = {task["name"]: task for task in map(json.loads, LINES)}


def instances(task: Task) -> list[tuple[str, str]]:
    return [(item["input"], item["output"]) for item in task["instances"]]


def outputs(name: str) -> list[str]:
    return [output for _, output in instances(BY_NAME[name])]


def characters(text: str) -> list[str]:
    """The characters that ROUGE-L compares: letters, digits and Chinese characters only."""
    return [char for char in text if unicodedata.category(char)[0] in "LN"]


def test_leap_year_labels_follow_the_calendar() -> None:
    for source, output in instances(BY_NAME["leap_year_check"]):
        year = int(source.removesuffix("年"))
        is_leap = year % 4 == 0 and (year % 100 != 0 or year % 400 == 0)
        assert output == ("闰年" if is_leap else "平年")


# Code

# Function name and (arguments, expected result) pairs for every code seed.
CODE: dict[str, tuple[str, list[tuple[tuple[Any, ...], Any]]]] = {
    "code_palindrome_check": (
        "is_palindrome",
        [
            (("上海自来水来自海上。",), True),
            (("A man, a plan, a canal: Panama!",), True),
            (("今天下雨",), False),
            (("",), True),
        ],
    ),
    "code_number_to_chinese": (
        "number_to_chinese",
        [((0,), "零"), ((7,), "七"), ((10,), "十"), ((15,), "十五"), ((20,), "二十"), ((99,), "九十九")],
    ),
    "code_chinese_zodiac": (
        "zodiac",
        [((2020,), "鼠"), ((1990,), "马"), ((2000,), "龙"), ((1987,), "兔"), ((2019,), "猪")],
    ),
    "code_mask_phone_number": ("mask_phone", [(("01234567890",), "012****7890"), (("99999999999",), "999****9999")]),
    "code_most_common_hanzi": (
        "top_hanzi",
        [
            (("山山水水，山水之间abc。。。", 2), [("山", 3), ("水", 3)]),
            (("人人为我，我为人人", 1), [("人", 4)]),
            (("abc 123", 3), []),
        ],
    ),
    "code_fix_average_bugs": ("average", [(([80, 90, 100],), 90.0), (([1, 2],), 1.5)]),
    "code_loop_to_comprehension": ("even_squares", [(([1, 2, 3, 4, 0],), [4, 16, 0]), (([],), [])]),
}


def run_code(source: str) -> dict[str, Any]:
    namespace: dict[str, Any] = {}
    exec(compile(source, "<seed>", "exec"), namespace)
    return namespace


@pytest.mark.parametrize("name", sorted(CODE))
def test_every_code_seed_runs_and_returns_what_it_should(name: str) -> None:
    assert {one for one in BY_NAME if one.startswith("code_")} == set(CODE)
    function_name, cases = CODE[name]
    for output in outputs(name):
        function: Callable[..., Any] = run_code(output)[function_name]
        for arguments, expected in cases:
            assert function(*arguments) == expected


def test_code_seeds_reject_the_arguments_they_promise_to_reject() -> None:
    mask_phone = run_code(outputs("code_mask_phone_number")[0])["mask_phone"]
    for phone in ("12345", "1234567890a", "１２３４５６７８９０１", ""):
        with pytest.raises(ValueError, match="11位数字"):
            mask_phone(phone)
    number_to_chinese = run_code(outputs("code_number_to_chinese")[0])["number_to_chinese"]
    for number in (-1, 100):
        with pytest.raises(ValueError, match="0到99"):
            number_to_chinese(number)


# Arithmetic


def bill(tons: int, *tiers: tuple[int, str]) -> str:
    """The bill for tons of water; a tier is its lower bound and its price a ton."""
    prices = [next(Fraction(price) for bound, price in reversed(tiers) if ton >= bound) for ton in range(tons)]
    return f"＝{float(sum(prices)):g}（元）。"


RABBITS = [(30 - rabbits, rabbits) for rabbits in range(31) if 2 * 30 + 2 * rabbits == 84]
BALLS = list(itertools.combinations(["red", "red", "red", "white", "white"], 2))
RED = Fraction(BALLS.count(("red", "red")), len(BALLS))
LATER = dt.date(2023, 9, 18) + dt.timedelta(days=100)
INTEREST = 20000 * Fraction(2, 100) * 3
DISCOUNTED = (460 + 2 * 70) * Fraction(8, 10)
HOURS = Fraction(360, 70 + 50)
FOUR = [("五花肉", 800, "克"), ("冰糖", 40, "克"), ("生抽", 30, "毫升"), ("老抽", 10, "毫升"), ("料酒", 50, "毫升"),
        ("鸡蛋", 4, "个")]  # fmt: skip

# Texts that each output of an arithmetic seed must hold.
MATH: dict[str, list[list[str]]] = {
    "math_chicken_and_rabbit": [[f"鸡有{chickens}只，兔有{rabbits}只" for chickens, rabbits in RABBITS]],
    "math_two_red_balls_probability": [[f"{len(BALLS)}种", str(RED), str(float(RED))]],
    "math_fixed_deposit_interest": [[f"＝{INTEREST}（元）", f"本息共{20000 + INTEREST}元"]],
    "math_hundred_days_later": [[f"{LATER.year}年{LATER.month}月{LATER.day}日"]],
    "math_promotion_discount": [
        [f"＝{DISCOUNTED - DISCOUNTED // 200 * 30}（元）。"], [f"应付：66－10＝{48 + Fraction(36, 2) - 10}（元）。"],
    ],
    "math_tiered_water_bill": [
        [bill(28, (0, "3"), (15, "4.5"), (25, "7"))], [bill(17, (0, "2.8"), (12, "4"))],
    ],
    "math_traditional_units": [
        [f"约{round(Fraction('3.2') * Fraction('666.67'))}平方米"], [f"重{float((5 + Fraction(8, 10)) / 2):g}千克"],
        [f"合{12 // 2}千米"],
    ],
    "math_two_vehicles_meeting": [[f"两车{HOURS}小时后相遇", f"客车行了{HOURS * 70}千米"]],
    "math_scale_recipe": [[f"{food}{Fraction(amount * 6, 4)}{unit}" for food, amount, unit in FOUR]],
}  # fmt: skip


@pytest.mark.parametrize("name", sorted(MATH))
def test_every_math_seed_gives_the_recomputed_answer(name: str) -> None:
    assert {one for one in BY_NAME if one.startswith("math_")} == set(MATH)
    for output, expected in zip(outputs(name), MATH[name], strict=True):
        assert expected
        for fragment in expected:
            assert fragment in output


# Other outputs that can be checked by machine


def test_the_idiom_chain_links_last_and_first_characters() -> None:
    chain = outputs("idiom_chain_from_yixinyiyi")[0].split("→")
    assert chain[0] == "一心一意"
    assert len(chain) == 6
    assert all(before[-1] == after[0] for before, after in itertools.pairwise(chain))


def test_adding_punctuation_changes_nothing_but_punctuation() -> None:
    for source, output in instances(BY_NAME["add_punctuation"]):
        assert characters(source) == characters(output)


def test_the_reordered_paragraph_follows_its_own_numbering() -> None:
    source, output = instances(BY_NAME["reorder_sentences"])[0]
    sentences = {line[0]: line[1:] for line in source.splitlines()}
    order, paragraph = output.splitlines()
    assert sorted(order) == sorted(sentences)
    assert paragraph == "".join(sentences[mark] for mark in order)


def test_the_pet_puzzle_has_one_solution_and_the_output_states_it() -> None:
    people = ("小方", "小郑", "小罗")
    solutions = set()
    for pets in itertools.permutations(("猫", "狗", "乌龟")):
        for ages in itertools.permutations(range(3)):
            pet, age = dict(zip(people, pets, strict=True)), dict(zip(people, ages, strict=True))
            dog_owner = people[pets.index("狗")]
            if pet["小方"] != "猫" and age[dog_owner] > age["小方"] and age["小罗"] == 0:
                solutions.add(pets)
    assert len(solutions) == 1
    answer = "，".join(f"{person}养{pet}" for person, pet in zip(people, solutions.pop(), strict=True))
    assert answer in outputs("pet_owner_logic_puzzle")[0]
