"""How long it takes to merge ten pools into one, and then once more with nothing new. Prints a table.

    python benchmarks/merge.py                  100,000 tasks in all
    python benchmarks/merge.py --tasks N        another size: a million takes 15 GB of disk

The pools are made up: words drawn at random, with requests, answers, rejections and rows like those of a run.
"""

from __future__ import annotations

import argparse
import os
import platform
import resource
import sys
import tempfile
import time
from pathlib import Path

from selfinstruct.runner.merge import merge
from tests.pools import large_pool

POOLS = 10


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--tasks", type=int, default=100_000)
    parser.add_argument("--work", type=Path, help="a folder for the pools, which are kept and used again")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as temporary:
        work = options.work or Path(temporary)
        pools = [work / f"site{number}" for number in range(1, POOLS + 1)]
        for number, pool in enumerate(pools, 1):
            if not pool.exists():
                large_pool(pool, options.tasks // POOLS, number)
        print(f"{platform.machine()}, {os.cpu_count()} cores, {options.tasks:,} tasks of {POOLS} pools")
        for what in ("all of them", "nothing new"):
            began, began_cpu = time.monotonic(), time.process_time()
            merge(pools, work / "merged", print)
            took, cpu = time.monotonic() - began, time.process_time() - began_cpu
            print(f"{what:<12} {took:8.1f} s   {cpu:8.1f} s of CPU   {cpu / options.tasks * 1e6:6.0f} µs a task")
        size = (work / "merged" / "pool.db").stat().st_size
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
        print(f"peak memory {peak:,.0f} MB, merged pool {size / 1e9:.2f} GB")
    return 0


if __name__ == "__main__":
    sys.exit(main())
