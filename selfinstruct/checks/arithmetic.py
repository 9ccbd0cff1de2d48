"""Plain arithmetic, done again: where an instruction is numbers and an operation, its answer is known."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from fractions import Fraction
from math import prod
from statistics import median

import regex

from selfinstruct.checks.calculation import (
    LONGEST_NUMBER,
    evaluate,
    has_many_digits,
    has_points,
    is_about,
    is_no_sum,
    is_result,
    number,
    written,
)
from selfinstruct.checks.faults import Fault, reject
from selfinstruct.checks.word_lists import any_of
from selfinstruct.checks.wording import quoted
from selfinstruct.types import Instance, Task

_NUMBER = r"[-−]?(?:\d{1,3}(?:,\d{3})+(?:\.\d+)?|\d+(?:\.\d+)?)"
_LONG_NUMBER = regex.compile(rf"\d{{{LONGEST_NUMBER}}}|(?:,\d{{3}}){{{LONGEST_NUMBER // 3}}}")
"""Texts with such a number are not looked at: a text may have one of any length, and Python refuses most of them."""
_LONGEST_QUESTION = 2000
"""Characters of an instruction, and of an input, that may be nothing but numbers and an operation."""
_TAIL = (
    r"(?:\s*[,;.(]?\s*(?:and\s+|please\s+)?(?:show\s+(?:your|the|all)\s+(?:work(?:ing)?|steps?|calculations?)|step\s+by\s+step"
    r"|(?:give|write|answer|state|return|output|reply|respond)(?:\s+with)?\s+(?:me\s+)?(?:only|just)?\s*(?:the|a)?\s*(?:result|number|answer|final\s+answer)"
    r"(?:\s+only)?|without\s+(?:using\s+)?a\s+calculator|in\s+your\s+head|exactly|please)\)?){0,2}\s*[.?!。？！]?\s*"
)
_ASKS = (
    r"(?:(?:please|can\s+you|could\s+you)\s+)?(?:(?:what(?:\s+is|['’]s|\s+does|\s+do|\s+are)|how\s+much(?:\s+is|\s+are)|calculate|compute|evaluate"
    r"|work\s+out|find|determine|solve|tell\s+me|give(?:\s+me)?|was\s+ist|wie\s*viel\s+(?:ist|sind)|berechne|combien\s+(?:font|fait)|calcule[rz]?|calcula"
    r"|cu[áa]nto\s+(?:es|son)|quanto\s+[ée]|计算|求|算一?下)\s*[:：]?\s*)"
    r"(?:(?:the\s+)?(?:exact\s+)?(?:result|value|answer|solution)\s+(?:of|to)\s+)?(?:the\s+(?:following\s+)?(?:expression|sum|problem|calculation)\s*[:：]?\s+)?"
)
_EXPRESSION = (
    r"(?P<expression>[-−(\d][-−+*/×÷·:^().,\d\s%xX]*?(?:\s(?:plus|minus|times|multiplied\s+by|divided\s+by|over|by|mal|durch)"
    r"\s[-−+*/×÷·^().,\d\s]+?)*)"
)
_PLAIN = regex.compile(
    rf"\s*{_ASKS}{_EXPRESSION}(?:\s*(?:=|equals?|equal\s+to|make|gleich|等于多少|等于几|是多少|的[值结]果?|的结果))?\s*\??{_TAIL}"
    rf"|\s*{_EXPRESSION}\s*(?:=\s*\??|等于多少|等于几|是多少|equals\s+what)\s*\??\s*",
    regex.IGNORECASE,
)
_ONLY_EXPRESSION = regex.compile(rf"\s*{_EXPRESSION}\s*(?:=\s*(?:\?|_+)?)?\s*", regex.IGNORECASE)
_OF_INPUT = regex.compile(
    r"\s*(?:please\s+)?(?:(?:calculate|compute|evaluate|solve|simplify|work\s+out|find|give|what\s+is|berechne|calcule[rz]?|计算|求)\s*)"
    r"(?:the\s+)?(?:(?:result|value|answer|solution)\s+(?:of|to)\s+)?(?:the|this|these|following|given|下面|以下|这个?|den|das|l['’])?\s*(?:following\s+|given\s+)?"
    r"(?:arithmetic\s+|math(?:ematical|s)?\s+|numerical\s+|的?)?(?:expressions?|problems?|calculations?|sums?|equations?|operation|ausdruck|算式|式子|表达式|expression)"
    r"(?:的?(?:值|结果))?" + _TAIL,
    regex.IGNORECASE,
)
_LIST = rf"(?P<list>{_NUMBER}(?:\s*(?:,\s+(?:and\s+)?|\s+and\s+|;\s*|、|和|，\s*){_NUMBER})+)"
_OPERATION = (
    r"(?P<operation>sum|total|product|average|(?:arithmetic\s+)?mean|median|largest(?:\s+number)?|maximum"
    r"|smallest(?:\s+number)?|minimum|difference)"
)
_NAMED = regex.compile(
    rf"\s*{_ASKS}(?:the\s+)?{_OPERATION}\s+(?:of|between|among|from)\s+(?:the\s+)?(?:following\s+)?(?:numbers?\s*)?[:：]?\s*{_LIST}{_TAIL}",
    regex.IGNORECASE,
)
_NAMED_OF_INPUT = regex.compile(
    rf"\s*given\s+(?:a\s+list\s+of|some|the)\s+(?:numbers|integers),\s*(?:output|find|compute|calculate|return|determine|give)"
    rf"\s+(?:the|their)\s+{_OPERATION}(?:\s+of\s+(?:the|these|all)\s+(?:numbers|integers))?\s*[.?]?\s*"
    rf"|\s*{_ASKS}(?:the\s+)?{_OPERATION}\s+(?:of|between|among|from|in)\s+(?:(?:the|these|those|this|all|given|following|list|set)\s+)*"
    rf"(?:of\s+)?(?:the\s+)?(?:numbers?|values?|list|set|integers?)(?:\s+(?:given|below|in\s+the\s+(?:input|list)))?{_TAIL}"
    rf"|\s*(?P<operation>add\s+up|add|sum(?:\s+up)?|multiply)\s+(?:(?:all|the|these|those|following|given)\s+)*numbers?{_TAIL}",
    regex.IGNORECASE,
)
_LIST_ONLY = regex.compile(
    rf"\s*(?:(?:list|numbers?|array|values?|integers?|data)\s*:\s*)?"
    rf"\[?(?P<list>{_NUMBER}(?:\s*[,;、，\s]\s*(?:and\s+)?{_NUMBER})+)\]?\.?\s*",
    regex.IGNORECASE,
)
_A, _B = rf"(?P<a>{_NUMBER})", rf"(?P<b>{_NUMBER})"
_COMMANDS = tuple(
    (regex.compile(rf"\s*(?:please\s+)?{pattern}", regex.IGNORECASE), does)
    for pattern, does in (
        (rf"add\s+{_A}\s+(?:and|to|plus)\s+{_B}{_TAIL}", "+"),
        (rf"subtract\s+{_B}\s+from\s+{_A}{_TAIL}", "-"),
        (rf"multiply\s+{_A}\s+(?:by|and|with|times)\s+{_B}{_TAIL}", "*"),
        (rf"divide\s+{_A}\s+by\s+{_B}{_TAIL}", "/"),
        (rf"{_ASKS}{_A}\s*(?:%|percent|per\s+cent)\s+of\s+{_B}{_TAIL}", "%"),
        (rf"how\s+many\s+times\s+(?:will|does|do|can)\s+{_B}\s+(?:divide|go|fit)\s+into\s+{_A}\s*\??\s*", "/"),
        (rf"{_ASKS}(?:the\s+)?square\s+of\s+{_A}(?P<b>){_TAIL}", "square"),
    )
)
_IN_ANSWER = regex.compile(
    r"(?P<sign>(?<![\w)])[-−]\s?|\bminus\s+|\bnegative\s+)?(?P<whole>\d{1,3}(?:[,  ’']\d{3})+(?!\d)|\d+)"
    r"(?P<decimals>\.\d+)?"
    r"(?:\s*(?:/|⁄)\s*(?P<under>\d+))?"
)
_UNSURE = regex.compile(
    r"\d\s*[eE][+-]?\d|[×x*]\s*10\s*(?:\^|\*\*|[⁰¹²³⁴-⁹])|\d\s+left\b|\bR\s*\d|\\frac|\\overline|[½⅓⅔¼¾⅕⅛]|\d,\d{1,2}(?!\d)"
    rf"|\d\.\d{{3}}\.\d|{any_of('unsure_numbers')}",
    regex.IGNORECASE,
)
_DIGIT = re.compile(r"\d")
_MIXED = regex.compile(r"(\d{1,9})\s+(\d{1,9})/([1-9]\d{0,8})")
_CALCULATES = regex.compile(
    r"\W*(?:please\s+)?(?:calculate|compute|evaluate|work\s+out|berechne|calcul|计算)", regex.IGNORECASE
)


def numeric_answer(task: Task, instance: Instance) -> Fault | None:
    """`wrong_number` where the right result of plain arithmetic stands nowhere in the output.

    The result is known only where all of the instruction, or it and an input that is nothing but numbers, says what to
    calculate. A rounded result is right. Results in words, with a remainder or in powers of ten are not looked at.
    """
    if (
        not _DIGIT.search(task.instruction + instance.input)
        or _UNSURE.search(instance.output)
        or _LONG_NUMBER.search(f"{task.instruction}\n{instance.input}\n{instance.output}")
    ):
        return None
    expected = _asked(task.instruction, instance.input)
    if expected is None:
        return None
    answer = _without_question(instance.output, instance.input.strip() or task.instruction)
    found = [value for match in _IN_ANSWER.finditer(answer) if (value := _value(match)) is not None]
    if not found or has_many_digits(expected):
        return None
    found += [
        (Fraction(int(whole)) + Fraction(int(over), int(under)), -1) for whole, over, under in _MIXED.findall(answer)
    ]
    if "%" in answer:
        found += [(value / 100, shown) for value, shown in found]
    if "difference" in task.instruction.lower():
        found += [(-value, shown) for value, shown in found]
    if expected.denominator == 1 and abs(expected) >= 1000 and has_points(answer):
        return None
    loose = is_about(answer) or "how many times" in task.instruction.lower()
    if any(is_result(expected, value, shown, loose=loose) for value, shown in found):
        return None
    return reject("wrong_number", f"{written(expected)} is right, not {quoted(instance.output, 40)}")


def _asked(instruction: str, given: str) -> Fraction | None:
    """The result; None where it is not certain what is to be calculated."""
    if len(instruction) > _LONGEST_QUESTION or len(given) > _LONGEST_QUESTION:
        return None
    return _asked_of_input(instruction, given) if given.strip() else _asked_alone(instruction)


def _asked_alone(instruction: str) -> Fraction | None:
    if found := _PLAIN.fullmatch(instruction):
        is_name = is_no_sum(found["expression"]) and not _CALCULATES.match(instruction)
        return None if is_name else evaluate(found["expression"])
    if found := _NAMED.fullmatch(instruction):
        return _of_list(found, found["list"])
    return next(
        (_command(does, found) for pattern, does in _COMMANDS if (found := pattern.fullmatch(instruction))), None
    )


def _asked_of_input(instruction: str, given: str) -> Fraction | None:
    if _OF_INPUT.fullmatch(instruction) and (found := _ONLY_EXPRESSION.fullmatch(given)):
        return evaluate(found["expression"])
    if (found := _NAMED_OF_INPUT.fullmatch(instruction)) and (listed := _LIST_ONLY.fullmatch(given)):
        return _of_list(found, listed["list"])
    return None


def _without_question(answer: str, question: str) -> str:
    """The answer without its first repeating of the numbers asked about, such as "12" and "144" in "144 / 12 = 14".

    Empty where there are no digits but theirs: "6 times 7 is forty-two".
    """
    numbers = [regex.escape(one) for one in regex.findall(r"\d+(?:[.,]\d+)*", question)]
    forward, backward = (r"[^\d]{1,20}".join(order) for order in (numbers, numbers[::-1]))
    if len(numbers) == 1:
        forward = backward = rf"\bof\s+{numbers[0]}(?![\d.,]*\d)"
    if not regex.search(r"\d", regex.sub(f"{forward}|{backward}", " ", answer)):
        return ""
    return regex.sub(forward, " ", answer, count=1)


def _of_list(found: regex.Match[str], text: str) -> Fraction | None:
    numbers = [number(one) for one in regex.findall(_NUMBER, text)]
    operation = " ".join(found["operation"].lower().split())
    return None if operation == "difference" and len(numbers) != 2 else _apply(operation, numbers)


def _apply(operation: str, numbers: Sequence[Fraction]) -> Fraction:
    does: dict[str, Callable[[], Fraction]] = {
        "product": lambda: prod(numbers, start=Fraction(1)),
        "multiply": lambda: prod(numbers, start=Fraction(1)),
        "average": lambda: sum(numbers, Fraction(0)) / len(numbers),
        "mean": lambda: sum(numbers, Fraction(0)) / len(numbers),
        "median": lambda: Fraction(median(numbers)),
        "largest": lambda: max(numbers),
        "maximum": lambda: max(numbers),
        "smallest": lambda: min(numbers),
        "minimum": lambda: min(numbers),
        "difference": lambda: abs(numbers[0] - numbers[1]),
    }
    name = operation.removeprefix("arithmetic ").removesuffix(" number")
    return does.get(name, lambda: sum(numbers, Fraction(0)))()


def _command(operation: str, found: regex.Match[str]) -> Fraction | None:
    a, b = number(found["a"]), number(found["b"] or "1")
    if operation == "/":
        return a / b if b else None
    results = {"+": a + b, "-": a - b, "*": a * b, "%": a * b / 100, "square": a * a}
    return results[operation]


def _value(found: regex.Match[str]) -> tuple[Fraction, int] | None:
    """A number of an answer, and how many decimals it shows; -1 for a fraction."""
    whole = regex.sub(r"\D", "", found["whole"])
    if len(whole) > LONGEST_NUMBER:
        return None
    value, decimals = Fraction(whole + (found["decimals"] or "")), len(found["decimals"] or ".") - 1
    if found["under"]:
        if not int(found["under"]):
            return None
        value, decimals = value / int(found["under"]), -1
    return (-value if found["sign"] else value), decimals
