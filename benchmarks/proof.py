"""Does it help? `benchmarks/proof.py --base-url URL --base FOLDER --work FOLDER` trains a base model on three sets.

(a) the rows of 115 seeds, (b) a pool grown from these seeds by the model at URL, (c) the same answers with no filter on
them: the pool's rows and those that were rejected. All by examples/finetune_trl.py with LoRA and the same number of
steps, measured before and after on the other seeds and on tasks whose answer can be checked to the letter. Everything
stays in the folder `--work`; the same command goes on with what is there. Takes about an hour on two cores.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import sqlite3
import subprocess
import sys
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

from selfinstruct.exports.formats import prompt_completion_plain
from selfinstruct.pool.records import Row
from selfinstruct.types import Instance

HERE = Path(__file__).resolve().parents[1]
HELD_OUT = 60
"""Seeds that are measured on, and seen by no model."""
CONFIG = """
concurrency = 4
[model]
temperature = 0.8
max_tokens = 600
extra_body = {min_p = 0.1}
"""
WORDS = (
    "harvest", "lantern", "pepper", "anchor", "violin", "meadow", "captain", "blanket", "thunder", "orchard", "candle",
    "saddle",
)  # fmt: skip
JOB = (
    "--lr", "3e-4", "--batch-size", "4", "--accumulation", "2", "--max-length", "320", "--max-new-tokens", "48",
    "--eval-rows", "36", "--no-gradient-checkpointing",
)  # fmt: skip


def checkable() -> Iterator[tuple[str, str, str]]:
    """(instruction, input, answer): small tasks of six kinds with one right answer."""
    draw = random.Random(5)
    for _ in range(6):
        three = draw.sample(WORDS, 3)
        one, two = draw.randint(3, 40), draw.randint(3, 40)
        yield "Write the word in capital letters.", three[0], three[0].upper()
        yield "How many letters does the word have?", three[1], str(len(three[1]))
        yield "Which of the words comes last in the alphabet? Answer with the word alone.", ", ".join(three), max(three)
        yield f"What is {one} plus {two}? Answer with the number alone.", "", str(one + two)
        yield f"Is {one} larger than {two}? Answer yes or no.", "", "Yes" if one > two else "No"
        yield "Repeat the words in the opposite order, separated by commas.", ", ".join(three), ", ".join(three[::-1])


def write(path: Path, rows: Iterable[Mapping[str, Any]]) -> None:
    """Rows as JSON Lines."""
    path.write_text("".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows), encoding="utf-8")


def grow(work: Path, base_url: str, target: int) -> None:
    """The pool of (b), from the seeds that are not held out."""
    seeds = [json.loads(line) for line in (HERE / "seeds" / "en.jsonl").read_text(encoding="utf-8").splitlines()]
    random.Random(1).shuffle(seeds)
    write(work / "heldout.jsonl", seeds[:HELD_OUT])
    write(work / "seeds.jsonl", seeds[HELD_OUT:])
    tasks = [
        {"instruction": instruction, "instances": [{"input": given, "output": answer}], "is_classification": True}
        for instruction, given, answer in checkable()
    ]
    write(work / "checkable.jsonl", tasks)
    (work / "config.toml").write_text(CONFIG, encoding="utf-8")
    run(
        "generate", work / "pool", "--seeds", work / "seeds.jsonl", "--config", work / "config.toml",
        "--base-url", base_url, "--target", target,
    )  # fmt: skip


def run(command: str, *options: object) -> None:
    """A command of selfinstruct."""
    subprocess.run([sys.executable, "-m", "selfinstruct", command, *map(str, options)], cwd=HERE, check=True)


def data(work: Path) -> dict[str, int]:
    """Write the three sets; how many rows each has."""
    plain = ("--format", "prompt-completion-plain")
    run("export", work / "pool", *plain, "--origin", "seed", "--out", work / "seeds")
    run("export", work / "pool", *plain, "--out", work / "filtered")
    rows = [json.loads(line) for line in (work / "filtered" / f"{plain[1]}.jsonl").read_text("utf-8").splitlines()]
    with sqlite3.connect(work / "pool" / "pool.db") as connection:
        rejected = connection.execute(
            "SELECT t.instruction, r.input, r.text FROM rejections r JOIN tasks t ON t.id = r.task_id "
            "WHERE r.kind = 'instance' AND TRIM(r.text) != '' ORDER BY t.position, r.request_position"
        )
        rows += [
            prompt_completion_plain(Row("", instruction, Instance(given, output)))
            for instruction, given, output in rejected
        ]
    (work / "unfiltered").mkdir(exist_ok=True)
    write(work / "unfiltered" / f"{plain[1]}.jsonl", rows)
    return {
        name: len((work / name / f"{plain[1]}.jsonl").read_text("utf-8").splitlines())
        for name in ("seeds", "filtered", "unfiltered")
    }


def main() -> None:
    """Do what is left of it and print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--base-url", required=True, help="the server of the model that grows the pool")
    parser.add_argument("--base", required=True, help="the base model to be trained: a folder, or a name on the Hub")
    parser.add_argument("--work", type=Path, required=True)
    parser.add_argument("--target", type=int, default=100, help="tasks of the pool")
    parser.add_argument("--steps", type=int, default=25, help="of eight rows each")
    given = parser.parse_args()
    work = given.work.resolve()
    work.mkdir(parents=True, exist_ok=True)
    grow(work, given.base_url, given.target)
    counts = data(work)
    trainer = os.environ.get("SELFINSTRUCT_TRAINER_PYTHON", sys.executable)
    for name, count in counts.items():
        out = work / f"{name}-tuned"
        tasks = [str(option) for one in ("heldout", "checkable") for option in ("--tasks", work / f"{one}.jsonl")]
        job = [
            "--data", str(work / name), "--out", str(out), "--model", given.base, "--steps", str(given.steps), *tasks,
        ]  # fmt: skip
        subprocess.run([trainer, str(HERE / "examples" / "finetune_trl.py"), *job, *JOB], check=True)
        report = json.loads((out / "report.json").read_text(encoding="utf-8"))
        print(f"{name}: {count} rows")
        for measured in report["after"]:
            for when in ("before", "after"):
                print(f"  {measured:20} {when:7} {json.dumps(report[when][measured])}", flush=True)


if __name__ == "__main__":
    main()
