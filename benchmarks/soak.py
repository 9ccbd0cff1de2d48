"""The long tests, with their full counts: faults, an outage, a rate limit, a long run, kills, budgets.

    python benchmarks/soak.py [PART ...]     all parts take about half an hour; the output is kept in results/soak.txt

Each part is a process of its own against the built-in model behind a real server, and says what it found.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from load import SLOTS, generate, machine, memory, server, stats

RESULTS = Path(__file__).parent / "results"
BUSY = ("--slots", str(SLOTS), "--latency", "lognormal:1,0.5")


def one_run(options: tuple[str, ...], requests: int, *more: str) -> tuple[float, dict[str, Any], bytes, str]:
    """(wall seconds, the server's figures, exported bytes, what was told) of a run against such a server."""
    with tempfile.TemporaryDirectory() as folder, server(*options) as url:
        pool = Path(folder) / "p"
        started = time.monotonic()
        found = subprocess.run(
            generate(pool, url, requests * 2 // 5, *more),
            check=True,
            capture_output=True,
            text=True,
        )
        wall = time.monotonic() - started
        figures = {**stats(url), "status": json.loads(found.stdout)}
        export = [sys.executable, "-m", "selfinstruct", "export", str(pool)]
        subprocess.run(export, check=True, capture_output=True)
        data = b"".join(path.read_bytes() for path in sorted((pool / "export").glob("*.jsonl")))
        return wall, figures, data, found.stderr


def faults() -> str:
    """10 % 429, 5 % 500 and 1 % cut on a busy server, against the same run without."""
    plain, _, data, _ = one_run(BUSY, 1000)
    faulty, figures, same, _ = one_run((*BUSY, "--fault", "429=10%:1,500=5%,cut=1%"), 1000)
    return (
        f"{figures['answered']:,} answers and {sum(figures['faults'].values()):,} faults in {faulty:.1f} s, "
        f"without faults {plain:.1f} s: {faulty / plain:.2f} times; same exported bytes: {data == same}; "
        f"asked again after an answer: {figures['asked_again']['after_answer']}"
    )


def outage() -> str:
    """Two minutes in the middle of a run during which the server refuses connections."""
    with tempfile.TemporaryDirectory() as folder, server(*BUSY, "--outage", "15:120") as url:
        process = subprocess.Popen(
            generate(Path(folder) / "p", url, 1200), stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True
        )
        assert process.stderr is not None
        said: list[str] = []
        thread = threading.Thread(target=lambda: said.extend(process.stderr or ()))
        thread.start()
        code = process.wait()
        thread.join()
        figures = stats(url)
    share = figures["outage"] / figures["requests"]
    aloud = next((line.strip() for line in said if "again" in line or "wait" in line), "nothing")
    return (
        f"exit {code}; {figures['outage']} of {figures['requests']:,} requests were sent into the outage "
        f"({share:.2%}, those in flight when it began included); said: {aloud!r}"
    )


def rate_limit() -> str:
    """A limit of a tenth of what could be sent, kept by us and, in a second run, found out from the server's 429s."""
    per_minute = SLOTS * 60 // 10
    with tempfile.TemporaryDirectory() as folder:
        config = Path(folder) / "c.toml"
        config.write_text(f"[model]\nrequests_per_minute = {per_minute}\n")
        wall, figures, data, _ = one_run(BUSY, 1000, "--config", str(config))
        most = figures["most_requests_a_minute"]
    blind, seen, same, _ = one_run((*BUSY, "--rate-limit", str(per_minute)), 1000)
    return (
        f"limit {per_minute} a minute: at most {most} were sent in any minute ({most / per_minute:.1%}), "
        f"{wall:.0f} s in all; limit found out from the server: {seen['rate_limited']} of {seen['requests']:,} turned "
        f"away, {blind:.0f} s; same exported bytes: {data == same}"
    )


def long_run() -> str:
    """A run of 100,000 requests."""
    slope, tasks, total = memory(100_000)
    return f"{slope:.0f} bytes a task over the second half of {tasks:,} tasks, {total:.0f} MB at the end"


def pytest(module: str, name: str, **environment: str) -> str:
    """A test with larger counts. Raises SystemExit with its output where it did not run, or did not pass."""
    found = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-m", "", "-k", name, "-o", "timeout=7200", module], check=False,
        cwd=Path(__file__).parents[1], env={**os.environ, **environment}, stdout=subprocess.PIPE, text=True,
    )  # fmt: skip
    lines = found.stdout.splitlines() or ["nothing"]
    if found.returncode or not is_pass(lines[-1]):
        sys.exit(f"{found.stdout}\n{name}: not passed (exit code {found.returncode})")
    return f"{', '.join(f'{key}={value}' for key, value in environment.items())}: {lines[-1]}"


def is_pass(line: str) -> bool:
    """Whether pytest's last line tells of tests that passed, and of none that failed or was skipped."""
    counts = {word: int(number) for number, word in re.findall(r"(\d+) (\w+)", line)}
    return counts.get("passed", 0) > 0 and counts.keys().isdisjoint({"failed", "error", "errors", "skipped"})


def llama_cpp() -> str:
    """A pool grown by a real model of half a billion parameters through a real llama.cpp, which is built first."""
    models = Path(os.environ.get("MODELS", Path.home() / ".cache" / "selfinstruct-test-models"))
    tests = Path(__file__).parents[1] / "tests" / "models"
    subprocess.run([tests / "build_llama.sh", models], check=True)
    subprocess.run([sys.executable, tests / "fetch.py", models, "qwen"], check=True)
    where = {"REAL_MODELS": str(models), "LLAMA_SERVER": str(models / "llama-server")}
    return pytest("tests/models/test_models.py", "llama_cpp", **where)


PARTS: dict[str, Callable[[], str]] = {
    "faults": faults,
    "outage": outage,
    "rate_limit": rate_limit,
    "budgets": lambda: pytest("tests/test_budget.py", "random_budgets", BUDGETS="50"),
    "kills": lambda: pytest("tests/test_durability.py", "killed_at_random_moments_of_a_run_with_faults", KILLS="200"),
    "kills_batches": lambda: pytest("tests/test_batches.py", "killed_at_any_moment", KILLS="200"),
    "kills_all_steps": lambda: pytest("tests/test_samples.py", "killed_with_all_steps_on", KILLS="20"),
    "kills_all_sources": lambda: pytest("tests/test_turns.py", "four_sources_with_quotas_and_turns", KILLS="20"),
    "long_run": long_run,
    "llama_cpp": llama_cpp,
    "vllm_starts": lambda: pytest(
        "tests/vllm/test_real_vllm.py", "starts_that_are_stopped_at_any_moment", VLLM_STARTS="100"
    ),
}


def main() -> None:
    """Run the parts and keep what they found."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("parts", nargs="*", choices=[*PARTS, []], metavar="PART", help=", ".join(PARTS))
    wanted = parser.parse_args().parts or list(PARTS)
    lines = [machine()]
    print(lines[0], flush=True)
    for name in wanted:
        started = time.monotonic()
        lines.append(f"{name:<11} {PARTS[name]()} [{time.monotonic() - started:.0f} s]")
        print(lines[-1], flush=True)
    if wanted == list(PARTS):
        RESULTS.mkdir(exist_ok=True)
        (RESULTS / "soak.txt").write_text("\n".join(lines) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
