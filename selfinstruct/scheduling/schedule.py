"""Serving a schedule from this machine, without a work pool or a worker, and with a server of its own if need be."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import multiprocessing
import os
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from prefect.client.orchestration import get_client
from prefect.client.schemas.schedules import CronSchedule
from prefect.runner import Runner
from prefect.settings import PREFECT_API_URL
from pydantic import ValidationError

from selfinstruct.cli.text import say
from selfinstruct.errors import AccessError, ConfigError, PoolError
from selfinstruct.hub import is_on_hub
from selfinstruct.models.vllm import supervisor
from selfinstruct.pool.opening import SCHEDULE_FOLDER
from selfinstruct.runner.forecast import forecast
from selfinstruct.scheduling.artifacts import label
from selfinstruct.scheduling.grow import GrowConfig, configuration, grow
from selfinstruct.seeds import seed_file
from selfinstruct.versions.shelf import locked

HOST = "127.0.0.1"
START_S = 600.0
"""The longest time for a server to answer; on a busy machine its first start takes a minute."""
LOOK_S = 0.2
RUNS_GRACE_S, SERVER_GRACE_S = 60.0, 5.0
"""The time that each has to end; a stopped run first waits for its requests in flight and stores their answers."""
_OTHERS = ("PREFECT_API", "PREFECT_CLOUD", "PREFECT_PROFILE", "PREFECT_SERVER_API", "PREFECT_SERVER_DATABASE")
"""The settings of other servers."""


def schedule(options: Mapping[str, Any], cron: str, timezone: str) -> int:
    """Serve the flow with these parameters on a cron schedule until Ctrl-C or SIGTERM, and return the exit code.

    Each pool has its own deployment. A run that is due while another one grows the pool is left out.

    Raises:
        ConfigError: a parameter, the cron expression or the time zone is wrong, or no model is named.
        ConfigError, SeedError, PoolError, AccessError: a run would be refused at its start.
        AccessError: PREFECT_API_URL names a server that does not answer, or none is named and it cannot be started.
    """
    config = _parameters(options)
    times = _times(cron, timezone)
    settings = configuration(config)
    if settings.model_name:
        forecast(settings)  # a fault is told now and not at the first run
    files = {"pool": config.pool, "seeds": config.seeds and seed_file(config.seeds), "file": config.file}
    paths = {name: path.resolve() for name, path in files.items() if path and not is_on_hub(path)}
    config = config.model_copy(update=paths)  # its runs may start in another folder
    url = PREFECT_API_URL.value()
    if not url:
        return _serve_with_own_server(config.pool)
    asyncio.run(_check_server(url))
    name = label(config.pool)
    say(f"serving grow/{name} at {cron!r} ({timezone}): {config.model_dump_json(exclude_unset=True)}")
    runner = _Runner(name=name)
    runner.add_flow(
        grow, name=name, schedules=[times], parameters={"config": config.model_dump(mode="json", exclude_unset=True)}
    )
    with contextlib.suppress(KeyboardInterrupt):
        asyncio.run(runner.until_ended())
    return 0


class _Runner(Runner):
    """A runner that ends at a SIGTERM as at Ctrl-C; Prefect's ends at once and does not stop its runs."""

    async def until_ended(self) -> None:
        """Serve until a SIGTERM."""
        self._serving = asyncio.ensure_future(self.start())
        self._here = asyncio.get_running_loop()
        with contextlib.suppress(asyncio.CancelledError):
            await self._serving

    def handle_sigterm(self, *_: Any, **__: Any) -> None:
        """Let the runs stop in good order, then end. Prefect would wait for them."""
        # Some versions log a traceback because they cannot end a run that has ended.
        logging.getLogger("prefect.runner.process_manager").setLevel(logging.CRITICAL)
        for run in multiprocessing.active_children():
            run.terminate()
        self._here.call_soon_threadsafe(self._serving.cancel)


def _parameters(options: Mapping[str, Any]) -> GrowConfig:
    """The parameters of a run from options of the command line; None means not given."""
    try:
        return GrowConfig.model_validate({name: value for name, value in options.items() if value not in (None, [])})
    except ValidationError as error:
        fault = error.errors(include_input=False, include_url=False)[0]
        option = str(fault["loc"][0]).replace("_", "-") if fault["loc"] else ""
        words = fault["msg"].removeprefix("Value error, ")
        raise ConfigError(f"--{'config' if option == 'file' else option}: {words}" if option else words) from error


def _times(cron: str, timezone: str) -> CronSchedule:
    try:
        return CronSchedule(cron=cron, timezone=timezone)
    except ValidationError as error:
        if error.errors()[0]["loc"] == ("timezone",):
            raise ConfigError(f"--timezone: {timezone!r} is no time zone, such as Europe/Zurich") from error
        raise ConfigError(
            f"--cron: {cron!r} is no cron expression, such as '0 2 * * *' for two o'clock each night"
        ) from error


async def _check_server(url: str) -> None:
    async with get_client() as client:
        error = await client.api_healthcheck()
    if error is not None:
        reason = str(error) or type(error).__name__
        raise AccessError(
            f"no Prefect server answers at {url} ({reason}); start one by `prefect server start`, "
            "or mend PREFECT_API_URL"
        )


def _serve_with_own_server(pool: Path) -> int:
    """Start a Prefect server, run this same command again as a child with the server's URL, and return its exit code.

    However this process ends, the server, the schedule and its runs end too.
    """
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    with _own_server(pool / SCHEDULE_FOLDER) as (server, url), contextlib.suppress(KeyboardInterrupt):
        command = [sys.executable, *sys.orig_argv[1:]]
        serving = supervisor.start(command, env={**os.environ, "PREFECT_API_URL": f"{url}/api"})
        try:
            while serving.poll() is None and server.poll() is None:
                time.sleep(LOOK_S)
            return serving.poll() or 0
        finally:
            supervisor.end(serving, RUNS_GRACE_S)
    return 0


@contextlib.contextmanager
def _own_server(home: Path) -> Iterator[tuple[subprocess.Popen[bytes], str]]:
    """A Prefect server with its database in this folder, and its URL."""
    try:
        home.mkdir(parents=True, exist_ok=True)
        log = (home / "server.log").open("ab")
    except OSError as error:
        raise PoolError(f"{home}: a schedule cannot keep its database here ({error.strerror})") from error
    with log, locked(home / "server.lock", "another schedule serves this pool"):
        say(f"starting a Prefect server for this schedule; its database and its log are in {home}")
        with socket.socket() as free:
            free.bind((HOST, 0))
            url = f"http://{HOST}:{free.getsockname()[1]}"
        command = [sys.executable, "-m", "prefect", "server", "start", "--host", HOST, "--port", url.rpartition(":")[2]]
        environment = {name: value for name, value in os.environ.items() if not name.startswith(_OTHERS)}
        environment |= {"PREFECT_HOME": str(home), "PREFECT_UI_API_URL": f"{url}/api"}  # else its pages ask port 4200
        server = supervisor.start(command, cwd=home, stdout=log, stderr=log, env=environment)
        try:
            if _answers(server, url):
                say(f"its pages are at {url}")
                yield server, url
            if server.poll() is not None:
                raise AccessError(f"the Prefect server of this schedule has ended; {log.name} says why")
        finally:
            supervisor.end(server, SERVER_GRACE_S)


def _answers(server: subprocess.Popen[bytes], url: str) -> bool:
    """Wait until the server answers; False if it has ended."""
    until = time.monotonic() + START_S
    while server.poll() is None:
        with contextlib.suppress(OSError), urllib.request.urlopen(f"{url}/api/health", timeout=5):  # noqa: S310 - ours
            return True
        if time.monotonic() > until:
            raise AccessError(f"the Prefect server of this schedule does not answer at {url} within {START_S:.0f} s")
        time.sleep(LOOK_S)
    return False
