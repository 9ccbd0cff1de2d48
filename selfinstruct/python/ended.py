"""How a run ended, for a program: in one word and in a sentence, without exit codes."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from selfinstruct.python.keywords import in_keywords

How = Literal["target", "budget", "little_new", "access", "error", "interrupted"]
_BY_EXIT_CODE: dict[int, How] = {0: "target", 3: "budget", 4: "little_new", 5: "access", 130: "interrupted"}


@dataclass(frozen=True, slots=True)
class Ended:
    """How a run ended."""

    how: How
    """`target`: reached. `budget`: a bound on money, tokens, requests or minutes. `little_new`: almost nothing new
    came. `access`: the model could not be reached. `interrupted`: by a person or an unexpected error. `error`: other.
    """
    why: str
    """The sentence with which the command line ends, with keywords for its options."""


def ended(exit_code: int, reason: str) -> Ended:
    """How a run ended that the command line ends with this exit code."""
    return Ended(_BY_EXIT_CODE.get(exit_code, "error"), in_keywords(reason))
