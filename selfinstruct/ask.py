"""The door to the model: `await ask(prompt)` gives what was ever answered to a question, and asks only what never was.

Steps are coroutines that wait on nothing else. They run from their start at every resume, so what a step does may
depend on its task, its settings and its answers alone; it asks several questions at once by `gather`.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Coroutine, Iterable, Mapping
from typing import Any, TypeVar

from selfinstruct.errors import Halted
from selfinstruct.types import Completion, Prompt, Request

Ask = Callable[[Prompt], Awaitable[Completion]]
"""A question, put once, and its final answer: text or a failure."""
Key = tuple[str, int]
"""A question within its task: stage and index."""
Result = TypeVar("Result")


class Unanswered(Exception):  # noqa: N818 - it is what happened, not a fault
    """A question has no answer, and there is nobody to ask."""


async def gather(work: Iterable[Awaitable[Result]]) -> list[Result]:
    """The results in the order given. All run to their end; then the first error is raised, `Halted` after others."""
    results = await asyncio.gather(*work, return_exceptions=True)
    errors = [one for one in results if isinstance(one, BaseException)]
    if errors:
        raise next((one for one in errors if not isinstance(one, Halted)), errors[0])
    return [one for one in results if not isinstance(one, BaseException)]


def answer_to(prompt: Prompt, asked: Mapping[Key, Request], completions: Mapping[str, Completion]) -> Completion | None:
    """The answer that was given to a question, in whatever words it was put; None where there is none yet."""
    request = asked.get((prompt.stage, prompt.index))
    if request is None or (prompt.is_exact and request.messages != prompt.messages):
        return None
    return completions.get(request.id)


def at_once(step: Coroutine[Any, Any, Result]) -> Result:
    """What a step comes to whose answers are all there already. Not to be called where an event loop runs."""
    loop = asyncio.new_event_loop()  # not `asyncio.run`, under which a first Ctrl-C would not end a check that hangs
    try:
        return loop.run_until_complete(step)
    finally:
        loop.close()


def recorded(asked: Mapping[Key, Request], completions: Mapping[str, Completion]) -> Ask:
    """Answers from a recording alone; `Unanswered` is raised for what it does not hold."""

    async def ask(prompt: Prompt) -> Completion:
        answer = answer_to(prompt, asked, completions)
        if answer is None:
            raise Unanswered
        return answer

    return ask
