"""A vLLM server of our own: started, guarded, and never left running. vLLM itself is never imported.

`async with VllmServer(...) as server:` gives a server that answers at `server.base_url`. While the block runs, a guard
looks after it: an engine that is dead or stuck is started again on the same port, so the client, which asks again what
was lost, needs to know nothing. However the block is left, all processes of the server end (`supervisor`).
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import secrets
import shlex
import subprocess
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Self

import aiohttp

from selfinstruct.errors import AccessError, ConfigError
from selfinstruct.models.vllm import supervisor
from selfinstruct.models.vllm.command import HOST, VllmOptions, named_port, port_for, serve_command
from selfinstruct.models.vllm.log import Log
from selfinstruct.models.vllm.pace import Metrics, Pulse, parse_metrics

KEY_NAME = "VLLM_API_KEY"
"""The variable by which vLLM is told the key that requests must bring."""
_POLL_S = 0.2
_LOOK_S = 5.0
_ANSWER_S = 10.0
_TOLD_EVERY_S, _SILENCE_S = 3.0, 60.0
_DEAF_S, _CLOSED_S = 60.0, 10.0
"""A server that does not answer /health for this long is started again; a busy one may be late. One that takes no
connection any more is not busy: vLLM may hang like that when somebody has asked it to end."""
_TERM_S, _KILL_S = 10.0, 20.0
"""How long a server may take to end when asked, and its processes to vanish when killed."""
_RESTARTS_WITHIN_S = 3600.0
_PAUSE_S, _LONGEST_PAUSE_S = 2.0, 10.0
"""Before a restart, times the restarts up to now: memory of a GPU is freed a little after its process ends."""
_TAIL = 15
_OTHER_PORTS = 2
"""Times that another port is tried when somebody was faster."""


@dataclass(eq=False)
class VllmServer:
    """One vLLM server."""

    options: VllmOptions
    model: str
    log_path: Path
    tell: Callable[[str], None]
    in_flight: Callable[[], int] = lambda: 0
    """Counts the requests that have no answer yet."""
    gave_up: Callable[[str], None] = lambda _: None
    """Called with the reason when the server is not started again, repeatedly until the block is left, since whom it
    concerns may not be there yet."""
    restarting: Callable[[int], None] = lambda _: None
    """Called with the number of restarts when one begins."""
    is_up_again: Callable[[], None] = lambda: None
    """Called when a restart has brought the server back."""
    look_s: float = _LOOK_S
    restarts: int = field(default=0, init=False)
    context_length: int | None = field(default=None, init=False)
    api_key: str = field(default_factory=lambda: secrets.token_urlsafe(24), init=False, repr=False)
    """Without it, anybody on this machine could use the server's API; its other paths (/tokenize, /invocations,
    /metrics, ...) vLLM opens to whoever reaches the port."""
    process: subprocess.Popen[bytes] | None = field(default=None, init=False)
    """The supervisor, while there is a server."""

    def __post_init__(self) -> None:
        self._log = Log(self.log_path)
        self._port = 0
        self._is_up = False
        self._restarted_at: list[float] = []

    @property
    def base_url(self) -> str:
        """Where its API is; it stays the same over restarts."""
        return f"http://{HOST}:{self._port}/v1"

    async def metrics(self) -> Metrics | None:
        """Its figures now; None while it does not answer."""
        with contextlib.suppress(aiohttp.ClientError, TimeoutError):
            return parse_metrics(await self._get("/metrics"))
        return None

    async def __aenter__(self) -> Self:
        """Start the server and wait until it answers.

        Raises:
            ConfigError, AccessError: it does not start, and why.
        """
        self._session = aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=_ANSWER_S))
        try:
            self.log_path.parent.mkdir(parents=True, exist_ok=True)
            await self._start_somewhere()
        except BaseException:
            await self._leave()
            raise
        self._guarding = asyncio.create_task(self._guard())
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._guarding.cancel()
        (ended,) = await asyncio.gather(self._guarding, return_exceptions=True)
        await self._leave()
        if error is None and isinstance(ended, Exception):
            raise ended

    async def _start_somewhere(self) -> None:
        """Start on the port that is named, or on a free one, which somebody else may take before vLLM does."""
        tries_left = _OTHER_PORTS if named_port(self.options) is None else 0
        while True:
            self._port = port_for(self.options)
            command = serve_command(self.options, self.model, self._port)
            try:
                return await self._start(command)
            except (AccessError, ConfigError) as failed:
                if not tries_left or "port is taken" not in str(failed):
                    self._tell_log()
                    self.tell(f"all of vLLM's log: {self.log_path}")
                    raise
                tries_left -= 1

    async def _start(self, command: list[str]) -> None:
        """Start the server and wait until it answers.

        Raises:
            AccessError, ConfigError: it ended, or takes too long; nothing of it is left.
        """
        started = time.monotonic()
        self.process = self._spawn(command)
        self.tell(f"starting vLLM for {self.model}; its log is {self.log_path}")
        said, said_at = "", started
        while not await self._answers():
            await asyncio.sleep(_POLL_S)
            now = time.monotonic()
            exit_code = self._exit_code()
            if exit_code is not None or now - started > self.options.start_timeout_s:
                await self._end()
                raise self._log.reason(exit_code)
            if now - said_at < _TOLD_EVERY_S:
                continue
            news = self._log.news()
            if news and news != said:
                said, said_at = news, now
                self.tell(f"vLLM: {news} ({now - started:.0f} s)")
            elif now - said_at > _SILENCE_S:
                said_at = now
                self.tell(f"vLLM: still {said or 'starting'} ({now - started:.0f} s)")
        self._is_up = True
        fits = f", context of {self.context_length:,} tokens" if self.context_length else ""
        self.tell(f"vLLM is up after {time.monotonic() - started:.0f} s at {self.base_url}{fits}")

    def _spawn(self, command: list[str]) -> subprocess.Popen[bytes]:
        env = {**os.environ, "PYTHONUNBUFFERED": "1", **self.options.env, KEY_NAME: self.api_key}
        try:
            with self.log_path.open("ab") as log:
                log.write(f"--- {shlex.join(command)}\n".encode())
                log.flush()
                self._log.begin()
                return supervisor.start(command, stdout=log, stderr=log, env=env)
        except OSError as error:
            raise ConfigError(f"{error.filename or self.log_path}: {error.strerror}") from error

    async def _answers(self) -> bool:
        """Whether the server, and no other program at its port, is there to be asked."""
        try:
            await self._get("/health")
            cards = json.loads(await self._get("/v1/models"))["data"]
            lengths = {card["id"]: card.get("max_model_len") for card in cards}
        except (aiohttp.ClientError, TimeoutError, ValueError, LookupError, TypeError, AttributeError, RecursionError):
            return False
        length = lengths.get(self.model)
        self.context_length = length if isinstance(length, int) else None
        return self.model in lengths

    async def _get(self, path: str) -> str:
        """The body of a page of the server.

        Raises:
            aiohttp.ClientError, TimeoutError: it does not answer, or with a fault.
        """
        url, headers = f"http://{HOST}:{self._port}{path}", {"Authorization": f"Bearer {self.api_key}"}
        async with self._session.get(url, headers=headers) as response:
            response.raise_for_status()
            return await response.text(errors="replace")

    async def _guard(self) -> None:
        """Look after the server until cancelled, and say so when that ends, however it does."""
        try:
            while True:
                why = await self._restart(await self._trouble())
                if why:
                    self._tell_log()
                    await self._give_up(f"vLLM is not started again: {why}")
        except Exception as error:  # a task's edge: nobody awaits it before the block is left
            with contextlib.suppress(asyncio.CancelledError):
                await self._give_up(f"vLLM is not looked after any more: {error!r}")
            raise

    async def _give_up(self, reason: str) -> None:
        """Say why until cancelled."""
        while True:
            self.gave_up(reason)
            await asyncio.sleep(self.look_s)

    async def _trouble(self) -> str:
        """Wait until something is wrong with the server, and say what."""
        pulse = Pulse()
        heard_at = time.monotonic()
        while True:
            await self._pause(self.look_s)
            exit_code = self._exit_code()
            if exit_code is not None:
                known = str(self._log.reason(exit_code))
                return known if known.startswith("vLLM") else f"vLLM ended: {known}"
            now, metrics, patience_s = time.monotonic(), None, _DEAF_S
            try:
                await self._get("/health")
                heard_at = now
                metrics = parse_metrics(await self._get("/metrics"))
            except aiohttp.ClientConnectorError:
                patience_s = _CLOSED_S
            except (aiohttp.ClientError, TimeoutError):
                pass  # it may be busy
            if now - heard_at > patience_s:
                return f"vLLM does not answer for {now - heard_at:.0f} s"
            still_s = pulse.still_s(metrics, self.in_flight(), now)
            if metrics is not None and still_s > self.options.stuck_s:
                asked = max(metrics.running + metrics.waiting, self.in_flight())
                return f"vLLM has not written a token for {still_s:.0f} s, with {asked} requests under way"

    async def _pause(self, seconds: float) -> None:
        """Sleep, but no longer than the server's process lives."""
        ends_at = time.monotonic() + seconds
        while time.monotonic() < ends_at and self._exit_code() is None:  # noqa: ASYNC110 - a process sets no event
            await asyncio.sleep(min(_POLL_S, seconds))

    async def _restart(self, why: str) -> str | None:
        """End what is left of the server and start it again on its port; why that is given up, None where it is not."""
        most = self.options.max_restarts
        while True:
            self._is_up = False  # there is no use in asking it to end
            await self._end()
            now = time.monotonic()
            self._restarted_at = [one for one in self._restarted_at if one > now - _RESTARTS_WITHIN_S]
            number = len(self._restarted_at) + 1
            if number > most:
                return f"{why}, after {most} restarts within an hour"
            self._restarted_at.append(now)
            self.restarts += 1
            self.tell(f"{why}; starting it again ({number} of {most} times)")
            self.restarting(self.restarts)
            await asyncio.sleep(min(_LONGEST_PAUSE_S, _PAUSE_S * number))
            try:
                await self._start(serve_command(self.options, self.model, self._port))
            except (AccessError, ConfigError) as failed:
                why = str(failed)
                continue
            self.is_up_again()
            return None

    def _exit_code(self) -> int | None:
        """How the server ended (negative: by a signal); None: it runs."""
        code = self.process.poll() if self.process else None
        return code if code is None or code <= 128 else 128 - code

    def _tell_log(self) -> None:
        for line in self._log.tail(_TAIL):
            self.tell(f"  {line}")

    async def _end(self) -> None:
        """End the server and all its processes: asked first when it is up, killed when it is not or does not end.

        A server that is asked to end while it starts hangs for good (vLLM 0.32), so that one is killed at once.
        """
        process, was_up = self.process, self._is_up
        self._is_up = False
        if process is None or process.stdin is None:
            return
        try:
            await asyncio.to_thread(supervisor.end, process, _TERM_S if was_up else 0.0, _KILL_S)
        except subprocess.TimeoutExpired:
            self.tell(f"vLLM's processes do not end yet (the kernel has been told); see process {process.pid}")
        finally:
            process.stdin.close()  # at a cancellation all is killed at once
        self.process = None

    async def _leave(self) -> None:
        try:
            await self._end()
        finally:
            await self._session.close()
