"""Growing a pool from a program: in a script, where an event loop runs already, and in a notebook."""

from __future__ import annotations

import asyncio
import signal
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from selfinstruct.config.sections import AMOUNTS, Config
from selfinstruct.errors import AccessError, ConfigError
from selfinstruct.python import frames
from selfinstruct.python.bar import Shown, shown
from selfinstruct.python.ended import ended
from selfinstruct.python.keywords import given, read, told_in_keywords, with_settings
from selfinstruct.python.opened import Pool
from selfinstruct.python.shown import Preview
from selfinstruct.runner.preview import previewed
from selfinstruct.runner.pump import Outcome
from selfinstruct.runner.run import run
from selfinstruct.runner.stopping import INTERRUPTED, Stopping, heard
from selfinstruct.runner.topics import grow_topics

_STOPPED = f"{INTERRUPTED.reason}; what was answered is kept, and the same call goes on"
_NOT_OF_PREVIEW = frozenset({"pool", *AMOUNTS})


@with_settings()
@told_in_keywords()
def generate(
    pool: str | Path | None = None, *, config: str | Path | None = None, quiet: bool = False, **settings: Any
) -> Pool:
    """The pool in this folder, grown to its target; it is made by the first run, and later ones go on with it.

    Every setting of the configuration file is a keyword; `config` names a file with more. `model` may be an async
    function of messages; `checks`, `steps` and `sources` may hold functions. Works in a notebook's running loop too.
    Ctrl-C, or the interruption of a cell, ends the run in order and keeps what it has; the same call goes on. A second
    one ends it at once. Whether the target was reached says `outcome` of the pool.

    Raises:
        ConfigError, SeedError, PoolError: nothing can be grown so.
        AccessError: the model cannot be reached or refuses the key.
        KeyboardInterrupt: it was interrupted.
    """
    found = read(pool, config, settings)
    with shown(quiet=quiet) as show:
        outcome = _run(found, show)
        show.ended(outcome)
    return _pool(found, outcome)


@with_settings()
async def agenerate(
    pool: str | Path | None = None, *, config: str | Path | None = None, quiet: bool = False, **settings: Any
) -> Pool:
    """`generate` as a coroutine in the caller's loop. If it is cancelled, what was answered is kept.

    Raises:
        asyncio.CancelledError: it was cancelled, or interrupted.
        ConfigError, SeedError, PoolError, AccessError: as `generate`.
    """
    with told_in_keywords(), shown(quiet=quiet) as show:
        found = read(pool, config, settings)
        try:
            with heard([signal.SIGINT]):
                outcome = await run(found, show.tell, started=show.watch)
        except asyncio.CancelledError:
            outcome = INTERRUPTED
        if outcome == INTERRUPTED:  # or a check that never ended was
            show.tell(_STOPPED)
            raise asyncio.CancelledError(_STOPPED)
        show.ended(outcome)
        return _pool(found, outcome)


@with_settings(but=_NOT_OF_PREVIEW)
@told_in_keywords(target="tasks")
def preview(tasks: int = 3, *, config: str | Path | None = None, quiet: bool = True, **settings: Any) -> Preview:
    """Some tasks as these settings bring them, with their rows; nothing is kept.

    Asks as little as it can: rounds of one request, unless `round_size` says otherwise. Raises: as `generate`.
    """
    _refuse("preview", settings, "`tasks` says how many are shown")
    with (
        shown(quiet=quiet) as show,
        previewed(read(None, config, settings), tasks, lambda found: _run(found, show, INTERRUPTED.reason)) as (
            pool,
            outcome,
        ),
    ):
        return Preview(frames.rows(pool), ended(outcome.exit_code, outcome.reason))


@with_settings(but=_NOT_OF_PREVIEW)
@told_in_keywords(count="count")
def topics(
    about: str, count: int = 40, *, config: str | Path | None = None, quiet: bool = True, **settings: Any
) -> list[str]:
    """So many subjects of what the description says, written by the model; for `draw` and `recipe.topics`.

    Raises:
        ConfigError: nothing is described, or the model wrote no list.
        AccessError, BudgetError: the model cannot be asked.
        KeyboardInterrupt: it was interrupted.
    """
    _refuse("topics", settings, "`count` says how many are written")
    found: list[str] = []

    async def grown(config: Config, show: Shown) -> Outcome:
        found.extend(await grow_topics(given("about", about, str, "a description"), count, config, show.tell))
        return Outcome(0, "")

    with shown(quiet=quiet) as show:
        read_in = read(None, config, settings)
        stopping = Stopping(show.tell)
        stopping.run(lambda _: grown(read_in, show))
    if stopping.is_interrupted:
        raise KeyboardInterrupt(INTERRUPTED.reason)
    return found


def _run(config: Config, show: Shown, stopped: str = _STOPPED) -> Outcome:
    """Raises: KeyboardInterrupt with these words, where somebody ended the run."""
    stopping = Stopping(show.tell, show.watch)
    outcome = stopping.run(lambda begun: run(config, show.tell, started=begun))
    if stopping.is_interrupted:
        raise KeyboardInterrupt(stopped)
    return outcome


def _refuse(function: str, settings: Mapping[str, Any], instead: str) -> None:
    """Raises: ConfigError, for settings of a pool where none is kept."""
    for name in _NOT_OF_PREVIEW & settings.keys():
        raise ConfigError(f"{function}: there is no {name}, since nothing is kept; {instead}")


def _pool(config: Config, outcome: Outcome) -> Pool:
    _raise_refusal(outcome)
    return Pool(config.pool, ended(outcome.exit_code, outcome.reason))


def _raise_refusal(outcome: Outcome) -> None:
    """Raises: AccessError, where the run ended by that."""
    if outcome.exit_code == AccessError.exit_code:
        raise AccessError(outcome.reason)
