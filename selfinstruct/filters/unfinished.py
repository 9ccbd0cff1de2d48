"""Instructions that end in the middle."""

from __future__ import annotations

from collections.abc import Callable

import regex

from selfinstruct.filters.wording import Fault, excerpt

_COMMA = regex.compile(r"[,،、，;；]$|\s[-–—]$|[–—]$")
_COLON = regex.compile(r"[:：]$")
_ANNOUNCES = regex.compile(
    r"\b(?:this|these|that|those|the|following|given|below|each|both|question|q)\b"
    r"|\b(?:diese[nrsm]?|folgende[nrsm]?|der|die|das|dem|den|ce|cette|ces|suivante?s?|le|la|les|est[aeo]s?|siguientes?|el|los|las)\b"
    r"|以下|下面|下列|如下|这|该|给定|所给|上述|次の|以下の|다음",
    regex.IGNORECASE,
)
_ANSWER_LABEL = regex.compile(
    r"(?<![^\s.?!])(?:answer|output|a|response|translation|result)\s*+[:：]$", regex.IGNORECASE
)
_ELLIPSIS = regex.compile(r"(?:(?<!\.)\.{3,}|(?<!…)…+|(?<!。)。{3,})$")
_SEQUENCE = regex.compile(r"\d\s*,?\s*(?:\.{3,}|…+)$")
_TO_COMPLETE = regex.compile(
    r"\b(?:complet|continu|finish|fill|begin|start|end|blank|sentence|phrase|ergänz|vervollständig|compl[eé]t|termin|acab)"
    r"|续写|补全|填空|完成|接着|继续|开头",
    regex.IGNORECASE,
)

_HARD_END = regex.compile(
    r"(?:^|\s)(?P<word>the|a|an|and|or|nor|your|my|their|our|between|than|whose|because|if|as|into|during|including|such\s+as"
    r"|und|oder|eine[mnr]?|zum|zur|et|des|aux|y|del)$"
    r"|(?P<word>以及|或者|关于|并且|例如|比如|包括)$"
)
_SOFT_END = regex.compile(r"(?:^|\s)(?P<word>of|with|for|to|in|on|at|by|from|about)$")
_NAMED_END = regex.compile(r"(?:^|\s)(?P<word>called|considered\s+to\s+be|(?:known|referred\s+to|defined)\s+as)[.]?$")
_ASKED_FOR = regex.compile(r"\b(?:what|how|which|who|whom|whatever)\b", regex.IGNORECASE)
_RELATIVE = regex.compile(
    r"\b(?:what|which|who|whom|whose|that|where|when|how|you|they|we|i|he|she|it|one|people|someone|something|thing|things"
    r"|to\s+\p{L}+)\b",
    regex.IGNORECASE,
)
_ABOUT_WORDS = regex.compile(
    r"\b(?:words?|articles?|prepositions?|conjunctions?|pronouns?|operators?|vs\.?|spell\w*|pronounce\w*"
    r"|phrase|expression|rhymes?|letters?\s+\p{L})\b"
    r"|\b(?:an?|the|and|or|if|as|than|of|to|in|on|at|by|for|with|from)\s+(?:and|or|vs)\s+\p{L}+$",
    regex.IGNORECASE,
)
_GERMAN = regex.compile(r"\b(?:der|die|das|den|dem|ein|einen|sie|für|und|zwei|drei)\b", regex.IGNORECASE)

_PAIRS = {")": "([", "]": "([", "}": "{", "」": "「", "』": "『", "》": "《", "】": "【", "）": "（"}
_OPENERS = frozenset("([{「『《【（")
_NOT_A_BRACKET = regex.compile(r"\\.|[\"'“‘`][(\[{)\]}][\"'”’`]|[:;=]['-]?[(\[{)\]}]+(?=\s|$)")
_OPEN_QUOTE = regex.compile(r'(?:^|[\s(\[])"(?=[\p{L}\p{N}])')


def unfinished() -> Callable[[str], Fault | None]:
    """A check that finds texts that end in the middle, `unfinished`.

    That is: a comma; a colon that announces nothing ("the following sentence:" announces the input, "Answer:" the
    answer); an open bracket, quote or code fence; an ellipsis where nothing is to be completed; an article, a
    conjunction or a preposition, unless the text is about such words or a clause may end so ("a place to live in").
    """

    def check(text: str) -> Fault | None:
        stripped = text.rstrip()
        for find in (_open_end, _open_bracket, _open_quote, _open_word):
            if found := find(stripped):
                return Fault("unfinished", found)
        return None

    return check


def _open_end(text: str) -> str | None:
    tail = excerpt(text[-40:])
    if _COMMA.search(text):
        return f'ends "{tail}"'
    if _COLON.search(text) and not _ANNOUNCES.search(text) and not _announces_answer(text):
        return f'nothing follows "{tail}"'
    if _ELLIPSIS.search(text) and not _SEQUENCE.search(text) and not _TO_COMPLETE.search(text):
        return f'ends "{tail}"'
    return None


def _announces_answer(text: str) -> bool:
    """Whether a text ends with a label such as "Answer:", on a line of its own or behind a sentence."""
    found = _ANSWER_LABEL.search(text)
    if found is None:
        return False
    before = text[: found.start()]
    sentence = before.rstrip()
    gap = before[len(sentence) :]
    return not sentence or "\n" in gap or (gap != "" and sentence[-1] in ".?!")


def _open_bracket(text: str) -> str | None:
    open_ones: list[tuple[str, int]] = []
    plain = _NOT_A_BRACKET.sub(lambda found: " " * len(found[0]), text)
    for index, character in enumerate(plain):
        if character in _OPENERS:
            open_ones.append((character, index))
        elif character in _PAIRS and open_ones and open_ones[-1][0] in _PAIRS[character]:
            open_ones.pop()
    if not open_ones:
        return None
    bracket, index = open_ones[-1]
    return f'"{bracket}" is not closed: "{excerpt(text[index : index + 60])}"'


def _open_quote(text: str) -> str | None:
    if text.count("```") % 2:
        return "a code fence is not closed"
    if "„" not in text and text.count("“") > text.count("”") + text.count('"'):
        return f'"“" is not closed: "{excerpt(text[text.rindex("“") :][:60])}"'
    if (
        text.count('"') % 2
        and (opened := list(_OPEN_QUOTE.finditer(text)))
        and opened[-1].end() == text.rindex('"') + 1
    ):
        return f"a quote is not closed: {excerpt(text[opened[-1].start() :][:60])}"
    return None


def _open_word(text: str) -> str | None:
    if _ABOUT_WORDS.search(text):
        return None
    if found := _HARD_END.search(text):
        separable = found["word"] == "an" and _GERMAN.search(text)
        return None if separable else f'ends with "{found["word"]}"'
    if (found := _NAMED_END.search(text)) and not _ASKED_FOR.search(text[: found.start()]):
        return f'ends with "{found["word"]}"'
    if (found := _SOFT_END.search(text)) and not _RELATIVE.search(text[: found.start()]):
        return f'ends with "{found["word"]}"'
    return None
