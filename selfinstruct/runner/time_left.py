"""How much longer a run is likely to take: the work that is left, by the pace at which answers come."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Sequence
from statistics import mean

from selfinstruct.steps.judging import REVISE
from selfinstruct.types import PROPOSE, Completion, Request

OVER_S = 60.0
"""The pace is that of the last minute."""
FEW = 3
"""Fewer answers than this many for each request in flight, or tasks, say little."""
MOST_LONGER = 2.0
"""Requests are taken to last at most this many times as long as those that were answered first."""
LAST = 200
"""Answers, and tasks, whose mean is taken."""


class TimeLeft:
    """Counts the work of answers: the seconds that each took of one request in flight."""

    def __init__(self, stages: Sequence[str], began_at: float) -> None:
        self._steps, self._began_at = [stage for stage in stages if stage not in {PROPOSE, REVISE}], began_at
        """The stages that each accepted task goes through, one after the other."""
        self._took: dict[str, deque[float]] = {}
        self._recent: deque[tuple[float, float]] = deque()
        """When each answer of the last minute came, and how long it took."""
        self._of_tasks: deque[float] = deque(maxlen=LAST)
        """The work that each finished task took."""
        self._under_way = 0.0
        """That of the answers for tasks that are not finished."""

    def answered(self, request: Request, completion: Completion, now: float) -> None:
        """Count an answer."""
        self._took.setdefault(request.stage, deque(maxlen=LAST)).append(completion.latency_s)
        self._recent.append((now, completion.latency_s))
        self._forget(now)
        if request.stage != PROPOSE:
            self._under_way += completion.latency_s

    def finished(self, answers: Iterable[Completion]) -> None:
        """Count a task that is finished, with its answers."""
        work = sum(one.latency_s for one in answers)
        self._of_tasks.append(work)
        self._under_way = max(0.0, self._under_way - work)

    def seconds(self, now: float, questions: float, tasks: float, in_flight: int, oldest_s: float) -> float | None:
        """For this many more answers to propose requests, and tasks to be finished; None before the first answer.

        `in_flight` requests are under way now, for up to `oldest_s`.
        """
        if not self._took:
            return None
        self._forget(now)
        usual_s = mean([mean(took) for took in self._took.values()])
        window_s = max(1e-3, min(OVER_S, now - self._began_at))
        took, open_s = sum(one for _, one in self._recent), in_flight * min(oldest_s, MOST_LONGER * usual_s) / 2
        busy, longer = (took + open_s) / window_s, 1.0
        if len(self._recent) < FEW * in_flight:  # it has only just begun, and the shortest answers come first
            busy, longer = max(busy, in_flight), min(MOST_LONGER, (took + open_s) / max(took, 1e-3))
        path_s = sum(self._latency_s(step, usual_s) for step in self._steps)
        each = (sum(self._of_tasks) + FEW * path_s) / (len(self._of_tasks) + FEW)
        work = questions * self._latency_s(PROPOSE, usual_s) + max(0.0, tasks * each - self._under_way)
        last_s = path_s + (self._latency_s(PROPOSE, usual_s) if questions else 0.0)
        return longer * work / max(busy, 1e-3) + last_s / 3  # fewer and fewer are in flight at the end

    def _forget(self, now: float) -> None:
        while self._recent and self._recent[0][0] < now - OVER_S:
            self._recent.popleft()

    def _latency_s(self, stage: str, usual_s: float) -> float:
        took = self._took.get(stage)
        return mean(took) if took else usual_s
