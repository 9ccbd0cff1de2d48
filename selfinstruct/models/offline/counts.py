"""What a server counts: busy slots over time, what came within any minute, and which bodies came again and why."""

from __future__ import annotations

from bisect import bisect_right
from collections import Counter, deque
from operator import itemgetter

MINUTE_S = 60.0
TURNED_AWAY = ("outage", "rate_limited", "token_limited")
"""Outcomes of requests that the server did not let in."""


class Meter:
    """Busy slot-seconds since a start, and since any later time that is still remembered."""

    def __init__(self, now: float) -> None:
        self.busy = self.most_busy = 0
        self._changes = deque([(now, 0.0, 0)], 100_000)
        """Times, the slot-seconds until then, and the busy slots from then on."""

    def change(self, now: float, by: int) -> None:
        """`by` slots became busy, or free if negative."""
        self.busy += by
        self._changes.append((now, self.until(now), self.busy))
        self.most_busy = max(self.most_busy, self.busy)

    def until(self, now: float) -> float:
        """Slot-seconds from the start until now."""
        time, area, busy = self._changes[-1]
        return area + busy * (now - time)

    def since(self, start: float, now: float) -> tuple[float, float]:
        """Slot-seconds from a time until now, and that time, or the earliest that is remembered."""
        start = max(start, self._changes[0][0])
        time, area, busy = self._changes[bisect_right(self._changes, start, key=itemgetter(0)) - 1]
        return self.until(now) - area - busy * (start - time), start


class Minute:
    """What came within the last 60 seconds, and the most that ever came within 60 seconds."""

    def __init__(self) -> None:
        self.most = self._total = 0
        self._came: deque[tuple[float, int]] = deque()

    def add(self, now: float, amount: int = 1) -> None:
        """This amount came now."""
        self._forget(now)
        self._came.append((now, amount))
        self._total += amount
        self.most = max(self.most, self._total)

    def wait(self, now: float, amount: int, limit: int) -> float:
        """Seconds until the amount fits within the limit; 0 when it fits now, or when it is alone and never will."""
        self._forget(now)
        over, free = self._total + amount - limit, now
        for came, gone in self._came:
            if over <= 0:
                break
            over, free = over - gone, came + MINUTE_S
        return free - now

    def _forget(self, now: float) -> None:
        while self._came and self._came[0][0] + MINUTE_S <= now:
            self._total -= self._came.popleft()[1]


class BodyCounts:
    """Which bodies came how often, by the digest of their bytes, and what became of them."""

    def __init__(self) -> None:
        self.seen: Counter[bytes] = Counter()
        self.again = {"after_fault": 0, "while_open": 0, "after_answer": 0}
        """Requests whose body had come before: it was not answered, it is being worked on, it was answered."""
        self.outcomes: Counter[str] = Counter()
        self.minute = Minute()
        self.in_flight = self.most_in_flight = 0
        self._answered: set[bytes] = set()
        self._open: Counter[bytes] = Counter()
        self._turned_away: Counter[bytes] = Counter()

    def arrive(self, now: float, body: bytes) -> None:
        """A request came in."""
        self.minute.add(now)
        if body in self.seen:
            was_answered, is_open = body in self._answered, body in self._open
            self.again["after_answer" if was_answered else "while_open" if is_open else "after_fault"] += 1
        self.seen[body] += 1
        self._open[body] += 1
        self.in_flight += 1
        self.most_in_flight = max(self.most_in_flight, self.in_flight)

    def leave(self, body: bytes, outcome: str) -> None:
        """A request is done with; an error that asking again cannot cure is an answer."""
        self.outcomes[outcome] += 1
        self.in_flight -= 1
        self._open[body] -= 1
        if not self._open[body]:
            del self._open[body]
        if outcome in TURNED_AWAY:
            self._turned_away[body] += 1
        elif outcome in {"answered", "refused"}:
            self._answered.add(body)

    def attempt(self, body: bytes) -> int:
        """How often the body came and was let in."""
        return self.seen[body] - self._turned_away.get(body, 0)
