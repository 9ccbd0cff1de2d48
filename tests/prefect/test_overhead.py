"""What a flow costs beside `generate`; `benchmarks/prefect_overhead.py` measures it at length."""

from __future__ import annotations

import subprocess
import sys
import time
from pathlib import Path

import pytest

from selfinstruct.store.reading import status
from tests.builders import ROOT
from tests.prefect.conftest import MODEL_KEY
from tests.prefect.serving import Prefect, model_server

pytestmark = [pytest.mark.worker, pytest.mark.timeout(300), pytest.mark.filterwarnings("default")]

FLOW = """
import asyncio, sys
import flows
from flows.grow import GrowConfig, grow
asyncio.run(grow(GrowConfig(pool=sys.argv[1], base_url=[sys.argv[2]], model="offline", target=160)))
"""
START_S = 20.0
"""What Prefect may need to be imported and to make a run, on a busy machine."""


def test_a_flow_takes_hardly_longer_than_generate_and_little_of_prefects_database(
    prefect: Prefect, pools: Path
) -> None:
    def seconds(*command: str) -> float:
        started = time.monotonic()
        environment = {**prefect.environment, "OPENAI_API_KEY": MODEL_KEY}
        subprocess.run([sys.executable, *command], check=True, cwd=ROOT, env=environment, capture_output=True)
        return time.monotonic() - started

    with model_server("--latency", "fixed:1", key=MODEL_KEY) as url:
        options = ["--base-url", url, "--model", "offline", "--target", "160"]
        plain_s = seconds("-m", "selfinstruct", "generate", "--pool", str(pools / "plain"), *options)
        before = prefect.settled(), prefect.task_runs()
        flow_s = seconds("-c", FLOW, str(pools / "flow"), url)
        grew, runs = prefect.settled() - before[0], prefect.task_runs() - before[1]
    assert status(pools / "flow")["requests"] > 350
    print(f"generate {plain_s:.1f} s, as a flow {flow_s:.1f} s; {runs} task runs, {grew / runs / 1e3:.1f} kB each")
    assert flow_s < 1.15 * plain_s + START_S
    assert runs >= 20
    assert grew / runs < 20_000
