"""Which known instruction is most like a new one, by ROUGE-L F1, exactly."""

from __future__ import annotations

import json
import unicodedata
from array import array
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from math import fsum
from typing import TYPE_CHECKING, Any

import numpy as np
import regex
from numpy.typing import NDArray
from rapidfuzz.distance import LCSseq

from selfinstruct.similarity.scores import Cutoff, f1, f1_in_floats
from selfinstruct.similarity.small import Match, Small
from selfinstruct.similarity.tokens import TOKENIZERS

if TYPE_CHECKING:
    from selfinstruct.similarity.large import Large

LARGE_FROM = 5000
"""An index of this many texts is worth compiled code; below, none of it is loaded."""
_FORMAT = 3
"""Changes when arrays are laid out or texts are cut into tokens in another way."""

_cutoff = cache(Cutoff)


@dataclass(frozen=True, slots=True)
class Neighbour:
    """A known instruction and its ROUGE-L F1 to the text asked about."""

    id: str
    score: float


class Index:
    """Instructions in the order they were added, searched by ROUGE-L. Asking leaves no trace in it.

    `tokenizer` is a name of `TOKENIZERS`; "rouge_score" also keeps that package's float formula. A text without tokens
    (white space alone) is like nothing. Not for two threads at once.
    """

    def __init__(self, tokenizer: str = "unicode", *, large_from: int = LARGE_FROM) -> None:
        self.tokenizer = tokenizer
        self.tokenize = TOKENIZERS[tokenizer]
        self._floats = tokenizer == "rouge_score"
        self._large_from = large_from
        self._words: dict[str, int] = {}
        self._ids: list[str] = []
        self._tokens, self._starts = array("i"), array("q", [0])
        self._search: Small | Large = Small(self._tokens, self._starts)

    def __len__(self) -> int:
        return len(self._ids)

    def add(self, id: str, text: str) -> None:  # noqa: A002
        """Make an instruction known."""
        self.add_tokens(id, self.tokenize(text))

    def add_tokens(self, id: str, tokens: Sequence[str]) -> None:  # noqa: A002
        """Make an instruction known whose tokens are known already."""
        words = self._words
        self._tokens.extend([words.setdefault(token, len(words)) for token in tokens])
        self._starts.append(len(self._tokens))
        self._ids.append(id)

    def near_duplicate(self, text: str, threshold: str) -> Neighbour | None:
        """The nearest known instruction if its score is above the threshold, the earliest among equals."""
        return self.prepare([text], threshold)(0)

    def prepare(self, texts: Sequence[str], threshold: str) -> Callable[[int], Neighbour | None]:
        """A function that returns for the i-th text what `near_duplicate` would return at the time it is called.

        All texts are compared with what is known now in one go; a call adds what has been made known since. So a round
        is screened at the cost of one search, and each text as if it came alone (law 4).
        """
        cutoff = _cutoff(threshold, floats=self._floats)
        tokens = [self.tokenize(text) for text in texts]
        known = len(self)
        early = self._ready().best([self._numbers(each) for each in tokens], cutoff)

        def ask(place: int) -> Neighbour | None:
            found: Match | None = early[place]
            length = len(tokens[place])
            if len(self) > known:
                late: Match | None = self._ready().best([self._numbers(tokens[place])], cutoff, known)[0]
                if late and (not found or _is_nearer(late, found, length)):
                    found = late
            return self._neighbour(found, length) if found else None

        return ask

    def nearest(self, text: str) -> Neighbour | None:
        """The nearest known instruction whatever its score, the earliest among equals; None in an empty index."""
        query = self._numbers(self.tokenize(text))
        match = self._ready().nearest(query)
        return self._neighbour(match, len(query)) if match else None

    def score(self, text: str, other: str) -> float:
        """ROUGE-L F1 of two texts, as this index scores them; neither has to be known."""
        this, that = self.tokenize(text), self.tokenize(other)
        return self._score(LCSseq.similarity(this, that), len(this), len(that))

    def top(self, text: str, k: int) -> list[Neighbour]:
        """The k nearest known instructions, best first, earlier ones first among equals."""
        common, lengths, length = self._compared(text)
        scores = 2 * common / np.maximum(lengths + length, 1)
        least = np.partition(scores, -k)[-k] if k < len(self) else 0.0
        places = np.flatnonzero(scores >= least)
        places = places[np.argsort(-scores[places], kind="stable")][:k].tolist()
        return [self._neighbour(Match(place, int(common[place]), int(lengths[place])), length) for place in places]

    def mean_score(self, text: str) -> float | None:
        """The mean score to all known instructions; None in an empty index."""
        if not len(self):
            return None
        common, lengths, length = self._compared(text)
        pairs = zip(common.tolist(), lengths.tolist(), strict=True)
        return fsum(self._score(each, known, length) for each, known in pairs) / len(self)

    def to_arrays(self) -> dict[str, NDArray[Any]]:
        """The index as flat arrays, to be saved by the caller and opened with `from_arrays`."""
        search = self._ready()
        return {
            "about": _bytes({"count": len(self), **_made_by(self.tokenizer)}),
            "words": _bytes(list(self._words)),
            "ids": _bytes(self._ids),
            "tokens": np.array(self._tokens),
            "starts": np.array(self._starts),
            **({} if isinstance(search, Small) else search.to_arrays()),
        }

    @staticmethod
    def from_arrays(
        arrays: Mapping[str, NDArray[Any]],
        sample: Callable[[int], tuple[str, str] | None],
        tokenizer: str = "unicode",
        *,
        large_from: int = LARGE_FROM,
    ) -> Index:
        """The index that `to_arrays` wrote; it knows the first tasks of the pool, the caller adds the later ones.

        `sample` says which id and instruction the pool has at a position (None beyond its end). It is asked about a few
        spread over the whole, first and last among them.

        Raises:
            ValueError: the arrays are of another pool, tokenizer or version; build the index from the texts then.
        """
        about = _value(arrays["about"])
        count = about.pop("count")
        index = Index(tokenizer, large_from=large_from)
        if about != _made_by(tokenizer):
            raise ValueError(f"the index was made by {about}, wanted {_made_by(tokenizer)}")
        index._words = {word: number for number, word in enumerate(_value(arrays["words"]))}
        index._ids = _value(arrays["ids"])
        index._tokens.frombytes(arrays["tokens"].astype(np.int32).tobytes())
        index._starts = array("q", arrays["starts"].astype(np.int64).tobytes())
        index._search = Small(index._tokens, index._starts)
        tokens, starts = index._tokens, index._starts
        if not count == len(index) == len(starts) - 1 or starts[-1] != len(tokens):
            raise ValueError(f"the index says {count} tasks and holds {len(index)} ids and {len(starts) - 1} texts")
        if arrays["tokens"].max(initial=-1) >= len(index._words):
            raise ValueError(f"the index has {len(index._words)} words and texts of others")
        for place in sampled_places(count):
            known = tokens[starts[place] : starts[place + 1]].tolist()
            found = sample(place)
            if found is None or found[0] != index._ids[place] or index._numbers(index.tokenize(found[1])) != known:
                raise ValueError(f"the index knows {index._ids[place]} as task {place} of the pool, which has {found}")
        search = index._ready()
        if not isinstance(search, Small) and "static_order" in arrays:
            search.open(arrays)
        return index

    def _numbers(self, tokens: Sequence[str]) -> list[int]:
        """Numbers of tokens; -1 for those that no known text has."""
        number = self._words.get
        return [number(token, -1) for token in tokens]

    def _ready(self) -> Small | Large:
        """What searches: rapidfuzz, or compiled code once there is enough to search."""
        if len(self) >= self._large_from and isinstance(self._search, Small) and (large := _large()):
            self._search = large(self._tokens, self._starts)
        return self._search

    def _compared(self, text: str) -> tuple[NDArray[np.int32], NDArray[np.int64], int]:
        """What the text has in common with each known one, their lengths, and its own."""
        query = self._numbers(self.tokenize(text))
        return self._ready().commons(query), np.diff(self._starts), len(query)

    def _neighbour(self, match: Match, length: int) -> Neighbour:
        return Neighbour(self._ids[match.place], self._score(match.common, match.length, length))

    def _score(self, common: int, m: int, n: int) -> float:
        return f1_in_floats(common, m, n) if self._floats else f1(common, m, n)


def sampled_places(count: int) -> list[int]:
    """The positions that `Index.from_arrays` asks about in an index of `count` tasks."""
    return sorted({round(step * (count - 1) / 31) for step in range(32)}) if count else []


def _is_nearer(one: Match, other: Match, length: int) -> bool:
    return one.common * (other.length + length) > other.common * (one.length + length)


@cache
def _large() -> type[Large] | None:
    """The class for many texts, or None where numba is missing."""
    try:
        from selfinstruct.similarity.large import Large  # noqa: PLC0415  # loads a compiler, which few pools need
    except ImportError:
        return None
    return Large


def _made_by(tokenizer: str) -> dict[str, object]:
    """What tokens depend on."""
    unicode = [unicodedata.unidata_version, regex.__version__]
    return {"format": _FORMAT, "tokenizer": tokenizer, "unicode": unicode if tokenizer == "unicode" else []}


def _bytes(value: object) -> NDArray[np.uint8]:
    return np.frombuffer(json.dumps(value).encode(), np.uint8)


def _value(array_: NDArray[np.uint8]) -> Any:
    return json.loads(array_.tobytes())
