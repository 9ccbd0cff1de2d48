"""Starting and ending a server's processes, with shell commands in its place: what fails, fails at once and clearly."""

from __future__ import annotations

import asyncio
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from selfinstruct.errors import AccessError, ConfigError, SelfInstructError
from selfinstruct.models.vllm import supervisor
from selfinstruct.models.vllm.command import find_command, port_for, serve_command
from selfinstruct.models.vllm.log import doing, reason
from selfinstruct.models.vllm.metrics import Metrics, Pulse, parse_metrics, root_of
from selfinstruct.models.vllm.process import VllmOptions, VllmServer
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
    assert seconds < 60  # not the hour that a start may take


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
    options = VllmOptions(command=("/bin/sh", "-c", "echo Starting to load model; sleep 300"), start_timeout_s=1)
    error, _, seconds = start(tmp_path, options)
    assert isinstance(error, AccessError)
    assert "did not come up" in str(error)
    assert seconds < 100  # the command would take 300


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


ENDS_ON_DEMAND = "trap 'exit 7' TERM; echo up; while :; do sleep 0.05; done"


def ask_to_end(process: subprocess.Popen[bytes]) -> None:
    assert process.stdin is not None
    os.write(process.stdin.fileno(), b"t")


def running(script: str = LONG) -> subprocess.Popen[bytes]:
    process = supervised(script)
    assert process.stdout is not None
    assert process.stdout.readline() == b"up\n"
    wanted = script.count("sleep 300")  # a shell may say so before what it started has become itself
    wait_until(
        lambda: sum(one.command == "sleep 300" for one in descendants(process.pid)) >= wanted, 60, "the sleepers"
    )
    return process


def ended(process: subprocess.Popen[bytes]) -> int:
    """How it ended; the sleepers would take 300 seconds."""
    return process.wait(60)


def close(process: subprocess.Popen[bytes]) -> None:
    for pipe in (process.stdin, process.stdout):
        assert pipe is not None
        pipe.close()


def test_the_end_of_the_pipe_ends_the_whole_family() -> None:
    process = running()
    family = descendants(process.pid)
    assert len(family) >= 5
    close(process)
    assert ended(process) == 128 + signal.SIGKILL
    gone(family)


def test_what_a_command_leaves_behind_ends_with_it() -> None:
    process = running(f"sleep 300 & setsid sleep 300 & {ENDS_ON_DEMAND}")
    family = descendants(process.pid)
    ask_to_end(process)
    assert ended(process) == 7
    gone(family)
    close(process)


def test_a_supervisor_ends_where_no_proc_tells_of_its_children() -> None:
    code = (
        f"import runpy, sys; given = runpy.run_path({supervisor.__file__!r})\n"
        "given['_kill_all'].__globals__['_children'] = lambda: []\n"
        "sys.exit(given['supervise'](sys.argv[1:]))"
    )
    process = subprocess.Popen(
        [sys.executable, "-c", code, "/bin/sh", "-c", f"sleep 300 & {ENDS_ON_DEMAND}"],
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, start_new_session=True,
    )  # fmt: skip
    assert process.stdout is not None
    assert process.stdout.readline() == b"up\n"
    family = descendants(process.pid)
    ask_to_end(process)
    try:
        assert ended(process) == 7
    finally:
        process.kill()
        close(process)
    gone(family)


def test_a_byte_asks_the_command_to_end() -> None:
    process = running(ENDS_ON_DEMAND)
    ask_to_end(process)
    assert ended(process) == 7
    close(process)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP])
def test_a_supervisor_that_is_told_to_end_takes_all_with_it(number: signal.Signals) -> None:
    process = running()
    family = descendants(process.pid)
    process.send_signal(number)
    ended(process)
    gone(family)
    close(process)


def test_a_supervisor_that_is_killed_leaves_no_group() -> None:
    process = running("sleep 300 & sleep 300 & echo up; wait")
    family = descendants(process.pid)
    process.kill()
    ended(process)
    gone(family)
    close(process)


def test_a_command_that_ignores_everything_ends_too() -> None:
    process = running("trap '' TERM HUP INT; echo up; while :; do sleep 0.05; done")
    family = descendants(process.pid)
    process.send_signal(signal.SIGTERM)
    ended(process)
    gone(family)
    close(process)


def test_a_program_that_is_killed_takes_a_starting_server_with_it(tmp_path: Path) -> None:
    code = (
        "import asyncio; from pathlib import Path\n"
        "from selfinstruct.models.vllm.process import VllmOptions, VllmServer\n"
        "async def work():\n"
        f"    options = VllmOptions(command=('/bin/sh', '-c', {LONG!r}))\n"
        f"    async with VllmServer(options, 'm', Path({str(tmp_path / 'vllm.log')!r}), print): pass\n"
        "asyncio.run(work())\n"
    )
    for number in (signal.SIGKILL, signal.SIGTERM, signal.SIGINT):
        program = subprocess.Popen(
            [sys.executable, "-c", code], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, start_new_session=True
        )
        wait_until(lambda pid=program.pid: len(descendants(pid)) >= 6, 60, "the start")  # type: ignore[misc]
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
        gone(family)

    asyncio.run(work())


SERVER = """
import json, sys
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

given = dict(zip(sys.argv, sys.argv[1:]))
card = {"id": given["--served-model-name"], "max_model_len": 4096}
pages = {"/health": "", "/v1/models": json.dumps({"data": [card]}), "/metrics": "vllm:num_requests_running NaN"}

class Page(BaseHTTPRequestHandler):
    def do_GET(self):
        body = pages[self.path].encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

ThreadingHTTPServer(("127.0.0.1", int(given["--port"])), Page).serve_forever()
"""
"""A program that answers as vLLM does before it is asked anything."""


def ended_and_given_up(folder: Path, restarting: Callable[[int], None]) -> tuple[list[str], Exception | None]:
    """What is told of a server that ends when its model's folder is gone, and how the block then ends."""
    model = folder / "model"
    model.mkdir()
    (model / "config.json").touch()
    (folder / "server.py").write_text(SERVER)
    options = VllmOptions(
        command=(sys.executable, str(folder / "server.py")), model=str(model), max_restarts=1, start_timeout_s=60
    )
    reasons: list[str] = []

    async def work() -> None:
        server = VllmServer(
            options, "m", folder / "vllm.log", lambda _: None,
            gave_up=reasons.append, restarting=restarting, look_s=0.1,
        )  # fmt: skip
        async with server, asyncio.timeout(60):
            (model / "config.json").unlink()
            assert server._process is not None
            (serving,) = [one for one in descendants(server._process.pid) if "server.py" in one.command]
            os.kill(serving.pid, signal.SIGKILL)
            while len(reasons) < 2:  # noqa: ASYNC110 - the one who is told is the test
                await asyncio.sleep(0.05)

    async def outcome() -> Exception | None:
        (error,) = await asyncio.gather(work(), return_exceptions=True)
        return error if isinstance(error, Exception) else None

    return reasons, asyncio.run(outcome())


def test_a_server_whose_folder_is_gone_at_a_restart_is_given_up_and_the_attempt_counted(tmp_path: Path) -> None:
    attempts: list[int] = []
    reasons, error = ended_and_given_up(tmp_path, attempts.append)
    assert error is None
    assert "vLLM is not started again" in reasons[0]
    assert "holds no model" in reasons[0]
    assert attempts == [1]


def test_a_guard_that_fails_says_so_and_raises_at_the_end(tmp_path: Path) -> None:
    def fail(_: int) -> None:
        raise ZeroDivisionError("a fault of the program")

    reasons, error = ended_and_given_up(tmp_path, fail)
    assert isinstance(error, ZeroDivisionError)
    assert "not looked after any more" in reasons[0]
    assert "a fault of the program" in reasons[0]


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


@pytest.mark.parametrize("value", ["NaN", "+Inf", "-Inf", "-1.0", "1e308", "9" * 400])
def test_a_figure_that_is_no_count_is_left_out(value: str) -> None:
    assert parse_metrics(PAGE + f'vllm:num_requests_running{{engine="2"}} {value}\n') == parse_metrics(PAGE)
    metrics = parse_metrics(PAGE.replace('block_size="32"', f'block_size="{"9" * 5000}"'))
    assert metrics is not None
    assert (metrics.block_size, metrics.kv_cache_tokens) == (None, None)


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
