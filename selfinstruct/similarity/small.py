"""The search among a few thousand texts, or among any number where numba is missing: every pair, by rapidfuzz."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from itertools import islice
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
    """Texts as token numbers, compared one by one. In a query, -1 stands for a token that no text has."""

    def __init__(self, texts: Iterable[Sequence[int]] = ()) -> None:
        self._texts = [_letters(text) for text in texts]

    def __len__(self) -> int:
        return len(self._texts)

    def add(self, tokens: Sequence[int]) -> None:
        """Make a text known."""
        self._texts.append(_letters(tokens))

    def best(self, queries: Sequence[Sequence[int]], cutoff: Cutoff, first: int = 0) -> list[Match | None]:
        """For each query the nearest text that passes, the earliest among equals, from position `first` on."""
        return [self._best(_letters(query), cutoff, first) for query in queries]

    def top(self, query: Sequence[int], k: int) -> list[Match]:
        """The k nearest texts whatever their score, earlier ones first among equals."""
        letters = _letters(query)
        if not letters:
            return [Match(place, 0, len(text)) for place, text in enumerate(islice(self._texts, k))]
        # A limit of 1 would raise a cutoff from one text to the next: see _SLACK.
        found = process.extract(letters, self._texts, scorer=Indel.normalized_similarity, limit=max(k, 2))
        return [self._match(letters, place, similarity) for _, similarity, place in found[:k]]

    def commons(self, query: Sequence[int]) -> tuple[NDArray[np.int32], NDArray[np.int64]]:
        """The length of the longest common subsequence with each text, and each text's length."""
        letters = _letters(query)
        found = [LCSseq.similarity(letters, text) for text in self._texts]
        return np.array(found, np.int32), np.array([len(text) for text in self._texts], np.int64)

    def texts(self) -> list[list[int]]:
        """Token numbers of all texts."""
        return [_numbers(text) for text in self._texts]

    def nbytes(self) -> int:
        """Bytes of all texts."""
        return sum(text.__sizeof__() + 8 for text in self._texts)

    def to_arrays(self) -> dict[str, NDArray[np.generic]]:
        """The texts as arrays."""
        texts = self.texts()
        starts = np.zeros(len(texts) + 1, np.int64)
        np.cumsum([len(text) for text in texts], out=starts[1:])
        return {"tokens": np.array([token for text in texts for token in text], np.int32), "starts": starts}

    def _best(self, query: str | list[int], cutoff: Cutoff, first: int) -> Match | None:
        texts = self._texts[first:] if first else self._texts
        if not query:
            return None
        least = max(0.0, float(cutoff.value) - _SLACK)
        found = process.extract(query, texts, scorer=Indel.normalized_similarity, limit=None, score_cutoff=least)
        for _, similarity, place in found:
            match = self._match(query, place + first, similarity)
            if cutoff.passes(match.common, match.length, len(query)):
                return match
        return None

    def _match(self, query: str | list[int], place: int, similarity: float) -> Match:
        length = len(self._texts[place])
        return Match(place, round(similarity * (length + len(query)) / 2), length)


def _letters(tokens: Sequence[int]) -> str | list[int]:
    """Tokens as a string of one character each, which rapidfuzz reads fastest; beyond Unicode's range as numbers."""
    if not tokens or max(tokens) + 1 < _LETTERS:
        return "".join([chr(token + 1) for token in tokens])
    return [token + 1 for token in tokens]


def _numbers(text: str | list[int]) -> list[int]:
    return [(ord(letter) if isinstance(letter, str) else letter) - 1 for letter in text]
