"""Which tasks become demonstrations."""

from __future__ import annotations

import random
from collections.abc import Sequence


def draw_demonstrations(
    generator: random.Random, seeds: int, generated: int, shown: int, generated_shown: int
) -> list[tuple[bool, int]]:
    """The demonstrations of one propose request, as (is generated, index) in the order they are shown.

    Uniform without replacement: at most `generated_shown` of the generated tasks, seeds for the rest, then shuffled
    (Wang et al. 2022, section 2.2: six seeds and two generated). Where seeds are fewer, generated tasks fill up.
    """
    from_generated = min(generated_shown, generated, shown)
    from_seeds = min(shown - from_generated, seeds)
    from_generated = min(shown - from_seeds, generated)
    drawn = [(True, index) for index in generator.sample(range(generated), from_generated)]
    drawn += [(False, index) for index in generator.sample(range(seeds), from_seeds)]
    generator.shuffle(drawn)
    return drawn


def draw_topic(generator: random.Random, topics: Sequence[str]) -> str | None:
    """One of the topics, or None when there are none."""
    return generator.choice(topics) if topics else None
