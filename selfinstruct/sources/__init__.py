"""The sources: where new instructions come from. `recipe.sources` names them, and each request takes the next in turn.

A built-in one makes the prompt of a request out of what is in `Asking`; `demonstrations` is the way of the paper.

One of the user's own is a plain function `(number, generator, demonstrations)` that gives the words of a request: a
text, or messages. The number counts the requests that came to it, from 0, so it may go through a list of its own; the
generator is random by pool, round and index; the demonstrations are the tasks that were drawn for this request. The
answer is read as that to any propose request of the recipe.
"""

from __future__ import annotations

import inspect
import random
from collections.abc import Callable, Iterable, Mapping, Sequence

from selfinstruct import own
from selfinstruct.ask import messages_of
from selfinstruct.errors import ConfigError, OwnCodeError
from selfinstruct.settings import Settings
from selfinstruct.sources.asking import Asking, Due
from selfinstruct.sources.documents import BACK_TRANSLATION, DOCUMENTS, PROMPTS, back_translation, documents
from selfinstruct.sources.evolve import EVOLVE, evolve
from selfinstruct.types import Api, Message, Prompt, Task

DEMONSTRATIONS = "demonstrations"
default = (DEMONSTRATIONS,)
"""What `default` stands for in a configuration, to be put into a list with others."""


SOURCES: Mapping[str, Callable[[Asking], Prompt]] = {
    EVOLVE: evolve,
    DOCUMENTS: documents,
    BACK_TRANSLATION: back_translation,
}
"""The built-in ones besides, by name. They ask for JSON, so they go with recipes by chat alone."""
OF_DOCUMENTS = (DOCUMENTS, BACK_TRANSLATION)
"""Those that write about passages."""
PROMPTS_OF: Mapping[str, tuple[str, ...]] = {EVOLVE: (EVOLVE,), **PROMPTS}
"""The prompts of each of `SOURCES`."""


def chosen(entries: Iterable[str]) -> tuple[str, ...]:
    """The names that a configuration gives; one that stands there twice has two turns. Raises: ConfigError."""
    names = own.chosen("sources", entries, default, "recipe.sources", tuple(SOURCES), SOURCES.__contains__)
    if not names:
        raise ConfigError(f"recipe.sources: the list is empty; wanted is one at least, such as {DEMONSTRATIONS!r}")
    return tuple(names)


def turn(sources: Sequence[str], request: int) -> Due:
    """Whose turn the request is that so many of all rounds come before."""
    times, place = divmod(request, len(sources))
    source = sources[place]
    return Due(source, times * sources.count(source) + sources[:place].count(source))


def check_source(name: str, function: object) -> None:
    """Make sure that a source can be called. Raises: ConfigError."""
    wanted = "wanted is a plain function of (number, generator, demonstrations)"
    if not callable(function) or inspect.iscoroutinefunction(function):
        raise ConfigError(f"{name} is {'async' if callable(function) else 'no function'}; {wanted}")
    try:
        inspect.signature(function).bind(None, None, None)
    except (TypeError, ValueError):
        raise ConfigError(f"{name} has other parameters; {wanted}") from None


def words_of(
    whose: Due, generator: random.Random, shown: Sequence[Task], settings: Settings, api: Api
) -> tuple[Message, ...]:
    """What a source of the user's own asks. Raises: OwnCodeError, ConfigError."""
    name = own.short(whose.source)
    function = own.function_of("sources", whose.source, settings.own_code)
    try:
        said = function(whose.number, generator, tuple(shown))
    except (Exception, SystemExit) as error:
        raise OwnCodeError(f"source {name} raised {own.raised(error)}; mend it") from error
    try:
        return messages_of(said, api)
    except ValueError as error:
        raise OwnCodeError(f"source {name} gave {error}") from error
