"""Every how-to does what it says, from an empty folder, with the built-in model as the server."""

from __future__ import annotations

import os
import re
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from selfinstruct.models.offline.server import OfflineServer
from tests.builders import ROOT, rows
from tests.pages import blocks, run_page

pytestmark = pytest.mark.filterwarnings("default")  # the kernel's packages are not ours
PAGES = {page.stem: page for page in sorted((ROOT / "docs/how-to").glob("*.md"))}
PRICE = '[prices."offline"]\ninput = 0.1\noutput = 0.1\n\n[budget]'
BY_BATCH = 'base_url = "$URL"\n\n[batch]\nwait_s = 0.2'
INSTEAD = {
    '"gpt-4o-mini"': '"offline"', "--model gpt-4o-mini": "--model offline", "export OPENAI_API_KEY=...": "",
    "[budget]": PRICE, " --backend vllm --model Qwen/Qwen3-8B-Base": " --model offline", '"de"': '"en"',
    "[batch]": BY_BATCH, "--target-rows 5000": "--target-rows 45", "--target 500": "--target 20",
    "--target 10000": "--target 40",
    "target=1000, max_usd=2": "target=30", "--more 200": "--more 20", "min_tasks = 100": "min_tasks = 10",
}  # fmt: skip
"""What a test has not got, or would take long, and what it takes instead."""
WRITTEN = {
    "german-rows": ["nurses/report.html", "nurses-rows/messages-train.jsonl"],
    "dolly-file": ["good.jsonl", "extended/report.html", "extended-rows/alpaca.jsonl"],
    "base-model": ["base-rows/prompt-completion-plain-test.jsonl"],
    "every-night": ["nightly/versions/latest/data/messages-train.jsonl"],
    "notebook": ["library-rows/prompt-completion-train.jsonl"],
    "personas-and-quotas": ["varied-rows/messages.jsonl"],
    "harder-tasks": ["harder-rows/messages.jsonl"],
    "demands-that-are-checked": ["demands-rows/grpo.jsonl"],
    "own-documents": ["handbook-rows/messages.jsonl", "handbook-rows/dataset.csv"],
    "batches": ["batched-rows/messages.jsonl"],
    "conversations": ["talk-rows/messages-train.jsonl", "talk-rows/messages-test.jsonl"],
    "safe-answers": ["safe-rows/messages-train.jsonl", "safe-rows/messages-test.jsonl", "safe-pairs/preference.jsonl"],
}

ERRS = {"safe-answers": "wrong=30%"}
"""Pages about what becomes of a model's errors, and the errors that their model makes."""


@pytest.fixture
def server(name: str) -> Iterator[OfflineServer]:
    with OfflineServer(quirk=ERRS.get(name)) as running:
        yield running


@pytest.mark.parametrize("name", PAGES)
def test_a_how_to_does_what_it_says(
    name: str, tmp_path: Path, server: OfflineServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PYTHONPATH", str(ROOT))
    monkeypatch.setenv("PATH", f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}")
    monkeypatch.setenv("OPENAI_BASE_URL", server.base_url)
    monkeypatch.setenv("OPENAI_API_KEY", "none")
    if name in ERRS:
        monkeypatch.setenv("SELFINSTRUCT_BASE_URL", server.base_url)
    found = blocks(PAGES[name])
    for old, new in INSTEAD.items():
        found = [block._replace(code=block.code.replace(old, new.replace("$URL", server.base_url))) for block in found]
    run_page(found, tmp_path, os.environ)
    for path in WRITTEN[name]:
        assert (tmp_path / path).stat().st_size > 100, path
    for pool in re.findall(r"selfinstruct remove (\S+)", "".join(block.code for block in found)):
        assert rows(tmp_path / pool, "SELECT task_id FROM removed"), "a page that removes tasks selects some"


def test_everything_that_is_taken_instead_stands_in_a_how_to() -> None:
    text = "".join(block.code for page in PAGES.values() for block in blocks(page))
    assert [old for old in INSTEAD if old not in text] == []
