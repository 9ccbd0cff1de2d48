"""Self-Instruct on one page: plan a round, read its answers, screen the candidates in order, finish each new task.

Wang et al. 2022, section 2: show some tasks of the pool, ask for new instructions, keep those that are valid and new,
give each its instances. Values in, values out; the only thing that waits is `finish`, on `ask` (see `runner/pump.py`).
"""

from __future__ import annotations

import random
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace

from selfinstruct.ask import Ask
from selfinstruct.checks.contaminated import Excluded
from selfinstruct.checks.faults import reject, rejection
from selfinstruct.checks.personal_data import mask
from selfinstruct.checks.screening import InstructionRules, Screened, fault_of_input
from selfinstruct.diversity.figures import FULL, is_sampled
from selfinstruct.diversity.steering import CHOICE, Steering, raised
from selfinstruct.recipes import recipe_of
from selfinstruct.recipes.fitting import fits, fitted
from selfinstruct.settings import Settings
from selfinstruct.similarity.index import Index, Neighbour
from selfinstruct.sources.demonstrations import draw_demonstrations, draw_demonstrations_by_weight, draw_topic
from selfinstruct.steps.judging import judge
from selfinstruct.types import (
    Candidate,
    Completion,
    Finished,
    InstanceCandidate,
    Prompt,
    Rejection,
    Request,
    Task,
    digest,
    storable,
    task_id,
)


@dataclass(frozen=True, slots=True)
class Similarity:
    """How similar an accepted instruction is to the earlier ones, as far as its recipe stores that."""

    nearest: Neighbour | None = None
    mean: float | None = None
    top: tuple[Neighbour, ...] = ()


@dataclass(frozen=True, slots=True)
class Accepted:
    """A candidate that became a task."""

    candidate: Candidate
    task: Task
    similarity: Similarity


Decision = Accepted | Rejection


MOST_LAG = 512
"""Rounds."""


def known_to(number: int, settings: Settings) -> int:
    """The last of the rounds that a round draws from; it can be planned once that one is settled.

    The lag is `lookahead` rounds in a young pool, whose rounds are to see each other, and grows to a quarter of all
    rounds, so that as many requests can be in flight as a server takes.
    """
    lag = settings.lookahead
    if recipe_of(settings).lag_grows:
        lag = min(max(lag, number // 4), MOST_LAG)
    return number - lag


def plan_round(
    number: int,
    settings: Settings,
    seeds: Sequence[Task],
    generated: Sequence[Task],
    steering: Steering | None = None,
) -> list[Request]:
    """The propose requests of a round.

    `generated` are the instructions accepted in rounds up to `known_to(number)`, in order, and `steering` follows
    from what was screened in these. The draw depends on them, the seeds, the settings and the round's number alone.
    """
    generator = random.Random(f"{settings.seed}/{number}")
    if steering is not None:
        settings = raised(settings, steering.seen.level)
    requests = []
    for index in range(settings.round_size):
        shown = _draw(generator, settings, seeds, generated, steering)
        topic = draw_topic(generator, steering.topics if steering else settings.topics)
        verbs = steering.draw_verbs(generator) if steering else ()
        requests.append(plan_request(_propose(shown, index, topic, verbs, settings), settings, number, None))
    return requests


def _draw(
    generator: random.Random,
    settings: Settings,
    seeds: Sequence[Task],
    generated: Sequence[Task],
    steering: Steering | None,
) -> list[Task]:
    """The demonstrations of one request."""
    counts = (len(seeds), len(generated), settings.recipe.demonstrations, settings.recipe.generated_demonstrations)
    if steering is None:
        drawn = draw_demonstrations(generator, *counts)
    else:
        weigh = steering.weight
        drawn = draw_demonstrations_by_weight(
            generator, *counts, lambda is_generated, place: weigh((generated if is_generated else seeds)[place]), CHOICE
        )
    return [generated[place] if is_generated else seeds[place] for is_generated, place in drawn]


def _propose(shown: Sequence[Task], index: int, topic: str | None, verbs: Sequence[str], settings: Settings) -> Prompt:
    """A propose prompt with as many of the demonstrations as fit."""
    propose = recipe_of(settings).propose
    prompt = fitted(
        shown, lambda task: len(task.instruction), lambda kept: propose(settings, kept, index, topic, verbs), settings
    )
    return replace(prompt, topic=topic, verbs=tuple(verbs))


def read_round(
    requests: Sequence[Request], completions: Mapping[str, Completion], settings: Settings
) -> tuple[list[Candidate], list[Rejection]]:
    """What a round's completions hold, in order of request and position: candidates, and what cannot be read.

    Their texts are as the database holds them, so that a later run decides the same.
    """
    read = recipe_of(settings).read_proposals
    candidates: list[Candidate] = []
    rejections: list[Rejection] = []
    for request in requests:
        for item in read(request, completions[request.id], settings):
            if isinstance(item, Candidate):
                candidates.append(replace(item, instruction=storable(item.instruction)))
            else:
                rejections.append(item)
    return candidates, rejections


def second_questions(
    requests: Sequence[Request], completions: Mapping[str, Completion], settings: Settings, level: int = 0
) -> list[Request]:
    """What a round asks once more, in other words, after answers without a task, and has not asked yet.

    `level` is how strongly the round was steered.
    """
    settings = raised(settings, level)
    asked = {request.index for request in requests}
    prompts = [
        recipe_of(settings).propose_again(request, completions[request.id], settings)
        for request in requests
        if request.id in completions
    ]
    return [
        plan_request(prompt, settings, requests[0].round, None)
        for prompt in prompts
        if prompt and prompt.index not in asked
    ]


class Screening:
    """Decides on candidates one after the other: each joins the pool or is rejected (law 4).

    Knows all seeds and every instruction accepted so far, those of the same round included. `known(start)` gives
    (id, instruction) of these from a place on, in order; `index` may already hold the first of them.
    """

    def __init__(
        self,
        tokenizer: str,
        known: Callable[[int], Iterable[tuple[str, str]]],
        index: Index | None = None,
        excluded: Callable[[Settings], Excluded | None] = lambda _: None,
    ) -> None:
        self.index = index or Index(tokenizer)
        self._tokenizer = tokenizer
        self._known = known
        self._excluded = excluded
        self._settings: Settings | None = None
        self._rules: InstructionRules = lambda *_: None
        self._learn()

    def decide(self, candidate: Candidate, shown: Sequence[str], settings: Settings) -> Decision:
        """The task that this candidate becomes, or its rejection. `shown` are the demonstrations of its request."""
        self._use(settings)
        text = candidate.instruction
        if settings.filters.personal_data == "mask":
            (text,) = mask(text)
        fault = self._rules(text, shown)
        if fault is not None:
            return rejection(candidate, fault)
        near = self.index.near_duplicate(text, settings.filters.rouge_threshold)
        if near is not None:
            found = reject("near_duplicate", f"ROUGE-L {near.score:.4f} > {settings.filters.rouge_threshold}")
            return replace(rejection(candidate, found), score=near.score, nearest=near.id)
        contaminated = self.contaminated(candidate, settings)
        return contaminated or self.take(replace(candidate, instruction=text), settings)

    def contaminated(self, candidate: Candidate, settings: Settings) -> Rejection | None:
        """The rejection of an instruction that is near an excluded text; None if it is not."""
        excluded = self._excluded(settings)
        found = excluded.near(candidate.instruction) if excluded else None
        return replace(rejection(candidate, found.fault), score=found.score) if found else None

    def take(self, candidate: Candidate, settings: Settings) -> Accepted:
        """The task that this candidate becomes, without a check."""
        self._use(settings)
        text, identity = candidate.instruction, task_id(candidate.source, candidate.request_id, candidate.position)
        if recipe_of(settings).stores_all_scores:
            top = tuple(self.index.top(text, 10))
            similarity = Similarity(top[0] if top else None, self.index.mean_score(text), top)
        elif len(self.index) < FULL or is_sampled(identity):
            similarity = Similarity(self.index.nearest(text))
        else:
            similarity = Similarity()
        self.index.add(identity, text)
        return Accepted(candidate, Task(identity, text, candidate.is_classification), similarity)

    def _learn(self) -> None:
        for identity, text in self._known(len(self.index)):
            self.index.add(identity, text)

    def _use(self, settings: Settings) -> None:
        """Take over the settings of a round; another tokenizer than before needs an index of its own."""
        if settings is self._settings:
            return
        self._settings, self._rules = settings, recipe_of(settings).instruction_rules(settings)
        if settings.filters.tokenizer != self._tokenizer:
            self._tokenizer = settings.filters.tokenizer
            self.index = Index(self._tokenizer)
            self._learn()


async def finish(
    task: Task, ask: Ask, settings: Settings, seeds: Sequence[Task], excluded: Excluded | None = None
) -> Finished:
    """An accepted task with its instances, or without any.

    In order of price: the recipe asks, the rules reject, and only what passed them is shown to the judge.
    What is near an excluded text is rejected, an input before an output is asked for it.
    """
    recipe = recipe_of(settings)

    def input_fault(of: Task, text: str) -> tuple[str, str] | None:
        fault = fault_of_input(of, text, settings)
        if fault is None and excluded is not None:
            near = excluded.near_instance(of.instruction, text)
            fault = near.fault if near else None
        return None if fault is None else (fault.reason, fault.evidence)

    written = await recipe.write_instances(task, ask, settings, seeds, input_fault)
    task = Task(task.id, task.instruction, written.is_classification)

    def screened(candidates: Sequence[InstanceCandidate]) -> Screened:
        kept, rejected = recipe.screen_instances(task, candidates, settings, written.labels, seeds)
        if excluded is not None:
            near = {one: excluded.near_instance(task.instruction, one.input, one.output) for one in kept}
            kept = tuple(one for one in kept if near[one] is None)
            rejected += tuple(rejection(one, found.fault, task) for one, found in near.items() if found)
        return kept, rejected

    def screened_again(
        standing: Sequence[InstanceCandidate], revised: InstanceCandidate
    ) -> InstanceCandidate | Rejection:
        kept, rejected = screened((*standing, revised))
        found: tuple[InstanceCandidate | Rejection, ...] = (*kept, *rejected)
        return next(one for one in found if one.request_id == revised.request_id)

    kept, rejected = screened(written.candidates)
    return await judge(task, kept, (*written.rejections, *rejected), ask, settings, screened_again)


def plan_request(prompt: Prompt, settings: Settings, round_number: int | None, task: str | None) -> Request:
    """The request for a prompt. Its id covers everything that decides the answer, and nothing else (law 3)."""
    stage = settings.stages[prompt.stage]
    identity = digest(
        settings.seed,
        prompt.stage,
        round_number if task is None else task,
        prompt.index,
        stage.api,
        stage.model,
        stage.sampling,
        [[message.role, message.content] for message in prompt.messages],
        [prompt.schema.name, prompt.schema.body] if prompt.schema else None,
    )
    return Request(
        id=identity,
        stage=prompt.stage,
        round=round_number,
        task_id=task,
        index=prompt.index,
        api=stage.api,
        model=stage.model,
        sampling=stage.sampling,
        messages=prompt.messages,
        schema=prompt.schema,
        demonstrations=prompt.demonstrations,
        left_out=prompt.left_out,
        topic=prompt.topic,
        verbs=prompt.verbs,
    )


def plan_again(request: Request, settings: Settings, level: int = 0, shown: Sequence[Task] = ()) -> Request:
    """A propose request for today's model and sampling; the very same one when neither has changed.

    `level` is how strongly its round was steered. `shown` are its demonstrations; where the prompt no longer fits the
    context, the longest of them are left out.
    """
    settings = raised(settings, level)
    prompt = Prompt(
        request.stage, request.index, request.messages, request.schema, request.demonstrations, request.left_out,
        request.topic, request.verbs,
    )  # fmt: skip
    if shown and not fits(prompt, settings):
        shorter = _propose(shown, request.index, request.topic, request.verbs, settings)
        prompt = replace(shorter, left_out=request.left_out + shorter.left_out)
    return plan_request(prompt, settings, request.round, request.task_id)
