"""Standard output and standard error that cannot stop a command: what is not written there shows in the exit code."""

from __future__ import annotations

import errno
import io
import os
import sys
from collections.abc import Callable
from typing import Any

from selfinstruct.cli.text import say

UNWRITABLE, BROKEN_PIPE = 1, 141
"""The exit codes; a shell names the end of a program by SIGPIPE like the second."""


class _Stream(io.FileIO):
    """A descriptor that takes all that is written to it, and keeps the first fault there was."""

    def __init__(self, number: int, *, was_closed: bool) -> None:
        super().__init__(number, "wb", closefd=False)
        self.fault: OSError | None = None
        self._was_closed = was_closed

    def write(self, data: Any, /) -> int:
        if self._was_closed:
            self.fault = OSError(errno.EBADF, os.strerror(errno.EBADF))
        if self.fault is None:
            try:
                return super().write(data)
            except OSError as error:
                self.fault = error
        return len(data)


def guard() -> Callable[[int], int]:
    """Let nothing that is printed raise from now on; what is returned gives the exit code for that of a command.

    A descriptor that was closed is taken by the null device, or the next file that is opened would get what is printed.
    A code other than 0 stays, since it says more.
    """
    closed = [number for number in range(3) if not _is_open(number)]
    out = _Stream(1, was_closed=1 in closed)
    err = _Stream(2, was_closed=2 in closed)
    sys.stdout, sys.stderr = _text(out, sys.stdout), _text(err, sys.stderr)

    def ended(code: int) -> int:
        sys.stdout.flush()
        if out.fault is not None and out.fault.errno != errno.EPIPE:
            say(f"error: standard output cannot be written ({out.fault.strerror}); the command itself did its work")
        sys.stderr.flush()
        fault = out.fault or err.fault
        if code or fault is None:
            return code
        return BROKEN_PIPE if fault.errno == errno.EPIPE else UNWRITABLE

    return ended


def _is_open(number: int) -> bool:
    try:
        os.fstat(number)
    except OSError:
        os.set_inheritable(os.open(os.devnull, os.O_RDWR), True)  # it gets the lowest number that is free: this one
        return False
    return True


def _text(stream: _Stream, before: Any) -> io.TextIOWrapper:
    """The stream as text, in the encoding it had; what that cannot say is written as an escape."""
    encoding, errors = getattr(before, "encoding", None), getattr(before, "errors", "strict")
    return io.TextIOWrapper(
        io.BufferedWriter(stream),
        encoding,
        "backslashreplace" if errors == "strict" else errors,
        line_buffering=getattr(before, "line_buffering", True),
    )
