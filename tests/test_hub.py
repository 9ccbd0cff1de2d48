"""Reading datasets by name and pushing exports, by the real huggingface_hub from and to a server of our own."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from selfinstruct.cli import commands as cli
from selfinstruct.types import Instance, Task
from tests.builders import ROOT, exported, grow, made_pool
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


def called(*arguments: str, home: Path, url: str, token: str = TOKEN) -> subprocess.CompletedProcess[str]:
    environment = {
        name: value
        for name, value in os.environ.items()
        if not name.startswith("HF_") and not name.lower().endswith("_proxy")
    }
    environment |= {"HF_ENDPOINT": url, "HF_HUB_DISABLE_XET": "1", "HF_HOME": str(home), "HF_TOKEN": token}
    command = [sys.executable, *arguments]
    return subprocess.run(command, cwd=ROOT, env=environment, check=False, capture_output=True, text=True)


def push(pool: Path, *options: str, url: str, token: str = TOKEN) -> subprocess.CompletedProcess[str]:
    export = ["-m", "selfinstruct", "export", str(pool), *options, "somebody/tasks"]
    return called(*export, home=pool.parent / "home", url=url, token=token)


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


# --- reading --------------------------------------------------------------------------------------------------------

CARD = b"""---
configs:
- config_name: extra
  data_files: more/*.jsonl
- config_name: main
  default: true
  data_files:
  - split: train
    path: main/train-*.jsonl
  - split: test
    path: [main/test.csv]
---
"""


def lines(*words: str) -> bytes:
    """Seeds about these words."""
    rows = [{"instruction": f"Write a sentence about {word}.", "output": f"This is {word}."} for word in words]
    return b"".join(json.dumps(row).encode() + b"\n" for row in rows)


DATASETS = {
    "carded/set": {
        "README.md": CARD, "main/train-0.jsonl": lines("tea"), "main/test.csv": b"question,answer\nWho sings?,I do.\n",
        "more/a.jsonl": lines("salt"), "odd.jsonl": lines("odd"),
    },
    "plain/set": {
        "notes.txt": b"hello", "de/train.jsonl": lines("Tee"), "de/dev.jsonl": lines("Salz"),
        "en/test-1.jsonl": lines("rye"),
    },
    "many/set": {"train-0.jsonl": lines("one"), "train-1.jsonl": lines("two")},
    "private/set": {"data.jsonl": lines("secrets")},
}  # fmt: skip
READ = """
import sys
from pathlib import Path
from selfinstruct.errors import SelfInstructError
from selfinstruct.seeds import read_seeds
from selfinstruct.seeds.benchmarks import read_exclusion
for name in sys.argv[1:]:
    kind, _, name = name.partition(" ")
    try:
        found = read_seeds(Path(name)) if kind == "seeds" else read_exclusion(Path(name))
        print([one.instruction for one in found] if kind == "seeds" else (found.name, [row[1] for row in found.rows]))
    except SelfInstructError as error:
        print(error.exit_code, error)
"""
FOUND = {
    "seeds hf://carded/set": "['Write a sentence about tea.']",
    "seeds hf://datasets/carded/set@main/main/train": "['Write a sentence about tea.']",
    "seeds hf://carded/set/extra": "['Write a sentence about salt.']",
    "seeds hf://carded/set/odd.jsonl": "['Write a sentence about odd.']",
    "exclude hf://carded/set": "('hf://carded/set', [('question', 'answer'), ('Who sings?', 'I do.')])",
    "seeds hf://plain/set/de": "['Write a sentence about Tee.']",
    "seeds hf://plain/set/de/validation": "['Write a sentence about Salz.']",
    "exclude hf://plain/set": "('hf://plain/set', [('Write a sentence about rye.', 'This is rye.')])",
    "seeds hf://plain/set@v9": "2 hf://plain/set@v9: it has no revision v9; name a branch, tag or commit of it",
    "seeds hf://plain/set/fr": "2 hf://plain/set/fr: no rows in fr; it has de/train.jsonl, de/dev.jsonl, "
    "en/test-1.jsonl",
    "seeds hf://carded/set/main/dev": "2 hf://carded/set/main/dev: no rows in main/dev; it has main/train, main/test",
    "seeds hf://many/set": "2 hf://many/set: 2 files; name one of them after it: train-0.jsonl, train-1.jsonl",
    "seeds hf://nobody/set": "2 hf://nobody/set: no such dataset on the Hub; look at owner and name; one that is "
    "private, or has terms to accept, needs HF_TOKEN",
    "exclude hf://set": "2 hf://set: no name of a dataset on the Hub; wanted hf://OWNER/NAME, and after it, if need "
    "be, @REVISION and /CONFIG, /CONFIG/SPLIT or /FILE",
    "seeds hf://private/set": "['Write a sentence about secrets.']",
}


def test_a_dataset_is_read_by_its_name_with_what_is_meant_of_it(tmp_path: Path, server: Hub) -> None:
    server.datasets.update(DATASETS)
    found = called("-c", READ, *FOUND, home=tmp_path, url=server.url)
    assert found.stdout.splitlines() == [*FOUND.values()], found.stderr
    (line,) = called("-c", READ, "seeds hf://private/set", home=tmp_path, url=server.url, token="").stdout.splitlines()
    assert line.startswith("2 hf://private/set: no such dataset")
    server.fails_at, server.fault = "/resolve/", f"ask http://bob:pw123@there, {TOKEN}"
    failed = called("-c", READ, "seeds hf://many/set/train-0.jsonl", home=tmp_path / "new", url=server.url)
    assert failed.stdout.startswith("5 hf://many/set/train-0.jsonl: not fetched from 127.0.0.1 (")
    assert "HF_ENDPOINT" in failed.stdout
    assert not any(secret in failed.stdout + failed.stderr for secret in (TOKEN, "bob"))


def test_a_pool_of_a_dataset_is_that_of_the_file_and_goes_on_without_the_hub(tmp_path: Path, server: Hub) -> None:
    seeds = (ROOT / "seeds/en.jsonl").read_bytes()
    tests = lines(*(f"place {n}" for n in range(5)))
    server.datasets["somebody/tasks"] = {"train.jsonl": seeds, "test.jsonl": tests}
    (tmp_path / "tests.jsonl").write_bytes(tests)
    files = {"seeds": ROOT / "seeds/en.jsonl", "exclude": [tmp_path / "tests.jsonl"]}
    assert grow(tmp_path / "files", target=12, **files).exit_code == 0
    grown = ["-m", "selfinstruct", "generate", "--pool", str(tmp_path / "names"), "--seeds", "hf://somebody/tasks"]
    clear = ["--exclude", "hf://somebody/tasks", "--target", "8"]
    done = called(*grown, *clear, home=tmp_path / "home", url=server.url)
    assert done.returncode == 0, done.stderr
    assert grow(tmp_path / "names", more=4).exit_code == 0
    assert exported(tmp_path / "files") == exported(tmp_path / "names")
    server.datasets["somebody/tasks"]["train.jsonl"] = lines("something else")
    done = called(*grown, home=tmp_path / "other home", url=server.url)
    assert done.returncode == 2
    assert "was grown from other seeds than hf://somebody/tasks;" in done.stderr


def test_without_the_extra_a_name_on_the_hub_is_one_clear_line(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    monkeypatch.setitem(sys.modules, "huggingface_hub", None)
    monkeypatch.delenv("HF_ENDPOINT", raising=False)
    assert cli.run(["generate", "--pool", str(tmp_path / "p"), "--seeds", "hf://somebody/tasks"]) == 2
    needs = "needs the package huggingface_hub: pip install 'selfinstruct[hub]'"
    assert f"error: hf://somebody/tasks {needs}" in capsys.readouterr().err
    assert not (tmp_path / "p").exists()
