"""How fast a large pool is exported, and in how much memory. Prints a table with the machine's name.

    python benchmarks/export.py             a million rows: about ten minutes, 4 GB of disk
    python benchmarks/export.py --rows N    another size; of a small one, much of the time is the start

Ends with exit code 1 if text forms are written at fewer than 20,000 rows a second, or anything takes 500 MB.

The pool is made up: words drawn at random, two instances for every fourth task, and the requests that led to each.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import random
import sqlite3
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from selfinstruct.config.loading import load
from selfinstruct.config.shaping import pool_settings
from selfinstruct.exports.formats import FORMATS
from selfinstruct.pool import statements
from selfinstruct.pool.opening import Writer
from selfinstruct.types import Instance, Task

TASKS_A_ROUND = 40
TASKS_A_REQUEST = 5
ANSWERS = "small"
"""The model that writes outputs, which is another than the one that writes instructions."""
LEAST_ROWS_A_SECOND, MOST_MB = 20_000, 500


def make_pool(folder: Path, rows: int) -> None:
    """A pool with this many rows of generated tasks."""
    seed = Task("s0", "Name a river.", False, (Instance("", "The Rhine."),), "seed")
    configuration = pool_settings(load(None, {}), "offline")
    pool = Writer.open(folder)
    run = statements.insert("runs", {"id": 1, "started_at": "2026-01-01T00:00:00.000Z", "host": "", "pid": 0})
    pool.create([seed], 42, offline=True, more=[run, statements.add_configuration(configuration)])
    pool.close()
    with sqlite3.connect(folder / "pool.db") as connection:
        for pragma in ("journal_mode = OFF", "synchronous = OFF", "cache_size = -1000000"):
            connection.execute(f"PRAGMA {pragma}")
        identity = statements.configuration_id(configuration)
        tasks = rows * 4 // 5
        rounds = ((number, 0, identity, 1, "settled") for number in range(tasks // TASKS_A_ROUND + 1))
        connection.executemany(
            "INSERT INTO rounds (number, source, configuration, run, state) VALUES (?,?,?,?,?)", rounds
        )
        generator = random.Random(1)
        words = [
            "".join(generator.choices("abcdefghijklmnopqrstuvwxyz", k=generator.randint(2, 10))) for _ in range(30_000)
        ]
        for start in range(0, tasks, 20_000):
            some = [_made(number, words, generator) for number in range(start, min(tasks, start + 20_000))]
            for sql, place in ((REQUEST, 0), (TASK, 1), (INSTANCE, 2)):
                connection.executemany(sql, [row for made in some for row in made[place]])
        connection.commit()
        connection.execute("PRAGMA journal_mode = WAL")
    connection.close()


REQUEST = (
    "INSERT INTO requests (source, id, stage, round, task_id, position, api, model, sampling, messages, "
    "demonstrations, state) VALUES (0, ?, ?, ?, ?, ?, 'chat', ?, '{}', '[]', '[]', 'answered')"
)
TASK = (
    "INSERT INTO tasks (id, position, origin, state, name, instruction, is_classification, round, source, request_id, "
    "request_position, model, parents, nearest_score, nearest_task) "
    "VALUES (?,?,'generated','done','',?,0,?,0,?,?,'large',?,?,'s0')"
)
INSTANCE = (
    "INSERT INTO instances (task_id, position, input, output, source, request_id, request_position, model) "
    f"VALUES (?,?,?,?,0,?,?,'{ANSWERS}')"
)


def _made(number: int, words: Sequence[str], generator: random.Random) -> tuple[list[Any], list[Any], list[Any]]:
    """The requests, the task and the instances of one task."""

    def text(least: int, most: int) -> str:
        return " ".join(generator.choices(words, k=generator.randint(least, most)))

    round_, task_id = number // TASKS_A_ROUND, f"t{generator.getrandbits(80):020x}"
    first = number - number % TASKS_A_REQUEST
    propose, inputs = f"{first:064x}"[::-1], f"i{number:063x}"[::-1]
    requests: list[Any] = [(inputs, "inputs", round_, task_id, 0, "large")]
    if number == first:
        requests.append((propose, "propose", round_, None, 0, "large"))
    parents = json.dumps([f"t{generator.getrandbits(80):020x}" for _ in range(8)])
    task = (task_id, number + 1, text(8, 25), round_, propose, number - first, parents, generator.random() * 0.7)
    instances = []
    for place in range(2 if number % 4 == 0 else 1):
        requests.append((f"r{number:062x}{place}"[::-1], "respond", round_, task_id, place, ANSWERS))
        instances.append((task_id, place, text(5, 30) if number % 2 else "", text(5, 60), inputs, place))
    return requests, [task], instances


def exported(pool: Path, out: Path, formats: Sequence[str]) -> tuple[int, float, float, float]:
    """(rows, wall seconds, CPU seconds, peak memory in MB) of an export in a process of its own."""
    options = [word for name in formats for word in ("--format", name)]
    command = [sys.executable, "-m", "selfinstruct", "export", str(pool), "--out", str(out), *options]
    started = time.monotonic()
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL)
    _, status, usage = os.wait4(process.pid, 0)
    if os.waitstatus_to_exitcode(status):
        raise SystemExit("the export failed")
    wall = time.monotonic() - started
    files = json.loads((out / "manifest.json").read_text("utf-8"))["files"]
    rows = {about["rows"] for about in files.values() if "rows" in about}
    if len(rows) != 1:
        raise SystemExit(f"the files have different numbers of rows: {sorted(rows)}")
    return rows.pop(), wall, usage.ru_utime + usage.ru_stime, usage.ru_maxrss / 1024


def machine() -> str:
    """What this is measured on."""
    info = Path("/proc/cpuinfo")
    lines = info.read_text().splitlines() if info.exists() else []
    names = [line.split(":")[1].strip() for line in lines if line.startswith("model name")]
    return f"{names[0] if names else platform.machine()}, {os.cpu_count()} cores, Python {platform.python_version()}"


def measurements(pool: Path, out: Path, rows: int, faults: list[str]) -> Iterator[str]:
    """The lines of the table, one as soon as it is measured; what is not as it should be is added to `faults`."""
    yield "| formats | rows a second | rows a CPU second | peak memory, MB |"
    yield "|---|---|---|---|"
    wanted = {**{name: [name] for name in (*FORMATS, "parquet", "csv")}, "all text forms at once": list(FORMATS),
              "all at once": ["all"]}  # fmt: skip
    for title, formats in wanted.items():
        written, wall, cpu, memory = exported(pool, out, formats)
        if written != rows:
            faults.append(f"{title}: {written:,} rows, wanted {rows:,}")
        if set(formats) <= set(FORMATS) and written / wall < LEAST_ROWS_A_SECOND:
            faults.append(f"{title}: under {LEAST_ROWS_A_SECOND:,} rows a second")
        if memory >= MOST_MB:
            faults.append(f"{title}: {MOST_MB} MB or more")
        yield f"| {title} | {written / wall:,.0f} | {written / cpu:,.0f} | {memory:,.0f} |"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", type=int, default=1_000_000)
    parser.add_argument("--make", type=Path, help=argparse.SUPPRESS)
    options = parser.parse_args()
    rows = options.rows
    if options.make:
        make_pool(options.make, rows)
        return
    with tempfile.TemporaryDirectory() as folder:
        # In a process of its own: what this one holds would be counted as the exports' memory.
        making = [sys.executable, __file__, "--make", f"{folder}/pool", "--rows", str(rows)]
        subprocess.run(making, check=True)
        print(f"{rows:,} rows; {machine()}\n")
        faults: list[str] = []
        for line in measurements(Path(folder) / "pool", Path(folder) / "out", rows, faults):
            print(line, flush=True)
    if faults:
        raise SystemExit("\n".join(faults))


if __name__ == "__main__":
    main()
