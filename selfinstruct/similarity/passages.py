"""Long passages that two texts have in common word for word: runs of thirteen words, in any script."""

from __future__ import annotations

from array import array
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import regex
from numpy.typing import NDArray

WORDS = 13
"""The length of a passage, as in Brown et al. 2020, appendix C."""
_WORD = 15
_LENGTH = WORDS * _WORD
_HAN_OR_KANA = regex.compile(r"[\p{Han}\p{Hiragana}\p{Katakana}ー]")
_SOUTH_EAST_ASIAN = regex.compile(r"[\p{Thai}\p{Lao}\p{Khmer}\p{Myanmar}]")
_MIX = 0x9E3779B97F4A7C15
_BASE = 0xD1342543DE82EF95
"""Any odd number: it has an inverse modulo 2**64."""
_CHUNK = 1 << 20
"""Tokens that are hashed at once."""

Words64 = NDArray[np.uint64]


@dataclass(frozen=True, slots=True)
class Passage:
    """A passage of a text asked about that a known text has too."""

    place: int
    """The known text by its position."""
    start: int
    """First token of the passage in the text asked about, and the one after its last."""
    end: int


def weight(token: str) -> int:
    """The length of a token in fifteenths of a word, as in `word_count`.

    15 for a word, 10 for a character of Han or kana, 6 for a grapheme of Thai and its kin.
    """
    if token.isascii():
        return _WORD
    if _HAN_OR_KANA.match(token):
        return 10
    return 6 if _SOUTH_EAST_ASIAN.match(token) else _WORD


def words(tokens: Sequence[str]) -> float:
    """How many words these tokens make."""
    return len(tokens) if all(map(str.isascii, tokens)) else sum(map(weight, tokens)) / _WORD


class Passages:
    """The passages of texts that are given as tokens, each found again by its hash and then compared token by token.

    A passage starts at any token and is the shortest that makes thirteen words.
    """

    def __init__(self, texts: Iterable[Sequence[str]]) -> None:
        self._numbers: dict[str, int] = {}
        number = self._numbers.setdefault
        flat = array("i")
        starts = array("q", [0])
        for tokens in texts:
            flat.extend([number(token, len(self._numbers)) for token in tokens])
            starts.append(len(flat))
        self._tokens = np.array(flat, np.int32)
        self._starts = np.array(starts, np.int64)
        weights = np.array([weight(token) for token in self._numbers], np.int64)
        hashes, places = [np.empty(0, np.uint64)], [np.empty(0, np.int64)]
        for begin, end in self._chunks():
            tokens_ = self._tokens[begin:end]
            first, last = _windows(weights[tokens_])
            of_first = np.searchsorted(self._starts, begin + first, "right")
            inside = begin + last <= self._starts[of_first]
            first, last = first[inside], last[inside]
            hashes.append(_hashes(tokens_, first, last))
            places.append(begin + first)
        every = np.concatenate(hashes)
        order = np.argsort(every, kind="stable")
        self._hashes = every[order]
        self._places = np.concatenate(places)[order]
        bits = min(26, max(4, (8 * every.size).bit_length()))
        self._shift = np.uint64(64 - bits)
        self._taken = np.zeros(1 << bits, np.bool_)
        """By the first bits of a hash: is there one? Most that are not known end here."""
        self._taken[every >> self._shift] = True

    def shared_with(self, tokens: Sequence[str]) -> Passage | None:
        """The first passage of these tokens that a known text has, with the earliest such text; None if none has."""
        if all(map(str.isascii, tokens)):
            first = np.arange(len(tokens) - WORDS + 1)
            last = first + WORDS
        else:
            first, last = _windows(np.array([weight(token) for token in tokens], np.int64))
        if not first.size:
            return None
        number = self._numbers.get
        numbers = np.array([number(token, -1) for token in tokens], np.int32)
        hashes = _hashes(numbers, first, last)
        for hit in np.flatnonzero(self._taken[hashes >> self._shift]).tolist():
            begin, end = (np.searchsorted(self._hashes, hashes[hit], side) for side in ("left", "right"))
            start, stop = int(first[hit]), int(last[hit])
            for at in self._places[begin:end].tolist():
                if np.array_equal(self._tokens[at : at + stop - start], numbers[start:stop]):
                    return Passage(int(np.searchsorted(self._starts, at, "right")) - 1, start, stop)
        return None

    def _chunks(self) -> Iterator[tuple[int, int]]:
        """Ranges of tokens of whole texts, of about `_CHUNK` tokens each."""
        begin = 0
        for end in self._starts[1:].tolist():
            if end - begin >= _CHUNK:
                yield begin, end
                begin = end
        if begin < self._tokens.size:
            yield begin, self._tokens.size


def _windows(weights: NDArray[np.int64]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """(first, after the last) of the shortest run of tokens from each on that makes thirteen words."""
    so_far = np.concatenate([[0], np.cumsum(weights)])
    last = np.searchsorted(so_far, so_far[:-1] + _LENGTH, "left")
    first = np.flatnonzero(last < so_far.size)
    return first, last[first]


def _hashes(numbers: NDArray[np.int32], first: NDArray[np.int64], last: NDArray[np.int64]) -> Words64:
    """A hash of each window, modulo 2**64: the same wherever it stands."""
    bases = np.ones((2, numbers.size), np.uint64)
    bases[:, 1:] = [[_BASE], [pow(_BASE, -1, 1 << 64)]]
    powers, inverses = np.cumprod(bases, axis=1, dtype=np.uint64)
    mixed = (numbers.astype(np.uint64) + np.uint64(1)) * np.uint64(_MIX)
    mixed ^= mixed >> np.uint64(32)
    sums = np.zeros(numbers.size + 1, np.uint64)
    np.cumsum(mixed * powers, out=sums[1:])
    return np.asarray(((sums[last] - sums[first]) * inverses[first]) * np.uint64(_MIX), np.uint64)
