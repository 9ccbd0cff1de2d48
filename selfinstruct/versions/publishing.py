"""Publishing: what a pool has becomes a version if the gate lets it pass, and is kept with the reasons if not."""

from __future__ import annotations

import json
import shutil
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from selfinstruct.config.sections import PublishSection
from selfinstruct.errors import ConfigError, PoolError, unknown
from selfinstruct.export.files import ALL, Options, export_from
from selfinstruct.export.splits import parse_split
from selfinstruct.export.tables import NAMES
from selfinstruct.own import file_and_name
from selfinstruct.store.files import sync
from selfinstruct.store.ledger import position
from selfinstruct.store.reading import Connection, snapshot
from selfinstruct.versions.changelog import change, changelog
from selfinstruct.versions.gate import Figures, reasons_against
from selfinstruct.versions.measures import measure
from selfinstruct.versions.shelf import (
    DATA,
    MANIFEST,
    Version,
    describe,
    locked,
    point_latest,
    shelf,
    versions,
)

TASKS = "tasks.txt"
CHANGELOG = "changelog.md"


@dataclass(frozen=True, slots=True)
class Published:
    """What came of publishing: the version that holds what the pool has, and whether it was made now."""

    version: Version
    is_new: bool


def publish(pool: Path, bounds: PublishSection) -> Published:
    """Make a version of what the pool has, whole or not at all, and let `latest` name it if the gate lets it pass.

    The version holds no time and no path: the same state of the pool gives the same bytes. What is there already, or
    was rejected by the same bounds, gives no new version. Works while a run is going.

    Raises:
        ConfigError: a format that is not known, or a split that is none.
        PoolError: no pool, or its folder cannot be written.
        PoolInUse: another process publishes this pool.
    """
    options = _options(bounds)
    with snapshot(pool) as connection:
        try:
            shelf(pool).mkdir(exist_ok=True)
            with locked(shelf(pool) / ".lock", "another process publishes this pool"):
                return _publish(pool, connection, bounds, options)
        except OSError as error:
            raise PoolError(f"{shelf(pool)}: a version cannot be written ({error.strerror or error})") from error


def _publish(pool: Path, connection: Connection, bounds: PublishSection, options: Options) -> Published:
    known = versions(pool)
    good = next((one for one in reversed(known) if one.is_published), None)
    point_latest(pool, good)  # a kill may have come before this
    about = {
        "position": asdict(position(connection)),
        "export": {"formats": list(bounds.formats), **options.to_json()},
        "gate": bounds.model_dump(mode="json", exclude={"formats", "split"}),
    }
    if known and _holds(known[-1], about):
        return Published(known[-1], is_new=False)
    for left in shelf(pool).glob(".new-*"):  # of a run that was killed
        shutil.rmtree(left)
    folder = Path(tempfile.mkdtemp(dir=shelf(pool), prefix=".new-"))
    try:
        return _make(pool, connection, bounds, options, folder, known, about)
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _options(bounds: PublishSection) -> Options:
    for name in bounds.formats:
        if name not in (*NAMES, ALL) and file_and_name(name) is None:
            known = f"{', '.join(NAMES)}, or {ALL}"
            raise ConfigError(f"publish.formats: unknown format {name!r}; {unknown(name, (*NAMES, ALL), known)}")
    try:
        return Options(split=None if bounds.split is None else parse_split(bounds.split))
    except ConfigError as error:
        raise ConfigError(str(error).replace("--split", "publish.split =", 1)) from error


def _holds(one: Version, about: Mapping[str, Any]) -> bool:
    """Is this what the version was made of? A rejected one is judged again by other bounds."""
    names = ("position", "export") if one.is_published else ("position", "export", "gate")
    return all(one.manifest[name] == about[name] for name in names)


def _make(
    pool: Path,
    connection: Connection,
    bounds: PublishSection,
    options: Options,
    folder: Path,
    known: Sequence[Version],
    about: Mapping[str, Any],
) -> Published:
    number = known[-1].number + 1 if known else 1
    good = next((one for one in reversed(known) if one.is_published), None)
    figures, tasks = measure(connection)
    export_from(connection, bounds.formats, folder / DATA, options)
    if good and _rows_of(folder) == {name: good.manifest["files"].get(name) for name in _rows_of(folder)}:
        return Published(good, is_new=False)
    before: Figures | None = good.manifest["figures"] if good else None
    reasons = reasons_against(figures, before, bounds)
    changed = change(connection, tasks, (good.folder / TASKS).read_text("utf-8").split() if good else [])
    (folder / TASKS).write_text("".join(f"{one}\n" for one in tasks), encoding="utf-8")
    manifest = {
        "number": number,
        "state": "rejected" if reasons else "published",
        "reasons": list(reasons),
        "previous": good.number if good else None,
        **about,
        "figures": figures,
        "tasks_added": changed.added,
        "tasks_removed": changed.removed,
    }
    (folder / CHANGELOG).write_text(changelog(manifest, before, changed), encoding="utf-8")
    paths = sorted(path for path in folder.rglob("*") if path.is_file())
    manifest["files"] = {path.relative_to(folder).as_posix(): describe(path) for path in paths}
    text = json.dumps(manifest, indent=2, ensure_ascii=False, sort_keys=True)
    (folder / MANIFEST).write_text(text + "\n", encoding="utf-8")
    _take_place(folder, shelf(pool) / str(number))
    made = Version(number, shelf(pool) / str(number), manifest["state"], tuple(reasons), manifest)
    if made.is_published:
        point_latest(pool, made)
    return Published(made, is_new=True)


def _rows_of(folder: Path) -> dict[str, dict[str, Any]]:
    """Size and checksum of the files of rows in a version that is being made."""
    names = json.loads((folder / DATA / MANIFEST).read_text("utf-8"))["files"]
    return {f"{DATA}/{name}": describe(folder / DATA / name) for name, file in names.items() if "rows" in file}


def _take_place(new: Path, folder: Path) -> None:
    """Give a version its name, durable and read-only."""
    for path in sorted(new.rglob("*")):
        if path.is_file():
            path.chmod(0o444)
        sync(path)
    new.chmod(0o755)
    sync(new)
    new.rename(folder)
    sync(folder.parent)


def as_line(published: Published) -> str:
    """What came of it, for people."""
    one = published.version
    rows = f"{one.manifest['figures']['tasks']:,} tasks, {one.manifest['figures']['rows']:,} rows"
    if not published.is_new:
        was = "published as" if one.is_published else "rejected as"
        return f"nothing new: this state was {was} version {one.number} before ({rows})"
    if one.is_published:
        more = f"+{one.manifest['tasks_added']:,} -{one.manifest['tasks_removed']:,} tasks"
        return f"version {one.number} is published: {rows} ({more})"
    return f"version {one.number} is rejected: {'; '.join(one.reasons)}"
