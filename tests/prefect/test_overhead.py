"""What a flow costs beside `generate`; `benchmarks/prefect_overhead.py` measures it at length."""

from __future__ import annotations

import subprocess
import sys
from datetime import datetime
from pathlib import Path

import pytest

from selfinstruct.store.reading import status
from tests.builders import ROOT, rows
from tests.prefect.conftest import MODEL_KEY
from tests.prefect.serving import Prefect, model_server

pytestmark = [pytest.mark.worker, pytest.mark.timeout(300), pytest.mark.filterwarnings("default")]

FLOW = """
import asyncio, sys
import flows
from flows.grow import GrowConfig, grow
config = GrowConfig(pool=sys.argv[1], base_url=[sys.argv[2]], model="offline", target=160, file=sys.argv[3])
asyncio.run(grow(config))
"""


def seconds(pool: Path) -> float:
    """How long a run took, from its first request to its end."""
    ((first, last),) = rows(pool, "SELECT MIN(received_at), MAX(received_at) FROM completions")
    return (datetime.fromisoformat(last) - datetime.fromisoformat(first)).total_seconds()


def test_a_flow_takes_hardly_longer_than_generate_and_little_of_prefects_database(
    prefect: Prefect, pools: Path
) -> None:
    def run(*command: str) -> None:
        environment = {**prefect.environment, "OPENAI_API_KEY": MODEL_KEY}
        subprocess.run([sys.executable, *command], check=True, cwd=ROOT, env=environment, capture_output=True)

    with model_server("--latency", "fixed:1", key=MODEL_KEY) as url:
        file = pools / "small-rounds.toml"  # many, so that there is something to measure
        file.write_text("round_size = 2\nlookahead = 8\n")
        options = ["--base-url", url, "--model", "offline", "--target", "160", "--config", str(file)]
        run("-m", "selfinstruct", "generate", "--pool", str(pools / "plain"), *options)
        before = prefect.settled(), prefect.task_runs()
        run("-c", FLOW, str(pools / "flow"), url, str(file))
        grew, runs = prefect.settled() - before[0], prefect.task_runs() - before[1]
    assert status(pools / "flow")["requests"] > 350
    plain_s, flow_s = seconds(pools / "plain"), seconds(pools / "flow")
    print(f"generate {plain_s:.1f} s, as a flow {flow_s:.1f} s; {runs} task runs, {grew / runs / 1e3:.1f} kB each")
    assert flow_s < 1.5 * plain_s + 10  # at length it is a few percent; this machine may be busy
    assert runs >= 100
    assert grew / runs < 22_000  # in a short run the parts that each run has weigh more
