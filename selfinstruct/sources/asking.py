"""What a source makes a request for new instructions of."""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import dataclass

from selfinstruct.settings import Settings
from selfinstruct.types import Passage, Task


@dataclass(frozen=True, slots=True)
class Due:
    """Whose turn it is, and how many requests came to it before."""

    source: str
    number: int


@dataclass(frozen=True, slots=True)
class Asking:
    """A request that is to be made; all of it follows from the seed, the round and what is known to the round."""

    number: int
    """How many requests came to this source before."""
    index: int
    """Its place in the round."""
    generator: random.Random
    shown: Sequence[Task]
    """The demonstrations that were drawn for it."""
    about: str
    """What its tasks are to fit, in words; empty where nothing was drawn."""
    settings: Settings
    passages: Sequence[Passage] = ()
    """Those of the user's documents, in order."""
