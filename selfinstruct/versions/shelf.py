"""The folder `versions` of a pool: its versions, and the link to the last good one."""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from selfinstruct.errors import ConfigError, PoolError, PoolInUse
from selfinstruct.exports.manifest import describe
from selfinstruct.pool.opening import is_pool
from selfinstruct.pool.whole_files import sync

MANIFEST = "manifest.json"
LATEST = "latest"
DATA = "data"
REPORT = "report.html"


@dataclass(frozen=True, slots=True)
class Version:
    """One version of a pool's training data, which never changes."""

    number: int
    folder: Path
    state: Literal["published", "rejected"]
    reasons: tuple[str, ...]
    """Why it was rejected; empty if it was not."""
    manifest: Mapping[str, Any]

    @property
    def data(self) -> Path:
        """The folder of the export."""
        return self.folder / DATA

    @property
    def report(self) -> Path:
        """The report of the pool as it was then; no part of the version, as it tells of cost."""
        return self.folder / REPORT

    @property
    def is_published(self) -> bool:
        """Did it pass the gate?"""
        return self.state == "published"


def shelf(pool: Path) -> Path:
    """The folder of the versions of a pool."""
    return pool / "versions"


def versions(pool: Path) -> Sequence[Version]:
    """All versions of a pool by number.

    Raises:
        PoolError: there is no pool, or a manifest cannot be read.
    """
    if not is_pool(pool):
        raise PoolError(f"{pool}: no such pool; `generate --pool {pool}` makes one")
    folders = shelf(pool).iterdir() if shelf(pool).is_dir() else iter(())
    numbers = sorted(int(path.name) for path in folders if path.name.isdecimal() and path.is_dir())
    return [_read(shelf(pool) / str(number)) for number in numbers]


def version(pool: Path, number: int | None) -> Version:
    """A published version by number, or the last one.

    Raises:
        PoolError: there is no such pool.
        ConfigError: there is no such version, or it was rejected.
    """
    known = versions(pool)
    good = [one for one in known if one.is_published]
    if number is None:
        if not good:
            raise ConfigError(f"{pool}: no version was published yet; `publish {pool}` makes one")
        return good[-1]
    for one in known:
        if one.number == number:
            if not one.is_published:
                raise ConfigError(f"{one.folder}: this version was rejected ({'; '.join(one.reasons)})")
            return one
    there = ", ".join(str(one.number) for one in known) or "none yet"
    raise ConfigError(f"{shelf(pool)}: no version {number}; there are: {there}")


def version_in(folder: Path) -> Version | None:
    """The version, published or rejected, in this folder; None if it holds none.

    Raises:
        PoolError: its manifest cannot be read.
    """
    folder = folder.resolve()
    is_one = folder.parent.name == "versions" and is_pool(folder.parents[1])
    return _read(folder) if is_one and (folder / MANIFEST).is_file() else None


def _read(folder: Path) -> Version:
    try:
        manifest = json.loads((folder / MANIFEST).read_text(encoding="utf-8"))
        return Version(manifest["number"], folder, manifest["state"], tuple(manifest["reasons"]), manifest)
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise PoolError(
            f"{folder / MANIFEST}: this is not the manifest of a version ({error!r}); restore it"
        ) from error


def check_files(one: Version) -> None:
    """Check the files of a version.

    Raises:
        PoolError: a file is missing or has changed since the version was published.
    """
    for name, about in one.manifest["files"].items():
        path = one.folder / name
        if not path.is_file() or describe(path)["sha256"] != about["sha256"]:
            raise PoolError(f"{path}: {'changed' if path.exists() else 'missing'} since the version was published")


def point_latest(pool: Path, good: Version | None) -> None:
    """Let the link `latest` name this version, in one step; None changes nothing."""
    link = shelf(pool) / LATEST
    if good is None or (link.is_symlink() and str(link.readlink()) == str(good.number)):
        return
    new = shelf(pool) / f".{LATEST}"
    new.unlink(missing_ok=True)
    new.symlink_to(str(good.number), target_is_directory=True)
    new.replace(link)
    sync(shelf(pool))


@contextlib.contextmanager
def locked(path: Path, what: str) -> Iterator[int]:
    """A lock that the kernel frees when this process and all that inherited the descriptor have ended.

    Raises:
        PoolInUse: another process holds it.
    """
    handle = os.open(path, os.O_RDWR | os.O_CREAT, 0o644)
    try:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            raise PoolInUse(f"{path.parent}: {what}; one at a time") from error
        yield handle
    finally:
        os.close(handle)
