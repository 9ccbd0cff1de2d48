"""What the code decides on recorded answers stays what it is: tasks, rejections and exported rows, word for word.

`python -m tests.test_decisions` writes what is decided today over the golden files: for changes that are meant.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web

from selfinstruct.cli import commands as cli
from selfinstruct.exports.writing import export
from tests.builders import ROOT, grow, rows
from tests.servers import ScriptedServer, completion

RUNS = Path(__file__).parent / "golden" / "runs"
PARITY = ROOT.parent / "shared" / "parity"
needs_parity = pytest.mark.skipif(
    not PARITY.is_dir(), reason=f"PARITY NOT TESTED: the recorded runs of the original are not at {PARITY}"
)
JUDGED = """
seed = 4
[judge]
enabled = true
revise = true
[agreement]
answers = 4
min_share = 0.7
[stages.respond]
temperature = 0.7
"""
RECORDED = {"judged": JUDGED, "faults": "seed = 5\n"}
"""The settings of each run. The answers of `faults` hold broken JSON, refusals, copies, cut and empty answers."""
TARGET = 24
RECIPES = ("paper", "original")
"""By which the recorded runs of the original are read."""


def decided(pool: Path) -> list[Any]:
    """Tasks in order, rejections and exported rows."""
    tasks = rows(
        pool,
        "SELECT position, state, instruction, is_classification, round, round(nearest_score, 9) FROM tasks "
        "WHERE origin = 'generated' ORDER BY position",
    )
    rejections = rows(
        pool, "SELECT kind, reason, round, text, input, evidence FROM rejections ORDER BY 1, 2, 3, 4, 5, 6"
    )
    paths = export(pool, ["alpaca", "messages"], pool / "export").paths
    exported = [json.loads(line) for path in paths for line in path.read_text(encoding="utf-8").splitlines()]
    return (
        [["task", *row] for row in tasks]
        + [["rejection", *row] for row in rejections]
        + [["row", row] for row in exported]
    )


def asked(body: dict[str, Any]) -> str:
    """What a question is known by, whatever the model and its parameters are called."""
    return hashlib.sha256(json.dumps([body["messages"], body.get("seed")]).encode()).hexdigest()[:16]


@contextlib.contextmanager
def recorded(name: str) -> Iterator[ScriptedServer]:
    """A server that gives the recorded answers."""
    lines = (RUNS / f"{name}.answers.jsonl").read_text(encoding="utf-8").splitlines()
    answers = {line["asked"]: line for line in map(json.loads, lines)}

    async def answer(_: int, __: str, body: dict[str, Any], ___: web.Request) -> web.Response:
        line = answers[asked(body)]
        return completion(line["text"], line["finish_reason"])

    with ScriptedServer(answer) as server:
        yield server


def grown(pool: Path, name: str) -> Path:
    """The pool that the recorded answers of a run give; `faults` stops early and goes on with other concurrency."""
    config = pool.with_suffix(".toml")
    config.write_text(RECORDED[name], encoding="utf-8")
    with recorded(name) as server:
        options = {"config": config, "base_url": [server.base_url], "model": "m", "target": TARGET}
        if name == "faults":
            assert grow(pool, **options, max_requests=25, concurrency=3).exit_code == 3
        assert grow(pool, **options, concurrency=16).exit_code == 0
    return pool


@pytest.mark.parametrize("name", RECORDED)
def test_a_recorded_run_is_decided_as_ever(tmp_path: Path, name: str) -> None:
    wanted = (RUNS / f"{name}.decisions.jsonl").read_text(encoding="utf-8").splitlines()
    assert [json.dumps(one, ensure_ascii=False) for one in decided(grown(tmp_path / "p", name))] == wanted


@needs_parity
@pytest.mark.parametrize("run", ["davinci_a", "davinci_b"])
@pytest.mark.parametrize("recipe", RECIPES)
def test_the_recorded_runs_of_the_original_are_decided_as_ever(tmp_path: Path, run: str, recipe: str) -> None:
    assert replayed(tmp_path / "p", run, recipe) == json.loads((RUNS / "parity.json").read_text())[f"{run} {recipe}"]


def replayed(pool: Path, run: str, recipe: str) -> dict[str, Any]:
    """How many decisions of each kind, and their digest: the texts are not ours to keep."""
    options = ["--recipe", recipe]
    assert (
        cli.run(
            ["replay", str(PARITY / run), "--pool", str(pool), "--seeds", str(PARITY / "seed_tasks.jsonl"), *options]
        )
        == 0
    )
    found = decided(pool)
    kinds = [one[0] for one in found]
    counts = {kind: kinds.count(kind) for kind in ("task", "rejection", "row")}
    return {**counts, "sha256": hashlib.sha256(json.dumps(found).encode()).hexdigest()}


def write_golden(folder: Path) -> None:
    """Write what is decided today over the golden files."""
    for name in RECORDED:
        lines = decided(grown(folder / name, name))
        text = "".join(json.dumps(line, ensure_ascii=False) + "\n" for line in lines)
        (RUNS / f"{name}.decisions.jsonl").write_text(text, encoding="utf-8")
    found = {
        f"{run} {recipe}": replayed(folder / f"{run}{recipe}", run, recipe)
        for run in ("davinci_a", "davinci_b")
        for recipe in RECIPES
    }
    (RUNS / "parity.json").write_text(json.dumps(found, indent=1) + "\n")


if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as work:
        write_golden(Path(work))
