"""Which known instruction is most like a new one, by ROUGE-L F1, exactly."""

from __future__ import annotations

import json
import unicodedata
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from itertools import pairwise
from math import fsum
from typing import TYPE_CHECKING, Any

import numpy as np
import regex
from numpy.typing import NDArray

from selfinstruct.similarity.names import Names
from selfinstruct.similarity.scores import Cutoff, exceeds_exactly, exceeds_in_floats, f1, f1_in_floats
from selfinstruct.similarity.small import Match, Small
from selfinstruct.similarity.tokens import TOKENIZERS

if TYPE_CHECKING:
    from selfinstruct.similarity.large import Large

__all__ = ["LARGE_FROM", "Index", "Neighbour", "exceeds_exactly", "exceeds_in_floats", "f1_in_floats", "sampled_places"]

LARGE_FROM = 5000
"""From so many texts on an index is worth compiled code; below, none of it is loaded."""
_FORMAT = 2
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
        self._names = Names()
        self._texts: Small | Large = Small()

    def __len__(self) -> int:
        return len(self._names)

    def add(self, id: str, text: str) -> None:  # noqa: A002
        """Make an instruction known."""
        self.add_tokens(id, self.tokenize(text))

    def add_tokens(self, id: str, tokens: Sequence[str]) -> None:  # noqa: A002
        """Make an instruction known whose tokens are known already."""
        words = self._words
        self._texts.add([words.setdefault(token, len(words)) for token in tokens])
        self._names.append(id)
        if len(self._names) == self._large_from:
            self._ready()

    def near_duplicate(self, text: str, threshold: str) -> Neighbour | None:
        """The nearest known instruction if its score is above the threshold, the earliest among equals."""
        return self._nearest(text, _cutoff(threshold, strict=True, floats=self._floats))

    def near_duplicates(self, texts: Sequence[str], threshold: str) -> list[Neighbour | None]:
        """The near duplicate of each text among what is known now."""
        ask = self.prepare(texts, threshold)
        return [ask(place) for place in range(len(texts))]

    def prepare(self, texts: Sequence[str], threshold: str) -> Callable[[int], Neighbour | None]:
        """A function that returns for the i-th text what `near_duplicate` would return at the time it is called.

        All texts are compared with what is known now in one go; a call adds what has been made known since. So a round
        is judged in order with the verdicts of one by one (law 4), at the cost of one search.
        """
        cutoff = _cutoff(threshold, strict=True, floats=self._floats)
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

    def nearest_above(self, text: str, cutoff: str) -> Neighbour | None:
        """The nearest known instruction if its score is at or above the cutoff, the earliest among equals."""
        return self._nearest(text, _cutoff(cutoff, strict=False, floats=self._floats))

    def nearest(self, text: str) -> Neighbour | None:
        """The nearest known instruction whatever its score, the earliest among equals; None in an empty index."""
        found = self.top(text, 1)
        return found[0] if found else None

    def top(self, text: str, k: int) -> list[Neighbour]:
        """The k nearest known instructions, best first, earlier ones first among equals."""
        query = self._numbers(self.tokenize(text))
        return [self._neighbour(match, len(query)) for match in self._ready().top(query, k)]

    def mean_score(self, text: str) -> float | None:
        """The mean score to all known instructions; None in an empty index."""
        if not len(self):
            return None
        query = self._numbers(self.tokenize(text))
        common, lengths = self._ready().commons(query)
        pairs = zip(common.tolist(), lengths.tolist(), strict=True)
        return fsum(self._score(each, length, len(query)) for each, length in pairs) / len(self)

    def nbytes(self) -> dict[str, int]:
        """Bytes held by what: texts and their index, vocabulary (words, numbers, table), ids of generated tasks."""
        words = self._words.__sizeof__() + sum(word.__sizeof__() + 28 for word in self._words)
        return {"texts": self._ready().nbytes(), "vocabulary": words, "ids": self._names.nbytes()}

    def to_arrays(self) -> dict[str, NDArray[Any]]:
        """The index as flat arrays, to be saved by the caller and opened with `from_arrays`."""
        about = {"count": len(self), **_made_by(self.tokenizer)}
        words = "\n".join(self._words)  # no tokenizer lets white space into a token
        return {
            "about": _bytes(json.dumps(about)),
            "words": _bytes(words),
            **self._names.to_arrays(),
            **self._ready().to_arrays(),
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
        about = json.loads(_text(arrays["about"]))
        count = about.pop("count")
        index = Index(tokenizer, large_from=large_from)
        if about != _made_by(tokenizer):
            raise ValueError(f"the index was made by {about}, wanted {_made_by(tokenizer)}")
        words = _text(arrays["words"])
        index._words = {word: number for number, word in enumerate(words.split("\n"))} if words else {}
        index._names = Names.from_arrays(arrays)
        starts = arrays["starts"]
        if not count == len(index) == starts.size - 1 or starts[-1] != arrays["tokens"].size:
            raise ValueError(f"the index says {count} tasks and holds {len(index)} ids and {starts.size - 1} texts")
        if arrays["tokens"].max(initial=-1) >= len(index._words):
            raise ValueError(f"the index has {len(index._words)} words and texts of others")
        for place in sampled_places(count):
            known = arrays["tokens"][starts[place] : starts[place + 1]].tolist()
            found = sample(place)
            if found is None or found[0] != index._names[place] or index._numbers(index.tokenize(found[1])) != known:
                raise ValueError(
                    f"the index knows {index._names[place]} as task {place} of the pool, which has {found}"
                )
        index._texts = _opened(arrays, large=count >= large_from)
        return index

    def _numbers(self, tokens: Sequence[str]) -> list[int]:
        """Numbers of tokens; -1 for those that no known text has."""
        number = self._words.get
        return [number(token, -1) for token in tokens]

    def _ready(self) -> Small | Large:
        """What searches: rapidfuzz, or compiled code once there is enough to search."""
        if isinstance(self._texts, Small) and len(self) >= self._large_from:
            large = _large()
            if large is not None:
                self._texts = large(self._texts.texts())
        return self._texts

    def _nearest(self, text: str, cutoff: Cutoff) -> Neighbour | None:
        query = self._numbers(self.tokenize(text))
        match = self._ready().best([query], cutoff)[0]
        return self._neighbour(match, len(query)) if match else None

    def _neighbour(self, match: Match, length: int) -> Neighbour:
        return Neighbour(self._names[match.place], self._score(match.common, match.length, length))

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


def _opened(arrays: Mapping[str, NDArray[Any]], *, large: bool) -> Small | Large:
    found = _large() if large else None
    if found is not None:
        return found.from_arrays(arrays)
    tokens, starts = arrays["tokens"].tolist(), arrays["starts"].tolist()
    return Small(tokens[begin:end] for begin, end in pairwise(starts))


def _made_by(tokenizer: str) -> dict[str, object]:
    """What tokens depend on."""
    unicode = [unicodedata.unidata_version, regex.__version__]
    return {"format": _FORMAT, "tokenizer": tokenizer, "unicode": unicode if tokenizer == "unicode" else []}


def _bytes(text: str) -> NDArray[np.uint8]:
    return np.frombuffer(text.encode("utf-8", "surrogatepass"), np.uint8)


def _text(array: NDArray[np.uint8]) -> str:
    return array.tobytes().decode("utf-8", "surrogatepass")
