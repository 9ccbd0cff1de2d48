"""A run as it is seen in a terminal: a few lines that are kept up to date below the messages.

Drawn by the event loop that grows the pool, between two of its steps, so that what is shown is of one moment.
"""

from __future__ import annotations

import asyncio
import sys
import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from types import TracebackType
from typing import Self

from rich.console import Console
from rich.live import Live
from rich.text import Text

from selfinstruct.cli.text import plain
from selfinstruct.models.prices import in_dollars
from selfinstruct.runner.pump import Growth

DRAWN_EVERY_S = 0.25
RATES_OVER_S = 60.0
"""Rates are those of the last minute."""
RECENT_ROUNDS = 5
_BAR = 30
_PICO = 1e12


@dataclass(frozen=True, slots=True)
class Look:
    """A run at one moment."""

    at_s: float
    """By a clock that never goes back."""
    done: int
    goal: int
    pending: int
    rounds: tuple[tuple[int, int], ...]
    """(accepted, screened) of the last rounds, oldest first."""
    in_flight: int
    waiting: int
    tokens: int
    """Written by the models so far."""
    picodollars: int
    reasons: tuple[tuple[str, int], ...]
    """The most frequent reasons of rejection."""
    newest: str
    """The instruction accepted last."""


def look(growth: Growth, at_s: float) -> Look:
    """What a run looks like now."""
    progress = growth.progress()
    return Look(
        at_s, growth.done, growth.goal, growth.pending, tuple(growth.window),
        sum(one.in_flight for one in progress), sum(one.waiting for one in progress),
        growth.journal.written_tokens, growth.journal.picodollars, tuple(growth.rejected.most_common(3)),
        growth.generated[len(growth.generated) - 1].instruction if len(growth.generated) else "",
    )  # fmt: skip


def lines(now: Look, since: Look, first: Look, width: int) -> list[str]:
    """The lines that show a run now. Rates are those since `since`; `first` is how it was when it began."""
    passed_s = max(1e-9, now.at_s - since.at_s)
    tasks_per_s = (now.done - since.done) / passed_s
    left = ""
    if tasks_per_s > 0 and now.done < now.goal:
        left = f"about {duration((now.goal - now.done) / tasks_per_s)} left, "
    speed = f"{(now.tokens - since.tokens) / passed_s:,.0f} tokens a second"
    took = duration(now.at_s - first.at_s)
    reached = f"{left}{now.done:,} of {now.goal:,} tasks, {now.pending:,} on their way, {took} so far "
    room = max(0, min(_BAR, width - len(reached)))
    filled = min(room, room * now.done // max(1, now.goal))
    shown = [
        (reached + "█" * filled + "░" * (room - filled)).rstrip(),
        f"accepted  {_acceptance(now.rounds)}",
        f"asking    {now.in_flight:,} requests in flight, {now.waiting:,} waiting; {speed}",
    ]
    if now.picodollars:
        done, wanted = now.done - first.done, now.goal - first.done
        whole = f", about {now.picodollars / done * wanted / _PICO:.2f} USD in the end" if 0 < done < wanted else ""
        shown.append(f"cost      {in_dollars(now.picodollars):.4f} USD{whole}")
    if now.reasons:
        shown.append("rejected  " + ", ".join(f"{reason} {count:,}" for reason, count in now.reasons))
    if now.newest:
        shown.append("newest    " + plain(now.newest))
    fitted = [Text(line) for line in shown]
    for text in fitted:
        text.truncate(width, overflow="ellipsis")  # Chinese, Japanese, Korean and emoji take two cells each
    return [text.plain for text in fitted]


def _acceptance(rounds: tuple[tuple[int, int], ...]) -> str:
    """The share of candidates that was accepted of late, and in the rounds before."""

    def share(pairs: tuple[tuple[int, int], ...]) -> float | None:
        screened = sum(pair[1] for pair in pairs)
        return sum(pair[0] for pair in pairs) / screened if screened else None

    recent, before = share(rounds[-RECENT_ROUNDS:]), share(rounds[:-RECENT_ROUNDS])
    if recent is None:
        return "no round settled yet"
    earlier = "" if before is None else f", {before:.0%} in the rounds before"
    counted = min(RECENT_ROUNDS, len(rounds))
    which = "the last round" if counted == 1 else f"the last {counted} rounds"
    return f"{recent:.0%} of the candidates of {which}{earlier}"


def duration(seconds: float) -> str:
    """Seconds as a person says them."""
    minutes, whole = divmod(int(seconds), 60)
    if minutes >= 60:
        return f"{minutes // 60} h {minutes % 60:02} min"
    return f"{minutes} min {whole:02} s" if minutes else f"{whole} s"


def can_redraw(console: Console) -> bool:
    """Lines can be drawn over: stderr goes to a terminal, and to one that can. `FORCE_COLOR` makes none of a file."""
    return sys.stderr.isatty() and console.is_terminal and not console.is_dumb_terminal


class Viewer:
    """Looks at a run again and again, and hands what there is to be seen to `show`, as lines of at most `width`."""

    def __init__(self, show: Callable[[str], None], width: Callable[[], int], every_s: float = DRAWN_EVERY_S) -> None:
        self._show, self._width, self._every_s = show, width, every_s
        self._looks: deque[Look] = deque()
        self._first: Look | None = None
        self._drawing: asyncio.Task[None] | None = None

    def begin(self, growth: Growth) -> None:
        """Begin to show this run. To be called within the event loop that grows it."""
        self._drawing = asyncio.create_task(self._draw(growth))

    def end(self) -> None:
        """Show nothing more."""
        if self._drawing is not None:
            self._drawing.cancel()

    async def _draw(self, growth: Growth) -> None:
        while True:
            now = look(growth, time.monotonic())
            self._first = self._first or now
            self._looks.append(now)
            while self._looks[0].at_s < now.at_s - RATES_OVER_S:
                self._looks.popleft()
            self._show("\n".join(lines(now, self._looks[0], self._first, self._width())))
            await asyncio.sleep(self._every_s)


class LiveView:
    """Shows a run in a terminal while the block runs; messages scroll by above it."""

    def __init__(self, console: Console) -> None:
        self._live = Live(console=console, auto_refresh=False, transient=True)
        self._viewer = Viewer(self._show, lambda: console.width)

    def __enter__(self) -> Self:
        self._live.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._viewer.end()
        self._live.stop()

    def watch(self, growth: Growth) -> None:
        """Begin to show this run instead of a line for each round. To be called within the event loop that grows it."""
        growth.tells_rounds = False
        self._viewer.begin(growth)

    def _show(self, text: str) -> None:
        self._live.update(Text(text), refresh=True)
