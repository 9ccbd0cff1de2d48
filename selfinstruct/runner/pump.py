"""The pump: keeps requests in flight, journals what comes back, settles rounds in order.

It decides nothing about content; `algorithm.py` does. What it may decide is when to send, and only that: rounds ahead
of screening as far as the lag allows and the goal needs, follow-ups of accepted tasks in between. Read `run` first.

The round that is screened next holds up all others, so everything here is done by one loop (`_grow`). Only what waits
for answers goes on beside it, each as a child: the questions of a round, and those of the tasks that one round brought.
"""

from __future__ import annotations

import asyncio
import heapq
import itertools
import math
from collections import Counter, deque
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol, TypeVar

from selfinstruct import algorithm
from selfinstruct.ask import answer_to, gather
from selfinstruct.checks import has_own_check
from selfinstruct.checks.wording import excerpt
from selfinstruct.config.roles import stage_models
from selfinstruct.diversity.diagnosis import first_signs
from selfinstruct.errors import AccessError, BudgetError, Halted
from selfinstruct.models.progress import Progress
from selfinstruct.own import waits_at
from selfinstruct.pool import statements
from selfinstruct.pool.contents import Contents, OpenRound, OpenTask, Removed
from selfinstruct.pool.exclusions import ExcludedBy
from selfinstruct.pool.journal import Journal
from selfinstruct.pool.opening import Writer
from selfinstruct.pool.passage_sets import passages_by, with_passage
from selfinstruct.pool.saved_index import save_index
from selfinstruct.pool.statements import Statement
from selfinstruct.recipes import recipe_of
from selfinstruct.runner.goals import Goal
from selfinstruct.runner.rounds import Generated, Round, Rounds
from selfinstruct.runner.signs import Endings, Failing, Heard, Pace, keeps_code, ran_dry
from selfinstruct.runner.time_left import TimeLeft
from selfinstruct.runner.watch import Tell, Watch
from selfinstruct.settings import Settings
from selfinstruct.types import PASSAGE, Completion, InstanceCandidate, Prompt, Request, Task

if TYPE_CHECKING:  # brings the HTTP client, which takes a second to import
    from selfinstruct.config.sections import Config
    from selfinstruct.models.budget import Budget
    from selfinstruct.runner.clients import Models

WINDOW = 20
"""Rounds settled in this run over which the share of accepted candidates is looked at."""
LOOK_S, SILENCE_S = 5.0, 60.0
"""How often progress is looked at, and after how long without an answer the cause is told, again and again."""
GRACE_S = 60.0
"""How long requests in flight are awaited when a run ends."""

Result = TypeVar("Result")


@dataclass(slots=True)
class _Work:
    """What is known of an accepted task that is followed up."""

    instruction: str
    of: asyncio.Task[Any] | None
    since_s: float
    """When it last asked something or had an answer; infinite once it is told that it does neither."""
    open: int = 0
    """Its questions without an answer."""


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
        pool: Writer,
        contents: Contents,
        settings: Settings,
        config: Config,
        models: Models,
        goal: Goal,
        run: int,
        tell: Tell,
        budget: Budget,
        excluded: ExcludedBy,
        around: Around = plainly,
    ) -> None:
        self.settings = settings
        self.models = models.in_words(settings)
        """What answers, and where, for people."""
        self.goal = goal
        self.done = goal.reached(contents.done)
        """Finished tasks with an instance, or their rows, as the goal counts."""
        self.pending = 0
        """Accepted tasks that are being followed up."""
        self.screening = contents.screening
        """The round to be screened next."""
        self.rounds: dict[int, Round] = {}
        """Those that are planned and not settled, by number."""
        self.seeds = contents.seeds
        self.generated = Generated(contents.generated)
        self.tells_rounds = True
        """Say how each round came out."""
        self.journal = Journal(pool, run)
        self._pool, self._config, self._served, self._tell = pool, config, models, tell
        self._budget, self._excluded, self._passages, self._around = budget, excluded, passages_by(pool), around
        self._watch = Watch(self.seeds, pool.past(algorithm.known_to(contents.screening, settings)), tell)
        self._all = Rounds(
            self.seeds, self.generated, self._watch, settings.filters.tokenizer, excluded, pool.folder, contents.asked
        )
        self.rejected = self._all.rejected
        """How often each reason has rejected an instruction, or an instance of a finished task."""
        self._removed, self._left_open = Removed(), contents.rounds
        self._unfinished = deque(contents.tasks)
        """Tasks that earlier runs left unfinished and this one has not taken up, in order."""
        self._taken_up, self._promised = 0, 0
        """The most that may be counted: those of them that this one has taken up, and what is pending."""
        self._last_rounds: deque[tuple[int, Counter[str]]] = deque(maxlen=WINDOW)
        """Of the rounds settled last: tasks accepted and candidates rejected by this run."""
        self._accepted_by_round: list[int] = []
        self._ended, self._done_before = 0, self.done
        """Tasks that this run finished, those without an instance too; and how much was done before."""
        self._heard, self._endings, self._pace = Heard(settings.round_size, tell), Endings(), Pace()
        self._failing = (Failing("instructions"), Failing("instances"))
        self._halted: Outcome | None = None
        """Nothing more is sent, and how the run will end."""
        self._dry: Outcome | None = None
        """No further round is screened, and how the run will end once accepted tasks are finished."""
        self._is_sending, self._is_held_up, self._works = True, False, dict[str, _Work]()  # by id of the task
        self._children: set[asyncio.Future[None]] = set()
        self._failed: BaseException | None = None
        self._changed = asyncio.Event()
        """There may be something to do for the loop."""
        self._turns: list[tuple[tuple[int, int], Callable[[], bool], asyncio.Future[None]]] = []
        """A heap of the work that waits to begin: place, what begins it if it may, and who waits."""
        self._tasks_begun, self._tasks_come = 0, itertools.count()
        self._loop = asyncio.get_running_loop()
        self._began_at, self._ends_at = self._loop.time(), math.inf
        self._time_left = TimeLeft([*settings.stages], self._began_at)

    @property
    def room(self) -> int:
        """How much is missing of the goal if all that is accepted comes to as much as it can."""
        left = sum(self.goal.most(task.settings) for task in self._unfinished)
        return self.goal.number - self.done - self._promised - left

    @property
    def is_reached(self) -> bool:
        """As much as wanted is finished, and nothing on its way."""
        return self.done >= self.goal.number and self.pending == 0

    @property
    def window(self) -> list[tuple[int, int]]:
        """(accepted, screened) of the last rounds, as far as this run screened them."""
        return [(accepted, accepted + rejected.total()) for accepted, rejected in self._last_rounds]

    # The run

    async def run(self) -> Outcome:
        """Grow until the goal is reached, nothing new comes any more, or something stops it."""
        if (most := self._config.budget.max_minutes) is not None:
            spent = Outcome(3, f"the {most:g} minutes of this run are over (--max-minutes)")
            self._loop.call_later(most * 60, self.halt, spent)
        looking = asyncio.create_task(self._look())
        try:
            for opened in self._left_open:
                self._resume(opened)
            outcome = await self._grow()
            self._stop_sending()
            if self._children:
                await asyncio.wait(self._children, timeout=self._grace_s())
            self._raise_failure()
            outcome = self._halted if self._halted and not self.is_reached else outcome
            if outcome.exit_code != 4 and (cut := self._heard.cut()):
                self._tell(cut)
            return outcome
        finally:
            looking.cancel()
            await self._cancel_children()
            await asyncio.to_thread(self.journal.close)
            if not self._is_held_up:  # the index may hold half of an instruction
                await asyncio.to_thread(save_index, self._pool.folder, self._all.screening.index)

    async def _grow(self) -> Outcome:
        while True:
            self._changed.clear()
            self._take_up_tasks()
            if self.is_reached:
                more = f": {self.done:,}" if self.done > self.goal.number else ""
                return Outcome(0, f"the target of {self.goal} is reached{more}")
            self._dry = self._dry or self._ran_dry()
            if self._dry and self.pending == 0:
                return self._dry
            if self._halted and not self._children:
                while self._can_screen:  # so that a stopped run leaves no more open than it must
                    await self._settle(self.rounds[self.screening])
                return self._halted
            if not self._halted and not self._dry:
                await self._plan_ahead()
                self._let_begin()
            self._raise_failure()
            if self._can_screen and self._dry is None:
                self._start_tasks(await self._settle(self.rounds[self.screening]))
                continue
            try:
                async with asyncio.timeout(self._grace_s() if self._halted else None):
                    await self._changed.wait()
            except TimeoutError:
                await self._cancel_children()

    @property
    def _can_screen(self) -> bool:
        round_ = self.rounds.get(self.screening)
        return round_ is not None and round_.is_answered and self.room > 0 and not self._is_held_up

    def halt(self, outcome: Outcome) -> None:
        """Send nothing more, let what is in flight finish, then end with this outcome."""
        self._halted = self._halted or outcome
        self._stop_sending()
        self._changed.set()

    def _stop_sending(self) -> None:
        self._is_sending = False
        self._ends_at = min(self._ends_at, self._loop.time() + GRACE_S)
        for client in self._served.clients.values():
            client.halt()
        for _, _, waits in self._turns:
            if not waits.done():
                waits.set_exception(Halted())
        self._turns.clear()

    def _grace_s(self) -> float:
        """How much longer what is in flight is awaited, once nothing more is sent."""
        return max(0.0, self._ends_at - self._loop.time())

    # What goes on beside the loop

    def _start(self, work: Awaitable[None]) -> None:
        child = asyncio.ensure_future(work)
        self._children.add(child)
        child.add_done_callback(self._child_ended)

    def _child_ended(self, child: asyncio.Future[None]) -> None:
        self._children.discard(child)
        error = None if child.cancelled() else child.exception()
        if not isinstance(error, Halted):  # which ends a child quietly
            self._failed = self._failed or error
        self._changed.set()

    def _raise_failure(self) -> None:
        if self._failed is not None:
            raise self._failed

    async def _cancel_children(self) -> None:
        children = list(self._children)
        for child in children:
            child.cancel()
        await asyncio.gather(*children, return_exceptions=True)

    # Rounds: planned ahead, asked, screened in order

    async def _plan_ahead(self) -> None:
        """Plan and begin the rounds that may be planned now and are expected to be needed, in order.

        None while enough accepted tasks wait for their follow-ups to keep the server busy.
        """
        for number in itertools.count(self.screening):
            if algorithm.known_to(number, self.settings) >= self.screening:
                break
            if number in self.rounds:
                continue
            if self._halted or self.pending >= max(64, 4 * self._served.concurrency):
                break
            unread = sum(not round_.is_read for round_ in self.rounds.values())
            expected = unread * self._yield() + self._waiting() / 2
            missing = self._tasks_missing() - self.pending - len(self._unfinished)
            if missing <= expected and (number > self.screening or self.room <= 0):
                break
            await self._plan(Round(number, self.settings))

    async def _plan(self, round_: Round) -> None:
        await self._around("sample", round_.number, lambda: self.sample(round_))
        self.rounds[round_.number] = round_
        self._start(self._ask(round_))

    async def sample(self, round_: Round) -> None:
        """Draw a round's demonstrations, plan its requests and store them, before any is sent."""
        settings, number, count = round_.settings, round_.number, len(self.seeds)
        removed = self._removed = await asyncio.to_thread(self._pool.removed, self._removed)
        seeds = [seed for place, seed in enumerate(self.seeds) if place not in removed.positions]
        left_out = [place - count for place in removed.positions if place >= count]
        shown = self.generated.until(algorithm.known_to(number, settings), left_out)
        steering = self._watch.steering(number, settings, seeds)
        round_.level = steering.seen.level if steering else 0
        between = range(algorithm.known_to(number, settings) + 1, number)
        asked = [one for place in between for one in self._all.asked.get(place, ())]
        passages = self._passages(settings)
        round_.requests = algorithm.plan_round(number, settings, seeds, shown, steering, asked, passages)
        if settings.quotas.over:  # which alone look back
            self._all.asked[number] = [request.drawn for request in round_.requests]
        self._watch.shown(number, [one for request in round_.requests for one in request.demonstrations])
        await self.journal.write(
            statements.plan_round(
                number, settings, round_.requests, self.journal.run, last_event=removed.last_event,
                steering=steering.to_json() if steering else None,
            )
        )  # fmt: skip

    def _resume(self, opened: OpenRound) -> None:
        """Go on with a round that an earlier run planned."""
        round_ = Round(
            opened.number, opened.settings, list(opened.requests), dict(opened.completions), list(opened.waiting),
            is_read=opened.state == "screening", level=opened.level,
        )  # fmt: skip
        self.rounds[round_.number] = round_
        round_.is_answered = not round_.open_requests and not self._second_questions(round_)
        if not round_.is_answered:
            self._start(self._ask_again(round_))

    async def _ask_again(self, round_: Round) -> None:
        """Ask the open requests of a round planned earlier, for today's model, sampling and context length."""
        ids = {one for request in round_.requests for one in request.demonstrations}
        known = await asyncio.to_thread(self._pool.tasks, ids)
        settings, transaction = self._today(round_.settings), list[Statement]()
        for place, request in enumerate(round_.requests):
            if request.id not in round_.completions:
                shown = [known[one] for one in request.demonstrations]
                again = algorithm.plan_again(request, settings, round_.level, shown)
                if again.id != request.id:
                    transaction.append(statements.supersede(request))
                transaction.append(statements.add_request(again))
                round_.requests[place] = again
        await self.journal.write(transaction)
        await self._ask(round_)

    def _ask(self, round_: Round) -> Awaitable[None]:
        return self._around("prompt", round_.number, lambda: self.prompt(round_))

    async def prompt(self, round_: Round) -> None:
        """Get a final answer to each of a round's requests, and to those that are asked once more in other words."""
        await self._turn((1, round_.number), lambda: self._begin_round(round_))
        await gather(self._answer(request, round_.completions) for request in round_.requests)
        if again := self._second_questions(round_):
            await self.journal.write([statements.add_request(request) for request in again])
            round_.requests += again
            await gather(self._answer(request, round_.completions) for request in again)
        round_.is_answered = True

    def _second_questions(self, round_: Round) -> list[Request]:
        settings = self._today(round_.settings)
        return algorithm.second_questions(round_.requests, round_.completions, settings, round_.level)

    async def _settle(self, round_: Round) -> Sequence[OpenTask]:
        """Screen the candidates of the next round as far as the goal asks; the tasks accepted."""
        number = round_.number
        decisions = await self._around("filter", number, lambda: self.filter(round_))
        accepted = await self._around("grow", number, lambda: self.grow(round_, decisions))
        if round_.waiting:
            return accepted
        in_all = len(self.generated) - len(self.generated.until(number - 1))
        self._accepted_by_round.append(in_all)
        self._last_rounds.append((round_.accepted, round_.rejected))
        del self.rounds[number]
        self.screening += 1
        if len(self._last_rounds) == 1 and (hint := first_signs(round_.accepted, round_.rejected)):
            self._tell(hint)
        if self.tells_rounds:
            self._tell(
                f"round {number}: {in_all} tasks accepted, "
                f"{self.done} of {self.goal} finished, {self.pending} on their way"
            )
        return accepted

    async def filter(self, round_: Round) -> Sequence[algorithm.Decision]:
        """Read the round's answers, once, then screen candidates in order as far as the goal asks."""
        if not round_.is_read:
            await self.journal.write(self._all.read(round_))
        ids = {one for request in round_.requests for one in request.demonstrations}
        # tasks that may be accepted; the parts of `room` change meanwhile in the event loop, one after the other
        room = math.ceil(self.room / self.goal.most(round_.settings))
        shown = await asyncio.to_thread(self._pool.tasks, ids)
        screened = self._all.screen(round_, {one: task.instruction for one, task in shown.items()}, room)
        if not has_own_check(round_.settings):
            return await asyncio.to_thread(list, screened)
        decisions: list[algorithm.Decision] = []
        try:  # in this thread, the only one in which a signal can end code of the user's
            for decision in screened:
                decisions.append(decision)
                await asyncio.sleep(0)  # for answers that have come, and for signals
        except KeyboardInterrupt as held:
            self._is_held_up = True
            for one in round_.waiting[len(decisions) :][:1]:
                self._tell_of_halt(held, one.instruction)
            self.halt(Outcome(130, "interrupted"))
        self._note_failures(0, decisions, round_.settings)
        return decisions

    async def grow(self, round_: Round, decisions: Sequence[algorithm.Decision]) -> Sequence[OpenTask]:
        """Store what was decided; the accepted tasks, whose follow-ups are now to be asked."""
        transaction, accepted = self._all.record(round_, decisions)
        self.pending += len(accepted)
        self._promised += len(accepted) * self.goal.most(round_.settings)
        if not round_.waiting:
            transaction += await asyncio.to_thread(self._all.settle, round_)
        await self.journal.write(transaction)
        return accepted

    def _ran_dry(self) -> Outcome | None:
        """The end of a run whose quotas are met, or that no longer finds anything new or keeps anything, with why."""
        if self._all.screening.filled.lack(self.settings) == 0:
            return Outcome(0, f"the quotas are met, before the target of {self.goal}; a larger quotas.each takes more")
        least = self._config.min_acceptance
        fault = self._endings.fault(least)
        if not fault and len(self._last_rounds) == WINDOW:
            fault = ran_dry(self._last_rounds, least)
        return Outcome(4, "; ".join(filter(None, (fault, self._heard.cut())))) if fault else None

    # Accepted tasks: followed up until each has its instances

    def _take_up_tasks(self) -> None:
        """Take up tasks that earlier runs left unfinished, in order, as far as the goal needs them."""
        taken = []
        while (
            self._unfinished and self.goal.reached(self._unfinished[0].done_before) + self._taken_up < self.goal.number
        ):
            taken.append(self._unfinished.popleft())
            most = self.goal.most(taken[-1].settings)
            self._taken_up += most
            self._promised += most
        self.pending += len(taken)
        self._start_tasks(taken)

    def _start_tasks(self, tasks: Sequence[OpenTask]) -> None:
        if tasks:
            self._start(self._around("follow-up", tasks[0].round, lambda: self.follow_up(tasks)))

    async def follow_up(self, tasks: Sequence[OpenTask]) -> None:
        """Ask for inputs and outputs of accepted tasks until each has its instances or has ended without one."""
        await gather(self._finish(task) for task in tasks)

    def _with_passage(self, task: Task) -> Task:
        with self._pool.connect() as connection:
            return with_passage(connection, task)

    async def _finish(self, opened: OpenTask) -> None:
        task, settings = opened.task, self._today(opened.settings)
        task = await asyncio.to_thread(self._with_passage, task) if PASSAGE in task.drawn else task
        excluded = await asyncio.to_thread(self._excluded, settings) if settings.exclusions else None
        asked = {(request.stage, request.index): request for request in opened.requests}
        completions = dict(opened.completions)
        turn: asyncio.Future[None] | None = None
        work = self._works[task.id] = _Work(task.instruction, asyncio.current_task(), self._loop.time())

        async def ask(prompt: Prompt) -> Completion:
            work.open += 1
            try:
                return await answered_or_asked(prompt)
            finally:
                work.open, work.since_s = work.open - 1, self._loop.time()

        async def answered_or_asked(prompt: Prompt) -> Completion:
            nonlocal turn
            if answer := answer_to(prompt, asked, completions):
                return answer
            before = asked.get((prompt.stage, prompt.index))
            request = algorithm.plan_request(prompt, settings, opened.round, task.id)
            asked[prompt.stage, prompt.index] = request
            superseded = [statements.supersede(before)] if before and before.id != request.id else []
            await self.journal.write([*superseded, statements.add_request(request)])
            if request.id not in completions:
                turn = turn or self._turn((0, next(self._tasks_come)), lambda: self._begin_task(request))
                await turn
                await self._answer(request, completions)
            return completions[request.id]

        try:
            end = await algorithm.finish(task, ask, settings, self.seeds, excluded)
        except KeyboardInterrupt as held:  # in code of the user's that would not end; the next run asks it again
            self._tell_of_halt(held, task.instruction)
            raise Halted from None
        finally:
            del self._works[task.id]
        answered = [request for request in asked.values() if request.id in completions]
        await self.journal.write(statements.finish_task(end, opened.round, answered))
        most, worth = self.goal.most(opened.settings), self.goal.worth(len(end.instances))
        self.pending -= 1
        self._promised -= most
        self._taken_up -= most - worth
        self.done += worth
        self._ended += 1
        self._time_left.finished(completions[one.id] for one in answered if one.id not in opened.completions)
        self.rejected.update(rejection.reason for rejection in end.rejections)
        self._note_failures(1, (*end.instances, *end.rejections), opened.settings)
        if warning := self._endings.note(end):
            self._tell(warning)
        self._changed.set()
        if turn is not None:
            self._tasks_begun -= 1
            self._let_begin()

    # Questions: each is journaled before anything reads its answer, and nothing is asked whose answer is there

    async def _answer(self, request: Request, completions: dict[str, Completion]) -> None:
        """Put the final answer to a request into `completions`, journaled."""
        if request.id in completions:
            return
        stages = [*self.settings.stages]
        place = stages.index(request.stage) if request.stage in stages else 0
        priority = -place or -len(stages)
        client = self._served.clients[request.stage]
        try:
            with self._pace.timed(request, self._loop.time):
                answer = await client.complete(request, priority, self.journal.completion)
        except (AccessError, BudgetError) as error:
            self.halt(Outcome(error.exit_code, str(error)))
            raise Halted from error
        completions[request.id] = answer
        self._heard.note(request, answer)
        self._time_left.answered(request, answer, self._loop.time())
        if silence := self._heard.silence():
            self.halt(Outcome(4, silence))
        self._let_begin()

    def _today(self, settings: Settings) -> Settings:
        """Settings of an earlier round with the models, sampling and context length of today."""
        if settings is self.settings:
            return settings
        models = self._served
        stages = stage_models(self._config, recipe_of(settings), settings, models.name, models.context_length)
        return settings.model_copy(update={"stages": stages, "context_length": self.settings.context_length})

    # Turns: the last of a budget finishes open tasks before it opens new rounds (law 10). With money enough everything
    # begins at once. Near the end, work begins only if what is left is likely to finish it and all that was begun
    # before, or if nothing is under way: so a budget is spent to its end, and leaves little half done.

    def _turn(self, place: tuple[int, int], begin: Callable[[], bool]) -> asyncio.Future[None]:
        """Is done once this work may begin: tasks come before rounds, each in their order.

        `begin` begins the work if it may, and says whether; a run that stops sends `Halted`.
        """
        waits = self._loop.create_future()
        if self._is_sending:
            heapq.heappush(self._turns, (place, begin, waits))
            self._let_begin()
        else:
            waits.set_exception(Halted())
        return waits

    def _let_begin(self) -> None:
        while self._turns and self._turns[0][1]():
            waits = heapq.heappop(self._turns)[2]
            if not waits.done():  # cancelled with the run
                waits.set_result(None)

    def _begin_task(self, first: Request) -> bool:
        """Is what is left likely to finish this task, all others, and the rounds that have begun?"""
        if self._tasks_begun and not self._budget.suffices(
            [*self._open_requests(), first], 1 + self._tasks_begun, self._ended
        ):
            return False
        self._tasks_begun += 1
        return True

    def _begin_round(self, round_: Round) -> bool:
        """Is what is left likely to finish all open tasks, and this round with those that it brings?

        Where nothing is open, the next round to be screened begins in any case.
        """
        begun = [one for one in self.rounds.values() if (one.is_begun or one.is_answered) and not one.is_read]
        if self.pending or any(one.number < round_.number for one in begun):
            tasks = self.pending + self._yield() * (len(begun) + 1) + self._waiting() / 2
            tasks = min(tasks, self._tasks_missing())
            most, passed_s = self._config.budget.max_minutes, self._loop.time() - self._began_at
            if most is not None and passed_s * (1 + tasks / (1 + self._ended)) > most * 60:
                return False
            if not self._budget.suffices([*self._open_requests(), *round_.open_requests], tasks, self._ended):
                return False
        round_.is_begun = True
        return True

    def _open_requests(self) -> list[Request]:
        """Those of rounds that have begun which have no answer yet."""
        return [request for one in self.rounds.values() if one.is_begun for request in one.open_requests]

    def _tasks_missing(self) -> float:
        """How many more finished tasks it is likely to take until the goal."""
        counted = self.done - self._done_before
        each = counted / self._ended if self.goal.unit == "rows" and counted else 1.0
        return min((self.goal.number - self.done) / each, self._all.screening.filled.lack(self.settings) + self.pending)

    def _yield(self) -> float:
        """How many tasks a round is expected to bring: the mean of the last five, or half of what is asked for."""
        if recent := self._accepted_by_round[-5:]:
            return sum(recent) / len(recent)
        return self.settings.round_size * self.settings.recipe.tasks_per_request / 2

    def _waiting(self) -> int:
        """How many candidates are read and not decided yet."""
        return sum(len(one.waiting) for one in self.rounds.values())

    # What is said where code of the user's own does not do what it should

    def _tell_of_halt(self, held: KeyboardInterrupt, text: str) -> None:
        what = str(held) or "code of yours"
        said = f"{what} did not end and was stopped, at: {excerpt(text)}; the next run begins there again"
        self._tell(f"{said}; {keeps_code(self._pool.folder)}")

    def _note_failures(
        self, place: int, found: Sequence[algorithm.Decision | InstanceCandidate], settings: Settings
    ) -> None:
        """Stop where a check of the user's fails on all that it sees; rounds planned with other code say nothing."""
        if settings.own_code == self.settings.own_code and (fault := self._failing[place].fault(found)):
            self.halt(Outcome(4, f"{fault}; {keeps_code(self._pool.folder)}"))

    # What is said while nothing seems to happen

    def progress(self) -> list[Progress]:
        """What each client is doing."""
        return [client.progress() for client in {id(one): one for one in self._served.clients.values()}.values()]

    def seconds_left(self) -> float | None:
        """How much longer this run is likely to take; None where nothing says so."""
        if self._halted or self._dry:
            return None
        kept = (self.done - self._done_before) / self._ended if self.done > self._done_before else 1.0
        tasks = (self.goal.number - self.done) / kept
        wanted = tasks - self.pending - len(self._unfinished) - self._waiting() / 2
        unread = [one for one in self.rounds.values() if not one.is_read]
        questions = sum(len(one.open_requests) for one in unread) if wanted > 0 else 0.0
        more = max(0.0, wanted - len(unread) * self._yield()) / max(self._yield(), 0.1)
        seen = self.progress()
        left = self._time_left.seconds(
            self._loop.time(), questions + more * self.settings.round_size, max(0.0, tasks),
            sum(one.in_flight for one in seen), max((one.oldest_s for one in seen), default=0.0),
        )  # fmt: skip
        most = self._config.budget.max_minutes
        if most is None or left is None:
            return left
        return min(left, max(0.0, self._began_at + most * 60 - self._loop.time()))

    @property
    def sent(self) -> int:
        """Requests sent by this run, repeated ones included."""
        return self._budget.used[0]

    def bounds(self) -> list[tuple[str, int, int]]:
        """Each bound of the budget by its name, with what is used of it and the most that may be."""
        return self._budget.bounds()

    async def _look(self) -> None:
        """Say aloud what the run is waiting for when nothing has come for a while."""
        seen, since = -1, 0.0
        while True:
            await asyncio.sleep(LOOK_S)
            since = 0.0 if seen != self.journal.completions else since + LOOK_S
            seen = self.journal.completions
            if self._config.batch.enabled:  # it waits for hours, and the batch tells of itself
                since = 0.0
                continue
            for straggler in self._pace.stragglers(self._loop.time()):
                self._tell(self._waits_for(*straggler))
            for work in self._works.values():
                took_s = self._loop.time() - work.since_s
                if work.of and not work.open and took_s >= SILENCE_S and (place := waits_at(work.of.get_coro())):
                    held = f"{place} waits for something else than a model, {took_s:.0f} s so far"
                    self._tell(f"{held}, at: {excerpt(work.instruction)}")
                    work.since_s = math.inf
            if since and since % SILENCE_S < LOOK_S:
                said = [
                    one.reason or f"{one.in_flight} requests in flight for {one.oldest_s:.0f} s"
                    for one in self.progress()
                    if one.reason or one.in_flight
                ]
                self._tell(f"no answer for {since:.0f} s: {'; '.join(said) or 'nothing is being asked'}")

    def _waits_for(self, request: Request, took_s: float, usual_s: float) -> str:
        """What is said of a request that takes much longer than others, and what waits for it."""
        usual = f"{request.stage} request: no answer for {took_s:.0f} s, where {usual_s:.0f} s are usual"
        round_ = None if request.task_id else self.rounds.get(-1 if request.round is None else request.round)
        if round_ is None:
            return f"{usual}; its task waits for it"
        answered = [one for one in round_.requests if one.id in round_.completions]
        said = f"{usual}; round {round_.number} waits for it with {len(answered)} of {len(round_.requests)} answers"
        read, _ = algorithm.read_round(answered, round_.completions, round_.settings)
        return f"{said} that hold {len(read)} tasks, such as: {excerpt(read[-1].instruction)}" if read else said
