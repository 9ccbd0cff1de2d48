"""Short answers: which ones can be compared with others, and whether two of them come to the same.

It needs nothing but the words, so that programs that train may import it.
"""

from __future__ import annotations

import unicodedata

import regex

from selfinstruct.types import Task

MOST_WORDS = 5
"""Of a short answer; where white space does not part words, three characters count as one."""

Key = tuple[str, ...]
"""What two answers have in common that say the same."""

_ANSWER_LINE = regex.compile(
    r"[ \t>*_#]{0,8}(?:(?:so|thus|therefore),?[ \t]+)?(?:the[ \t]+)?(?:final[ \t]+)?(?:answer|答案|最终答案)"
    r"(?:[ \t]+is)?[ \t]{0,3}[*_]{0,3}[ \t]?[:：][ \t*_]{0,6}(?P<answer>\S.*)",
    regex.IGNORECASE,
)
_BOXED = regex.compile(r"^\$*\\boxed\{(.*)\}\$*\.?$")
_WRAPPED = regex.compile(r"^(?:\*\*(.+)\*\*|__(.+)__|`([^`]+)`|\$([^$]+)\$|[\"“](.+)[\"”])\.?$")
_NUMBER = r"\d{1,3}(?:,\d{3})+(?:\.\d+)?(?![\d,])|\d+(?:\.\d+)?"
_IS_NUMBER = regex.compile(
    rf"[-+−]?\s?\p{{Sc}}?\s?(?:{_NUMBER})\s?(?:%|\p{{Sc}}|°\p{{L}}?)?(?:\s\p{{L}}+){{0,2}}[.。]?"
)
_TOKEN = regex.compile(
    rf"(?<![\w)])(?P<sign>[-+−])(?=\p{{Sc}}?\d)|(?P<number>{_NUMBER})|[^\W\d_]+(?:['’][^\W\d_]+)*"
    r"|(?<=\d)[/:.,\-–](?=\d)|[\p{S}%&@#*/]"
)
_RAISED = regex.compile(r"(?<=[\p{L}\d)])[⁰¹²³⁴-⁹⁺⁻]+")
_FRACTION = regex.compile(r"(?<=\d)[½⅓-⅞¼¾⅐⅑⅒]")
"""Both are plain digits to NFKC: 10² would be 102, and 2½ 21/2."""
_UNSPACED = regex.compile(r"[\p{Han}\p{Hiragana}\p{Katakana}\p{Thai}\p{Lao}\p{Khmer}\p{Myanmar}]")
_OPEN_ENDED = regex.compile(
    r"\b(?:write|compose|create|invent|make\s+up|suggest|come\s+up|think\s+of|imagine|brainstorm|propose|recommend|advise"
    r"|(?:give|name|tell|list|find|offer|provide|state)\s+(?:me\s+|us\s+)?(?:an?|one|some|any|another)\b|examples?|titles?"
    r"|headlines?|slogans?|captions?|taglines?|nicknames?|rephrase|paraphrase|rewrite|reword|synonyms?|describe|random"
    r"|any\s+\w+|opinion|favou?rite)\b|写|创作|起名|建议|举例|想出|推荐|改写|同义词|描述|随机",
    regex.IGNORECASE,
)
_ANY_NUMBER = regex.compile(
    r"\b(?:random|any\s+number|pick\s+a|choose\s+a\s+number|guess|estimate)\b|随机|估计", regex.IGNORECASE
)


def final_answer(text: str) -> str:
    """What an answer comes to: after "Answer:" where its last line begins so, else all of it; without its wrapping."""
    lines = text.strip().splitlines()
    found = _ANSWER_LINE.fullmatch(lines[-1]) if lines else None
    answer = found["answer"].rstrip("*_ \t") if found else text.strip()
    for pattern in (_WRAPPED, _BOXED, _WRAPPED):
        if inner := pattern.match(answer):
            answer = next(group for group in inner.groups() if group is not None).strip()
    return answer


def is_definite(task: Task, text: str) -> bool:
    """Whether an answer is short and definite, so that others can be compared with it.

    It must come to one line that is a number (with a unit, a currency or a percent sign), or to five words at most. A
    number is definite unless the instruction asks for any one; words are where the task is a classification, or where
    its instruction asks for nothing that may be answered in many ways: to write, suggest, name one, rephrase.
    """
    answer = final_answer(text)
    if not answer or "\n" in answer:
        return False
    if _IS_NUMBER.fullmatch(answer):
        return not _ANY_NUMBER.search(task.instruction)
    words = len(answer.split()) + len(_UNSPACED.findall(answer)) // 3
    return words <= MOST_WORDS and (bool(task.is_classification) or not _OPEN_ENDED.search(task.instruction))


def same_answer(text: str) -> Key:
    """Equal for answers that come to the same: numbers by value, words regardless of case, marks and white space."""
    plain = _FRACTION.sub(r" \g<0>", _RAISED.sub(r"^\g<0>", final_answer(text)))
    folded = unicodedata.normalize("NFKC", unicodedata.normalize("NFKC", plain).casefold()).replace("⁄", "/")
    tokens = []
    for found in _TOKEN.finditer(folded):
        if found["number"] is not None:
            tokens.append(_value(found[0]))
        elif found["sign"] is None:
            tokens.append(found[0].replace("’", "'"))
        elif found["sign"] != "+":
            tokens.append("-")
    return tuple(tokens) or ("", *folded.split())


def is_same(text: str, other: str) -> bool | None:
    """Whether two short answers say the same; None where it cannot be told.

    That is where the numbers are equal and the rest is not, or only one has a number, or a fraction, in figures.
    """
    keys = same_answer(text), same_answer(other)
    if keys[0] == keys[1]:
        return True
    figures = [[one for one in key if one == "-" or one[:1].isdecimal()] for key in keys]
    if figures[0] != figures[1]:
        return False if all(figures) and ("/" in keys[0]) == ("/" in keys[1]) else None
    return None if figures[0] else False


def _value(number: str) -> str:
    """A number as everybody would write it, with all of its digits."""
    digits = "".join(str(unicodedata.decimal(one)) if one.isdecimal() else one for one in number if one != ",")
    whole, _, decimals = digits.partition(".")
    whole, decimals = whole.lstrip("0") or "0", decimals.rstrip("0")
    return f"{whole}.{decimals}" if decimals else whole
