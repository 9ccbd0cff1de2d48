"""Rounds as they are read, screened and settled, in order (laws 1 and 4): the same code for a run and for a replay.

Each function changes what is known in memory and returns the statements to store; the caller decides when that is done.
"""

from __future__ import annotations

import itertools
import math
from bisect import bisect_left, bisect_right
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from selfinstruct import algorithm
from selfinstruct.pool import statements
from selfinstruct.pool.contents import GeneratedRow, OpenTask
from selfinstruct.pool.exclusions import ExcludedBy
from selfinstruct.pool.saved_index import load_index
from selfinstruct.pool.statements import Statement
from selfinstruct.runner.watch import Watch
from selfinstruct.settings import Settings
from selfinstruct.types import Candidate, Completion, Request, Task


@dataclass(slots=True)
class Round:
    """A round under way."""

    number: int
    settings: Settings
    requests: list[Request] = field(default_factory=list)
    completions: dict[str, Completion] = field(default_factory=dict)
    waiting: list[Candidate] = field(default_factory=list)
    """Read and not decided yet, in order."""
    is_read: bool = False
    level: int = 0
    """How strongly it is steered away from what the pool has too much of."""
    is_begun: bool = False
    """Its requests may be sent."""
    is_answered: bool = False
    """Every question of the round has its final answer."""
    accepted: int = 0
    """By this run; an earlier one may have screened its first candidates."""
    rejected: Counter[str] = field(default_factory=Counter)
    """By this run, with what could not be read: how often for which reason."""

    @property
    def open_requests(self) -> list[Request]:
        """Those without an answer."""
        return [request for request in self.requests if request.id not in self.completions]


class Generated(Sequence[Task]):
    """The accepted tasks in order, without their instances; a light view, since there may be a million."""

    def __init__(self, rows: list[GeneratedRow], length: int | None = None, left_out: Sequence[int] = ()) -> None:
        self.rows = rows
        self._length = length
        self._before = [place - number for number, place in enumerate(left_out)]
        """How many stay before each that is left out."""

    def __len__(self) -> int:
        return len(self.rows) if self._length is None else self._length - len(self._before)

    def __getitem__(self, place: Any) -> Any:
        """The task at a place; not for slices."""
        number = range(len(self))[place]
        identity, instruction, flag, _, drawn = self.rows[number + bisect_right(self._before, number)]
        return Task(identity, instruction, None if flag is None else bool(flag), drawn=drawn)

    def until(self, number: int, removed: Sequence[int] = ()) -> Generated:
        """Those accepted in rounds up to this one, without the ones at these places, which ascend."""
        length = bisect_right(self.rows, number, key=lambda row: row[3])
        return Generated(self.rows, length, removed[: bisect_left(removed, length)])


class Rounds:
    """What is known of a pool's instructions, and what each further round makes of it.

    `watch` counts what is decided. An index saved in `folder` saves reading all instructions again.
    """

    def __init__(
        self,
        seeds: Sequence[Task],
        generated: Generated,
        watch: Watch,
        tokenizer: str,
        excluded: ExcludedBy,
        folder: Path | None = None,
        asked: Mapping[int, Sequence[Mapping[str, str]]] = {},
    ) -> None:
        self.seeds = seeds
        self.generated = generated
        self.rejected: Counter[str] = Counter()
        """How often each reason has rejected an instruction."""
        self.asked = dict(asked)
        """What was drawn for the requests of each round whose tasks a later plan may not know."""
        self._watch = watch
        index = load_index(folder, tokenizer, lambda place: next(self._known(place), None)) if folder else None
        self.screening = algorithm.Screening(
            tokenizer, self._known, index, excluded, lambda: (row[4] for row in self.generated.rows)
        )

    def read(self, round_: Round) -> list[Statement]:
        """Read a round's answers, all of which are there."""
        candidates, rejections = algorithm.read_round(round_.requests, round_.completions, round_.settings)
        round_.waiting, round_.is_read = candidates, True
        round_.rejected = Counter(rejection.reason for rejection in rejections)
        self.rejected.update(round_.rejected)
        self._watch.unread(rejections)
        return statements.read_round(round_.number, candidates, rejections, round_.requests)

    def screen(
        self, round_: Round, texts: Mapping[str, str], room: float = math.inf, *, is_past_rules: bool = False
    ) -> Iterator[algorithm.Decision]:
        """The decisions on the next candidates, one by one, until there are as many tasks as there is room for.

        `texts` has the instructions of the round's demonstrations by id. What is past the rules is compared alone.
        """
        decide = self.screening.compare if is_past_rules else self.screening.decide
        asked = {request.id: (request.demonstrations, request.drawn) for request in round_.requests}
        for candidate in round_.waiting:
            if room <= 0:
                break
            shown, drawn = asked.get(candidate.request_id, ((), {}))
            examples = [texts[one] for one in shown if one in texts]
            decision = decide(candidate, examples, round_.settings, drawn)
            room -= isinstance(decision, algorithm.Accepted)
            yield decision

    def record(
        self, round_: Round, decisions: Sequence[algorithm.Decision]
    ) -> tuple[list[Statement], Sequence[OpenTask]]:
        """Take over what was decided on the next candidates; and the accepted tasks, whose questions are now asked."""
        shown = {request.id: request.demonstrations for request in round_.requests}
        transaction: list[Statement] = []
        accepted = []
        for decision in decisions:
            if isinstance(decision, algorithm.Accepted):
                task, parents = decision.task, shown.get(decision.candidate.request_id, ())
                position = len(self.seeds) + len(self.generated)
                transaction += statements.accept(position, round_.number, decision, parents)
                self.generated.rows.append(
                    (task.id, task.instruction, task.is_classification, round_.number, task.drawn)
                )
                accepted.append(OpenTask(task, round_.number, round_.settings))
            else:
                transaction.append(statements.add_rejection(decision, round_.number))
                transaction.append(statements.no_longer_waiting(decision))
                self.rejected[decision.reason] += 1
                round_.rejected[decision.reason] += 1
        round_.waiting = round_.waiting[len(decisions) :]
        round_.accepted += len(accepted)
        self._watch.screened(decisions)
        return transaction, accepted

    def settle(self, round_: Round) -> list[Statement]:
        """End a round none of whose candidates is waiting any more."""
        return [statements.settle_round(round_.number), *self._watch.settled(round_.number, round_.settings)]

    def _known(self, start: int) -> Iterator[tuple[str, str]]:
        """(id, instruction) of seeds and accepted tasks, from this place on in the order of screening."""
        for seed in self.seeds[start:]:
            yield seed.id, seed.instruction
        for row in itertools.islice(self.generated.rows, max(0, start - len(self.seeds)), None):
            yield row[0], row[1]
