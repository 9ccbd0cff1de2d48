"""Files that change as a whole: whoever looks, and whenever it is killed, the old or the new one is there."""

from __future__ import annotations

import contextlib
import fcntl
import os
import re
import secrets
import stat
from collections.abc import Iterator
from pathlib import Path
from typing import IO

from selfinstruct.errors import PoolError


@contextlib.contextmanager
def whole_file(path: Path) -> Iterator[IO[str]]:
    """A text file that takes its name, durable, when everything was written.

    Until then it has no name at all where the system can do that; elsewhere it has one that the next call clears away
    if this one is killed. A link is followed: the file that it names changes, and the link stays.

    Raises:
        PoolError: something is there that is no regular file, such as a device, a pipe or a folder.
        OSError: it cannot be written.
    """
    path = regular(path)
    folder = os.open(path.parent, os.O_RDONLY | os.O_DIRECTORY)
    try:
        with locked(path.parent):
            _clear_away(path)
            handle, name = _new_file(path)
        try:
            with os.fdopen(handle, "w", encoding="utf-8", newline="\n") as file:
                yield file
                file.flush()
                os.fsync(handle)
                if path.exists():
                    os.fchmod(handle, stat.S_IMODE(path.stat().st_mode))
                if name is None:
                    name = _part_of(path)
                    os.link(f"/proc/self/fd/{handle}", name.name, dst_dir_fd=folder)
                name.replace(regular(path))
            os.fsync(folder)
        except BaseException:
            if name is not None:
                name.unlink(missing_ok=True)
            raise
    finally:
        os.close(folder)


def regular(path: Path) -> Path:
    """Where a file lies or would lie, its links followed.

    Raises:
        PoolError: something is there that is no regular file.
    """
    found = path.resolve()
    if found.exists() and not found.is_file():
        what = "a folder" if found.is_dir() else "a device, a pipe or a socket"
        raise PoolError(f"{path}: this is {what}, wanted a file that may be replaced; name another one")
    return found


@contextlib.contextmanager
def locked(folder: Path) -> Iterator[None]:
    """A lock on a folder, which the kernel frees with the process."""
    handle = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        fcntl.flock(handle, fcntl.LOCK_EX)
        yield
    finally:
        os.close(handle)


def sync(path: Path) -> None:
    """Make a file, or the names in a folder, durable."""
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def _new_file(path: Path) -> tuple[int, Path | None]:
    """An open file beside this path, locked for as long as it is open, and its name if it has one."""
    name = None
    try:
        handle = os.open(path.parent, os.O_TMPFILE | os.O_WRONLY, 0o666)
        if not Path(f"/proc/self/fd/{handle}").exists():
            os.close(handle)
            raise OSError("no way to give the file a name later")  # noqa: TRY301 - as where the system has no such files
    except (AttributeError, OSError):
        name = _part_of(path)
        handle = os.open(name, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o666)
    with contextlib.suppress(OSError):  # of a file system without locks
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    return handle, name


def _part_of(path: Path) -> Path:
    return path.with_name(f".{path.name}.{secrets.token_hex(8)}.part")


def _clear_away(path: Path) -> None:
    """Delete what killed processes left of this file; what one of them still writes is locked."""
    ours = re.compile(rf"\.{re.escape(path.name)}\.[0-9a-f]{{16}}\.part")
    for left in [one for one in path.parent.iterdir() if ours.fullmatch(one.name)]:
        with contextlib.suppress(OSError):
            handle = os.open(left, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK)
            try:
                fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
                left.unlink()
            finally:
                os.close(handle)
