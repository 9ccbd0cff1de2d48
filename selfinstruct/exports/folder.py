"""A folder that is replaced as a whole: at every moment, also after a kill, the old or the new one is there."""

from __future__ import annotations

import contextlib
import ctypes
import fcntl
import json
import os
import re
import shutil
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

from selfinstruct.errors import PoolError
from selfinstruct.pool.whole_files import locked, sync

MANIFEST = "manifest.json"


def files_of_others(folder: Path) -> list[str]:
    """The names in this folder that are not in the manifest of an export."""
    if not folder.exists():
        return []
    try:
        manifest = json.loads((folder / MANIFEST).read_text("utf-8"))
        ours = {MANIFEST, *manifest["files"]} if manifest["software"]["selfinstruct"] else set()
    except (OSError, ValueError, LookupError, TypeError):
        ours = set()
    return sorted(entry.name for entry in folder.iterdir() if entry.name not in ours | {".DS_Store"} or entry.is_dir())


@contextlib.contextmanager
def whole_folder(target: Path) -> Iterator[Path]:
    """A new folder beside `target` that replaces it at the end of the block.

    Two may be written at once; the last one to end stays. Folders of killed exports are deleted.

    Raises:
        PoolError: `target` holds files that are not from an export, or is no folder.
    """
    _refuse_foreign(target)
    target = target.resolve()
    target.parent.mkdir(parents=True, exist_ok=True)
    prefix = f".{target.name}.export-"
    with locked(target.parent):
        _clear_away(target, prefix)
        temporary = Path(tempfile.mkdtemp(dir=target.parent, prefix=prefix))
        handle = _hold(temporary)
    try:
        temporary.chmod(0o755)
        yield temporary
        for path in temporary.iterdir():
            sync(path)
        sync(temporary)
        with locked(target.parent):
            _refuse_foreign(target)
            _take_place(temporary, target)
            if files_of_others(temporary):  # a file was put into the old one at the last moment
                _take_place(temporary, target)
                _refuse_foreign(target)
        sync(target.parent)
    finally:
        os.close(handle)
        shutil.rmtree(temporary, ignore_errors=True)  # the old export, or an unfinished one


def _refuse_foreign(target: Path) -> None:
    if target.exists() and not target.is_dir():
        raise PoolError(f"{target}: this is a file, wanted a folder for the export; choose another --out")
    foreign = files_of_others(target)
    if foreign:
        shown = ", ".join(foreign[:3]) + (f" and {len(foreign) - 3} more" if len(foreign) > 3 else "")
        raise PoolError(
            f"{target}: holds files that are not from an export ({shown}), and an export replaces the whole folder; "
            "move them away or choose another --out"
        )


def _take_place(new: Path, target: Path) -> None:
    """Exchange the two in one step, or in two where the system cannot; `_clear_away` repairs a kill between these."""
    if not target.exists():
        new.rename(target)
    elif not _exchange(new, target):
        old = new.with_name(f"{new.name}.old")
        target.rename(old)
        new.rename(target)
        old.rename(new)


def _exchange(one: Path, other: Path) -> bool:
    """Exchange the names of two folders in one step; False if the system or the file system cannot."""
    libc = ctypes.CDLL(None, use_errno=True)
    names = os.fsencode(one), os.fsencode(other)
    if sys.platform == "darwin":
        return getattr(libc, "renamex_np", lambda *_: -1)(*names, 2) == 0
    return getattr(libc, "renameat2", lambda *_: -1)(-100, names[0], -100, names[1], 2) == 0


def _clear_away(target: Path, prefix: str) -> None:
    """Delete the folders of killed exports; the old export gets its name back if it is the only whole one."""
    ours = re.compile(re.escape(prefix) + r"\w+(\.old)?", re.ASCII)
    for path in sorted(path for path in target.parent.iterdir() if ours.fullmatch(path.name)):
        try:
            handle = _hold(path)
        except OSError:  # another export still writes it, or it has just gone
            continue
        try:
            if path.suffix == ".old" and not target.exists():
                path.rename(target)
            else:
                shutil.rmtree(path, ignore_errors=True)
        finally:
            os.close(handle)


def _hold(folder: Path) -> int:
    """Lock a folder; the kernel frees the lock with the process."""
    handle = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        os.close(handle)
        raise
    return handle
