"""Outputs in another language than the instruction asks for."""

from __future__ import annotations

import tomllib
from collections.abc import Mapping
from importlib import resources

import regex

from selfinstruct.checks.faults import Fault, reject
from selfinstruct.checks.instances import Validator
from selfinstruct.checks.instruction_language import wrong_language
from selfinstruct.checks.word_lists import any_of, words
from selfinstruct.checks.wording import quoted
from selfinstruct.similarity.tokens import tokenize
from selfinstruct.types import Instance, Task

_TABLES: Mapping[str, Mapping[str, str]] = tomllib.loads(
    (resources.files("selfinstruct.checks") / "output_language.toml").read_text("utf-8")
)
_NAMES = {code: names.split() for code, names in _TABLES["names"].items()}
_ANY = "|".join(
    f"(?P<{code}>{'|'.join(f'(?-i:{name})' if name[0].isupper() else name for name in names)})"
    for code, names in _NAMES.items()
)
_KIND = (
    r"(?:(?:simple|formal|informal|modern|standard|traditional|simplified|brazilian|british|american|plain|fluent)\s+)?"
)
_WANTED = regex.compile(
    rf"(?<!\b(?:has|have|had|is|are|was|were)\s){any_of('writes')}[^.?!。\n\"“:]{{0,100}}?"
    rf"(?:\b(?:in|into|to|ins?|auf|en|al|em|in\s+das|vers\s+l['’]|en\s+l['’])\s+|l['’])(?:the\s+)?{_KIND}(?:{_ANY})\b(?P<after>[^.?!\n:]{{0,30}})"
    rf"|(?:翻译?[成为到]?|译[成为]|用|以|写成|改成|转[成为])(?:现代|标准)?(?:{_ANY})(?P<after>[^。？！\n：]{{0,12}})",
    regex.IGNORECASE,
)
_NOT_A_LANGUAGE_NOW = regex.compile(rf"\s*(?:[-,/&和或、课与及学]|{any_of('after_no_language')})", regex.IGNORECASE)
_MAY_FOLLOW = regex.compile(rf"\s*(?:$|[;)\p{{Han}}]|{any_of('after_a_language')})", regex.IGNORECASE)
_LETTERS = regex.compile(r"\p{L}")
_QUOTED = regex.compile(r"\"[^\"]*\"|“[^“”]*”|«[^«»]*»|„[^„“”]*[“”]|「[^「」]*」|《[^《》]*》|`[^`]*`|\([^()]*\)")
_OF_SCRIPT = {
    code: regex.compile("|".join(rf"\p{{{name}}}" for name in names.split()))
    for code, names in _TABLES["scripts"].items()
}
_LATIN = regex.compile(r"\p{Latin}")
_KANA = regex.compile(r"[\p{Hiragana}\p{Katakana}]")
_HAN = regex.compile(r"\p{Han}")

_COMMON = {code: frozenset(small.split()) for code, small in _TABLES["small_words"].items()}
"""Small words by language. Those that another of these languages has as well do not count."""
_KIN = ({"es", "pt"}, {"da", "no", "sv"}, {"nl", "de"}, {"cs", "sk", "pl"}, {"es", "it"}, {"pt", "it"})
_OWN = {
    code: words - frozenset().union(*(other for name, other in _COMMON.items() if name != code))
    for code, words in _COMMON.items()
}


_ALONE = {
    code: script
    for code, script in _OF_SCRIPT.items()
    if code != "ja" and [*_TABLES["scripts"].values()].count(_TABLES["scripts"][code]) == 1
}
"""The languages here that no other shares its script with, but for Chinese and Japanese."""
_ALIKE = frozenset(code for family in _KIN if not family <= _COMMON.keys() for code in family)
"""Those that small words do not tell from kin without a list."""


def plain_language(text: str) -> str | None:
    """The code of the language that a text is plainly in, without a detector; None where there is any doubt.

    By a script that fills half of its letters, else by small words: three different ones, and twice as many as of any
    other language.
    """
    if not text.isascii() and len(_LATIN.findall(text)) * 2 < (letters := len(_LETTERS.findall(text))):
        if len(_KANA.findall(text)) * 5 > letters:
            return "ja"
        return next((code for code, script in _ALONE.items() if len(script.findall(text)) * 2 > letters), None)
    tokens = {*tokenize(text)}
    counts = {code: len(tokens & words) for code, words in _OWN.items()}
    best, second = sorted(counts, key=lambda code: -counts[code])[:2]
    return best if counts[best] >= max(3, 2 * counts[second]) and best not in _ALIKE else None


def asked_language(instruction: str) -> str | None:
    """The code of the one language that an instruction wants its answer in; None: there is none, or there is doubt."""
    found = [
        match
        for match in _WANTED.finditer(instruction)
        if _MAY_FOLLOW.match(match["after"]) and not _NOT_A_LANGUAGE_NOW.match(match["after"])
    ]
    codes = {code for match in found for code in _NAMES if match[code]}
    return codes.pop() if len(codes) == 1 and not words("mixes_languages").search(instruction) else None


def language_match(task: Task, instance: Instance) -> Fault | None:
    """`wrong_language` for an output that is plainly not in the language asked for.

    By its script where the language has one of its own; among languages in Latin letters by small words: at least three
    of another language and none of the one asked for. Works without a detector, so that it is the same everywhere.
    """
    code = asked_language(task.instruction)
    if code is None:
        return None
    text = _QUOTED.sub(" ", instance.output)
    text = text if _LETTERS.search(text) else instance.output
    letters = len(_LETTERS.findall(text))
    if letters < 4 or "```" in text:
        return None
    found = _wrong_script(code, text, letters) if code in _OF_SCRIPT else _wrong_words(code, text, letters)
    return reject("wrong_language", f"{found}, wanted {_english(code)}: {quoted(text, 40)}") if found else None


def _wrong_script(code: str, text: str, letters: int) -> str | None:
    if not _OF_SCRIPT[code].search(text):
        return "another script"
    if code == "zh" and len(_KANA.findall(text)) * 5 > letters:
        return "Japanese"
    if code == "ja" and letters > 20 and len(_HAN.findall(text)) == letters:
        return "Chinese"
    return None


def _wrong_words(code: str, text: str, letters: int) -> str | None:
    if len(_LATIN.findall(text)) * 10 < letters * 3:
        return "another script"
    tokens = tokenize(text)
    kin = {code}.union(*(family for family in _KIN if code in family))
    counts = {name: sum(token in words for token in tokens) for name, words in _OWN.items()}
    best = max((name for name in counts if name not in kin), key=lambda name: counts[name])
    own = counts.get(code, 0)
    if counts[best] < 3 or counts[best] * 12 < len(tokens) or own or _has_own_letters(code, text):
        return None
    return _english(best)


def _has_own_letters(code: str, text: str) -> bool:
    """Whether a text has letters that English lacks, where the language has no list of small words."""
    return code not in _COMMON and bool(regex.search(r"[^\p{ASCII}\p{P}\p{S}\s]", text))


def _english(code: str) -> str:
    return _NAMES[code][0].title()


def careful_language_match() -> Validator:
    """`language_match` with the detector of the extra `languages` after it, for outputs of thirty letters and more.

    Raises:
        ConfigError: the detector is not installed.
    """
    wrong_language(("en",))

    def check(task: Task, instance: Instance) -> Fault | None:
        if fault := language_match(task, instance):
            return fault
        code = asked_language(task.instruction)
        text = instance.output
        if code is None or "```" in text or len(_LETTERS.findall(text)) < 30:
            return None
        return wrong_language(("nb" if code == "no" else code,))(text)

    return check
