"""A guarded server beside a test, and runs that ask it."""

from __future__ import annotations

import asyncio
import json
import os
import sqlite3
import threading
import urllib.request
from concurrent.futures import Future
from pathlib import Path
from typing import Any, Self

from selfinstruct.models.vllm.command import VllmOptions
from selfinstruct.models.vllm.process import VllmServer
from selfinstruct.pool.reader import status
from tests.builders import rows
from tests.vllm.processes import Seen, descendants

HERE = Path(__file__).parent
MODEL = "tiny"
CONTEXT = 4096
ARGS = (
    "--dtype", "bfloat16", "--max-model-len", str(CONTEXT), "--max-num-batched-tokens", "8192", "--enforce-eager",
    "--distributed-executor-backend", "uni", "--kv-cache-memory-bytes", "256M", "--block-size", "32",
    "--no-enable-chunked-prefill",  # a seeded request whose prompt is split kills the engine of the CPU build
    "--structured-outputs-config.backend", "guidance", "--structured-outputs-config.disable_any_whitespace", "true",
)  # fmt: skip


def vllm_options(model: Path, *more: str, **options: Any) -> VllmOptions:
    """The real vLLM, as it can run on two cores without a GPU."""
    python = os.environ["SELFINSTRUCT_VLLM_PYTHON"]
    return VllmOptions(
        command=(python, str(HERE / "serve.py")), args=(*ARGS, *more), model=str(model), start_timeout_s=400, **options
    )


class Serving:
    """A server in a thread with an event loop of its own, so that plain tests can use it."""

    def __init__(self, options: VllmOptions, log_path: Path) -> None:
        self.told: list[str] = []
        self.gave_up: list[str] = []
        self.in_flight = 0
        """Requests that a run waits for: an engine that is stopped may not have counted them."""
        self.server = VllmServer(
            options, MODEL, log_path, self.told.append,
            in_flight=lambda: self.in_flight, gave_up=self.gave_up.append, look_s=0.5,
        )  # fmt: skip
        self._up: Future[None] = Future()

    def __enter__(self) -> Self:
        self._thread = threading.Thread(target=lambda: asyncio.run(self._serve()))
        self._thread.start()
        try:
            self._up.result(450)
        except BaseException:
            self._thread.join()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        self._loop.call_soon_threadsafe(self._stop.set)
        self._thread.join()

    async def _serve(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._stop = asyncio.Event()
        try:
            async with self.server:
                self._up.set_result(None)
                await self._stop.wait()
        except BaseException as error:
            if self._up.done():
                raise
            self._up.set_exception(error)

    @property
    def prefix_tokens(self) -> tuple[float, float]:
        """Prompt tokens looked up in the prefix cache since the start, and those that were there."""
        with urllib.request.urlopen(self.server.base_url.removesuffix("/v1") + "/metrics") as response:
            lines = response.read().decode().splitlines()
        queries, hits = (
            sum(float(line.split()[-1]) for line in lines if line.startswith(f"vllm:prefix_cache_{name}_total{{"))
            for name in ("queries", "hits")
        )
        return queries, hits

    @property
    def family(self) -> list[Seen]:
        """All processes that there are of it now, the supervisor first."""
        process = self.server.process
        if process is None:
            return []
        return [one for one in descendants(os.getpid()) if one.pid == process.pid] + descendants(process.pid)

    @property
    def processes(self) -> list[Seen]:
        """vLLM's own: the API server first, then what it started."""
        found = [one for one in self.family[1:] if "read -r" not in one.command]
        assert len(found) >= 2, found
        return found

    @property
    def engine(self) -> int:
        return next(one.pid for one in self.processes if "EngineCore" in one.command)


STAGES = {
    "chat": "[stages.propose]\nmax_tokens = 400\n[stages.inputs]\nmax_tokens = 300\n"
    "[stages.respond]\nmax_tokens = 200\ntemperature = 1.0\n",
    "paper": "[stages.propose]\nmax_tokens = 200\n"
    "[stages.instances]\nmax_tokens = 200\ntemperature = 1.0\npresence_penalty = 0.0\n",
}
"""Sampling under which word salad makes tasks."""


def config_file(folder: Path, serving: Serving, *, recipe: str, target: int, **more: Any) -> Path:
    """A configuration for runs that ask this server."""
    os.environ["TINY_KEY"] = serving.server.api_key
    where = f'base_url = "{serving.server.base_url}"\napi_key_env = "TINY_KEY"\n'
    return _written(folder, recipe, where, "", {"target": target, "concurrency": 8, **more})


def starting_config(folder: Path, model: Path, *, recipe: str, target: int, **more: Any) -> Path:
    """A configuration for runs that start a server for themselves."""
    options = vllm_options(model)
    started = {"command": list(options.command), "args": list(options.args), "model": options.model, **more}
    table = "[vllm]\n" + "".join(f"{key} = {json.dumps(value)}\n" for key, value in started.items())
    return _written(folder, recipe, 'backend = "vllm"\n', table, {"target": target})


def _written(folder: Path, recipe: str, where: str, table: str, top: dict[str, Any]) -> Path:
    values = {"round_size": 4, "lookahead": 2, "min_acceptance": 0.0, **top}
    path = folder / f"{recipe}.toml"
    path.write_text(
        "".join(f"{key} = {value}\n" for key, value in values.items())
        + f'[recipe]\nname = "{recipe}"\n[model]\nname = "{MODEL}"\ntimeout_s = 60\n{where}{table}'
        + '[filters]\nrouge_threshold = "1.0"\nmin_words = 1\nblocked_words = []\n'
        + STAGES[recipe],
        encoding="utf-8",
    )
    return path


def completions(pool: Path) -> int:
    """How many there are so far, in a pool that may only come to be."""
    try:
        return int(rows(pool, "SELECT COUNT(*) FROM completions")[0][0])
    except sqlite3.Error:
        return 0


def tasks(pool: Path) -> int:
    """How many generated tasks of a pool are done."""
    return int(rows(pool, "SELECT COUNT(*) FROM tasks WHERE origin = 'generated' AND state = 'done'")[0][0])


def check_laws(pool: Path) -> dict[str, Any]:
    """Assert what holds for every pool, whatever a model writes; its figures."""
    now = status(pool)
    ended = now["tasks"] + now["tasks_pending"] + now["tasks_without_instances"] + now["instances"] + now["waiting"]
    assert now["candidates"] == ended + sum(now["rejections"].values())
    assert rows(pool, "SELECT COUNT(*) - COUNT(DISTINCT request_id) FROM completions") == [(0,)]
    reasons = {row[0] for row in rows(pool, "SELECT DISTINCT finish_reason FROM completions WHERE kind = 'answer'")}
    assert reasons <= {"stop", "length"}
    return now
