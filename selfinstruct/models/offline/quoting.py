"""What the built-in model says about a passage that it is shown: tasks that quote it, and answers out of it."""

from __future__ import annotations

import re
from random import Random
from typing import Any

PASSAGE = re.compile(r"<(passage|pairs)>\n(.*?)\n</\1>", re.DOTALL)
_CODE = re.compile(r"```.*?```", re.DOTALL)
_SENTENCE = re.compile(r"(?:^|(?<=[.!?] ))[A-Z][^.!?|]{25,200}[.!?](?= |$)")
_QUOTED = re.compile(r'"([^"\n]+)"')
_ASKS = (
    'Say in full which rule begins with "{}".',
    'Complete this statement and give it as one sentence: "{}"',
    'What follows after "{}"? Answer in a whole sentence.',
    'A colleague remembers only "{}" and wants to know the rest; tell her.',
    'Which statement starts with the words "{}"? Write it down.',
)


def passage_in(message: str) -> str:
    """The passage that a message shows; empty where it shows none."""
    found = PASSAGE.search(message)
    return found[2] if found else ""


def tasks_about(passage: str, count: int, rng: Random) -> list[dict[str, Any]]:
    """So many tasks at most, each of which quotes how another sentence of the passage begins."""
    sentences = list(dict.fromkeys(_sentences(passage))) or [" ".join(passage.split()[:20])]
    chosen = rng.sample(sentences, min(count, len(sentences)))
    begins = (" ".join(one.replace('"', "'").split()[:6]) for one in chosen)
    return [{"instruction": rng.choice(_ASKS).format(one), "is_classification": False} for one in begins]


def answer_from(instruction: str, text: str) -> str:
    """The sentence of a text that begins with what an instruction quotes; empty where there is none."""
    asks = any(instruction.strip().startswith(one.partition("{}")[0]) for one in _ASKS)
    quoted = _QUOTED.search(instruction) if asks else None
    begins = (one for one in _sentences(text) if quoted and one.replace('"', "'").startswith(quoted[1]))
    return next(begins, "")


def _sentences(text: str) -> list[str]:
    paragraphs = (" ".join(one.split()) for one in _CODE.sub("", text).split("\n\n"))
    return [found for one in paragraphs for found in _SENTENCE.findall(one)]
