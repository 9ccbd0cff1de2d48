"""Classification by a rule that the instruction states: every answer is one of a fixed set of labels."""

from __future__ import annotations

import itertools
import random
import re
from collections.abc import Callable

from selfinstruct.llm.offline.families.text import any_word, words_of
from selfinstruct.llm.offline.family import Family
from selfinstruct.llm.offline.wording import Params, wordings
from selfinstruct.llm.offline.words import NAMES, OBJECTS, PLACES, clause, joined, listed, mixed

_YES_NO = (
    ("Yes", "No"), ("Accept", "Reject"), ("Keep", "Discard"), ("Match", "Other"), ("Pass", "Fail"), ("In", "Out"),
    ("Approve", "Decline"), ("Green", "Red"),
)  # fmt: skip


def two_labels(p: Params) -> tuple[str, ...]:
    """The labels named in the instruction."""
    return p["yes"], p["no"]


def _pick(p: Params, holds: bool) -> str:
    return p["yes"] if holds else p["no"]


def _draw_labels(rng: random.Random) -> Params:
    yes, no = rng.choice(_YES_NO)
    return {"yes": yes, "no": no}


_NUMBER_RULES: dict[str, Callable[[int], bool]] = {
    "even": lambda n: n % 2 == 0,
    "odd": lambda n: n % 2 == 1,
    "a multiple of three": lambda n: n % 3 == 0,
    "a multiple of seven": lambda n: n % 7 == 0,
    "a square number": lambda n: int(n**0.5 + 0.5) ** 2 == n,
    "a prime number": lambda n: n > 1 and all(n % d for d in range(2, int(n**0.5) + 1)),
    "made of digits that are all different": lambda n: len(set(str(n))) == len(str(n)),
    "a palindrome": lambda n: str(n) == str(n)[::-1],
}

_WORD_RULES: dict[str, Callable[[str], bool]] = {
    "has an even number of letters": lambda w: len(w) % 2 == 0,
    "begins with a vowel": lambda w: w[0] in "aeiou",
    "ends with a vowel": lambda w: w[-1] in "aeiou",
    "has a double letter": lambda w: any(a == b for a, b in itertools.pairwise(w)),
    "begins with a letter from a to m": lambda w: w[0] <= "m",
    "has more than six letters": lambda w: len(w) > 6,
    "has at least three vowels": lambda w: sum(c in "aeiou" for c in w) > 2,
    "begins and ends with the same letter": lambda w: w[0] == w[-1],
}


def _number_rule(p: Params, text: str) -> str:
    n = int(text)
    if not 0 <= n < 1_000_000:
        raise ValueError(text)
    return _pick(p, _NUMBER_RULES[p["rule"]](n))


def _word_rule(p: Params, text: str) -> str:
    if not text.isalpha():
        raise ValueError(text)
    return _pick(p, _WORD_RULES[p["rule"]](text.lower()))


def _number_input(_: Params, rng: random.Random) -> str:
    special = (rng.randint(2, 30) ** 2, rng.choice((11, 13, 97, 101, 211, 307, 499)), rng.randint(1, 9) * 111)
    return str(rng.choice((rng.randint(2, 999), rng.randint(2, 99), *special)))


def _word_input(_: Params, rng: random.Random) -> str:
    return rng.choice(
        (any_word(rng), rng.choice(("apple", "onion", "pepper", "otter", "eagle", "yellow", "abbey", "area", "high")))
    )


_GOODS = (
    "ticket", "bottle of oil", "pair of socks", "bunch of flowers", "lunch", "haircut", "paperback",
    "box of chocolates", "bag of oranges", "umbrella", "potted plant", "taxi ride", "cinema seat", "kilo of cheese",
)  # fmt: skip


def _draw_band(rng: random.Random) -> Params:
    low = rng.randint(3, 30)
    names = rng.choice((("Cheap", "Fair", "Dear"), ("Low", "Medium", "High"), ("Bargain", "Normal", "Expensive")))
    return {
        "what": rng.choice(_GOODS),
        "low": str(low),
        "high": str(low + rng.randint(4, 40)),
        **dict(zip("xyz", names, strict=True)),
    }


def _band(p: Params, text: str) -> str:
    price = int(text.removesuffix(" euros"))
    return p["x"] if price < int(p["low"]) else p["y"] if price <= int(p["high"]) else p["z"]


def _band_input(p: Params, rng: random.Random) -> str:
    return f"{rng.randint(2, int(p['high']) + int(p['low']) + 9)} euros"


def _draw_degrees(rng: random.Random) -> Params:
    low = rng.randint(-5, 12)
    names = rng.choice((("Cold", "Mild", "Hot"), ("Coat", "Jumper", "Shirt"), ("Stay in", "Walk", "Swim")))
    where = rng.choice(("the harbour", "the playground", "our greenhouse", "the balcony", "the ski hut"))
    return {
        "where": where,
        "low": str(low),
        "high": str(low + rng.randint(6, 16)),
        **dict(zip("xyz", names, strict=True)),
    }


def _degrees(p: Params, text: str) -> str:
    value = int(text.removesuffix(" degrees"))
    return p["x"] if value < int(p["low"]) else p["y"] if value <= int(p["high"]) else p["z"]


def _three(p: Params) -> tuple[str, ...]:
    return p["x"], p["y"], p["z"]


def _contains(p: Params, text: str) -> str:
    if len(words_of(text)) < 2:
        raise ValueError(text)
    return _pick(p, p["word"].lower() in [word.lower() for word in words_of(text)])


def _contains_input(p: Params, rng: random.Random) -> str:
    text = clause(rng)
    return f"{text} with the {p['word']}." if rng.random() < 0.5 else f"{text}."


def _triangle(_: Params, text: str) -> str:
    sides = sorted(int(side) for side in text.split(", "))
    if len(sides) != 3 or sides[0] < 1:
        raise ValueError(text)
    if sides[0] + sides[1] <= sides[2]:
        return "Impossible"
    return {1: "Equilateral", 2: "Isosceles", 3: "Scalene"}[len(set(sides))]


def _triangle_input(_: Params, rng: random.Random) -> str:
    a, b = rng.randint(2, 20), rng.randint(2, 20)
    c = rng.choice((a, b, rng.randint(2, 20), a + b + rng.randint(1, 5)))
    return listed([str(side) for side in rng.choice(((a, b, c), (a, a, a), (a, b, c)))])


def _password(p: Params, text: str) -> str:
    if " " in text:
        raise ValueError(text)
    return _pick(p, len(text) >= int(p["n"]) and any(c.isdigit() for c in text) and any(c.isupper() for c in text))


def _password_input(_: Params, rng: random.Random) -> str:
    word = any_word(rng) + (any_word(rng) if rng.random() < 0.6 else "")
    word = word.capitalize() if rng.random() < 0.7 else word
    return word + (str(rng.randint(1, 999)) if rng.random() < 0.7 else "")


def _holds(p: Params, text: str) -> str:
    numbers = [int(number) for number in text.split(", ")]
    if len(numbers) < 2:
        raise ValueError(text)
    up = all(a < b for a, b in itertools.pairwise(numbers))
    down = all(a > b for a, b in itertools.pairwise(numbers))
    return "Rising" if up else "Falling" if down else "Mixed"


def _holds_input(_: Params, rng: random.Random) -> str:
    numbers = rng.sample(range(1, 99), rng.randint(3, 6))
    turn = rng.randrange(3)
    numbers = sorted(numbers, reverse=turn == 1) if turn < 2 else numbers
    return listed([str(n) for n in numbers])


def _draw_membership(rng: random.Random) -> Params:
    items = mixed(rng, 5, 8)
    word = rng.choice(items) if rng.random() < 0.5 else any_word(rng)
    return {"items": joined(items), "word": word}


def _membership(p: Params, _: str) -> str:
    return "Yes" if p["word"] in re.split(r", | and ", p["items"]) else "No"


def _enough(p: Params, _: str) -> str:
    return "Yes" if int(p["a"]) * int(p["b"]) >= int(p["c"]) else "No"


def _draw_enough(rng: random.Random) -> Params:
    a, b = rng.randint(3, 20), rng.randint(4, 30)
    return {
        "a": str(a), "b": str(b), "c": str(a * b + rng.randint(-20, 20)), "what": rng.choice(OBJECTS),
        "who": rng.choice(NAMES), "place": rng.choice(PLACES),
    }  # fmt: skip


FAMILIES = (
    Family(
        "number_rule",
        wordings(
            "Answer {yes:word} if the number is {rule}, otherwise {no:word}.",
            "[Label|Mark] each number: {yes:word} when it is {rule}, {no:word} when it is not.",
            "Is the number {rule}? [Reply|Answer] with {yes:word} for yes and {no:word} for no.",
            "In a game, a number that is {rule} is called {yes:word} and any other {no:word}. What is this one called?",
        ),
        lambda rng: _draw_labels(rng) | {"rule": rng.choice(sorted(_NUMBER_RULES))},
        _number_rule,
        _number_input,
        two_labels,
        weight=2,
    ),
    Family(
        "word_rule",
        wordings(
            "Look at the word. If it {rule}, say {yes:word}; if not, say {no:word}.",
            "Sort words into two heaps: {yes:word} for a word that {rule}, {no:word} for any other.",
            "A word counts as {yes:word} if it {rule} and as {no:word} otherwise. Which label does the given word get?",
        ),
        lambda rng: _draw_labels(rng) | {"rule": rng.choice(sorted(_WORD_RULES))},
        _word_rule,
        _word_input,
        two_labels,
        weight=2,
    ),
    Family(
        "price_band",
        wordings(
            "For the price of a {what}, say {x} below {low:int} euros, {y} from {low} to {high:int} euros and {z}"
            " above that.",
            "Classify what a {what} costs: under {low:int} euros is {x}, over {high:int} euros is {z}, all else is"
            " {y}.",
        ),
        _draw_band,
        _band,
        _band_input,
        _three,
        weight=2,
    ),
    Family(
        "degree_band",
        wordings(
            "The thermometer at {where} gives a value. Answer {x} if it is below {low:int} degrees, {z} if it is"
            " above {high:int}"
            " degrees, and {y} otherwise.",
            "Translate a temperature at {where} into one of three words: {x} (less than {low:int} degrees), {y}"
            " ({low} to {high:int}"
            " degrees) or {z} (more).",
        ),
        _draw_degrees,
        _degrees,
        lambda p, rng: (
            f"{rng.choice([n for n in range(int(p['low']) - 9, int(p['high']) + 10) if abs(n) != 1])} degrees"
        ),
        _three,
        weight=1.5,
    ),
    Family(
        "contains_word",
        wordings(
            'Reply {yes:word} if the sentence contains the word "{word:word}" and {no:word} if it does not.',
            'A filter looks for "{word:word}" as a whole word. Sentences with it get {yes:word}, the rest get'
            " {no:word}. Apply it.",
        ),
        lambda rng: _draw_labels(rng) | {"word": any_word(rng)},
        _contains,
        _contains_input,
        two_labels,
        weight=1.5,
    ),
    Family(
        "triangle",
        wordings(
            "Given three side lengths, name the triangle: Equilateral, Isosceles, Scalene or Impossible.",
            "What do sides of these three lengths make: Equilateral, Isosceles, Scalene or Impossible?",
        ),
        lambda _: {},
        _triangle,
        _triangle_input,
        lambda _: ("Equilateral", "Isosceles", "Scalene", "Impossible"),
    ),
    Family(
        "password",
        wordings(
            "A password needs {n:int} or more characters, a digit and a capital letter. Answer {yes:word} if this one"
            " meets the"
            " rules, else {no:word}.",
            "Check a password: {yes:word} means that it has at least {n:int} characters including a digit and a"
            " capital,"
            " {no:word} means anything else.",
        ),
        lambda rng: _draw_labels(rng) | {"n": str(rng.randint(6, 12))},
        _password,
        _password_input,
        two_labels,
    ),
    Family(
        "trend",
        wordings(
            "Do the numbers go up all the time (Rising), down all the time (Falling) or neither (Mixed)?",
            "Label the series of readings as Rising, Falling or Mixed.",
        ),
        lambda _: {},
        _holds,
        _holds_input,
        lambda _: ("Rising", "Falling", "Mixed"),
    ),
    Family(
        "is_on_list",
        wordings(
            "Yes or no: is {word:word} among {items}?",
            "A packing list names {items}. Does it mention {word:word}? Answer Yes or No.",
        ),
        _draw_membership,
        _membership,
        None,
        lambda _: ("Yes", "No"),
        weight=1.5,
    ),
    Family(
        "is_enough",
        wordings(
            "{who:word} has {a:int} packs of {b:int} {what} and needs {c:int}. Is that enough? Answer Yes or No.",
            "For a fair in {place:word} we need {c:int} {what}; {a:int} boxes with {b:int} each are in the cellar."
            " Yes or No: will"
            " they do?",
        ),
        _draw_enough,
        _enough,
        None,
        lambda _: ("Yes", "No"),
    ),
)
