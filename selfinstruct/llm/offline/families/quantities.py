"""Quantities with units: conversion, recipes for more people, exchange rates, journeys."""

from __future__ import annotations

import random
import re
from fractions import Fraction

from selfinstruct.llm.offline.families.sums import decimal
from selfinstruct.llm.offline.family import Family
from selfinstruct.llm.offline.wording import Params, wordings
from selfinstruct.llm.offline.words import NAMES, PLACES, joined, some

_UNITS = {
    "length": {
        "millimetres": "0.001", "centimetres": "0.01", "metres": "1", "kilometres": "1000", "inches": "0.0254",
        "feet": "0.3048", "yards": "0.9144", "miles": "1609.344",
    },
    "weight": {"grams": "1", "kilograms": "1000", "ounces": "28.349523125", "pounds": "453.59237", "tonnes": "1000000"},
    "volume": {"millilitres": "1", "centilitres": "10", "litres": "1000"},
    "time": {"seconds": "1", "minutes": "60", "hours": "3600", "days": "86400", "weeks": "604800"},
    "storage": {"kilobytes": "1", "megabytes": "1000", "gigabytes": "1000000", "terabytes": "1000000000"},
}  # fmt: skip

_SIZE = {unit: (kind, Fraction(size)) for kind, units in _UNITS.items() for unit, size in units.items()}

_PAIRS = tuple(
    (a, b) for units in _UNITS.values() for a in units for b in units
    if a != b and Fraction(1, 2000) <= _SIZE[a][1] / _SIZE[b][1] <= 2000
)  # fmt: skip


def convert(amount: str, source: str, target: str) -> str:
    """The amount in another unit of the same kind, to at most four decimals."""
    (kind, size), (other, divisor) = _SIZE[source], _SIZE[target]
    if kind != other or not re.fullmatch(r"\d{1,9}(\.\d{1,6})?", amount):
        raise ValueError(f"{source} to {target}")
    return decimal(Fraction(amount) * size / divisor, 4)


def _draw_units(rng: random.Random) -> Params:
    source, target = rng.choice(_PAIRS)
    amount = str(rng.randint(2, 90)) if rng.random() < 0.7 else f"{rng.randint(2, 40)}.5"
    return {"from": source, "to": target, "n": amount, "who": rng.choice(NAMES), "place": rng.choice(PLACES)}


def _convert(p: Params, _: str) -> str:
    return f"{p['n']} {p['from']} are {convert(p['n'], p['from'], p['to'])} {p['to']}."


def _convert_input(p: Params, text: str) -> str:
    amount, unit = text.split()
    if unit != p["from"]:
        raise ValueError(text)
    return f"{convert(amount, unit, p['to'])} {p['to']}"


def _heat(p: Params, _: str) -> str:
    degrees = Fraction(p["n"])
    if p["from"] == "Celsius":
        value = decimal(degrees * 9 / 5 + 32)
        return f"{p['n']} x 9 / 5 + 32 = {value}, so it is {value} degrees Fahrenheit."
    value = decimal((degrees - 32) * 5 / 9, 1)
    return f"({p['n']} - 32) x 5 / 9 = {value}, so it is {value} degrees Celsius (rounded to one decimal)."


def _draw_heat(rng: random.Random) -> Params:
    scale = rng.choice(("Celsius", "Fahrenheit"))
    what = rng.choice(("the oven", "the sea", "a fever", "the sauna", "the wine cellar", "the greenhouse", "the bath"))
    n = rng.randint(5, 220) if scale == "Celsius" else rng.randint(35, 450)
    return {"n": str(n), "from": scale, "to": "Fahrenheit" if scale == "Celsius" else "Celsius", "what": what}


_DISHES = {
    "pancakes": ("g flour", "ml milk", "eggs", "g butter", "g sugar"),
    "vegetable soup": ("g carrots", "g potatoes", "leeks", "ml stock", "bay leaves"),
    "bread rolls": ("g flour", "ml water", "g yeast", "g salt", "g seeds"),
    "lentil stew": ("g lentils", "onions", "tomatoes", "ml water", "cloves of garlic"),
    "fruit salad": ("apples", "oranges", "g grapes", "ml juice", "bananas"),
    "rice pudding": ("g rice", "ml milk", "g sugar", "sticks of cinnamon", "g raisins"),
    "tomato sauce": ("g tomatoes", "onions", "ml oil", "cloves of garlic", "leaves of basil"),
    "potato salad": ("g potatoes", "eggs", "gherkins", "ml vinegar", "g mustard"),
    "lemonade": ("lemons", "g sugar", "ml water", "leaves of mint", "slices of ginger"),
}


def _draw_recipe(rng: random.Random) -> Params:
    dish = rng.choice(sorted(_DISHES))
    base = rng.choice((2, 4, 6))
    lines = []
    for item in some(rng, _DISHES[dish], 3, 5):
        small = item.split()[0] not in ("g", "ml")
        lines.append(f"{rng.randint(1, 4) * base if small else rng.randint(3, 40) * 5 * base} {item}")
    people = rng.choice([n for n in (2, 3, 4, 5, 6, 8, 10, 12, 15) if n != base])
    return {"dish": dish, "n": str(base), "m": str(people), "lines": joined(lines), "who": rng.choice(NAMES)}


def _scale(p: Params, _: str) -> str:
    factor = Fraction(int(p["m"]), int(p["n"]))
    lines = []
    for line in p["lines"].replace(" and ", ", ").split(", "):
        amount, _space, what = line.partition(" ")
        lines.append(f"{decimal(int(amount) * factor)} {what}")
    return f"For {p['m']} people: {joined(lines)}."


_MONEY = {
    "dollars": "dollar", "euros": "euro", "francs": "franc", "pounds": "pound", "rupees": "rupee", "yen": "yen",
    "crowns": "crown", "pesos": "peso", "rand": "rand", "zloty": "zloty",
}  # fmt: skip


def _draw_money(rng: random.Random) -> Params:
    source, target = rng.sample(sorted(_MONEY), 2)
    rate = f"{rng.randint(1, 9)}.{rng.choice((2, 4, 5, 6, 8))}"
    return {
        "from": source,
        "to": target,
        "rate": rate,
        "one": _MONEY[source],
        "n": str(rng.randint(2, 80) * 5),
        "place": rng.choice(PLACES),
    }


def _exchange(p: Params, _: str) -> str:
    result = decimal(Fraction(p["n"]) * Fraction(p["rate"]))
    return f"{p['n']} x {p['rate']} = {result}, so it is {result} {p['to']}."


def _exchange_back(p: Params, _: str) -> str:
    result = decimal(Fraction(p["n"]) / Fraction(p["rate"]))
    return f"{p['n']} / {p['rate']} = {result} (rounded to two decimals), so one gets {result} {p['from']}."


def _draw_journey(rng: random.Random) -> Params:
    speed, hours = rng.randint(4, 60) * 2, rng.randint(2, 9)
    who = rng.choice(("A cyclist", "A lorry", "A freight train", "A sailing boat", "A canal barge", "A delivery van"))
    start, end = rng.sample(PLACES, 2)
    return {"v": str(speed), "h": str(hours), "km": str(speed * hours), "who": who, "start": start, "end": end}


def _distance(p: Params, _: str) -> str:
    return (
        f"{p['v']} x {p['h']} = {int(p['v']) * int(p['h'])}, so the distance is {int(p['v']) * int(p['h'])} kilometres."
    )


def _speed(p: Params, _: str) -> str:
    value = decimal(Fraction(int(p["km"]), int(p["h"])))
    return f"{p['km']} / {p['h']} = {value}, so the average speed is {value} kilometres an hour."


def _duration(p: Params, _: str) -> str:
    minutes = Fraction(int(p["km"]) * 60, int(p["v"]))
    hours, rest = divmod(minutes, 60)
    tail = f" and {decimal(rest, 0)} minutes" if rest else ""
    return f"{p['km']} kilometres at {p['v']} kilometres an hour take {hours} hours{tail}."


def _draw_room(rng: random.Random) -> Params:
    a, b = rng.randint(2, 14), rng.randint(2, 9)
    what = rng.choice(("a rectangular lawn", "a dance floor", "a classroom", "a barn", "a terrace", "a strip of linen"))
    return {"a": str(a), "b": str(b), "what": what, "price": str(rng.randint(4, 38))}


def _room(p: Params, _: str) -> str:
    a, b = int(p["a"]), int(p["b"])
    return f"The area is {a} x {b} = {a * b} square metres and the perimeter is 2 x ({a} + {b}) = {2 * (a + b)} metres."


def _cover(p: Params, _: str) -> str:
    area = int(p["a"]) * int(p["b"])
    cost = f"{area} x {p['price']} = {area * int(p['price'])} euros"
    return f"The area is {p['a']} x {p['b']} = {area} square metres, so the cost is {cost}."


FAMILIES = (
    Family(
        "convert",
        wordings(
            "[Convert|Change] {n:num} {from:word} [to|into] {to:word}.",
            "How many {to:word} are {n:num} {from:word}?",
            "{who:word} measured {n:num} {from:word} but the form asks for {to:word}. What should {who} enter?",
            "The sign in {place} says {n:num} {from:word}. Express that in {to:word}, [to four decimals at"
            " most|rounding to"
            " four decimals if needed].",
        ),
        _draw_units,
        _convert,
        weight=1.5,
    ),
    Family(
        "convert_inputs",
        wordings(
            "You are given an amount in {from:word}. [Convert it|Change it] to {to:word} and name the unit.",
            "[Rewrite|Restate] the measurement, which is in {from:word}, in {to:word}.",
            "For a supplier abroad, turn every quantity stated in {from:word} into {to:word}.",
        ),
        _draw_units,
        _convert_input,
        lambda p, rng: f"{rng.randint(2, 500)} {p['from']}",
    ),
    Family(
        "temperature",
        wordings(
            "[What is|How much is] {n:int} degrees {from:word} in degrees {to:word}?",
            "The thermometer for {what} shows {n:int} degrees {from:word}. [Give|Tell me] the same temperature in"
            " {to:word} and show the formula.",
        ),
        _draw_heat,
        _heat,
    ),
    Family(
        "recipe",
        wordings(
            "My recipe for {dish} serves {n:int} people and needs {lines}. How much of each do I need for {m:int}?",
            "Scale this list for {dish} from {n:int} to {m:int} people: {lines}",
            "{who:word} is cooking {dish} for {m:int} guests, but the book gives amounts for {n:int}: {lines}. Adjust"
            " them.",
        ),
        _draw_recipe,
        _scale,
        weight=2,
    ),
    Family(
        "exchange",
        wordings(
            "At a rate of {rate:num} {to:word} for one {one:word}, what are {n:int} {from:word} worth?",
            "A bank in {place} pays {rate:num} {to:word} for one {one:word}. You hand over {n:int} {from:word}. What"
            " do you"
            " receive?",
        ),
        _draw_money,
        _exchange,
        weight=0.7,
    ),
    Family(
        "exchange_back",
        wordings(
            "One {one:word} costs {rate:num} {to:word}. How many {from:word} can be bought with {n:int} {to}?",
        ),
        _draw_money,
        _exchange_back,
        weight=0.4,
    ),
    Family(
        "distance",
        wordings(
            "{who} moves at a steady {v:int} kilometres an hour for {h:int} hours. How far does it get?",
            "How long is the road from {start:word} to {end:word} if a ride at {v:int} kilometres an hour lasts {h:int}"
            " hours?",
        ),
        _draw_journey,
        _distance,
        weight=0.7,
    ),
    Family(
        "speed",
        wordings(
            "{who} covers the {km:int} kilometres between {start:word} and {end:word} in {h:int} hours. What is the"
            " average"
            " speed?",
            "Find the mean speed of a trip of {km:int} kilometres that takes {h:int} hours.",
        ),
        _draw_journey,
        _speed,
        weight=0.7,
    ),
    Family(
        "travel_time",
        wordings(
            "{start:word} and {end:word} are {km:int} kilometres apart. How long does the way take at {v:int}"
            " kilometres an"
            " hour?",
        ),
        _draw_journey,
        _duration,
        weight=0.4,
    ),
    Family(
        "area",
        wordings(
            "Find the area and the perimeter of {what} that is {a:int} metres long and {b:int} metres wide.",
            "{a:int} metres by {b:int} metres is the size of {what}. [Compute|Work out] its area and its perimeter.",
        ),
        _draw_room,
        _room,
        weight=0.7,
    ),
    Family(
        "cover_cost",
        wordings(
            "Covering {what} costs {price:int} euros per square metre. It measures {a:int} by {b:int} metres. What is"
            " the"
            " total cost?",
        ),
        _draw_room,
        _cover,
        weight=0.5,
    ),
)
