"""A run as it is seen: in a terminal as a few lines kept up to date below the messages, in a log as a line a minute.

`live_page.py` shows the same in a browser.

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

from selfinstruct.cli.text import duration, plain, say
from selfinstruct.models.prices import in_dollars
from selfinstruct.models.progress import clock_time
from selfinstruct.runner.pump import Growth

DRAWN_EVERY_S, LOGGED_EVERY_S = 0.25, 60.0
RATES_OVER_S = 60.0
"""Speed is that of the last minute."""
RECENT_ROUNDS = 5
_BAR, MOST_REASONS = 30, 3
_PICO = 1e12


@dataclass(frozen=True, slots=True)
class Look:
    """A run at one moment."""

    at_s: float
    """By a clock that never goes back."""
    done: int
    goal: int
    unit: str
    """What of: tasks or rows."""
    pending: int
    rounds: tuple[tuple[int, int], ...]
    """(accepted, screened) of the last rounds, oldest first."""
    in_flight: int
    waiting: int
    again: int
    """Requests sent again so far."""
    throttled: int
    """Of these, refused as too many."""
    tokens: int
    """Written by the models so far."""
    picodollars: int
    reasons: tuple[tuple[str, int], ...]
    """The reasons of rejection, the most frequent first."""
    newest: str
    """The instruction accepted last."""
    left_s: float | None = None
    """How much longer it is likely to take; None: unknown."""
    bounds: tuple[tuple[str, int, int], ...] = ()
    """(name, used, most) of each bound of the budget; money in picodollars."""
    read_tokens: int = 0
    """Read by the models so far."""
    open_rounds: int = 0
    """Planned and not settled."""
    servers: int = 0
    """Those that answer, counted for each group of stages."""


def look(growth: Growth, at_s: float) -> Look:
    """What a run looks like now."""
    progress = growth.progress()
    return Look(
        at_s, growth.done, growth.goal.number, growth.goal.unit, growth.pending, tuple(growth.window),
        sum(one.in_flight for one in progress), sum(one.waiting for one in progress),
        sum(one.again for one in progress), sum(one.throttled for one in progress),
        growth.journal.written_tokens, growth.journal.picodollars, tuple(growth.rejected.most_common()),
        growth.generated[len(growth.generated) - 1].instruction if len(growth.generated) else "",
        growth.seconds_left(), tuple(growth.bounds()), growth.journal.read_tokens, len(growth.rounds),
        sum(one.servers for one in progress),
    )  # fmt: skip


def figures(now: Look, since: Look, first: Look) -> dict[str, str]:
    """What is said of a run now, by name; empty where there is nothing to say.

    Speed is that since `since`; `first` is how it was when it began.
    """
    passed_s = max(1e-9, now.at_s - since.at_s)
    speed = f"{(now.tokens - since.tokens) / passed_s:,.0f} tokens a second"
    again = f"{now.again:,} requests sent again" if now.again else ""
    if now.throttled:
        again += f", {now.throttled:,} of them refused as too many (429)"
    return {
        "accepted": _acceptance(now.rounds),
        "asking": f"{now.in_flight:,} requests in flight, {now.waiting:,} waiting; {speed}",
        "again": again,
        "cost": cost(now, first),
    }


def lines(now: Look, since: Look, first: Look, width: int) -> list[str]:
    """The lines that show a run now; each but the first is a figure with its name."""
    reached = f"{left(now)}{_reached(now)}, {now.pending:,} on their way, {took(now, first)} "
    room = max(0, min(_BAR, width - len(reached)))
    filled = min(room, room * now.done // max(1, now.goal))
    named = {
        **figures(now, since, first),
        "rejected": ", ".join(f"{reason} {count:,}" for reason, count in now.reasons[:MOST_REASONS]),
        "newest": plain(now.newest),
    }  # fmt: skip
    shown = [(reached + "█" * filled + "░" * (room - filled)).rstrip()]
    fitted = [Text(line) for line in [*shown, *(f"{name:<9} {said}" for name, said in named.items() if said)]]
    for text in fitted:
        text.truncate(width, overflow="ellipsis")  # Chinese, Japanese, Korean and emoji take two cells each
    return [text.plain for text in fitted]


def in_one_line(now: Look, first: Look) -> str:
    """How a run stands, for a log."""
    parts = (f"{left(now)}{_reached(now)}", cost(now, first), f"{now.again:,} sent again" if now.again else "",
             took(now, first))  # fmt: skip
    return ", ".join(filter(None, parts))


def left(now: Look) -> str:
    """The time that is left, as the beginning of a sentence; empty where nothing says it."""
    return "" if now.left_s is None or now.done >= now.goal else f"about {duration(now.left_s)} left, "


def _reached(now: Look) -> str:
    return f"{now.done:,} of {now.goal:,} {now.unit}"


def took(now: Look, first: Look) -> str:
    """The time since it began."""
    return f"{duration(now.at_s - first.at_s)} so far"


def cost(now: Look, first: Look) -> str:
    """What was spent, of how much, and what it will have been in the end; empty where nothing costs or is bounded."""
    parts = []
    bounds = {name: (used, most) for name, used, most in now.bounds}
    money = [f" of {in_dollars(most):g}" for name, (_, most) in bounds.items() if name == "usd"]
    if now.picodollars or money:
        parts.append(f"{in_dollars(now.picodollars):.4f}{''.join(money)} USD")
        done, wanted = now.done - first.done, now.goal - first.done
        if 0 < done < wanted:
            parts.append(f"about {now.picodollars / done * wanted / _PICO:.2f} USD in the end")
    if "pool_usd" in bounds:
        used, most = bounds["pool_usd"]
        parts.append(f"{in_dollars(max(0, most - used)):.4f} USD left for the pool")
    parts += [f"{used:,} of {most:,} {name}" for name, (used, most) in bounds.items() if not name.endswith("usd")]
    return ", ".join(parts)


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


def can_redraw(console: Console) -> bool:
    """Lines can be drawn over: stderr goes to a terminal, and to one that can. `FORCE_COLOR` makes none of a file."""
    return sys.stderr.isatty() and console.is_terminal and not console.is_dumb_terminal


class Viewer:
    """Looks at a run again and again, and hands to `show` how it is now, how it was a minute ago, and at first."""

    def __init__(self, show: Callable[[Look, Look, Look], None], every_s: float = DRAWN_EVERY_S) -> None:
        self._show, self._every_s = show, every_s
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

    def look(self, growth: Growth) -> None:
        """Look at this run once, and show it."""
        now = look(growth, time.monotonic())
        self._first = self._first or now
        self._looks.append(now)
        while self._looks[0].at_s < now.at_s - RATES_OVER_S:
            self._looks.popleft()
        self._show(now, self._looks[0], self._first)

    async def _draw(self, growth: Growth) -> None:
        while True:
            self.look(growth)
            await asyncio.sleep(self._every_s)


class LiveView:
    """Shows a run in a terminal while the block runs; messages scroll by above it."""

    def __init__(self, console: Console) -> None:
        self._live = Live(console=console, auto_refresh=False, transient=True)
        self._viewer, self._console = Viewer(self._show), console

    def __enter__(self) -> Self:
        self._live.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._viewer.end()
        self._live.stop()

    def tell(self, line: str) -> None:
        """Say something above it."""
        say(line)

    def watch(self, growth: Growth) -> None:
        """Begin to show this run instead of a line for each round. To be called within the event loop that grows it."""
        growth.tells_rounds = False
        self._viewer.begin(growth)

    def _show(self, *seen: *tuple[Look, Look, Look]) -> None:
        shown = Text("\n".join(lines(*seen, self._console.width)))
        shown.highlight_regex(r"^about .*? left", "bold green")
        shown.highlight_regex(r"(?m)^(accepted|asking|again|cost|rejected|newest) ", "cyan")
        self._live.update(shown, refresh=True)


class Log:
    """Tells of a run where no line can be drawn over: each message with its time, and a line a minute."""

    def __init__(self) -> None:
        self._telling: asyncio.Task[None] | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._telling is not None:
            self._telling.cancel()

    def tell(self, line: str) -> None:
        """Say something with the local time before it."""
        say(f"{clock_time(0):%Y-%m-%d %H:%M:%S}  {line}")

    def watch(self, growth: Growth) -> None:
        """Begin to tell of this run. To be called within the event loop that grows it."""
        self._telling = asyncio.create_task(self._tell(growth))

    async def _tell(self, growth: Growth) -> None:
        first = look(growth, time.monotonic())
        while True:
            await asyncio.sleep(LOGGED_EVERY_S)
            self.tell(in_one_line(look(growth, time.monotonic()), first))
