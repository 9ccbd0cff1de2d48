"""What a round asks for when the pool collapses: other demonstrations, rare verbs and topics, a higher temperature.

Pure: a function of what was screened up to some round, so that a plan is the same after a kill and at any concurrency.
"""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from selfinstruct.diversity import lexicon
from selfinstruct.diversity.verbs import Reading, is_english, read
from selfinstruct.settings import Settings
from selfinstruct.similarity.tokens import tokenize
from selfinstruct.types import PROPOSE, Task

POOL = 24
"""Verbs and topics that are covered least, out of which each request draws."""
VERBS_SHOWN = 3
CHOICE = 16
"""Tasks among which each demonstration is chosen."""
TEMPERATURE_STEP = 0.1


@dataclass(frozen=True, slots=True)
class Seen:
    """What was screened and shown up to some round, as far as it matters here."""

    level: int
    """How strongly to act, 1 to 4."""
    pairs: Mapping[Reading, int]
    """How many instructions of the pool, seeds included, have a pair of verb and noun."""
    words: Sequence[frozenset[str]]
    """Those of each instruction accepted last."""
    uses: Mapping[str, int]
    """How often a task was shown in the last rounds, by id."""


@dataclass(frozen=True, slots=True)
class Steering:
    """How the requests of a round differ from the usual ones."""

    seen: Seen
    verbs: tuple[str, ...]
    """The verbs and question words covered least; empty where the pool is not in English."""
    topics: tuple[str, ...]

    def to_json(self) -> dict[str, Any]:
        """What is stored with the round."""
        return {"level": self.seen.level, "verbs": list(self.verbs), "topics": list(self.topics)}

    def draw_verbs(self, generator: random.Random) -> tuple[str, ...]:
        """Those that one request names."""
        return tuple(generator.sample(self.verbs, min(VERBS_SHOWN, len(self.verbs))))

    def weight(self, task: Task) -> float:
        """How gladly a task is shown: less for each like it in the pool, and each time that it was shown of late."""
        density = max(1, self.seen.pairs.get(read(task.instruction), 0))
        return 1.0 / (density * density * (1 + self.seen.uses.get(task.id, 0)))


def steering(seen: Seen, settings: Settings, seeds: Sequence[Task]) -> Steering:
    """What a round is to ask for after what was seen."""
    english = "en" in settings.filters.languages
    if not settings.filters.languages:
        english = sum(is_english(seed.instruction) for seed in seeds) * 2 > len(seeds)
    by_verb: Counter[str] = Counter()
    for pair, count in seen.pairs.items():
        by_verb[pair.verb] += count
    verbs = (*dict.fromkeys(read(seed.instruction).verb for seed in seeds), *lexicon.REQUESTS) if english else ()
    topics = settings.topics or (lexicon.TOPICS if english and not settings.recipe.guidance else ())
    return Steering(
        seen,
        least((verb for verb in dict.fromkeys(verbs) if verb.isascii() and verb), lambda verb: by_verb[verb]),
        least(topics, lambda topic: covered(topic, seen.words)),
    )


def least(names: Any, cover: Any) -> tuple[str, ...]:
    """Half of the names at most, and no more than `POOL`: those covered least, in their own order among equals."""
    ranked = sorted(names, key=cover)
    return tuple(ranked[: max(1, min(POOL, len(ranked) // 2))])


def covered(topic: str, words: Sequence[frozenset[str]]) -> int:
    """How many instructions hold each word of the topic, as it is or in the singular; `words` are theirs.

    In scripts without spaces each character is a word, as it is in the instructions.
    """
    wanted = [{word, word.removesuffix("s")} for word in tokenize(topic)]
    return sum(not any(one.isdisjoint(held) for one in wanted) for held in words)


def raised(settings: Settings, level: int) -> Settings:
    """The settings with the temperature of the first stage raised by a step a level, within the bound."""
    stage = settings.stages[PROPOSE]
    usual = stage.sampling.get("temperature")
    if not level or usual is None or usual >= settings.monitor.max_temperature:
        return settings
    temperature = min(round(usual + level * TEMPERATURE_STEP, 2), settings.monitor.max_temperature)
    warmer = replace(stage, sampling={**stage.sampling, "temperature": temperature})
    return settings.model_copy(update={"stages": {**settings.stages, PROPOSE: warmer}})
