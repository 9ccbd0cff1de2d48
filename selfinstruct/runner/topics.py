"""A list of subjects, grown by a model out of a description: its parts, the parts of these, and so on.

People read such a list and change it before they use it; `[draw]` and `recipe.topics` take it from a file.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Awaitable, Callable, Iterable, Sequence
from importlib import resources

from selfinstruct.algorithm import plan_request
from selfinstruct.ask import gather
from selfinstruct.config.roles import limits_of
from selfinstruct.config.sections import Config
from selfinstruct.config.shaping import pool_settings
from selfinstruct.errors import ConfigError
from selfinstruct.models.budget import Attempt, Budget
from selfinstruct.recipes.json_answers import read_items, schema_of, tidy_instruction
from selfinstruct.recipes.languages import in_languages
from selfinstruct.recipes.templates import conversation
from selfinstruct.runner.clients import serve
from selfinstruct.runner.run import known_prices
from selfinstruct.runner.watch import Tell
from selfinstruct.types import PROPOSE, Completion, Prompt, Schema, storable

PARTS = 12
"""The most that one request asks for."""
MOST = 2000
"""Subjects of one list."""
TIMES = 2
"""How often a request is sent whose answer holds no list."""
MORE = 1.5
"""As many times the subjects wanted are asked for, since some come twice."""
Parts = Callable[[str, Sequence[str], int], Awaitable[Sequence[str]]]
"""So many parts of the whole, or of one of these parts of it."""


class _Unwritten:
    """A ledger for requests that no pool keeps."""

    async def reserve(self, attempt: Attempt) -> None:
        """Write nothing."""

    def settle_attempt(self, attempt: Attempt, tokens: int, picodollars: int) -> None:
        """Write nothing."""


async def grow_topics(about: str, count: int, config: Config, tell: Tell) -> list[str]:
    """So many subjects at most, those of each part in turn; each is named with the parts that it belongs to.

    Raises:
        ConfigError: the description is empty, the count is no number of subjects, or the model has written none.
        AccessError, BudgetError: the model cannot be asked, or not any more.
    """
    if not about.strip():
        raise ConfigError("the description is empty; say what the subjects are of, such as 'what a pharmacy is asked'")
    if type(count) is not int or not 1 <= count <= MOST:
        raise ConfigError(f"--count: wanted is a number of subjects from 1 to {MOST:,}, found {count!r}")
    budget = Budget(limits_of(config), {}, _Unwritten)
    async with serve(config, tell, {}, budget, ()) as models:
        if models.is_offline:
            tell("these subjects are made up by the built-in model; name a real one by --model")
        settings = pool_settings(config, models.name, models.context_length)
        budget.prices = known_prices(budget.limits, config, settings)
        if settings.stages[PROPOSE].api != "chat":
            raise ConfigError(
                f"the recipe {settings.recipe.name} has no chat, in which lists are asked for; use `chat`"
            )
        template = resources.files("selfinstruct.runner") / "topics.txt"
        (words,) = in_languages({"": template.read_text("utf-8")}, settings.filters.languages).values()
        answers: list[Completion] = []

        async def parts(part: str, others: Sequence[str], number: int) -> list[str]:
            values = {"about": about, "part": part, "others": "; ".join(others), "number": str(number)}
            for time in range(TIMES):
                prompt = Prompt(PROPOSE, time, conversation(words, values), _subjects(number))
                answers.append(await models.clients[PROPOSE].complete(plan_request(prompt, settings, 0, None), 0))
                if found := _different(_read(answers[-1])):
                    return found
            return []

        found = _different(await _grown(parts, "", (), math.ceil(count * MORE)))[:count]
    if not found:
        raise ConfigError(f"the model wrote no list; its answer was {answers[0].text[:80]!r}; try another one")
    if len(found) < count:
        tell(f"{len(found)} subjects instead of {count}: the model wrote no others")
    return found


async def _grown(parts: Parts, part: str, others: Sequence[str], count: int) -> list[str]:
    """The subjects of a part, or of the whole; of many, those of its own parts in turn."""
    if count <= PARTS:
        return [*await parts(part, others, count)]
    found = await parts(part, others, min(PARTS, math.ceil(math.sqrt(count))))
    each = math.ceil(count / max(1, len(found)))
    below = await gather(_grown(parts, one, [other for other in found if other != one], each) for one in found)
    named = ([f"{one}: {subject}" for subject in some] for one, some in zip(found, below, strict=True))
    return [one for some in itertools.zip_longest(*named) for one in some if one is not None]


def _different(subjects: Iterable[str]) -> list[str]:
    """Each once, whatever its case."""
    return [*{one.casefold(): one for one in reversed([*subjects])}.values()][::-1]


def _read(answer: Completion) -> list[str]:
    """The subjects in an answer, each on one line."""
    items = read_items(answer.text, "subjects") if answer.kind == "answer" else None
    texts = (tidy_instruction(one) for one in items.whole if isinstance(one, str)) if items else ()
    return [" ".join(storable(one).split()) for one in texts if one]


def _subjects(number: int) -> Schema:
    text = {"type": "string", "minLength": 1, "maxLength": 80}
    items = {"type": "array", "items": text, "minItems": number, "maxItems": number}
    return schema_of("subjects", {"subjects": items})
