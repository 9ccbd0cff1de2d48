"""A vLLM server of our own: started, told of, guarded, and never left behind. vLLM itself is never imported.

`async with VllmServer(...) as server:` gives a server that answers at `server.base_url`. While the block runs, a guard
looks after it: an engine that is dead or stuck is started again on the same port, so the client, which asks again what
was lost, needs to know nothing. On the way out, whatever that is, all its processes end (`supervisor`).
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import secrets
import shlex
import subprocess
import time
from collections import deque
from collections.abc import Callable
from pathlib import Path
from types import TracebackType
from typing import Self

import aiohttp

from selfinstruct.errors import AccessError, ConfigError, SelfInstructError
from selfinstruct.models.vllm import supervisor
from selfinstruct.models.vllm.command import HOST, VllmOptions, chooses_port, port_for, serve_command
from selfinstruct.models.vllm.log import Log
from selfinstruct.models.vllm.metrics import Metrics, Pulse, context_lengths, is_healthy, read_metrics

__all__ = ["VllmOptions", "VllmServer"]

KEY_NAME = "VLLM_API_KEY"
"""The variable by which vLLM is told the key that requests must bring."""
_POLL_S = 0.2
_LOOK_S = 5.0
_TOLD_EVERY_S, _SILENCE_S = 3.0, 60.0
_DEAF_S, _CLOSED_S = 60.0, 10.0
"""A server that does not answer /health for so long is started again; a busy one may be late. One that takes no
connection any more is not busy: vLLM may hang like that when somebody has asked it to end."""
_TERM_S, _KILL_S = 10.0, 20.0
"""How long a server may take to end when asked, and its processes to vanish when killed."""
_RESTARTS_WITHIN_S = 3600.0
_PAUSE_S, _LONGEST_PAUSE_S = 2.0, 10.0
"""Before a restart, times the restarts so far: memory of a GPU is given back a little after its process ends."""
_TAIL = 15
_OTHER_PORTS = 2
"""Times that another port is tried when somebody was faster."""

Tell = Callable[[str], None]


class _Failed(Exception):  # noqa: N818 - it is what happened
    """A start that failed, for this reason."""

    def __init__(self, error: SelfInstructError) -> None:
        super().__init__(str(error))
        self.error = error


class VllmServer:
    """One vLLM server.

    `in_flight` counts the requests that are waited for now. `gave_up` is called with the reason when the server is not
    started again, once and again until the block is left, since whom it concerns may only come to be. `restarting` is
    called with the number of restarts so far when one begins, `is_up_again` when it has brought the server back.
    """

    def __init__(
        self,
        options: VllmOptions,
        model: str,
        log_path: Path,
        tell: Tell,
        *,
        in_flight: Callable[[], int] = lambda: 0,
        gave_up: Callable[[str], None] = lambda _: None,
        restarting: Callable[[int], None] = lambda _: None,
        is_up_again: Callable[[], None] = lambda: None,
        look_s: float = _LOOK_S,
    ) -> None:
        self.model = model
        self.restarts = 0
        self.context_length: int | None = None
        self.api_key = secrets.token_urlsafe(24)
        """Without it, anybody on this machine could use the server's API; its other paths (/tokenize, /invocations,
        /metrics, ...) vLLM opens to whoever reaches the port."""
        self._options = options
        self._log_path = log_path
        self._tell = tell
        self._in_flight = in_flight
        self._gave_up = gave_up
        self._restarting = restarting
        self._is_up_again = is_up_again
        self._look_s = look_s
        self._port = 0
        self._process: subprocess.Popen[bytes] | None = None
        self._is_up = False
        self._restarted_at: deque[float] = deque()

    @property
    def base_url(self) -> str:
        """Where its API is; it stays the same over restarts."""
        return f"http://{HOST}:{self._port}/v1"

    async def metrics(self) -> Metrics | None:
        """Its figures now; None while it does not answer."""
        try:
            return await read_metrics(self._session, self.base_url)
        except (aiohttp.ClientError, TimeoutError):
            return None

    async def __aenter__(self) -> Self:
        """Start the server and wait until it answers.

        Raises:
            ConfigError, AccessError: it does not start, and why.
        """
        self._session = aiohttp.ClientSession()
        try:
            self._log_path.parent.mkdir(parents=True, exist_ok=True)
            self._log = Log(self._log_path)
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

    # Starting

    async def _start_somewhere(self) -> None:
        """Start on the port that is named, or on a free one, which somebody else may take before vLLM does."""
        for tries_left in reversed(range(_OTHER_PORTS + 1)):
            self._port = port_for(self._options)
            try:
                await self._start()
            except _Failed as failed:
                if tries_left and not chooses_port(self._options) and "port is taken" in str(failed):
                    continue
                for line in self._log.tail(_TAIL):
                    self._tell(f"  {line}")
                self._tell(f"all of vLLM's log: {self._log.path}")
                raise failed.error from None
            return

    async def _start(self) -> None:
        """Start the server on its port and wait until it answers.

        Raises:
            _Failed: it ended, or takes too long; nothing of it is left.
            ConfigError: the command or the model's folder is not there.
        """
        command = serve_command(self._options, self.model, self._port)
        started = time.monotonic()
        self._process = self._spawn(command)
        self._tell(f"starting vLLM for {self.model}; its log is {self._log.path}")
        said, said_at = "", started
        while not await self._answers():
            await asyncio.sleep(_POLL_S)
            now = time.monotonic()
            exit_code = self._exit_code()
            if exit_code is not None or now - started > self._options.start_timeout_s:
                await self._end()
                raise _Failed(self._log.reason(exit_code))
            if now - said_at < _TOLD_EVERY_S:
                continue
            news = self._log.news()
            if news and news != said:
                said, said_at = news, now
                self._tell(f"vLLM: {news} ({now - started:.0f} s)")
            elif now - said_at > _SILENCE_S:
                said_at = now
                self._tell(f"vLLM: still {said or 'starting'} ({now - started:.0f} s)")
        self._is_up = True
        fits = f", context of {self.context_length:,} tokens" if self.context_length else ""
        self._tell(f"vLLM is up after {time.monotonic() - started:.0f} s at {self.base_url}{fits}")

    def _spawn(self, command: list[str]) -> subprocess.Popen[bytes]:
        env = {**os.environ, "PYTHONUNBUFFERED": "1", **self._options.env, KEY_NAME: self.api_key}
        try:
            with self._log.path.open("ab") as log:
                log.write(f"--- {shlex.join(command)}\n".encode())
                log.flush()
                self._log.begin()
                return supervisor.start(command, stdout=log, stderr=log, env=env)
        except OSError as error:
            raise _Failed(ConfigError(f"{error.filename or self._log.path}: {error.strerror}")) from error

    async def _answers(self) -> bool:
        """Whether the server, and no other program at its port, is there to be asked."""
        try:
            if not await is_healthy(self._session, self.base_url):
                return False
            lengths = await context_lengths(self._session, self.base_url, self.api_key)
        except (aiohttp.ClientError, TimeoutError):
            return False
        self.context_length = lengths.get(self.model)
        return self.model in lengths

    # Guarding

    async def _guard(self) -> None:
        """Look after the server for as long as it is wanted, and say so when that ends, however it does."""
        try:
            while True:
                await self._restart(await self._trouble())
        except _Failed as failed:
            for line in self._log.tail(_TAIL):
                self._tell(f"  {line}")
            await self._give_up(f"vLLM is not started again: {failed.error}")
        except Exception as error:  # a task's edge: nobody awaits it before the block is left
            with contextlib.suppress(asyncio.CancelledError):
                await self._give_up(f"vLLM is not looked after any more: {error!r}")
            raise

    async def _give_up(self, reason: str) -> None:
        """Say why until cancelled."""
        while True:
            self._gave_up(reason)
            await asyncio.sleep(self._look_s)

    async def _trouble(self) -> str:
        """Wait until something is wrong with the server, and say what."""
        pulse = Pulse()
        heard_at = time.monotonic()
        while True:
            await self._pause(self._look_s)
            exit_code = self._exit_code()
            if exit_code is not None:
                known = self._log.reason(exit_code)
                return str(known) if str(known).startswith("vLLM") else f"vLLM ended: {known}"
            now, metrics, patience_s = time.monotonic(), None, _DEAF_S
            try:
                if await is_healthy(self._session, self.base_url):
                    heard_at = now
                metrics = await read_metrics(self._session, self.base_url)
            except aiohttp.ClientConnectorError:
                patience_s = _CLOSED_S
            except (aiohttp.ClientError, TimeoutError):
                pass  # it may be busy
            if now - heard_at > patience_s:
                return f"vLLM does not answer for {now - heard_at:.0f} s"
            still_s = pulse.still_s(metrics, self._in_flight(), now)
            if metrics is not None and still_s > self._options.stuck_s:
                asked = max(metrics.running + metrics.waiting, self._in_flight())
                return f"vLLM has not written a token for {still_s:.0f} s, with {asked} requests under way"

    async def _pause(self, seconds: float) -> None:
        """Sleep, but no longer than the server's process lives."""
        ends_at = time.monotonic() + seconds
        while time.monotonic() < ends_at and self._exit_code() is None:  # noqa: ASYNC110 - a process sets no event
            await asyncio.sleep(min(_POLL_S, seconds))

    async def _restart(self, why: str) -> None:
        """End what is left of the server and start it again on its port.

        Raises:
            _Failed: it was started again too often, or does not come up.
        """
        while True:
            self._is_up = False  # there is no use in asking it to end
            await self._end()
            now = time.monotonic()
            while self._restarted_at and self._restarted_at[0] < now - _RESTARTS_WITHIN_S:
                self._restarted_at.popleft()
            number, most = len(self._restarted_at) + 1, self._options.max_restarts
            if number > most:
                raise _Failed(AccessError(f"{why}, after {most} restarts within an hour"))
            self._restarted_at.append(now)
            self.restarts += 1
            self._tell(f"{why}; starting it again ({number} of {most} times)")
            self._restarting(self.restarts)
            await asyncio.sleep(min(_LONGEST_PAUSE_S, _PAUSE_S * number))
            try:
                await self._start()
            except (_Failed, ConfigError) as failed:
                why = str(failed)
                continue
            self._is_up_again()
            return

    # Ending

    def _exit_code(self) -> int | None:
        """How the server ended (negative: by a signal); None: it runs."""
        code = None if self._process is None else self._process.poll()
        return code if code is None or code <= 128 else 128 - code

    async def _end(self) -> None:
        """End the server and all its processes: asked first when it is up, killed when it is not or does not end.

        A server that is asked to end while it starts hangs for good (vLLM 0.32), so that one is killed at once.
        """
        process = self._process
        if process is None or process.stdin is None:
            return
        was_up, self._is_up = self._is_up, False
        try:
            if was_up and process.poll() is None:
                os.write(process.stdin.fileno(), b"t")
                await asyncio.to_thread(_wait, process, _TERM_S)
        except BrokenPipeError:
            pass  # its end was on the way
        finally:
            process.stdin.close()
            await asyncio.to_thread(_wait, process, _KILL_S)
        if process.poll() is None:
            self._tell(f"vLLM's processes do not end yet (the kernel has been told); see process {process.pid}")
        self._process = None

    async def _leave(self) -> None:
        try:
            await self._end()
        finally:
            await self._session.close()


def _wait(process: subprocess.Popen[bytes], seconds: float) -> None:
    try:
        process.wait(seconds)
    except subprocess.TimeoutExpired:
        return
