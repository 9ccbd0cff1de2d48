"""Writing a pool as a folder of training data."""

from __future__ import annotations

import contextlib
import json
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from selfinstruct.errors import ConfigError, PoolError
from selfinstruct.export.card import card
from selfinstruct.export.companions import axolotl, dataset_info
from selfinstruct.export.folder import MANIFEST, whole_folder
from selfinstruct.export.formats import Wording
from selfinstruct.export.manifest import Figures, described, software
from selfinstruct.export.tables import NAMES, Write, file_name, opened
from selfinstruct.store.reading import Connection, snapshot
from selfinstruct.store.training import Row, configurations, finished_behind, rows

LEFT_OUT = "left_out.jsonl"
"""Rows that one form or all of them went without, each with its reason; not there if there are none."""
ALL = "all"

Placed = tuple[Row, str | None]
"""A row and its side of the split; None where there is none."""


@dataclass(frozen=True, slots=True)
class Exported:
    """What was written: the files of rows, and how many finished tasks are still held back."""

    paths: tuple[Path, ...]
    rows: int
    """Rows chosen; a form that cannot carry one of them has fewer."""
    held_back: int
    counts: Mapping[Path, int]
    """The rows in each file."""
    unfit: Mapping[str, Mapping[str, int]]
    """By format, then reason: rows that it cannot carry unchanged."""


@dataclass(slots=True)
class _Written:
    counts: Counter[str] = field(default_factory=Counter)
    unfit: dict[str, Counter[str]] = field(default_factory=dict)
    figures: Figures = field(default_factory=Figures)


def export(folder: Path, names: Sequence[str], out: Path, wording: Wording | None = None) -> Exported:
    """Write the pool's finished tasks in each format to the folder `out`, which becomes whole or stays as it was.

    The bytes follow from the judged candidates alone: no time, path, cost or count of requests is in them.

    Raises:
        ConfigError: a format that is not known.
        PoolError: no pool, or a folder that cannot be written or holds files that are not from an export.
    """
    formats_wanted(names)
    with snapshot(folder) as connection:
        return export_from(connection, names, out, wording)


def export_from(connection: Connection, names: Sequence[str], out: Path, wording: Wording | None = None) -> Exported:
    """`export` of the pool as this connection sees it."""
    wanted, wording = formats_wanted(names), wording or Wording()
    with _as_pool_error(out), whole_folder(out) as temporary:
        written = _write_rows(temporary, wanted, (None,), wording, ((row, None) for row in rows(connection)))
        _write_about(temporary, wanted, (None,), wording, written, configurations(connection))
        held_back = finished_behind(connection)
    counts = {out / name: count for name, count in written.counts.items()}
    return Exported(tuple(counts), written.figures.rows.total(), held_back, counts, written.unfit)


def formats_wanted(names: Sequence[str]) -> tuple[str, ...]:
    """The formats by their names or `all`, each once, in the order of `NAMES`.

    Raises:
        ConfigError: a name that is not known.
    """
    for name in names:
        if name not in (*NAMES, ALL):
            raise ConfigError(f"--format {name}: unknown format; known: {', '.join(NAMES)}, or {ALL}")
    return tuple(name for name in NAMES if name in names or ALL in names)


@contextlib.contextmanager
def _as_pool_error(out: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise PoolError(f"{out}: the export cannot be written ({error.strerror or error})") from error


def _write_rows(
    folder: Path, names: Sequence[str], splits: Sequence[str | None], wording: Wording, placed: Iterable[Placed]
) -> _Written:
    """Write the files of rows, and the list of those that a form cannot carry."""
    written = _Written()
    with contextlib.ExitStack() as stack:
        files: dict[str | None, list[tuple[str, str, Write]]] = {}
        for split in splits:
            for name in names:
                file = file_name(name, split)
                written.counts[file] = 0
                write = stack.enter_context(opened(name, folder / file, wording))
                files.setdefault(split, []).append((name, file, write))
        report = None
        for row, split in placed:
            written.figures.count(row, split)
            for name, file, write in files[split]:
                unfit = write(row)
                if unfit is None:
                    written.counts[file] += 1
                    continue
                written.unfit.setdefault(name, Counter())[unfit.reason] += 1
                report = report or stack.enter_context((folder / LEFT_OUT).open("w", encoding="utf-8"))
                about = {"task_id": row.task_id, "instance": row.number, "format": name, "reason": unfit.reason}
                report.write(json.dumps(about, ensure_ascii=False) + "\n")
    return written


def _write_about(
    folder: Path,
    names: Sequence[str],
    splits: Sequence[str | None],
    wording: Wording,
    written: _Written,
    configuration: Sequence[Mapping[str, Any]],
) -> None:
    """Write the files that describe the others, the manifest last."""
    by_format = {name: dict(sorted(written.unfit[name].items())) for name in names if name in written.unfit}
    manifest = {
        "figures": written.figures.to_json(),
        "left_out": {"rows": {}, "by_format": by_format},
        "export": {"formats": list(names), **asdict(wording)},
        "configuration": list(configuration),
        "software": software(*(["pyarrow"] if "parquet" in names else [])),
    }
    texts = {
        "README.md": card(manifest, names, splits, written.counts),
        "dataset_info.json": dataset_info(names, splits, wording.system),
        "axolotl.yaml": axolotl(names, splits),
    }
    for name, text in texts.items():
        if text is not None:
            (folder / name).write_text(text, encoding="utf-8", newline="\n")
    files = described(folder.iterdir(), written.counts)
    text = json.dumps({"files": files, **manifest}, indent=2, ensure_ascii=False, sort_keys=True)
    (folder / MANIFEST).write_text(text + "\n", encoding="utf-8", newline="\n")
