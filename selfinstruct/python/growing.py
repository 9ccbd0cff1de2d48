"""Growing a pool from a program: in a script, where an event loop runs already, and in a notebook."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Any

from selfinstruct.config.sections import Config
from selfinstruct.errors import AccessError, ConfigError
from selfinstruct.pool import reader
from selfinstruct.python import frames
from selfinstruct.python.bar import shown
from selfinstruct.python.ended import ended
from selfinstruct.python.interruptible import run_in_a_thread
from selfinstruct.python.keywords import read, with_settings
from selfinstruct.python.opened import Pool
from selfinstruct.python.shown import Preview
from selfinstruct.runner.pump import Outcome
from selfinstruct.runner.run import run

_SMALL = {"round_size": 1, "lookahead": 1}
"""For a preview: as few questions as can be."""
_NOT_OF_PREVIEW = frozenset({"pool", "target", "more"})


@with_settings()
def generate(
    pool: str | Path | None = None, *, config: str | Path | None = None, quiet: bool = False, **settings: Any
) -> Pool:
    """The pool in this folder, grown to its target; it is made by the first run, and later ones go on with it.

    Every setting of the configuration file is a keyword; `config` names a file with more. `model` may be an async
    function of messages, `checks` may hold functions. Works where an event loop runs too, as in a notebook. Ctrl-C, or
    the interruption of a cell, ends the run in order and keeps what it has; the same call goes on. A second one ends it
    at once. Whether the target was reached says `outcome` of the pool.

    Raises:
        ConfigError, SeedError, PoolError: nothing can be grown so.
        AccessError: the model cannot be reached or refuses the key.
        KeyboardInterrupt: it was interrupted.
    """
    found = read(pool, config, settings)
    with shown(quiet=quiet) as show:
        outcome = run_in_a_thread(found, show)
        show.ended(outcome)
    return _pool(found, outcome)


@with_settings()
async def agenerate(
    pool: str | Path | None = None, *, config: str | Path | None = None, quiet: bool = False, **settings: Any
) -> Pool:
    """`generate` as a coroutine in the caller's loop. If it is cancelled, what was answered is kept.

    Raises:
        ConfigError, SeedError, PoolError, AccessError: as `generate`.
    """
    found = read(pool, config, settings)
    with shown(quiet=quiet) as show:
        outcome = await run(found, show.tell, started=show.watch)
        show.ended(outcome)
    return _pool(found, outcome)


@with_settings(but=_NOT_OF_PREVIEW)
def preview(tasks: int = 3, *, config: str | Path | None = None, quiet: bool = True, **settings: Any) -> Preview:
    """Some tasks as these settings bring them, with their rows; nothing is kept.

    Asks as little as it can: rounds of one request, unless `round_size` says otherwise. Raises: as `generate`.
    """
    for name in _NOT_OF_PREVIEW & settings.keys():
        raise ConfigError(f"preview: there is no {name}, since nothing is kept; `tasks` says how many are shown")
    with tempfile.TemporaryDirectory(prefix="selfinstruct-preview-") as folder:
        place = Path(folder) / "pool"
        found = read(place, config, {**_SMALL, **settings, "target": tasks, "more": None})
        with shown(quiet=quiet) as show:
            outcome = run_in_a_thread(found, show)
        _raise_refusal(outcome)
        with reader.snapshot(place) as opened:
            return Preview(frames.rows(opened), ended(outcome.exit_code, outcome.reason))


def _pool(config: Config, outcome: Outcome) -> Pool:
    _raise_refusal(outcome)
    return Pool(config.pool, ended(outcome.exit_code, outcome.reason))


def _raise_refusal(outcome: Outcome) -> None:
    """Raises: AccessError, where the run ended by that."""
    if outcome.exit_code == AccessError.exit_code:
        raise AccessError(outcome.reason)
