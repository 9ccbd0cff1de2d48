"""A Prefect server, a process worker and the offline model, each a process of its own on loopback."""

from __future__ import annotations

import json
import os
import re
import signal
import socket
import sqlite3
import subprocess
import sys
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, TypeVar

import yaml

from tests.builders import ROOT

Found = TypeVar("Found")
FINAL = {"COMPLETED", "FAILED", "CRASHED", "CANCELLED"}


def wait_for(what: str, look: Callable[[], Found | None], seconds: float, every_s: float = 0.2) -> Found:
    """What `look` finds, as soon as it finds something."""
    until = time.monotonic() + seconds
    while time.monotonic() < until:
        found = look()
        if found:
            return found
        time.sleep(every_s)
    raise AssertionError(f"{what}: not seen within {seconds:.0f} s")


@contextmanager
def process(command: Sequence[str], log: Path, environment: dict[str, str]) -> Iterator[subprocess.Popen[bytes]]:
    """A process that writes to a log, ended with all its group when it is no longer needed."""
    with log.open("ab") as output:
        started = subprocess.Popen(
            command, cwd=ROOT, env=environment, stdout=output, stderr=output, start_new_session=True
        )
    try:
        yield started
    finally:
        started.send_signal(signal.SIGTERM)
        try:
            started.wait(60)
        except subprocess.TimeoutExpired:
            pass
        finally:
            with suppress(ProcessLookupError):
                os.killpg(started.pid, signal.SIGKILL)
            started.wait()


@contextmanager
def model_server(*options: str, key: str) -> Iterator[str]:
    """The offline model behind HTTP, which wants this key and repeats it in its errors; its base URL."""
    command = [sys.executable, "-m", "selfinstruct", "offline-server", "--port", "0", "--echo-key", *options]
    command += ["--api-key-env", "MODEL_SERVER_KEY"]
    started = subprocess.Popen(
        command, cwd=ROOT, env={**os.environ, "MODEL_SERVER_KEY": key}, stderr=subprocess.PIPE, text=True
    )
    assert started.stderr is not None
    try:
        url = next(found[0] for line in started.stderr if (found := re.search(r"http://\S+/v1", line)))
        threading.Thread(target=started.stderr.read, daemon=True).start()
        yield url
    finally:
        started.terminate()
        started.wait()
        started.stderr.close()


class Prefect:
    """A Prefect server with its own home, and the commands of a user against it."""

    def __init__(self, home: Path, more: dict[str, str]) -> None:
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            self.port = free.getsockname()[1]
        self.home = home
        self.url = f"http://127.0.0.1:{self.port}/api"
        kept = {name: value for name, value in os.environ.items() if not name.startswith("PREFECT")}
        self.environment = {
            **kept, **more, "PREFECT_HOME": str(home), "PREFECT_API_URL": self.url, "PWD": str(ROOT),
            "DO_NOT_TRACK": "1", "PREFECT_SERVER_ANALYTICS_ENABLED": "false", "PREFECT_LOGGING_LEVEL": "WARNING",
            "PREFECT_SERVER_LOGGING_LEVEL": "WARNING", "PREFECT_WORKER_QUERY_SECONDS": "2", "NO_COLOR": "1",
            "COLUMNS": "200", "PYTHONPATH": str(ROOT),
        }  # fmt: skip
        self.environment.pop("MODEL_SERVER_KEY", None)

    @property
    def database(self) -> Path:
        return self.home / "prefect.db"

    @contextmanager
    def serving(self) -> Iterator[Prefect]:
        command = [
            sys.executable, "-m", "prefect", "server", "start", "--host", "127.0.0.1", "--port", str(self.port),
        ]  # fmt: skip
        environment = {name: value for name, value in self.environment.items() if name != "PREFECT_API_URL"}
        log = self.home / "server.log"
        with process(command, log, environment) as server:

            def is_up() -> bool:
                assert server.poll() is None, log.read_text()  # its port may be taken
                return self._is_up()

            wait_for("the Prefect server", is_up, 360)
            yield self

    @contextmanager
    def working(self) -> Iterator[Path]:
        """A worker of the pool `local`; its log."""
        self.run("work-pool", "create", "local", "--type", "process")
        with self.worker("local", "worker"):
            yield self.home / "worker.log"

    @contextmanager
    def worker(self, work_pool: str, name: str, *options: str) -> Iterator[subprocess.Popen[bytes]]:
        """A worker of this pool, which logs under its name."""
        command = [sys.executable, "-m", "prefect", "worker", "start", "--pool", work_pool, "--name", name, *options]
        with process(command, self.home / f"{name}.log", self.environment) as started:
            yield started

    def _is_up(self) -> bool:
        try:
            with urllib.request.urlopen(f"{self.url}/health", timeout=2) as answer:
                return bool(answer.status == 200)
        except OSError:
            return False

    def run(self, *arguments: str, wanted: int | None = 0) -> str:
        """What a command of Prefect prints."""
        found = subprocess.run(
            [sys.executable, "-m", "prefect", "--no-prompt", *arguments], check=False, cwd=ROOT, env=self.environment,
            capture_output=True, text=True, timeout=360,
        )  # fmt: skip
        said = found.stdout + found.stderr
        assert wanted is None or found.returncode == wanted, said
        return said

    def python(self, code: str, *arguments: str) -> None:
        """Run some Python with this server's settings."""
        command = [sys.executable, "-c", code, *arguments]
        subprocess.run(command, check=True, cwd=ROOT, env=self.environment, capture_output=True, timeout=360)

    def ask(self, path: str, body: dict[str, Any] | None = None, method: str | None = None) -> Any:
        """An answer of the server's API."""
        data = None if body is None else json.dumps(body).encode()
        request = urllib.request.Request(self.url + path, data, {"Content-Type": "application/json"}, method=method)
        for _ in range(20):
            try:
                with urllib.request.urlopen(request, timeout=30) as answer:
                    text = answer.read()
                return json.loads(text) if text else None
            except urllib.error.HTTPError as error:
                if error.code != 503:  # its database was locked for a moment; Prefect's own client waits too
                    raise AssertionError(f"{path}: {error.code} {error.read().decode()}") from error
            time.sleep(0.5)
        raise AssertionError(f"{path}: 503 again and again")

    def settled(self) -> int:
        """The size of the database once everything that was told is written."""
        before, now = -1, self._size()
        while before != now:
            time.sleep(4)
            before, now = now, self._size()
        return now

    def _size(self) -> int:
        connection = sqlite3.connect(self.database, timeout=60)
        try:
            pages, free, each = (
                connection.execute(f"PRAGMA {one}").fetchone()[0]
                for one in ("page_count", "freelist_count", "page_size")
            )
        finally:
            connection.close()
        return int((pages - free) * each)

    def task_runs(self) -> int:
        """How many task runs there are."""
        connection = sqlite3.connect(self.database, timeout=60)
        try:
            return int(connection.execute("SELECT COUNT(*) FROM task_run").fetchone()[0])
        finally:
            connection.close()

    def deploy(
        self,
        name: str,
        config: dict[str, Any],
        schedules: Sequence[dict[str, Any]] = (),
        called: str = "",
        work_pool: str = "local",
    ) -> str:
        """Deploy what the project's own prefect.yaml names, with these parameters and schedules; its id."""
        tree = yaml.safe_load((ROOT / "prefect.yaml").read_text(encoding="utf-8"))
        (found,) = (one for one in tree["deployments"] if one["name"] == name)
        called = called or name
        found |= {"name": called, "parameters": {"config": config}, "schedules": list(schedules)}
        found["work_pool"] |= {"name": work_pool}
        file = self.home / f"{name}.yaml"
        file.write_text(yaml.safe_dump({**tree, "deployments": [found]}), encoding="utf-8")
        self.run("deploy", "--all", "--prefect-file", str(file))
        flow = found["entrypoint"].rpartition(":")[2]
        return str(self.ask(f"/deployments/name/{flow}/{called}")["id"])

    def start(self, deployment: str) -> str:
        """Start a run by hand; its id."""
        return str(self.ask(f"/deployments/{deployment}/create_flow_run", {"state": {"type": "SCHEDULED"}})["id"])

    def runs(self, deployment: str) -> list[dict[str, Any]]:
        """The runs of a deployment that have begun or ended, by their start; each with its states."""
        found = self.all_runs(deployment)
        for run in found:
            run["states"] = self.ask(f"/flow_run_states/?flow_run_id={run['id']}")
        return sorted(
            (run for run in found if run["state_type"] != "SCHEDULED"), key=lambda run: str(run["start_time"])
        )

    def all_runs(self, deployment: str) -> list[dict[str, Any]]:
        """The runs of a deployment, those that wait for their time too."""
        return list(self.ask("/flow_runs/filter", {"deployments": {"id": {"any_": [deployment]}}, "limit": 200}))

    def state(self, run: str) -> dict[str, Any]:
        """The state of a run."""
        return dict(self.ask(f"/flow_runs/{run}")["state"])

    def logs(self, run: str) -> list[dict[str, Any]]:
        """What a run told Prefect."""
        return list(self.ask("/logs/filter", {"logs": {"flow_run_id": {"any_": [run]}}, "limit": 200}))

    def told(self, run: str, wanted: str) -> list[str]:
        """What a run told Prefect, once this is among it; a run's log comes in the background."""

        def look() -> list[str] | None:
            lines = [one["message"] for one in self.logs(run)]
            return lines if any(wanted in line for line in lines) else None

        return wait_for(f"{wanted!r} in the log of {run}", look, 180)

    def ended(self, run: str, seconds: float = 450) -> dict[str, Any]:
        """The final state of a run."""

        def look() -> dict[str, Any] | None:
            state = self.state(run)
            return state if state["type"] in FINAL else None

        return wait_for(f"the end of {run}", look, seconds)
