"""Who writes: `tasks`, with families of computed tasks, or `words`, with endless text for load tests."""

from __future__ import annotations

import random
from bisect import bisect
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from itertools import accumulate
from typing import Any, NamedTuple, Protocol

from selfinstruct.llm.offline import flaws, judge, knowledge, openings
from selfinstruct.llm.offline.families import FAMILIES
from selfinstruct.llm.offline.family import Family
from selfinstruct.llm.offline.quirks import Quirks
from selfinstruct.llm.offline.wording import Params
from selfinstruct.llm.offline.words import sentence, split_words

REPEATED = 0.06
NEARLY_REPEATED = 0.06
FLAWED = 0.07
LIKE_A_DEMONSTRATION = 0.5
"""Shares of the proposed items, each of what the ones before leave; the last takes the family of a task shown."""

AS_ASKED = 0.5
"""Share of the tasks of a model in a rut that begin with the words that it was asked to begin some with, if it can."""
FAVOURITES = 12
"""Kinds of tasks that a model in a rut writes where it knows none of those shown."""
BY_HEART = 20
"""Tasks of one kind that it knows."""
TRIES = 60

NO_RULE = "I'm sorry, but I cannot do this: the offline model knows no rule for it."

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
    """Writes tasks of the families, answers them by computation and errs now and then, unless it has quirks instead."""

    quirks: Quirks | None = None

    def propose(
        self, shown: Sequence[str], count: int, rng: random.Random, begin_with: Sequence[str] = ()
    ) -> list[Proposal]:
        """Fresh tasks for the most part; some repeat what was shown, some are faulty."""
        families = [known[0] for known in map(knowledge.identify, shown) if known]
        return [self._one(shown, families, rng, begin_with) for _ in range(count)]

    def _one(
        self, shown: Sequence[str], families: Sequence[Family], rng: random.Random, begin_with: Sequence[str]
    ) -> Proposal:
        repeated, nearly = (REPEATED, NEARLY_REPEATED) if self.quirks is None else (self.quirks.share("dup"), 0.0)
        if shown and (roll := rng.random()) < repeated + nearly:
            text = rng.choice(shown)
            copy = text if roll < repeated else flaws.nearly(text, rng)
            return Proposal(copy, self.is_classification(copy))
        if self.quirks and (rut := self.quirks.share("rut")) and rng.random() < rut:
            return _in_a_rut(families, begin_with, rng)
        fresh = _fresh(families, rng)
        if self.quirks is None and rng.random() < FLAWED:
            text = flaws.instruction(fresh.instruction, _fresh((), rng).instruction, rng)
            return Proposal(text, fresh.is_classification)
        return fresh

    def is_classification(self, instruction: str) -> bool:
        """By its family, else by its words."""
        known = knowledge.identify(instruction)
        if known:
            return known[0].is_classification
        return any(word in instruction.lower() for word in _CLASSIFIES)

    def inputs(self, instruction: str, count: int, rng: random.Random) -> tuple[bool, list[str]]:
        """Inputs of the task's family, with a rare fault among them."""
        known = knowledge.identify(instruction)
        if known and known[0].make_input is None:
            return (True, [rng.choice(flaws.NO_INPUT)]) if self._errs(0.015, rng) else (False, [])
        if known:
            return True, self._family_inputs(*known, count, rng)
        if any(word in instruction.lower() for word in _WANTS_INPUT):
            return True, [sentence(rng) for _ in range(count)]
        return False, []

    def labelled(self, instruction: str, count: int, rng: random.Random) -> Labelled:
        """Labels and inputs of the task's family, with a rare fault among them."""
        known = knowledge.identify(instruction)
        if known is None or known[0].labels is None:
            needs, texts = self.inputs(instruction, count, rng)
            labels = (
                ("Yes", "No")
                if known is None
                else tuple(self.respond(instruction, text, rng) for text in texts or [""])
            )
            return Labelled(labels, needs, [(labels[i % len(labels)], text) for i, text in enumerate(texts or [""])])
        family, params = known
        labels = known[0].labels(params)
        if family.make_input is None:
            return Labelled(labels, False, [(family.compute(params, ""), "")])
        pairs = [
            (family.answer(params, text) or labels[0], text) for text in self._family_inputs(family, params, count, rng)
        ]
        if pairs and self._errs(0.03, rng):
            pairs[0] = (rng.choice(flaws.WRONG_LABELS), pairs[0][1])
        pairs = [(judge.perhaps_wrong(label, family, params, self.quirks, rng), text) for label, text in pairs]
        return Labelled(labels, True, pairs)

    def respond(self, instruction: str, text: str, rng: random.Random) -> str:
        """The computed answer; a refusal where there is none, so that no filter takes it for one."""
        known = knowledge.identify(instruction)
        answer = known[0].answer(known[1], text) if known else None
        if known is None or answer is None:
            return NO_RULE
        if self.quirks is None:
            return flaws.output(answer, text, rng)
        return judge.perhaps_wrong(answer, *known, self.quirks, rng)

    def verdict(self, row: judge.Row, rng: random.Random) -> dict[str, Any]:
        """By the computed truth."""
        return judge.verdict(row, self.quirks, rng)

    def revision(self, row: judge.Row, rng: random.Random) -> dict[str, str]:
        """By the computed truth."""
        return judge.revision(row, self.quirks, rng)

    def _family_inputs(self, family: Family, params: Params, count: int, rng: random.Random) -> list[str]:
        good = family.inputs(params, rng, count)
        return flaws.inputs(good, rng) if self.quirks is None else good

    def _errs(self, share: float, rng: random.Random) -> bool:
        return self.quirks is None and rng.random() < share


def _in_a_rut(families: Sequence[Family], begin_with: Sequence[str], rng: random.Random) -> Proposal:
    """A task known by heart, of a kind that was just shown or else a favourite kind; at times one as asked for."""
    if begin_with and rng.random() < AS_ASKED:
        start = rng.choice(begin_with).lower() + " "
        for _ in range(TRIES):
            found = _by_heart(knowledge.any_family(rng), rng)
            if found.instruction.lower().startswith(start):
                return found
    return _by_heart(rng.choice(families or FAMILIES[:: len(FAMILIES) // FAVOURITES]), rng)


def _by_heart(family: Family, rng: random.Random) -> Proposal:
    """One of the few tasks of a kind that a model in a rut knows."""
    return Proposal(family.write(random.Random(rng.randrange(BY_HEART))), family.is_classification)


def _fresh(families: Sequence[Family], rng: random.Random) -> Proposal:
    """A task of any family, or of one of those given."""
    imitates = families and rng.random() < LIKE_A_DEMONSTRATION
    family = rng.choice(families) if imitates else knowledge.any_family(rng)
    text = family.write(rng)
    lead = openings.write(rng) if rng.random() < openings.SHARE else ""
    return Proposal(lead + text, family.is_classification)


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
