"""How well a run keeps a server busy, what it costs in CPU and in memory. Prints a table with the machine's name.

    python benchmarks/load.py            busy share and CPU a request: about three minutes
    python benchmarks/load.py --memory   also a run of 100,000 requests: about ten minutes more

The model is the built-in one with `--style words`, in a process of its own, with 64 slots and lognormal latency.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import re
import resource
import subprocess
import sys
import tempfile
import threading
import time
import urllib.request
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

SLOTS = 64
ROUND_SIZE = 16


@contextmanager
def server(*options: str) -> Iterator[str]:
    """The offline model in a process of its own; its base URL."""
    command = [sys.executable, "-m", "selfinstruct", "offline-server", "--port", "0", "--style", "words", *options]
    process = subprocess.Popen(command, stderr=subprocess.PIPE, text=True)
    assert process.stderr is not None
    try:
        url = next(found[0] for line in process.stderr if (found := re.search(r"http://\S+/v1", line)))
        threading.Thread(target=process.stderr.read, daemon=True).start()
        yield url
    finally:
        process.terminate()
        process.wait()


def machine() -> str:
    """What this is measured on."""
    info = Path("/proc/cpuinfo")
    lines = info.read_text().splitlines() if info.exists() else []
    names = [line.split(":")[1].strip() for line in lines if line.startswith("model name")]
    name = names[0] if names else platform.processor() or platform.machine()
    return f"{name}, {os.cpu_count()} cores, Python {platform.python_version()}; {SLOTS} slots"


def stats(url: str, since_s: float = 0.0) -> dict[str, Any]:
    """What the server says of itself, for the last seconds."""
    query = f"?since={since_s:.2f}" if since_s else ""
    with urllib.request.urlopen(url.removesuffix("/v1") + "/stats" + query) as answer:
        return dict(json.load(answer))


def measured(command: Sequence[str]) -> tuple[float, float]:
    """(CPU seconds, wall seconds) of a process."""
    started = time.monotonic()
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    _, status, usage = os.wait4(process.pid, 0)
    if os.waitstatus_to_exitcode(status):
        raise SystemExit(f"failed: {' '.join(command)[:200]}")
    return usage.ru_utime + usage.ru_stime, time.monotonic() - started


def generate(pool: Path, url: str, target: int, *more: str) -> list[str]:
    """The command that grows a pool against this server."""
    return [
        sys.executable, "-m", "selfinstruct", "generate", "--pool", str(pool), "--base-url", url, "--model", "offline",
        "--target", str(target), "--concurrency", str(SLOTS), "--round-size", str(ROUND_SIZE), "--json", *more,
    ]  # fmt: skip


GROW = """
import asyncio, sys, time
from pathlib import Path
from selfinstruct.config.loading import load
from selfinstruct.runner.run import run

pool, url, target = sys.argv[1:]
options = {{"pool": Path(pool), "base_url": [url], "model": "offline", "target": int(target), "concurrency": {slots},
            "round_size": {size}}}
tell = lambda line: print(time.time(), line, flush=True)
asyncio.run(run(load(None, options), tell))
"""


def busy(requests: int) -> float:
    """The share of the slots that work, after the first two rounds and before the target is in sight."""
    target = requests * 2 // 5
    with tempfile.TemporaryDirectory() as folder, server("--slots", str(SLOTS), "--latency", "lognormal:1,0.5") as url:
        code = GROW.format(slots=SLOTS, size=ROUND_SIZE)
        command = [sys.executable, "-c", code, f"{folder}/p", url, str(target)]
        process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
        assert process.stdout is not None
        begun = share = 0.0
        for line in process.stdout:
            found = re.search(r"round (\d+): .*?(\d+) of [\d,]+ tasks finished", line)
            if found and int(found[1]) == 1:
                begun = time.time()
            if found and begun and int(found[2]) < 0.8 * target and time.time() - begun > 1:
                share = stats(url, time.time() - begun)["window"]["busy_share"]
        process.wait()
        return share


BARE = """
import asyncio, sys
import openai, httpx2

async def main(url, count):
    limits = httpx2.Limits(max_connections=64, max_keepalive_connections=64)
    client = openai.AsyncOpenAI(base_url=url, api_key="none", max_retries=0,
                                http_client=openai.DefaultAioHttpClient(limits=limits))
    gate = asyncio.Semaphore(64)
    system = {"role": "system", "content": "Answer. " * 80}
    async def one(number):
        async with gate:
            asked = [system, {"role": "user", "content": f"Tell {number}."}]
            await client.chat.completions.create(
                model="offline", seed=number, temperature=0.3, max_tokens=256, messages=asked)
    await asyncio.gather(*(one(number) for number in range(count)))
    await client.close()

asyncio.run(main(sys.argv[1], int(sys.argv[2])))
"""


def cpu(requests: int) -> tuple[float, float]:
    """CPU milliseconds a request: of the whole pipeline, and of a bare loop over the same client, in the same run."""
    with tempfile.TemporaryDirectory() as folder, server() as url:
        ours, _ = measured(generate(Path(folder) / "p", url, requests * 2 // 5))
        sent = stats(url)["requests"]
        bare, _ = measured([sys.executable, "-c", BARE, url, str(sent)])
    return 1000 * ours / sent, 1000 * bare / sent


def memory(requests: int) -> tuple[float, int, float]:
    """(bytes a task that a long run grows by, tasks, MB at its end): the slope over the second half."""
    with tempfile.TemporaryDirectory() as folder, server() as url:
        process = subprocess.Popen(
            generate(Path(folder) / "p", url, requests * 2 // 5),
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            text=True,
        )
        assert process.stderr is not None
        seen: list[tuple[int, int]] = []
        for line in process.stderr:
            found = re.search(r"(\d+) of [\d,]+ tasks finished", line)
            if found:
                pages = Path(f"/proc/{process.pid}/statm").read_text().split()[1]
                seen.append((int(found[1]), int(pages) * resource.getpagesize()))
        process.wait()
    half = [point for point in seen if point[0] > seen[-1][0] / 2]
    slope = (half[-1][1] - half[0][1]) / max(1, half[-1][0] - half[0][0])
    return slope, seen[-1][0], seen[-1][1] / 1e6


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--requests", type=int, default=3000)
    parser.add_argument("--memory", action="store_true", help="also a run of 100,000 requests")
    options = parser.parse_args()
    print(f"{machine()}; latency lognormal of mean 1 s and sigma 0.5, recipe chat, round size {ROUND_SIZE}")
    print(f"busy share of the slots           {busy(options.requests):.1%}")
    ours, bare = cpu(options.requests)
    print(
        f"CPU a request, whole pipeline     {ours:.2f} ms   bare client loop: {bare:.2f} ms   ratio {ours / bare:.2f}"
    )
    if options.memory:
        slope, tasks, total = memory(100_000)
        print(
            f"memory growth over a long run     {slope:.0f} bytes a task   {tasks:,} tasks, {total:.0f} MB at the end"
        )


if __name__ == "__main__":
    main()
