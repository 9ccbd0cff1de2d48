"""The pump: keeps requests in flight, journals what comes back, settles rounds in order.

It decides nothing about content; `algorithm.py` does. What it may decide is when to send, and only that: rounds ahead
of judging as far as the lag allows and the goal needs, follow-ups of accepted tasks in between.
"""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import math
from collections import Counter, deque
from collections.abc import Awaitable, Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol, TypeVar

from selfinstruct import algorithm
from selfinstruct.ask import answer_to, gather
from selfinstruct.checks.wording import excerpt
from selfinstruct.diversity.diagnosis import first_signs
from selfinstruct.errors import AccessError, BudgetError, Halted
from selfinstruct.models.progress import Progress
from selfinstruct.pool import statements
from selfinstruct.pool.contents import Contents, OpenRound, OpenTask, Removed
from selfinstruct.pool.exclusions import ExcludedBy
from selfinstruct.pool.journal import Journal
from selfinstruct.pool.opening import Pool
from selfinstruct.pool.saved_index import load_index, save_index
from selfinstruct.pool.statements import Statement
from selfinstruct.recipes import Recipe, recipe_of
from selfinstruct.runner.heard import Heard
from selfinstruct.runner.turns import Turns
from selfinstruct.runner.underway import Children, Endings, Generated, Pace, Round, ran_dry, waits_for
from selfinstruct.runner.watch import Watch
from selfinstruct.settings import Settings
from selfinstruct.steps import judging
from selfinstruct.types import Completion, Prompt, Request, StageModel

WINDOW = 20
"""Rounds settled in this run over which the share of accepted candidates is looked at."""
LOOK_S, SILENCE_S = 5.0, 60.0
"""How often progress is looked at, and after how long without an answer the cause is told, again and again."""
GRACE_S = 60.0
"""How long requests in flight are awaited when a run ends."""

Tell = Callable[[str], None]
Result = TypeVar("Result")
Suffices = Callable[[Sequence[Request], float, int], bool]
"""(requests, tasks, tasks ended) -> is the rest of the budget likely to be enough for those requests and tasks?"""


class Asks(Protocol):
    """What the pump needs of a client."""

    async def complete(
        self, request: Request, priority: int, keep: Callable[[Completion], Awaitable[None]]
    ) -> Completion:
        """The final answer to a request, kept."""

    def halt(self) -> None:
        """Send nothing more."""

    def progress(self) -> Progress:
        """What is under way and what is waited for."""


@dataclass(frozen=True, slots=True)
class Outcome:
    """How a run ended."""

    exit_code: int
    reason: str


class Around(Protocol):
    """What a caller puts around each phase of a round: `sample`, `prompt`, `filter`, `grow`, `follow-up`."""

    def __call__(self, phase: str, number: int, work: Callable[[], Awaitable[Result]]) -> Awaitable[Result]:
        """Do the work, and give what it gives."""


async def plainly(phase: str, number: int, work: Callable[[], Awaitable[Result]]) -> Result:
    """Nothing around the work."""
    del phase, number
    return await work()


class Growth:
    """One run's view of a pool: what is known, under way and still wanted."""

    def __init__(
        self,
        pool: Pool,
        contents: Contents,
        settings: Settings,
        stages_for: Callable[[Recipe], Mapping[str, StageModel]],
        clients: Mapping[str, Asks],
        goal: int,
        run: int,
        tell: Tell,
        min_acceptance: float = 0.0,
        max_minutes: float | None = None,
        enough_pending: int = 256,
        excluded: ExcludedBy = lambda _: None,
        suffices: Suffices = lambda *_: True,
        around: Around = plainly,
    ) -> None:
        self.settings = settings
        self.models = ""
        """What answers, and where, for people."""
        self.goal = goal
        self.seeds = contents.seeds
        self.generated = Generated(contents.generated)
        self.done = contents.done
        self.pending = 0
        self.accepted_by_round: list[int] = []
        self.tells_rounds = True
        """Say how each round came out."""
        self.judging = contents.judging
        self.rounds: dict[int, Round] = {}
        self._pool = pool
        self._resumed = contents
        self._unfinished: deque[OpenTask] = deque()
        self._taken_up = 0
        self._removed = Removed()
        self._stages_for = stages_for
        self._clients = clients
        self._tell = tell
        self.window: deque[tuple[int, int]] = deque(maxlen=WINDOW)
        """(accepted, judged) of the last rounds, as far as this run judged them."""
        self._rejected: deque[Counter[str]] = deque(maxlen=WINDOW)
        """Reasons of the same rounds."""
        self.reasons: Counter[str] = Counter()
        """Of rejected instructions."""
        self._endings = Endings()
        self._pace = Pace()
        self._heard = Heard(settings.round_size, tell)
        self._min_acceptance = min_acceptance
        self._max_minutes = max_minutes
        self._dry: Outcome | None = None
        self._began_at, self._ends_at = 0.0, math.inf
        self._enough_pending = enough_pending
        self._excluded = excluded
        self._suffices = suffices
        self._around = around
        self._turns = Turns(self._may_begin_task, self._may_begin_round)
        self._ended = 0
        """Tasks that this run finished, those without an instance too."""
        self._halted: Outcome | None = None
        self._changed = asyncio.Event()
        self._sampling = asyncio.Lock()
        self._loop = asyncio.get_running_loop()
        self.journal = Journal(pool, run)
        self._radar = Watch(self.seeds, pool.past(algorithm.known_to(contents.judging, settings)), tell)
        tokenizer = settings.filters.tokenizer
        index = load_index(pool.folder, tokenizer, self._at)
        self._judge = algorithm.Judge(tokenizer, self._known, index, excluded)

    # What is known

    @property
    def room(self) -> int:
        """How many more tasks may be accepted before the goal could be passed."""
        return self.goal - self.done - self.pending - len(self._unfinished)

    @property
    def is_reached(self) -> bool:
        """As many tasks with an instance as wanted, and none on its way."""
        return self.done >= self.goal and self.pending == 0

    @property
    def rejected(self) -> Counter[str]:
        """How often each reason has rejected an instruction, or an instance of a task that is finished."""
        return self.reasons + self._endings.reasons

    def _known(self, start: int) -> Iterator[tuple[str, str]]:
        """(id, instruction) of seeds and accepted tasks, from this place on in the order of judging."""
        for seed in self.seeds[start:]:
            yield seed.id, seed.instruction
        for row in itertools.islice(self.generated.rows, max(0, start - len(self.seeds)), None):
            yield row[0], row[1]

    def _at(self, place: int) -> tuple[str, str] | None:
        return next(self._known(place), None)

    # The phases of a round

    async def sample(self, round_: Round) -> None:
        """Draw a round's demonstrations, plan its requests and store them, before any is sent."""
        settings, count = round_.settings, len(self.seeds)
        removed = self._removed = await asyncio.to_thread(self._pool.removed, self._removed)
        seeds = [seed for place, seed in enumerate(self.seeds) if place not in removed.positions]
        left_out = [place - count for place in removed.positions if place >= count]
        shown = self.generated.until(algorithm.known_to(round_.number, settings), left_out)
        steering = self._radar.steering(round_.number, settings, seeds)
        round_.level = steering.seen.level if steering else 0
        requests = algorithm.plan_round(round_.number, settings, seeds, shown, steering)
        self._radar.shown(round_.number, [one for request in requests for one in request.demonstrations])
        await self.journal.write(
            statements.plan_round(
                round_.number, settings, requests, self.journal.run, last_event=removed.last_event,
                steering=steering.to_json() if steering else None,
            )
        )  # fmt: skip
        round_.requests = requests

    async def prompt(self, round_: Round) -> None:
        """Get a final answer to each of a round's requests, and to those that are asked once more in other words."""
        await self._turns.of_round(round_)
        await gather(self._answer(request, round_.completions) for request in round_.requests)
        settings = self._today(round_.settings)
        if again := algorithm.second_questions(round_.requests, round_.completions, settings, round_.level):
            await self.journal.write([statements.add_request(request) for request in again])
            round_.requests += again
            await gather(self._answer(request, round_.completions) for request in again)
        round_.is_answered = True

    async def filter(self, round_: Round) -> Sequence[algorithm.Verdict]:
        """Read the round's answers, once, then judge candidates in order as far as the goal asks."""
        if not round_.is_read:
            candidates, rejections = algorithm.read_round(round_.requests, round_.completions, round_.settings)
            await self.journal.write(statements.read_round(round_.number, candidates, rejections, round_.requests))
            round_.waiting = candidates
            round_.rejected = Counter(rejection.reason for rejection in rejections)
            round_.is_read = True
            self.reasons += round_.rejected
            self._radar.unread(rejections)
        return await asyncio.to_thread(self._verdicts, round_, self.room)

    def _verdicts(self, round_: Round, room: int) -> list[algorithm.Verdict]:
        """Those on the next candidates, until there are as many tasks as there is room for.

        `room` is handed in: what it is reckoned from changes meanwhile in the event loop, one figure after the other.
        """
        shown = {request.id: request.demonstrations for request in round_.requests}
        known = self._pool.tasks({one for ids in shown.values() for one in ids})
        verdicts: list[algorithm.Verdict] = []
        for candidate in round_.waiting:
            if room <= 0:
                break
            examples = [known[one].instruction for one in shown.get(candidate.request_id, ()) if one in known]
            verdict = self._judge.verdict(candidate, examples, round_.settings)
            verdicts.append(verdict)
            room -= isinstance(verdict, algorithm.Accepted)
        return verdicts

    async def grow(self, round_: Round, verdicts: Sequence[algorithm.Verdict]) -> Sequence[OpenTask]:
        """Store what was decided; the accepted tasks, whose follow-ups are now to be asked."""
        shown = {request.id: request.demonstrations for request in round_.requests}
        transaction: list[Statement] = []
        accepted = []
        position = len(self.seeds) + len(self.generated)
        for verdict in verdicts:
            if isinstance(verdict, algorithm.Accepted):
                parents = shown.get(verdict.candidate.request_id, ())
                transaction += statements.accept(position, round_.number, verdict, parents)
                position += 1
                self.generated.append(verdict.task, round_.number)
                accepted.append(OpenTask(verdict.task, round_.number, round_.settings))
            else:
                transaction.append(statements.add_rejection(verdict, round_.number))
                transaction.append(statements.no_longer_waiting(verdict))
                self.reasons[verdict.reason] += 1
                round_.rejected[verdict.reason] += 1
        round_.waiting = round_.waiting[len(verdicts) :]
        round_.accepted += len(accepted)
        self.pending += len(accepted)
        self._radar.judged(verdicts)
        if not round_.waiting:
            transaction.append(statements.settle_round(round_.number))
            transaction += await asyncio.to_thread(self._radar.settled, round_.number, round_.settings)
        await self.journal.write(transaction)
        return accepted

    async def follow_up(self, tasks: Sequence[OpenTask]) -> None:
        """Ask for inputs and outputs of accepted tasks until each has its instances or has ended without one."""
        await gather(self._finish(task) for task in tasks)

    # The run

    async def run(self) -> Outcome:
        """Grow until the goal is reached, nothing new comes any more, or something stops it."""
        children = Children(self._changed)
        self._began_at = self._loop.time()
        if self._max_minutes is not None:
            spent = Outcome(3, f"the {self._max_minutes:g} minutes of this run are over (--max-minutes)")
            self._loop.call_later(self._max_minutes * 60, self.halt, spent)
        watch = asyncio.create_task(self._watch())
        try:
            await self.journal.write(self._radar.late)
            self._resume(children)
            outcome = await self._judge_rounds(children)
            self._stop_sending()
            await children.wait(self._grace_s())
            children.raise_first()
            outcome = self._halted if self._halted and not self.is_reached else outcome
            if outcome.exit_code != 4 and (cut := self._heard.cut()):
                self._tell(cut)
            return outcome
        finally:
            watch.cancel()
            await children.cancel()
            await asyncio.to_thread(self.journal.close)
            await asyncio.to_thread(save_index, self._pool.folder, self._judge.index)

    async def _watch(self) -> None:
        """Say aloud what is waited for when nothing has come for a while."""
        seen, since = -1, 0.0
        while True:
            await asyncio.sleep(LOOK_S)
            since = 0.0 if seen != self.journal.completions else since + LOOK_S
            seen = self.journal.completions
            for request, took_s, usual_s in self._pace.stragglers(self._loop.time()):
                self._tell(self._waits_for(request, took_s, usual_s))
            if since and since % SILENCE_S < LOOK_S:
                said = [waits_for(progress) for progress in self.progress()]
                self._tell(f"no answer for {since:.0f} s: {'; '.join(filter(None, said)) or 'nothing is being asked'}")

    def _waits_for(self, request: Request, took_s: float, usual_s: float) -> str:
        """What is said of a request that takes much longer than others, and what waits for it."""
        usual = f"{request.stage} request: no answer for {took_s:.0f} s, where {usual_s:.0f} s are usual"
        round_ = self.rounds.get(request.round) if request.task_id is None and request.round is not None else None
        if round_ is None:
            return f"{usual}; its task waits for it"
        answered = [one for one in round_.requests if one.id in round_.completions]
        said = f"{usual}; round {round_.number} waits for it with {len(answered)} of {len(round_.requests)} answers"
        read, _ = algorithm.read_round(answered, round_.completions, round_.settings)
        return f"{said} that hold {len(read)} tasks, such as: {excerpt(read[-1].instruction)}" if read else said

    def progress(self) -> list[Progress]:
        """What each client is doing."""
        return [client.progress() for client in {id(one): one for one in self._clients.values()}.values()]

    def halt(self, outcome: Outcome) -> None:
        """Send nothing more, let what is in flight finish, then end with this outcome."""
        if self._halted is None:
            self._halted = outcome
        self._stop_sending()
        self._changed.set()

    def _grace_s(self) -> float:
        """How much longer what is in flight is awaited, once nothing more is sent."""
        return max(0.0, self._ends_at - self._loop.time())

    def _stop_sending(self) -> None:
        self._ends_at = min(self._ends_at, self._loop.time() + GRACE_S)
        for client in self._clients.values():
            client.halt()
        self._turns.halt()

    def _resume(self, children: Children) -> None:
        for opened in self._resumed.rounds:
            round_ = Round(
                opened.number, opened.settings, list(opened.requests), dict(opened.completions), list(opened.waiting),
                is_read=opened.state == "judging", level=opened.level,
            )  # fmt: skip
            self.rounds[opened.number] = round_
            settings = self._today(round_.settings)
            has_all = all(request.id in round_.completions for request in round_.requests)
            round_.is_answered = has_all and not algorithm.second_questions(
                round_.requests, round_.completions, settings, round_.level
            )
            if not round_.is_answered:
                children.start(self._guard(self._ask_again(round_, opened)))
        self._unfinished.extend(self._resumed.tasks)
        self._resumed = Contents(self.seeds, [], 0)

    def _go_on_with_tasks(self, children: Children) -> None:
        """Take up tasks that earlier runs left unfinished, in order, as far as the goal needs them."""
        taken = []
        while self._unfinished and self._unfinished[0].done_before + self._taken_up < self.goal:
            taken.append(self._unfinished.popleft())
            self._taken_up += 1
        if taken:
            self.pending += len(taken)
            children.start(self._guard(self._follow_up(taken)))

    async def _ask_again(self, round_: Round, opened: OpenRound) -> None:
        """Ask the open requests of a round planned earlier, for today's model, sampling and context length."""
        settings = self._today(opened.settings)
        ids = {one for request in round_.requests for one in request.demonstrations}
        known = await asyncio.to_thread(self._pool.tasks, ids)
        transaction: list[Statement] = []
        for place, request in enumerate(round_.requests):
            if request.id not in round_.completions:
                shown = [known[one] for one in request.demonstrations]
                again = algorithm.plan_again(request, settings, round_.level, shown)
                if again.id != request.id:
                    transaction.append(statements.supersede(request))
                transaction.append(statements.add_request(again))
                round_.requests[place] = again
        await self.journal.write(transaction)
        await self._around("prompt", round_.number, lambda: self.prompt(round_))
        self._changed.set()

    async def _judge_rounds(self, children: Children) -> Outcome:
        while True:
            self._changed.clear()
            self._go_on_with_tasks(children)
            if self.is_reached:
                return Outcome(0, f"the target of {self.goal} tasks is reached")
            self._dry = self._dry or self._ran_dry()
            if self._dry and self.pending == 0:
                return self._dry
            if self._halted is not None and children.are_done:
                await self._settle_what_is_there()
                return self._halted
            if self._halted is None and self._dry is None:
                self._send_ahead(children)
                self._turns.serve()
            children.raise_first()
            round_ = self.rounds.get(self.judging)
            if round_ and round_.is_answered and self.room > 0 and self._dry is None:
                children.start(self._guard(self._follow_up(await self._settle(round_))))
                continue
            await children.wait_for(self._changed, self._grace_s() if self._halted else None)

    async def _settle_what_is_there(self) -> None:
        """Judge the rounds whose answers are all there, so that a stopped run leaves no more open than it must."""
        round_ = self.rounds.get(self.judging)
        while round_ and round_.is_answered and self.room > 0:
            await self._settle(round_)
            round_ = self.rounds.get(self.judging)

    async def _settle(self, round_: Round) -> Sequence[OpenTask]:
        before = len(self.generated)
        verdicts = await self._around("filter", round_.number, lambda: self.filter(round_))
        accepted = await self._around("grow", round_.number, lambda: self.grow(round_, verdicts))
        if not round_.waiting:
            number = round_.number
            self.accepted_by_round.append(len(self.generated) - len(self.generated.until(number - 1)))
            self.window.append((round_.accepted, round_.judged))
            self._rejected.append(round_.rejected)
            del self.rounds[number]
            self.judging += 1
            if len(self._rejected) == 1 and (hint := first_signs(round_.accepted, round_.rejected)):
                self._tell(hint)
            if self.tells_rounds:
                self._tell(
                    f"round {number}: {self.accepted_by_round[-1]} tasks accepted, "
                    f"{self.done} of {self.goal} finished, {self.pending} on their way"
                )
        elif len(self.generated) == before and not accepted:
            raise AssertionError("a round with room was neither settled nor advanced")
        return accepted

    def _ran_dry(self) -> Outcome | None:
        """The end of a run that no longer finds anything new or keeps anything, with what rejected the most."""
        least = self._min_acceptance
        fault = self._endings.fault(least) or ran_dry(self.window, sum(self._rejected, Counter()), least)
        return Outcome(4, "; ".join(filter(None, (fault, self._heard.cut())))) if fault else None

    def _send_ahead(self, children: Children) -> None:
        """Start the rounds that may be planned now and are expected to be needed.

        None while so many accepted tasks wait for their follow-ups that the server has work for a good while.
        """
        for number in itertools.count(self.judging):
            if algorithm.known_to(number, self.settings) >= self.judging:
                break
            if number in self.rounds:
                continue
            if self.pending >= self._enough_pending:
                break
            unjudged = [round_ for round_ in self.rounds.values() if not round_.is_read]
            waiting = sum(len(round_.waiting) for round_ in self.rounds.values())
            per_round = algorithm.expected_yield(self.settings, self.accepted_by_round)
            if self.room <= len(unjudged) * per_round + waiting / 2 and (number > self.judging or self.room <= 0):
                break
            self.rounds[number] = Round(number, self.settings)
            children.start(self._guard(self._open_round(self.rounds[number])))

    async def _open_round(self, round_: Round) -> None:
        async with self._sampling:  # in order: a kill must leave no gap, for rounds are judged by number
            if not all(self.rounds[number].requests for number in range(self.judging, round_.number)):
                return  # the one before could not be stored, which ends the run
            await self._around("sample", round_.number, lambda: self.sample(round_))
        await self._around("prompt", round_.number, lambda: self.prompt(round_))
        self._changed.set()

    async def _follow_up(self, tasks: Sequence[OpenTask]) -> None:
        if tasks:
            await self._around("follow-up", tasks[0].round, lambda: self.follow_up(tasks))

    async def _finish(self, opened: OpenTask) -> None:
        task, settings = opened.task, self._today(opened.settings)
        excluded = await asyncio.to_thread(self._excluded, settings) if settings.exclusions else None
        asked = {(request.stage, request.index): request for request in opened.requests}
        completions = dict(opened.completions)
        begins, is_begun = asyncio.Lock(), False

        async def ask(prompt: Prompt) -> Completion:
            nonlocal is_begun
            if answer := answer_to(prompt, asked, completions):
                return answer
            before = asked.get((prompt.stage, prompt.index))
            request = algorithm.plan_request(prompt, settings, opened.round, task.id)
            asked[prompt.stage, prompt.index] = request
            is_other = before is not None and before.id != request.id
            superseded = [statements.supersede(before)] if before and is_other else []
            await self.journal.write([*superseded, statements.add_request(request)])
            if request.id not in completions:
                async with begins:
                    if not is_begun:
                        await self._turns.of_task([request])
                        is_begun = True
                await self._answer(request, completions)
            return completions[request.id]

        try:
            end = await algorithm.finish(task, ask, settings, self.seeds, excluded)
        except KeyboardInterrupt:  # in a validator that would not end; the next run asks it again
            raise Halted from None
        answered = [request for request in asked.values() if request.id in completions]
        await self.journal.write(statements.finish_task(end, opened.round, answered))
        self.pending -= 1
        self.done += bool(end.instances)
        self._taken_up -= not end.instances
        self._ended += 1
        if warning := self._endings.note(end):
            self._tell(warning)
        self._changed.set()
        if is_begun:
            self._turns.end_task()

    async def _answer(self, request: Request, completions: dict[str, Completion]) -> None:
        """Put the final answer to a request into `completions`, journaled; nothing is asked whose answer is there."""
        if request.id in completions:
            return
        stages = (*recipe_of(self.settings).stages, *judging.STAGES)
        place = stages.index(request.stage) if request.stage in stages else 0
        priority = -place if place else -len(stages)
        try:
            with self._pace.timed(request, self._loop.time):
                answer = await self._clients[request.stage].complete(request, priority, self.journal.completion)
        except (AccessError, BudgetError) as error:
            self.halt(Outcome(error.exit_code, str(error)))
            raise Halted from error
        completions[request.id] = answer
        self._heard.note(request, answer)
        if silence := self._heard.silence():
            self.halt(Outcome(4, silence))
        self._turns.serve()

    def _may_begin_task(self, requests: Sequence[Request], others: int) -> bool:
        """Is what is left likely to finish a task that begins so, this many others, and the rounds that have begun?"""
        return self._suffices([*self._open_requests(), *requests], 1 + others, self._ended)

    def _may_begin_round(self, round_: Round) -> bool:
        """Is what is left likely to finish all open tasks, and this round with those that it brings?

        Where nothing is open, the next round to be judged begins in any case.
        """
        begun = [one for one in self.rounds.values() if (one.is_begun or one.is_answered) and not one.is_read]
        if self.pending == 0 and all(one.number > round_.number for one in begun):
            return True
        waiting = sum(len(one.waiting) for one in self.rounds.values())
        per_round = algorithm.expected_yield(self.settings, self.accepted_by_round)
        tasks = min(self.pending + per_round * (len(begun) + 1) + waiting / 2, self.goal - self.done)
        passed_s = self._loop.time() - self._began_at
        if self._max_minutes is not None and passed_s * (1 + tasks / (1 + self._ended)) > self._max_minutes * 60:
            return False
        return self._suffices([*self._open_requests(), *_open(round_)], tasks, self._ended)

    def _open_requests(self) -> list[Request]:
        """Those of rounds that have begun which have no answer yet."""
        return [request for one in self.rounds.values() if one.is_begun for request in _open(one)]

    def _today(self, settings: Settings) -> Settings:
        """Settings of an earlier round with the models, sampling and context length of today."""
        stages = self._stages_for(recipe_of(settings))
        return settings.model_copy(update={"stages": stages, "context_length": self.settings.context_length})

    async def _guard(self, work: Awaitable[Any]) -> None:
        """Work of a child: a halt ends it quietly."""
        with contextlib.suppress(Halted):
            await work


def _open(round_: Round) -> list[Request]:
    return [request for request in round_.requests if request.id not in round_.completions]
