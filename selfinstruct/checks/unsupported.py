"""Tasks about passages: instructions that speak of a passage nobody sees, outputs that say what the passage does not.

Only what is certain counts: numbers of two digits and more that follow from none of the passage, and names. Where a
task asks to calculate, invent, translate or write code, an output may well have others.
"""

from __future__ import annotations

import itertools

import regex

from selfinstruct.checks.faults import Fault, reject
from selfinstruct.types import USE, Instance, Task

_TEXT = r"(?:text|document|article|paragraph|section|chapter|page|guide|manual|documentation|author|context)"
_REFERS = regex.compile(
    r"\b(?:(?:the|this|that|given|provided|above|following)\s+(?:passage|excerpt|snippet)s?\b"
    rf"|(?:according\s+to|based\s+on|as\s+(?:described|stated|mentioned|explained)\s+(?:in|by))\s+(?:the|this)\s+"
    rf"(?:given\s+|provided\s+|above\s+)?{_TEXT}\b(?!\s+(?:of|on|for|about)\b)"
    rf"|(?:the|this)\s+(?:given|provided|above|following)\s+{_TEXT}\b|(?:the|this)\s+{_TEXT}\s+(?:above|below|provided)\b"
    rf"|(?:in|from|of)\s+(?:the|this)\s+{_TEXT}(?=\s*(?:[.?!,;:]|$)))",
    regex.IGNORECASE,
)
"""How English speaks of a text that is there."""
_FREE = regex.compile(
    r"\b(?:how\s+(?:many|much|long|old)|calculat\w*|comput\w*|count|sum\s+of|total|average|percent\w*|convert\w*|estimat\w*"
    r"|stor(?:y|ies)|poem\w*|dialog\w*|imagin\w*|invent\w*|fiction\w*|exampl\w*|scenario\w*|suggest\w*"
    r"|letter|e-?mail|code|script|query|translat\w*|title|headline|slogan|names?\s+for)\b",
    regex.IGNORECASE,
)
"""Where a task asks for more than the passage holds."""
_CODE = regex.compile(r"```.*?(?:```|\Z)|`[^`\n]*`", regex.DOTALL)
_NUMBER = regex.compile(r"(?<![\w.,:/#-])(?:\d{1,3}(?:,\d{3})+|\d+)(?:\.\d+)?(?![\w:/-]|[.,]\d)")
_MARK = regex.compile(r"^[\s*#>-]*\d+[.)]", regex.MULTILINE)
"""The number of a point in a list."""
_ANY_NUMBER = regex.compile(r"\d[\d,]*(?:\.\d+)?")
_SPELLED = regex.compile(
    r"\b(?:\w+teen|twenty|thirty|forty|fifty|sixty|seventy|eighty|ninety|hundreds?|thousands?|million|billion|dozen|half|"
    r"third|quarter|double|twice|decade|century)\b",
    regex.IGNORECASE,
)
_WORD = regex.compile(r"\p{L}+")
_NAME = regex.compile(r"(?<=\p{Ll}[,]?\s)\p{Lu}\p{L}{2,}(?:\s+\p{Lu}\p{L}+)*")
"""Capitalised words after a word that is not."""
_NOUNS_TOO = regex.compile(r"\b(?:und|der|das|nicht|ist|eine|werden)\b")
"""Words of German, in which capitals tell no names."""
_SAME_START = 4


def refers_to_passage(text: str) -> Fault | None:
    """`no_material` for a text that speaks of a passage, since nobody who reads it sees one."""
    found = _REFERS.search(text)
    return reject("no_material", f'"{found[0]}", and there is none to be seen') if found else None


def unsupported(task: Task, instance: Instance) -> Fault | None:
    """`unsupported` for numbers and names in the output that neither passage nor instruction has."""
    if task.passage is None or task.drawn[USE] == "output":
        return None
    if task.drawn[USE] == "closed_book" and (found := refers_to_passage(instance.output)):
        return found
    if _FREE.search(task.asked):
        return None
    known, output = f"{task.asked}\n{task.passage.titled}", _CODE.sub(" ", instance.output)
    strange = [*_strange_numbers(output, known), *_strange_names(output, known)]
    return reject("unsupported", f"not in the passage: {', '.join(strange[:5])}") if strange else None


def _strange_numbers(output: str, known: str) -> list[str]:
    """Numbers that are neither in what is known nor follow from two numbers of it, also rounded or as a share."""
    if _SPELLED.search(known):
        return []
    there = list(dict.fromkeys(float(one.replace(",", "")) for one in _ANY_NUMBER.findall(known)))[:60]
    values = {*there, *(a + b for a, b in itertools.combinations_with_replacement(there, 2))}
    values |= {abs(a - b) for a, b in itertools.combinations(there, 2)} | {a * b for a in there for b in (100, 0.01)}
    found = dict.fromkeys(_NUMBER.findall(_MARK.sub("", output)))
    return [one for one in found if len(one) > 1 and not any(_is_about(one, value) for value in values)]


def _is_about(said: str, value: float) -> bool:
    """Whether a number is another one, rounded to its last digit that is not 0."""
    digits = said.replace(",", "")
    zeros = len(digits) - len(digits.rstrip("0")) if "." not in digits else -len(digits.partition(".")[2])
    return bool(abs(float(digits) - value) <= 0.5 * 10.0**zeros + 1e-9)


def _strange_names(output: str, known: str) -> list[str]:
    """Names of which no word begins as one that is known, and that are no short form of known words, or the reverse."""
    if len(_NOUNS_TOO.findall(f"{output} {known}")) > 1:
        return []
    words = [one.lower() for one in _WORD.findall(known)]
    starts, initials = {one[:_SAME_START] for one in words}, "".join(one[0] for one in words)
    whole, strange = " ".join(words), []
    sentences = "\n".join(line for line in output.split("\n") if not _is_title(line))
    for name in dict.fromkeys(_NAME.findall(sentences)):
        parts = name.lower().split()
        short = "".join(one[0] for one in parts)
        if any(one[:_SAME_START] in starts or one in whole for one in parts):
            continue
        if name.isupper() and name.lower() in initials:
            continue
        if len(parts) > 1 and short in words:
            continue
        strange.append(name)
    return strange


def _is_title(line: str) -> bool:
    words = _WORD.findall(line)[1:]
    capitals = [one for one in words if one[0].isupper()]
    return len(capitals) * 2 >= len(words)
