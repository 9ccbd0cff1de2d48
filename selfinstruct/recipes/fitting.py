"""Prompts that fit what a model takes: demonstrations are left out rather than a request lost, and that is recorded."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace
from typing import TypeVar

from selfinstruct.errors import ConfigError
from selfinstruct.settings import Settings
from selfinstruct.types import Message, Prompt, Request

BYTES_PER_TOKEN = 3
"""On the safe side: English text has about four, Chinese three."""
MOST_BYTES_PER_TOKEN = 6
"""Hardly any text has more."""
TOKENS_PER_MESSAGE = 16
"""What a chat template puts around each."""

Shown = TypeVar("Shown")


def most_likely_tokens(messages: Iterable[Message]) -> int:
    """At least as many tokens as the messages are likely to be; only the model's tokenizer knows."""
    sizes = [len(message.content.encode("utf-8", "surrogatepass")) for message in messages]
    return sum(sizes) // BYTES_PER_TOKEN + TOKENS_PER_MESSAGE * len(sizes)


def fits(prompt: Prompt, settings: Settings) -> bool:
    """Whether prompt and answer are likely to fit into what every endpoint takes; True where none says."""
    if settings.context_length is None:
        return True
    answer = int(settings.stages[prompt.stage].sampling.get("max_tokens") or 0)
    return most_likely_tokens(prompt.messages) + answer <= settings.context_length


def check_room(request: Request, context_length: int | None) -> None:
    """Make sure that its answer leaves some room for its prompt where the model takes this many tokens of both.

    Raises:
        ConfigError: even a tokenizer that makes few tokens makes too many of the prompt.
    """
    answer = int(request.sampling.get("max_tokens") or 0)
    least = sum(len(message.content.encode("utf-8", "surrogatepass")) for message in request.messages)
    if context_length is not None and least // MOST_BYTES_PER_TOKEN + answer > context_length:
        raise ConfigError(
            f"max_tokens = {answer} leaves no room for the prompts of {request.stage}, which take up to "
            f"{most_likely_tokens(request.messages)} tokens: {request.model} takes {context_length} of prompt and "
            f"answer together; lower max_tokens in [stages.{request.stage}] or [model] of the config file, or serve "
            "the model with a longer context"
        )


def fitted(
    shown: Sequence[Shown], size: Callable[[Shown], int], make: Callable[[Sequence[Shown]], Prompt], settings: Settings
) -> Prompt:
    """The prompt made with as many of `shown` as there is room for, in order; the longest are left out first.

    One of them stays, even where it does not fit: the server then says so.
    """
    kept = list(shown)
    prompt = make(kept)
    while len(kept) > 1 and not fits(prompt, settings):
        del kept[max(range(len(kept)), key=lambda place: size(kept[place]))]
        prompt = make(kept)
    return replace(prompt, left_out=len(shown) - len(kept))
