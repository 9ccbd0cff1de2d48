"""Keeping texts of benchmarks and test sets out of a pool."""

from __future__ import annotations

import threading
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from rapidfuzz.distance import LCSseq

from selfinstruct.checks.faults import Fault, reject
from selfinstruct.checks.wording import excerpt, quoted
from selfinstruct.similarity.index import Index
from selfinstruct.similarity.passages import WORDS, Passages, words
from selfinstruct.similarity.scores import f1
from selfinstruct.similarity.tokens import tokenize
from selfinstruct.types import Exclusion, Turn

LEAST_WORDS = 5
"""Texts of fewer words are like too many others: "Paris", "True", "The answer is 4"."""

MOST = 0.8
"""The share of a row that makes a text stand for all of it."""


@dataclass(frozen=True, slots=True)
class NearExcluded:
    """A row of an exclusion that a text is near."""

    exclusion: Exclusion
    row: int
    score: float
    """ROUGE-L F1 of both texts."""
    fault: Fault


class Excluded:
    """All texts of some exclusions, searched for what a text is near.

    Near is a ROUGE-L above the threshold, or a passage of thirteen words in common. Each text of a row counts, and all
    of them one after the other unless one makes most of it. May be asked by several threads.
    """

    def __init__(self, exclusions: Sequence[Exclusion], threshold: str) -> None:
        self._threshold = threshold
        self._index = Index()
        self._texts: list[tuple[Exclusion, int, str]] = []
        self._lock = threading.Lock()
        self._passages = Passages(self._add(exclusions))

    def _add(self, exclusions: Sequence[Exclusion]) -> Iterator[Sequence[str]]:
        """Index the texts one by one; gives the tokens of each, in the same order."""
        for exclusion in exclusions:
            for row, texts in exclusion.rows:
                tokens = [tokenize(text) for text in texts]
                for text, each in zip(texts, tokens, strict=True):
                    if words(each) >= LEAST_WORDS:
                        self._take(exclusion, row, text, each)
                        yield each
                together = [token for each in tokens for token in each]
                if max(map(len, tokens)) < MOST * len(together) and words(together) >= LEAST_WORDS:
                    self._take(exclusion, row, " ".join(texts), together)
                    yield ()

    def _take(self, exclusion: Exclusion, row: int, text: str, tokens: Sequence[str]) -> None:
        self._index.add_tokens(str(len(self._texts)), tokens)
        self._texts.append((exclusion, row, text))

    def near(self, text: str, least_words: float = LEAST_WORDS) -> NearExcluded | None:
        """The row that a text is near, the nearest by ROUGE-L if there is one; None too for a text of fewer words."""
        tokens = tokenize(text)
        if not self._texts or words(tokens) < least_words:
            return None
        with self._lock:
            like = self._index.near_duplicate(text, self._threshold)
        if like is not None:
            return self._found(int(like.id), like.score, f"ROUGE-L {like.score:.4f} > {self._threshold}")
        passage = self._passages.shared_with(tokens)
        if passage is None:
            return None
        other = tokenize(self._texts[passage.place][2])
        score = f1(LCSseq.similarity(tokens, other), len(tokens), len(other))
        shared = excerpt(" ".join(tokens[passage.start : passage.end]), 60)
        return self._found(passage.place, score, f'{WORDS} words in common ("{shared}"), ROUGE-L {score:.4f}')

    def near_instance(
        self, instruction: str, given: str, output: str = "", turns: Sequence[Turn] = ()
    ) -> NearExcluded | None:
        """The row that an instance is near: by its input, alone or after the instruction, or by a long output.

        Or by what comes after that: what the user says, or a long answer.
        """
        asked = f"{instruction} {given}"
        found = (self.near(given) or self.near(asked)) if given.strip() else None
        said = (self.near(one.user) or self.near(one.assistant, WORDS) for one in turns)
        return found or self.near(output, WORDS) or next(filter(None, said), None)

    def _found(self, place: int, score: float, how: str) -> NearExcluded:
        exclusion, row, text = self._texts[place]
        fault = reject("contaminated", f"{exclusion.name} row {row}: {how}: {quoted(text)}")
        return NearExcluded(exclusion, row, score, fault)
