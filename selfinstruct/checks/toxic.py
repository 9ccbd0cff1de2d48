"""Insults and obscene words in English, by the classifier of the package alt-profanity-check: the extra `toxic`.

It is a linear model of single words (200,000 comments labelled by people), so that one rude sentence in a long text is
lost among the others: each sentence is looked at by itself.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import cache

import regex

from selfinstruct.checks.faults import Fault, reject
from selfinstruct.checks.wording import quoted
from selfinstruct.errors import ConfigError

THRESHOLD = 0.96
"""From 0 to 1. By tests/data/toxic_lines.jsonl: lower, and talk of bodies, animals and insults is refused with them."""
_BETWEEN_SENTENCES = regex.compile(r"(?<=[.!?])\s+|\n+")


def toxic(text: str) -> Fault | None:
    """The sentence of a text that is most likely toxic, if it is likely enough.

    Raises:
        ConfigError: the classifier is not installed.
    """
    sentences = [one for one in _BETWEEN_SENTENCES.split(text) if regex.search(r"\p{L}", one)]
    if not sentences:
        return None
    score, worst = max(zip(classifier()(sentences), sentences, strict=True))
    return reject("toxic", f"{score:.2f}: {quoted(worst, 60)}") if score >= THRESHOLD else None


@cache
def classifier() -> Callable[[Sequence[str]], Sequence[float]]:
    """What says how likely each of several texts is toxic. Takes seconds at first. Raises: ConfigError."""
    try:
        from profanity_check import predict_prob  # noqa: PLC0415 - an optional package, and a large one
    except ImportError as error:
        raise ConfigError(
            'filters.checks: toxic needs the package alt-profanity-check: pip install "selfinstruct[toxic]"'
        ) from error
    found: Callable[[Sequence[str]], Sequence[float]] = predict_prob
    return found
