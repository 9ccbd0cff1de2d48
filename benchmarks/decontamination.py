"""What it costs to keep a pool clear of test sets, and whether every near copy is found.

    python benchmarks/decontamination.py           100,000 excluded rows: about two minutes

Prints what it finds and writes it to benchmarks/results/decontamination.json.

The excluded rows are questions with the word frequencies of natural text, each with a short answer. Near copies have
one word in twenty changed, put in or left out, or keep just one passage of a row. The cost is that of looking at
everything that a run reads, compared with the CPU time that the run itself takes without it, for 100,000 tasks: not
that of the model, which has a process of its own here, nor that of starting. It ends with an error where a copy is
missed, another text is found, or the cost is a tenth and more.
"""

from __future__ import annotations

import argparse
import json
import platform
import resource
import sqlite3
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager
from pathlib import Path
from typing import NamedTuple

import numpy as np

from selfinstruct.checks.contaminated import Excluded
from selfinstruct.types import Exclusion

ROOT = Path(__file__).resolve().parent.parent
VOCABULARY = 200_000
RUN = 100_000
"""Tasks of the run that pays for the index once."""
MOST = 0.1
"""The share of the growth's own time that looking must stay below."""


class Change(NamedTuple):
    """How many words are taken out at a place, and how many are put there."""

    taken: int
    put: int


CHANGES = (Change(1, 1), Change(0, 1), Change(1, 0))
"""A word changed, put in, left out."""


def spelled(rank: int) -> str:
    letters, rank = "", rank + 1
    while rank:
        rank, letter = divmod(rank, 26)
        letters += "etaoinshrdlucmfwypvbgkqjxz"[letter]
    return letters


def texts(count: int, shortest: int, longest: int, seed: int) -> list[str]:
    """Texts of that many words with the word frequencies of natural text (Zipf and Mandelbrot)."""
    generator = np.random.default_rng(seed)
    weight = 1 / (np.arange(VOCABULARY) + 2.7)
    scale = np.cumsum(weight / weight.sum())
    words = [spelled(rank) for rank in range(VOCABULARY + 1)]
    ends = np.cumsum(generator.integers(shortest, longest + 1, count))
    numbers = np.searchsorted(scale, generator.random(ends[-1])).tolist()
    begins = [0, *ends[:-1].tolist()]
    return [" ".join(words[number] for number in numbers[a:b]) for a, b in zip(begins, ends.tolist(), strict=True)]


def excluded_rows(count: int) -> Exclusion:
    questions, answers = texts(count, 8, 60, 1), texts(count, 1, 6, 2)
    return Exclusion("x", "bench.jsonl", tuple(enumerate(zip(questions, answers, strict=True), 1)))


def near_copies(exclusion: Exclusion, count: int, seed: int = 3) -> Iterator[tuple[int, str]]:
    """(number of the row, a text near it)."""
    generator = np.random.default_rng(seed)
    filler = texts(count, 30, 60, seed + 1)
    for place, at in enumerate(generator.choice(len(exclusion.rows), count, replace=False).tolist()):
        number, (question, _) = exclusion.rows[at]
        words = question.split()
        if place % 3 == 2 and len(words) >= 13:
            start = int(generator.integers(0, len(words) - 12))
            yield number, f"{filler[place]} {' '.join(words[start : start + 13])} {filler[place - 1]}"
            continue
        for _ in range(max(1, len(words) // 20)):
            where, change = int(generator.integers(0, len(words))), CHANGES[int(generator.integers(0, len(CHANGES)))]
            words[where : where + change.taken] = [f"new{place}"] * change.put
        yield number, " ".join(words)


def missed_and_wrong(count: int, planted: int) -> tuple[int, int, int]:
    """Near copies that were not found or found at another row, other texts that were found, and near copies in all."""
    exclusion = excluded_rows(count)
    excluded = Excluded([exclusion], "0.7")
    copies = list(near_copies(exclusion, planted))
    missed = sum((found := excluded.near(text)) is None or found.row != number for number, text in copies)
    wrong = sum(excluded.near(text) is not None for text in texts(planted, 8, 60, 9))
    return missed, wrong, len(copies)


@contextmanager
def served() -> Iterator[str]:
    """The URL of the built-in model in a process of its own."""
    command = [sys.executable, "-m", "selfinstruct", "offline-server", "--port", "0"]
    server = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)
    try:
        assert server.stderr is not None
        yield next(word for word in server.stderr.readline().split() if word.startswith("http")).rstrip(";")
    finally:
        server.terminate()
        server.wait()


def grown(pool: Path, target: int, url: str) -> float:
    """Grow a pool by the model at this URL; CPU seconds of the run alone."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    command = [sys.executable, "-m", "selfinstruct", "generate", "--pool", str(pool), "--target", str(target), "--json"]
    command += ["--backend", "openai", "--base-url", url, "--model", "offline"]
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


def looked_at(pool: Path) -> tuple[list[str], list[tuple[str, str, str]]]:
    """What a run would have asked about: instructions that passed the rules, and instances."""
    with closing(sqlite3.connect(pool / "pool.db")) as connection:
        instructions = connection.execute("SELECT instruction FROM tasks WHERE origin = 'generated'").fetchall()
        instances = connection.execute(
            "SELECT t.instruction, i.input, i.output FROM tasks t JOIN instances i ON i.task_id = t.id "
            "WHERE t.origin = 'generated'"
        ).fetchall()
    return [row[0] for row in instructions], instances


def cost(excluded: Excluded, instructions: Sequence[str], instances: Sequence[tuple[str, str, str]]) -> float:
    """CPU seconds to look at all of it, inputs before their answers and again with them, as a run does."""
    started = time.process_time()
    for instruction in instructions:
        excluded.near(instruction)
    for instruction, given, output in instances:
        excluded.near_instance(instruction, given)
        excluded.near_instance(instruction, given, output)
    return time.process_time() - started


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", type=int, default=100_000, help="excluded rows")
    parser.add_argument("--planted", type=int, default=5_000, help="near copies to be found")
    parser.add_argument("--target", type=int, default=3_000, help="tasks to grow")
    options = parser.parse_args()
    missed, wrong, planted = missed_and_wrong(options.rows, options.planted)
    exclusion = excluded_rows(options.rows)
    started = time.process_time()
    excluded = Excluded([exclusion], "0.7")
    excluded.near("the first question builds the index")
    built = time.process_time() - started
    with tempfile.TemporaryDirectory() as folder, served() as url:
        starting = grown(Path(folder) / "start", 1, url)
        pool = Path(folder) / "pool"
        own = grown(pool, options.target, url) - starting
        instructions, instances = looked_at(pool)
        looking = cost(excluded, instructions, instances)
    tasks = len(instructions)
    share = (looking / tasks * RUN + built) / (own / tasks * RUN)
    found = {
        "python": platform.python_version(), "machine": platform.machine(), "excluded_rows": options.rows,
        "near_copies": planted, "missed": missed, "others_found": wrong, "tasks": tasks,
        "growth_ms_a_task": round(own / tasks * 1e3, 3), "looking_ms_a_task": round(looking / tasks * 1e3, 3),
        "index_s": round(built, 2), "share_of_growth": round(share, 4),
    }  # fmt: skip
    for name, value in found.items():
        print(f"{name:<20} {value}")
    (ROOT / "benchmarks" / "results" / "decontamination.json").write_text(json.dumps(found, indent=1) + "\n", "utf-8")
    if missed or wrong or share >= MOST:
        raise SystemExit(f"not as promised: all near copies found, no other text, and a share below {MOST:.0%}")


if __name__ == "__main__":
    main()
