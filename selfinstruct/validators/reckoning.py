"""Reckoning with numbers in texts: the value of an expression, what counts as it, and equations that do not hold."""

from __future__ import annotations

from fractions import Fraction

import regex

LONGEST_NUMBER = 60
"""Digits; longer numbers and results are not looked at."""
_LARGEST = int("9" * LONGEST_NUMBER)
_LONGEST_POWER = 10_000
"""Bits of a power within an expression."""
_WORDS = (
    (regex.compile(r"\bplus\b", regex.IGNORECASE), "+"),
    (regex.compile(r"\bminus\b", regex.IGNORECASE), "-"),
    (regex.compile(r"\b(?:times|multiplied\s+by|mal)\b", regex.IGNORECASE), "*"),
    (regex.compile(r"\b(?:divided\s+by|over|durch)\b", regex.IGNORECASE), "/"),
    (regex.compile(r"[×·]|(?<=[\d)])(?:[xX](?=\d)|\s+[xX]\s+(?=[\d(]))"), "*"),
    (regex.compile(r"÷"), "/"),
    (regex.compile(r"−"), "-"),
    (regex.compile(r"\*\*"), "^"),
)
_TOKENS = regex.compile(
    r"\s*(?:(?P<number>\d{1,3}(?:,\d{3})+(?:\.\d+)?(?![\d,])|\d+(?:\.\d+)?(?![\d.,]\d))|(?P<mark>[-+*/^()]))"
)

_NO_SUM = regex.compile(r"\d+(?:[-/]\d+)+")
"""What is "9/11", "24/7" or "4-3-3"? Nothing to reckon."""
_ABOUT = regex.compile(
    r"≈|~|\b(?:about|approximately|approx|roughly|around|rounded|nearly)\b|约|大约", regex.IGNORECASE
)
_DOTTED = regex.compile(r"\d\.\d{3}(?!\d)")
"""Points that may stand between thousands."""
_EQUATION = regex.compile(
    r"(?:(?:^|\n)[ \t]*(?:[-*•][ \t]+|\d{1,2}[.)][ \t]+)?|[.:;,][ \t]+"
    r"|\b(?i:so|thus|then|therefore|is|have|get|gives?|calculate|compute|because|since|that)[ \t]+)"
    r"(?P<left>[-−(]?\d[\d +*/×÷·^().,xX−-]{0,80}?[+*/×÷·^xX−-][\d +*/×÷·^().,xX−-]{0,80}?[\d)])[ \t]*=[ \t]*"
    r"(?P<right>[-−]?\d+(?:,\d{3})*(?:\.\d+)?)(?![\p{N}\p{L}%^!°'’\"_])"
    r"(?![ \t]*[-+*/×÷·^=!(−:,.][ \t]*\d)(?![ \t]*[+*/×÷·^=(−])"
    r"(?!\s(?:x|X|times|mal|over|plus|minus|divided|multiplied|mod|modulo|per|percent|hundred|thousand|million|billion|r|R)\b)"
)
_MAY_BE_MEANT = regex.compile(
    r"\b(?:puzzles?|riddles?|binary|hexadecimal|octal|base|mod(?:ulo|ular)?|clock|patterns?|sequences?|wrong|mistakes?|errors?"
    r"|incorrect|false|true|correct|check|verify|codes?|program\w*|functions?|scripts?|python|javascript|regex|jokes?|story"
    r"|trick|vectors?|matri\w+|sets?|boolean|logic\w*|xor|bitwise|cipher|symbols?|operators?|invent\w*|strings?|concatenat\w*"
    r"|debug\w*|output\s+of|excel|sql|latex|chess|scores?|synergy|metaphor\w*|poems?|lyrics|fiction\w*|slogans?)\b"
    r"|错|谜|程序|代码|规律",
    regex.IGNORECASE,
)
_DENIED = regex.compile(
    r"≠|!=|==|\b(?:not|wrong|incorrect|false|instead\s+of|mistake|error)\b|n['’]t\b|```|\\", regex.IGNORECASE
)


def wrong_equation(answer: str, asked: str) -> str | None:
    """The first equation of plain numbers in an answer that does not hold; None where all do, or it may be meant so.

    Nothing is found where the task is about puzzles, other bases, mistakes or programs, or has the equation itself.
    """
    if "=" not in answer or _MAY_BE_MEANT.search(asked) or _DENIED.search(answer):
        return None
    for found in _EQUATION.finditer(answer):
        left, right = evaluate(found["left"]), number(found["right"])
        if left is None or _DOTTED.search(found[0]) or is_no_sum(found["left"]) or found["left"] in asked:
            continue
        decimals = len(found["right"].partition(".")[2])
        if not is_result(left, right, decimals, None, loose=is_about(answer)):
            return f"{found['left']} = {found['right']}"
    return None


def is_no_sum(expression: str) -> bool:
    """Whether an expression may be a date, a score or a name, such as "9/11", "24/7" or "4-3-3"."""
    return bool(_NO_SUM.fullmatch("".join(expression.split())) and _NO_SUM.fullmatch(expression.strip()))


def has_points(answer: str) -> bool:
    """Whether an answer has numbers with a point that may part thousands."""
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
    if len(tokens) > 60 or not any(mark in "+-*/^" for mark in tokens[1:]):
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
    value, tokens = _power(tokens)
    while tokens and tokens[0] in "*/":
        other, rest = _power(tokens[1:])
        value = value * other if tokens[0] == "*" else value / other
        tokens = rest
    return value, tokens


def _power(tokens: list[str]) -> tuple[Fraction, list[str]]:
    sign = 1
    if tokens[0] == "-":
        sign, tokens = -1, tokens[1:]
    value, tokens = _atom(tokens)
    if tokens and tokens[0] == "^":
        exponent, tokens = _atom(tokens[1:])
        if sign < 0 or exponent.denominator != 1 or abs(exponent) > 100 or (tokens and tokens[0] == "^"):
            raise ValueError("not plain")
        if max(value.numerator.bit_length(), value.denominator.bit_length()) * abs(exponent) > _LONGEST_POWER:
            raise ValueError("too long")
        value **= int(exponent)
    return sign * value, tokens


def _atom(tokens: list[str]) -> tuple[Fraction, list[str]]:
    if tokens[0] == "(":
        value, tokens = _sum(tokens[1:])
        if tokens[0] != ")":
            raise ValueError("not plain")
        return value, tokens[1:]
    return number(tokens[0]), tokens[1:]


def is_result(expected: Fraction, value: Fraction, decimals: int, places: int | None, *, loose: bool) -> bool:
    """Whether a number in an answer is the result: exactly, or rounded or cut to the decimals that it shows.

    An integer is a rounded result only where the answer or the instruction says so, or the decimals never end.
    """
    if value == expected:
        return True
    may_be_whole = loose or places is not None or not _terminates(expected)
    if decimals < (0 if may_be_whole else 1):
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
