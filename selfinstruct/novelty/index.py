"""Which known instruction is most like a new one, by ROUGE-L F1, exactly."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from fractions import Fraction

from rapidfuzz import process
from rapidfuzz.distance import Indel, LCSseq

from selfinstruct.novelty.tokens import TOKENIZERS

_SURROGATES = range(0xD800, 0xE000)
_SLACK = 1e-9
"""Room for float noise when pairs are searched; what is found is then tested exactly."""


@dataclass(frozen=True, slots=True)
class Neighbour:
    """A known instruction and its ROUGE-L F1 to the text asked about."""

    id: str
    score: float


Exceeds = Callable[[int, int, int], bool]
"""Is the likeness of lists of lengths m and n with a common subsequence of length L above the threshold? (L, m, n)"""


def exceeds_exactly(threshold: str) -> Exceeds:
    """The test 2L > t(m + n) on integers and the decimal t."""
    t = Fraction(threshold)
    up, down = t.numerator, t.denominator
    return lambda common, m, n: 2 * common * down > up * (m + n)


def exceeds_in_floats(threshold: str) -> Exceeds:
    """The test as `rouge_score` makes it: F = 2pr / (p + r) in floats, which puts some ties above the threshold."""
    t = float(threshold)
    return lambda common, m, n: f1_in_floats(common, m, n) > t


def f1_in_floats(common: int, m: int, n: int) -> float:
    """ROUGE-L F1 by the float formula of `rouge_score` 0.1.2; 0.0 where a side has no tokens."""
    if not common:
        return 0.0
    precision, recall = common / n, common / m
    return 2 * precision * recall / (precision + recall)


class Index:
    """Instructions in the order they were added, searched by ROUGE-L.

    `tokenizer` is a name of `TOKENIZERS`; "rouge_score" also keeps that package's float formula.
    """

    def __init__(self, tokenizer: str = "unicode") -> None:
        self.tokenize = TOKENIZERS[tokenizer]
        self._floats = tokenizer == "rouge_score"
        self._letters: dict[str, str] = {}
        self._ids: list[str] = []
        self._encoded: list[str] = []

    def __len__(self) -> int:
        return len(self._ids)

    def add(self, id: str, text: str) -> None:  # noqa: A002
        """Make an instruction known."""
        self._ids.append(id)
        self._encoded.append(self._encode(text))

    def near_duplicate(self, text: str, threshold: str) -> Neighbour | None:
        """The nearest known instruction if its score is above the threshold, the earliest among equals."""
        query = self._encode(text)
        exceeds = exceeds_in_floats(threshold) if self._floats else exceeds_exactly(threshold)
        best: tuple[Fraction, int] | None = None
        for _, similarity, place in process.extract(
            query, self._encoded, scorer=Indel.normalized_similarity, limit=None, score_cutoff=float(threshold) - _SLACK
        ):
            common, m, n = self._counts(query, place, similarity)
            if exceeds(common, m, n):
                score = Fraction(2 * common, m + n)
                if best is None or score > best[0] or (score == best[0] and place < best[1]):
                    best = (score, place)
        return None if best is None else Neighbour(self._ids[best[1]], self._score(query, best[1]))

    def nearest(self, text: str) -> Neighbour | None:
        """The nearest known instruction whatever its score, the earliest among equals; None in an empty index."""
        found = self.top(text, 1)
        return found[0] if found else None

    def top(self, text: str, k: int) -> list[Neighbour]:
        """The k nearest known instructions, best first, earlier ones first among equals."""
        query = self._encode(text)
        found = process.extract(query, self._encoded, scorer=Indel.normalized_similarity, limit=k)
        return [Neighbour(self._ids[place], self._score(query, place)) for _, _, place in found]

    def mean_score(self, text: str) -> float | None:
        """The mean score to all known instructions; None in an empty index."""
        query = self._encode(text)
        if not self._encoded:
            return None
        return sum(self._score(query, place) for place in range(len(self._encoded))) / len(self._encoded)

    def _encode(self, text: str) -> str:
        """Tokens as one character each, so that the search runs on plain strings."""
        letters = self._letters
        encoded = []
        for token in self.tokenize(text):
            letter = letters.get(token)
            if letter is None:
                number = len(letters)
                letter = letters[token] = chr(number if number < _SURROGATES.start else number + len(_SURROGATES))
            encoded.append(letter)
        return "".join(encoded)

    def _counts(self, query: str, place: int, similarity: float) -> tuple[int, int, int]:
        m, n = len(self._encoded[place]), len(query)
        return round(similarity * (m + n) / 2), m, n

    def _score(self, query: str, place: int) -> float:
        known = self._encoded[place]
        common = LCSseq.similarity(query, known)
        if self._floats:
            return f1_in_floats(common, len(known), len(query))
        return 2 * common / (len(known) + len(query)) if common else 0.0
