"""Small things that many tests need: seeds, settings, tasks, requests, a pool, a run."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from selfinstruct.config import load, pool_settings
from selfinstruct.export.files import export
from selfinstruct.growth import Outcome
from selfinstruct.records import Completion, Instance, Request, Settings, Task
from selfinstruct.runs import grow_blocking

ROOT = Path(__file__).parents[1]
SEEDS = ROOT / "seeds" / "en.jsonl"


def settings(recipe: str = "chat", model: str = "offline", **changes: Any) -> Settings:
    """The default settings of a recipe, with changes."""
    return replace(pool_settings(load(None, {"recipe": recipe}), model), **changes)


def task(instruction: str, number: int = 0, *, is_classification: bool = False) -> Task:
    """A seed without input."""
    return Task(f"s{number}", instruction, is_classification, (Instance("", "Done."),), "seed")


def answer(request: Request, text: str, finish_reason: str = "stop") -> Completion:
    """What a model might answer."""
    return Completion(request.id, "answer", text, finish_reason)


def proposals(*instructions: str) -> str:
    """A well-formed answer to a propose request."""
    return json.dumps({"tasks": [{"instruction": text, "is_classification": False} for text in instructions]})


def grow(pool: Path, *, tell: list[str] | None = None, config: Path | None = None, **options: Any) -> Outcome:
    """Run `generate` in this process."""
    said = tell if tell is not None else []
    return grow_blocking(load(config, {"pool": pool, **options}), said.append)


def jsonl(path: Path, rows: Sequence[Mapping[str, Any]]) -> Path:
    """Write rows as JSON Lines."""
    path.write_text("".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows), encoding="utf-8")
    return path


def seed_row(instruction: str, number: int = 0, **changes: Any) -> dict[str, Any]:
    """A row of a seed file."""
    return {
        "id": f"s{number}",
        "name": f"seed_{number}",
        "instruction": instruction,
        "instances": [{"input": "", "output": f"Answer {number}."}],
        "is_classification": False,
        **changes,
    }


def exported(pool: Path) -> bytes:
    """The bytes of every export of a pool."""
    return b"".join(path.read_bytes() for path in export(pool, ["alpaca", "messages"], pool / "export").paths)


def rows(pool: Path, sql: str) -> list[Any]:
    """What a query finds in a pool's database."""
    connection = sqlite3.connect(pool / "pool.db")
    try:
        return connection.execute(sql).fetchall()
    finally:
        connection.close()
