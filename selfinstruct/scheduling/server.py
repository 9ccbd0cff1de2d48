"""A schedule with a Prefect server of its own, for where none is named. Nothing of it outlives this process."""

from __future__ import annotations

import contextlib
import os
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path

from selfinstruct.errors import AccessError, PoolError
from selfinstruct.llm.vllm import supervisor
from selfinstruct.store.pool import SCHEDULE_FOLDER
from selfinstruct.terminal.words import say
from selfinstruct.versions.shelf import locked

HOST = "127.0.0.1"
START_S = 600.0
"""The longest that a server may take to answer; on a busy machine its first start takes a minute."""
LOOK_S = 0.2
RUNS_GRACE_S, SERVER_GRACE_S = 60.0, 5.0
"""How long each may take to end; a run that is asked to stop first waits for what is in flight, and stores it."""
_OTHERS = ("PREFECT_API", "PREFECT_CLOUD", "PREFECT_PROFILE", "PREFECT_SERVER_API", "PREFECT_SERVER_DATABASE")
"""Settings of servers that are not this one."""


def serve_beside_own_server(pool: Path) -> int:
    """Run this very command again, as a child that finds a server named: one started here. Its exit code.

    Both are supervised: however this process ends, the server, the schedule and its runs end too.

    Raises:
        PoolInUse: another schedule serves this pool.
        PoolError: the folder cannot be written.
        AccessError: the server does not start, or has ended.
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
    """A Prefect server that keeps its database in this folder, and its URL."""
    try:
        home.mkdir(parents=True, exist_ok=True)
        log = (home / "server.log").open("ab")
    except OSError as error:
        raise PoolError(f"{home}: a schedule cannot keep its database here ({error.strerror})") from error
    with log, locked(home / "server.lock", "another schedule serves this pool"):
        say(f"starting a Prefect server for this schedule; its database and its log are in {home}")
        port = _free_port()
        command = [sys.executable, "-m", "prefect", "server", "start", "--host", HOST, "--port", str(port)]
        environment = {name: value for name, value in os.environ.items() if not name.startswith(_OTHERS)}
        environment["PREFECT_HOME"] = str(home)
        server = supervisor.start(command, cwd=home, stdout=log, stderr=log, env=environment)
        try:
            if _answers(server, f"http://{HOST}:{port}"):
                say(f"its pages are at http://{HOST}:{port}")
                yield server, f"http://{HOST}:{port}"
            if server.poll() is not None:
                raise AccessError(f"the Prefect server of this schedule has ended; {log.name} says why")
        finally:
            supervisor.end(server, SERVER_GRACE_S)


def _free_port() -> int:
    with socket.socket() as free:
        free.bind((HOST, 0))
        return int(free.getsockname()[1])


def _answers(server: subprocess.Popen[bytes], url: str) -> bool:
    """Wait until the server answers; False: it has ended."""
    until = time.monotonic() + START_S
    while server.poll() is None:
        with contextlib.suppress(OSError), urllib.request.urlopen(f"{url}/api/health", timeout=5):  # noqa: S310 - ours
            return True
        if time.monotonic() > until:
            raise AccessError(f"the Prefect server of this schedule does not answer at {url} within {START_S:.0f} s")
        time.sleep(LOOK_S)
    return False
