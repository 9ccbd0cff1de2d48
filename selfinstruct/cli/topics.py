"""A list of subjects, on stdout."""

from __future__ import annotations

from selfinstruct.cli.text import say
from selfinstruct.config.sections import Config


def show_topics(about: str, count: int, config: Config) -> None:
    """Print the subjects that a model lists, one a line."""
    import asyncio  # noqa: PLC0415 - with the HTTP client, it takes a second to import

    from selfinstruct.runner.topics import grow_topics  # noqa: PLC0415

    for one in asyncio.run(grow_topics(about, count, config, say)):
        print(one)
