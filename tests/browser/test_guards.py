"""The browser tests can fail: what their fixtures guard against is noticed."""

from __future__ import annotations

import http.server
import threading
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.browser.conftest import until

if TYPE_CHECKING:
    from playwright.sync_api import Page

HEAD = '<!doctype html><html lang="en"><title>t</title><meta name="viewport" content="width=device-width"><main>'


@pytest.fixture
def site(tmp_path: Path) -> Iterator[tuple[Path, str]]:
    """An empty folder, served on loopback."""
    handler = partial(http.server.SimpleHTTPRequestHandler, directory=tmp_path)
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield tmp_path, f"http://127.0.0.1:{server.server_port}/"
        server.shutdown()
        thread.join()


def test_a_page_from_a_file_and_from_the_server_under_test_is_let_through(
    page: Page, served: list[str], site: tuple[Path, str]
) -> None:
    folder, url = site
    (folder / "a.html").write_text(HEAD + "<h1>here</h1>")
    (folder / "favicon.ico").write_bytes(b"")
    page.goto((folder / "a.html").as_uri())
    assert page.inner_text("h1") == "here"
    served.append(url)
    page.goto(url + "a.html")
    assert page.inner_text("h1") == "here"


@pytest.mark.parametrize(
    ("script", "fault"),
    [
        ("console.error('broken')", "console: broken"),
        ("undefined_function()", "exception: undefined_function is not defined"),
        ("fetch('http://127.0.0.1:9/').catch(() => {})", "asked for http://127.0.0.1:9/"),
        ("new Image().src = 'https://example.com/a.png'", "asked for https://example.com/a.png"),
        ("new WebSocket('ws://127.0.0.1:9/')", "asked for ws://127.0.0.1:9/"),
        ("setTimeout(() => alert('mine'))", "dialog: mine"),
    ],
)
def test_what_a_page_must_not_do_is_noticed(page: Page, faults: list[str], script: str, fault: str) -> None:
    page.set_content(f"{HEAD}<script>{script}</script>")
    until(page, lambda: fault in faults, fault)
    page.close()  # what else comes of it is not wanted
    faults.clear()


def test_faults_of_accessibility_are_found(page: Page, serious_faults: Callable[[Page], list[str]]) -> None:
    page.set_content(HEAD + "<h1>Fine</h1>")
    assert serious_faults(page) == []
    page.set_content(HEAD + "<h1>Not fine</h1><input>")
    assert [fault.split()[0] for fault in serious_faults(page)] == ["label"]
