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
from selfinstruct.checks.screening import InstructionRules, Screened, fault_of_input, fault_of_turns
from selfinstruct.checks.unsupported import refers_to_passage
from selfinstruct.constraints import missed
from selfinstruct.diversity.figures import FULL, is_sampled
from selfinstruct.diversity.steering import CHOICE, Steering, raised
from selfinstruct.own import short
from selfinstruct.recipes import recipe_of
from selfinstruct.recipes.fitting import fits, fitted
from selfinstruct.settings import Settings
from selfinstruct.similarity.index import Index, Neighbour
from selfinstruct.sources import DEMONSTRATIONS, SOURCES, turn, words_of
from selfinstruct.sources.asking import Asking, Due
from selfinstruct.sources.constrained import constrained
from selfinstruct.sources.demonstrations import draw_demonstrations, draw_demonstrations_by_weight
from selfinstruct.sources.drawing import Filled, Quotas, asking_for, draw, draw_topic, in_words
from selfinstruct.sources.evolve import PARENT
from selfinstruct.steps import steps_of
from selfinstruct.types import (
    USE,
    Candidate,
    Completion,
    Finished,
    InstanceCandidate,
    Passage,
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
    asked: Iterable[Mapping[str, str]] = (),
    passages: Sequence[Passage] = (),
) -> list[Request]:
    """The propose requests of a round.

    `generated` are the instructions accepted in rounds up to `known_to(number)`, in order, and `steering` follows
    from what was screened in these. `asked` is what was drawn for the requests of the rounds between. The draw depends
    on them, the seeds, the settings, the passages of the documents that these name, and the round's number alone.
    """
    generator = random.Random(f"{settings.seed}/{number}")
    if steering is not None:
        settings = raised(settings, steering.seen.level)
    quotas = Quotas((one.drawn for one in generated), asked, settings) if settings.quotas.over else None
    requests = []
    for index in range(settings.round_size):
        shown = _draw(generator, settings, seeds, generated, steering)
        topic = draw_topic(generator, steering.topics if steering else settings.topics)
        verbs = steering.draw_verbs(generator) if steering else ()
        drawn, count = draw(generator, settings, quotas)
        sized = asking_for(count, settings)
        whose = turn(settings.recipe.sources, number * settings.round_size + index)
        if whose.source == DEMONSTRATIONS:
            prompt = _propose(shown, index, topic, verbs, drawn, sized)
        elif whose.source in SOURCES:
            own_draw = random.Random(f"{settings.seed}/{number}/{index}")
            asking = Asking(whose.number, index, own_draw, shown, in_words(topic, drawn), sized, passages)
            prompt = replace(SOURCES[whose.source](asking), topic=topic, source_name=whose.source)
        else:
            prompt = _propose_by(whose, shown, number, index, settings)
        requests.append(plan_request(replace(prompt, drawn={**drawn, **prompt.drawn}), settings, number, None))
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


def _propose(
    shown: Sequence[Task],
    index: int,
    topic: str | None,
    verbs: Sequence[str],
    drawn: Mapping[str, str],
    settings: Settings,
) -> Prompt:
    """A propose prompt with as many of the demonstrations as fit."""
    propose, about = recipe_of(settings).propose, in_words(topic, drawn) or None
    prompt = fitted(
        shown, lambda task: len(task.instruction), lambda kept: propose(settings, kept, index, about, verbs), settings
    )
    return replace(prompt, topic=topic, verbs=tuple(verbs), source_name=DEMONSTRATIONS)


def _propose_by(whose: Due, shown: Sequence[Task], number: int, index: int, settings: Settings) -> Prompt:
    """A propose prompt in the words of a source of the user's own; its answer has the form of any other."""
    recipe = recipe_of(settings)
    messages = words_of(whose, random.Random(f"{settings.seed}/{number}/{index}"), shown, settings, recipe.api)
    words = "\n".join(message.content for message in messages)
    return replace(
        recipe.propose(settings, shown, index, None, ()),
        messages=messages,
        demonstrations=tuple(task.id for task in shown if task.instruction in words),
        source_name=short(whose.source),
    )


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
        (request, recipe_of(settings).propose_again(request, completions[request.id], settings))
        for request in requests
        if request.id in completions
    ]
    return [
        plan_request(
            replace(prompt, source_name=request.source_name, drawn=request.drawn), settings, request.round, None
        )
        for request, prompt in prompts
        if prompt and prompt.index not in asked
    ]


class Screening:
    """Decides on candidates one after the other: each joins the pool or is rejected (law 4).

    Knows all seeds and every instruction accepted so far, those of the same round included. `known(start)` gives
    (id, instruction) of these from a place on, in order; `index` may already hold the first of them. `drawn()` gives
    what was drawn for the accepted ones.
    """

    def __init__(
        self,
        tokenizer: str,
        known: Callable[[int], Iterable[tuple[str, str]]],
        index: Index | None = None,
        excluded: Callable[[Settings], Excluded | None] = lambda _: None,
        drawn: Callable[[], Iterable[Mapping[str, str]]] = tuple,
    ) -> None:
        self.index = index or Index(tokenizer)
        self._tokenizer = tokenizer
        self._known = known
        self._excluded = excluded
        self.filled = Filled(drawn)
        self._settings: Settings | None = None
        self._rules: InstructionRules = lambda *_: None
        self._learn()

    def decide(
        self, candidate: Candidate, shown: Sequence[str], settings: Settings, drawn: Mapping[str, str] = {}
    ) -> Decision:
        """The task that this candidate becomes, or its rejection.

        `shown` are the demonstrations of its request, and `drawn` what else that was made of.
        """
        self._use(settings)
        text = candidate.instruction
        if settings.filters.personal_data == "mask":
            (text,) = mask(text)
        fault = self._rules(text, shown)
        if fault is None and drawn.get(USE) in {"closed_book", "output"}:
            fault = refers_to_passage(text)
        if fault is not None:
            return rejection(candidate, fault)
        return self.compare(replace(candidate, instruction=text), shown, settings, drawn)

    def compare(
        self, candidate: Candidate, shown: Sequence[str], settings: Settings, drawn: Mapping[str, str] = {}
    ) -> Decision:
        """The same for a candidate that the rules let pass: what is decided by the other tasks alone."""
        self._use(settings)
        text = candidate.instruction
        near = self._near(text, drawn.get(PARENT), shown, settings)
        if near is not None:
            said = f"ROUGE-L {near.score:.4f} >"
            if near.id == drawn.get(PARENT):
                found = reject("not_evolved", f"{said} {settings.evolve.max_similarity}")
            else:
                found = reject("near_duplicate", f"{said} {settings.filters.rouge_threshold}")
            return replace(rejection(candidate, found), score=near.score, nearest=near.id)
        contaminated = self.contaminated(candidate, settings)
        if contaminated is None and (fault := self.filled.fault(drawn, settings)) is not None:
            return rejection(candidate, fault)
        return contaminated or self.take(candidate, settings, drawn)

    def _near(self, text: str, parent: str | None, shown: Sequence[str], settings: Settings) -> Neighbour | None:
        """The earlier instruction that this one is too similar to; a parent of its own has its own bound."""
        if parent is None:
            return self.index.near_duplicate(text, settings.filters.rouge_threshold)
        most_similar = float(settings.evolve.max_similarity)
        of_parent = max((self.index.score(text, one) for one in shown), default=0.0)
        if of_parent > most_similar:
            return Neighbour(parent, of_parent)
        near = self.index.near_duplicate(text, settings.filters.rouge_threshold)
        if near is None or near.id != parent:
            return near
        others = (one for one in self.index.top(text, 2) if one.id != parent)
        return next((one for one in others if one.score > float(settings.filters.rouge_threshold)), None)

    def contaminated(self, candidate: Candidate, settings: Settings) -> Rejection | None:
        """The rejection of an instruction that is near an excluded text; None if it is not."""
        excluded = self._excluded(settings)
        found = excluded.near(candidate.instruction) if excluded else None
        return replace(rejection(candidate, found.fault), score=found.score) if found else None

    def take(self, candidate: Candidate, settings: Settings, drawn: Mapping[str, str] = {}) -> Accepted:
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
        self.filled.add(drawn)
        task = Task(identity, text, candidate.is_classification, answer=candidate.answer, drawn=drawn)
        return Accepted(candidate, constrained(task, settings), similarity)

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

    In order of price: the recipe asks, the checks reject, and only what passed them is shown to the steps.
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
    task = replace(task, is_classification=written.is_classification)

    def screened(candidates: Sequence[InstanceCandidate]) -> Screened:
        kept, rejected = recipe.screen_instances(task, candidates, settings, written.labels, seeds)
        lost = {one: broken for one in kept if (broken := missed(task.constraints, one.output))}
        kept = tuple(one for one in kept if one not in lost)
        rejected += tuple(
            rejection(one, reject(f"constraint_missed:{broken.name}", broken.words), task)
            for one, broken in lost.items()
        )
        broken_off = {one: fault for one in kept if (fault := fault_of_turns(task, one, settings, seeds))}
        kept = tuple(one for one in kept if one not in broken_off)
        rejected += tuple(rejection(one, fault, task) for one, fault in broken_off.items())
        if excluded is not None:
            near = {one: excluded.near_instance(task.instruction, one.input, one.output, one.turns) for one in kept}
            kept = tuple(one for one in kept if near[one] is None)
            rejected += tuple(rejection(one, found.fault, task) for one, found in near.items() if found)
        return kept, rejected

    def screened_again(
        standing: Sequence[InstanceCandidate], revised: InstanceCandidate
    ) -> InstanceCandidate | Rejection:
        kept, rejected = screened((*standing, revised))
        found: tuple[InstanceCandidate | Rejection, ...] = (*kept, *rejected)
        return next(one for one in found if (one.request_id, one.position) == (revised.request_id, revised.position))

    kept, rejected = screened(written.candidates)
    done = Finished(task, kept, (*written.rejections, *rejected), samples=written.samples)
    for step in steps_of(settings):
        done = await step(done, ask, settings, screened_again)
    if settings.filters.personal_data == "off":
        return done
    return replace(done, samples=tuple(replace(one, output=mask(one.output)[0]) for one in done.samples))


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
        source_name=prompt.source_name,
        drawn=prompt.drawn,
    )


def plan_again(request: Request, settings: Settings, level: int = 0, shown: Sequence[Task] = ()) -> Request:
    """A propose request for today's model and sampling; the very same one when neither has changed.

    `level` is how strongly its round was steered. `shown` are its demonstrations; where the prompt no longer fits the
    context, the longest of them are left out, but from words of the user's own.
    """
    settings = raised(settings, level)
    prompt = Prompt(
        request.stage, request.index, request.messages, request.schema, request.demonstrations, request.left_out,
        request.topic, request.verbs, request.source_name, request.drawn,
    )  # fmt: skip
    if shown and request.source_name == DEMONSTRATIONS and not fits(prompt, settings):
        shorter = _propose(shown, request.index, request.topic, request.verbs, request.drawn, settings)
        prompt = replace(shorter, left_out=request.left_out + shorter.left_out, drawn=request.drawn)
    return plan_request(prompt, settings, request.round, request.task_id)
