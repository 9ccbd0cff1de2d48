"""What it costs to find the nearest known instruction: ours, rapidfuzz and the `rouge_score` loop in one run.

    python benchmarks/novelty.py [--instructions FILE] [--sizes 10000,52000,1000000,10000000] [--quick]

Prints tables, and writes benchmarks/results/novelty.json and docs/similarity.svg. Times are of the processor, so that
other work on the machine counts little. Ten million take 15 GB of memory, most of it for the texts that are asked
about, and twenty minutes.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from functools import partial
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import numpy as np
import vl_convert
from rapidfuzz import process
from rapidfuzz.distance import Indel
from rouge_score.rouge_scorer import RougeScorer, _score_lcs
from rouge_score.tokenize import tokenize as rouge_tokens

from selfinstruct.similarity.index import Index, Neighbour, sampled_places

ROOT = Path(__file__).parents[1]
RESULTS = ROOT / "benchmarks" / "results"
FIGURE = ROOT / "docs" / "similarity.svg"
REAL = ROOT.parent / "shared" / "data" / "gpt4o_mini_instructions_10k.txt"
CUTOFFS = ("0.7", "0.5")
BATCH = 128
ROUND = 48

OPEN = """
import json, resource, sys, time
begin = time.perf_counter()
import numpy as np
from selfinstruct.similarity.index import Index
imported = time.perf_counter()
folder, tasks = sys.argv[1], json.load(open(sys.argv[2]))
with np.load(folder + "/index.npz") as saved:
    arrays = {name: saved[name] for name in saved.files}
index = Index.from_arrays(arrays, lambda place: tasks["sample"][str(place)])
opened = time.perf_counter()
del arrays
index.prepare(tasks["ask"], "0.7")
print(json.dumps({"import_s": imported - begin, "open_s": opened - imported,
                  "first_answer_s": time.perf_counter() - opened}))
"""


def seconds(work: Callable[[], object], repeats: int = 5) -> float:
    """The median of the processor's time for some runs."""
    taken = []
    for _ in range(repeats):
        begin = time.process_time()
        work()
        taken.append(time.process_time() - begin)
    return statistics.median(taken)


def generated(count: int, copies: float = 0.1, seed: int = 1, vocabulary: int = 200_000) -> list[str]:
    """Instructions of 8 to 25 words with the word frequencies of natural text (Zipf and Mandelbrot).

    Six in ten begin with one of 300 openings, themselves of such frequencies; a share is an earlier one with up to five
    words changed, put in or left out.
    """
    generator = np.random.default_rng(seed)
    weight = 1 / (np.arange(vocabulary) + 2.7)
    scale = np.cumsum(weight / weight.sum())
    words = [_spelled(rank) for rank in range(vocabulary + 1)]
    openings = np.searchsorted(scale, generator.random((300, 3))) % 2000
    weight = 1 / (np.arange(300) + 2.7)
    chosen = np.searchsorted(np.cumsum(weight / weight.sum()), generator.random(count))
    has_opening = generator.random(count) < 0.6
    ends = np.cumsum(generator.integers(8, 26, count))
    flat = np.searchsorted(scale, generator.random(ends[-1]))
    begins = np.concatenate([[0], ends[:-1]])
    for column in range(3):
        flat[begins[has_opening] + column] = openings[chosen[has_opening] % 300, column]
    numbers = flat.tolist()
    is_copy, changes = generator.random(count) < copies, generator.integers(0, 6, count)
    texts: list[str] = []
    for place, (begin, end) in enumerate(zip(begins.tolist(), ends.tolist(), strict=True)):
        if is_copy[place] and place:
            parts = texts[int(generator.integers(0, place))].split()
            for _ in range(changes[place]):
                at, word = int(generator.integers(0, len(parts))), words[numbers[begin]]
                parts[at : at + int(generator.integers(0, 2))] = [word] if generator.random() < 0.7 else []
                parts = parts or [word]
            texts.append(" ".join(parts))
        else:
            texts.append(" ".join([words[number] for number in numbers[begin:end]]))
    return texts


def _spelled(rank: int) -> str:
    letters, rank = "", rank + 1
    while rank:
        rank, letter = divmod(rank, 26)
        letters += "etaoinshrdlucmfwypvbgkqjxz"[letter]
    return letters


def memory_mb() -> float:
    """What this process holds now; 0 where the system does not say."""
    about = Path("/proc/self/statm")
    pages = int(about.read_text().split()[1]) if about.exists() else 0
    return pages * resource.getpagesize() / 1e6


def index_of(texts: Sequence[str], tokenizer: str = "unicode", **options: int) -> Index:
    index = Index(tokenizer, **options)
    for place, text in enumerate(texts):
        index.add(f"t{place:020x}", text)
    return index


def in_one_go(index: Index, texts: Sequence[str], cutoff: str) -> list[Neighbour | None]:
    ask = index.prepare(texts, cutoff)
    return [ask(place) for place in range(len(texts))]


def one_by_one(index: Index, texts: Sequence[str], cutoff: str) -> list[Neighbour | None]:
    return [index.near_duplicate(text, cutoff) for text in texts]


def measure_size(texts: Sequence[str], candidates: Sequence[str], repeats: int) -> tuple[dict[str, Any], Index]:
    """Time to build and to open, saved bytes a task, and cost a candidate at each cutoff."""
    count = len(texts)
    before, begin = memory_mb(), time.process_time()
    index = index_of(texts)
    index.near_duplicate(candidates[0], "0.7")
    row: dict[str, Any] = {"tasks": count, "build_s": time.process_time() - begin, "memory_mb": memory_mb() - before}
    for cutoff in CUTOFFS:
        batch = partial(in_one_go, index, candidates, cutoff)
        singly = partial(one_by_one, index, candidates, cutoff)
        row[f"batch_us_{cutoff}"] = seconds(batch, repeats) / len(candidates) * 1e6
        row[f"single_us_{cutoff}"] = seconds(singly, repeats) / len(candidates) * 1e6
    row["nearest_us"] = seconds(lambda: [index.nearest(text) for text in candidates[:32]], 3) / 32 * 1e6
    row["near_duplicates"] = sum(one is not None for one in in_one_go(index, candidates, "0.7"))
    arrays = index.to_arrays()
    row["bytes"] = {name: array.nbytes / count for name, array in arrays.items()}
    row["bytes_a_task"] = sum(row["bytes"].values())
    row["words"] = len(json.loads(arrays["words"].tobytes()))
    del arrays
    row.update(opening(index, texts, candidates))
    return row, index


def opening(index: Index, texts: Sequence[str], candidates: Sequence[str]) -> dict[str, float]:
    """Save the index, and open it and ask once in a new process."""
    with tempfile.TemporaryDirectory() as folder:
        begin = time.process_time()
        arrays: dict[str, Any] = index.to_arrays()
        np.savez(Path(folder) / "index.npz", **arrays)
        saved = time.process_time() - begin
        sample = {place: (f"t{place:020x}", texts[place]) for place in sampled_places(len(texts))}
        tasks = Path(folder) / "tasks.json"
        tasks.write_text(json.dumps({"sample": sample, "ask": list(candidates[:8])}))
        done = subprocess.run(
            [sys.executable, "-c", OPEN, folder, str(tasks)], check=True, capture_output=True, text=True, cwd=ROOT,
            env={**os.environ, "PYTHONPATH": str(ROOT)},
        )  # fmt: skip
    return {"save_s": saved, **json.loads(done.stdout)}


def without_numba(texts: Sequence[str], candidates: Sequence[str]) -> float:
    """Microseconds a candidate, asked alone, where the extra `large` is missing."""
    index = index_of(texts, large_from=sys.maxsize)
    index.near_duplicate(candidates[0], "0.7")
    return seconds(lambda: [index.near_duplicate(text, "0.7") for text in candidates[:8]], 3) / 8 * 1e6


def rouge_loop(texts: Sequence[str], candidates: Sequence[str]) -> dict[str, float]:
    """Seconds a pair, as the original asks (`scorer.score` on strings) and on tokens made beforehand (Alpaca)."""
    scorer = RougeScorer(["rougeL"], use_stemmer=False)
    tokens = [rouge_tokens(text, None) for text in texts]
    asked = [(text, rouge_tokens(text, None)) for text in candidates]
    pairs = len(texts) * len(candidates)
    strings = seconds(lambda: [scorer.score(text, known) for text, _ in asked for known in texts], 3)
    lists = seconds(lambda: [_score_lcs(own, known) for _, own in asked for known in tokens], 3)
    return {"strings_s_a_pair": strings / pairs, "tokens_s_a_pair": lists / pairs, "pairs": pairs}


def growth(target: int, texts: Sequence[str]) -> dict[str, float]:
    """Judge rounds of candidates in order until enough are accepted."""
    index, rejected = Index(), 0
    begin = time.process_time()
    for start in range(0, len(texts), ROUND):
        candidates = texts[start : start + ROUND]
        ask = index.prepare(candidates, "0.7")
        for place, text in enumerate(candidates):
            if len(index) == target:
                break
            if ask(place) is None:
                index.add(f"t{start + place:020x}", text)
            else:
                rejected += 1
    if len(index) < target:
        raise ValueError(f"{len(texts)} candidates gave only {len(index)} tasks")
    return {"accepted": len(index), "rejected": rejected, "seconds": time.process_time() - begin}


def brute_force(index: Index, texts: Sequence[str], candidates: Sequence[str]) -> dict[str, Any]:
    """The same batch by rapidfuzz on all cores, on strings of one character a token, and whether verdicts agree."""
    letters: dict[str, str] = {}

    def encoded(text: str) -> str:
        return "".join([letters.setdefault(token, chr(0xE000 + len(letters))) for token in index.tokenize(text)])

    known, asked = [encoded(text) for text in texts], [encoded(text) for text in candidates]
    found, taken = [], 0.0
    for start in range(0, len(asked), 16):  # a table of all at once would take a gigabyte
        part = asked[start : start + 16]
        begin = time.process_time()
        scores = process.cdist(
            part, known, scorer=Indel.normalized_similarity, score_cutoff=0.7 - 1e-6, workers=-1, dtype=np.float64
        )
        taken += time.process_time() - begin
        for query, row in zip(part, scores, strict=True):
            place = int(row.argmax())
            total = len(known[place]) + len(query)
            common = round(row[place] * total / 2)
            found.append(f"t{place:020x}" if 20 * common > 7 * total else None)
    begin = time.process_time()
    ours = in_one_go(index, candidates, "0.7")
    cold = time.process_time() - begin
    warm = seconds(lambda: in_one_go(index, candidates, "0.7"))
    return {
        "rapidfuzz_us": taken / len(asked) * 1e6,
        "ours_us": warm / len(asked) * 1e6,
        "ours_first_us": cold / len(asked) * 1e6,
        "same_verdicts": [one and one.id for one in ours] == found,
    }


def screened(lines: Sequence[str], tokenizer: str) -> tuple[list[int], dict[int, tuple[str, float]], float]:
    """Which lines are accepted, what the others resemble, and the seconds it took."""
    index, accepted, rejected = Index(tokenizer), [], {}
    begin = time.process_time()
    for start in range(0, len(lines), ROUND):
        ask = index.prepare(lines[start : start + ROUND], "0.7")
        for place in range(start, min(start + ROUND, len(lines))):
            near = ask(place - start)
            if near is None:
                accepted.append(place)
                index.add(str(place), lines[place])
            else:
                rejected[place] = (near.id, near.score)
    return accepted, rejected, time.process_time() - begin


def judged_by_rouge_score(lines: Sequence[str]) -> tuple[list[int], float]:
    """The same by a plain loop, which stops at the first known line above the threshold."""
    known: list[list[str]] = []
    accepted = []
    begin = time.process_time()
    for place, line in enumerate(lines):
        tokens = rouge_tokens(line, None)
        if all(_score_lcs(tokens, each).fmeasure <= 0.7 for each in known):
            accepted.append(place)
            known.append(tokens)
    return accepted, time.process_time() - begin


def real_instructions(lines: Sequence[str]) -> dict[str, Any]:
    reference, loop_s = judged_by_rouge_score(lines)
    ours, as_rouge_score, ours_s = screened(lines, "rouge_score")
    default, rejected, default_s = screened(lines, "unicode")
    differences = []
    for place in sorted(set(ours) ^ set(default)):
        nearest, score = (rejected if place in rejected else as_rouge_score)[place]
        differences.append(
            {
                "line": place + 1,
                "rejected_by": "unicode" if place in rejected else "rouge_score",
                "score": score,
                "text": lines[place],
                "nearest": lines[int(nearest)],
            }
        )
    return {
        "lines": len(lines), "reference_accepted": len(reference), "ours_accepted": len(ours),
        "same": ours == reference, "rouge_score_s": loop_s, "ours_s": ours_s,
        "default_accepted": len(default), "default_s": default_s, "differences": differences,
    }  # fmt: skip


def draw(results: dict[str, Any], path: Path) -> None:
    """One picture of how costs grow: ours as measured at each size, the others from their cost a pair."""
    rows, pairs = results["sizes"], {
        "rapidfuzz, every pair": results["rapidfuzz"]["rapidfuzz_us"] / results["sizes"][-1]["tasks"],
        "rouge_score, every pair": results["rouge_score"]["strings_s_a_pair"] * 1e6,
    }  # fmt: skip
    points = [{"tasks": row["tasks"], "value": row["batch_us_0.7"], "what": "here, in batches"} for row in rows]
    points += [{"tasks": row["tasks"], "value": row["single_us_0.7"], "what": "here, one by one"} for row in rows]
    points += [
        {"tasks": row["tasks"], "value": each * row["tasks"], "what": what}
        for row in rows
        for what, each in pairs.items()
    ]
    log = {"type": "log"}
    chart = {
        "width": 560, "height": 300, "data": {"values": points}, "mark": {"type": "line", "point": True},
        "encoding": {
            "x": {"field": "tasks", "type": "quantitative", "scale": log, "title": "tasks in the pool"},
            "y": {"field": "value", "type": "quantitative", "scale": log, "title": "microseconds of CPU a verdict"},
            "color": {"field": "what", "type": "nominal", "title": None},
        },
    }  # fmt: skip
    path.write_text(vl_convert.vegalite_to_svg(chart), encoding="utf-8")


def machine() -> dict[str, Any]:
    info = Path("/proc/cpuinfo")
    lines = info.read_text().splitlines() if info.exists() else []
    models = [line.split(":")[1].strip() for line in lines if line.startswith("model name")]
    versions = {}
    for package in ("numpy", "numba", "rapidfuzz", "rouge-score"):
        try:
            versions[package] = version(package)
        except PackageNotFoundError:
            versions[package] = "missing"
    return {
        "cores": os.cpu_count(), "cpu": models[0] if models else platform.processor(), "load": os.getloadavg()[0],
        "python": platform.python_version(), **versions,
    }  # fmt: skip


def print_sizes(rows: Sequence[dict[str, Any]]) -> None:
    print(f"\nOne candidate against a pool, microseconds (a batch of {BATCH} in one go / one by one)")
    print(f"{'tasks':>9} {'words':>7} {'above 0.7':>14} {'above 0.5':>14} {'nearest':>9} {'build s':>8} {'open s':>7} "
          f"{'1st ask s':>9} {'bytes/task':>10} {'memory MB':>9}")  # fmt: skip
    for row in rows:
        costs = [f"{row[f'batch_us_{cutoff}']:.1f} / {row[f'single_us_{cutoff}']:.1f}" for cutoff in CUTOFFS]
        print(f"{row['tasks']:>9,} {row['words']:>7,} {costs[0]:>14} {costs[1]:>14} {row['nearest_us']:>9.0f} "
              f"{row['build_s']:>8.2f} {row['open_s']:>7.2f} {row['first_answer_s']:>9.2f} "
              f"{row['bytes_a_task']:>10.0f} {row['memory_mb']:>9,.0f}")  # fmt: skip


def print_real(real: dict[str, Any]) -> None:
    print(f"\n{real['lines']:,} real instructions, screened in order at 0.7")
    print(f"  rouge_score loop         {real['reference_accepted']:>6,} accepted  {real['rouge_score_s']:>8.2f} s")
    print(f"  ours, as rouge_score     {real['ours_accepted']:>6,} accepted  {real['ours_s']:>8.2f} s  "
          f"{'identical list' if real['same'] else 'DIFFERENT LIST'}")  # fmt: skip
    print(f"  ours, unicode and exact  {real['default_accepted']:>6,} accepted  {real['default_s']:>8.2f} s  "
          f"{len(real['differences'])} decided differently:")  # fmt: skip
    for one in real["differences"][:12]:
        print(f"    {one['line']:>5} rejected by {one['rejected_by']:<11} {one['score']:.16g} {one['text']!r}")
        print(f"{'like':>46} {one['nearest']!r}")
    if len(real["differences"]) > 12:
        print("    ... all of them in novelty.json")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--instructions", type=Path, help=f"real instructions, one a line (default {REAL} if there)")
    parser.add_argument("--sizes", help="pool sizes, separated by commas", default="")
    parser.add_argument("--quick", action="store_true", help="small sizes; under a minute")
    options = parser.parse_args()
    usual = "10000,52000" if options.quick else "10000,52000,200000,1000000"
    sizes = sorted(int(size) for size in (options.sizes or usual).split(","))
    target = 10_000 if options.quick else 52_000
    repeats = 3 if options.quick else 7
    about = machine()
    print(", ".join(f"{name} {value}" for name, value in about.items()))

    begin = time.process_time()
    index_of(generated(6000)).near_duplicate("warm up", "0.7")
    about["compile_or_load_s"] = time.process_time() - begin
    print(f"first use of compiled code, compiling included where it is not cached: {about['compile_or_load_s']:.1f} s")

    texts = generated(max(sizes[-1], 52_000) + BATCH)
    candidates, texts = texts[-BATCH:], texts[:-BATCH]
    rows = []
    for size in sizes:
        row, largest = measure_size(texts[:size], candidates, repeats)
        rows.append(row)
    print_sizes(rows)

    rapidfuzz = brute_force(largest, texts[: sizes[-1]], candidates)
    faster = rapidfuzz["rapidfuzz_us"] / rapidfuzz["ours_us"]
    print(f"\n{BATCH} candidates against {sizes[-1]:,} tasks, microseconds a candidate: rapidfuzz cdist "
          f"{rapidfuzz['rapidfuzz_us']:,.0f}, ours {rapidfuzz['ours_us']:.1f} (first time "
          f"{rapidfuzz['ours_first_us']:.1f}): {faster:,.0f} times faster, "
          f"{'same verdicts' if rapidfuzz['same_verdicts'] else 'DIFFERENT VERDICTS'}")  # fmt: skip

    rouge = rouge_loop(texts[:1000], candidates[:4])
    pool = index_of(texts[:52_000])
    one_us = seconds(lambda: [pool.near_duplicate(text, "0.7") for text in candidates], repeats) / BATCH * 1e6
    plain = {size: without_numba(texts[:size], candidates) for size in (52_000, 1_000_000) if size <= sizes[-1]}
    for size, plain_us in plain.items():
        print(f"\none candidate against {size:,} tasks without the extra `large`: {plain_us / 1e3:,.1f} ms")
    print(f"\none candidate against 52,000 tasks: ours, asked alone {one_us:.1f} us; rouge_score scaled from "
          f"{rouge['pairs']:,} pairs")  # fmt: skip
    for name, label in (
        ("strings", "scorer.score on strings (Self-Instruct)"),
        ("tokens", "on tokens made before (Alpaca)"),
    ):
        loop_us = rouge[f"{name}_s_a_pair"] * 52_000 * 1e6
        rouge[f"{name}_times_faster"] = loop_us / one_us
        print(f"  {label:<40} {loop_us / 1e6:.2f} s: ours is {loop_us / one_us:,.0f} times faster")
    rouge["ours_us_at_52000"] = one_us

    grown = growth(target, generated(target + target // 2, copies=0.3, seed=2))
    print(f"\ngrowth to {grown['accepted']:,} tasks in rounds of {ROUND}, {grown['rejected']:,} near duplicates "
          f"rejected on the way: {grown['seconds']:.1f} s")  # fmt: skip

    results: dict[str, Any] = {
        "machine": about,
        "sizes": rows,
        "rapidfuzz": rapidfuzz,
        "rouge_score": rouge,
        "growth": grown,
        "without_numba_us": {str(size): plain_us for size, plain_us in plain.items()},
    }
    path = options.instructions or REAL
    if path.exists():
        lines = path.read_text(encoding="utf-8").splitlines()
        real = real_instructions(lines[:1500] if options.quick else lines)
        results["real"] = real
        print_real(real)
    else:
        print(f"\nno real instructions: {path} is missing")
    RESULTS.mkdir(exist_ok=True)
    for one in results.get("real", {}).get("differences", []):  # the file's own texts stay where they are
        del one["text"], one["nearest"]
    (RESULTS / "novelty.json").write_text(json.dumps(results, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
    draw(results, FIGURE)
    print(f"\nnumbers in {RESULTS / 'novelty.json'}, a picture of them in {FIGURE}")


if __name__ == "__main__":
    main()
