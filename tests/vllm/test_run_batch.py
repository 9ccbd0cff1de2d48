"""Batches as files of a folder, answered by the real `vllm run-batch`."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.builders import rows
from tests.processes import running, wait_until
from tests.vllm.serving import ARGS, HERE, MODEL, STAGES

if "SELFINSTRUCT_VLLM_PYTHON" not in os.environ:
    pytest.skip("REAL vLLM NOT TESTED: make test-vllm does", allow_module_level=True)


@pytest.mark.timeout(600)
def test_a_run_goes_on_with_what_vllm_answers_to_its_files(tmp_path: Path, models: Path) -> None:
    pool, folder, config = tmp_path / "p", tmp_path / "batches", tmp_path / "c.toml"
    config.write_text(
        f'round_size = 2\n[model]\nname = "{MODEL}"\nbase_url = "http://127.0.0.1:9/v1"\n'
        "[recipe]\ntasks_per_request = 2\ndemonstrations = 2\n"
        f'{STAGES["chat"]}[batch]\nenabled = true\nfolder = "{folder}"\nwait_s = 0.5\n',
        encoding="utf-8",
    )
    command = [sys.executable, "-m", "selfinstruct", "generate", str(pool), "--config", str(config), "--target", "5"]
    with running(command) as process:
        wait_until(lambda: any(folder.glob("in-*.jsonl")), process)
        (asked,) = folder.glob("in-*.jsonl")
        lines = [json.loads(line) for line in asked.read_text("utf-8").splitlines()]
        results = folder / asked.name.replace("in-", "out-")
        vllm = [os.environ["SELFINSTRUCT_VLLM_PYTHON"], str(HERE / "serve.py"), "run-batch", "-i", str(asked)]
        served = ["--model", str(models / "chat"), "--served-model-name", MODEL, *ARGS]
        done = subprocess.run([*vllm, "-o", str(results), *served], capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr[-3000:]
        wait_until(lambda: len(list(folder.glob("in-*.jsonl"))) > 1, process)
    answered = rows(pool, "SELECT kind, prompt_tokens, completion_tokens FROM completions")
    assert len(answered) == len(lines)
    assert {kind for kind, _, _ in answered} == {"answer"}
    assert all(prompt > 0 and completion > 0 for _, prompt, completion in answered)
