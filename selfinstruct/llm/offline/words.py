"""Words that fill the gaps of faulty texts, and sentences that stand for what a model says beside the point."""

from __future__ import annotations

import random


def split_words(text: str) -> tuple[str, ...]:
    """The words of a text."""
    return tuple(text.split())


NAMES = split_words("Ada Amir Bruno Clara David Elif Femi Greta Hugo Ines Jonas Keiko Lena Marco Nora Omar Priya Yusuf")
OBJECTS = split_words(
    "badges blankets bottles bricks buttons candles chairs coins envelopes keys lamps lemons mugs pencils plates "
    "ribbons shells spoons stamps tickets tiles towels"
)
_SENTENCES = (
    "The lamp in the hall went out on Tuesday.", "Two of the chairs were sold before noon.",
    "Nobody had watered the tomatoes for a week.", "The bus was late because of the market.",
    "Clara found the key under the third flowerpot.", "The lift stopped between two floors.",
    "Omar had already counted the tickets twice.", "The bakery closes an hour earlier in winter.",
    "A letter without a stamp lay on the stairs.", "The children built a raft out of old bottles.",
    "Greta paid for the coffee with coins.", "The choir had to sing without its tenor.",
)  # fmt: skip


def sentence(rng: random.Random) -> str:
    """A plain sentence in the past tense, ending in a full stop."""
    return rng.choice(_SENTENCES)
