"""The watch over a growing pool: closes windows of rounds, says warnings aloud, and says what a round is to ask for.

What it says for round k follows from the instructions screened and shown in rounds up to `known_to(k)` alone (law 2).
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from selfinstruct.algorithm import MOST_LAG, Accepted, Decision, known_to
from selfinstruct.diversity.monitor import Tally, Window, close, warning_text
from selfinstruct.diversity.steering import Seen, Steering, steering
from selfinstruct.diversity.verbs import Reading, read
from selfinstruct.pool.contents import Past
from selfinstruct.pool.statements import Statement, add_window
from selfinstruct.settings import Settings
from selfinstruct.types import Rejection, Task, storable

Tell = Callable[[str], None]


@dataclass(frozen=True, slots=True)
class _Closed:
    """A window with what was screened in it, and the pairs of verb and noun of the pool at its end."""

    window: Window
    tally: Tally
    pairs: Counter[Reading]


class Watch:
    """What was screened and shown so far, as far as later rounds depend on it."""

    def __init__(self, seeds: Sequence[Task], past: Past | None = None, tell: Tell = lambda _: None) -> None:
        past = past or Past()
        self._tell = tell
        self._closed: list[_Closed] = []
        self._open = Tally()
        self._first = past.rounds[0].number if past.rounds else 0
        self._shown: dict[int, Sequence[str]] = {}
        stored = {window.last_round: window for window in past.windows}
        last = max(stored, default=-1)
        pairs = Counter(past.pairs)
        pairs.update(read(seed.instruction) for seed in seeds)
        for round_ in past.rounds:
            if round_.number <= last:
                pairs.subtract(read(text) for text, reason, _ in round_.screened if reason is None)
        self._pairs = +pairs
        """Those of the seeds and of what was accepted before the open window."""
        for round_ in past.rounds:
            self._shown[round_.number] = round_.shown
            for text, reason, score in round_.screened:
                self._count(text, reason, score)
            if round_.number in stored:
                self._close(stored[round_.number])

    def unread(self, rejections: Sequence[Rejection]) -> None:
        """Count what could not be read out of a round's answers."""
        for rejection in rejections:
            self._count(rejection.text, rejection.reason)

    def screened(self, decisions: Sequence[Decision]) -> None:
        """Count what was decided, in order."""
        for decision in decisions:
            if isinstance(decision, Accepted):
                nearest = decision.similarity.nearest
                self._count(decision.task.instruction, None, nearest.score if nearest else None)
            else:
                self._count(decision.text, decision.reason)

    def shown(self, number: int, demonstrations: Sequence[str]) -> None:
        """Note which tasks the requests of a round show."""
        self._shown[number] = demonstrations

    def settled(self, number: int, settings: Settings) -> list[Statement]:
        """What is stored when this round is settled: its window, if that ends here. A new warning is said aloud."""
        if number - self._first + 1 < settings.monitor.window:
            return []
        before, tally = self._closed[-1].window if self._closed else None, self._open
        rounds, level = (self._first, number), before.level if before else 0
        window = close(tally, self._pairs, rounds, level, settings.monitor)
        self._close(window)
        if window.warnings and not (before and before.warnings):
            self._tell(warning_text(window, settings.monitor, tally.reasons, acts=settings.diversify == "auto"))
        return add_window(window, tally.pairs)

    def steering(self, number: int, settings: Settings, seeds: Sequence[Task]) -> Steering | None:
        """How this round is to differ from the usual; None where there is no reason, or nobody asked for it."""
        until = known_to(number, settings)
        closed = next((one for one in reversed(self._closed) if one.window.last_round <= until), None)
        if settings.diversify != "auto" or closed is None or not closed.window.level:
            return None
        uses = Counter(one for past in range(closed.window.first_round, until + 1) for one in self._shown.get(past, ()))
        return steering(Seen(closed.window.level, closed.pairs, closed.tally.words, uses), settings, seeds)

    def _count(self, text: str, reason: str | None, score: float | None = None) -> None:
        if reason is None:
            self._open.accept(storable(text), score)
        else:
            self._open.reject(storable(text), reason)

    def _close(self, window: Window) -> None:
        self._pairs = self._pairs + self._open.pairs
        self._closed.append(_Closed(window, self._open, self._pairs))
        self._open, self._first = Tally(), window.last_round + 1
        while len(self._closed) > 1 and self._closed[1].window.last_round <= window.last_round - MOST_LAG:
            gone = self._closed.pop(0).window
            for number in range(gone.first_round, gone.last_round + 1):
                self._shown.pop(number, None)
