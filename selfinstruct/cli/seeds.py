"""Is this a good seed file?"""

from __future__ import annotations

import json
from pathlib import Path

from rich.text import Text

from selfinstruct.checks.screening import faults_of_seed
from selfinstruct.cli.text import OUT, counted, short
from selfinstruct.config.loading import load
from selfinstruct.config.shaping import pool_settings
from selfinstruct.errors import ConfigError, PoolError
from selfinstruct.hub import said
from selfinstruct.pool.whole_files import whole_file
from selfinstruct.seeds import SeedReport, check_seeds, seed_file
from selfinstruct.seeds.rows import FileObject, listed


def show_seed_check(path: Path, write_good: Path | None = None) -> int:
    """The report on a seed file; 2 if it has errors, unless its good rows are written to a file of their own."""
    path = seed_file(path)
    settings = pool_settings(load(None, {}), "")
    good: list[FileObject] = []
    if write_good is not None:
        _check_place(path, write_good)
    report = check_seeds(
        path, lambda task: faults_of_seed(task, settings), keep=None if write_good is None else good.append
    )
    for fault in (*report.errors, *report.warnings):
        OUT.print(Text(f"{fault.severity}: {fault.text(path)}"))
    if names := [one.field for one in report.of("note")]:
        OUT.print(Text(f"note: {said(path)}: taken for notes about the rows, and not read: {listed(names, 20)}"))
    for pair in report.near_duplicates:
        where = f"{said(path)}:{pair.other_place.line or pair.other_place.item}"
        like = f"line {pair.place.line or pair.place.item}"
        OUT.print(Text(f"near-duplicate: {where}: ROUGE-L {pair.score:.2f} to {like}: {short(pair.other_text, 100)}"))
    if report.language:
        OUT.print(Text(f"language: {report.language}"))
    if report.tasks or not report.errors:
        OUT.print(Text(_figures(report)))
    if write_good is None or not good:
        return 2 if report.errors else 0
    _write(good, write_good)
    OUT.print(Text(f"{counted(len(good), 'good row')}  {write_good}"))
    return 0


def _figures(report: SeedReport) -> str:
    errors, warnings = (sum(fault.count for fault in report.of(severity)) for severity in ("error", "warning"))
    return (
        f"{counted(report.tasks, 'task')} with {counted(report.instances, 'instance')} "
        f"({report.instances_without_input:,} without input), "
        f"{report.classifications:,} classification, {report.mean_words:.1f} words on average, "
        f"{counted(report.leading_words, 'different first word')}; {counted(errors, 'error')}, "
        f"{counted(warnings, 'warning')}, {counted(report.near_duplicate_count, 'near-duplicate')}"
    )


def _check_place(path: Path, write_good: Path) -> None:
    if write_good.suffix.lower() not in {".jsonl", ".ndjson"}:
        raise ConfigError(
            f"--write-good {write_good}: good rows are written as JSON Lines; name a file that ends in .jsonl"
        )
    if write_good.exists() and path.exists() and write_good.samefile(path):
        raise ConfigError(f"--write-good {write_good}: this is the file that is checked; name another one")


def _write(rows: list[FileObject], path: Path) -> None:
    """The rows as they were, a line each."""
    try:
        with whole_file(path) as file:
            for row in rows:
                line = json.dumps(dict(row.fields), ensure_ascii=False, default=str)
                file.write((line if line.isprintable() else json.dumps(dict(row.fields), default=str)) + "\n")
    except OSError as error:
        raise PoolError(f"{path}: cannot be written ({error.strerror})") from error
