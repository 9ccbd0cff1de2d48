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
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

import pytest

from selfinstruct.models.offline.server import OfflineServer
from selfinstruct.pool.edits import correct
from tests.browser.attacks import ATTACKS
from tests.browser.conftest import PHONE, expect
from tests.builders import ROOT, rows
from tests.pools import NOW
from tests.reviewing import reviewing

if TYPE_CHECKING:
    from playwright.sync_api import Page

CONFLICT = "console: Failed to load resource: the server responded with a status of 409 (Conflict)"


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
    page.keyboard.press("p")
    at(page, 3)
    assert page.inner_text("#state") == "labelled: remove; removed: removed in review"
    assert rows(pool, "SELECT task_id, position FROM removed_rows") == [tuple(order[2][:2])]
    assert page.inner_text("#labelled") == f"2 of {len(order)} labelled"
    page.keyboard.press("k")
    at(page, 4)
    assert rows(pool, "SELECT COUNT(*) FROM removed_rows") == [(0,)]
    page.keyboard.press("p")
    at(page, 3)
    assert page.inner_text("#state") == "labelled: keep"
    assert labels(pool) == [
        (*order[0][:2], "keep"), (*order[2][:2], "remove"), (*order[2][:2], "keep")
    ]  # fmt: skip


def test_what_was_done_is_undone_by_keyboard(page: Page, address: str, pool: Path) -> None:
    page.goto(address)
    at(page, 1)
    page.keyboard.press("u")
    says(page, "error", "^there is nothing to undo$")
    page.keyboard.press("1")
    at(page, 2)
    page.keyboard.press("k")
    at(page, 3)
    for number, labelled in ((2, 1), (1, 0)):
        page.keyboard.press("u")
        at(page, number)
        says(page, "labelled", f"^{labelled} of ")
    says(page, "state", "^$")
    assert rows(pool, "SELECT COUNT(*) FROM removed_rows") == [(0,)]


def test_input_and_output_are_edited_on_the_page(
    page: Page, address: str, pool: Path, keep_screenshot: Callable[[Page, str], Path]
) -> None:
    page.goto(address)
    at(page, 1)
    first = page.inner_text("#output")
    page.keyboard.press("e")
    assert page.evaluate("document.activeElement.id") == "new-output"
    page.keyboard.press("Control+a")
    page.keyboard.type("k r u <b>By hand.</b>")
    page.locator("#next").click()
    says(page, "error", "^save or cancel the edit first$")
    keep_screenshot(page, "review_edit")
    page.locator("#new-output").press("Control+Enter")
    says(page, "state", "^edited$")
    assert page.inner_text("#output") == "k r u <b>By hand.</b>"
    page.locator("#s-was summary").press("Enter")
    assert first in page.inner_text("#was")
    assert rows(pool, "SELECT output FROM corrections") == [("k r u <b>By hand.</b>",)]
    page.keyboard.press("e")
    page.keyboard.type("more")
    page.keyboard.press("Escape")
    assert page.inner_text("#output") == "k r u <b>By hand.</b>"
    page.keyboard.press("u")
    says(page, "state", "^$")
    assert page.inner_text("#output") == first
    assert not (pool / "labels.jsonl").exists()


def test_a_reload_comes_back_to_the_row_and_to_what_was_wanted(page: Page, address: str, pool: Path) -> None:
    longest = rows(pool, "SELECT MAX(length(output)) FROM instances i JOIN tasks t ON t.id = i.task_id "
                         "WHERE t.origin = 'generated'")[0][0]  # fmt: skip
    assert longest > 10
    page.goto(address)
    at(page, 1)
    page.keyboard.press("n")
    at(page, 2)
    page.keyboard.press("k")
    at(page, 3)
    page.reload()
    at(page, 3)
    page.select_option("[name=show]", "unlabelled")
    at(page, 1)
    page.keyboard.press("n")
    at(page, 3)
    page.reload()
    at(page, 3)
    assert page.input_value("[name=show]") == "unlabelled"
    says(page, "where", "2 of [0-9]+ that are wanted$")


def test_rows_are_searched_by_keyboard(page: Page, address: str) -> None:
    page.goto(address)
    at(page, 1)
    page.keyboard.press("n")
    at(page, 2)
    piece = page.inner_text("#output")[:30].split("\n")[0]
    page.keyboard.press("/")
    page.keyboard.type(piece.upper())
    page.keyboard.press("Enter")
    says(page, "where", "^row [0-9]+ of [0-9]+, 1 of [0-9]+ that are wanted$")
    assert piece in page.inner_text("#output")
    page.keyboard.press("/")
    page.keyboard.press("Control+a")
    page.keyboard.type("no row has this <img src=x>")
    page.keyboard.press("Enter")
    says(page, "error", "^no row is as you want it$")
    assert not page.is_visible("#row")


def test_two_readers_who_edit_the_same_row_see_both_texts(
    page: Page, address: str, pool: Path, faults: list[str]
) -> None:
    page.goto(address)
    at(page, 1)
    page.keyboard.press("e")
    page.locator("#new-output").fill("Mine.")
    ((task,),) = rows(pool, "SELECT id FROM tasks WHERE origin = 'generated' ORDER BY position LIMIT 1")
    correct(pool, f"{task}/0", {"output": "Theirs.", "input": "Their input."}, "", NOW)
    page.keyboard.press("Control+Enter")
    says(page, "error", "^somebody else edited this row after you opened it; ")
    expect(page.locator("#output")).to_have_text("Theirs.")
    assert faults == [CONFLICT]
    faults.clear()
    assert page.input_value("#new-output") == "Mine."
    assert page.input_value("#new-input") == "Their input."
    page.keyboard.press("Control+Enter")
    says(page, "error", "^$")
    expect(page.locator("#output")).to_have_text("Mine.")
    assert not page.is_visible("#new-output")
    assert page.inner_text("#input") == "Their input."


def test_the_keys_are_told_without_covering_the_row(page: Page, address: str) -> None:
    page.goto(address)
    at(page, 1)
    page.keyboard.press("?")
    help_, instruction = page.locator("#help").bounding_box(), page.locator("#instruction").bounding_box()
    assert help_ is not None
    assert instruction is not None
    assert help_["y"] + help_["height"] <= instruction["y"]
    assert "undo what was done last" in page.inner_text("#help")
    page.keyboard.press("?")
    assert not page.is_visible("#help")


@pytest.fixture(scope="module")
def compared(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A pool with conversations, other answers and verdicts."""
    folder = tmp_path_factory.mktemp("compared")
    (folder / "c.toml").write_text(
        '[recipe]\nsteps = ["default", "sample", "judge", "turns"]\n[sample]\nanswers = 3\n[judge]\nenabled = true\n'
    )
    with OfflineServer(quirk="wrong=40%") as server:
        command = [sys.executable, "-m", "selfinstruct", "generate", "--pool", str(folder / "pool"), "--target", "12"]
        command += ["--config", str(folder / "c.toml"), "--base-url", server.base_url, "--model", "offline"]
        subprocess.run(command, cwd=ROOT, check=True, capture_output=True)
    return folder / "pool"


def test_answers_are_compared_and_the_end_of_a_conversation_is_told(
    compared: Path, page: Page, served: list[str], keep_screenshot: Callable[[Page, str], Path], tmp_path: Path
) -> None:
    pool = Path(shutil.copytree(compared, tmp_path / "compared"))
    with reviewing(pool) as address:
        served.append(f"http://{urlsplit(address).netloc}/")
        page.goto(address)
        at(page, 1)
        page.select_option("[name=order]", "doubt")
        says(page, "where", "that are wanted$")
        page.locator("body:not([aria-busy])").wait_for()
        page.select_option("[name=show]", "unranked")
        page.locator("body:not([aria-busy])").wait_for()
        keep_screenshot(page, "review_doubt")
        says(page, "ended", "^Why it ended: [a-z_]+")
        page.keyboard.press("a")
        expect(page.locator("#others [aria-pressed=true]")).to_have_text(["this one is better"])
        page.keyboard.press("u")
        expect(page.locator("#others [aria-pressed=true]")).to_have_count(0)
        page.locator("#others button").last.press("Enter")
        expect(page.locator("#others [aria-pressed=true]")).to_have_text(["the output is better"])
        page.locator("#s-others").scroll_into_view_if_needed()
        keep_screenshot(page, "review_compare")
    assert rows(pool, "SELECT is_better FROM preferred") == [(0,)]


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
    page.select_option("[name=show]", "unlabelled")
    at(page, 2)
    page.locator("h1").click()
    page.keyboard.press("p")
    says(page, "error", "^this is the first one$")
    page.select_option("[name=show]", "marked")
    says(page, "error", "^no row is as you want it$")


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
    page.keyboard.press("?")
    page.keyboard.press("e")
    assert page.is_visible("#help")
    assert page.is_visible("#new-output")
    assert serious_faults(page) == []
    phone = new_page(**PHONE, color_scheme=scheme, bypass_csp=True)
    phone.goto(address)
    at(phone, 1)
    assert serious_faults(phone) == []
    assert phone.evaluate("document.documentElement.scrollWidth <= innerWidth")
    footer = phone.locator("footer").bounding_box()
    assert footer is not None
    assert footer["height"] < 0.2 * phone.viewport_size["height"]  # type: ignore[index]
    phone.tap("#more")
    assert phone.is_visible("#edit")
    assert phone.is_visible("[name=reason]")
    assert serious_faults(phone) == []
    assert phone.evaluate("document.documentElement.scrollWidth <= innerWidth")
    assert not phone.is_visible("[name=source]"), "there is one source"
    phone.tap("#edit")
    phone.locator("#new-output").fill("By thumb.")
    assert not phone.is_visible("#edit")
    phone.tap("#save")
    says(phone, "state", "^edited; marked$")
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
        hostile = "\n".join(ATTACKS)
        connection.execute("UPDATE tasks SET instruction = instruction || ?", [hostile])
        turns = json.dumps([{"user": hostile, "assistant": hostile, "kind": "", "score": None}])
        connection.execute(
            "UPDATE instances SET input = ?, output = ?, turns = ?, ended = ?", [hostile] * 2 + [turns, hostile]
        )
        connection.execute("UPDATE requests SET source_name = ? WHERE round > 0 AND task_id IS NULL", [hostile])
        connection.execute(
            "INSERT INTO samples SELECT task_id, position, source, request_id, request_position, request_id, "
            "request_position, ? || 'other', 'sample', NULL, 1 FROM instances WHERE request_id IS NOT NULL",
            [hostile],
        )
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
        for part in ("#verdict", "#turns", "#ended", "#others"):
            assert hostile in (page.text_content(part) or ""), part
        page.keyboard.press("e")
        page.locator("#new-output").fill(f"{hostile} edited")
        page.locator("#new-output").press("Control+Enter")
        says(page, "state", "edited")
        assert hostile in (page.text_content("#was") or "")
        assert page.locator("h1").count() == 1
        assert page.locator("iframe, img, main script").count() == 0
        page.locator("[name=text]").fill(hostile)
        page.keyboard.press("Enter")
        says(page, "error", "^$")
        at(page, 1)
        page.reload()
        at(page, 1)
        page.locator("#reason").fill(hostile)
        page.locator("h1").click()
        page.keyboard.press("r")
        at(page, 2)
        page.keyboard.press("p")
        at(page, 1)
        assert ATTACKS[0] in (page.text_content("#state") or "")
        assert page.evaluate("window.attacked") is None
        keep_screenshot(page, "review_hostile")


def test_what_goes_wrong_is_told_on_the_page(page: Page, address: str, pool: Path, faults: list[str]) -> None:
    page.goto(address)
    at(page, 1)
    (pool / "labels.jsonl").mkdir()
    page.keyboard.press("k")
    says(page, "error", "labels.jsonl")
    at(page, 1)
    assert faults == [CONFLICT]
    faults.clear()
