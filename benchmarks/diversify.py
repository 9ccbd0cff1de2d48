"""What `--diversify auto` brings with a model in a rut: accepted tasks for 1,000 propose requests, with and without.

    python benchmarks/diversify.py [--target N] [--seeds N] [--quirk rut=95%]     a few minutes

The model is the built-in one behind a real server, with the habit that is named. All runs of a pair have the same seed.
"""

from __future__ import annotations

import argparse
import sqlite3
import tempfile
from contextlib import closing
from pathlib import Path

from selfinstruct.config.reading import load
from selfinstruct.llm.offline.quirks import parse_quirks
from selfinstruct.llm.offline.server import OfflineServer
from selfinstruct.runs.run import grow_blocking


def accepted_and_asked(url: str, seed: int, target: int, diversify: str) -> tuple[int, int]:
    """(accepted instructions, answered propose requests) of a run to this target."""
    with tempfile.TemporaryDirectory() as folder:
        pool = Path(folder) / "pool"
        options = {
            "pool": pool, "seed": seed, "target": target, "diversify": diversify, "base_url": [url], "model": "offline",
            "min_acceptance": "0",
        }  # fmt: skip
        outcome = grow_blocking(load(None, options), lambda _: None)
        if outcome.exit_code:
            raise SystemExit(outcome.reason)
        sql = (
            "SELECT (SELECT COUNT(*) FROM tasks WHERE origin = 'generated'), "
            "(SELECT COUNT(*) FROM requests WHERE stage = 'propose' AND candidates IS NOT NULL)"
        )
        with closing(sqlite3.connect(pool / "pool.db")) as connection:
            accepted, asked = connection.execute(sql).fetchone()
        return accepted, asked


def compare(quirk: str, seeds: int, target: int) -> None:
    """Print the figures of each seed, and their means."""
    rates: dict[str, list[float]] = {"off": [], "auto": []}
    with OfflineServer(quirks=parse_quirks(quirk)) as server:
        for seed in range(1, seeds + 1):
            for diversify, found in rates.items():
                accepted, asked = accepted_and_asked(server.base_url, seed, target, diversify)
                found.append(1000 * accepted / asked)
            off, auto = rates["off"][-1], rates["auto"][-1]
            print(f"seed {seed}: {off:,.0f} off, {auto:,.0f} auto ({auto / off - 1:+.0%})", flush=True)
    off, auto = (sum(found) / seeds for found in rates.values())
    print(f"mean of {seeds}: {off:,.0f} off, {auto:,.0f} auto ({auto / off - 1:+.0%})")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--target", type=int, default=350)
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--quirk", default="rut=95%")
    given = parser.parse_args()
    compare(given.quirk, given.seeds, given.target)
