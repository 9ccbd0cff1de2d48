"""Documents: tasks about passages of the user's own texts; back-translation: the instruction that a passage answers.

The passages are gone through in a random order, all of them before one comes again. With `closed_book` who answers a
task sees the passage and the row does not have it. Back-translation follows Li et al. 2023, "Self-Alignment with
Instruction Backtranslation": the model writes the instruction, then says whether the text is a good answer to it. Of
several pairs of input and output it writes the one instruction (Zhou et al. 2022, "Automatic Prompt Engineer").
"""

from __future__ import annotations

from dataclasses import replace
from functools import lru_cache
from random import Random

from selfinstruct.recipes.chat import proposal
from selfinstruct.sources.asking import Asking
from selfinstruct.types import DOCUMENT, PASSAGE, USE, Passage, Prompt, Use

DOCUMENTS = "documents"
BACK_TRANSLATION = "back_translation"
PROMPTS = {
    DOCUMENTS: (DOCUMENTS, "closed_book", "from_passage"),
    BACK_TRANSLATION: (BACK_TRANSLATION, "induction", "is_answer"),
}
"""The prompts of each."""


def documents(asking: Asking) -> Prompt:
    """A prompt that asks for tasks about the passage whose turn it is."""
    use = asking.settings.documents.passage
    template = DOCUMENTS if use == "input" else use
    return _about(_passage(asking, DOCUMENTS), template, use, asking, asking.settings.recipe.tasks_per_request)


def back_translation(asking: Asking) -> Prompt:
    """A prompt that asks for the one instruction to which the passage whose turn it is would be the answer."""
    passage = _passage(asking, BACK_TRANSLATION)
    return _about(passage, "induction" if passage.more else BACK_TRANSLATION, "output", asking, 1)


def _about(passage: Passage, template: str, use: Use, asking: Asking, count: int) -> Prompt:
    settings = asking.settings
    text = passage.text if use == "output" else passage.titled
    values = {"document": passage.document, "heading": passage.heading, "passage": text, "topic": asking.about}
    values |= {"given": passage.given, "pairs": passage.in_words}
    prompt = proposal(settings.prompts[template], values, asking.index, settings, count)
    return replace(prompt, drawn={DOCUMENT: passage.document, PASSAGE: passage.id, USE: use})


def _passage(asking: Asking, source: str) -> Passage:
    """The passage of a request: each comes once before any comes again."""
    times, place = divmod(asking.number, len(asking.passages))
    return asking.passages[_order(f"{asking.settings.seed}/{source}/{times}", len(asking.passages))[place]]


@lru_cache(maxsize=8)
def _order(seed: str, count: int) -> list[int]:
    return Random(seed).sample(range(count), count)
