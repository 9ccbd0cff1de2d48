"""Looking at processes from outside: who descends from whom, and who is still there."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True, slots=True)
class Seen:
    """A process; the start time tells it from a later one with its number."""

    pid: int
    parent: int
    group: int
    session: int
    started: int
    state: str
    command: str


def everything() -> list[Seen]:
    found = []
    for entry in Path("/proc").glob("[0-9]*/stat"):
        try:
            text = entry.read_text(errors="replace")
            command = (entry.parent / "cmdline").read_bytes().replace(b"\0", b" ").decode("utf-8", "replace")
        except OSError:
            continue
        fields = text.rpartition(")")[2].split()
        parent, group, session = map(int, fields[1:4])
        found.append(Seen(int(entry.parent.name), parent, group, session, int(fields[19]), fields[0], command.strip()))
    return found


def descendants(pid: int) -> list[Seen]:
    """All processes below this one."""
    processes = everything()
    found: list[Seen] = []
    parents = {pid}
    while parents:
        layer = [one for one in processes if one.parent in parents]
        found += layer
        parents = {one.pid for one in layer}
    return found


def left_of(before: Iterable[Seen]) -> list[Seen]:
    """Which of these processes, or of any in their groups and sessions, are there (zombies do not count)."""
    known = {(one.pid, one.started) for one in before}
    groups = {one.group for one in before}
    sessions = {one.session for one in before}
    return [
        one
        for one in everything()
        if one.state not in "ZX" and ((one.pid, one.started) in known or one.group in groups or one.session in sessions)
    ]


def wait_until(condition: Callable[[], object], seconds: float, what: str) -> None:
    ends_at = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < ends_at, f"not within {seconds} s: {what}"
        time.sleep(0.05)


def gone(before: Iterable[Seen], seconds: float = 10.0) -> None:
    """Assert that nothing of these processes and their groups is left within so many seconds."""
    kept = list(before)
    wait_until(lambda: not left_of(kept), seconds, f"the end of {kept}")
