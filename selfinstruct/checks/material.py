"""Material that is none: inputs that only name it or repeat the instruction; instructions whose material is not there.

What real, small models write: "a number" or `points.csv` as the input of "Write a function that ...", the instruction
once more, three dots; or nothing at all where the instruction speaks of "the following text".
"""

from __future__ import annotations

from functools import lru_cache

import regex
from rapidfuzz.distance import LCSseq

from selfinstruct.checks.faults import Fault, reject
from selfinstruct.checks.word_lists import any_of, words
from selfinstruct.checks.wording import quoted
from selfinstruct.diversity.verbs import read

NEEDLESS = frozenset({"letterless_input", "restated_input", "described_input", "input_is_answer"})
"""Faults of an input alone: where the instruction needs none, the row is as good without it."""

_THING = any_of("things")
_NAMED_FILE = regex.compile(
    r"[\w./\\-]*(?:_[\w./-]*|\.(?:txt|csv|json|py|js|sql|md|xml|html?|xlsx?|docx?|pdf|com|org))"
)
_DESCRIBED = regex.compile(
    rf"(?:an?|the|some|any|your|this|that|these|those)?\s*(?:{any_of('thing_adjectives')}\s+){{0,4}}{_THING}"
    r"(?:\s+(?:of|to|that|which|with|for|containing|including|from|in|on|about|where|as|between|by)\b"
    r"(?:(?!\s(?:is|are|was|were|has|can)\s)[^.?!\n])*)?"
    r"(?:,\s+(?:and\s+)?(?:the\s+)?\w+(?:\s+\w+){0,8})*[.:]?",
    regex.IGNORECASE,
)
_PART_OF = regex.compile(
    r"(?:start|end|beginning|length|size|name|type|kind)\s+of\s+(?:the|an?)\s+\w+", regex.IGNORECASE
)
_BARE = regex.compile(r"\w+(?:\s+\w+)?")
_HOLDS_LITTLE = regex.compile(r"[^\d\"“”'`<>{}\[\]()=;|\n\t]*")
_MOST_WORDS = 25

_TOKEN = regex.compile(r"[\p{L}\p{N}]+")
_ENDING = regex.compile(r"(?:ing|ed|es|s|e)$")
_MOSTLY = 0.8

_THINGS = rf"(?:\w+\s+){{0,3}}?{_THING}"
_NOT_NAMED = r"(?!\s+(?:of|about|for|that|which|called|named|between|from|\d|[\"“'‘(\[]))"
_REFERS = [
    regex.compile(pattern, regex.IGNORECASE)
    for pattern in (
        rf"^\W*{any_of('works_on')}\s+\K(?:the|these|this)\s+{_THINGS}{_NOT_NAMED}",
        rf"^\W*\w+\s+(?:whether\s+|if\s+)?\K(?:this|these)\s+{_THING}",
        rf"\b(?:the|this|these|those|each|following|of)\s+{any_of('points')}\s+{_THINGS}",
        rf"\bthe\s+{_THINGS}\s+(?:given\s+)?(?:below|above|provided|attached)\b",
        rf"\bgiven\s+the\s+{_THINGS}",
        rf"\b(?:in|from|of|to|for|about|with)\s+(?:this|these)\s+{_THING}",
        r"\bthe\s+following\b(?=\s*[:.]?\s*$)",
        r"\bbelow\s*[:.]?\s*$",
        r"(?:以下|下面|下列|上述)(?:的|这)?\S{0,6}(?:文|段|句|列表|表|代码|数据|内容)",
    )
]
"""One pattern a phrase: `regex` looks for each by its rarest letters, and takes eight times as long for all in one."""
_WRITES_CODE = regex.compile(
    rf"\b(?:write|create|implement|develop|design|build|define|construct|formulate|generate|show)\b.{{0,60}}{any_of('code')}",
    regex.IGNORECASE | regex.DOTALL,
)
_HELD = regex.compile(r"[:：]\s*\S|[\"“”„«`].{2,}[\"“”»`]|\n\s*\S|'[^']{6,}'|「.+」|《.+》", regex.DOTALL)
_TELLS = frozenset({"what", "how", "why", "who", "where", "when", "explain", "define", "write", "compose", "create"})
"""Requests to tell something; an answer to one repeats no material."""
_FILLER = regex.compile(r"[\s.…*_~#|/\\,;:!?'\"·•–—-]*")


def letterless(field: str, text: str, instruction: str) -> Fault | None:
    """`letterless`, `letterless_input`: dots, stars or dashes alone, where the instruction is not about signs."""
    if not text.strip() or not _FILLER.fullmatch(text) or words("signs").search(instruction):
        return None
    said = f"the {field} is {quoted(text)}"
    return reject("letterless", said) if field == "output" else reject("letterless_input", said)


@lru_cache(maxsize=64)
def spoken_of(instruction: str) -> str:
    """How an instruction refers to a text, a list or code that it does not hold; empty where it does not.

    "Write a function that, given the following list, ..." is about no list in particular.
    """
    phrases = (found for pattern in _REFERS if (found := pattern.search(instruction)))
    found = min(phrases, key=lambda phrase: phrase.start(), default=None)
    if not found or _HELD.search(instruction[found.start() :]):
        return ""
    return "" if _WRITES_CODE.search(instruction[: found.start() + 1]) else found[0]


def no_material(instruction: str, given: str) -> Fault | None:
    """`no_material` where an instruction without input speaks of a text, a list or code that it does not hold."""
    material = "" if given.strip() else spoken_of(instruction)
    return reject("no_material", f"{quoted(material)} and no input") if material else None


def restated_input(instruction: str, given: str) -> Fault | None:
    """`restated_input` for an input whose words are four in five the instruction's, in their order."""
    words = _stems(given)
    if not words or len(words) > 60:
        return None
    shared = LCSseq.similarity(words, _stems(instruction))
    if shared < _MOSTLY * len(words) or (len(words) < 3 and not _DESCRIBED.fullmatch(given.strip())):
        return None
    return reject("restated_input", f"{quoted(given)} says the instruction again")


def described_input(instruction: str, given: str) -> Fault | None:
    """`described_input` for an input that only names or describes material: "a number", `input_list`, `points.csv`.

    A bare noun is an input where the instruction is about words, topics or names.
    """
    text = given.strip()
    if _NAMED_FILE.fullmatch(text) and not words("about_file_names").search(instruction):
        return reject("described_input", f"the input is only a name: {quoted(text)}")
    if len(text.split()) > _MOST_WORDS or not _HOLDS_LITTLE.fullmatch(text):
        return None
    if _BARE.fullmatch(text) and words("about_a_word").search(instruction):
        return None
    if _DESCRIBED.fullmatch(text) or _PART_OF.match(text):
        return reject("described_input", f"{quoted(text)} describes an input")
    return None


def repeated_by_output(instruction: str, given: str, output: str) -> Fault | None:
    """`input_is_answer` where the output repeats an input of which the instruction does not speak."""
    words = _stems(given)
    if len(words) < 8 or len(words) > 200 or read(instruction).verb not in _TELLS:
        return None
    if LCSseq.similarity(words, _stems(output)[: 2 * len(words)]) < _MOSTLY * len(words):
        return None
    return reject("input_is_answer", f"the output repeats the input: {quoted(given)}")


def _stems(text: str) -> list[str]:
    return [_ENDING.sub("", word) or word for word in _TOKEN.findall(text.lower()[:4000])]


def fault_of_material(instruction: str, given: str) -> Fault | None:
    """What is wrong with an input as the material that the instruction works on."""
    if not given.strip():
        return no_material(instruction, given)
    return (
        letterless("input", given, instruction)
        or restated_input(instruction, given)
        or described_input(instruction, given)
    )
