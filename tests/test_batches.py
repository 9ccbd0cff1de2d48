"""Questions that are answered by batches: at a provider with the faults that batches have, and from a folder."""

from __future__ import annotations

import json
import os
import random
import signal
import subprocess
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web

from selfinstruct.cli import commands as cli
from selfinstruct.config.loading import load
from selfinstruct.models.offline.protocol import Model, answer_chat
from selfinstruct.models.offline.server import OfflineServer
from selfinstruct.runner.run import grow_blocking
from tests.builders import ROOT, assert_it_adds_up, exported, grow, rows
from tests.processes import generate, running, wait_until
from tests.servers import ScriptedServer, says

AGAIN = "SELECT COUNT(*) FROM attempts"
FAULTS = "seconds=0.2,expired=15%,failed=5%,twice=20%,slow=0.1"


def settings(place: Path, more: str = "", **batch: Any) -> Path:
    lines = [f"{name} = {json.dumps(value)}" for name, value in {"enabled": True, "wait_s": 0.15, **batch}.items()]
    file = place / "batches.toml"
    file.write_text(f"round_size = 4\nlookahead = 1\n{more}\n[batch]\n" + "\n".join(lines), encoding="utf-8")
    return file


def live(folder: Path, server: OfflineServer, target: int) -> bytes:
    """The export of a pool that was grown without batches."""
    assert (
        grow(folder, target=target, base_url=server.base_url, model="offline", round_size=4, lookahead=1).exit_code == 0
    )
    return exported(folder)


@pytest.mark.parametrize("stragglers", ["batch", "live"])
def test_batches_with_all_their_faults_give_the_same_bytes(tmp_path: Path, stragglers: str) -> None:
    said: list[str] = []
    with OfflineServer(quirk="none", batches=FAULTS) as server:
        wanted = live(tmp_path / "live", server, 40)
        before = server.stats()["requests"]
        config = settings(tmp_path, stragglers=stragglers)
        assert (
            grow(
                tmp_path / "p", target=40, base_url=server.base_url, model="offline", config=config, tell=said
            ).exit_code
            == 0
        )
        assert exported(tmp_path / "p") == wanted
        assert_it_adds_up(tmp_path / "p")
        batches = server.batches
        assert max(batches.answered.values()) == 1
        assert (server.stats()["requests"] > before) == (stragglers == "live")
        assert (max(batches.accepted.values()) == 1) == (stragglers == "live")
    assert any("unanswered; asked again" in one for one in said)


def test_a_batch_that_is_too_large_is_halved_and_one_that_is_gone_handed_in_again(tmp_path: Path) -> None:
    said: list[str] = []
    with OfflineServer(quirk="none", batches="seconds=0.3,most=5") as server:
        wanted = live(tmp_path / "live", server, 20)
        forgotten: list[str] = []

        def tell(line: str) -> None:
            said.append(line)
            if not forgotten and "in_progress" in line:
                forgotten.append(line)
                server.batches.forget()

        config = load(settings(tmp_path), {"pool": tmp_path / "p", "target": 20, "base_url": server.base_url,
                                           "model": "offline"})  # fmt: skip
        assert grow_blocking(config, tell).exit_code == 0
    assert exported(tmp_path / "p") == wanted
    assert any("Enqueued token limit reached.; trying half as many" in one for one in said)
    assert forgotten
    assert any("unanswered; asked again" in one for one in said)


def test_a_new_pool_whose_first_batch_is_out_is_kept_when_access_is_lost(tmp_path: Path) -> None:
    with OfflineServer(quirk="none", batches="seconds=1", api_key="k") as server:
        command = generate(tmp_path / "p", server.base_url, 10, "--config", settings(tmp_path))
        first, later = ({**os.environ, "OPENAI_API_KEY": key} for key in ("k", "other"))
        with running(command, env=first) as process:
            wait_until(lambda: bool(server.batches.accepted), process)
            server.lock("other")
            assert process.wait(60) == 5
        assert rows(tmp_path / "p", "SELECT COUNT(*) FROM completions") == [(0,)]
        reserved = "SELECT SUM(COALESCE(usd_e12, reserved_usd_e12)), SUM(reserved_tokens) FROM attempts"
        before = rows(tmp_path / "p", reserved)
        tight = [*command, "--max-tokens", "10"]
        done = subprocess.run(tight, cwd=ROOT, capture_output=True, check=False, env=later)
        assert done.returncode == 3
        assert rows(tmp_path / "p", reserved) == before, "what is out counts at its reserve until it is known"
        subprocess.run(command, cwd=ROOT, check=True, env=later)
        assert max(server.batches.accepted.values()) == 1


def test_killed_at_any_moment_nothing_is_handed_in_twice_that_was_taken(tmp_path: Path) -> None:
    kills, generator = int(os.environ.get("KILLS", "8")), random.Random(3)
    target = 3 * kills
    with OfflineServer(style="words", quirk="none", batches="seconds=0.3,twice=20%,slow=0.15") as server:
        wanted = live(tmp_path / "live", server, target)
        prices = "[prices.offline]\ninput = 1000\noutput = 1000\n[budget]\npool_max_usd = 900000\n"
        command = generate(tmp_path / "p", server.base_url, target, "--config", settings(tmp_path, prices))
        for _ in range(kills):
            with running(command) as process:
                time.sleep(generator.uniform(1.2, 3.0))
                process.send_signal(signal.SIGKILL)
        done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr
        assert max(server.batches.accepted.values()) == 1
    assert exported(tmp_path / "p") == wanted
    assert_it_adds_up(tmp_path / "p")
    # a kill may come between an answer and its price, which is then its reserve
    known = "request NOT IN (SELECT request FROM attempts WHERE usd_e12 IS NULL)"
    ((spent,),) = rows(tmp_path / "p", f"SELECT SUM(usd_e12) FROM attempts WHERE {known}")
    paid_for = "(SELECT number AS request, id FROM requests) JOIN completions ON request_id = id"
    ((paid,),) = rows(tmp_path / "p", f"SELECT SUM(prompt_tokens + completion_tokens) FROM {paid_for} WHERE {known}")
    assert spent == paid * 500 * 10**6, "each answer is paid for once, at half the price"


def test_a_budget_of_requests_ends_a_run_once_its_batches_are_answered(tmp_path: Path) -> None:
    with OfflineServer(quirk="none", batches="seconds=0.3") as server:
        for requests in (5, 3):
            ended = grow(
                tmp_path / "p", target=30, base_url=server.base_url, model="offline", config=settings(tmp_path),
                max_requests=requests,
            )  # fmt: skip
            assert ended.exit_code == 3
    assert rows(tmp_path / "p", "SELECT COUNT(*) FROM completions") == [(8,)]


@contextmanager
def answering(folder: Path, model: Model) -> Iterator[None]:
    """Something like `vllm run-batch` for each file that comes, which writes its results bit by bit."""
    ended = threading.Event()

    def work() -> None:
        while not ended.wait(0.05):
            for file in folder.glob("in-*.jsonl"):
                results = folder / file.name.replace("in-", "out-")
                if results.exists():
                    continue
                lines = [json.loads(line) for line in file.read_text("utf-8").splitlines()]
                with results.open("w", encoding="utf-8") as out:
                    for line in reversed(lines):
                        response = {"status_code": 200, "body": answer_chat(line["body"], model)}
                        written = json.dumps({"custom_id": line["custom_id"], "response": response, "error": None})
                        out.write(written[:9])
                        out.flush()
                        out.write(f"{written[9:]}\n")

    worker = threading.Thread(target=work)
    worker.start()
    try:
        yield
    finally:
        ended.set()
        worker.join()


def test_a_folder_of_batches_gives_the_same_bytes(tmp_path: Path) -> None:
    with OfflineServer(quirk="none") as server:
        wanted = live(tmp_path / "live", server, 20)
    config = settings(tmp_path, folder=str(tmp_path / "batches"))
    with answering(tmp_path / "batches", Model(quirks={})):
        assert (
            grow(tmp_path / "p", target=20, model="offline", base_url="http://127.0.0.1:9/v1", config=config).exit_code
            == 0
        )
    assert exported(tmp_path / "p") == wanted


def test_a_forecast_says_how_many_batches_follow_each_other(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    command = ["generate", str(tmp_path / "p"), "--batch", "--model", "gpt-4o-mini", "--target", "10000", "--dry-run"]
    assert cli.run([*command, "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert found["batches"] <= 12
    assert found["seconds"] is None
    assert cli.run(command) == 0
    assert f"about {found['batches']} batches one after the other" in capsys.readouterr().out
    assert (
        cli.run(["generate", str(tmp_path / "p"), "--model", "gpt-4o-mini", "--target", "10000", "--dry-run", "--json"])
        == 0
    )
    assert json.loads(capsys.readouterr().out)["usd"] == pytest.approx(2 * found["usd"], rel=0.05)


@pytest.mark.parametrize(
    ("given", "said"),
    [
        (["--batch"], "--batch is for providers and for `batch.folder`"),
        (["--batch", "--backend", "vllm", "--model", "m"], "--batch is for providers and for `batch.folder`"),
        (["--batch", "--model", "m", "--base-url-file", "u"], "--batch leaves its questions with one provider"),
        (["--batch-stragglers", "live"], "[batch] does nothing unless batches are switched on; add --batch"),
    ],
)
def test_what_cannot_be_asked_by_batches_is_one_line(
    given: Sequence[str], said: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert cli.run(["generate", str(tmp_path / "p"), *given]) == 2
    assert said in capsys.readouterr().err


class WithoutBatches(ScriptedServer):
    """Serves chats and nothing else."""

    def add_routes(self, app: web.Application) -> None:
        app.router.add_get("/v1/models", self._list)
        app.router.add_post("/v1/{path:chat/completions}", self._post)


def test_a_server_without_batches_is_left_with_its_words(tmp_path: Path) -> None:
    with WithoutBatches(says(lambda *_: None)) as server:
        ended = grow(tmp_path / "p", target=5, model="m", base_url=server.base_url, config=settings(tmp_path))
        assert not server.bodies
    assert ended.exit_code == 5
    assert "it has no batches; leave out --batch" in ended.reason
