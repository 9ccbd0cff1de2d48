"""Pushing an export, by the real huggingface_hub to a server of our own."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

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


def push(
    pool: Path, *options: str, url: str, name: str = "somebody/tasks", token: str | None = TOKEN, before: str = ""
) -> subprocess.CompletedProcess[str]:
    environment = {
        name: value
        for name, value in os.environ.items()
        if not name.startswith("HF_") and not name.lower().endswith("_proxy")
    }
    environment |= {"HF_ENDPOINT": url, "HF_HUB_DISABLE_XET": "1", "HF_HOME": str(pool.parent / "home")}
    if token is not None:
        environment["HF_TOKEN"] = token
    code = f"import sys\n{before}\nfrom selfinstruct.cli.commands import run\nsys.exit(run(sys.argv[1:]))"
    command = [sys.executable, "-c", code, "export", str(pool), *options, name]
    return subprocess.run(command, cwd=ROOT, env=environment, check=False, capture_output=True, text=True)


def test_an_export_is_pushed_in_one_commit_to_a_private_repository(pool: Path, server: Hub) -> None:
    found = push(pool, "--format", "all", "--push-to-hub", url=server.url)
    assert found.returncode == 0, found.stderr
    assert f"pushed: {server.url}/datasets/somebody/tasks/commit/" in found.stdout
    about = server.repositories["somebody/tasks"]
    assert about["type"] == "dataset"
    assert about.get("visibility") == "private" or about.get("private") is True
    (files,) = server.commits
    assert files == {path.name: path.read_bytes() for path in (pool / "export").iterdir()}
    assert list(server.large.values()) == [files["dataset.parquet"]]


def test_a_second_push_goes_to_the_same_repository(pool: Path, server: Hub) -> None:
    for _ in range(2):
        assert push(pool, "--push-to-hub", url=server.url).returncode == 0
    assert list(server.repositories) == ["somebody/tasks"]
    assert all(path.is_dir() or TOKEN.encode() not in path.read_bytes() for path in pool.rglob("*"))
    assert len(server.commits) == 2


@pytest.mark.parametrize("fault", ["wrong token", "server error", "error in the commit", "nobody there"])
def test_what_goes_wrong_is_one_clear_line_and_the_export_is_kept(pool: Path, server: Hub, fault: str) -> None:
    server.fails_at = {"server error": "/create", "error in the commit": "/commit/"}.get(fault, "")
    url = "http://127.0.0.1:9" if fault == "nobody there" else server.url
    token = "hf_anotherToken" if fault == "wrong token" else TOKEN
    found = push(pool, "--push-to-hub", url=url, token=token)
    assert found.returncode == 5
    (line,) = [line for line in found.stderr.splitlines() if line.startswith("error:")]
    assert line.startswith("error: --push-to-hub somebody/tasks: not pushed (")
    assert "Traceback" not in found.stderr
    assert token not in found.stdout + found.stderr
    assert (pool / "export/manifest.json").exists()
    assert server.commits == []


def test_white_space_around_the_token_is_none_of_it(pool: Path, server: Hub) -> None:
    found = push(pool, "--push-to-hub", url=server.url, token=f"\r\n {TOKEN}\n")
    assert found.returncode == 0, found.stderr
    assert len(server.commits) == 1
    assert TOKEN not in found.stdout + found.stderr


REFUSED: list[tuple[dict[str, Any], str]] = [
    ({"token": None}, "the environment variable HF_TOKEN is not set"),
    *(({"token": f"{TOKEN}{more}"}, "HF_TOKEN holds characters that no access") for more in ("\nx", " x", "\u0142")),
    *(({"url": f"http://{secret}@h"}, "HF_ENDPOINT holds a user or a password")
      for secret in ("bob:pw123", "bob:pw/123", "bob:pw[123")),
    *(({"url": url}, "HF_ENDPOINT holds no URL; ") for url in ("http://[::", "nothing", "http://127.0.0.1:99999")),
    ({"name": "a/b/c"}, "a/b/c: no name of a repository; wanted OWNER/NAME"),
    ({"before": "sys.modules['huggingface_hub'] = None"}, "needs the package huggingface_hub: pip install 'selfin"),
]  # fmt: skip


@pytest.mark.parametrize(("given", "wanted"), REFUSED)
def test_what_cannot_be_used_is_refused_before_anything_is_written_and_not_repeated(
    pool: Path, server: Hub, given: dict[str, Any], wanted: str
) -> None:
    (home := pool.parent / "home").mkdir()
    (home / "token").write_text(TOKEN)  # where a login keeps it
    found = push(pool, "--push-to-hub", **{"url": server.url, "name": "somebody/tasks", **given})
    assert found.returncode == 2
    assert "error: --push-to-hub" in found.stderr
    assert wanted in found.stderr
    for piece in ("bob", "pw", "123@", TOKEN, "Traceback"):
        assert piece not in found.stdout + found.stderr
    assert (server.asked, (pool / "export").exists()) == ([], False)


def test_an_error_that_names_a_password_or_the_token_does_not_repeat_them(pool: Path, server: Hub) -> None:
    server.fails_at, server.fault = "/commit/", f"ask http://bob:pw123@there, {TOKEN[:9]}\n{TOKEN}"
    found = push(pool, "--push-to-hub", url=server.url)
    assert found.returncode == 5
    assert "ask http://there, " in found.stderr
    assert TOKEN not in found.stderr
