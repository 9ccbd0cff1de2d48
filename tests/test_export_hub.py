"""Pushing an export, by the real huggingface_hub to a server of our own."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from selfinstruct.cli import commands as cli
from selfinstruct.types import Instance, Task
from tests.builders import ROOT, made_pool
from tests.hub_server import Hub, hub

TOKEN = "hf_aVerySecretToken"


@pytest.fixture
def server() -> Iterator[Hub]:
    with hub(TOKEN) as state:
        yield state


@pytest.fixture
def pool(tmp_path: Path) -> Path:
    return made_pool(
        tmp_path / "p", [Task(f"t{n:020x}", f"Say {n}.", False, (Instance("", f"{n}"),)) for n in range(5)]
    )


def push(pool: Path, *options: str, url: str, token: str = TOKEN) -> subprocess.CompletedProcess[str]:
    environment = {
        name: value
        for name, value in os.environ.items()
        if not name.startswith("HF_") and not name.lower().endswith("_proxy")
    }
    home = str(pool.parent / "home")
    environment |= {"HF_ENDPOINT": url, "HF_HUB_DISABLE_XET": "1", "HF_HOME": home, "HF_TOKEN": token}
    command = [sys.executable, "-m", "selfinstruct", "export", str(pool), *options, "somebody/tasks"]
    return subprocess.run(command, cwd=ROOT, env=environment, check=False, capture_output=True, text=True)


def test_an_export_is_pushed_in_one_commit_to_a_private_repository_which_takes_the_next_one(
    pool: Path, server: Hub
) -> None:
    found = push(pool, "--format", "all", "--push-to-hub", url=server.url, token=f"\r\n {TOKEN}\n")
    assert found.returncode == 0, found.stderr
    assert f"pushed: {server.url}/datasets/somebody/tasks/commit/" in found.stdout
    about = server.repositories["somebody/tasks"]
    assert about["type"] == "dataset"
    assert about.get("visibility") == "private" or about.get("private") is True
    (files,) = server.commits
    assert files == {path.name: path.read_bytes() for path in (pool / "export").iterdir()}
    assert list(server.large.values()) == [files["dataset.parquet"]]
    assert push(pool, "--push-to-hub", url=server.url).returncode == 0
    assert (list(server.repositories), len(server.commits)) == (["somebody/tasks"], 2)
    assert TOKEN not in found.stdout + found.stderr
    assert all(path.is_dir() or TOKEN.encode() not in path.read_bytes() for path in pool.rglob("*"))


@pytest.mark.parametrize("fault", ["wrong token", "error in the commit", "nobody there"])
def test_what_goes_wrong_is_one_clear_line_and_the_export_is_kept(pool: Path, server: Hub, fault: str) -> None:
    token = "hf_anotherToken" if fault == "wrong token" else TOKEN
    if fault == "error in the commit":
        server.fails_at, server.fault = "/commit/", f"ask http://bob:pw123@there, {TOKEN[:9]}\n{TOKEN}"
    found = push(
        pool, "--push-to-hub", url="http://127.0.0.1:9" if fault == "nobody there" else server.url, token=token
    )
    assert found.returncode == 5
    (line,) = [line for line in found.stderr.splitlines() if line.startswith("error:")]
    assert line.startswith("error: --push-to-hub somebody/tasks: not pushed (")
    assert ("ask http://there, " in line) == (fault == "error in the commit")
    assert "Traceback" not in found.stderr
    assert token not in found.stdout + found.stderr
    assert (pool / "export/manifest.json").exists()
    assert server.commits == []


REFUSED: list[tuple[dict[str, Any], str]] = [
    ({"token": None}, "the environment variable HF_TOKEN is not set"),
    *(({"token": f"{TOKEN}{more}"}, "HF_TOKEN holds characters that no access") for more in ("\nx", " x", "\u0142")),
    *(({"url": f"http://{secret}@h"}, "HF_ENDPOINT holds a user or a password")
      for secret in ("bob:pw123", "bob:pw/123", "bob:pw[123")),
    *(({"url": url}, "HF_ENDPOINT holds no URL; ") for url in ("http://[::", "nothing", "http://127.0.0.1:99999")),
    ({"name": "a/b/c"}, "a/b/c: no name of a repository; wanted OWNER/NAME"),
    ({"installed": False}, "needs the package huggingface_hub: pip install 'selfin"),
]  # fmt: skip


@pytest.mark.parametrize(("given", "wanted"), REFUSED)
def test_what_cannot_be_used_is_refused_before_anything_is_written_and_not_repeated(
    pool: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], given: dict[str, Any], wanted: str
) -> None:
    (home := pool.parent / "home").mkdir()
    (home / "token").write_text(TOKEN)  # where a login keeps it
    settings = {"HF_HOME": str(home), "HF_TOKEN": given.get("token", TOKEN), "HF_ENDPOINT": given.get("url", "")}
    for name, value in settings.items():
        monkeypatch.setenv(name, value or "")
    if not given.get("installed", True):
        monkeypatch.setitem(sys.modules, "huggingface_hub", None)
    assert cli.run(["export", str(pool), "--push-to-hub", given.get("name", "somebody/tasks")]) == 2
    out, err = capsys.readouterr()
    assert "error: --push-to-hub" in err
    assert wanted in err
    for piece in ("bob", "pw", "123@", TOKEN, "Traceback"):
        assert piece not in out + err
    assert not (pool / "export").exists()
