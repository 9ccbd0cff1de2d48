"""What all flows need: keys from Secret blocks, and errors that are one line in Prefect's log."""

from __future__ import annotations

import contextlib
import logging
import os
from collections.abc import AsyncIterator, Mapping
from typing import cast

from prefect.blocks.system import Secret

from selfinstruct.errors import ConfigError, SelfInstructError
from selfinstruct.terminal.words import plain


@contextlib.asynccontextmanager
async def keys(secrets: Mapping[str, str]) -> AsyncIterator[None]:
    """Put the values of Secret blocks into the environment of this process for a while.

    Raises:
        ConfigError: there is no such block.
    """
    before = {name: os.environ.get(name) for name in secrets}
    for name, block in secrets.items():
        try:
            os.environ[name] = str(cast("Secret[str]", await Secret.aload(block)).get())
        except ValueError as error:
            raise ConfigError(f"config.secrets: Prefect has no Secret block named {block!r}; make it first") from error
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                os.environ.pop(name, None)
            else:
                os.environ[name] = value


class _Short(logging.Filter):
    """Leaves out the traceback where an expected error says all in its line, and all that a terminal would obey."""

    def filter(self, record: logging.LogRecord) -> bool:
        if record.exc_info and isinstance(record.exc_info, tuple) and isinstance(record.exc_info[1], SelfInstructError):
            record.msg, record.args, record.exc_info = "%s", (str(record.exc_info[1]),), None
        record.msg, record.args = "%s", (plain(record.getMessage()),)
        return True


def keep_errors_short() -> None:
    """Let expected errors of runs be one line in Prefect's log, and what a run tells be in it at all."""
    for name in ("prefect.flow_runs", "prefect.task_runs"):
        logger = logging.getLogger(name)
        if name == "prefect.flow_runs" and logger.getEffectiveLevel() > logging.INFO:
            logger.setLevel(logging.INFO)
        if not any(isinstance(one, _Short) for one in logger.filters):
            logger.addFilter(_Short())
