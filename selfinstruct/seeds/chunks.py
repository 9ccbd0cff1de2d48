"""Texts cut into passages: at headings, then at ends of paragraphs, lines, sentences and words, up to a size."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import astuple, dataclass, replace

from selfinstruct.checks.wording import LONGEST_WORD, word_count
from selfinstruct.types import Passage, digest

LEAST_WORDS = 10
"""A shorter text is no passage."""
_SMALL = 4
"""Of a passage: a piece that is shorter than this part of one joins its neighbour."""
_HEADING = re.compile(r"(#{1,6})[ \t]+(.*?)[ \t#]*")
_FENCE = re.compile(r"^[ \t]*(?:```|~~~)[^\n]*\n?", re.MULTILINE)
_FRONT_MATTER = re.compile(r"\A---\n.*?\n---\n", re.DOTALL)
_COMMENT = re.compile(r"<!--.*?-->", re.DOTALL)
_ENDS = tuple(map(re.compile, (r"(?<=\n\n)", r"(?<=\n)", r"(?<=[.!?…]\s)|(?<=[。！？])", r"(?<=\s)")))
"""Where a text may be cut, the better places first."""


@dataclass(frozen=True, slots=True)
class Section:
    """A text below its headings."""

    heading: str
    text: str
    given: str = ""
    """An input that the text is the answer to; such a text stays whole."""
    more: tuple[tuple[str, str], ...] = ()
    """Further inputs with their texts."""


def sections(text: str, *, is_markdown: bool) -> list[Section]:
    """The sections of a text, each under the headings that it stands below; a text that is no Markdown is one."""
    text = text.replace("\r\n", "\n")
    if not is_markdown:
        return [Section("", text)]
    above: dict[int, str] = {}
    found, lines, is_code = list[Section](), list[str](), False
    for line in _COMMENT.sub("", _FRONT_MATTER.sub("", text)).split("\n"):
        is_code ^= bool(_FENCE.match(line))
        heading = None if is_code else _HEADING.fullmatch(line)
        if heading is None:
            lines.append(line)
            continue
        found.append(Section(" > ".join(above.values()), "\n".join(lines)))
        level, lines = len(heading[1]), []
        above = {one: name for one, name in above.items() if one < level} | {level: heading[2]}
    return [*found, Section(" > ".join(above.values()), "\n".join(lines))]


def together(parts: Sequence[Section], pairs: int) -> list[Section]:
    """The parts, with so many of those with an input made one."""
    given = [one for one in parts if one.given]
    groups = (given[start : start + pairs] for start in range(0, len(given), pairs))
    joined = [replace(first, more=tuple((one.given, one.text) for one in others)) for first, *others in groups]
    return [one for one in parts if not one.given] + joined


def passages(document: str, parts: Iterable[Section], words: int) -> list[Passage]:
    """The passages of a document, of about so many words at most each; what is too short for one is left out."""
    found: list[Section] = []
    for part in parts:
        if part.given:
            found.append(part)
            continue
        pieces = [Section(part.heading, text) for text in _cut(part.text, words)]
        if pieces and found and not found[-1].given and _is_joined(found[-1].text, pieces[0].text, words):
            last, first = found.pop(), pieces.pop(0)
            title = first.heading.rpartition(" > ")[2]
            found.append(replace(last, text="\n\n".join(filter(None, (last.text, title, first.text)))))
        found += pieces
    kept = [one for one in found if one.given or word_count(one.text) >= LEAST_WORDS]
    return [
        Passage(
            digest(document, number, *astuple(one))[:16], document, number, one.heading, one.text, one.given, one.more
        )
        for number, one in enumerate(kept, 1)
    ]


def _is_joined(before: str, after: str, words: int) -> bool:
    sizes = [word_count(before), word_count(after)]
    return min(sizes) < _least(words) and sum(sizes) <= words


def _least(words: int) -> float:
    """The words of a piece that stands by itself."""
    return max(words / _SMALL, 1.5 * LEAST_WORDS)


def _cut(text: str, words: int) -> list[str]:
    """The text in pieces of so many words at most, but the last, which takes what is too short for one of its own."""
    found: list[str] = []
    for block in _blocks(text):
        for piece in _pieces(block, words):
            if found and word_count(found[-1]) + word_count(piece) <= words:
                found[-1] += piece
            else:
                found.append(piece)
    if len(found) > 1 and word_count(found[-1]) < _least(words):
        last = found.pop()
        found[-1] += last
    return [_whole(one).strip("\n").rstrip() for one in found if one.strip()]


def _whole(text: str) -> str:
    """The text; where it begins or ends inside of code, without the marks of code."""
    return _FENCE.sub("", text) if len(_FENCE.findall(text)) % 2 else text


def _blocks(text: str) -> Iterator[str]:
    """The paragraphs of a text; code in a fence is one, and so are a line that ends with a colon and what it begins."""
    waiting, marks = list[str](), 0
    for paragraph in re.split(r"(?<=\n)\n+", text):
        waiting.append(paragraph.rstrip("\n") + "\n\n")
        marks += len(_FENCE.findall(paragraph))
        if marks % 2 == 0 and not paragraph.rstrip().endswith((":", "：")):
            yield "".join(waiting)
            waiting = []
    yield "".join(waiting)


def _pieces(text: str, words: int, ends: Sequence[re.Pattern[str]] = _ENDS) -> Iterator[str]:
    """The text in pieces that are small enough, cut at the best places that make them so."""
    if word_count(text) <= words:
        yield text
    elif ends:
        for part in ends[0].split(text):
            yield from _pieces(part, words, ends[1:])
    else:
        yield from (text[start : start + LONGEST_WORD] for start in range(0, len(text), LONGEST_WORD))
