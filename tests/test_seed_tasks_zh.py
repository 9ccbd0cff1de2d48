"""Checks on the hand-written Chinese seed tasks in seeds/zh.jsonl."""

from __future__ import annotations

import datetime as dt
import itertools
import json
import unicodedata
from collections.abc import Callable
from fractions import Fraction
from pathlib import Path
from typing import Any

import pytest
from rapidfuzz.distance import Indel

SEEDS = Path(__file__).resolve().parents[1] / "seeds" / "zh.jsonl"
KEYS = ["id", "name", "instruction", "instances", "is_classification"]
IMPOSSIBLE = (
    "图片",
    "画",
    "绘制",
    "视频",
    "音频",
    "音乐播放",
    "文件",
    "附件",
    "链接",
    "打开网页",
    "发送邮件",
    "提醒",
)
CHATTER = ("好的，", "当然，以下", "以下是", "作为一个AI", "作为一个人工智能", "作为AI")

Task = dict[str, Any]


def load_tasks() -> list[Task]:
    lines = SEEDS.read_text(encoding="utf-8").splitlines()
    return [json.loads(line) for line in lines]


TASKS = load_tasks()
BY_NAME: dict[str, Task] = {task["name"]: task for task in TASKS}


def instances(task: Task) -> list[tuple[str, str]]:
    return [(item["input"], item["output"]) for item in task["instances"]]


def outputs(name: str) -> list[str]:
    return [output for _, output in instances(BY_NAME[name])]


def characters(text: str) -> list[str]:
    """The characters that ROUGE-L compares: letters, digits and Chinese characters only."""
    return [char for char in text if unicodedata.category(char)[0] in "LN"]


def names_with_prefix(prefix: str) -> set[str]:
    return {name for name in BY_NAME if name.startswith(prefix)}


# Counts and shape


def test_there_are_exactly_one_hundred_tasks_with_consecutive_ids() -> None:
    assert [task["id"] for task in TASKS] == [f"zh-{number:03d}" for number in range(1, 101)]


def test_every_task_has_the_same_keys_in_the_same_order() -> None:
    for task in TASKS:
        assert list(task) == KEYS, task["id"]
        assert isinstance(task["is_classification"], bool), task["id"]
        assert task["instances"], task["id"]
        for item in task["instances"]:
            assert list(item) == ["input", "output"], task["id"]


def test_every_line_is_plain_unescaped_utf8_json() -> None:
    for line, task in zip(SEEDS.read_text(encoding="utf-8").splitlines(), TASKS, strict=True):
        assert line == json.dumps(task, ensure_ascii=False), task["id"]


def test_names_are_unique_snake_case_english() -> None:
    assert len(BY_NAME) == len(TASKS)
    for name in BY_NAME:
        assert name.isascii(), name
        assert name.islower(), name
        assert name.isidentifier(), name


def test_most_tasks_have_one_instance_and_some_have_two_or_three() -> None:
    sizes = [len(task["instances"]) for task in TASKS]
    assert set(sizes) <= {1, 2, 3}
    assert 10 <= sum(size > 1 for size in sizes) <= 25


def test_at_least_thirty_two_tasks_take_no_input() -> None:
    no_input = [task for task in TASKS if all(source == "" for source, _ in instances(task))]
    assert len(no_input) >= 32
    for task in TASKS:
        empty = [source == "" for source, _ in instances(task)]
        assert not any(empty) or len(empty) == 1, task["id"]


# Instructions


def test_instruction_lengths_stay_in_range_and_their_mean_is_moderate() -> None:
    lengths = [len(task["instruction"]) for task in TASKS]
    assert min(lengths) >= 6
    assert max(lengths) <= 80
    assert 18 <= sum(lengths) / len(lengths) <= 40


def test_instructions_open_in_at_least_forty_five_ways() -> None:
    assert len({task["instruction"][:2] for task in TASKS}) >= 45


def test_instructions_begin_with_a_letter_digit_or_chinese_character() -> None:
    for task in TASKS:
        assert unicodedata.category(task["instruction"][0])[0] in "LN", task["id"]


def test_instructions_ask_for_nothing_a_text_model_cannot_do() -> None:
    for task in TASKS:
        assert not [word for word in IMPOSSIBLE if word in task["instruction"]], task["id"]


def test_no_two_instructions_are_close_to_each_other() -> None:
    split = [(task["id"], characters(task["instruction"])) for task in TASKS]
    for (first_id, first), (second_id, second) in itertools.combinations(split, 2):
        assert Indel.normalized_similarity(first, second) <= 0.6, (first_id, second_id)


# Instances


def test_no_text_is_blank_padded_or_left_hanging_on_a_colon() -> None:
    for task in TASKS:
        texts = [task["instruction"], *itertools.chain.from_iterable(instances(task))]
        for text in texts:
            assert text == text.strip(), task["id"]
            assert not text.endswith((":", "：")), task["id"]
        assert all(output for _, output in instances(task)), task["id"]


def test_outputs_differ_from_inputs_and_no_input_is_used_twice() -> None:
    used = [source for task in TASKS for source, _ in instances(task) if source]
    assert len(used) == len(set(used))
    for task in TASKS:
        assert all(source != output for source, output in instances(task)), task["id"]


def test_outputs_carry_no_chatter_refusal_fence_or_placeholder() -> None:
    for task in TASKS:
        for _, output in instances(task):
            assert not output.startswith(CHATTER), task["id"]
            assert "作为一个AI" not in output, task["id"]
            assert "```" not in output, task["id"]
            assert not any(mark in output for mark in ("[姓名]", "[日期]", "XXX", "××", "某某")), task["id"]


# Classification

# The label set of every classification task, as stated in its instruction.
LABELS: dict[str, tuple[str, ...]] = {
    "takeout_review_sentiment": ("好评", "中评", "差评"),
    "idiom_usage_check": ("恰当", "不恰当"),
    "rhetorical_device_identification": ("比喻", "拟人", "夸张", "排比", "设问"),
    "news_headline_category": ("体育", "财经", "科技", "教育", "健康"),
    "scam_sms_detection": ("是", "否"),
    "customer_call_routing": ("售后", "物流", "财务", "技术支持"),
    "garbage_sorting": ("可回收物", "厨余垃圾", "有害垃圾", "其他垃圾"),
    "same_meaning_pair": ("相同", "不同"),
    "natural_language_inference": ("蕴含", "矛盾", "中立"),
    "poem_season": ("春季", "夏季", "秋季", "冬季"),
    "polyphone_xing_or_hang": ("xíng", "háng"),
    "word_connotation": ("褒义", "贬义", "中性"),
    "fact_or_opinion": ("事实", "观点"),
    "sentence_mood_type": ("陈述句", "疑问句", "祈使句", "感叹句"),
    "bank_intent_recognition": ("查余额", "转账", "挂失", "改密码"),
    "work_order_urgency": ("高", "中", "低"),
    "literature_multiple_choice": ("A", "B", "C", "D"),
    "logical_fallacy_type": ("以偏概全", "滑坡谬误", "诉诸权威", "循环论证"),
    "leap_year_check": ("闰年", "平年"),
    "school_subject_classification": ("语文", "数学", "物理", "化学", "历史"),
    "time_complexity_choice": ("O(1)", "O(log n)", "O(n)", "O(n^2)"),
    "de_particle_choice": ("的", "地", "得"),
    "poet_dynasty": ("唐", "宋", "元", "明", "清"),
    "ambiguous_sentence": ("有歧义", "无歧义"),
    "order_placed_in_dialogue": ("已下单", "未下单"),
}


def test_there_are_enough_classification_tasks_and_the_label_table_covers_them() -> None:
    marked = {task["name"] for task in TASKS if task["is_classification"]}
    assert len(marked) >= 24
    assert marked == set(LABELS)
    assert sum(len(labels) > 2 for labels in LABELS.values()) >= 8


@pytest.mark.parametrize("name", sorted(LABELS))
def test_classification_labels_are_stated_and_each_output_is_one_of_them(name: str) -> None:
    labels = LABELS[name]
    assert all(label in BY_NAME[name]["instruction"] for label in labels)
    assert set(outputs(name)) <= set(labels)


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


def test_there_are_at_least_five_code_seeds_and_the_table_covers_them() -> None:
    assert len(CODE) >= 5
    assert names_with_prefix("code_") == set(CODE)


@pytest.mark.parametrize("name", sorted(CODE))
def test_every_code_seed_runs_and_returns_what_it_should(name: str) -> None:
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


def test_the_code_given_to_repair_is_broken_and_the_code_given_to_rewrite_works() -> None:
    broken = run_code(instances(BY_NAME["code_fix_average_bugs"])[0][0])["average"]
    with pytest.raises(NameError):
        broken([80, 90, 100])
    original = run_code(instances(BY_NAME["code_loop_to_comprehension"])[0][0])["even_squares"]
    rewritten = run_code(outputs("code_loop_to_comprehension")[0])["even_squares"]
    numbers = list(range(-5, 6))
    assert original(numbers) == rewritten(numbers)


# Arithmetic


def chicken_and_rabbit() -> list[list[str]]:
    heads, feet = 30, 84
    solutions = [(heads - rabbits, rabbits) for rabbits in range(heads + 1) if 2 * heads + 2 * rabbits == feet]
    return [[f"鸡有{chickens}只，兔有{rabbits}只" for chickens, rabbits in solutions]]


def two_red_balls() -> list[list[str]]:
    pairs = list(itertools.combinations(["red", "red", "red", "white", "white"], 2))
    chance = Fraction(sum(pair == ("red", "red") for pair in pairs), len(pairs))
    return [[f"{len(pairs)}种", f"{chance.numerator}/{chance.denominator}", str(float(chance))]]


def fixed_deposit() -> list[list[str]]:
    interest = Fraction(20000) * Fraction(2, 100) * 3
    return [[f"＝{interest}（元）", f"本息共{20000 + interest}元"]]


def hundred_days_later() -> list[list[str]]:
    day = dt.date(2023, 9, 18) + dt.timedelta(days=100)
    return [[f"{day.year}年{day.month}月{day.day}日"]]


def promotion_discount() -> list[list[str]]:
    discounted = (460 + 2 * 70) * Fraction(8, 10)
    first = discounted - discounted // 200 * 30
    second = max(48, 36) + Fraction(min(48, 36), 2) - 10
    return [[f"＝{first}（元）。"], [f"应付：66－10＝{second}（元）。"]]


def tiered_bill(tons: int, tiers: list[tuple[int, Fraction]]) -> Fraction:
    """The bill for tons of water, where each tier is its lower bound and its price a ton."""
    total = Fraction(0)
    for ton in range(tons):
        total += next(price for bound, price in reversed(tiers) if ton >= bound)
    return total


def tiered_water_bill() -> list[list[str]]:
    first = tiered_bill(28, [(0, Fraction(3)), (15, Fraction("4.5")), (25, Fraction(7))])
    second = tiered_bill(17, [(0, Fraction("2.8")), (12, Fraction(4))])
    return [[f"＝{float(first):g}（元）。"], [f"＝{float(second):g}（元）。"]]


def traditional_units() -> list[list[str]]:
    field = round(Fraction("3.2") * Fraction("666.67"))
    fish = (5 + Fraction(8, 10)) / 2
    road = Fraction(12, 2)
    return [[f"约{field}平方米"], [f"重{float(fish):g}千克"], [f"合{float(road):g}千米"]]


def two_vehicles_meeting() -> list[list[str]]:
    hours = Fraction(360, 70 + 50)
    return [[f"两车{hours}小时后相遇", f"客车行了{hours * 70}千米"]]


def scaled_recipe() -> list[list[str]]:
    four = [("五花肉", 800, "克"), ("冰糖", 40, "克"), ("生抽", 30, "毫升"), ("老抽", 10, "毫升")]
    four += [("料酒", 50, "毫升"), ("鸡蛋", 4, "个")]
    return [[f"{food}{Fraction(amount * 6, 4)}{unit}" for food, amount, unit in four]]


# Text that must appear in each output of every arithmetic seed, computed afresh.
MATH: dict[str, Callable[[], list[list[str]]]] = {
    "math_chicken_and_rabbit": chicken_and_rabbit,
    "math_two_red_balls_probability": two_red_balls,
    "math_fixed_deposit_interest": fixed_deposit,
    "math_hundred_days_later": hundred_days_later,
    "math_promotion_discount": promotion_discount,
    "math_tiered_water_bill": tiered_water_bill,
    "math_traditional_units": traditional_units,
    "math_two_vehicles_meeting": two_vehicles_meeting,
    "math_scale_recipe": scaled_recipe,
}


def test_there_are_at_least_eight_math_seeds_and_the_table_covers_them() -> None:
    assert len(MATH) >= 8
    assert names_with_prefix("math_") == set(MATH)


@pytest.mark.parametrize("name", sorted(MATH))
def test_every_math_seed_gives_the_recomputed_answer(name: str) -> None:
    for output, expected in zip(outputs(name), MATH[name](), strict=True):
        assert expected
        for fragment in expected:
            assert fragment in output


# Other outputs that can be checked by machine


def test_the_rental_json_parses_and_has_the_keys_the_instruction_names() -> None:
    task = BY_NAME["rental_ad_to_json"]
    parsed = json.loads(task["instances"][0]["output"])
    assert list(parsed) == ["district", "area", "rent", "rooms", "pets_allowed"]
    assert all(key in task["instruction"] for key in parsed)


def test_the_idiom_chain_links_last_and_first_characters() -> None:
    chain = outputs("idiom_chain_from_yixinyiyi")[0].split("→")
    assert chain[0] == "一心一意"
    assert len(chain) == 6
    assert all(before[-1] == after[0] for before, after in itertools.pairwise(chain))


def test_the_couplet_lines_have_seven_characters_each() -> None:
    lines = [line.split("：")[1] for line in outputs("spring_festival_couplet")[0].splitlines()]
    assert [len(line) for line in lines] == [7, 7, 4]


def test_outputs_with_a_length_limit_respect_it() -> None:
    limits = {"condense_caochong_story": 50, "news_title_writing": 20, "three_word_story": 200}
    for name, limit in limits.items():
        assert all(len(output) <= limit for output in outputs(name)), name
    poem_lines = [line for line in outputs("winter_solstice_poem")[0].splitlines()[1:] if line]
    assert len(poem_lines) <= 8


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
