"""The door to the model: `await ask(prompt)` gives what was ever answered to a question, and asks only what never was.

Steps are coroutines that wait on nothing else. They run from their start at every resume, so what a step does may
depend on its task, its settings and its answers alone; it asks several questions at once by `gather`.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Coroutine, Iterable, Mapping
from typing import Any, TypeVar

from selfinstruct.errors import Halted
from selfinstruct.own import in_words
from selfinstruct.types import Api, Completion, Message, Prompt, Request, storable

Ask = Callable[[Prompt], Awaitable[Completion]]
"""A question, put once, and its final answer: text or a failure."""
Key = tuple[str, int]
"""A question within its task: stage and index."""
Result = TypeVar("Result")


class Unanswered(Exception):  # noqa: N818 - it is what happened, not a fault
    """A question has no answer, and there is nobody to ask."""


class Asked:
    """A door for code of the user's, which may put a question twice, wait for none, or catch what the door raises.

    Each question is put once, and what came of all of them is known.
    """

    def __init__(self, ask: Ask) -> None:
        self._ask = ask
        self._put: dict[Key, tuple[Prompt, asyncio.Future[Completion]]] = {}

    async def __call__(self, prompt: Prompt) -> Completion:
        """The answer to a question, which is put if it was not before."""
        key = (prompt.stage, prompt.index)
        if key not in self._put:
            self._put[key] = (prompt, asyncio.ensure_future(self._ask(prompt)))
        return await self._put[key][1]

    async def answers(self) -> list[tuple[Prompt, Completion]]:
        """Every question with its answer, in order of stage and index.

        Raises what the door raised, whatever was made of that: without an answer nothing is decided.
        """
        await gather(answer for _, answer in self._put.values())
        return [(prompt, answer.result()) for _, (prompt, answer) in sorted(self._put.items())]


async def gather(work: Iterable[Awaitable[Result]]) -> list[Result]:
    """The results in the order given. All run to their end; then the first error is raised, `Halted` after others."""
    results = await asyncio.gather(*work, return_exceptions=True)
    errors = [one for one in results if isinstance(one, BaseException)]
    if errors:
        raise next((one for one in errors if not isinstance(one, Halted)), errors[0])
    return [one for one in results if not isinstance(one, BaseException)]


def messages_of(words: object, api: Api = "chat") -> tuple[Message, ...]:
    """The messages that code of the user's gives as a text, or as a list of dicts with `role` and `content`.

    Raises:
        ValueError: it gives something else, a text without words, or a list where the API takes one text.
    """
    if isinstance(words, str) and words.strip():
        return (Message("user" if api == "chat" else "prompt", storable(words)),)
    wanted = "wanted is a text, or a list of messages, each a dict with `role` and `content`, and none of them empty"
    if api == "completions":
        wanted = "wanted is a text that is not empty, as this recipe asks by text completion"
    elif isinstance(words, list | tuple) and words and all(map(_is_message, words)):
        return tuple(Message(one["role"], storable(one["content"])) for one in words)
    raise ValueError(f"{in_words(words)[:200]}; {wanted}")


def _is_message(found: object) -> bool:
    if not isinstance(found, Mapping) or found.get("role") not in {"system", "user", "assistant"}:
        return False
    content = found.get("content")
    return isinstance(content, str) and bool(content.strip())


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
