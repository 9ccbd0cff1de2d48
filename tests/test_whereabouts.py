"""Servers that come and go while a run goes on: no question is lost, none is asked twice, and no byte differs."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import threading
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from aiohttp import web

from selfinstruct.config.loading import load
from selfinstruct.config.roles import role_of
from selfinstruct.errors import ConfigError
from selfinstruct.models.client import Client
from selfinstruct.models.endpoint import EndpointConfig
from selfinstruct.models.offline.protocol import CARD, Model, answer_chat
from selfinstruct.models.offline.server import OfflineServer
from selfinstruct.models.routing import Slots
from selfinstruct.models.urls import urls_in
from selfinstruct.models.whereabouts import Whereabouts
from selfinstruct.runner.pump import Outcome
from tests.asking import FINE, requests, until
from tests.builders import ROOT, exported, grow, rows
from tests.processes import counted, generate, running, wait_until
from tests.servers import Answer, ScriptedServer, completion

TARGET = 100
SLOW = "fixed:0.2"


def write(path: Path, *urls: str) -> None:
    """Put URLs into a file at once, as who shares it with readers should."""
    beside = path.with_suffix(".new")
    beside.write_text("\n".join(("# servers", "", *urls)), encoding="utf-8")
    beside.replace(path)


@contextlib.contextmanager
def served(latency: str = SLOW) -> Iterator[tuple[str, subprocess.Popen[Any]]]:
    """The built-in model in a process of its own, with its base URL."""
    command = [sys.executable, "-m", "selfinstruct", "offline-server", "--port", "0", "--latency", latency]
    with running(command, stderr=subprocess.PIPE) as process:
        found = re.search(rb"http://[\d.:]+/v1", process.stderr.readline())
        assert found
        yield found[0].decode(), process


# --- a file of URLs -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "urls", "fault"),
    [
        ("http://a:1/v1\n\n# more\n  http://b:2/v1/models  # gpu2\n", ["http://a:1/v1", "http://b:2/v1"], ""),
        ("http://a/v1\ngpu1:8000\n", ["http://a/v1"], ":2: a base URL begins with http:// .* meant: http://gpu1:8000"),
        ("http://a/v1\nhttp://me:secret@ b\n", ["http://a/v1"], ":2: a base URL has no spaces"),
        ("# none yet\n", [], " holds no base URL; give one a line"),
        (None, [], ": no such file; name a text file with a base URL a line"),
    ],
)
def test_a_file_lists_urls_and_a_fault_names_its_line(
    tmp_path: Path, text: str | None, urls: list[str], fault: str
) -> None:
    path = tmp_path / "urls.txt"
    if text is not None:
        path.write_text(text, encoding="utf-8")
    found, said = urls_in(path)
    assert found == urls
    assert re.fullmatch(f"{re.escape(str(path))}{fault}.*" if fault else "", said), said
    assert "secret" not in said
    if fault:
        with pytest.raises(ConfigError, match=fault):
            grow(tmp_path / "pool", base_url_file=path)


def test_a_stage_with_servers_of_its_own_has_not_those_of_the_model(tmp_path: Path) -> None:
    path = tmp_path / "c.toml"
    path.write_text(
        'model = {name = "m", base_url_file = "all.txt"}\nstages.respond = {base_url = "http://b/v1"}\n'
        'stages.inputs = {base_url_file = "few.txt"}\n', encoding="utf-8",
    )  # fmt: skip
    config = load(path, {})
    found = {stage: role_of(config, stage) for stage in ("propose", "respond", "inputs")}
    assert {stage: (one.base_url, one.base_url_file) for stage, one in found.items()} == {
        "propose": ((), Path("all.txt")), "respond": (("http://b/v1",), None), "inputs": ((), Path("few.txt")),
    }  # fmt: skip


@pytest.fixture(scope="module")
def reference(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    """What a run with one server exports."""
    pool = tmp_path_factory.mktemp("reference") / "pool"
    with OfflineServer() as server:
        assert grow(pool, target=TARGET, base_url=[server.base_url], model="offline").exit_code == 0
    return exported(pool)


@pytest.fixture
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """Look for servers often."""
    monkeypatch.setattr("selfinstruct.runner.clients.LOOKED_FOR_EVERY_S", 0.05)


@contextlib.contextmanager
def growing(pool: Path, path: Path, told: list[str], **options: Any) -> Iterator[threading.Thread]:
    """A run beside the test, which has reached its target when this is left."""
    ended: list[Outcome] = []
    given = {"target": TARGET, "base_url_file": path, "model": "offline", "concurrency": 8, **options}
    thread = threading.Thread(target=lambda: ended.append(grow(pool, tell=told, **given)), daemon=True)
    thread.start()
    yield thread
    thread.join(100)
    assert [one.exit_code for one in ended] == [0], told


def wait_for(reached: Any, thread: threading.Thread) -> None:
    """Returns once this is so, while the run goes on."""
    while not reached():
        assert thread.is_alive(), "the run ended before what was waited for"
        thread.join(0.02)


def asked_once(pool: Path) -> bool:
    """No question has two answers, and none of an accepted task is open."""
    twice = rows(pool, "SELECT request_id FROM completions GROUP BY request_id HAVING COUNT(*) > 1")
    return not twice and not rows(pool, "SELECT id FROM requests WHERE state = 'open' AND task_id IS NOT NULL")


@pytest.mark.usefixtures("quick")
def test_servers_join_leave_and_are_killed_and_the_rows_are_those_of_one_server(
    tmp_path: Path, reference: bytes
) -> None:
    path, pool, told = tmp_path / "urls.txt", tmp_path / "pool", list[str]()
    with OfflineServer(latency=SLOW) as first, OfflineServer(latency=SLOW) as last, served() as (url, doomed):
        write(path, first.base_url)
        with growing(pool, path, told) as run:
            wait_for(lambda: counted(pool) >= 20, run)
            assert first.stats()["most_in_flight"] == 8
            write(path, first.base_url, url)
            of_doomed = f"SELECT COUNT(*) FROM completions WHERE endpoint = '{url}'"
            wait_for(lambda: counted(pool, of_doomed) >= 8, run)
            doomed.kill()
            write(path, first.base_url, last.base_url)
            wait_for(lambda: last.stats()["answered"] >= 8, run)
            asked_before = first.stats()["requests"]
            write(path, last.base_url)
            wait_for(lambda: any(f"{first.base_url} leaves" in line for line in told), run)
            wait_for(lambda: last.stats()["most_in_flight"] == 8, run)
        now = [server.stats() for server in (first, last)]
        assert [one["asked_again"]["after_answer"] + one["abandoned"] for one in now] == [0, 0]
        assert now[0]["requests"] <= asked_before + 8, "one that has left gets nothing more"
        assert not first.seen.keys() & last.seen.keys(), "what one has answered no other is asked"
    assert exported(pool) == reference
    assert asked_once(pool)
    again = (
        "SELECT request FROM attempts JOIN requests r ON r.number = request JOIN completions ON request_id = r.id "
        "WHERE endpoint = ? GROUP BY 1"
    )
    assert not rows(pool, again.replace("?", f"'{url}'") + " HAVING COUNT(*) > 1"), "nor what a dead one has answered"
    kept = dict(rows(pool, "SELECT endpoint, COUNT(*) FROM completions GROUP BY endpoint"))
    assert kept.keys() == {first.base_url, url, last.base_url}


@pytest.mark.usefixtures("quick")
def test_a_file_that_is_no_list_for_a_moment_takes_no_server_away_and_that_is_told_once(
    tmp_path: Path, reference: bytes
) -> None:
    path, pool, told = tmp_path / "urls.txt", tmp_path / "pool", list[str]()
    with OfflineServer(latency=SLOW) as first, OfflineServer(latency=SLOW) as second:
        write(path, first.base_url)
        with growing(pool, path, told) as run:
            wait_for(lambda: counted(pool) >= 8, run)
            for change in (path.unlink, lambda: write(path), lambda: write(path, second.base_url, "gpu1:8000")):
                before, said = counted(pool), len(told)
                change()
                wait_for(lambda: counted(pool) >= before + 24, run)  # noqa: B023 - called at once
                faults = [line for line in told[said:] if "going on with the servers known so far" in line]
                assert len(faults) == 1, told
            assert f"{path}:4: a base URL begins with" in faults[0]
            assert any(f"{second.base_url} joins" in line for line in told)
            assert not any("leaves" in line for line in told)
        assert min(first.stats()["answered"], second.stats()["answered"]) > 0
    assert exported(pool) == reference


@pytest.mark.usefixtures("quick")
def test_when_all_are_gone_the_run_waits_for_one_that_comes(tmp_path: Path, reference: bytes) -> None:
    path, pool, told = tmp_path / "urls.txt", tmp_path / "pool", list[str]()
    with served() as (url, only):
        write(path, url)
        with growing(pool, path, told) as run:
            wait_for(lambda: counted(pool) >= 16, run)
            only.kill()
            wait_for(lambda: any("does not answer" in line and "waiting" in line for line in told), run)
            write(path)
            before = counted(pool)
            with served() as (another, _):
                write(path, another)
                wait_for(lambda: counted(pool) > before, run)
                run.join(100)
    assert exported(pool) == reference
    assert asked_once(pool)


# --- a name of several addresses --------------------------------------------------------------------------------------


def found(*places: str, family: int = socket.AF_INET) -> list[tuple[Any, ...]]:
    """What getaddrinfo says of a name at these addresses."""
    return [(family, socket.SOCK_STREAM, 6, "", (place, 8000)) for place in places]


@pytest.mark.parametrize(
    ("url", "says", "wanted"),
    [
        ("http://me:pw@gpu:8000/v1?a=b", found("10.0.0.2", "10.0.0.1"),
         ["http://me:pw@10.0.0.1:8000/v1?a=b", "http://me:pw@10.0.0.2:8000/v1?a=b"]),
        ("http://gpu/v1", found("10.0.0.1", "10.0.0.2"), ["http://10.0.0.1:80/v1", "http://10.0.0.2:80/v1"]),
        ("http://gpu/v1", found("fd00::1", "fd00::2", family=socket.AF_INET6) + found("10.0.0.1"),
         ["http://[fd00::1]:80/v1", "http://[fd00::2]:80/v1"]),
        ("http://gpu/v1", found("10.0.0.1") + found("fd00::1", family=socket.AF_INET6), ["http://gpu/v1"]),
        ("http://gpu/v1", OSError("no"), ["http://gpu/v1"]),
        ("https://gpu/v1", found("10.0.0.1", "10.0.0.2"), ["https://gpu/v1"]),
        ("http://localhost/v1", found("10.0.0.1", "10.0.0.2"), ["http://localhost/v1"]),
        ("http://10.0.0.9/v1", found("10.0.0.1", "10.0.0.2"), ["http://10.0.0.9/v1"]),
    ],
)  # fmt: skip
def test_each_address_of_a_name_is_an_endpoint(
    url: str, says: list[tuple[Any, ...]] | OSError, wanted: list[str]
) -> None:
    def resolve(*_: Any) -> list[tuple[Any, ...]]:
        if isinstance(says, OSError):
            raise says
        return says

    told: list[str] = []
    now = asyncio.run(Whereabouts([EndpointConfig(url)], [], None, told.append, resolve).now())
    assert [one.base_url for one in now] == wanted
    assert {one.host for one in now} == ({"gpu:8000"} if ":8000" in url else {"gpu"} if len(wanted) > 1 else {""})
    assert told == []


def test_a_name_that_a_proxy_looks_up_is_left_to_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("http_proxy", "http://proxy:3128")
    monkeypatch.setenv("no_proxy", ".cluster.local")
    for host, is_ours in (("gpu.example.com", False), ("gpu.cluster.local", True)):
        where = Whereabouts([EndpointConfig(f"http://{host}/v1")], [], None, print)
        assert where.may_change is is_ours


@contextlib.contextmanager
def three(answer: Answer, model: str | dict[str, Any]) -> Iterator[tuple[int, list[ScriptedServer]]]:
    """Servers at one port of three addresses of this machine."""
    with ScriptedServer(answer, [model]) as first:
        port = int(first.base_url.split(":")[-1].removesuffix("/v1"))
        second, third = (ScriptedServer(answer, [model], port, host=place) for place in ("127.0.0.2", "127.0.0.3"))
        with second, third:
            yield port, [first, second, third]


LINUX = pytest.mark.skipif(sys.platform != "linux", reason="elsewhere a machine has one loopback address of IPv4")


@LINUX
def test_addresses_of_a_name_come_and_go_and_each_is_asked_by_the_name() -> None:
    places: list[str] | None = ["127.0.0.1", "127.0.0.2"]
    hosts: dict[str, set[str]] = {}
    told: list[str] = []

    def resolve(host: str, *_: Any) -> list[tuple[Any, ...]]:
        assert host == "servers.test"
        if places is None:
            raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")
        return found(*places)

    async def answer(_: int, __: str, ___: dict[str, Any], request: web.Request) -> web.StreamResponse:
        assert request.transport is not None
        place = request.transport.get_extra_info("sockname")[0]
        hosts.setdefault(place, set()).add(request.headers["Host"])
        await asyncio.sleep(0.02)
        return completion(place)

    async def run() -> tuple[list[Any], list[list[str]]]:
        nonlocal places
        where = Whereabouts([EndpointConfig(f"http://servers.test:{port}/v1")], [], None, told.append, resolve)
        client = Client(await where.now(), Slots(6), tell=told.append)
        seen = []
        try:
            await client.check()
            asks = [asyncio.create_task(client.complete(one, 0)) for one in requests(600)]
            await until(lambda: len(hosts) == 2)
            for change in (["127.0.0.2", "127.0.0.3"], None, None, ["127.0.0.1", "127.0.0.2"]):
                places = change
                await client.use(await where.now())
                seen.append([one.url for one in client.endpoints])
                await until(lambda: len(hosts) == 3)
            return await asyncio.gather(*asks), seen
        finally:
            await client.close()

    with three(answer, "m") as (port, servers):
        got, seen = asyncio.run(run())
    assert sum(len(one.bodies) for one in servers) == len(got) == 600
    assert {one.text for one in got} == {"127.0.0.1", "127.0.0.2", "127.0.0.3"}
    assert {name for names in hosts.values() for name in names} == {f"servers.test:{port}"}
    assert [[url.split(":")[1].strip("/") for url in urls] for urls in seen] == [
        ["127.0.0.2", "127.0.0.3"], ["127.0.0.2", "127.0.0.3"], ["127.0.0.2", "127.0.0.3"], ["127.0.0.2", "127.0.0.1"],
    ]  # fmt: skip
    assert len([line for line in told if "this name has no address now" in line]) == 1


BY_NAME = """
import socket, sys
from pathlib import Path
known, path = socket.getaddrinfo, Path(sys.argv.pop(1))
def getaddrinfo(host, *more, **named):
    places = path.read_text().split() if host == "servers.test" else [host]
    return [found for place in places for found in known(place, *more, **named)]
socket.getaddrinfo = getaddrinfo
from selfinstruct.cli.commands import run
from selfinstruct.runner import clients
clients.LOOKED_FOR_EVERY_S = 0.05
sys.exit(run(sys.argv[1:]))
"""


@LINUX
def test_a_run_by_a_name_whose_addresses_change_has_the_rows_of_one_server(tmp_path: Path, reference: bytes) -> None:
    async def answer(_: int, __: str, body: dict[str, Any], ___: web.Request) -> web.StreamResponse:
        await asyncio.sleep(0.2)
        return web.json_response(answer_chat(body, Model()))

    pool, path = tmp_path / "pool", tmp_path / "addresses.txt"
    with three(answer, CARD) as (port, servers):
        command = generate(pool, f"http://servers.test:{port}/v1", TARGET, "--concurrency", 8)
        path.write_text("127.0.0.1 127.0.0.2")
        with running([sys.executable, "-c", BY_NAME, str(path), *command[3:]]) as process:
            wait_until(lambda: counted(pool) >= 16, process)
            path.write_text("127.0.0.2 127.0.0.3")
            wait_until(lambda: len(servers[2].bodies) >= 8, process)
            path.write_text("127.0.0.3 127.0.0.1")
            assert process.wait(100) == 0
    assert exported(pool) == reference
    bodies = [json.dumps(body) for server in servers for body in server.bodies]
    assert len(bodies) == len({*bodies}) == counted(pool), "each question is asked once, of one of them"
    assert all(server.bodies for server in servers)


def test_a_server_that_comes_with_a_shorter_context_is_not_used() -> None:
    told: list[str] = []

    async def run() -> list[Any]:
        client = Client([EndpointConfig(long.base_url)], Slots(4), tell=told.append)
        try:
            await client.check()
            await client.use([EndpointConfig(long.base_url), EndpointConfig(short.base_url)])
            await until(lambda: any(one.left for one in client.endpoints))
            return [await client.complete(one, 0) for one in requests(12)]
        finally:
            await client.close()

    with (
        ScriptedServer(FINE, [{"id": "m", "max_model_len": 8192}]) as long,
        ScriptedServer(FINE, [{"id": "m", "max_model_len": 2048}]) as short,
    ):
        got = asyncio.run(run())
    assert [one.text for one in got] == ["fine"] * 12
    assert (len(long.bodies), len(short.bodies)) == (12, 0)
    assert any("m has a context of 2,048 tokens there, and 8,192 elsewhere" in line for line in told)


# --- clusters -------------------------------------------------------------------------------------------------------

CLUSTERS = (ROOT / "docs/clusters.md").read_text(encoding="utf-8")


def test_the_slurm_script_lists_servers_while_they_answer(tmp_path: Path) -> None:
    """Without Slurm, and with the built-in model in the place of vLLM: two jobs of the array, of which one is ended."""
    if not all(map(shutil.which, ("bash", "curl", "flock", "hostname"))):
        pytest.skip("THE SLURM SCRIPT IS NOT TESTED: bash, curl, flock and hostname are needed")
    (script,) = re.findall(r"```bash\n(.*?)```", CLUSTERS, re.DOTALL)
    (tmp_path / "qwen.sbatch").write_text(script, encoding="utf-8")
    stand_in = tmp_path / "bin" / "vllm"
    stand_in.parent.mkdir()
    stand_in.write_text(f'#!/bin/sh\nexec {sys.executable} -m selfinstruct offline-server --port "$4"\n')
    stand_in.chmod(0o755)
    path, name = tmp_path / "urls.txt", socket.gethostname()

    def job(port: int) -> contextlib.AbstractContextManager[subprocess.Popen[Any]]:
        return running(
            ["bash", str(tmp_path / "qwen.sbatch")], start_new_session=True,
            env={**os.environ, "PATH": f"{stand_in.parent}:{os.environ['PATH']}", "SLURM_SUBMIT_DIR": str(tmp_path),
                 "SLURM_ARRAY_TASK_ID": str(port - 8000), "GRACE": "0"},
        )  # fmt: skip

    def listed() -> list[str]:
        return sorted(urls_in(path)[0])

    with free_port() as one, free_port() as other:
        urls = sorted(f"http://{name}:{port}/v1" for port in (one, other))
    with job(one) as first, job(other) as second:
        try:
            wait_until(lambda: listed() == urls, first)
            first.terminate()
            first.wait()
            assert listed() == [f"http://{name}:{other}/v1"]
            with urllib.request.urlopen(f"http://localhost:{other}/health") as answer:
                assert answer.status == 200
            second.terminate()
            second.wait()
            assert (path.read_text(), listed()) == ("", [])
        finally:
            for process in (first, second):
                with contextlib.suppress(ProcessLookupError):
                    os.killpg(process.pid, signal.SIGKILL)


@contextlib.contextmanager
def free_port() -> Iterator[int]:
    """A port that is free once this is left."""
    with socket.create_server(("127.0.0.1", 0)) as taken:
        yield taken.getsockname()[1]


def test_the_files_for_clusters_can_be_read() -> None:
    found = [one for text in re.findall(r"```yaml\n(.*?)```", CLUSTERS, re.DOTALL) for one in yaml.safe_load_all(text)]
    assert {"Service", "Deployment", "applications", "resources"} <= {one.get("kind") or min(one) for one in found}
