"""Numbers as such: Roman numerals, bases, sequences, factors, rounding, numbers in words."""

from __future__ import annotations

import itertools
import math
import random

from selfinstruct.llm.offline.families.sums import integers
from selfinstruct.llm.offline.family import Family
from selfinstruct.llm.offline.wording import Params, wordings
from selfinstruct.llm.offline.words import NAMES, capital, joined, listed, split_words

_ROMAN = (
    (1000, "M"), (900, "CM"), (500, "D"), (400, "CD"), (100, "C"), (90, "XC"), (50, "L"), (40, "XL"), (10, "X"),
    (9, "IX"), (5, "V"), (4, "IV"), (1, "I"),
)  # fmt: skip

_ONES = split_words(
    "zero one two three four five six seven eight nine ten eleven twelve thirteen fourteen fifteen sixteen seventeen"
    " eighteen nineteen"
)
_TENS = split_words(". . twenty thirty forty fifty sixty seventy eighty ninety")


def roman(number: int) -> str:
    """The Roman numeral of 1 to 3999."""
    if not 1 <= number <= 3999:
        raise ValueError(number)
    out = ""
    for value, letters in _ROMAN:
        out += letters * (number // value)
        number %= value
    return out


def from_roman(text: str) -> int:
    """The number that a Roman numeral in its usual form means; raises ValueError for any other text."""
    values = {"I": 1, "V": 5, "X": 10, "L": 50, "C": 100, "D": 500, "M": 1000}
    digits = [values[letter] for letter in text]
    total = sum(-d if d < following else d for d, following in zip(digits, [*digits[1:], 0], strict=True))
    if roman(total) != text:
        raise ValueError(text)
    return total


def in_words(number: int) -> str:
    """The number in English words, from 0 to 999,999."""
    if not 0 <= number < 1_000_000:
        raise ValueError(number)
    if number < 20:
        return _ONES[number]
    if number < 100:
        tens, ones = divmod(number, 10)
        return _TENS[tens] + (f"-{_ONES[ones]}" if ones else "")
    size, name = (1000, "thousand") if number >= 1000 else (100, "hundred")
    high, rest = divmod(number, size)
    tail = "" if not rest else f" and {in_words(rest)}" if rest < 100 else f" {in_words(rest)}"
    return f"{in_words(high)} {name}{tail}"


def _draw_year(rng: random.Random) -> Params:
    what = rng.choice(
        ("a clock tower", "an old bridge", "a town hall", "a sundial", "the title page of a book", "a tombstone")
    )
    return {"n": str(rng.randint(1200, 2090)), "what": what, "who": rng.choice(NAMES)}


def _roman_input(_: Params, rng: random.Random) -> str:
    return roman(rng.randint(14, 2400))


def _draw_sequence(rng: random.Random) -> Params:
    kind = rng.randrange(5)
    start, step = rng.randint(2, 40), rng.randint(3, 17)
    if kind == 0:
        terms = [start + step * i for i in range(5)]
    elif kind == 1:
        terms = [start + 100 - step * i for i in range(5)]
    elif kind == 2:
        first, factor = rng.randint(2, 6), rng.choice((2, 3))
        terms = [first * factor**i for i in range(5)]
    elif kind == 3:
        first = rng.randint(1, 9)
        terms = [(first + i) ** 2 for i in range(5)]
    else:
        terms = [rng.randint(1, 9), rng.randint(2, 12)]
        while len(terms) < 6:
            terms.append(terms[-1] + terms[-2])
    things = rng.choice(("house numbers", "lottery numbers", "marks on a scale", "page numbers", "locker numbers"))
    return {"terms": listed([str(n) for n in terms]), "things": things, "who": rng.choice(NAMES)}


def _sequence(p: Params, _: str) -> str:
    terms = integers(p["terms"])
    gaps = [b - a for a, b in itertools.pairwise(terms)]
    if len(terms) < 4:
        raise ValueError(p["terms"])
    if len(set(gaps)) == 1:
        rule = f"{abs(gaps[0])} is {'added' if gaps[0] > 0 else 'subtracted'} each time"
        following = terms[-1] + gaps[0]
    elif terms[0] and all(b * terms[0] == a * terms[1] for a, b in itertools.pairwise(terms)):
        rule = f"each number is {terms[1] // terms[0]} times the one before"
        following = terms[-1] * terms[1] // terms[0]
    elif all(c == a + b for a, b, c in zip(terms, terms[1:], terms[2:], strict=False)):
        rule = "each number is the sum of the two before it"
        following = terms[-1] + terms[-2]
    elif all(math.isqrt(n) ** 2 == n for n in terms) and len({math.isqrt(n) - i for i, n in enumerate(terms)}) == 1:
        rule = f"these are the squares of {math.isqrt(terms[0])}, {math.isqrt(terms[1])} and so on"
        following = (math.isqrt(terms[-1]) + 1) ** 2
    else:
        raise ValueError(p["terms"])
    return f"{following}, because {rule}."


def _factors(p: Params, _: str) -> str:
    n = int(p["n"])
    if not 1 < n < 100_000:
        raise ValueError(n)
    parts, rest, divisor = [], n, 2
    while rest > 1:
        while rest % divisor == 0:
            parts.append(str(divisor))
            rest //= divisor
        divisor += 1
    return f"{n} = {' x '.join(parts)}" if len(parts) > 1 else f"{n} is itself a prime number."


def _gcd(p: Params, _: str) -> str:
    a, b = int(p["a"]), int(p["b"])
    g = math.gcd(a, b)
    return f"The greatest common divisor of {a} and {b} is {g}, since {a} = {g} x {a // g} and {b} = {g} x {b // g}."


def _lcm(p: Params, _: str) -> str:
    a, b = int(p["a"]), int(p["b"])
    return f"They meet again after {math.lcm(a, b)} {p['unit']}, the least common multiple of {a} and {b}."


def _draw_pair(rng: random.Random) -> Params:
    g = rng.randint(2, 14)
    a, b = rng.sample(range(2, 16), 2)
    first, second = rng.choice((("tram", "bus"), ("lighthouse", "buoy"), ("bell", "siren"), ("ferry", "water taxi")))
    return {
        "a": str(a * g),
        "b": str(b * g),
        "first": first,
        "second": second,
        "unit": rng.choice(("minutes", "seconds")),
    }


def _bits(p: Params, text: str) -> str:
    return f"{int(text):b}" if p["base"] == "binary" else f"{int(text):X}"


def _from_bits(_: Params, text: str) -> str:
    if len(text) > 64:
        raise ValueError("nobody writes such a number")
    value = int(text, 2)
    parts = [str(1 << i) for i, bit in enumerate(reversed(text)) if bit == "1"]
    return f"{' + '.join(reversed(parts))} = {value}"


def _round(p: Params, text: str) -> str:
    unit = {"ten": 10, "hundred": 100, "thousand": 1000}[p["unit"]]
    return str((int(text) + unit // 2) // unit * unit)


def _digit_sum(p: Params, _: str) -> str:
    digits = [int(digit) for digit in p["n"]]
    return f"{' + '.join(map(str, digits))} = {sum(digits)}"


def _multiples(p: Params, _: str) -> str:
    k, low, high = int(p["k"]), int(p["low"]), int(p["high"])
    if not k > 0 or high - low > 1000:
        raise ValueError(p)
    found = [str(n) for n in range(low, high + 1) if n % k == 0]
    return f"{joined(found)}" if found else "There are none."


def _draw_multiples(rng: random.Random) -> Params:
    k, low = rng.randint(6, 19), rng.randint(10, 150)
    return {"k": str(k), "low": str(low), "high": str(low + k * rng.randint(3, 6))}


FAMILIES = (
    Family(
        "to_roman",
        wordings(
            "The year {n:int} is to be carved on {what}. [How is it written|What does it look like] in Roman numerals?",
            "Write {n:int} as a Roman numeral.",
            "{who:word} wants the date {n:int} on {what} in Roman numerals; [spell it out|give the letters].",
        ),
        _draw_year,
        lambda p, _: roman(int(p["n"])),
    ),
    Family(
        "from_roman",
        wordings(
            "[Convert|Change|Turn] the Roman numeral [below|given] into an ordinary number.",
            "Which number does this Roman numeral stand for?",
            "Someone found Roman letters on {what}. [Tell|Explain to] {who:word} which year or number they mean.",
        ),
        _draw_year,
        lambda _, text: str(from_roman(text)),
        _roman_input,
    ),
    Family(
        "next_in_sequence",
        wordings(
            "Which number comes next in the sequence {terms:ints}? [Explain|Say] why.",
            "Continue this pattern by one number and name the rule: {terms:ints}",
            "The {things} {terms:ints} follow a rule. [Find the rule|Work out the rule] and the next number.",
            "{who:word} wrote {terms:ints} on the board. What should {who} write next, and for what reason?",
        ),
        _draw_sequence,
        _sequence,
        weight=1.5,
    ),
    Family(
        "prime_factors",
        wordings(
            "[Break|Split] {n:int} into its prime factors.",
            "Write the number {n:int} as a product of primes, smallest first.",
        ),
        lambda rng: {"n": str(rng.randint(20, 999))},
        _factors,
        weight=0.5,
    ),
    Family(
        "gcd",
        wordings(
            "[Find|What is] the greatest common divisor of {a:int} and {b:int}, and how can one check it?",
            "What is the largest number that divides both {a:int} and {b:int} without a remainder?",
        ),
        _draw_pair,
        _gcd,
        weight=0.5,
    ),
    Family(
        "meet_again",
        wordings(
            "A {first} passes every {a:int} {unit} and a {second} every {b:int} {unit}. Both have just passed together."
            " When do they next [meet|coincide]?",
            "If a {first} signals every {a:int} {unit} and a {second} every {b:int} {unit}, after how long do they"
            " signal at"
            " the same moment again?",
        ),
        _draw_pair,
        _lcm,
    ),
    Family(
        "number_base",
        wordings(
            "Write the given decimal number in {base}[ notation|].",
            "[Convert|Translate] an ordinary whole number to {base}; answer with the digits only.",
            "How would a programmer write this number in {base}?",
        ),
        lambda rng: {"base": rng.choice(("binary", "hexadecimal"))},
        _bits,
        lambda _, rng: str(rng.randint(5, 255)),
    ),
    Family(
        "from_binary",
        wordings(
            "Add up the powers of two to find the decimal value of this binary number.",
            "[Turn|Convert] the binary number into a decimal one and show the powers of two that you add.",
        ),
        lambda _: {},
        _from_bits,
        lambda _, rng: f"{rng.randint(9, 255):b}",
    ),
    Family(
        "rounding",
        wordings(
            "Round the number to the nearest {unit:word}.",
            "[Give|Write down] the population figure rounded to the nearest {unit:word}, without a comma.",
            "A newspaper wants only rough figures. [Round|Please round] what you are given to the nearest {unit:word}.",
        ),
        lambda rng: {"unit": rng.choice(("ten", "hundred", "thousand"))},
        _round,
        lambda _, rng: str(rng.randint(1200, 98000)),
    ),
    Family(
        "number_in_words",
        wordings(
            "Write the amount of {n:int} euros in words, as on a cheque.",
            "How do you [spell|write out] the number {n:int} in English?",
        ),
        lambda rng: {"n": str(rng.choice((rng.randint(21, 999), rng.randint(1000, 99999))))},
        lambda p, _: capital(in_words(int(p["n"]))),
    ),
    Family(
        "spell_numbers",
        wordings(
            "[Spell out|Write in words] the number in the input, in lower case.",
            "Turn digits into words, for example 42 into forty-two.",
        ),
        lambda _: {},
        lambda _, text: in_words(int(text)),
        lambda _, rng: str(rng.randint(11, 20000)),
    ),
    Family(
        "digit_sum",
        wordings(
            "[Add|Sum] the digits of {n:int} and write out the addition.",
            "A code lock opens at the digit sum of {n:int}. Which number must be entered, and how is it found?",
        ),
        lambda rng: {"n": str(rng.randint(1000, 999_999))},
        _digit_sum,
    ),
    Family(
        "multiples_between",
        wordings(
            "List every multiple of {k:int} from {low:int} to {high:int}.",
            "Which numbers between {low:int} and {high:int}, ends included, can be divided by {k:int}?",
        ),
        _draw_multiples,
        _multiples,
        weight=0.6,
    ),
)
