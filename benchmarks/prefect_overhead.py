"""What a run costs as a flow of Prefect, beside `generate`: wall time, and the growth of Prefect's database.

    python benchmarks/prefect_overhead.py [--requests 3000]     about five minutes

Both grow a pool of the same size against the built-in model with a second of latency, 32 requests at once. The flow
runs in a process of its own against a real Prefect server on loopback, which is started before and not counted. The
exit code is 1 if the flow costs more than the bounds below.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import socket
import sqlite3
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from load import server

MOST_WALL_TIME, MOST_BYTES_A_TASK_RUN, MOST_BYTES = 0.15, 20_000, 8_000_000
START_S = 300.0

ROOT = Path(__file__).resolve().parents[1]
FLOW = """
import asyncio, sys, time
import selfinstruct.scheduling
started = time.monotonic()
from selfinstruct.scheduling.grow import GrowConfig, grow
pool, url, target = sys.argv[1:]
asyncio.run(grow(GrowConfig(pool=pool, base_url=[url], model="offline", target=int(target))))
print("seconds", time.monotonic() - started)
"""


@contextmanager
def prefect(home: Path) -> Iterator[dict[str, str]]:
    """A Prefect server on an empty database; the environment that leads to it."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    url = f"http://127.0.0.1:{port}/api"
    environment = {**os.environ, "PREFECT_HOME": str(home), "PREFECT_SERVER_ANALYTICS_ENABLED": "false",
                   "DO_NOT_TRACK": "1", "PYTHONPATH": str(ROOT)}  # fmt: skip
    command = [sys.executable, "-m", "prefect", "server", "start", "--host", "127.0.0.1", "--port", str(port)]
    process = subprocess.Popen(command, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        _wait_for(process, url)
        yield {**environment, "PREFECT_API_URL": url}
    finally:
        process.terminate()
        process.wait()


def _wait_for(server: subprocess.Popen[bytes], url: str) -> None:
    until = time.monotonic() + START_S
    while time.monotonic() < until:
        if server.poll() is not None:
            raise SystemExit(f"the Prefect server ended with exit code {server.returncode}")
        with suppress(OSError), urllib.request.urlopen(f"{url}/health", timeout=2):
            return
        time.sleep(0.3)
    raise SystemExit(f"the Prefect server does not answer after {START_S:.0f} s")


def size(home: Path) -> int:
    """Bytes of the pages in use in Prefect's database, with what is still in its log."""
    connection = sqlite3.connect(home / "prefect.db", timeout=60)
    try:
        pages, free, each = (
            connection.execute(f"PRAGMA {one}").fetchone()[0] for one in ("page_count", "freelist_count", "page_size")
        )
    finally:
        connection.close()
    return int((pages - free) * each)


def task_runs(home: Path) -> int:
    """How many task runs Prefect knows."""
    connection = sqlite3.connect(home / "prefect.db")
    try:
        return int(connection.execute("SELECT COUNT(*) FROM task_run").fetchone()[0])
    finally:
        connection.close()


def settled(home: Path) -> int:
    """The database's size once Prefect has written what it was told."""
    before, now = -1, size(home)
    while before != now:
        time.sleep(5)
        before, now = now, size(home)
    return now


def measure(requests: int, latency_s: float = 1.0) -> dict[str, float]:
    """The figures of one `generate` and one flow, one after the other."""
    target = requests * 2 // 5
    with tempfile.TemporaryDirectory() as folder, server("--latency", f"fixed:{latency_s}") as url:
        generate = [sys.executable, "-m", "selfinstruct", "generate", "--pool", f"{folder}/a", "--base-url", url,
                    "--model", "offline", "--target", str(target), "--json"]  # fmt: skip
        started = time.monotonic()
        grown = subprocess.run(generate, check=True, cwd=ROOT, capture_output=True, text=True)
        plain_s = time.monotonic() - started
        home = Path(folder) / "prefect"
        home.mkdir()
        with prefect(home) as environment:
            before = settled(home)
            started = time.monotonic()
            command = [sys.executable, "-c", FLOW, f"{folder}/b", url, str(target)]
            subprocess.run(command, check=True, cwd=ROOT, env=environment, capture_output=True, text=True)
            flow_s = time.monotonic() - started
            grew = settled(home) - before
            tasks = task_runs(home)
    return {
        "requests": json.loads(grown.stdout)["requests"], "generate_s": plain_s, "flow_s": flow_s,
        "more_wall_time": flow_s / plain_s - 1, "task_runs": tasks, "database_bytes": grew,
        "bytes_a_task_run": grew / tasks,
    }  # fmt: skip


def main() -> int:
    """Measure and print; 1 if a bound is passed."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--requests", type=int, default=3000)
    found = measure(parser.parse_args().requests)
    print(f"{os.cpu_count()} cores, Python {platform.python_version()}")
    print(f"requests                {found['requests']:>10,.0f}")
    print(f"generate                {found['generate_s']:>10.1f} s")
    print(f"as a flow               {found['flow_s']:>10.1f} s   {found['more_wall_time']:+.1%}")
    print(f"task runs               {found['task_runs']:>10,.0f}")
    grew, each = found["database_bytes"] / 1e6, found["bytes_a_task_run"] / 1e3
    print(f"Prefect's database      {grew:>+10.2f} MB  {each:.1f} kB a task run")
    passed = [
        f"{name} {found[name]:,.2f} is more than {bound:,.2f}"
        for name, bound in (
            ("more_wall_time", MOST_WALL_TIME), ("bytes_a_task_run", MOST_BYTES_A_TASK_RUN),
            ("database_bytes", MOST_BYTES),
        )
        if found[name] > bound
    ]  # fmt: skip
    for line in passed:
        print(line, file=sys.stderr)
    return int(bool(passed))


if __name__ == "__main__":
    sys.exit(main())
