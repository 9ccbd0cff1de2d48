"""How well a run keeps a server busy, what it costs in CPU and in memory. Prints a table with the machine's name.

    python benchmarks/load.py [--instructions FILE]   busy share and CPU a request: about five minutes
    python benchmarks/load.py --memory                also a run of 100,000 requests: about ten minutes more

The server is `replay_server.py`: it answers seven instructions at a time, from FILE (one a line, as a model wrote them)
or made up of words. CPU is compared with a bare loop over the openai client that asks the
very same questions of the same server, and with one over aiohttp; of each the least of three runs counts.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import random
import re
import resource
import sqlite3
import subprocess
import sys
import tempfile
import threading
import time
import urllib.request
from collections import defaultdict
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from selfinstruct.pool.packed import with_packing

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


@contextmanager
def replaying(instructions: Path, slots: int = 1000, latency_s: float = 0.0) -> Iterator[str]:
    """A server that answers with these instructions; its base URL."""
    command = [
        sys.executable,
        str(Path(__file__).with_name("replay_server.py")),
        str(instructions),
        str(slots),
        str(latency_s),
    ]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    try:
        yield process.stdout.readline().strip()
    finally:
        process.terminate()
        process.wait()


def grown(folder: Path, url: str, target: int, slots: int = SLOTS, *more: str) -> list[str]:
    """The command that grows a pool at default settings against such a server."""
    return [
        sys.executable, "-m", "selfinstruct", "generate", "--pool", str(folder), "--base-url", url, "--model", "replay",
        "--target", str(target), "--concurrency", str(slots), "--min-acceptance", "0", "--json", *more,
    ]  # fmt: skip


def busy(instructions: Path, slots: int, target: int, latency_s: float) -> float | None:
    """The share of the slots that work, from the time that four propose requests a slot were asked to the last one."""
    with tempfile.TemporaryDirectory() as folder, replaying(instructions, slots, latency_s) as url:
        measured(grown(Path(folder) / "p", url, target, slots))
        share = stats(url)["busy_share"]
        return None if share is None else float(share)


BARE = """
import asyncio, json, sys
import aiohttp, httpx2, openai

async def main(url, path, way):
    gate, limit = asyncio.Semaphore(64), 64
    limits = httpx2.Limits(max_connections=limit, max_keepalive_connections=limit)
    client = openai.AsyncOpenAI(base_url=url, api_key="none", max_retries=0,
                                http_client=openai.DefaultAioHttpClient(limits=limits))
    session = aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=limit))

    async def one(line):
        async with gate:
            if way == "openai":
                await client.chat.completions.create(**json.loads(line))
                return
            headers = {"content-type": "application/json"}
            async with session.post(f"{url}/chat/completions", data=line, headers=headers) as got:
                json.loads(await got.read())

    with open(path, "rb") as lines:
        await asyncio.gather(*(one(line) for line in lines))
    await session.close()
    await client.close()

asyncio.run(main(*sys.argv[1:]))
"""


def bodies(pool: Path, out: Path) -> None:
    """Write what a pool asked, as the bodies of requests."""
    found = with_packing(sqlite3.connect(pool / "pool.db")).execute(ASKED)
    with out.open("w", encoding="utf-8") as file:
        for messages, sampling, schema in found:
            form = (
                {"type": "json_schema", "json_schema": {"name": "it", "schema": json.loads(schema)[1]}}
                if schema
                else None
            )
            told = [{"role": role, "content": content} for role, content in json.loads(messages)]
            body = {"model": "replay", "messages": told, **json.loads(sampling)}
            file.write(json.dumps({**body, **({"response_format": form} if form else {})}) + "\n")


ASKED = "SELECT messages, sampling, schema FROM questions WHERE state = 'answered'"
Cost = tuple[float, float]
"""Milliseconds of CPU a request in a long run, and seconds for what a run costs besides."""


def cpu(instructions: Path, target: int) -> dict[str, Cost]:
    """CPU of the whole pipeline, and of bare loops that ask the same: the slope between a short and a longer run."""
    found: dict[str, list[tuple[int, float]]] = defaultdict(list)
    for size in (target // 12, target):
        least: dict[str, float] = defaultdict(lambda: float("inf"))
        for _ in range(3):
            with tempfile.TemporaryDirectory() as folder, replaying(instructions) as url:
                least["pipeline"] = min(least["pipeline"], measured(grown(Path(folder) / "p", url, size))[0])
                sent, asked = int(stats(url)["requests"]), Path(folder) / "asked"
                bodies(Path(folder) / "p", asked)
                for way in ("openai", "aiohttp"):
                    least[way] = min(least[way], measured([sys.executable, "-c", BARE, url, str(asked), way])[0])
        for way, seconds in least.items():
            found[way].append((sent, seconds))
    slopes = {way: (then - first) / (more - some) for way, ((some, first), (more, then)) in found.items()}
    return {way: (1000 * slope, found[way][0][1] - slope * found[way][0][0]) for way, slope in slopes.items()}


def made_up(path: Path) -> Path:
    """Instructions of words, three in four of them new."""
    draw, words = (
        random.Random(1),
        [f"{a}{b}" for a in "bdfgklmnprst" for b in ("al", "en", "ir", "os", "um", "ela", "omi")],
    )
    lines = ["Write a " + " ".join(draw.choices(words, k=draw.randint(8, 16))) + "." for _ in range(6000)]
    path.write_text("\n".join(line if place % 4 else lines[place // 2] for place, line in enumerate(lines)), "utf-8")
    return path


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
    parser.add_argument("--instructions", type=Path, help="a file with an instruction a line, in the order of a model")
    parser.add_argument("--target", type=int, default=1200, help="tasks of the longer run")
    parser.add_argument("--memory", action="store_true", help="also a run of 100,000 requests")
    options = parser.parse_args()
    print(machine())
    with tempfile.TemporaryDirectory() as folder:
        instructions = options.instructions or made_up(Path(folder) / "instructions")
        for slots, latency_s in ((64, 1.0), (256, 5.0)):
            share = busy(instructions, slots, options.target, latency_s)
            said = "too few requests" if share is None else f"{share:.1%}"
            print(f"busy share of {slots} slots, answers in {latency_s:g} s on average   {said}", flush=True)
        costs = cpu(instructions, options.target)
        for way, (each_ms, start_s) in costs.items():
            ratio = f"{each_ms / costs['openai'][0]:.2f} times the loop over openai"
            print(f"CPU a request, {way:<9} {each_ms:.2f} ms, {ratio}; {start_s:.1f} s a run besides")
    if options.memory:
        slope, tasks, total = memory(100_000)
        print(f"memory over a long run   {slope:.0f} bytes a task   {tasks:,} tasks, {total:.0f} MB at the end")


if __name__ == "__main__":
    main()
