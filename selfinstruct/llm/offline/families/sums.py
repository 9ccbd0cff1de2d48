"""Calculations asked for directly: totals, means, percentages, ratios, fractions, expressions."""

from __future__ import annotations

import math
import random
from fractions import Fraction

from selfinstruct.llm.offline.family import Family
from selfinstruct.llm.offline.wording import Params, wordings
from selfinstruct.llm.offline.words import NAMES, OBJECTS, PLACES, SHOPS, items_of, joined, listed, some


def decimal(value: Fraction, digits: int = 2) -> str:
    """The value rounded half up, without zeros at its end."""
    scaled = math.floor(abs(value) * 10**digits + Fraction(1, 2))
    whole, rest = divmod(scaled, 10**digits)
    tail = f".{rest:0{digits}d}".rstrip("0").rstrip(".") if digits else ""
    return f"{'-' if value < 0 and scaled else ''}{whole}{tail}"


def integers(text: str) -> list[int]:
    """The whole numbers of a list written with commas."""
    return [int(item) for item in items_of(text)]


def _draw_numbers(rng: random.Random) -> Params:
    count = rng.randint(5, 11)
    what = rng.choice(
        ("visitors", "loaves sold", "letters posted", "bicycles counted", "cups of tea", "calls", "goals")
    )
    numbers = [rng.randint(2, 99) for _ in range(count)]
    per = rng.choice(("day", "hour", "week", "stall", "room"))
    return {"numbers": listed([str(n) for n in numbers]), "what": what, "per": per, "place": rng.choice(PLACES)}


def _total(p: Params, _: str) -> str:
    numbers = integers(p["numbers"])
    return f"{' + '.join(map(str, numbers))} = {sum(numbers)}. The total is {sum(numbers)}."


def _mean(p: Params, _: str) -> str:
    numbers = integers(p["numbers"])
    mean = Fraction(sum(numbers), len(numbers))
    about = "" if (mean * 100).denominator == 1 else "about "
    return f"The sum is {sum(numbers)} and there are {len(numbers)} numbers, so the mean is {about}{decimal(mean)}."


def _median(p: Params, _: str) -> str:
    numbers = sorted(integers(p["numbers"]))
    half = len(numbers) // 2
    middle = Fraction(numbers[half]) if len(numbers) % 2 else Fraction(numbers[half - 1] + numbers[half], 2)
    return f"In order the numbers are {listed(list(map(str, numbers)))}. The median is {decimal(middle)}."


def _spread(p: Params, _: str) -> str:
    numbers = integers(p["numbers"])
    high, low = max(numbers), min(numbers)
    return (
        f"The largest number is {high} and the smallest is {low}, so the difference is {high} - {low} = {high - low}."
    )


def _odd_sum(p: Params, _: str) -> str:
    chosen = [n for n in integers(p["numbers"]) if (n % 2 == 0) == (p["parity"] == "even")]
    if not chosen:
        return f"None of the numbers is {p['parity']}, so the sum is 0."
    if len(chosen) == 1:
        return f"The only {p['parity']} number is {chosen[0]}, so the sum is {chosen[0]}."
    return f"The {p['parity']} numbers are {joined(list(map(str, chosen)))}. Their sum is {sum(chosen)}."


def _draw_percent(rng: random.Random) -> Params:
    part = rng.choice((5, 10, 12, 15, 20, 25, 30, 35, 40, 45, 60, 75, 80))
    what = rng.choice(
        ("a coat", "a kettle", "a tent", "a desk", "a pair of boots", "a rug", "a winter jacket", "a bench")
    )
    return {"p": str(part), "n": str(rng.randint(4, 180) * 5), "what": what, "shop": rng.choice(SHOPS)}


def _percent(p: Params, _: str) -> str:
    result = Fraction(int(p["n"]) * int(p["p"]), 100)
    return f"{p['n']} x {p['p']} / 100 = {decimal(result)}. So {p['p']} percent of {p['n']} is {decimal(result)}."


def _discount(p: Params, _: str) -> str:
    full = int(p["n"])
    off = Fraction(full * int(p["p"]), 100)
    return (
        f"The reduction is {full} x {p['p']} / 100 = {decimal(off)} euros. "
        f"The new price is {full} - {decimal(off)} = {decimal(full - off)} euros."
    )


def _raise(p: Params, _: str) -> str:
    full = int(p["n"])
    more = Fraction(full * int(p["p"]), 100)
    return f"The increase is {decimal(more)} euros, so {p['what']} now costs {decimal(full + more)} euros."


def _draw_ratio(rng: random.Random) -> Params:
    who, other = rng.sample(NAMES, 2)
    a, b = rng.sample(range(1, 10), 2)
    things = rng.choice(["euros", "sheets of paper", "litres of paint", *OBJECTS])
    return {
        "a": str(a),
        "b": str(b),
        "n": str((a + b) * rng.randint(4, 40)),
        "who": who,
        "other": other,
        "things": things,
    }


def _ratio(p: Params, _: str) -> str:
    a, b, n = int(p["a"]), int(p["b"]), int(p["n"])
    one, rest = divmod(n, a + b)
    if rest:
        raise ValueError(p["n"])
    return (
        f"There are {a} + {b} = {a + b} parts of {n} / {a + b} = {one} each. "
        f"{p['who']} gets {a} x {one} = {a * one} {p['things']} and {p['other']} gets {b} x {one} = {b * one}."
    )


def _draw_fractions(rng: random.Random) -> Params:
    low = rng.randint(2, 9)
    high = rng.randint(2, 12)
    first, second = Fraction(rng.randint(1, low), low + 1), Fraction(rng.randint(1, high), high + 1)
    if first < second:
        first, second = second, first
    return {"x": f"{first.numerator}/{first.denominator}", "y": f"{second.numerator}/{second.denominator}"}


def _add_fractions(p: Params, _: str) -> str:
    x, y = Fraction(p["x"]), Fraction(p["y"])
    common = math.lcm(x.denominator, y.denominator)
    a, b = x.numerator * common // x.denominator, y.numerator * common // y.denominator
    whole = f"{a}/{common} + {b}/{common} = {a + b}/{common}"
    short = "" if str(x + y) == f"{a + b}/{common}" else f" = {x + y}"
    return f"With the common denominator {common}: {whole}{short}."


def _multiply_fractions(p: Params, _: str) -> str:
    x, y = Fraction(p["x"]), Fraction(p["y"])
    top, bottom = x.numerator * y.numerator, x.denominator * y.denominator
    short = "" if str(x * y) == f"{top}/{bottom}" else f" = {x * y}"
    return f"Multiply the numerators and the denominators: {x} x {y} = {top}/{bottom}{short}."


def _draw_expression(rng: random.Random) -> Params:
    a, b, d = (str(rng.randint(2, 30)) for _ in range(3))
    return {"a": a, "b": b, "c": str(rng.randint(2, 9)), "d": d}


def _brackets(p: Params, _: str) -> str:
    a, b, c, d = (int(p[name]) for name in "abcd")
    total, product = a + b, (a + b) * c
    result = product - d
    return (
        f"{a} + {b} = {total}, then {total} x {c} = {product}, then {product} - {d} = {result}. The result is {result}."
    )


def _precedence(p: Params, _: str) -> str:
    a, b, c, d = (int(p[name]) for name in "abcd")
    product = b * c
    return (
        f"Multiplication comes first: {b} x {c} = {product}. Then {a} + {product} = {a + product} and "
        f"{a + product} - {d} = {a + product - d}. The result is {a + product - d}."
    )


def _draw_buy(rng: random.Random) -> Params:
    what = rng.choice(
        ("rice", "flour", "apples", "coffee", "soap powder", "oats", "lentils", "potting soil", "nails", "cheese")
    )
    a, b = rng.sample(range(2, 12), 2)
    return {
        "what": what,
        "a": str(a),
        "b": str(b),
        "x": str(rng.randint(3, 9) * a),
        "y": str(rng.randint(3, 9) * b + 1),
    }


def _better_buy(p: Params, _: str) -> str:
    x, y = Fraction(p["x"]) / int(p["a"]), Fraction(p["y"]) / int(p["b"])
    ends = f"{decimal(x)} euros a kilogram in the first pack and {decimal(y)} euros in the second"
    if x == y:
        return f"It costs {ends}, so both are equally good."
    return f"It costs {ends}, so the {'first' if x < y else 'second'} pack is the better buy."


def _draw_receipt(rng: random.Random) -> Params:
    things = some(rng, OBJECTS, 3, 5)
    lines = [f"{rng.randint(2, 9)} {thing} at {rng.randint(1, 15)} euros" for thing in things]
    return {"lines": joined(lines), "who": rng.choice(NAMES), "shop": rng.choice(SHOPS)}


def _receipt(p: Params, _: str) -> str:
    parts = []
    for line in p["lines"].replace(" and ", ", ").split(", "):
        count, thing, _at, price, _euros = line.split()
        parts.append((int(count) * int(price), f"{thing}: {count} x {price} = {int(count) * int(price)} euros"))
    total = sum(cost for cost, _ in parts)
    return "\n".join([*(line for _, line in parts), f"Total: {total} euros"])


FAMILIES = (
    Family(
        "total",
        wordings(
            "[Add up|Find the total of|What is the sum of] these numbers of {what}, one per {per}: {numbers:ints}",
            "At {place} someone noted the number of {what} for each {per}: {numbers:ints}. How many is that in all?",
            "[Please work out|Calculate|Tell me] the total of {numbers:ints} and [write out|show] the addition.",
        ),
        _draw_numbers,
        _total,
    ),
    Family(
        "mean",
        wordings(
            "[Find|Compute|Work out] the mean of {numbers:ints} and round it to two decimals if need be.",
            "The {what} per {per} in {place} were {numbers:ints}. What was the average?",
            "Calculate the average of the following counts of {what}: {numbers:ints}",
        ),
        _draw_numbers,
        _mean,
    ),
    Family(
        "median",
        wordings(
            "[Put|Write] the numbers {numbers:ints} in order and give their median.",
            "Which value is the median of this series of {what} per {per}? {numbers:ints}",
        ),
        _draw_numbers,
        _median,
    ),
    Family(
        "spread",
        wordings(
            "How far apart are the largest and the smallest of these numbers: {numbers:ints}?",
            "For each {per} in {place} we counted {what}: {numbers:ints}. Give the difference between the highest and"
            " the"
            " lowest count.",
        ),
        _draw_numbers,
        _spread,
    ),
    Family(
        "sum_by_parity",
        wordings(
            "[Pick out|Choose] the {parity:word} numbers from {numbers:ints} and add them together.",
            "From the list {numbers:ints}, take only what is {parity:word} and tell me the sum.",
        ),
        lambda rng: _draw_numbers(rng) | {"parity": rng.choice(("even", "odd"))},
        _odd_sum,
    ),
    Family(
        "percent",
        wordings(
            "[What is|How much is|Calculate] {p:int} percent of {n:int}?",
            "Of {n:int} people who were asked, {p:int} percent said yes. How many people is that?",
            "A survey for {shop} reached {n:int} customers, and {p:int} percent of them answered. What number"
            " answered?",
        ),
        lambda rng: _draw_percent(rng) | {"n": str(rng.randint(2, 60) * 20)},
        _percent,
    ),
    Family(
        "discount",
        wordings(
            "In {shop}, {what} costs {n:int} euros. What is the price after [a discount of|taking off] {p:int}"
            " percent?",
            "The label on {what} says {n:int} euros, and the sale takes off {p:int} percent; [work out|find] the sale"
            " price.",
            "How much do I pay for {what} marked {n:int} euros if there is {p:int} percent off today?",
        ),
        _draw_percent,
        _discount,
    ),
    Family(
        "price_rise",
        wordings(
            "The price of {what} goes up by {p:int} percent from {n:int} euros. What [is|will be] the new price?",
            "Last year {shop} sold {what} for {n:int} euros. Prices have since risen by {p:int} percent. What does it"
            " cost today?",
        ),
        _draw_percent,
        _raise,
    ),
    Family(
        "ratio",
        wordings(
            "[Split|Divide|Share] {n:int} {things} between {who:word} and {other:word} in the ratio {a:int} to"
            " {b:int}.",
            "{who:word} and {other:word} want to share {n:int} {things} so that {who} gets {a:int} parts and {other}"
            " gets"
            " {b:int}. How many does each receive?",
        ),
        _draw_ratio,
        _ratio,
    ),
    Family(
        "add_fractions",
        wordings(
            "[Add|Add together] the fractions {x:fraction} and {y:fraction} and give the answer in lowest terms.",
            "A recipe needs {x:fraction} of a litre of milk and {y:fraction} of a litre of water. How much liquid is"
            " that, as a"
            " fraction?",
            "{other} walked {x:fraction} of a mile before lunch and {y:fraction} of a mile after it. What fraction of"
            " a mile is that in"
            " all?",
        ),
        lambda rng: _draw_fractions(rng) | {"other": rng.choice(NAMES)},
        _add_fractions,
    ),
    Family(
        "multiply_fractions",
        wordings(
            "Multiply {x:fraction} by {y:fraction} and reduce the fraction as far as possible.",
            "[What is|How much is] {x:fraction} of {y:fraction}? Please give a fraction in its simplest form.",
        ),
        _draw_fractions,
        _multiply_fractions,
    ),
    Family(
        "brackets",
        wordings(
            "Evaluate ({a:int} + {b:int}) x {c:int} - {d:int} and [show|explain] each step.",
            "Take {a:int}, add {b:int}, multiply the result by {c:int} and subtract {d:int}. What do you [get|end up"
            " with]?",
            "{other} thinks of the number {a:int}, adds {b:int}, makes the result {c:int} times as large and takes away"
            " {d:int}. Which number is it now?",
        ),
        lambda rng: _draw_expression(rng) | {"other": rng.choice(NAMES)},
        _brackets,
    ),
    Family(
        "precedence",
        wordings(
            "Using the usual order of operations, what is {a:int} + {b:int} x {c:int} - {d:int}?",
            "My pupils disagree about {a:int} + {b:int} x {c:int} - {d:int}. [Work it out|Solve it] for them step by"
            " step.",
        ),
        _draw_expression,
        _precedence,
    ),
    Family(
        "better_buy",
        wordings(
            "Which is the better buy: {a:int} kilograms of {what} for {x:int} euros or {b:int} kilograms for {y:int}"
            " euros?",
            "A shop sells {what} in two packs, one with {a:int} kilograms at {x:int} euros and one with {b:int}"
            " kilograms at"
            " {y:int} euros. Compare the price per kilogram.",
        ),
        _draw_buy,
        _better_buy,
    ),
    Family(
        "receipt",
        wordings(
            "{who:word} bought {lines} in {shop}. [Write|Make out] the bill line by line with the total.",
            "[Work out|Calculate] what {who:word} must pay for {lines}, [listing|showing] each item on its own line.",
        ),
        _draw_receipt,
        _receipt,
        weight=2,
    ),
)
