"""A real Chromium, headless. `make test-browser` gets what is needed and runs these tests.

A page under test fails its test by an error on its console, by an uncaught exception, and by asking for anything that
is neither a file nor at an address in `served`.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Locator, LocatorAssertions, Page

HERE = Path(__file__).parent
SCREENSHOTS = HERE / "screenshots"
CHROMIUMS = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")

DESKTOP: dict[str, Any] = {"viewport": {"width": 1280, "height": 900}}
PHONE: dict[str, Any] = {
    "viewport": {"width": 390, "height": 844}, "device_scale_factor": 2, "is_mobile": True, "has_touch": True,
}  # fmt: skip


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark what is in this folder, so that `make test` leaves it out."""
    for item in items:
        if HERE in item.path.parents:
            item.add_marker(pytest.mark.browser)


def missing(what: str) -> None:
    """Skip loudly, or fail where a run must be whole."""
    text = f"NOT TESTED IN A BROWSER: {what}; make test-browser gets it"
    if os.environ.get("CI") == "true":
        pytest.fail(text)
    pytest.skip(text)


def expect(found: Locator) -> LocatorAssertions:
    """What a test says of this part of a page; each waits up to 15 s, as a page draws in its own time."""
    from playwright.sync_api import expect as waiting

    waiting.set_options(timeout=15_000)
    return waiting(found)


def until(page: Page, is_so: Callable[[], bool], wanted: str) -> None:
    """Wait up to 15 s, while the page goes on, until this is so."""
    ends_at = time.monotonic() + 15
    while not is_so():
        assert time.monotonic() < ends_at, f"not so after 15 s: {wanted}"
        page.wait_for_timeout(20)


@pytest.fixture(scope="session")
def browser() -> Iterator[Browser]:
    """One Chromium for all tests."""
    try:
        from playwright.sync_api import sync_playwright
    except ImportError:
        missing("playwright is not installed")
    wanted = os.environ.get("SELFINSTRUCT_CHROMIUM")
    path = next(filter(None, map(shutil.which, [wanted] if wanted else CHROMIUMS)), None)
    if path is None:
        missing("there is no Chromium here and none could be installed (name one by SELFINSTRUCT_CHROMIUM)")
    with sync_playwright() as playwright:
        # No name is resolved, so that not even the browser's own services reach anything.
        browser = playwright.chromium.launch(
            executable_path=path, args=["--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE 127.0.0.1, EXCLUDE localhost"]
        )
        yield browser
        browser.close()


@pytest.fixture(scope="session")
def demo(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The pool of `make generate`. By a process of its own, as playwright keeps an event loop in this one."""
    pool = tmp_path_factory.mktemp("demo") / "demo"
    command = [sys.executable, "-m", "selfinstruct", "generate", "--pool", str(pool), "--target", "200"]
    subprocess.run(command, check=True, capture_output=True)
    return pool


@pytest.fixture
def served() -> list[str]:
    """Beginnings of the URLs, beyond files, that a page may ask for: a test adds that of its server on loopback."""
    return []


@pytest.fixture
def faults() -> Iterator[list[str]]:
    """What the test's pages did that they must not; the test fails unless this is empty at its end."""
    found: list[str] = []
    yield found
    assert not found, "\n".join(found)


@pytest.fixture
def new_page(browser: Browser, served: list[str], faults: list[str]) -> Iterator[Callable[..., Page]]:
    """Opens an empty page, with options of a browser context such as `**PHONE` or `color_scheme="dark"`."""
    contexts = []

    def allowed(url: str) -> bool:
        return url.startswith(("file:", "data:", "blob:", "about:", *served))

    def open_page(**options: Any) -> Page:
        context = browser.new_context(**{**DESKTOP, **options})
        context.set_default_timeout(15_000)
        contexts.append(context)

        def request(route: Any) -> None:
            if allowed(route.request.url):
                route.continue_()
            else:
                faults.append(f"asked for {route.request.url}")
                route.abort()

        context.route("**/*", request)
        page = context.new_page()
        page.on("console", lambda said: faults.append(f"console: {said.text}") if said.type == "error" else None)
        page.on("pageerror", lambda error: faults.append(f"exception: {error}"))
        page.on("websocket", lambda socket: None if allowed(socket.url) else faults.append(f"asked for {socket.url}"))
        page.on("dialog", lambda dialog: (faults.append(f"dialog: {dialog.message}"), dialog.dismiss()))
        return page

    yield open_page
    for context in contexts:
        context.close()


@pytest.fixture
def page(new_page: Callable[..., Page]) -> Page:
    """An empty page on a light desktop."""
    return new_page(color_scheme="light")


@pytest.fixture
def keep_screenshot() -> Callable[[Page, str], Path]:
    """Keeps what a page shows as `screenshots/NAME.png`."""

    def keep(page: Page, name: str) -> Path:
        path = SCREENSHOTS / f"{name}.png"
        page.screenshot(path=path)
        return path

    return keep


@pytest.fixture
def serious_faults() -> Callable[[Page], list[str]]:
    """What axe-core finds wrong with a page's accessibility at level serious or critical, one line each."""

    def look(page: Page) -> list[str]:
        from axe_playwright_python.sync_playwright import Axe

        found = Axe().run(page).response["violations"]
        return [
            f"{fault['id']} ({fault['impact']}): {fault['help']}: {node['html'][:200]} {node['failureSummary']}"
            for fault in found
            if fault["impact"] in {"serious", "critical"}
            for node in fault["nodes"]
        ]

    return look
