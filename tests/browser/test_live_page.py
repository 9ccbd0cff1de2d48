"""The page of a run in a real browser: while the run goes on, at each of its ends, and with texts that mean harm."""

from __future__ import annotations

import re
import signal
import subprocess
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

import pytest

from selfinstruct.cli.live_page import LivePage
from selfinstruct.diversity.reasons import meaning
from selfinstruct.models.offline.server import OfflineServer
from selfinstruct.pool.reader import status
from selfinstruct.runner.pump import Outcome
from tests.browser.attacks import ATTACKS
from tests.browser.conftest import PHONE, expect, until
from tests.browser.test_report import hostile_pool
from tests.builders import rows
from tests.processes import generate, running
from tests.test_live import FIRST, NOW, SINCE

if TYPE_CHECKING:
    from playwright.sync_api import Page

PRICES = "[prices.offline]\ninput = 1\noutput = 2\n"
Run = Callable[..., Any]


@pytest.fixture
def watched(tmp_path: Path, served: list[str]) -> Iterator[tuple[subprocess.Popen[bytes], str, Path]]:
    """A run of some ten seconds with a page, the address that it told, and its pool."""
    pool = tmp_path / "p"
    (tmp_path / "c.toml").write_text(PRICES, encoding="utf-8")
    with OfflineServer(latency="fixed:0.3", fault="500=10%") as server:
        more = ("--concurrency", 8, "--config", tmp_path / "c.toml", "--max-usd", 5, "--page")
        with running(generate(pool, server.base_url, 60, *more), stderr=subprocess.PIPE) as process:
            address = re.search(r"http://\S+", process.stderr.readline().decode())
            assert address
            served.append(f"http://{urlsplit(address[0]).netloc}/")
            yield process, address[0], pool


def test_a_run_is_watched_until_its_end(
    page: Page,
    watched: tuple[subprocess.Popen[bytes], str, Path],
    keep_screenshot: Callable[[Page, str], Path],
) -> None:
    process, address, pool = watched
    page.goto(address)
    expect(page.locator("#left")).to_have_text(re.compile(r"^about \d+ s left$"))
    expect(page.locator("#rows li").first).to_be_visible()
    expect(page.locator("#rejections li").first).to_be_visible()
    assert page.inner_text("#state") == "running"
    assert page.inner_text("#pool") == str(pool)
    seen = page.inner_text("#reached")
    assert re.fullmatch(r"\d+ of 60 tasks", seen)
    said = page.inner_text("#figures")
    for wanted in ("requests in flight", "of 5 USD", "tokens a second", "of prompts", "planned and not settled"):
        assert wanted in said
    keep_screenshot(page, "live")
    until(page, lambda: page.inner_text("#reached") != seen, "more tasks")
    expect(page.locator("#state")).to_have_text(re.compile("^The run has ended: the target of 60 tasks is reached"))
    assert process.wait() == 0
    assert page.inner_text("#reached").startswith("60 of 60 tasks") or status(pool)["tasks"] > 60
    last = "SELECT id, instruction FROM tasks WHERE origin = 'generated' AND state = 'done' ORDER BY position DESC"
    task, instruction = rows(pool, last)[0]
    assert page.locator("#rows .text").first.inner_text() == " ".join(instruction.split(" "))
    assert page.locator("#rows .label").last.inner_text().partition("/")[0] in {one for one, _ in rows(pool, last)}
    assert task in page.inner_text("#rows")
    parts = (page.locator(f"#reasons tbody {one}").all_inner_texts() for one in ("td:first-child", "td:last-child"))
    told = [(*what.split("\n", 1), int(count)) for what, count in zip(*parts, strict=True)]
    assert {reason.strip(): count for _, reason, count in told} == status(pool)["rejections"]
    assert all(words == meaning(reason.strip()) for words, reason, _ in told)
    (reason,) = rows(pool, "SELECT reason FROM rejections ORDER BY number DESC LIMIT 1")[0]
    assert page.locator("#rejections .why").first.inner_text() == meaning(reason)


@pytest.mark.parametrize(
    ("sent", "said"),
    [(signal.SIGINT, "^The run has ended: interrupted"), (signal.SIGKILL, "^The run does not answer any more")],
)
def test_a_run_that_is_stopped_says_so_and_of_one_that_was_killed_the_page_says_it(
    page: Page, watched: tuple[subprocess.Popen[bytes], str, Path], sent: int, said: str, faults: list[str]
) -> None:
    process, address, pool = watched
    page.goto(address)
    expect(page.locator("#rows li").first).to_be_visible()
    page.get_by_role("button", name="pause this page").click()
    expect(page.locator("#state")).to_have_text("paused: the run goes on")
    process.send_signal(sent)
    expect(page.locator("#state")).to_have_text(re.compile(said))
    assert str(pool) in page.inner_text("#state") or sent == signal.SIGINT
    assert {one for one in faults if "ERR_CONNECTION_REFUSED" not in one} <= {
        "console: Failed to load resource: net::ERR_EMPTY_RESPONSE"
    }
    assert sent == signal.SIGKILL or not faults
    faults.clear()


@contextmanager
def page_of(pool: Path, served: list[str]) -> Iterator[tuple[str, LivePage]]:
    """The page of a pool, which no run grows."""
    told: list[str] = []
    with LivePage(pool, 0, told.append) as live:
        address = told[0].rpartition(" ")[2]
        served.append(f"http://{urlsplit(address).netloc}/")
        yield address, live
        live.ended(Outcome(0, "done"))


def test_texts_that_mean_harm_are_shown_as_they_are_and_do_nothing(
    page: Page,
    tmp_path: Path,
    served: list[str],
    keep_screenshot: Callable[[Page, str], Path],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    pool = hostile_pool(tmp_path / "<b onclick=alert(1)>{script}'&amp;")
    monkeypatch.setattr("selfinstruct.cli.live_page.SHOWN", 2 * len(ATTACKS))
    with page_of(pool, served) as (address, live):
        reasons = tuple((text, place) for place, text in enumerate(ATTACKS))
        live._see(replace(NOW, reasons=reasons, unit=ATTACKS[0]), SINCE, FIRST)
        page.goto(address)
        expect(page.locator("#rows li")).to_have_count(len(ATTACKS))
        texts = page.locator("#rows .text").all_text_contents()
        assert sorted(texts) == sorted(text for text in ATTACKS for _ in range(3))
        assert page.locator("#reasons td:first-child").all_text_contents() == list(ATTACKS)
        shown = page.text_content("#rejections") or ""
        assert all(text in shown for text in ATTACKS)
        assert page.text_content("#pool") == str(pool)
        page.wait_for_timeout(1500)  # it is asked again
        assert page.evaluate("window.attacked") is None
        assert page.locator("script").count() == page.locator("style").count() == 1
        assert page.locator("main :is(img, iframe, object, embed, base, a)").count() == 0
        keep_screenshot(page, "live_hostile")
        live.ended(Outcome(1, ATTACKS[0]))
        expect(page.locator("#state")).to_contain_text(ATTACKS[0])
        assert "bad" in (page.get_attribute("#state", "class") or "")


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_everyone_can_use_it(
    new_page: Callable[..., Page], served: list[str], scheme: str, demo: Path,
    serious_faults: Callable[[Page], list[str]], keep_screenshot: Callable[[Page, str], Path],
) -> None:  # fmt: skip
    with page_of(demo, served) as (address, live):
        for options in ({}, PHONE):
            page = new_page(**options, color_scheme=scheme, bypass_csp=True)  # the checker brings a script of its own
            live._seen = {}
            page.goto(address)
            expect(page.locator("#state")).to_have_text("starting: the model is tried first")
            assert serious_faults(page) == []
            live._see(NOW, SINCE, FIRST)
            expect(page.locator("#left")).to_have_text("about 1 min 40 s left")
            expect(page.locator("#rows li").first).to_be_visible()
            assert serious_faults(page) == []
            assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")
            keep_screenshot(page, f"live_{'phone_' if options else ''}{scheme}")
            page.close()  # it would say that its server is gone
