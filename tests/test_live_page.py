"""The page of a run as a server: who is let in, how often the database is read, and what a command line says of it."""

from __future__ import annotations

import base64
import hashlib
import os
import re
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx
import pytest

from selfinstruct.cli import commands as cli
from selfinstruct.cli.live_page import LAST_S, LivePage
from selfinstruct.errors import PoolError
from selfinstruct.models.offline.server import OfflineServer
from selfinstruct.pool.edits import Selection, change
from selfinstruct.runner.pump import Outcome
from tests.builders import ROOT, grow, rows
from tests.pools import NOW
from tests.processes import generate, running
from tests.test_live import in_a_terminal


@pytest.fixture(scope="module")
def pool(tmp_path_factory: pytest.TempPathFactory) -> Path:
    made = tmp_path_factory.mktemp("made") / "p"
    grow(made, target=20)
    return made


@contextmanager
def client_of(pool: Path) -> Iterator[tuple[httpx.Client, LivePage]]:
    """A client that asks as the page does."""
    told: list[str] = []
    with LivePage(pool, 0, told.append) as live:
        base, token = told[0].rpartition(" ")[2].split("/?token=")
        with httpx.Client(base_url=base, headers={"X-Token": token}, timeout=20) as opened:
            yield opened, live


def test_only_whoever_has_the_token_and_asks_from_the_page_gets_anything(pool: Path) -> None:
    with client_of(pool) as (client, _):
        token = client.headers["X-Token"]
        page = client.get(f"/?token={token}")
        (script,), (style,) = (
            re.findall(f"<{name}>(.*?)</{name}>", page.text, re.DOTALL) for name in ("script", "style")
        )
        policy = page.headers["Content-Security-Policy"]
        for text in (script, style):
            assert base64.b64encode(hashlib.sha256(text.encode()).digest()).decode() in policy
        assert client.get("/api/now").json()["pool"] == str(pool)
        refused = [
            client.get("/"),
            client.get("/api/now", headers={"X-Token": ""}),
            client.get("/api/now", headers={"Host": "evil.example"}),
            client.get("/api/now", headers={"Origin": "http://evil.example"}),
            client.post("/api/now"),
        ]
        assert [answer.status_code for answer in refused] == [403] * len(refused)
        assert not any(token in answer.text or "instruction" in answer.text for answer in refused)
        assert client.get("/api/rows").status_code == 404


def test_texts_are_read_at_most_once_a_second_and_are_the_newest(pool: Path) -> None:
    newest = [one for (one,) in rows(pool, "SELECT id FROM tasks WHERE state = 'done' AND origin = 'generated' "
                                           "ORDER BY position DESC LIMIT 2")]  # fmt: skip
    with client_of(pool) as (client, live):

        def shown() -> list[str]:
            return [row["id"].partition("/")[0] for row in client.get("/api/now").json()["rows"]]

        first = shown()
        assert list(dict.fromkeys(first))[:2] == newest
        change(pool, "remove", Selection((newest[0],)), "", NOW)
        assert shown() == first
        time.sleep(1.1)
        assert newest[0] not in shown()
        found = client.get("/api/now").json()
        assert [one["number"] for one in found["rejections"]] == [
            one for (one,) in rows(pool, "SELECT number FROM rejections ORDER BY number DESC LIMIT 8")
        ]
        assert all(one["meaning"] for one in found["rejections"])
        assert found["ended"] is None
        live.ended(Outcome(3, "enough"))
        assert client.get("/api/now").json()["ended"] == {"exit_code": 3, "reason": "enough"}
    with pytest.raises(httpx.ConnectError):
        httpx.get(str(client.base_url))


def test_a_run_waits_only_for_whoever_looks_and_says_how_it_failed(tmp_path: Path) -> None:
    begun = time.monotonic()
    with LivePage(tmp_path / "none", 0, lambda _: None):
        pass
    assert time.monotonic() - begun < LAST_S
    with pytest.raises(PoolError, match="broken"), client_of(tmp_path / "none") as (client, live):  # noqa: PT012
        assert client.get("/api/now").json()["rows"] == []
        raise PoolError("broken")
    assert live._now()["ended"] == {"exit_code": 2, "reason": "broken"}


def test_the_page_takes_the_port_that_is_given_and_a_run_by_itself_is_the_same(tmp_path: Path) -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    with OfflineServer(latency="fixed:0.2") as server:
        command = generate(tmp_path / "p", server.base_url, 30, "--page", port)
        with running(command, stderr=subprocess.PIPE, start_new_session=True) as process:
            line = process.stderr.readline().decode()
            assert f" http://127.0.0.1:{port}/?token=" in line
            token = line.strip().rpartition("=")[2]
            asked = {"X-Token": token}
            while "goal" not in (now := httpx.get(f"http://127.0.0.1:{port}/api/now", headers=asked).json()):
                time.sleep(0.05)
            assert (now["goal"], now["unit"]) == (30, "tasks")
            assert token not in Path(f"/proc/{process.pid}/cmdline").read_text("utf-8")
            os.killpg(process.pid, signal.SIGINT)
            while (ended := httpx.get(f"http://127.0.0.1:{port}/api/now", headers=asked).json()["ended"]) is None:
                time.sleep(0.05)
            assert ended == {"exit_code": 130, "reason": "interrupted"}
            assert process.wait(60) == 130


@pytest.mark.parametrize("is_terminal", [True, False])
def test_the_browser_is_opened_where_there_is_a_terminal(tmp_path: Path, is_terminal: bool) -> None:
    browser = tmp_path / "browser"
    browser.write_text(f'#!/bin/sh\ncat "${{1#file://}}" > {tmp_path}/page\n')
    browser.chmod(0o755)
    arguments, more = ["generate", "--page", "--pool", str(tmp_path / "p"), "--target", "5"], f"{browser} %s"
    if is_terminal:
        code, shown, _ = in_a_terminal(*arguments, BROWSER=more, COLUMNS="200")
    else:
        command = [sys.executable, "-m", "selfinstruct", *arguments]
        env = {**os.environ, "BROWSER": more}
        done = subprocess.run(command, cwd=ROOT, env=env, capture_output=True, text=True, check=False)
        code, shown = done.returncode, done.stderr
    assert code == 0
    assert (tmp_path / "page").exists() == is_terminal
    address = re.search(r"http://127\.0\.0\.1:\d+/\?token=[\w-]+", shown)
    assert address
    assert not is_terminal or address[0] in (tmp_path / "page").read_text("utf-8")


@pytest.mark.parametrize(
    ("given", "said"),
    [
        (("--page", "--dry-run"), "--page shows a run that grows a pool"),
        (("--page=0", "--preview", "2"), "--page shows a run that grows a pool"),
        (("--page", "70000"), "--page"),
        (("--page=x",), "--page"),
    ],
)
def test_a_page_that_cannot_be_is_one_line(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], given: tuple[str, ...], said: str
) -> None:
    assert cli.run(["generate", *given, "--pool", str(tmp_path / "p"), "--target", "5"]) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert said in line
    assert not (tmp_path / "p").exists()


def test_a_port_in_use_is_one_line_and_the_pool_may_follow_the_option(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        assert cli.run(["generate", "--page", str(port), str(tmp_path / "p"), "--target", "5"]) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert f"--page: {port} cannot be used" in line
    assert cli.run(["generate", "--page", str(tmp_path / "p"), "--target", "5", "--json"]) == 0
    assert "the page of this run: http://127.0.0.1:" in capsys.readouterr().err
