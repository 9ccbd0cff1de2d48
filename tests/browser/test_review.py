"""The page of `review` in a real browser: by keyboard, for everyone, and with texts that mean harm."""

from __future__ import annotations

import json
import re
import shutil
import sqlite3
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import closing
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

import pytest

from tests.browser.conftest import PHONE
from tests.builders import ROOT, rows
from tests.reviewing import reviewing

if TYPE_CHECKING:
    from playwright.sync_api import Page

HOSTILE = [
    "<script>alert('instruction')</script>",
    "<img src=x onerror=alert('input')>",
    "</div></section><h1 id='mine'>Output</h1><iframe src='javascript:alert(1)'></iframe>",
    "‹b› {{constructor.constructor('alert(1)')()}} ${alert(1)} \u202e\u0000 javascript:alert(1) &lt;b&gt;",
]


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    pool = tmp_path_factory.mktemp("made") / "pool"
    command = [sys.executable, "-m", "selfinstruct", "generate", "--pool", str(pool), "--target", "20", "--json"]
    subprocess.run(command, cwd=ROOT, check=True, capture_output=True)  # the browser's own loop runs in this process
    return pool


@pytest.fixture
def pool(made: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(made, tmp_path / "pool"))


@pytest.fixture
def address(pool: Path, served: list[str]) -> Iterator[str]:
    with reviewing(pool) as found:
        served.append(f"http://{urlsplit(found).netloc}/")
        yield found


def at(page: Page, number: int) -> None:
    """Wait until this row is shown."""
    says(page, "where", f"^row {number} of ")
    page.locator("body:not([aria-busy])").wait_for()


def says(page: Page, identity: str, pattern: str) -> None:
    """Wait until this part of the page says so; the page's policy forbids to wait by a script."""
    from playwright.sync_api import expect

    expect(page.locator(f"#{identity}")).to_have_text(re.compile(pattern), timeout=15_000)


def labels(pool: Path) -> list[tuple[str, int, str]]:
    lines = (pool / "labels.jsonl").read_text("utf-8").splitlines()
    return [(said["task_id"], said["instance"], said["label"]) for said in map(json.loads, lines)]


def test_rows_are_read_kept_removed_and_marked_by_keyboard(
    page: Page, address: str, pool: Path, keep_screenshot: Callable[[Page, str], Path]
) -> None:
    order = rows(
        pool,
        "SELECT t.id, i.position, t.instruction, i.output FROM tasks t JOIN instances i ON i.task_id = t.id "
        "WHERE t.origin = 'generated' ORDER BY t.position, i.position",
    )
    page.goto(address)
    at(page, 1)
    assert page.inner_text("#instruction") == order[0][2]
    assert page.inner_text("#output") == order[0][3]
    assert page.inner_text("#nearest").startswith("ROUGE-L 0.")
    assert page.locator("#shown li").count() == 8
    keep_screenshot(page, "review")
    page.keyboard.press("k")
    at(page, 2)
    page.keyboard.press("m")
    says(page, "state", "^marked$")
    page.keyboard.press("ArrowRight")
    at(page, 3)
    page.keyboard.press("3")
    at(page, 4)
    page.keyboard.press("b")
    at(page, 3)
    assert page.inner_text("#state") == "labelled: remove; removed: removed in review"
    assert rows(pool, "SELECT task_id FROM removed") == [(order[2][0],)]
    page.keyboard.press("k")
    at(page, 4)
    assert rows(pool, "SELECT COUNT(*) FROM removed") == [(0,)]
    page.keyboard.press("p")
    at(page, 3)
    assert page.inner_text("#state") == "labelled: keep"
    assert labels(pool) == [
        (*order[0][:2], "keep"), (*order[2][:2], "remove"), (*order[2][:2], "keep")
    ]  # fmt: skip


def test_a_task_that_stays_out_is_told(page: Page, address: str, pool: Path) -> None:
    order = rows(
        pool,
        "SELECT t.id FROM tasks t JOIN instances i ON i.task_id = t.id WHERE t.origin = 'generated' "
        "ORDER BY t.position, i.position",
    )
    first = next(place for place, (one, other) in enumerate(pairwise(order)) if one == other)
    page.goto(address)
    at(page, 1)
    for place in range(first):
        page.keyboard.press("n")
        at(page, place + 2)
    page.keyboard.press("r")
    at(page, first + 2)
    page.keyboard.press("k")
    says(page, "error", "the task stays removed")
    assert rows(pool, "SELECT task_id FROM removed") == [order[first]]


def test_a_reason_is_typed_and_its_letters_decide_nothing(page: Page, address: str, pool: Path) -> None:
    page.goto(address)
    at(page, 1)
    page.locator("#reason").fill("")
    page.locator("#reason").press_sequentially("kkrm 123 bad sum")
    assert not (pool / "labels.jsonl").exists()
    page.keyboard.press("Escape")
    page.keyboard.press("r")
    at(page, 2)
    assert rows(pool, "SELECT kind, reason FROM events") == [("remove", "kkrm 123 bad sum")]


def test_rows_of_a_kind_are_shown_one_after_the_other(page: Page, address: str) -> None:
    page.goto(address)
    at(page, 1)
    page.keyboard.press("k")
    at(page, 2)
    page.select_option("#show", "unlabelled")
    at(page, 2)
    page.locator("h1").click()
    page.keyboard.press("p")
    says(page, "error", "^this is the first one$")
    page.select_option("#show", "marked")
    says(page, "error", "^this is the last one$")


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_everyone_can_use_it(
    new_page: Callable[..., Page], address: str, scheme: str, serious_faults: Callable[[Page], list[str]],
    keep_screenshot: Callable[[Page, str], Path],
) -> None:  # fmt: skip
    page = new_page(color_scheme=scheme, bypass_csp=True)  # the checker brings a script of its own
    page.goto(address)
    at(page, 1)
    page.keyboard.press("m")
    says(page, "state", "^marked$")
    assert serious_faults(page) == []
    phone = new_page(**PHONE, color_scheme=scheme, bypass_csp=True)
    phone.goto(address)
    at(phone, 1)
    assert serious_faults(phone) == []
    assert phone.evaluate("document.documentElement.scrollWidth <= innerWidth")
    phone.tap("#next")
    at(phone, 2)
    keep_screenshot(phone, f"review_phone_{scheme}")


def test_texts_that_mean_harm_are_shown_as_they_are_and_do_nothing(
    made: Path,
    tmp_path: Path,
    new_page: Callable[..., Page],
    served: list[str],
    keep_screenshot: Callable[[Page, str], Path],
) -> None:
    pool = Path(shutil.copytree(made, tmp_path / "hostile"))
    with closing(sqlite3.connect(pool / "pool.db")) as connection:
        hostile = "\n".join(HOSTILE).replace("\0", "\ufffd")
        connection.execute("UPDATE tasks SET instruction = instruction || ?", [hostile])
        connection.execute("UPDATE instances SET input = ?, output = ?", [hostile, hostile])
        connection.execute(
            "INSERT INTO verdicts SELECT i.source, i.request_id, i.request_position, i.task_id, 'r', 'passed', "
            "5, ?1, 4, ?1, 3, ?1 FROM instances i JOIN tasks t ON t.id = i.task_id WHERE t.origin = 'generated'",
            [hostile],
        )
        connection.commit()
    with reviewing(pool) as address:
        served.append(f"http://{urlsplit(address).netloc}/")
        page = new_page()
        page.goto(address)
        at(page, 1)
        assert page.text_content("#input") == page.text_content("#output") == hostile
        assert (page.text_content("#instruction") or "").endswith(hostile)
        assert hostile in (page.text_content("#verdict") or "")
        assert page.locator("h1").count() == 1
        assert page.locator("iframe, img, main script").count() == 0
        page.locator("#reason").fill(hostile)
        page.locator("h1").click()
        page.keyboard.press("r")
        at(page, 2)
        page.keyboard.press("p")
        at(page, 1)
        assert "<script>alert('instruction')</script>" in (page.text_content("#state") or "")
        keep_screenshot(page, "review_hostile")


def test_what_goes_wrong_is_told_on_the_page(page: Page, address: str, pool: Path, faults: list[str]) -> None:
    page.goto(address)
    at(page, 1)
    (pool / "labels.jsonl").mkdir()
    page.keyboard.press("k")
    says(page, "error", "labels.jsonl")
    at(page, 1)
    assert faults == ["console: Failed to load resource: the server responded with a status of 409 (Conflict)"]
    faults.clear()
