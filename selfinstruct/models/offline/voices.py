"""What the built-in model says: `Tasks` out of the book, `Words` without end for load tests."""

from __future__ import annotations

from bisect import bisect
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from functools import cache
from itertools import accumulate
from random import Random
from typing import Any

from selfinstruct.models.offline import flaws
from selfinstruct.models.offline.book import Answer, Book, Entry, built_in
from selfinstruct.models.offline.flaws import Quirks, draw
from selfinstruct.models.offline.options import chance

REPEATED, NEARLY_REPEATED, FLAWED = 0.04, 0.04, 0.07
"""Shares of the proposed tasks, each of what the ones before leave."""
WRONG = 0.04
"""Share of the answers that are wrong, where the book has a wrong one."""
AS_ASKED, FAVOURITES, BY_HEART = 0.5, 3, 20
"""A model in a rut: the share of tasks that begin as asked, kinds that it likes, tasks of a kind that it knows."""

Task = dict[str, Any]
NO_RULE = "I'm sorry, but I cannot do this: it is not in the book of the built-in model."
QUESTIONS = ("valid_task", "suitable_input", "correct_output")

_WANTS_INPUT = ("following", "given", "below", "input", "this ", "these ", "the text", "the sentence", "paragraph")
_CLASSIFIES = (
    "classif", "yes or no", "true or false", "positive or negative", "categor", "label", "sentiment", "detect",
)  # fmt: skip
_SCORES = {
    (True, False): ((5, 4), (8, 2)),
    (False, False): ((1, 2, 3), (7, 2, 1)),
    (True, True): ((2, 3), (3, 7)),
    (False, True): ((4, 5), (7, 3)),
}
"""By what holds and whether the judge errs: scores and their weights. It is surer of itself where it is right."""


@dataclass(frozen=True, slots=True)
class Tasks:
    """Writes tasks of the book, answers them from it and errs now and then, unless it has quirks instead."""

    quirks: Quirks | None = None
    book: Book = field(default_factory=built_in)

    def propose(self, shown: Sequence[str], count: int, rng: Random, begin_with: Sequence[str] = ()) -> list[Task]:
        """Tasks of the book, each once; some repeat what was shown, some are faulty."""
        known = self.book.entries
        fresh = iter(rng.sample(known, min(2 * count, len(known))) * (2 * count))
        return [self._one(shown, fresh, rng, begin_with) for _ in range(count)]

    def _one(self, shown: Sequence[str], fresh: Iterator[Entry], rng: Random, begin: Sequence[str]) -> Task:
        repeated, nearly = (REPEATED, NEARLY_REPEATED) if self.quirks is None else (self._rate("dup"), 0.0)
        if shown and (roll := rng.random()) < repeated + nearly:
            text = rng.choice(shown)
            copy = text if roll < repeated else flaws.nearly(text, rng)
            return _task(copy, self.is_classification(copy))
        if (rut := self._rate("rut")) and rng.random() < rut:
            entry = _in_a_rut(self.book, shown, begin, rng)
            return _task(entry.instruction, entry.is_classification)
        entry = next(fresh)
        is_flawed = self._errs(FLAWED, rng)
        text = flaws.instruction(entry.instruction, next(fresh).instruction, rng) if is_flawed else entry.instruction
        return _task(text, entry.is_classification)

    def is_classification(self, instruction: str) -> bool:
        """By the book, else by the words."""
        known = self.book.find(instruction)
        return known.is_classification if known else any(word in instruction.lower() for word in _CLASSIFIES)

    def inputs(self, instruction: str, count: int, rng: Random) -> tuple[bool, list[str]]:
        """Whether the task needs an input, and up to `count` of them, out of the book, with a rare fault among them."""
        known = self.book.find(instruction)
        if known and not known.needs_input:
            return (True, [draw("no_input", rng)]) if self._errs(0.015, rng) else (False, [])
        if known:
            good = [one.input for one in known.answers[:count]]
            return True, flaws.inputs(good, rng) if self.quirks is None else good
        if any(word in instruction.lower() for word in _WANTS_INPUT):
            return True, [draw("sentences", rng) for _ in range(count)]
        return False, []

    def labelled(self, instruction: str, count: int, rng: Random) -> tuple[Sequence[str], list[tuple[str, str]]]:
        """The labels of a classification and up to `count` pairs of label and input, with a rare fault among them."""
        known = self.book.find(instruction)
        if known is None or not known.is_classification:
            texts = self.inputs(instruction, count, rng)[1] or [""]
            labels = [self.respond(instruction, text, rng) for text in texts] if known else ["Yes", "No"]
            return labels, [(labels[i % len(labels)], text) for i, text in enumerate(texts)]
        pairs = [(self._output(one, known, rng), one.input) for one in known.answers[:count]]
        if self._errs(0.03, rng):
            pairs[0] = (draw("wrong_labels", rng), pairs[0][1])
        return known.labels, pairs

    def respond(self, instruction: str, text: str, rng: Random) -> str:
        """The answer out of the book, now and then a wrong one; a refusal where it has none, which a check will see."""
        entry = self.book.find(instruction)
        known = entry.answer(text) if entry else None
        if entry is None or known is None:
            return NO_RULE
        if self.quirks is not None:
            return self._output(known, entry, rng)
        if known.wrong and rng.random() < WRONG:
            return rng.choice([*known.wrong])
        return flaws.output(known.output, text, rng)

    def verdict(self, instruction: str, text: str, output: str, rng: Random) -> dict[str, Any]:
        """A score and a reason for each question; the opposite of the truth as often as `judge_wrong` says."""
        entry = self.book.find(instruction)
        known = entry.answer(text) if entry else None
        fault = _fault(known, output)
        found = (
            (entry is not None, "People ask for this.", "Nobody could say what is wanted here."),
            (known is not None, "The task can be done on it.", "The task cannot be done on it."),
            (not fault, "It does what was asked, and nothing in it is wrong.", fault),
        )
        rate, said = self._rate("judge_wrong"), {}
        for question, (holds, good, bad) in zip(QUESTIONS, found, strict=True):
            errs = rate > 0 and rng.random() < rate
            said[question] = {"reason": good if holds else bad, "score": rng.choices(*_SCORES[holds, errs])[0]}
        return said

    def comparison(self, instruction: str, text: str, first: str, second: str, rng: Random) -> dict[str, str]:
        """The better of two outputs, or `neither`; the other one as often as `judge_wrong` says."""
        entry = self.book.find(instruction)
        known = entry.answer(text) if entry else None
        faults = (_fault(known, first), _fault(known, second))
        if bool(faults[0]) == bool(faults[1]):
            return {"reason": "One is worth as much as the other.", "better": "neither"}
        errs = rng.random() < self._rate("judge_wrong")
        better = ("first", "second")[(not faults[1]) != errs]
        return {"reason": faults[0] or faults[1], "better": better}

    def agrees(self, holds: bool, rng: Random) -> bool:
        """Whether something holds, or the opposite as often as `judge_wrong` says."""
        rate = self._rate("judge_wrong")
        return holds != (rate > 0 and rng.random() < rate)

    def revision(self, instruction: str, text: str, output: str, rng: Random) -> dict[str, str]:
        """The right output, with another input where that was unsuitable; wrong again as often as `wrong` says."""
        entry = self.book.find(instruction)
        if entry is None:
            return {"critique": "Nothing can be said against it.", "input": text, "output": output}
        known = entry.answer(text)
        critique = _fault(known, output) or "Nothing is wrong."
        known = known or entry.answers[0]
        return {"critique": critique, "input": known.input, "output": self._output(known, entry, rng)}

    def _output(self, known: Answer, entry: Entry, rng: Random) -> str:
        """The right output, or another one as often as the quirk `wrong` says; always if the question is `hard`."""
        rate, question = self._rate("wrong"), (entry.instruction.encode(), known.input.encode())
        if chance(b"hard", *question) >= self._rate("hard") and not (rate and rng.random() < rate):
            return known.output
        return rng.choice([*known.wrong]) if known.wrong else flaws.wrong(known.output, entry.labels, rng)

    def _rate(self, quirk: str) -> float:
        return self.quirks.get(quirk, 0.0) if self.quirks else 0.0

    def _errs(self, share: float, rng: Random) -> bool:
        return self.quirks is None and rng.random() < share


def _task(instruction: str, is_classification: bool) -> Task:
    return {"instruction": instruction, "is_classification": is_classification}


def _fault(known: Answer | None, output: str) -> str:
    """What is wrong with an output; empty if it is right."""
    if known is None:
        return "There is no right answer to this."
    if known.output == output.strip():
        return ""
    return f"It {known.wrong.get(output.strip()) or 'is not what the input asks for'}.".replace("..", ".")


def _in_a_rut(book: Book, shown: Sequence[str], begin_with: Sequence[str], rng: Random) -> Entry:
    """A task known by heart, of a kind that was just shown or else a favourite kind; at times one as asked for."""
    kinds = [known.kind for known in map(book.find, shown) if known]
    kind = rng.choice(kinds or list(dict.fromkeys(entry.kind for entry in book.entries))[:FAVOURITES])
    known = [entry for entry in book.entries if entry.kind == kind][:BY_HEART]
    if begin_with and rng.random() < AS_ASKED:
        start = rng.choice(begin_with).lower() + " "
        known = [entry for entry in book.entries if entry.instruction.lower().startswith(start)] or known
    return rng.choice(known)


class Words(Tasks):
    """Writes endless made-up text: every proposal is new, inputs and answers are short, nothing is faulty."""

    __slots__ = ()

    def propose(self, shown: Sequence[str], count: int, rng: Random, begin_with: Sequence[str] = ()) -> list[Task]:
        """Distinct instructions of 8 to 24 words; with the quirk `dup` some repeat what was shown."""
        found: dict[str, None] = {}
        while len(found) < count:
            found[_made_up(8, 24, rng)] = None
        repeated = self._rate("dup") if shown else 0.0
        texts = [rng.choice(shown) if repeated and rng.random() < repeated else text for text in found]
        return [_task(text, self.is_classification(text)) for text in texts]

    def is_classification(self, instruction: str) -> bool:
        """True for about one instruction in eight, always the same ones."""
        return sum(map(ord, instruction)) % 8 == 0

    def inputs(self, instruction: str, count: int, rng: Random) -> tuple[bool, list[str]]:
        """Inputs for about half of the instructions."""
        needs = len(instruction) % 2 == 0
        return needs, [_made_up(3, 9, rng) for _ in range(count if needs else 0)]

    def labelled(self, instruction: str, count: int, rng: Random) -> tuple[Sequence[str], list[tuple[str, str]]]:
        """Inputs labelled Yes or No in turn."""
        return ("Yes", "No"), [(("Yes", "No")[i % 2], _made_up(3, 9, rng)) for i in range(count)]

    def respond(self, instruction: str, text: str, rng: Random) -> str:
        """A short sentence."""
        return _made_up(5, 20, rng)

    def verdict(self, instruction: str, text: str, output: str, rng: Random) -> dict[str, Any]:
        """Always the best: in made-up text nothing is wrong."""
        return {question: {"reason": "It is made up.", "score": 5} for question in QUESTIONS}

    def comparison(self, instruction: str, text: str, first: str, second: str, rng: Random) -> dict[str, str]:
        """None is better: in made-up text nothing is wrong."""
        return {"reason": "Both are made up.", "better": "neither"}

    def revision(self, instruction: str, text: str, output: str, rng: Random) -> dict[str, str]:
        """The row as it is."""
        return {"critique": "Nothing is wrong.", "input": text, "output": output}


@cache
def _vocabulary(size: int = 4000) -> tuple[list[str], list[float]]:
    """Made-up words, the shortest first, and how often the first i of them come (Zipf's law)."""
    rng = Random(4000)
    words: dict[str, None] = {}
    while len(words) < size:
        syllables = 1 + (len(words) > 300) + (len(words) > 2000)
        words["".join(draw("onsets", rng) + draw("rhymes", rng) for _ in range(syllables + (rng.random() < 0.3)))] = (
            None
        )
    return list(words), list(accumulate(1 / (rank + 2.7) for rank in range(size)))


def _made_up(least: int, most: int, rng: Random) -> str:
    """A sentence of that many words in natural frequency."""
    words, cumulative = _vocabulary()
    drawn = (words[bisect(cumulative, rng.random() * cumulative[-1])] for _ in range(rng.randint(least, most)))
    return f"{' '.join(drawn).capitalize()}."


VOICES = {"tasks": Tasks, "words": Words}
