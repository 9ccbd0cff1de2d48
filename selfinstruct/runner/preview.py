"""Some tasks as settings bring them, with their rows, and nothing kept."""

from __future__ import annotations

import contextlib
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

from selfinstruct.config.sections import AMOUNTS, Config
from selfinstruct.errors import AccessError, ConfigError
from selfinstruct.pool import reader
from selfinstruct.pool.opening import is_pool
from selfinstruct.pool.reader import Reader
from selfinstruct.runner.pump import Outcome

_SMALL = ("round_size", "lookahead")
"""Settings that are 1 in a preview unless they are given, so that as little as can be is asked."""


@contextlib.contextmanager
def previewed(config: Config, tasks: int, grow: Callable[[Config], Outcome]) -> Iterator[tuple[Reader, Outcome]]:
    """A pool of this many tasks, which is gone at the end of the block, and how the run by `grow` ended.

    Raises:
        ConfigError: this is no number of tasks.
        AccessError: the run ended by that.
        KeyboardInterrupt: it was interrupted before there was a pool.
    """
    if type(tasks) is not int or tasks < 1:
        raise ConfigError(f"a preview shows one task or more, found {tasks!r}")
    with tempfile.TemporaryDirectory(prefix="selfinstruct-preview-") as folder:
        pool = Path(folder) / "pool"
        small = {name: 1 for name in _SMALL if name not in config.model_fields_set}
        outcome = grow(config.model_copy(update={"pool": pool, **dict.fromkeys(AMOUNTS), "target": tasks, **small}))
        if outcome.exit_code == AccessError.exit_code:
            raise AccessError(outcome.reason)
        if not is_pool(pool):
            raise KeyboardInterrupt(outcome.reason)
        with reader.snapshot(pool) as opened:
            yield opened, outcome
