"""The labels of a classification: which ones an instruction states, and whether an output is one of them."""

from __future__ import annotations

from collections.abc import Sequence

import regex

from selfinstruct.checks.word_lists import any_of, words
from selfinstruct.checks.wording import comparable
from selfinstruct.diversity.verbs import is_english, read

_QUOTED = r"(?:\"[^\"\n]{1,40}\"|“[^”\n]{1,40}”|'[^'\n]{1,40}'|‘[^’\n]{1,40}’|「[^」\n]{1,20}」)"
_COMMON = rf"(?:{any_of('common_labels')}|[A-H]|[0-9])"
_CAPITALISED = r"(?:(?:[A-Z][\p{L}-]{1,20})(?:\s[A-Z][\p{L}-]{1,20}){0,2})"
_JOIN = r"(?:\s*,\s*(?:and\s+|or\s+)?|\s*/\s*|\s+or\s+|\s+and\s+|\s*、\s*|\s*或者?\s*|\s*还是\s*|\s*和\s*)"
_ASKS = (
    r"(?:(?:output|answer|answers|respond|reply|return|say|state|labels?|choose|select|classif(?:y|ied)|categori[sz]e|decide"
    r"|either|into|as|with|is|from|between|using|one\s+of|options?|judge)\s*[:：]?\s*"
    r"(?:(?:with|either|as|only|one\s+of|the\s+(?:words?|labels?|letters?)|labels?)\s*[:：]?\s+){0,3})"
)
_CHINESE_ASKS = r"(?:回答|输出|判断为|分类为|分为|标为|标签[：:]?|是|用|从|选择)\s*"


def _stated(item: str, join: str = _JOIN) -> str:
    return rf"(?P<list>{item}(?:{join}{item}){{1,11}})"


_PATTERNS = (
    regex.compile(rf"(?:\b{_ASKS}|{_CHINESE_ASKS}|[:：]\s*|\(){_stated(_QUOTED)}", regex.IGNORECASE),
    regex.compile(
        rf"\b{_ASKS}{_stated(_COMMON)}(?=\s*(?:[.?!;:)]|$|\n|\bfor\b|\bbased\b|\bonly\b|\bin\b|\bto\b))",
        regex.IGNORECASE,
    ),
    regex.compile(rf"(?:^|[.?!:(]\s*){_stated(_COMMON)}(?=\s*(?:[.?!)]|$))", regex.IGNORECASE),
    regex.compile(rf"(?i:\b{_ASKS}|[.:(]\s*){_stated(_CAPITALISED)}(?=\s*(?:[.?!)]|$|\n))"),
    regex.compile(
        rf"(?:{_CHINESE_ASKS}|[：:（(]\s*)"
        + _stated(any_of("chinese_labels"), r"(?:\s*[、/，,]\s*|\s*或者?\s*|\s*还是\s*|\s*和\s*)")
        + r"(?=\s*(?:[。？！；;)）]|$|\n))"
    ),
)
_RANGE = regex.compile(r"\bbetween\s+\p{L}+\s+and\b|\d\s*(?:-|–|to)\s*\d", regex.IGNORECASE)
_PARTS = regex.compile(r"[,;/、，；\n]|(?<!\s)\s+and\s+")
_NAME = regex.compile(r"(?<=[\p{Ll},:] )[\"“'‘]?\p{Lu}\p{Ll}+\b")
"""A word with a capital letter inside a sentence, as labels often have."""
_ALTERNATIVES = regex.compile(r",\s+or\s|:[^.?!]*\bor\b")
_LONGEST = 10_000
"""Characters of an instruction whose labels are looked for."""


def stated_labels(instruction: str) -> tuple[str, ...]:
    """The labels that an instruction lists as the only answers, in its order; empty where there is doubt.

    Found are quoted labels ('Output "ethical" or "not ethical"'), capitalised ones ("Positive or Negative"), single
    letters and digits, and everyday ones ("yes or no"), each after a word that asks for them. Nothing is found where
    the instruction goes on to ask for a reason, gives a range or says that the labels are examples.
    """
    if len(instruction) > _LONGEST or _RANGE.search(instruction) or words("open_ended").search(instruction):
        return ()
    lists = [found["list"] for pattern in _PATTERNS for found in pattern.finditer(instruction)]
    if len({comparable(each) for each in lists}) != 1:
        return ()
    quoted = regex.findall(_QUOTED, lists[0])
    parts = [label[1:-1] for label in quoted] if quoted else regex.split(_JOIN, lists[0])
    labels = tuple(dict.fromkeys(part.strip() for part in parts if part.strip()))
    return labels if len(labels) > 2 or regex.search(r"\bor\b|[/或]|还是|\"|“", lists[0]) else ()


def may_be_classification(instruction: str) -> bool:
    """Whether an instruction may ask for one label out of a few: it states them, names classes or asks yes or no.

    Small models call many other tasks classifications, and then label a poem "nature". True where it is not English.
    """
    if not is_english(instruction) or stated_labels(instruction):
        return True
    verb = read(instruction).verb
    if words("asks_for_a_work").fullmatch(verb):
        return False
    if words("asks_for_a_label").fullmatch(verb) or len(_NAME.findall(instruction)) > 1:
        return True
    return bool(_ALTERNATIVES.search(instruction) or words("names_classes").search(instruction))


def is_one_of(output: str, labels: Sequence[str]) -> bool:
    """Whether an output is one of the labels, a list of them, or one with words after a punctuation mark."""
    keys = {comparable(label) for label in labels}
    if comparable(output) in keys:
        return True
    parts = [part for part in _PARTS.split(output) if part.strip()]
    if parts and all(comparable(part) in keys for part in parts):
        return True
    head = regex.match(r"\s*+[\"'“‘(]?(?P<label>[^.,;:!\n(。，；：！（]++)[.,;:!\n(。，；：！（]", output)
    return head is not None and comparable(head["label"]) in keys
