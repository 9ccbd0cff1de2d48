"""Writing a pool as files of training data."""

from __future__ import annotations

import contextlib
import json
import os
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from selfinstruct.errors import ConfigError, PoolError
from selfinstruct.export.formats import FORMATS
from selfinstruct.store.reading import finished_behind, rows, snapshot


@dataclass(frozen=True, slots=True)
class Exported:
    """What was written: the files, the rows in each, and how many finished tasks are still held back."""

    paths: tuple[Path, ...]
    rows: int
    held_back: int


def export(folder: Path, names: Sequence[str], out: Path) -> Exported:
    """Write the pool's finished tasks to `out/NAME.jsonl` for each format; each file is whole or not there.

    The bytes follow from the judged candidates alone: no time, path, cost or count of requests is in them.
    """
    for name in names:
        if name not in FORMATS:
            raise ConfigError(f"--format {name}: unknown format; known: {', '.join(FORMATS)}")
    with snapshot(folder) as connection, contextlib.ExitStack() as stack:
        try:
            out.mkdir(parents=True, exist_ok=True)
            files = {name: stack.enter_context(_whole_or_nothing(out / f"{name}.jsonl")) for name in names}
            count = 0
            for row in rows(connection):
                count += 1
                for name, file in files.items():
                    file.write(json.dumps(FORMATS[name](row), ensure_ascii=False) + "\n")
        except OSError as error:
            raise PoolError(f"{out}: the export cannot be written ({error.strerror})") from error
        return Exported(tuple(out / f"{name}.jsonl" for name in names), count, finished_behind(connection))


@contextlib.contextmanager
def _whole_or_nothing(path: Path):  # type: ignore[no-untyped-def]
    """A text file that takes its name only when everything was written."""
    handle, temporary = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    try:
        with os.fdopen(handle, "w", encoding="utf-8", newline="\n") as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        Path(temporary).chmod(0o644)
        Path(temporary).replace(path)
    except BaseException:
        Path(temporary).unlink(missing_ok=True)
        raise
