"""Who writes: `tasks`, out of the book, or `words`, with endless text for load tests."""

from __future__ import annotations

import random
from bisect import bisect
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cache
from itertools import accumulate
from typing import Any, NamedTuple, Protocol

from selfinstruct.llm.offline import flaws, judge
from selfinstruct.llm.offline.book import Entry, entries, find, kinds, of_kind
from selfinstruct.llm.offline.quirks import Quirks
from selfinstruct.llm.offline.words import sentence, split_words

REPEATED = 0.04
NEARLY_REPEATED = 0.04
FLAWED = 0.07
"""Shares of the proposed tasks, each of what the ones before leave."""
WRONG = 0.04
"""Share of the answers that are wrong, where the book has a wrong one."""

AS_ASKED = 0.5
"""Share of the tasks of a model in a rut that begin with the words that it was asked to begin some with, if it can."""
FAVOURITES = 3
"""Kinds of tasks that a model in a rut writes where it knows none of those shown."""
BY_HEART = 20
"""Tasks of one kind that it knows."""

NO_RULE = "I'm sorry, but I cannot do this: it is not in the book of the built-in model."

_WANTS_INPUT = ("following", "given", "below", "input", "this ", "these ", "the text", "the sentence", "paragraph")
_CLASSIFIES = (
    "classif",
    "yes or no",
    "true or false",
    "positive or negative",
    "categor",
    "label",
    "sentiment",
    "detect",
)


class Proposal(NamedTuple):
    """An instruction and whether it is a classification."""

    instruction: str
    is_classification: bool


class Labelled(NamedTuple):
    """The labels of a classification, whether it needs an input, and inputs with their labels."""

    labels: tuple[str, ...]
    needs_input: bool
    inputs: list[tuple[str, str]]


class Voice(Protocol):
    """What a writer must be able to say, whatever the form it is asked for in."""

    def propose(
        self, shown: Sequence[str], count: int, rng: random.Random, begin_with: Sequence[str] = ()
    ) -> list[Proposal]:
        """New tasks after seeing others, and after being asked to begin some of them with these words."""

    def is_classification(self, instruction: str) -> bool:
        """Whether the answers come from a fixed set."""

    def inputs(self, instruction: str, count: int, rng: random.Random) -> tuple[bool, list[str]]:
        """Whether the task needs an input, and up to `count` of them."""

    def labelled(self, instruction: str, count: int, rng: random.Random) -> Labelled:
        """Up to `count` inputs of a classification with their labels."""

    def respond(self, instruction: str, text: str, rng: random.Random) -> str:
        """The answer to an instruction with its input, which may be empty."""

    def verdict(self, row: judge.Row, rng: random.Random) -> dict[str, Any]:
        """What a judge says of a row."""

    def revision(self, row: judge.Row, rng: random.Random) -> dict[str, str]:
        """A row made better, with what was wrong with it."""


@dataclass(frozen=True, slots=True)
class Tasks:
    """Writes tasks of the book, answers them from it and errs now and then, unless it has quirks instead."""

    quirks: Quirks | None = None

    def propose(
        self, shown: Sequence[str], count: int, rng: random.Random, begin_with: Sequence[str] = ()
    ) -> list[Proposal]:
        """Tasks of the book, each once; some repeat what was shown, some are faulty."""
        fresh = iter(rng.sample(entries(), min(2 * count, len(entries()))) * count)
        return [self._one(shown, fresh, rng, begin_with) for _ in range(count)]

    def _one(
        self, shown: Sequence[str], fresh: Iterator[Entry], rng: random.Random, begin_with: Sequence[str]
    ) -> Proposal:
        repeated, nearly = (REPEATED, NEARLY_REPEATED) if self.quirks is None else (self.quirks.share("dup"), 0.0)
        if shown and (roll := rng.random()) < repeated + nearly:
            text = rng.choice(shown)
            copy = text if roll < repeated else flaws.nearly(text, rng)
            return Proposal(copy, self.is_classification(copy))
        if self.quirks and (rut := self.quirks.share("rut")) and rng.random() < rut:
            return _in_a_rut([known.kind for known in map(find, shown) if known], begin_with, rng)
        entry = next(fresh)
        if self.quirks is None and rng.random() < FLAWED:
            return Proposal(flaws.instruction(entry.instruction, next(fresh).instruction, rng), entry.is_classification)
        return Proposal(entry.instruction, entry.is_classification)

    def is_classification(self, instruction: str) -> bool:
        """By the book, else by the words."""
        known = find(instruction)
        return known.is_classification if known else any(word in instruction.lower() for word in _CLASSIFIES)

    def inputs(self, instruction: str, count: int, rng: random.Random) -> tuple[bool, list[str]]:
        """Inputs out of the book, with a rare fault among them."""
        known = find(instruction)
        if known and not known.needs_input:
            return (True, [rng.choice(flaws.NO_INPUT)]) if self._errs(0.015, rng) else (False, [])
        if known:
            good = [one.input for one in known.answers[:count]]
            return True, flaws.inputs(good, rng) if self.quirks is None else good
        if any(word in instruction.lower() for word in _WANTS_INPUT):
            return True, [sentence(rng) for _ in range(count)]
        return False, []

    def labelled(self, instruction: str, count: int, rng: random.Random) -> Labelled:
        """Labels and inputs out of the book, with a rare fault among them."""
        known = find(instruction)
        if known is None or not known.is_classification:
            needs, texts = self.inputs(instruction, count, rng)
            texts = texts or [""]
            labels = tuple(self.respond(instruction, text, rng) for text in texts) if known else ("Yes", "No")
            return Labelled(labels, needs, [(labels[i % len(labels)], text) for i, text in enumerate(texts)])
        pairs = [(judge.perhaps_wrong(one, known, self.quirks, rng), one.input) for one in known.answers[:count]]
        if self._errs(0.03, rng):
            pairs[0] = (rng.choice(flaws.WRONG_LABELS), pairs[0][1])
        return Labelled(known.labels, known.needs_input, pairs)

    def respond(self, instruction: str, text: str, rng: random.Random) -> str:
        """The answer out of the book, now and then a wrong one; a refusal where it has none, which a check will see."""
        entry = find(instruction)
        known = entry.answer(text) if entry else None
        if entry is None or known is None:
            return NO_RULE
        if self.quirks is not None:
            return judge.perhaps_wrong(known, entry, self.quirks, rng)
        if known.wrong and rng.random() < WRONG:
            return rng.choice(known.wrong).output
        return flaws.output(known.output, text, rng)

    def verdict(self, row: judge.Row, rng: random.Random) -> dict[str, Any]:
        """By what the book says."""
        return judge.verdict(row, self.quirks, rng)

    def revision(self, row: judge.Row, rng: random.Random) -> dict[str, str]:
        """By what the book says."""
        return judge.revision(row, self.quirks, rng)

    def _errs(self, share: float, rng: random.Random) -> bool:
        return self.quirks is None and rng.random() < share


def _in_a_rut(shown: Sequence[str], begin_with: Sequence[str], rng: random.Random) -> Proposal:
    """A task known by heart, of a kind that was just shown or else a favourite kind; at times one as asked for."""
    known = of_kind(rng.choice(shown or kinds()[:FAVOURITES]))[:BY_HEART]
    if begin_with and rng.random() < AS_ASKED:
        start = rng.choice(begin_with).lower() + " "
        known = [entry for entry in entries() if entry.instruction.lower().startswith(start)] or known
    entry = rng.choice(known)
    return Proposal(entry.instruction, entry.is_classification)


@cache
def _vocabulary(size: int = 4000) -> tuple[list[str], list[float]]:
    """Made-up words, the shortest first, and how often the first i of them come (Zipf's law)."""
    starts = split_words("b br c ch d dr f fl g gr h j k l m n p pl qu r s sh st t th tr v w y z")
    ends = split_words("a an ar e el en er i in ing ir o on or ot u un us")
    rng = random.Random(4000)
    words: dict[str, None] = {}
    while len(words) < size:
        syllables = 1 + (len(words) > 300) + (len(words) > 2000)
        words["".join(rng.choice(starts) + rng.choice(ends) for _ in range(syllables + (rng.random() < 0.3)))] = None
    return list(words), list(accumulate(1 / (rank + 2.7) for rank in range(size)))


def zipf_words(count: int, rng: random.Random) -> list[str]:
    """Words in natural frequency."""
    words, cumulative = _vocabulary()
    draw, top = rng.random, cumulative[-1]
    return [words[bisect(cumulative, draw() * top)] for _ in range(count)]


@dataclass(frozen=True, slots=True)
class Words:
    """Writes endless made-up text: every proposal is new, inputs and answers are short, nothing is faulty."""

    quirks: Quirks | None = None

    def propose(
        self, shown: Sequence[str], count: int, rng: random.Random, begin_with: Sequence[str] = ()
    ) -> list[Proposal]:
        """Distinct instructions of 8 to 24 words; with the quirk `dup` some repeat what was shown."""
        del begin_with
        found: dict[str, None] = {}
        while len(found) < count:
            found[_spoken(zipf_words(rng.randint(8, 24), rng))] = None
        texts = list(found)
        if shown and self.quirks is not None and (repeated := self.quirks.share("dup")):
            texts = [rng.choice(shown) if rng.random() < repeated else text for text in texts]
        return [Proposal(text, self.is_classification(text)) for text in texts]

    def is_classification(self, instruction: str) -> bool:
        """True for about one instruction in eight, always the same ones."""
        return sum(map(ord, instruction)) % 8 == 0

    def inputs(self, instruction: str, count: int, rng: random.Random) -> tuple[bool, list[str]]:
        """Inputs for about half of the instructions."""
        needs = len(instruction) % 2 == 0
        return needs, [_spoken(zipf_words(rng.randint(3, 9), rng)) for _ in range(count if needs else 0)]

    def labelled(self, instruction: str, count: int, rng: random.Random) -> Labelled:
        """Inputs labelled Yes or No in turn."""
        inputs = [(("Yes", "No")[i % 2], _spoken(zipf_words(rng.randint(3, 9), rng))) for i in range(count)]
        return Labelled(("Yes", "No"), True, inputs)

    def respond(self, instruction: str, text: str, rng: random.Random) -> str:
        """A short sentence."""
        return _spoken(zipf_words(rng.randint(5, 20), rng))

    def verdict(self, row: judge.Row, rng: random.Random) -> dict[str, Any]:
        """Always the best: in made-up text nothing is wrong."""
        return {question: {"reason": "It is made up.", "score": 5} for question in judge.QUESTIONS}

    def revision(self, row: judge.Row, rng: random.Random) -> dict[str, str]:
        """The row as it is."""
        return {"critique": "Nothing is wrong.", "input": row.input, "output": row.output}


def _spoken(words: list[str]) -> str:
    return f"{' '.join(words).capitalize()}."


def voice_of(style: str, quirks: Quirks | None = None) -> Voice:
    """The voice of a style: with its own rare flaws, or with quirks in their place."""
    return Words(quirks) if style == "words" else Tasks(quirks)
