"""The search among a few thousand texts, or among any number where numba is missing: every pair, by rapidfuzz."""

from __future__ import annotations

from array import array
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from rapidfuzz import process
from rapidfuzz.distance import Indel, LCSseq

from selfinstruct.similarity.scores import Cutoff

_SLACK = 1e-6
"""rapidfuzz (3.14) loses scores that are less than about 1e-8 above its cutoff; what it finds is tested exactly."""
_LETTERS = 0x110000


class Match(NamedTuple):
    """A known text and what it has in common with a query."""

    place: int
    """Its position in the order of adding."""
    common: int
    """The length of the longest common subsequence."""
    length: int
    """The text's own number of tokens."""


class Small:
    """Texts as token numbers, compared one by one; text p is tokens[starts[p]:starts[p + 1]], and more may come.

    In a query, -1 stands for a token that no text has.
    """

    def __init__(self, tokens: array[int], starts: array[int]) -> None:
        self._tokens, self._starts = tokens, starts
        self._texts: list[str | list[int]] = []

    def best(self, queries: Sequence[Sequence[int]], cutoff: Cutoff, first: int = 0) -> list[Match | None]:
        """For each query the nearest text that passes, the earliest among equals, from position `first` on."""
        texts = self._known()[first:] if first else self._known()
        return [self._best(_letters(query), texts, cutoff, first) for query in queries]

    def nearest(self, query: Sequence[int]) -> Match | None:
        """The nearest text whatever its score, the earliest among equals; None without texts."""
        letters, texts = _letters(query), self._known()
        if not letters:
            return Match(0, 0, len(texts[0])) if texts else None
        # A limit of 1 would raise a cutoff from one text to the next: see _SLACK.
        found = process.extract(letters, texts, scorer=Indel.normalized_similarity, limit=2)
        return next((_match(letters, texts[place], place, similarity) for _, similarity, place in found), None)

    def commons(self, query: Sequence[int]) -> NDArray[np.int32]:
        """The length of the longest common subsequence with each text."""
        texts = self._known()
        found = process.cdist([_letters(query)], texts, scorer=LCSseq.similarity, dtype=np.int32)
        return np.asarray(found[0] if texts else [], np.int32)

    def _known(self) -> list[str | list[int]]:
        for place in range(len(self._texts), len(self._starts) - 1):
            self._texts.append(_letters(self._tokens[self._starts[place] : self._starts[place + 1]]))
        return self._texts

    def _best(self, query: str | list[int], texts: list[str | list[int]], cutoff: Cutoff, first: int) -> Match | None:
        if not query:
            return None
        least = max(0.0, float(cutoff.value) - _SLACK)
        found = process.extract(query, texts, scorer=Indel.normalized_similarity, limit=None, score_cutoff=least)
        for _, similarity, place in found:
            match = _match(query, texts[place], place + first, similarity)
            if cutoff.passes(match.common, match.length, len(query)):
                return match
        return None


def _match(query: str | list[int], text: str | list[int], place: int, similarity: float) -> Match:
    return Match(place, round(similarity * (len(text) + len(query)) / 2), len(text))


def _letters(tokens: Sequence[int]) -> str | list[int]:
    """Tokens as a string of one character each, which rapidfuzz reads fastest; beyond Unicode's range as numbers."""
    if not tokens or max(tokens) + 1 < _LETTERS:
        return "".join([chr(token + 1) for token in tokens])
    return [token + 1 for token in tokens]
