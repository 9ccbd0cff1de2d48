"""All figures in one table, each beside an anchor that is measured in the same run: `make bench`.

    python benchmarks/table.py [--instructions FILE] [--tasks 200000]     about 25 minutes; writes results/table.md

CPU seconds but where something else is said, so that other work on the machine counts little.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

import orjson
from export import make_pool
from load import busy, cpu, machine, made_up, measured
from novelty import BATCH, REAL, brute_force, generated, index_of, rouge_loop, screened, seconds, without_numba

from selfinstruct.exports.formats import FORMATS
from selfinstruct.pool.reader import snapshot

COMMAND = [sys.executable, "-m", "selfinstruct"]
RESULTS = Path(__file__).parent / "results"


def requests(instructions: Path) -> Iterator[tuple[str, str, str]]:
    """What a request costs, and how busy a server is kept."""
    costs = cpu(instructions, 1200)
    (ours, start), (openai, begin), (aiohttp, _) = (costs[way] for way in ("pipeline", "openai", "aiohttp"))
    anchors = f"bare openai loop {openai:.2f} ms; raw aiohttp {aiohttp:.2f} ms"
    yield "CPU a request", f"{ours:.2f} ms ({ours / openai:.2f} times the openai loop)", anchors
    yield "CPU of a run besides", f"{start:.1f} s", f"bare openai loop {begin:.1f} s"
    for slots, latency_s in ((64, 1.0), (256, 5.0)):
        share = busy(instructions, slots, 1200, latency_s)
        if share is not None:
            yield f"busy share of {slots} slots, answers in {latency_s:g} s", f"{share:.1%}", "a full server 100 %"


def similarity() -> Iterator[tuple[str, str, str]]:
    """What it costs to say whether an instruction is a near-duplicate."""
    for size in (52_000, 1_000_000):
        texts = generated(size + BATCH)
        candidates, texts = texts[-BATCH:], texts[:-BATCH]
        index = index_of(texts)
        index.near_duplicate(candidates[0], "0.7")
        alone = seconds(lambda: [index.near_duplicate(text, "0.7") for text in candidates]) / BATCH * 1e6  # noqa: B023
        found = brute_force(index, texts, candidates[:32])
        pair = rouge_loop(texts[:500], candidates[:2])["strings_s_a_pair"]
        anchors = f"rapidfuzz {found['rapidfuzz_us'] / 1e3:,.1f} ms; `rouge_score` {pair * size:,.1f} s"
        yield f"verdict among {size:,} tasks, in a batch of 32", f"{found['ours_us']:.0f} µs", anchors
        plain = without_numba(texts, candidates)
        yield "the same, asked alone, with and without `large`", f"{alone:.0f} µs, {plain / 1e3:,.1f} ms", anchors
    if REAL.exists():
        lines = REAL.read_text("utf-8").splitlines()
        _, _, ours_s = screened(lines, "rouge_score")
        yield f"{len(lines):,} instructions of gpt-4o-mini screened", f"{ours_s:.1f} s", "see `novelty.py`"


def stored(tasks: int) -> Iterator[tuple[str, str, str]]:
    """What a large pool takes."""
    with tempfile.TemporaryDirectory() as name:
        pool, out = Path(name) / "pool", Path(name) / "out"
        make_pool(pool, tasks * 5 // 4)
        forms = [word for form in FORMATS for word in ("--format", form)]
        spent, _ = measured([*COMMAND, "export", str(pool), "--out", str(out), *forms])
        rows = tasks * 5 // 4
        begin = time.process_time()
        with snapshot(pool) as reader, (Path(name) / "bare.jsonl").open("wb") as file:
            for row in reader.rows(("seed", "generated")):
                file.write(orjson.dumps({"instruction": row.instruction, "input": row.input, "output": row.output}))
        bare = time.process_time() - begin
        anchor = f"one form by `orjson` in a bare loop {rows / bare:,.0f}"
        yield f"export in {len(FORMATS)} text forms, rows a second", f"{rows / spent:,.0f}", anchor
        for command in ("status", "report"):
            spent, _ = measured([*COMMAND, command, str(pool)])
            yield f"`{command}` of {tasks:,} tasks", f"{spent:.1f} s", f"reading the rows {bare:.1f} s"


def starting() -> Iterator[tuple[str, str, str]]:
    """How long the command line takes to begin."""
    python = min(measured([sys.executable, "-c", "pass"])[0] for _ in range(5))
    spent = min(measured([*COMMAND, "--help"])[0] for _ in range(5))
    yield "start of `--help`", f"{spent:.2f} s", f"`python -c pass` {python:.2f} s"


def written(lines: Sequence[tuple[str, str, str]]) -> str:
    """The table in Markdown."""
    head = f"{machine()}; CPU time\n\n| what | here | anchor |\n|---|---|---|\n"
    return head + "".join(f"| {' | '.join(line)} |\n" for line in lines)


def main() -> None:
    """Measure and write."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--instructions", type=Path, help="a file with an instruction a line, in the order of a model")
    parser.add_argument("--tasks", type=int, default=200_000, help="tasks of the large pool")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        instructions = options.instructions or (REAL if REAL.exists() else made_up(Path(folder) / "instructions"))
        lines = []
        for part in (starting(), requests(instructions), similarity(), stored(options.tasks)):
            for line in part:
                lines.append(line)
                print(" | ".join(line), flush=True)
    RESULTS.mkdir(exist_ok=True)
    (RESULTS / "table.md").write_text(written(lines), "utf-8")


if __name__ == "__main__":
    main()
