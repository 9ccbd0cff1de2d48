"""Material that is none: inputs that only name it or repeat the instruction; instructions whose material is not there.

What real, small models write: "a number" or `points.csv` as the input of "Write a function that ...", the instruction
once more, three dots; or nothing at all where the instruction speaks of "the following text".
"""

from __future__ import annotations

import regex
from rapidfuzz.distance import LCSseq

from selfinstruct.diversity.verbs import read
from selfinstruct.filters.wording import Fault, excerpt

NEEDLESS = frozenset({"letterless_input", "restated_input", "described_input", "input_is_answer"})
"""Faults of an input alone: where the instruction needs none, the row is as good without it."""

_THING = (
    r"(?:text|paragraph|sentence|passage|article|essay|story|poem|letter|e-?mail|message|review|comment|post|tweet|dialogue"
    r"|conversation|transcript|document|report|note|recipe|paper|abstract|list|table|array|string|number|integer|figure|value"
    r"|date|data|dataset|data\s+set|database|csv|json|code|snippet|code\s+snippet|function|method|class|script|program|query"
    r"|statement|example|input|output|content|word|item|element|question|answer|problem|equation|expression|set|file|log"
    r"|image|picture|description|instruction|scenario|situation|name|title|headline|quote|claim|option|choice|case|row|column"
    r"|pair|sequence|dictionary|object|matrix|graph|user|customer|product|person|company|event|topic|theme)s?"
)
_NAMED_FILE = regex.compile(
    r"[\w./\\-]*(?:_[\w./-]*|\.(?:txt|csv|json|py|js|sql|md|xml|html?|xlsx?|docx?|pdf|com|org))"
)
_ADJECTIVE = (
    r"(?:given|example|sample|input|output|short|simple|long|large|small|certain|specific|particular|random|new|original|correct"
    r"|incorrect|python|java|javascript|sql|c\+\+|html|css|english|following|second|first|two|three|several|some|list\s+of)"
)
_DESCRIBED = regex.compile(
    rf"(?:an?|the|some|any|your|this|that|these|those)?\s*(?:{_ADJECTIVE}\s+){{0,4}}{_THING}"
    r"(?:\s+(?:of|to|that|which|with|for|containing|including|from|in|on|about|where|as|between|by)\b"
    r"(?:(?!\s(?:is|are|was|were|has|can)\s)[^.?!\n])*)?"
    r"(?:,\s+(?:and\s+)?(?:the\s+)?\w+(?:\s+\w+){0,8})*[.:]?",
    regex.IGNORECASE,
)
_PART_OF = regex.compile(
    r"(?:start|end|beginning|length|size|name|type|kind)\s+of\s+(?:the|an?)\s+\w+", regex.IGNORECASE
)
_BARE = regex.compile(r"\w+(?:\s+\w+)?")
_ABOUT_A_WORD = regex.compile(
    r"\b(?:words?|terms?|nouns?|verbs?|adjectives?|phrases?|synonyms?|antonyms?|opposites?|plurals?|rhym\w*|spell\w*|defin\w*"
    r"|topics?|subjects?|themes?|concepts?|names?|titles?|objects?|things?|items?|categor\w*|classif\w*|translat\w*|products?"
    r"|keywords?|letters?|syllables?|language|meaning|choices?|options?)\b",
    regex.IGNORECASE,
)
_HOLDS_LITTLE = regex.compile(r"[^\d\"“”'`<>{}\[\]()=;|\n\t]*")
_MOST_WORDS = 25

_TOKEN = regex.compile(r"[\p{L}\p{N}]+")
_ENDING = regex.compile(r"(?:ing|ed|es|s|e)$")
_MOSTLY = 0.8

_POINTS = (
    r"(?:following|above|below|given|provided|attached|accompanying|aforementioned|original|folgende[nrsm]?|gegebene[nrsm]?"
    r"|suivante?s?|siguientes?)"
)
_THINGS = rf"(?:\w+\s+){{0,3}}?{_THING}"
_REFERS = regex.compile(
    rf"\b(?:the|this|these|those|each|following|of)\s+{_POINTS}\s+{_THINGS}\b|\bthe\s+{_THINGS}\s+(?:given\s+)?(?:below|above|provided|attached)\b"
    rf"|\bgiven\s+the\s+{_THINGS}\b|\b(?:in|from|of|to|for|about|with)\s+(?:this|these)\s+{_THING}\b"
    rf"|^\W*\w+\s+(?:whether\s+|if\s+)?(?:this|these)\s+{_THING}\b|\bthe\s+following\b(?=\s*[:.]?\s*$)"
    r"|\bbelow\s*[:.]?\s*$|(?:以下|下面|下列|上述)(?:的|这)?\S{0,6}(?:文|段|句|列表|表|代码|数据|内容)",
    regex.IGNORECASE,
)
_WRITES_CODE = regex.compile(
    r"\b(?:write|create|implement|develop|design|build|define|construct|program|code|formulate|generate|show)\b.{0,60}"
    r"\b(?:function|program|script|method|class|query|quer|queries|regex|regular\s+expression|algorithm|formula|code|macro|loop"
    r"|command|app|application|api|procedure|snippet)\b",
    regex.IGNORECASE | regex.DOTALL,
)
_HELD = regex.compile(r"[:：]\s*\S|[\"“”„«`].{2,}[\"“”»`]|\n\s*\S|'[^']{6,}'|「.+」|《.+》", regex.DOTALL)
_TELLS = frozenset({"what", "how", "why", "who", "where", "when", "explain", "define", "write", "compose", "create"})
"""Requests to tell something; an answer to one repeats no material."""
_SIGN = regex.compile(
    r"\b(?:operators?|symbols?|signs?|punctuat\w*|characters?|marks?|emojis?|emoticons?|brackets?|notation|pattern|ascii|draw\w*"
    r"|smiley|arrows?|morse)\b|符号|标点|表情|运算符",
    regex.IGNORECASE,
)
_FILLER = regex.compile(r"[\s.…*_~#|/\\,;:!?'\"·•–—-]*")


def letterless(field: str, text: str, instruction: str) -> Fault | None:
    """`letterless`, `letterless_input`: dots, stars or dashes alone, where the instruction is not about signs."""
    if not text.strip() or not _FILLER.fullmatch(text) or _SIGN.search(instruction):
        return None
    said = f'the {field} is "{excerpt(text)}"'
    return Fault("letterless", said) if field == "output" else Fault("letterless_input", said)


def no_material(instruction: str, given: str) -> Fault | None:
    """`no_material` where an instruction without input speaks of a text, a list or code that it does not hold.

    "Write a function that, given the following list, ..." is about no list in particular.
    """
    if given.strip() or not (found := _REFERS.search(instruction)):
        return None
    rest = instruction[found.start() :]
    if _HELD.search(rest) or _WRITES_CODE.search(instruction[: found.start() + 1]):
        return None
    return Fault("no_material", f'"{excerpt(found[0])}" and no input')


def restated_input(instruction: str, given: str) -> Fault | None:
    """`restated_input` for an input whose words are four in five the instruction's, in their order."""
    words = _stems(given)
    if not words or len(words) > 60:
        return None
    shared = _longest_common(words, _stems(instruction))
    if shared < _MOSTLY * len(words) or (len(words) < 3 and not _names_only(given)):
        return None
    return Fault("restated_input", f'"{excerpt(given)}" says the instruction again')


def described_input(instruction: str, given: str) -> Fault | None:
    """`described_input` for an input that only names or describes material: "a number", `input_list`, `points.csv`.

    A bare noun is an input where the instruction is about words, topics or names.
    """
    text = given.strip()
    if _NAMED_FILE.fullmatch(text) and not regex.search(
        r"\b(?:file|path|name|variable|url|domain|identifier|snake|extension)", instruction, regex.IGNORECASE
    ):
        return Fault("described_input", f'the input is only a name: "{excerpt(text)}"')
    if len(text.split()) > _MOST_WORDS or not _HOLDS_LITTLE.fullmatch(text):
        return None
    if _BARE.fullmatch(text) and _ABOUT_A_WORD.search(instruction):
        return None
    if _DESCRIBED.fullmatch(text) or _PART_OF.match(text):
        return Fault("described_input", f'"{excerpt(text)}" describes an input')
    return None


def repeated_by_output(instruction: str, given: str, output: str) -> Fault | None:
    """`input_is_answer` where the output repeats an input of which the instruction does not speak."""
    words, answer = _stems(given), _stems(output)
    if len(words) < 8 or len(words) > 200 or read(instruction).verb not in _TELLS:
        return None
    if _longest_common(words, answer[: 2 * len(words)]) < _MOSTLY * len(words):
        return None
    return Fault("input_is_answer", f'the output repeats the input: "{excerpt(given)}"')


def _names_only(given: str) -> bool:
    return _DESCRIBED.fullmatch(given.strip()) is not None


def _stems(text: str) -> list[str]:
    return [_ENDING.sub("", word) or word for word in _TOKEN.findall(text.lower()[:4000])]


def _longest_common(some: list[str], other: list[str]) -> int:
    return int(LCSseq.similarity(some, other))


def fault_of_material(instruction: str, given: str) -> Fault | None:
    """What is wrong with an input as the material that the instruction works on."""
    if not given.strip():
        return no_material(instruction, given)
    return (
        letterless("input", given, instruction)
        or restated_input(instruction, given)
        or described_input(instruction, given)
    )
