"""Small things that many tests need: seeds, settings, tasks, requests, a pool, a run."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Callable, Coroutine, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, TypeVar

from selfinstruct.ask import Ask, Key, Unanswered, at_once
from selfinstruct.checks.screening import screen_instances
from selfinstruct.config.loading import load
from selfinstruct.config.shaping import pool_settings
from selfinstruct.exports.writing import export
from selfinstruct.models.offline.book import find
from selfinstruct.pool import statements
from selfinstruct.pool.opening import Writer
from selfinstruct.pool.packed import with_packing
from selfinstruct.pool.reader import status
from selfinstruct.pool.statements import Statement
from selfinstruct.runner.pump import Outcome
from selfinstruct.runner.run import grow_blocking
from selfinstruct.settings import Settings
from selfinstruct.types import Completion, Instance, InstanceCandidate, Prompt, Rejection, Request, Task

ROOT = Path(__file__).parents[1]
Result = TypeVar("Result")
SEEDS = ROOT / "seeds" / "en.jsonl"


def settings(recipe: str = "chat", model: str = "offline", **changes: Any) -> Settings:
    """The default settings of a recipe, with changes."""
    return changed(pool_settings(load(None, {"recipe": recipe}), model), **changes)


def changed(given: Settings, **changes: Any) -> Settings:
    """Settings with changes, each named by its key alone, in whichever table it stands."""
    for name, value in changes.items():
        table = next((one for one in ("recipe", "filters") if name in type(getattr(given, one)).model_fields), None)
        if name in Settings.model_fields or table is None:
            given = given.model_copy(update={name: value})
        else:
            given = given.model_copy(update={table: getattr(given, table).model_copy(update={name: value})})
    return given


def task(instruction: str, number: int = 0, *, is_classification: bool = False) -> Task:
    """A seed without input."""
    return Task(f"s{number}", instruction, is_classification, (Instance("", "Done."),), "seed")


def instance_fault(
    of: Settings, instruction: str, output: str, given: str = "", *, is_classification: bool = False
) -> Rejection | None:
    """Why one instance is rejected; None: it is kept."""
    task = Task("t", instruction, is_classification)
    kept, rejected = screen_instances(task, [InstanceCandidate("r", 0, given, output)], of)
    assert len(kept) + len(rejected) == 1
    return rejected[0] if rejected else None


def book_says(instruction: str, text: str, output: str) -> bool | None:
    """Whether the book has this output for the input; None for an instruction that it does not have."""
    entry = find(instruction)
    known = entry.answer(text) if entry else None
    return None if entry is None else known is not None and known.output == output.strip()


def answer(request: Request, text: str, finish_reason: str = "stop") -> Completion:
    """What a model might answer."""
    return Completion(request.id, "answer", text, finish_reason)


def settle(
    step: Callable[[Ask], Coroutine[Any, Any, Result]], answers: Mapping[Key, Completion]
) -> Result | list[Prompt]:
    """What a step comes to with these answers; the questions that have none, if it needs more."""
    open_: list[Prompt] = []

    async def ask(prompt: Prompt) -> Completion:
        if (prompt.stage, prompt.index) not in answers:
            open_.append(prompt)
            raise Unanswered
        return answers[prompt.stage, prompt.index]

    try:
        return at_once(step(ask))
    except Unanswered:
        return open_


def proposals(*instructions: str) -> str:
    """A well-formed answer to a propose request."""
    return json.dumps({"tasks": [{"instruction": text, "is_classification": False} for text in instructions]})


def grow(pool: Path, *, tell: list[str] | None = None, config: Path | None = None, **options: Any) -> Outcome:
    """Run `generate` in this process."""
    said = tell if tell is not None else []
    return grow_blocking(load(config, {"pool": pool, **options}), said.append)


def assert_it_adds_up(pool: Path) -> dict[str, Any]:
    """What `status` says, in which each candidate has ended in one way (law 1)."""
    now = status(pool)
    tasks = now["tasks"] + now["tasks_pending"] + now["tasks_without_instances"]
    ended = tasks + now["instances"] + now["samples"] + now["waiting"]
    assert now["candidates"] == ended + sum(now["rejections"].values())
    return now


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
    connection = with_packing(sqlite3.connect(pool / "pool.db"))
    try:
        return connection.execute(sql).fetchall()
    finally:
        connection.close()


def made_pool(folder: Path, tasks: Iterable[Task], seeds: Sequence[Task] = (), *, model: str = "offline") -> Path:
    """A pool that holds these generated tasks, each accepted in the last of two rounds, without growing it.

    Only what an export reads is filled in. Tasks without instances are stored as such.
    """
    configuration = settings(model=model)
    pool = Writer.open(folder)
    pool.create(seeds, 42, offline=True, more=_statements(tasks, len(seeds), configuration, model))
    pool.close()
    return folder


def _statements(tasks: Iterable[Task], first: int, configuration: Settings, model: str) -> Iterator[Statement]:
    run = {"id": 1, "started_at": "2026-01-01T00:00:00.000Z", "host": "", "pid": 0}
    yield statements.insert("runs", run)
    yield statements.add_configuration(configuration)
    identity = statements.configuration_id(configuration)
    for number in (0, 1):
        round_ = {"number": number, "source": 0, "configuration": identity, "run": 1, "state": "settled"}
        yield statements.insert("rounds", round_)
    asked = {
        "source": 0, "round": 1, "api": "chat", "model": model, "sampling": "{}", "messages": "[]",
        "demonstrations": "[]", "state": "answered",
    }  # fmt: skip
    for number, task in enumerate(tasks):
        propose, respond = f"p{number:x}", f"r{number:x}"
        yield statements.insert("requests", {**asked, "id": propose, "stage": "propose", "position": 0})
        yield statements.insert(
            "tasks",
            {
                "id": task.id, "position": first + number, "origin": "generated",
                "state": "done" if task.instances else "without_instances", "name": "",
                "instruction": task.instruction, "is_classification": task.is_classification, "round": 1, "source": 0,
                "request_id": propose, "request_position": 0, "parents": '["s0","s1"]', "nearest_score": 0.123456,
                "nearest_task": "s0",
            },
        )  # fmt: skip
        for place, instance in enumerate(task.instances):
            about = {**asked, "id": f"{respond}.{place}", "stage": "respond", "task_id": task.id, "position": place}
            yield statements.insert("requests", about)
            yield statements.insert(
                "instances",
                {
                    "task_id": task.id, "position": place, "input": instance.input, "output": instance.output,
                    "source": 0, "request_id": propose, "request_position": place,
                },
            )  # fmt: skip
