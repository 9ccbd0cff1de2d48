"""A sentence with gaps that can be written and, once written, be read back.

`[Sort|Arrange] these {n:int} words: {items}` holds alternatives and gaps. A gap has a kind that says what may stand in
it; a gap that comes twice must hold the same text both times.
"""

from __future__ import annotations

import random
import re
from collections.abc import Mapping
from dataclasses import dataclass

Params = dict[str, str]

KINDS = {
    "text": r".+?",
    "int": r"-?\d{1,9}",
    "num": r"-?\d{1,9}(?:\.\d{1,6})?",
    "word": r"[A-Za-z][A-Za-z'-]*",
    "fraction": r"\d{1,4}/[1-9]\d{0,3}",
    "time": r"\d{1,2}:\d{2}",
    "ints": r"-?\d{1,9}(?:, -?\d{1,9})+",
    "order": r"(?:alphabetically|in reverse alphabetical order|by .+?)",
    "deed": r"(?:double|keep|move|remove|swap|turn|write) .+?",
    "manner": r"(?:backwards|in capital|in lower|with|without).+?",
    "style": r"(?: Show your working\.| Give (?:just|only) the number\.|)",
}

_MARK = re.compile(r"\{(\w+)(?::(\w+))?\}|\[([^\[\]]*)\]")


@dataclass(frozen=True, slots=True)
class Gap:
    """A named place in a wording."""

    name: str
    kind: str


Piece = str | Gap | tuple["Pieces", ...]
Pieces = tuple[Piece, ...]


@dataclass(frozen=True, slots=True)
class Wording:
    """One way to say an instruction."""

    pieces: Pieces
    pattern: re.Pattern[str]
    key: str
    """The longest fixed text: a quick test before the pattern is tried."""

    def write(self, params: Mapping[str, str], rng: random.Random) -> str:
        """The sentence with its gaps filled and one alternative drawn wherever there are several."""
        return _write(self.pieces, params, rng)

    def read(self, text: str) -> Params | None:
        """The gaps of a sentence that this wording could have written, else None."""
        if self.key not in text:
            return None
        match = self.pattern.fullmatch(text)
        return {name: value for name, value in match.groupdict().items() if value is not None} if match else None


def wording(source: str) -> Wording:
    """The wording that the source text describes."""
    pieces = _parse(source)
    fixed = [piece for piece in pieces if isinstance(piece, str)]
    return Wording(pieces, re.compile(_pattern(pieces, set())), max(fixed, key=len, default=""))


def wordings(*sources: str) -> tuple[Wording, ...]:
    """Several wordings at once."""
    return tuple(wording(source) for source in sources)


def _parse(source: str) -> Pieces:
    pieces: list[Piece] = []
    at = 0
    for mark in _MARK.finditer(source):
        if mark.start() > at:
            pieces.append(source[at : mark.start()])
        if mark[3] is None:
            pieces.append(Gap(mark[1], mark[2] or "text"))
        else:
            pieces.append(tuple(_parse(choice) for choice in mark[3].split("|")))
        at = mark.end()
    if at < len(source):
        pieces.append(source[at:])
    return tuple(pieces)


def _write(pieces: Pieces, params: Mapping[str, str], rng: random.Random) -> str:
    out: list[str] = []
    for piece in pieces:
        if isinstance(piece, str):
            out.append(piece)
        elif isinstance(piece, Gap):
            out.append(params[piece.name])
        else:
            out.append(_write(piece[int(rng.random() * len(piece))], params, rng))
    return "".join(out)


def _pattern(pieces: Pieces, named: set[str]) -> str:
    out: list[str] = []
    for piece in pieces:
        if isinstance(piece, str):
            out.append(re.escape(piece))
        elif isinstance(piece, tuple):
            out.append(f"(?:{'|'.join(_pattern(choice, named) for choice in piece)})")
        elif piece.name in named:
            out.append(f"(?P={piece.name})")
        else:
            named.add(piece.name)
            out.append(f"(?P<{piece.name}>{KINDS[piece.kind]})")
    return "".join(out)
