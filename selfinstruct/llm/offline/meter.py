"""What a server counts: busy slots over time, what came within any minute, and which bodies came again and why."""

from __future__ import annotations

from bisect import bisect_left
from collections import Counter, deque
from itertools import accumulate

MINUTE_S = 60.0

_BUCKETS_A_SECOND = 100
_SPACING_S = 0.05
_KEPT_MARKS = 40_000
_KEPT_MINUTES = 24 * 60


class Meter:
    """Busy slot-seconds since a start, and between any two of the later times that are still remembered."""

    def __init__(self, now: float) -> None:
        self.busy = 0
        self.most_busy = 0
        self._area = 0.0
        self._changed = now
        self._marks: deque[tuple[float, float]] = deque([(now, 0.0)], _KEPT_MARKS)
        """Times and the slot-seconds until then. Between two of them busy slots are constant, or 50 ms pass at most."""

    def change(self, now: float, by: int) -> None:
        """`by` slots became busy, or free if negative."""
        if now - self._marks[-1][0] >= _SPACING_S:
            if self._changed > self._marks[-1][0]:
                self._marks.append((self._changed, self._area))
            if now > self._changed:
                self._marks.append((now, self.until(now)))
        self._area, self._changed = self.until(now), now
        self.busy += by
        self.most_busy = max(self.most_busy, self.busy)

    def until(self, now: float) -> float:
        """Slot-seconds from the start until now."""
        return self._area + self.busy * (now - self._changed)

    def between(self, start: float, now: float) -> tuple[float, float]:
        """Slot-seconds from an earlier time until now, and that time, or the earliest that is remembered."""
        if start >= self._changed:
            return self.busy * (now - start), start
        marks = [*self._marks, (self._changed, self._area)]
        at = bisect_left(marks, (start, 0.0))
        if at == 0:
            return self.until(now) - marks[0][1], marks[0][0]
        (before, low), (after, high) = marks[at - 1], marks[at]
        share = (start - before) / (after - before) if after > before else 1.0
        return self.until(now) - (low + share * (high - low)), start


class Minute:
    """What came within the last 60 seconds, to a hundredth of a second, and the most that ever came within as many."""

    def __init__(self) -> None:
        self.most = 0
        self._total = 0
        self._buckets: deque[list[int]] = deque()

    def add(self, now: float, amount: int = 1) -> None:
        """So much came now."""
        self._forget(now)
        bucket = int(now * _BUCKETS_A_SECOND)
        if self._buckets and self._buckets[-1][0] == bucket:
            self._buckets[-1][1] += amount
        else:
            self._buckets.append([bucket, amount])
        self._total += amount
        self.most = max(self.most, self._total)

    def wait(self, now: float, amount: int, limit: int) -> float:
        """Seconds until so much more fits within the limit; 0 when it fits now, or when it is alone and never will."""
        self._forget(now)
        over = self._total + amount - limit
        if over <= 0 or not self._total:
            return 0.0
        gone = accumulate(came for _, came in self._buckets)
        enough = (bucket for (bucket, _), sum_ in zip(self._buckets, gone, strict=True) if sum_ >= over)
        return self._end(next(enough, self._buckets[-1][0])) - now

    def _forget(self, now: float) -> None:
        while self._buckets and self._end(self._buckets[0][0]) <= now:
            self._total -= self._buckets.popleft()[1]

    @staticmethod
    def _end(bucket: int) -> float:
        return (bucket + 1) / _BUCKETS_A_SECOND + MINUTE_S


class Ledger:
    """Which bodies came how often, by the digest of their bytes, and what became of them."""

    def __init__(self, now: float) -> None:
        self.seen: Counter[bytes] = Counter()
        self.again = {"after_fault": 0, "while_open": 0, "after_answer": 0}
        """Requests whose body had come before: it was not answered, it is being worked on, it was answered."""
        self.minute = Minute()
        self.by_minute: deque[int] = deque([0], _KEPT_MINUTES)
        """Requests that came in each minute after the start."""
        self.in_flight = 0
        self.most_in_flight = 0
        self._start = now
        self._minutes = 1
        self._answered: set[bytes] = set()
        self._open: Counter[bytes] = Counter()
        self._turned_away: Counter[bytes] = Counter()

    def arrive(self, now: float, body: bytes) -> None:
        """A request came in."""
        self.minute.add(now)
        while now - self._start >= self._minutes * MINUTE_S:
            self.by_minute.append(0)
            self._minutes += 1
        self.by_minute[-1] += 1
        if body in self.seen:
            self.again[
                "after_answer" if body in self._answered else "while_open" if body in self._open else "after_fault"
            ] += 1
        self.seen[body] += 1
        self._open[body] += 1
        self.in_flight += 1
        self.most_in_flight = max(self.most_in_flight, self.in_flight)

    def leave(self, body: bytes, *, was_answered: bool) -> None:
        """A request is done with; an error that asking again cannot cure is an answer."""
        self.in_flight -= 1
        self._open[body] -= 1
        if not self._open[body]:
            del self._open[body]
        if was_answered:
            self._answered.add(body)

    def turn_away(self, body: bytes) -> None:
        """The last request with this body met an outage or a limit; it is no attempt that could have had a fault."""
        self._turned_away[body] += 1

    def attempt(self, body: bytes) -> int:
        """How often the body came and was not turned away."""
        return self.seen[body] - self._turned_away.get(body, 0)
