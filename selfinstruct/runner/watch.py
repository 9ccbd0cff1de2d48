"""The watch over a growing pool: closes windows of rounds, says alarms aloud, and says what a round is to ask for.

What it says for round k follows from the instructions judged and shown in rounds up to `known_to(k)` alone (law 2).
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from selfinstruct.algorithm import MOST_LAG, Accepted, Verdict, known_to
from selfinstruct.diversity.monitor import Tally, Window, close, warning_text
from selfinstruct.diversity.steering import Seen, Steering, steering
from selfinstruct.diversity.verbs import Reading, read
from selfinstruct.pool.windows import Past, add_window
from selfinstruct.pool.writer import Statement
from selfinstruct.settings import RadarSettings, Settings
from selfinstruct.types import Rejection, Task, storable


@dataclass(frozen=True, slots=True)
class _Closed:
    """A window with what was known at its end."""

    window: Window
    reasons: Counter[str]
    words: Sequence[frozenset[str]]
    pairs: Counter[Reading]


class Watch:
    """What was judged and shown so far, as far as later rounds depend on it."""

    def __init__(self, seeds: Sequence[Task], past: Past, tell: Callable[[str], None]) -> None:
        self._tell = tell
        self._closed: list[_Closed] = []
        self._open = Tally()
        self._first = past.rounds[0].number if past.rounds else 0
        self._shown: dict[int, Sequence[str]] = {}
        self._pairs = Counter(past.pairs)
        self._pairs.update(read(seed.instruction) for seed in seeds)
        self.late: list[Statement] = []
        """Windows that earlier versions, or a replay, left out."""
        self._go_through(past)

    def _go_through(self, past: Past) -> None:
        stored = {window.last_round: window for window in past.windows}
        for round_ in past.rounds:
            if round_.number <= max(stored, default=-1):
                self._pairs.subtract(read(text) for text, reason, _ in round_.judged if reason is None)
        self._pairs = +self._pairs
        for round_ in past.rounds:
            self._shown[round_.number] = round_.shown
            for text, reason, score in round_.judged:
                if reason is None:
                    self._open.accept(text, score)
                else:
                    self._open.reject(text, reason)
            if round_.number in stored:
                self._close(stored[round_.number])
            elif round_.is_settled and round_.number > max(stored, default=-1):
                self.late += self._end(round_.number, round_.bounds)

    def unread(self, rejections: Sequence[Rejection]) -> None:
        """Count what could not be read out of a round's answers."""
        for rejection in rejections:
            self._open.reject(storable(rejection.text), rejection.reason)

    def judged(self, verdicts: Sequence[Verdict]) -> None:
        """Count what was decided, in order."""
        for verdict in verdicts:
            if isinstance(verdict, Accepted):
                nearest = verdict.likeness.nearest
                self._open.accept(storable(verdict.task.instruction), nearest.score if nearest else None)
            else:
                self._open.reject(storable(verdict.text), verdict.reason)

    def shown(self, number: int, demonstrations: Sequence[str]) -> None:
        """Note which tasks the requests of a round show."""
        self._shown[number] = demonstrations

    def settled(self, number: int, settings: Settings) -> list[Statement]:
        """What is stored when this round is settled: its window, if that ends here. A new alarm is said aloud."""
        before = self._closed[-1].window if self._closed else None
        statements = self._end(number, settings.radar)
        if statements:
            window = self._closed[-1].window
            if window.alarms and not (before and before.alarms):
                self._tell(
                    warning_text(window, settings.radar, self._closed[-1].reasons, acts=settings.diversify == "auto")
                )
        return statements

    def steering(self, number: int, settings: Settings, seeds: Sequence[Task]) -> Steering | None:
        """How this round is to differ from the usual; None where there is no reason, or nobody asked for it."""
        until = known_to(number, settings)
        closed = next((one for one in reversed(self._closed) if one.window.last_round <= until), None)
        if settings.diversify != "auto" or closed is None or not closed.window.level:
            return None
        uses = Counter(one for past in range(closed.window.first_round, until + 1) for one in self._shown.get(past, ()))
        return steering(Seen(closed.window.level, closed.pairs, closed.words, uses), settings, seeds)

    def _end(self, number: int, bounds: RadarSettings) -> list[Statement]:
        """Close the window if this round is its last."""
        if number - self._first + 1 < bounds.window:
            return []
        before = self._closed[-1].window.level if self._closed else 0
        window = close(self._open, self._pairs, (self._first, number), before, bounds)
        statements = add_window(window, self._open.pairs)
        self._close(window)
        return statements

    def _close(self, window: Window) -> None:
        self._pairs = self._pairs + self._open.pairs
        self._closed.append(_Closed(window, self._open.reasons, self._open.words, self._pairs))
        self._open, self._first = Tally(), window.last_round + 1
        while len(self._closed) > 1 and self._closed[1].window.last_round <= window.last_round - MOST_LAG:
            gone = self._closed.pop(0).window
            for number in range(gone.first_round, gone.last_round + 1):
                self._shown.pop(number, None)
