"""Publishing: the rows of a pool become a version if the gate accepts them, and are kept with the reasons if not."""

from __future__ import annotations

import json
import re
import shutil
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from selfinstruct.config.sections import PublishSection
from selfinstruct.errors import ConfigError, PoolError
from selfinstruct.exports.manifest import describe
from selfinstruct.exports.splits import split_of
from selfinstruct.exports.writing import Options, export_from, formats_wanted
from selfinstruct.pool.reader import Reader, snapshot
from selfinstruct.pool.records import Position
from selfinstruct.pool.whole_files import sync
from selfinstruct.versions.gate import Figures, measure, reasons_against, shown
from selfinstruct.versions.shelf import DATA, MANIFEST, Version, locked, point_latest, shelf, versions

TASKS = "tasks.txt"
CHANGELOG = "changelog.md"
MOST_SHOWN = 20
"""The most tasks in each list of a changelog."""
LONGEST = 160
"""The characters that a changelog shows of a text."""


@dataclass(frozen=True, slots=True)
class Published:
    """The version that holds the pool's rows, and whether it was made now."""

    version: Version
    is_new: bool


def publish(pool: Path, bounds: PublishSection) -> Published:
    """Make a version of the pool's rows, whole or not at all, and let `latest` name it if the gate accepts it.

    A version holds no time and no path: the same state of the pool gives the same bytes. A state that has a version, or
    was rejected by the same bounds, gives no new one. This works while a run is going. The report is written beside
    what is made, where it is missing.

    Raises:
        ConfigError: a format or the split is wrong.
        PoolError: there is no pool, or its folder cannot be written.
        PoolInUse: another process publishes this pool.
    """
    formats_wanted(bounds.formats, "publish.formats")
    try:
        options = Options(split=None if bounds.split is None else split_of(bounds.split))
    except ConfigError as error:
        raise ConfigError(str(error).replace("--split", "publish.split =", 1)) from error
    with snapshot(pool) as reader:
        try:
            shelf(pool).mkdir(exist_ok=True)
            with locked(shelf(pool) / ".lock", "another process publishes this pool"):
                published = _publish(pool, reader, bounds, options)
                _report_on(pool, published.version)
                return published
        except OSError as error:
            raise PoolError(f"{shelf(pool)}: a version cannot be written ({error.strerror or error})") from error


def _publish(pool: Path, reader: Reader, bounds: PublishSection, options: Options) -> Published:
    known = versions(pool)
    good = next((one for one in reversed(known) if one.is_published), None)
    point_latest(pool, good)  # a kill may have come before this
    about: dict[str, Any] = {
        "position": asdict(reader.position()),
        "export": {"formats": list(bounds.formats), **options.to_json()},
        "gate": bounds.model_dump(mode="json", exclude={"formats", "split"}),
    }
    if known:  # a rejected version is looked at again by other bounds
        names = ("position", "export") if known[-1].is_published else tuple(about)
        if all(known[-1].manifest[name] == about[name] for name in names):
            return Published(known[-1], is_new=False)
    for left in shelf(pool).glob(".new-*"):  # of a run that was killed
        shutil.rmtree(left)
    folder = Path(tempfile.mkdtemp(dir=shelf(pool), prefix=".new-"))
    try:
        figures, tasks = measure(reader)
        export_from(reader, bounds.formats, folder / DATA, options)
        files = json.loads((folder / DATA / MANIFEST).read_text("utf-8"))["files"]
        of_rows = {f"{DATA}/{name}": describe(folder / DATA / name) for name, file in files.items() if "rows" in file}
        if good and of_rows == {name: good.manifest["files"].get(name) for name in of_rows}:
            return Published(good, is_new=False)
        number = known[-1].number + 1 if known else 1
        about = {"number": number, **about, "figures": figures}
        made = _make(shelf(pool) / str(number), folder, reader, tasks, good, about, bounds)
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    if made.is_published:
        point_latest(pool, made)
    return Published(made, is_new=True)


def _report_on(pool: Path, one: Version) -> None:
    """Write the report of a version, unless it is there."""
    from selfinstruct.report.page import ShownPool, write_report  # noqa: PLC0415 - brings pandas

    if not one.report.exists():
        write_report([ShownPool(pool, Position(**one.manifest["position"]), one.number)], one.report)


def _make(
    folder: Path,
    new: Path,
    reader: Reader,
    tasks: Sequence[str],
    good: Version | None,
    about: Mapping[str, Any],
    bounds: PublishSection,
) -> Version:
    """Complete the new folder, make it durable and read-only, and give it its name."""
    figures: Figures = about["figures"]
    before: Figures | None = good.manifest["figures"] if good else None
    reasons = reasons_against(figures, before, bounds)
    earlier = (good.folder / TASKS).read_text("utf-8").split() if good else []
    had, has = set(earlier), set(tasks)
    added = [one for one in tasks if one not in had]
    removed = [one for one in earlier if one not in has]
    (new / TASKS).write_text("".join(f"{one}\n" for one in tasks), encoding="utf-8")
    manifest = {
        **about,
        "state": "rejected" if reasons else "published",
        "reasons": list(reasons),
        "previous": good.number if good else None,
        "tasks_added": len(added),
        "tasks_removed": len(removed),
    }
    changes = {"Added": added, "Removed": removed}
    (new / CHANGELOG).write_text(_changelog(reader, manifest, before, changes), encoding="utf-8")
    paths = sorted(path for path in new.rglob("*") if path.is_file())
    manifest["files"] = {path.relative_to(new).as_posix(): describe(path) for path in paths}
    text = json.dumps(manifest, indent=2, ensure_ascii=False, sort_keys=True)
    (new / MANIFEST).write_text(text + "\n", encoding="utf-8")
    for path in sorted(new.rglob("*")):
        if path.is_file():
            path.chmod(0o444)
        sync(path)
    new.chmod(0o755)
    sync(new)
    new.rename(folder)
    sync(folder.parent)
    return Version(manifest["number"], folder, manifest["state"], tuple(reasons), manifest)


def _changelog(
    reader: Reader, manifest: Mapping[str, Any], before: Figures | None, changes: Mapping[str, Sequence[str]]
) -> str:
    """The changelog in Markdown, which shows every text of a model as it is."""
    previous = manifest["previous"]
    lines = [f"# Version {manifest['number']}: {manifest['state']}", ""]
    lines += [f"- {plain(reason)}" for reason in manifest["reasons"]]
    lines += [""] if manifest["reasons"] else []
    against = f"Against version {previous}" if previous else "There was no version before"
    added, removed = manifest["tasks_added"], manifest["tasks_removed"]
    lines += [f"{against}: {added:,} tasks added, {removed:,} removed.", ""]
    lines += [f"| figure | version {previous} | this version |" if previous else "| figure | | this version |"]
    lines += ["|---|---:|---:|"]
    for name, value in manifest["figures"].items():
        lines.append(f"| {name} | {shown(before.get(name)) if before else ''} | {shown(value)} |")
    for title, tasks in changes.items():
        if tasks:
            found = [(one, reader.task(one)) for one in tasks[:MOST_SHOWN]]
            first = {one: task.instruction for one, task in found if task}
            more = f", the first {len(first)} of {len(tasks):,}" if len(tasks) > len(first) else ""
            lines += ["", f"## {title}{more}", "", *(f"- `{one}` {plain(text)}" for one, text in first.items())]
    return "\n".join(lines) + "\n"


def plain(text: str, longest: int = LONGEST) -> str:
    """A text as one line of Markdown that shows it as it is, shortened."""
    line = " ".join("".join(one if one.isprintable() else " " for one in text).split())
    line = line if len(line) <= longest else line[: longest - 1] + "…"
    return re.sub(r"([\\`*_\[\]<>|~&$#]|:(?=//)|(?<=www)\.)", r"\\\1", line)


def as_line(published: Published) -> str:
    """The outcome in one line for people."""
    one = published.version
    rows = f"{one.manifest['figures']['tasks']:,} tasks, {one.manifest['figures']['rows']:,} rows"
    if not published.is_new:
        was = "published as" if one.is_published else "rejected as"
        return f"nothing new: this state was {was} version {one.number} before ({rows})"
    if one.is_published:
        more = f"+{one.manifest['tasks_added']:,} -{one.manifest['tasks_removed']:,} tasks"
        return f"version {one.number} is published: {rows} ({more})"
    return f"version {one.number} is rejected: {'; '.join(one.reasons)}"
