"""Is this a good seed file?"""

from __future__ import annotations

from pathlib import Path

from rich.text import Text

from selfinstruct.config.reading import load
from selfinstruct.config.shaping import pool_settings
from selfinstruct.rounds import faults_of_seed
from selfinstruct.seeds import check_seeds
from selfinstruct.terminal.words import OUT, short


def show_seed_check(path: Path) -> int:
    """The report on a seed file; 2 if it has errors."""
    settings = pool_settings(load(None, {}), "")
    report = check_seeds(path, lambda task: faults_of_seed(task, settings))
    for fault in report.faults:
        OUT.print(Text(f"{fault.severity}: {fault.text(path)}"))
    for pair in report.near_duplicates:
        where = f"{path}:{pair.other_place.line or pair.other_place.item}"
        like = f"line {pair.place.line or pair.place.item}"
        OUT.print(Text(f"near-duplicate: {where}: ROUGE-L {pair.score:.2f} to {like}: {short(pair.other_text, 100)}"))
    OUT.print(Text(f"language: {report.language}"))
    OUT.print(
        Text(
            f"{report.tasks:,} tasks with {report.instances:,} instances ({report.instances_without_input:,} without "
            f"input), {report.classifications:,} classification, {report.mean_words:.1f} words on average, "
            f"{report.leading_words:,} different first words; {len(report.errors):,} errors, "
            f"{len(report.warnings):,} warnings, {report.near_duplicate_count:,} near-duplicates"
        )
    )
    return 2 if report.errors else 0
