"""How much may be sent, and when: rate limits, a concurrency that finds its level, and a breaker for outages.

Nothing here sends or sleeps; the clock is a function that gives seconds and never goes back.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable
from typing import Literal

Clock = Callable[[], float]

BURST_S = 2.0
"""Seconds' worth that a bucket holds: 3.3 % of a minute, so that no minute sees more than 5 % above the limit."""
HIGH_SHARE = 0.3
"""Share of refused requests among the last sent that means a limit rather than chance.

Those in flight count as taken: refusals come back at once, and so come first.
"""
HIGH_SHARE_WHEN_PACED = 0.15
"""The same once a pace is known, which is then corrected sooner."""
FEWEST_SENT = 20
NEARLY_ALL = 0.6
"""Share of refused requests that means that nothing is taken now: a pause, not only fewer at once."""
LONGEST_PAUSE_S = 60.0
LONGEST_PROBE_PAUSE_S = 30.0
FAILURES_TO_OPEN = 5
FAILED_SHARE_TO_OPEN = 0.15
"""Failures in a row, of those and what is in flight: failures come fast, and so come first."""
REFUSALS_TO_OPEN = 2
_ENOUGH = ((15.0, 1), (5.0, 4), (2.0, 20))
"""(seconds, requests): a pace is looked at again after these seconds, if at least these requests were sent."""

Heard = Literal["ok", "refused", "overloaded", "neither"]
"""What an answer says of the load: fine, too fast (429), too much at once (503, out of time), or nothing."""


class Bucket:
    """A limit a minute: `amount` may be taken when it has run in, or when the bucket is full.

    One amount may be larger than the bucket; those after it then wait until that is paid off.
    """

    def __init__(self, per_minute: float, clock: Clock) -> None:
        self.per_minute = per_minute
        self._clock = clock
        self._level = self._size
        self._at = clock()

    @property
    def _size(self) -> float:
        return max(1.0, self.per_minute / 60 * BURST_S)

    def set_rate(self, per_minute: float) -> None:
        """Go on at another rate."""
        self._run_in()
        self.per_minute = per_minute
        self._level = min(self._level, self._size)

    def wait_s(self, amount: float = 1.0) -> float:
        """Seconds until the amount may be taken; 0: now."""
        self._run_in()
        missing = min(amount, self._size) - self._level
        return missing * 60 / self.per_minute if missing > 1e-9 else 0.0

    def take(self, amount: float = 1.0) -> None:
        """Take the amount, into debt if need be."""
        self._run_in()
        self._level -= amount

    def put_back(self, amount: float) -> None:
        """Correct an amount taken: what was not used comes back, a negative amount is taken as well."""
        self._run_in()
        self._level = min(self._size, self._level + amount)

    def _run_in(self) -> None:
        now = self._clock()
        self._level = min(self._size, self._level + (now - self._at) * self.per_minute / 60)
        self._at = now


class Throttle:
    """How many requests an endpoint gets at once, and at which pace, found from how it answers.

    Additive increase, multiplicative decrease, one decrease a burst: answers to what was sent before the last one do
    not count. Isolated refusals change nothing. When many are refused, the pace becomes what was accepted: against a
    limit by rate a lower concurrency is of no use, since refusals come back at once and make room for the next.
    """

    def __init__(self, most: int, clock: Clock) -> None:
        self.most = most
        self.limit = float(most)
        self.in_flight = 0
        self._peak = 0
        self.paused_until = 0.0
        self._clock = clock
        self._pace: Bucket | None = None
        self._number = 0
        self._judged_from = 0
        self._bad: list[int] = []
        self._is_doubtful = False
        self._pauses = 0
        self._step = 0.01
        self._learns = False
        self._since = float("-inf")
        self._sent = 0
        self._refused = 0

    @property
    def pace(self) -> float | None:
        """Requests a second that the server is known to accept; None: no limit has been met."""
        return self._pace.per_minute / 60 if self._pace else None

    @property
    def has_room(self) -> bool:
        """One more request may be in flight."""
        return self.in_flight < max(1, int(self.limit))

    def wait_s(self) -> float:
        """Seconds until pauses and pace allow the next request."""
        now = self._clock()
        if now < self.paused_until:
            return self.paused_until - now
        if self._learns:
            self._learn(now)
        return self._pace.wait_s() if self._pace else 0.0

    def sent(self) -> int:
        """One more is in flight; its number."""
        if self._since == float("-inf"):
            self._since = self._clock()
        self.in_flight += 1
        self._peak = max(self._peak, self.in_flight)
        self._sent += 1
        if self._pace:
            self._pace.take()
        self._number += 1
        return self._number

    def answered(self, number: int, heard: Heard, retry_after_s: float | None = None) -> None:
        """The request of this number is no longer in flight."""
        used = self.in_flight
        self.in_flight -= 1
        if heard == "neither":
            return
        if heard == "ok":
            if number > self._judged_from:
                self._is_doubtful = False
                self._pauses = 0
            if used >= self.limit / 2:
                self.limit = min(float(self.most), self.limit + max(1.0, self.most / 16) / self.limit)
        else:
            self._refused += heard == "refused"
            if number > self._judged_from:
                self._bad.append(number)
                self._judge(heard, retry_after_s)
        self._correct_pace()

    def begin_again(self) -> None:
        """After an outage: at half of what was or a quarter of the most, and from there upwards."""
        self.limit = max(1.0, self.limit / 2, self.most / 4)
        self._judged_from = self._number
        self._bad.clear()

    def _judge(self, heard: Heard, retry_after_s: float | None) -> None:
        first = max(self._judged_from, self._number - max(FEWEST_SENT, int(2 * self.limit))) + 1
        sent = self._number - first + 1
        self._bad = [number for number in self._bad if number >= first]
        share = len(self._bad) / sent
        is_still_refusing = self._is_doubtful and len(self._bad) >= 3 and share > NEARLY_ALL
        if not is_still_refusing and (sent < FEWEST_SENT or share <= HIGH_SHARE):
            return
        self._judged_from = self._number
        self._bad.clear()
        self.limit = max(1.0, 0.7 * min(self.limit, float(self._peak)))
        self._peak = self.in_flight
        if heard == "refused" and (self._pace is None or is_still_refusing or share > NEARLY_ALL):
            pause = min(LONGEST_PAUSE_S, 2.0**self._pauses) if retry_after_s is None else retry_after_s
            self.paused_until = max(self.paused_until, self._clock() + pause)
            self._pauses += 1
            self._is_doubtful = self._learns = True

    def _learn(self, now: float) -> None:
        """Set the pace to what was accepted since counting began, the pause included; where nothing was, leave it."""
        per_minute = 60 * (self._sent - self._refused) / max(1.0, now - self._since)
        if per_minute > 0:
            self._step = 0.01 if self._pace else 0.1
            self._pace = self._pace or Bucket(per_minute, self._clock)
            self._pace.set_rate(min(self._pace.per_minute, per_minute))
        self._count_from(now)

    def _correct_pace(self) -> None:
        now = self._clock()
        passed = now - self._since
        fewest = next((fewest for seconds, fewest in _ENOUGH if passed >= seconds), float("inf"))
        if self._learns or self._sent < fewest:
            return
        if self._pace is None:
            if passed > 10:
                self._count_from(now)
        elif self._refused > HIGH_SHARE_WHEN_PACED * self._sent:
            self._learn(now)
        else:
            if self._sent >= 0.7 * passed * self._pace.per_minute / 60:
                self._pace.set_rate(self._pace.per_minute * (1 + self._step))
                self._step = min(0.5, self._step * 2)
            self._count_from(now)

    def _count_from(self, now: float) -> None:
        self._learns = False
        self._since, self._sent, self._refused = now, 0, 0


class Breaker:
    """Whether a server is in outage. Open: nothing is sent but probes. Half open: one request shows how it is."""

    def __init__(self, clock: Clock) -> None:
        self.state: Literal["closed", "open", "half open"] = "closed"
        self.why = ""
        self.opened_at = 0.0
        self.failed_probes = 0
        self.is_probed = False
        """Half open, and the one request is under way."""
        self._clock = clock
        self._failed: set[Hashable] = set()
        self._refusals = 0
        self._failed_since = self._refused_at = self.half_open_at = float("-inf")

    def succeeded(self, sent_at: float) -> bool:
        """Take note of an answer; whether that ends an outage. What was sent before it began says nothing."""
        if sent_at >= self._failed_since:
            self._failed.clear()
        if sent_at > self._refused_at:
            self._refusals = 0
        if self.state != "half open" or sent_at < self.half_open_at:
            return False
        self.state = "closed"
        self.failed_probes = self._refusals = 0
        return True

    def failed(
        self, sent_at: float, why: str, *, of: Hashable = None, in_flight: int = 0, is_refusal: bool = False
    ) -> None:
        """Take note of a failure of the server or of the way to it. A refused connection says more than others.

        `of` is what was asked: what fails again and again while all else is answered says nothing of the server, so it
        counts once.
        """
        if not self._failed:
            self._failed_since = self._clock()
        self._failed.add(object() if of is None else of)
        failures = len(self._failed)
        if is_refusal:
            self._refusals += 1
            self._refused_at = self._clock()
        if self.state == "half open" and sent_at >= self.half_open_at:
            self.probe_failed(why)
        elif self.state == "closed" and (
            failures >= max(FAILURES_TO_OPEN, FAILED_SHARE_TO_OPEN * (failures + in_flight))
            or self._refusals >= REFUSALS_TO_OPEN
        ):
            self.open(why)

    def open(self, why: str) -> None:
        """Send nothing more."""
        self.state = "open"
        self.why = why
        self.opened_at = self._clock()
        self.failed_probes = 0

    def half_open(self) -> None:
        """Let one request show whether the server is back."""
        self.state = "half open"
        self.is_probed = False
        self.half_open_at = self._clock()

    def probe_failed(self, why: str) -> None:
        """The server is still in outage."""
        self.state = "open"
        self.why = why
        self.failed_probes += 1

    @property
    def pause_s(self) -> float:
        """Seconds before the next probe: 0.5, 1, 2, ... 30."""
        return min(LONGEST_PROBE_PAUSE_S, 0.5 * 2.0 ** min(self.failed_probes, 7))
