"""Sentences that may stand before an instruction and do not change what it asks."""

from __future__ import annotations

import random

from selfinstruct.llm.offline.wording import wordings
from selfinstruct.llm.offline.words import EVENTS, NAMES, PLACES, SHOPS, WEEKDAYS

SHARE = 0.12
"""How many of the new instructions have one."""

_OPENINGS = wordings(
    "I am helping {who:word} with homework. ",
    "{who:word} asked me this at breakfast. ",
    "My neighbour runs {shop} and needs a hand. ",
    "This is for the {day:word} quiz at our club in {place:word}. ",
    "I have to hand this in on {day:word}. ",
    "A colleague from {place:word} sent me the following. ",
    "We are getting ready for {event}. ",
    "My class in {place:word} is practising for a test. ",
    "Can you help me with a small thing? ",
    "{who:word} and I cannot agree on this one. ",
    "I found this in an old exercise book. ",
    "Please keep the answer short. ",
    "I am new to this, so bear with me. ",
    "The newsletter of {place:word} prints a riddle every {day:word}. ",
    "Here is a little job for you. ",
    "Work carefully, as {who:word} will check the result. ",
)


def write(rng: random.Random) -> str:
    """An opening with a space at its end."""
    words = {"who": rng.choice(NAMES), "place": rng.choice(PLACES), "day": rng.choice(WEEKDAYS)}
    return rng.choice(_OPENINGS).write(words | {"shop": rng.choice(SHOPS), "event": rng.choice(EVENTS)}, rng)


def strip(instruction: str) -> str:
    """The instruction without the opening that it may have."""
    for opening in _OPENINGS:
        if opening.key in instruction and (found := opening.pattern.match(instruction)):
            return instruction[found.end() :]
    return instruction
