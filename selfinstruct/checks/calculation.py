"""The value of an arithmetic expression in a text, and what counts as that value in an answer."""

from __future__ import annotations

from fractions import Fraction

import regex

from selfinstruct.checks.word_lists import any_of

LONGEST_NUMBER = 60
"""Digits; longer numbers and results are not looked at."""
_LARGEST = int("9" * LONGEST_NUMBER)
_WORDS = (
    (regex.compile(r"\bplus\b", regex.IGNORECASE), "+"),
    (regex.compile(r"\bminus\b", regex.IGNORECASE), "-"),
    (regex.compile(r"\b(?:times|multiplied\s+by|mal)\b", regex.IGNORECASE), "*"),
    (regex.compile(r"\b(?:divided\s+by|over|durch)\b", regex.IGNORECASE), "/"),
    (regex.compile(r"[×·]|(?<=[\d)])(?:[xX](?=\d)|\s+[xX]\s+(?=[\d(]))"), "*"),
    (regex.compile(r"÷"), "/"),
    (regex.compile(r"−"), "-"),
)
_TOKENS = regex.compile(
    r"\s*(?:(?P<number>\d{1,3}(?:,\d{3})+(?:\.\d+)?(?![\d,])|\d+(?:\.\d+)?(?![\d.,]\d))|(?P<mark>[-+*/()]))"
)

_NO_SUM = regex.compile(r"\d+(?:[-/]\d+)+")
"""What is "9/11", "24/7" or "4-3-3"? Nothing to calculate."""
_ABOUT = regex.compile(rf"≈|~|{any_of('rounded')}", regex.IGNORECASE)
_DOTTED = regex.compile(r"\d\.\d{3}(?!\d)")
"""Points that may separate thousands."""


def is_no_sum(expression: str) -> bool:
    """Whether an expression may be a date, a score or a name, such as "9/11", "24/7" or "4-3-3"."""
    return bool(_NO_SUM.fullmatch("".join(expression.split())) and _NO_SUM.fullmatch(expression.strip()))


def has_points(answer: str) -> bool:
    """Whether an answer has numbers with a point that may separate thousands."""
    return bool(_DOTTED.search(answer))


def is_about(answer: str) -> bool:
    """Whether an answer calls its numbers rounded."""
    return bool(_ABOUT.search(answer))


def number(text: str) -> Fraction:
    """A number as English writes it, with commas between thousands."""
    return Fraction(text.replace(",", "").replace("−", "-"))


def evaluate(expression: str) -> Fraction | None:
    """The value of an expression with an operation in it, by the rules of arithmetic; None where it is not plain."""
    for pattern, mark in _WORDS:
        expression = pattern.sub(f" {mark} ", expression)
    tokens: list[str] = []
    place, end = 0, len(expression.rstrip(" .,:"))
    while place < end:
        found = _TOKENS.match(expression, place, end)
        if found is None:
            return None
        tokens.append(found["number"] or found["mark"])
        place = found.end()
    if len(tokens) > 60 or not any(mark in "+-*/" for mark in tokens[1:]):
        return None
    try:
        value, rest = _sum(tokens)
    except (IndexError, ValueError, ZeroDivisionError, OverflowError):
        return None
    return None if rest or has_many_digits(value) else value


def has_many_digits(value: Fraction) -> bool:
    """Whether a number is too long to be looked at."""
    return max(abs(value.numerator), value.denominator) > _LARGEST


def _sum(tokens: list[str]) -> tuple[Fraction, list[str]]:
    value, tokens = _product(tokens)
    while tokens and tokens[0] in "+-":
        other, rest = _product(tokens[1:])
        value = value + other if tokens[0] == "+" else value - other
        tokens = rest
    return value, tokens


def _product(tokens: list[str]) -> tuple[Fraction, list[str]]:
    value, tokens = _signed(tokens)
    while tokens and tokens[0] in "*/":
        other, rest = _signed(tokens[1:])
        value = value * other if tokens[0] == "*" else value / other
        tokens = rest
    return value, tokens


def _signed(tokens: list[str]) -> tuple[Fraction, list[str]]:
    if tokens[0] != "-":
        return _atom(tokens)
    value, tokens = _atom(tokens[1:])
    return -value, tokens


def _atom(tokens: list[str]) -> tuple[Fraction, list[str]]:
    if tokens[0] == "(":
        value, tokens = _sum(tokens[1:])
        if tokens[0] != ")":
            raise ValueError("not plain")
        return value, tokens[1:]
    return number(tokens[0]), tokens[1:]


def is_result(expected: Fraction, value: Fraction, decimals: int, *, loose: bool) -> bool:
    """Whether a number in an answer is the result: exactly, or rounded or cut to the decimals that it shows.

    An integer is a rounded result only where the answer or the instruction says so, or the decimals never end.
    """
    if value == expected:
        return True
    if decimals < (0 if loose or not _terminates(expected) else 1):
        return False
    return abs(value - expected) < Fraction(1, 10**decimals)


def _terminates(value: Fraction) -> bool:
    """Whether a number can be written with decimals that end."""
    rest = value.denominator
    for prime in (2, 5):
        while rest % prime == 0:
            rest //= prime
    return rest == 1


def written(value: Fraction) -> str:
    """A value in words of an evidence."""
    if value.denominator == 1:
        return str(value.numerator)
    return f"{value.numerator}/{value.denominator}" if value.denominator < 1000 else f"{float(value):.6g}"
