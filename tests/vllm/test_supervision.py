"""Starting and ending a server's processes, with shell commands in its place: nothing is left running."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from selfinstruct.errors import AccessError, ConfigError, SelfInstructError
from selfinstruct.models.vllm import supervisor
from selfinstruct.models.vllm.command import VllmOptions
from selfinstruct.models.vllm.process import VllmServer
from tests.vllm.processes import Seen, descendants, gone, wait_until


def shell(script: str, start_timeout_s: float = 300) -> VllmOptions:
    return VllmOptions(command=("/bin/sh", "-c", script), start_timeout_s=start_timeout_s)


SAYS = "torch.OutOfMemoryError: CUDA out of memory. Tried to allocate 2.00 GiB"


@pytest.mark.parametrize(
    ("options", "wanted", "error_type"),
    [
        (shell(f'echo "(EngineCore pid=7) ERROR 11-22 13:20:05 [core.py:9] {SAYS}" >&2; exit 3'), SAYS, AccessError),
        (shell("kill -KILL $$"), "ran out of memory", AccessError),
        (shell("echo Starting to load model; sleep 300", start_timeout_s=1), "did not come up", AccessError),
        (VllmOptions(command=("/nowhere/vllm",)), "/nowhere/vllm", ConfigError),
    ],
    ids=["fault", "kill", "time-out", "no program"],
)
def test_a_start_that_fails_is_one_sentence_and_the_logs_last_lines(
    tmp_path: Path, options: VllmOptions, wanted: str, error_type: type[SelfInstructError]
) -> None:
    told: list[str] = []

    async def work() -> None:
        async with VllmServer(options, "some/model", tmp_path / "vllm.log", told.append):
            pass

    began = time.monotonic()
    with pytest.raises(error_type, match=wanted):
        asyncio.run(work())
    assert time.monotonic() - began < 100  # the command would take 300 seconds, and a start may take an hour
    if error_type is AccessError:
        assert any(str(tmp_path / "vllm.log") in line for line in told)
        assert wanted != SAYS or any(SAYS in line for line in told)


LONG = "sleep 300 & sleep 300 & setsid sleep 300 & echo up; wait"
ENDS_ON_DEMAND = "trap 'exit 7' TERM; echo up; while :; do sleep 0.05; done"
IGNORES_ALL = "trap '' TERM HUP INT; echo up; while :; do sleep 0.05; done"


def running(script: str) -> tuple[subprocess.Popen[bytes], list[Seen]]:
    """A shell under a supervisor, once all that it starts is there, and the processes that are."""
    process = supervisor.start(["/bin/sh", "-c", script], stdout=subprocess.PIPE)
    assert process.stdout is not None
    assert process.stdout.readline() == b"up\n"
    wanted = script.count("sleep 300")  # a shell may say so before what it started has become itself
    wait_until(
        lambda: sum(one.command == "sleep 300" for one in descendants(process.pid)) >= wanted, 60, "the sleepers"
    )
    process.stdout.close()
    return process, descendants(process.pid)


def kill(process: subprocess.Popen[bytes]) -> None:
    supervisor.end(process, 0, 60)


def ask(process: subprocess.Popen[bytes]) -> None:
    supervisor.end(process, 60)


def send(number: signal.Signals) -> Callable[[subprocess.Popen[bytes]], None]:
    return lambda process: process.send_signal(number)


@pytest.mark.parametrize(
    ("script", "end", "code"),
    [
        (LONG, kill, 128 + signal.SIGKILL),
        (f"sleep 300 & setsid sleep 300 & {ENDS_ON_DEMAND}", ask, 7),
        (LONG, send(signal.SIGTERM), 128 + signal.SIGTERM),
        (LONG, send(signal.SIGHUP), 128 + signal.SIGTERM),
        (IGNORES_ALL, send(signal.SIGTERM), 128 + signal.SIGTERM),
        ("sleep 300 & sleep 300 & echo up; wait", send(signal.SIGKILL), -signal.SIGKILL),
    ],
    ids=["end of the pipe", "asked", "SIGTERM", "SIGHUP", "command ignores all", "supervisor killed"],
)
def test_however_a_supervisor_ends_its_whole_family_ends(
    script: str, end: Callable[[subprocess.Popen[bytes]], None], code: int
) -> None:
    process, family = running(script)
    end(process)
    assert process.wait(60) == code
    gone(family)
    assert process.stdin is not None
    process.stdin.close()


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
    process.stdout.close()
    try:
        supervisor.end(process, 60, 0)
        assert process.returncode == 7
    finally:
        process.kill()
    gone(family)


def test_a_program_that_is_killed_takes_a_starting_server_with_it(tmp_path: Path) -> None:
    code = (
        "import asyncio; from pathlib import Path\n"
        "from selfinstruct.models.vllm.process import VllmOptions, VllmServer\n"
        "async def work():\n"
        f"    options = VllmOptions(command=('/bin/sh', '-c', {LONG!r}))\n"
        f"    async with VllmServer(options, 'm', Path({str(tmp_path / 'vllm.log')!r}), print): pass\n"
        "asyncio.run(work())\n"
    )
    program = subprocess.Popen(
        [sys.executable, "-c", code], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, start_new_session=True
    )
    wait_until(lambda: len(descendants(program.pid)) >= 6, 60, "the start")
    family = descendants(program.pid)
    program.kill()
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
            assert server.process is not None
            (serving,) = [one for one in descendants(server.process.pid) if "server.py" in one.command]
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
