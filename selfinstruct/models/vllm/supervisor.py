"""Runs a command that must not outlive the program that started it: `python -I supervisor.py COMMAND...`.

A child that vanishes takes nobody with it: vLLM's engine goes on when its API server is killed, and the API server when
we are. So this process stands between. Standard input is a pipe that only the program holds. A byte in it means: ask
the command to end (SIGTERM). Its end means: kill all at once; the kernel closes it however the program dies. When the
command ends, what it has left running is killed too. Should this process be killed itself, a shell in a session of its
own kills the command's process group.

Standard library only, and run by its path: it starts in milliseconds and shares nothing with the program.
"""

from __future__ import annotations

import contextlib
import ctypes
import os
import select
import signal
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

_SET_DEATH_SIGNAL, _SET_CHILD_SUBREAPER = 1, 36  # <linux/prctl.h>
_NOT_STARTED = 127
"""As a shell has it: there is no such command."""


def start(command: Sequence[str], **options: Any) -> subprocess.Popen[bytes]:
    """Start a command under a supervisor: it and all that comes of it end when this process does, however it does."""
    return subprocess.Popen(  # noqa: S603 - the caller's own command
        [sys.executable, "-I", __file__, *command], stdin=subprocess.PIPE, start_new_session=True, **options
    )


def end(supervisor: subprocess.Popen[bytes], grace_s: float, kill_s: float | None = None) -> None:
    """Ask a command to end, unless the grace is 0; what is left of it after that, or at an interruption, is killed.

    Raises:
        subprocess.TimeoutExpired: what was killed has not ended after `kill_s`.
    """
    assert supervisor.stdin is not None  # noqa: S101 - for the type checker; it is a pipe
    try:
        if grace_s and supervisor.poll() is None:
            with contextlib.suppress(BrokenPipeError, subprocess.TimeoutExpired):
                os.write(supervisor.stdin.fileno(), b"t")
                supervisor.wait(grace_s)
    finally:
        supervisor.stdin.close()
        supervisor.wait(kill_s)


def _ask_kernel(option: int, value: int) -> None:
    """Call prctl, where there is one."""
    if sys.platform == "linux":
        ctypes.CDLL(None, use_errno=True).prctl(option, value, 0, 0, 0)


def _children() -> list[int]:
    """Processes whose parent this is, adopted ones included; empty where there is no /proc."""
    found = []
    for entry in Path("/proc").glob("[0-9]*/stat"):
        with contextlib.suppress(OSError):
            fields = entry.read_text(errors="replace").rpartition(")")[2].split()
            if int(fields[1]) == os.getpid():
                found.append(int(entry.parent.name))
    return found


def _kill_all(group: int, last: subprocess.Popen[bytes] | None) -> None:
    """Kill a process group and whatever else descends from this process, until nothing is left.

    The shell that would do it is outside the group and waits for us, so it is killed by its own handle.
    """
    while True:
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(group, signal.SIGKILL)
        if last is not None:
            last.kill()
        for child in _children():
            with contextlib.suppress(ProcessLookupError, PermissionError):
                os.kill(child, signal.SIGKILL)
        try:
            os.waitpid(-1, 0)
        except ChildProcessError:
            return


def _end(*_: object) -> None:
    raise SystemExit(128 + signal.SIGTERM)


def supervise(command: Sequence[str]) -> int:
    """Run a command until it ends or standard input does; its exit code, 128 + N for signal N, as a shell has it."""
    _ask_kernel(_SET_CHILD_SUBREAPER, 1)
    bell, ring = os.pipe()
    os.set_blocking(ring, False)
    signal.set_wakeup_fd(ring, warn_on_full_buffer=False)
    signal.signal(signal.SIGCHLD, lambda *_: None)
    try:
        child = subprocess.Popen(  # noqa: S603 - the user's own command
            command,
            stdin=subprocess.DEVNULL,
            start_new_session=True,
            preexec_fn=lambda: _ask_kernel(_SET_DEATH_SIGNAL, signal.SIGKILL),  # noqa: PLW1509 - there are no threads
        )
    except OSError as error:
        sys.stderr.write(f"{command[0]} cannot be started: {error.strerror}\n")
        return _NOT_STARTED
    last: subprocess.Popen[bytes] | None = None
    try:
        for number in (signal.SIGTERM, signal.SIGHUP):
            signal.signal(number, _end)
        last = subprocess.Popen(  # noqa: S603 - a constant
            ["/bin/sh", "-c", 'read -r _ || kill -s KILL -- "-$0"', str(child.pid)],
            stdin=subprocess.PIPE, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, start_new_session=True,
        )  # fmt: skip
        while child.poll() is None:
            ready, _, _ = select.select([0, bell], [], [])
            if bell in ready:
                os.read(bell, 512)
            if 0 in ready:
                if not os.read(0, 64):
                    break
                child.terminate()
    finally:
        _kill_all(child.pid, last)
    code = child.returncode if child.returncode is not None else -signal.SIGKILL
    return code if code >= 0 else 128 - code


if __name__ == "__main__":
    sys.exit(supervise(sys.argv[1:]))
