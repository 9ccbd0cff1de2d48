"""The page of `review` on a real server."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx

from selfinstruct import pages
from selfinstruct.review.labels import Labels
from selfinstruct.review.page_server import review_app
from selfinstruct.review.session import Session, places


@contextmanager
def reviewing(pool: Path, *, blind: bool = False, reader: str = "") -> Iterator[str]:
    """The address at which the rows of a pool are reviewed, as `review` would print it."""
    token = "a-token-that-is-long-enough"
    with pages.listen(0, "--port") as opened:
        port = opened.getsockname()[1]
        app = review_app(Session(pool, places(pool), Labels(pool, reader), blind), token, port)
        server = pages.server(app)
        thread = threading.Thread(target=server.run, kwargs={"sockets": [opened]})
        thread.start()
        try:
            yield pages.address(port, token)
        finally:
            server.should_exit = True
            thread.join()


@contextmanager
def client_of(pool: Path, *, blind: bool = False, reader: str = "") -> Iterator[httpx.Client]:
    """A client that asks as the page does: with the token and the page's origin."""
    with reviewing(pool, blind=blind, reader=reader) as address:
        base, token = address.split("/?token=")
        with httpx.Client(base_url=base, headers={"X-Token": token, "Origin": base}, timeout=20) as opened:
            yield opened
