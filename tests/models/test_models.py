"""Real models of some hundred million parameters, served by the real vLLM: structure, sums and bounds, not content."""

from __future__ import annotations

import contextlib
import json
import os
import subprocess
import sys
import urllib.request
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from selfinstruct.checks.echoes import prompt_echo
from selfinstruct.pool.reader import status
from tests.builders import ROOT, rows
from tests.processes import running, wait_until
from tests.vllm.serving import ARGS, HERE

if "REAL_MODELS" not in os.environ:
    pytest.skip("REAL MODELS NOT TESTED: make test-models does", allow_module_level=True)

pytestmark = pytest.mark.timeout(900)
MODELS = Path(os.environ.get("REAL_MODELS", ""))
CONFIG = """
round_size = 4
lookahead = 2
concurrency = 16
[recipe]
name = "{recipe}"
{more}
[model]
backend = "vllm"
name = "{model}"
temperature = 0.7
max_tokens = 500
extra_body = {{min_p = 0.1}}
[vllm]
command = {command}
args = {args}
model = "{folder}"
start_timeout_s = 600
"""
LLAMA_CPP = """
concurrency = 4
[model]
base_url = "http://127.0.0.1:18432/v1"
temperature = 0.8
max_tokens = 500
extra_body = {min_p = 0.1}
"""


def by_vllm(folder: Path, model: str, recipe: str, more: str = "") -> tuple[Path, int, str]:
    """A pool grown by a model that vLLM serves."""
    command = [os.environ["SELFINSTRUCT_VLLM_PYTHON"], str(HERE / "serve.py")]
    args = [*ARGS, "--kv-cache-memory-bytes", "512M"]
    args[args.index("bfloat16")] = "float32"  # not every processor has instructions for the other
    text = CONFIG.format(
        recipe=recipe, more=more, model=model, command=json.dumps(command), args=json.dumps(args),
        folder=MODELS / model,
    )  # fmt: skip
    return grown(folder, text)


def grown(folder: Path, config: str) -> tuple[Path, int, str]:
    """A pool grown by `generate` as a user would call it, its exit code, and what it said."""
    (folder / "c.toml").write_text(config, encoding="utf-8")
    pool = folder / "pool"
    run = [sys.executable, "-m", "selfinstruct", "generate", "--pool", str(pool), "--config", str(folder / "c.toml")]
    bounds = ["--target", "4", "--max-requests", "40", "--min-acceptance", "0"]
    done = subprocess.run([*run, *bounds], cwd=ROOT, capture_output=True, text=True, check=False)
    return pool, done.returncode, done.stderr


def check(pool: Path) -> dict[str, Any]:
    """What holds whatever a model writes; the pool's figures."""
    now = status(pool)
    tasks = now["tasks"] + now["tasks_pending"] + now["tasks_without_instances"]
    ended = tasks + now["instances"] + now["samples"] + now["waiting"]
    assert now["candidates"] == ended + sum(now["rejections"].values())
    prompts = json.loads(rows(pool, "SELECT settings FROM configurations")[0][0])["prompts"]
    seeds = {text for row in rows(pool, SEED_ROWS) for text in row if len(text.split()) >= 5}
    for instruction, given, output in rows(pool, GENERATED_ROWS):
        assert any(map(str.isalnum, output))
        assert not given or any(map(str.isalnum, given))
        assert seeds.isdisjoint({given, output})
        assert not any(prompt_echo(text, prompts) for text in (instruction, given, output))
    return now


SEED_ROWS = "SELECT i.input, i.output FROM instances i JOIN tasks t ON t.id = i.task_id WHERE t.origin = 'seed'"
GENERATED_ROWS = (
    "SELECT t.instruction, i.input, i.output FROM instances i JOIN tasks t ON t.id = i.task_id "
    "WHERE t.origin = 'generated'"
)
LENGTHS = (
    "SELECT r.stage, c.finish_reason, c.completion_tokens, c.text "
    "FROM completions c JOIN requests r ON r.id = c.request_id"
)


def test_a_small_model_asked_by_chat_keeps_to_forms_and_bounds(tmp_path: Path) -> None:
    pool, code, said = by_vllm(tmp_path, "smollm2", "chat", 'prompts = "small"')
    assert code in {0, 3}, said
    now = check(pool)
    assert now["tasks"] + now["tasks_without_instances"] > 0, said
    answers = rows(pool, LENGTHS)
    structured = [answer for answer in answers if answer[0] in {"propose", "inputs"}]
    tokens = sum(answer[2] for answer in answers)
    cut = sum(answer[2] for answer in structured if answer[1] == "length")
    assert cut < 0.15 * tokens
    assert all(json.loads(text) for _, finish, _, text in structured if finish == "stop")
    assert_decided_alike(pool, tmp_path)


def test_a_small_model_as_judge_gives_a_reason_with_each_score(tmp_path: Path) -> None:
    pool, code, said = by_vllm(tmp_path, "smollm2", "chat", 'prompts = "small"\n[judge]\nenabled = true')
    assert code in {0, 3, 4}, said
    check(pool)
    verdicts = rows(pool, "SELECT outcome, valid_score, valid_reason FROM verdicts")
    assert all(reason for outcome, _, reason in verdicts if outcome != "judge_unreadable")
    assert all(valid in range(1, 6) for outcome, valid, _ in verdicts if outcome != "judge_unreadable")


def test_a_base_model_goes_on_with_the_list_of_the_paper(tmp_path: Path) -> None:
    pool, code, said = by_vllm(tmp_path, "gemma", "paper")
    assert code in {0, 3}, said
    now = check(pool)
    assert now["rejections"].get("copy_of_demonstration", 0) < 0.3 * now["candidates"]
    assert_decided_alike(pool, tmp_path)


@pytest.mark.slow
@pytest.mark.timeout(3600)
def test_half_a_billion_parameters_by_llama_cpp(tmp_path: Path) -> None:
    server = [os.environ["LLAMA_SERVER"], "-m", str(MODELS / "qwen.gguf"), "-c", "16384", "-np", "4"]
    with running([*server, "-t", "2", "--port", "18432"]) as process:
        wait_until(lambda: is_ready("http://127.0.0.1:18432/health"), process)
        pool, code, said = grown(tmp_path, LLAMA_CPP)
    assert code in {0, 3}, said
    now = check(pool)
    assert now["instances"] > 0, said
    answers = [answer for answer in rows(pool, LENGTHS) if answer[0] in {"propose", "inputs"}]
    assert all(json.loads(text) for _, finish, _, text in answers if finish == "stop")
    assert_decided_alike(pool, tmp_path)


def is_ready(url: str) -> bool:
    """Whether a server answers there; one that still loads its model says 503."""
    with contextlib.suppress(OSError), urllib.request.urlopen(url) as reply:
        return bool(reply.status == 200)
    return False


def assert_decided_alike(pool: Path, folder: Path) -> None:
    """The same answers judged again are decided as before; what waited beyond the target is decided too."""
    again = folder / "again"
    run = [sys.executable, "-m", "selfinstruct", "replay", str(pool), "--pool", str(again)]
    subprocess.run([*run, "--config", str(folder / "c.toml")], cwd=ROOT, capture_output=True, check=True)
    accepted = "SELECT instruction FROM tasks WHERE origin = 'generated' ORDER BY position"
    rejected = "SELECT reason, text FROM rejections WHERE kind = 'instruction'"
    before = rows(pool, accepted)
    assert rows(again, accepted)[: len(before)] == before
    assert not Counter(rows(pool, rejected)) - Counter(rows(again, rejected))
