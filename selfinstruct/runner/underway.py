"""What a run holds in memory: rounds under way, accepted tasks, and the work that goes on beside the judging."""

from __future__ import annotations

import asyncio
import math
from bisect import bisect_left, bisect_right
from collections import Counter, defaultdict, deque
from collections.abc import Callable, Coroutine, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from statistics import median
from typing import Any, overload

from selfinstruct.diversity.diagnosis import mostly
from selfinstruct.models.progress import Progress
from selfinstruct.settings import Settings
from selfinstruct.types import Candidate, Completion, Finished, Request, Task

TIMES_THE_MEDIAN, LEAST_S, LEAST_ANSWERS = 10, 30.0, 10
"""When a request is a straggler: so many times its stage's median, at least so long, after so many answers."""
VERDICTS = 30
"""After how many of them it is looked whether a judge tells instances apart."""
NO_JUDGE = "it does not tell good rows from bad, so its scores mean nothing; use a larger model under [stages.judge]"


@dataclass(slots=True)
class Round:
    """A round under way."""

    number: int
    settings: Settings
    requests: list[Request] = field(default_factory=list)
    completions: dict[str, Completion] = field(default_factory=dict)
    waiting: list[Candidate] = field(default_factory=list)
    """Read and not yet judged, in order."""
    is_begun: bool = False
    """Its requests may be sent."""
    is_read: bool = False
    accepted: int = 0
    """By this run; an earlier one may have judged its first candidates."""
    rejected: Counter[str] = field(default_factory=Counter)
    """By this run, with what could not be read: how often for which reason."""
    level: int = 0
    """How strongly it is steered away from what the pool has too much of."""
    is_answered: bool = False
    """Every question of the round has its final answer."""

    @property
    def judged(self) -> int:
        """By this run."""
        return self.accepted + self.rejected.total()


class Generated(Sequence[Task]):
    """The accepted tasks in order, without their instances; a light view, since there may be a million."""

    def __init__(
        self,
        rows: list[tuple[str, str, bool | None, int]],
        length: int | None = None,
        left_out: Sequence[int] = (),
    ) -> None:
        self.rows = rows
        self._length = length
        self._before = [place - number for number, place in enumerate(left_out)]
        """How many stay before each that is left out."""

    def __len__(self) -> int:
        return len(self.rows) if self._length is None else self._length - len(self._before)

    @overload
    def __getitem__(self, place: int) -> Task: ...
    @overload
    def __getitem__(self, place: slice) -> list[Task]: ...
    def __getitem__(self, place: int | slice) -> Task | list[Task]:
        if isinstance(place, slice):
            return [self[one] for one in range(len(self))[place]]
        number = range(len(self))[place]
        identity, instruction, is_classification, _ = self.rows[number + bisect_right(self._before, number)]
        return Task(identity, instruction, None if is_classification is None else bool(is_classification))

    def until(self, number: int, removed: Sequence[int] = ()) -> Generated:
        """Those accepted in rounds up to this one, without the ones at these places, which ascend."""
        length = bisect_right(self.rows, number, key=lambda row: row[3])
        return Generated(self.rows, length, removed[: bisect_left(removed, length)])

    def append(self, task: Task, number: int) -> None:
        """Add a task accepted in this round."""
        self.rows.append((task.id, task.instruction, task.is_classification, number))


class Endings:
    """How the tasks that were finished last in this run ended, so that it is seen when none keeps an instance."""

    def __init__(self, window: int = 100) -> None:
        self._last: deque[tuple[bool, Counter[str]]] = deque(maxlen=window)
        self.reasons: Counter[str] = Counter()
        """Of the rejected instances of all of them."""
        self._scores: list[tuple[int | None, int | None, int | None]] = []
        self._told = False

    def note(self, end: Finished) -> str:
        """Count one more; a warning, once, where a judge gives all instances the same scores."""
        rejected = Counter(rejection.reason for rejection in end.rejections)
        self._last.append((bool(end.instances), rejected))
        self.reasons += rejected
        self._scores += [(one.valid, one.input, one.output) for one in end.verdicts if one.valid is not None]
        if len(self._scores) < VERDICTS or self._told:
            return ""
        self._told, same = True, len(set(self._scores)) == 1
        scores = " ".join(map(str, self._scores[0]))
        return (
            f"the judge has given all of {len(self._scores)} instances the scores {scores}: {NO_JUDGE}" if same else ""
        )

    def fault(self, least: float) -> str:
        """What is wrong when less than this share of the last ones, or none, kept an instance; else empty."""
        kept, most = sum(one for one, _ in self._last), self._last.maxlen or 0
        if len(self._last) < most or (kept and kept >= least * most):
            return ""
        said = mostly(sum((rejected for _, rejected in self._last), Counter[str]()))
        return (
            f"almost no task keeps an instance: {kept:,} of the last {most:,} {said}; "
            "`explain` with such a reason shows some"
        )


class Pace:
    """How long answers take, by stage, so that the one is seen that takes far longer than the others."""

    def __init__(self) -> None:
        self._took: dict[str, deque[float]] = defaultdict(lambda: deque(maxlen=200))
        self._since: dict[str, tuple[Request, float]] = {}
        self._told: set[str] = set()

    @contextmanager
    def timed(self, request: Request, now: Callable[[], float]) -> Iterator[None]:
        """Note how long the answer to a request takes; `now` is in seconds."""
        self._since[request.id] = (request, now())
        try:
            yield
            self._took[request.stage].append(now() - self._since[request.id][1])
        finally:
            del self._since[request.id]

    def stragglers(self, now: float) -> list[tuple[Request, float, float]]:
        """Requests that take ten times the median of their stage, each once: with the seconds so far and the median."""
        found = []
        for request, since in self._since.values():
            took = self._took[request.stage]
            usual = median(took) if len(took) >= LEAST_ANSWERS else math.inf
            if request.id not in self._told and now - since > max(TIMES_THE_MEDIAN * usual, LEAST_S):
                self._told.add(request.id)
                found.append((request, now - since, usual))
        return found


class Children:
    """Tasks that run beside the judging; the event is set when one has ended."""

    def __init__(self, changed: asyncio.Event) -> None:
        self._changed = changed
        self._tasks: set[asyncio.Task[None]] = set()
        self._failed: BaseException | None = None

    def start(self, work: Coroutine[Any, Any, None]) -> None:
        """Let this go on beside."""
        task = asyncio.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._ended)

    @property
    def are_done(self) -> bool:
        """Nothing goes on any more."""
        return not self._tasks

    def raise_first(self) -> None:
        """Raise what the first of them raised, if one did."""
        if self._failed is not None:
            raise self._failed

    async def wait(self, timeout_s: float) -> None:
        """Until all have ended, or the time is over."""
        if self._tasks:
            await asyncio.wait(self._tasks, timeout=timeout_s)

    async def wait_for(self, event: asyncio.Event, timeout_s: float | None) -> None:
        """Until the event is set; after the time-out what still runs is cancelled."""
        try:
            await asyncio.wait_for(event.wait(), timeout_s)
        except TimeoutError:
            await self.cancel()

    async def cancel(self) -> None:
        """End all now."""
        tasks = list(self._tasks)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        self._tasks.clear()

    def _ended(self, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        if not task.cancelled() and task.exception() is not None and self._failed is None:
            self._failed = task.exception()
        self._changed.set()


def ran_dry(window: deque[tuple[int, int]], reasons: Counter[str], least: float) -> str:
    """What is wrong when less than this share of the candidates of a full window, or none, was accepted; else empty.

    The window holds (accepted, judged) of each round, and `reasons` are those of its rejections.
    """
    accepted, judged = (sum(column) for column in zip(*window, strict=True)) if window else (0, 0)
    if len(window) < (window.maxlen or 0) or (accepted and accepted >= least * judged):
        return ""
    return (
        f"almost nothing new: {accepted:,} of {judged:,} candidates were accepted in the last {len(window)} rounds "
        f"{mostly(reasons)}"
    )


def waits_for(progress: Progress) -> str:
    """What a client waits for, in words; empty where it has nothing to do."""
    if progress.reason:
        return progress.reason
    return f"{progress.in_flight} requests in flight for {progress.oldest_s:.0f} s" if progress.in_flight else ""
