"""Which tasks become demonstrations."""

from __future__ import annotations

import random
from collections.abc import Callable


def draw_demonstrations(
    generator: random.Random, seeds: int, generated: int, shown: int, generated_shown: int
) -> list[tuple[bool, int]]:
    """The demonstrations of one propose request, as (is generated, index) in the order they are shown.

    Uniform without replacement: at most `generated_shown` of the generated tasks, seeds for the rest, then shuffled
    (Wang et al. 2022, section 2.2: six seeds and two generated). Where seeds are fewer, generated tasks fill up.
    """
    from_seeds, from_generated = _shares(seeds, generated, shown, generated_shown)
    drawn = [(True, index) for index in generator.sample(range(generated), from_generated)]
    drawn += [(False, index) for index in generator.sample(range(seeds), from_seeds)]
    generator.shuffle(drawn)
    return drawn


def draw_demonstrations_by_weight(
    generator: random.Random,
    seeds: int,
    generated: int,
    shown: int,
    generated_shown: int,
    weight: Callable[[bool, int], float],
    choice: int,
) -> list[tuple[bool, int]]:
    """As `draw_demonstrations`, but each is drawn by weight, out of `choice` times as many that are drawn uniformly."""
    drawn = []
    shares = _shares(seeds, generated, shown, generated_shown)
    for is_generated, total, wanted in ((True, generated, shares[1]), (False, seeds, shares[0])):
        places = generator.sample(range(total), min(total, wanted * choice))
        weights = [weight(is_generated, place) for place in places]
        for _ in range(wanted):
            left = generator.random() * sum(weights)
            chosen = len(places) - 1
            for candidate, one in enumerate(weights):
                left -= one
                if left < 0:
                    chosen = candidate
                    break
            drawn.append((is_generated, places.pop(chosen)))
            weights.pop(chosen)
    generator.shuffle(drawn)
    return drawn


def _shares(seeds: int, generated: int, shown: int, generated_shown: int) -> tuple[int, int]:
    """How many demonstrations are seeds, and how many generated tasks."""
    from_generated = min(generated_shown, generated, shown)
    from_seeds = min(shown - from_generated, seeds)
    return from_seeds, min(shown - from_seeds, generated)
