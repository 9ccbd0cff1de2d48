"""A run as a page in a browser, on loopback, while it goes on: what a terminal shows, the newest rows and rejections.

It has a thread of its own. The event loop that grows the pool only looks at the run once a second; texts come from
readers of the database, at most once a second, and only while somebody looks.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from selfinstruct import pages
from selfinstruct.cli.live import Look, Viewer, figures, left, took
from selfinstruct.cli.text import counted
from selfinstruct.diversity.reasons import meaning
from selfinstruct.errors import SelfInstructError
from selfinstruct.pool.reader import Reader, snapshot
from selfinstruct.runner.pump import Growth, Outcome

EVERY_S = 1.0
"""How often the page asks, and how often at most anything is looked at for it."""
LAST_S = 2.5
"""For how long the end of a run can still be seen, where somebody looked at it until then."""
SHOWN, LONGEST = 8, 1200
"""Rows and rejections, and the characters of each of their texts."""


class LivePage:
    """Serves the page of a run while the block runs; `tell` gets its address. Raises: PoolError."""

    def __init__(self, pool: Path, port: int, tell: Callable[[str], None]) -> None:
        self._pool, self._port, self._tell = pool, port, tell
        self._viewer = Viewer(self._see, EVERY_S)
        self._stack = contextlib.ExitStack()
        self._growth: Growth | None = None
        self._seen: dict[str, Any] = {}
        """The run as it was seen last."""
        self._ended: dict[str, Any] | None = None
        self._texts: dict[str, Any] = {"rows": [], "rejections": []}
        self._read_at = self._asked_at = -EVERY_S - LAST_S
        self._lock = threading.Lock()

    def __enter__(self) -> Self:
        opened = self._stack.enter_context(pages.listen(self._port, "--page"))
        token, port = pages.new_token(), opened.getsockname()[1]
        html, script = (pages.asset("selfinstruct.cli", f"live.{end}") for end in ("html", "js"))
        style = pages.asset("selfinstruct.review", "review.css") + pages.asset("selfinstruct.cli", "live.css")
        server = pages.server(pages.guarded(self._answer, html, script, style, token, port))
        thread = threading.Thread(target=server.run, kwargs={"sockets": [opened]}, daemon=True)
        thread.start()

        def stop() -> None:
            server.should_exit = True
            thread.join()

        self._stack.callback(stop)
        address = pages.address(port, token)
        self._tell(f"the page of this run: {address}")
        if sys.stderr.isatty():
            self._stack.enter_context(pages.shown_in_browser(address))
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._viewer.end()
        with self._stack:
            if self._ended is None:
                said = str(error) if isinstance(error, SelfInstructError) else "it failed"
                self._ended = {"exit_code": getattr(error, "exit_code", 1), "reason": said}
            if time.monotonic() < self._asked_at + LAST_S:
                with contextlib.suppress(KeyboardInterrupt):
                    time.sleep(LAST_S)

    def watch(self, growth: Growth) -> None:
        """Begin to show this run. To be called within the event loop that grows it."""
        self._growth = growth
        self._viewer.begin(growth)

    def ended(self, outcome: Outcome) -> None:
        """Show how the run has ended."""
        if self._growth is not None:
            self._viewer.look(self._growth)
        self._ended = {"exit_code": outcome.exit_code, "reason": outcome.reason}

    def _see(self, now: Look, since: Look, first: Look) -> None:
        self._seen = {
            "done": now.done, "goal": now.goal, "unit": now.unit, "left": left(now).removesuffix(", "),
            "figures": {
                "on their way": f"{counted(now.pending, 'accepted task')} without rows yet",
                **figures(now, since, first),
                "tokens": f"{now.read_tokens:,} of prompts, {now.tokens:,} of answers",
                "lag": f"{counted(now.open_rounds, 'round')} planned and not settled",
                "servers": counted(now.servers, "of them answers", "of them answer"),
                "time": took(now, first),
            },
            "reasons": [[reason, count, meaning(reason)] for reason, count in now.reasons],
        }  # fmt: skip

    async def _answer(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["path"] != "/api/now":
            await Response(status_code=404)(scope, receive, send)
            return
        found = await asyncio.to_thread(self._now)
        await Response(json.dumps(found), media_type="application/json")(scope, receive, send)

    def _now(self) -> dict[str, Any]:
        """What the page shows now."""
        with self._lock:
            ended, self._asked_at = self._ended, time.monotonic()
            if self._asked_at >= self._read_at + EVERY_S or ended:
                with contextlib.suppress(SelfInstructError), snapshot(self._pool) as pool:  # none yet: nothing new
                    self._texts = _texts(pool)
                self._read_at = time.monotonic()
            return {"pool": str(self._pool), "ended": ended, **self._seen, **self._texts}


def _texts(pool: Reader) -> dict[str, Any]:
    return {
        "rows": [
            {
                "id": f"{task.id}/{one.number}", "instruction": _short(task.instruction), "input": _short(one.input),
                "output": _short(one.output), "turns": len(one.turns),
            }
            for task in pool.newest_tasks(SHOWN)
            for one in task.instances
        ][:SHOWN],
        "rejections": [
            {
                "number": one.number, "kind": one.of.kind, "reason": one.of.reason,
                "meaning": meaning(one.of.reason), "text": _short(one.of.text),
                "input": _short(one.of.input), "evidence": _short(one.of.evidence),
            }
            for one in pool.rejections("TRUE ORDER BY number DESC LIMIT ?", (SHOWN,))
        ],
    }  # fmt: skip


def _short(text: str) -> str:
    return text if len(text) <= LONGEST else text[: LONGEST - 1] + "…"
