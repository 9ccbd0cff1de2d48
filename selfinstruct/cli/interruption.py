"""Ctrl-C and SIGTERM where a command has no order of its own in which to end."""

from __future__ import annotations

import signal
import sys
import threading

HEARD = threading.Event()
"""Set by the first signal: SQLite makes an error of its own of what is raised in a function that it calls."""


def hear() -> None:
    """Let both signals raise KeyboardInterrupt from now on; an ignored one stays so, as after `nohup`."""
    for one in (signal.SIGINT, signal.SIGTERM):
        if signal.getsignal(one) is not signal.SIG_IGN:
            signal.signal(one, _interrupt)


def _interrupt(*_: object) -> None:
    HEARD.set()
    sys.unraisablehook = lambda _: None  # a finalizer that is cut short has nothing to say
    raise KeyboardInterrupt
