"""The algorithm of Self-Instruct, pure: plan a round, read its answers, judge candidates in order, settle a task.

Wang et al. 2022, section 2: sample demonstrations, ask for new instructions, keep what is valid and new, give each its
instances. Everything here is plain values in, plain values out; the pump around it (`growth.py`) does the waiting.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace

from selfinstruct.ask import Ask
from selfinstruct.checks import instance_checks, instruction_checks
from selfinstruct.checks.contaminated import Excluded
from selfinstruct.checks.faults import Fault, reject, rejection
from selfinstruct.checks.instructions import InstructionCheck, copy_of_demonstration
from selfinstruct.checks.personal_data import mask
from selfinstruct.checks.screening import fault_of_input, fault_of_instruction, judge_instances
from selfinstruct.diversity.figures import FULL, is_sampled
from selfinstruct.diversity.steering import CHOICE, Steering, raised
from selfinstruct.recipes import compat, recipe_of
from selfinstruct.recipes.fitting import check_room, fits, fitted, most_likely_tokens
from selfinstruct.settings import Settings
from selfinstruct.similarity.index import Index, Neighbour
from selfinstruct.sources.demonstrations import draw_demonstrations, draw_demonstrations_by_weight, draw_topic
from selfinstruct.steps.judging import judge, judge_prompt, revise_prompt
from selfinstruct.types import (
    PROPOSE,
    Candidate,
    Completion,
    Finished,
    InstanceCandidate,
    Prompt,
    Rejection,
    Request,
    Task,
    Written,
    digest,
    storable,
    task_id,
)


@dataclass(frozen=True, slots=True)
class Likeness:
    """How like the earlier instructions an accepted one is; `top` and `mean` in `compat` only."""

    nearest: Neighbour | None = None
    mean: float | None = None
    top: tuple[Neighbour, ...] = ()


@dataclass(frozen=True, slots=True)
class Accepted:
    """A candidate that became a task."""

    candidate: Candidate
    task: Task
    likeness: Likeness


Verdict = Accepted | Rejection


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


MOST_LAG = 512
"""Rounds."""


def known_to(number: int, settings: Settings) -> int:
    """The last of the rounds that a round draws from; it can be planned when that one is judged.

    The lag is `lookahead` rounds in a young pool, whose rounds are to see each other, and grows to a quarter of all
    rounds, so that as many requests can be in flight as a server takes. With `compat` it stays what is set.
    """
    lag = settings.lookahead if settings.recipe.compat else min(max(settings.lookahead, number // 4), MOST_LAG)
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
    from what was judged in these. The draw depends on them, the seeds, the settings and the round's number alone.
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


def second_questions(
    requests: Sequence[Request], completions: Mapping[str, Completion], settings: Settings, level: int = 0
) -> list[Request]:
    """What a round asks once more, in other words, after answers without a task, and has not asked yet.

    `level` is how strongly the round was steered.
    """
    if settings.recipe.compat:
        return []
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

    Their texts are as the database holds them, so that a later run judges the same.
    """
    read = compat.read_proposals if settings.recipe.compat else recipe_of(settings).read_proposals
    candidates: list[Candidate] = []
    rejections: list[Rejection] = []
    for request in requests:
        for item in read(request, completions[request.id], settings):
            if isinstance(item, Candidate):
                candidates.append(replace(item, instruction=storable(item.instruction)))
            else:
                rejections.append(item)
    return candidates, rejections


class Judge:
    """Says of each candidate, one after the other, whether it joins the pool (law 4).

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
        self._checks: tuple[InstructionCheck, ...] = ()
        self._learn()

    def verdict(self, candidate: Candidate, shown: Sequence[str], settings: Settings) -> Verdict:
        """The task that this candidate becomes, or its rejection. `shown` are the demonstrations of its request."""
        self._use(settings.filters.tokenizer)
        if settings is not self._settings:
            self._settings, self._checks = settings, instruction_checks(settings)
        text = candidate.instruction
        if settings.filters.personal_data == "mask" and not settings.recipe.compat:
            (text,) = mask(text)
        fault = _fault(text, shown, settings, self._checks)
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
        """The task that this candidate becomes, unjudged."""
        self._use(settings.filters.tokenizer)
        identity = task_id(candidate.source, candidate.request_id, candidate.position)
        likeness = self._likeness(identity, candidate.instruction, compat=settings.recipe.compat)
        self.index.add(identity, candidate.instruction)
        return Accepted(candidate, Task(identity, candidate.instruction, candidate.is_classification), likeness)

    def _likeness(self, identity: str, text: str, *, compat: bool) -> Likeness:
        if compat:
            top = tuple(self.index.top(text, 10))
            return Likeness(top[0] if top else None, self.index.mean_score(text), top)
        sampled = len(self.index) < FULL or is_sampled(identity)
        return Likeness(self.index.nearest(text) if sampled else None)

    def _learn(self) -> None:
        for identity, text in self._known(len(self.index)):
            self.index.add(identity, text)

    def _use(self, tokenizer: str) -> None:
        """Index anew when the tokenizer has changed from one round to the next."""
        if tokenizer != self._tokenizer:
            self.index = Index(tokenizer)
            self._tokenizer = tokenizer
            self._learn()


def _fault(text: str, shown: Sequence[str], settings: Settings, checks: Sequence[InstructionCheck]) -> Fault | None:
    if settings.recipe.compat:
        found = compat.fault_of_instruction(text)
        return Fault(*found) if found else None
    return fault_of_instruction(text, checks) or copy_of_demonstration(text, shown)


async def finish(
    task: Task, ask: Ask, settings: Settings, seeds: Sequence[Task], excluded: Excluded | None = None
) -> Finished:
    """An accepted task with its instances, or without any.

    In order of price: the recipe asks, the rules reject, and only what passed them is shown to the judge.
    What is near an excluded text is rejected, an input before an output is asked for it.
    """
    written = await _write_instances(task, ask, settings, seeds, excluded)
    named, kept, rejected = screen_instances(task, written, settings, seeds, excluded)

    def passed(standing: Sequence[InstanceCandidate], revised: InstanceCandidate) -> InstanceCandidate | Rejection:
        beside = Written(written.is_classification, (*standing, revised), labels=written.labels)
        _, left, faults = screen_instances(task, beside, settings, seeds, excluded)
        found: tuple[InstanceCandidate | Rejection, ...] = (*left, *faults)
        return next(one for one in found if one.request_id == revised.request_id)

    return await judge(named, kept, rejected, ask, settings, passed)


async def _write_instances(
    task: Task, ask: Ask, settings: Settings, seeds: Sequence[Task], excluded: Excluded | None
) -> Written:
    if settings.recipe.compat:
        return await compat.write_instances(task, ask, settings, seeds)

    def fault(of: Task, text: str) -> tuple[str, str] | None:
        found = fault_of_input(of, text, settings)
        if found is None and excluded is not None:
            near = excluded.near_instance(of.instruction, text)
            found = near.fault if near else None
        return None if found is None else (found.reason, found.evidence)

    return await recipe_of(settings).write_instances(task, ask, settings, seeds, fault)


def screen_instances(
    task: Task, written: Written, settings: Settings, seeds: Sequence[Task] = (), excluded: Excluded | None = None
) -> tuple[Task, tuple[InstanceCandidate, ...], tuple[Rejection, ...]]:
    """The task with its kind, the instances that pass the rules, and the rejections of all its other candidates."""
    named = Task(task.id, task.instruction, written.is_classification)
    if settings.recipe.compat:
        kept, rejected = compat.judge_instances(named, written.candidates, settings, written.labels)
    else:
        candidates = written.candidates
        if settings.filters.personal_data == "mask":
            candidates = tuple(_masked(named, candidate) for candidate in candidates)
        kept, rejected = judge_instances(named, candidates, settings, written.labels, seeds)
    if excluded is not None:
        near = {one: excluded.near_instance(task.instruction, one.input, one.output) for one in kept}
        kept = tuple(one for one in kept if near[one] is None)
        rejected += tuple(rejection(one, found.fault, task) for one, found in near.items() if found)
    return named, kept, (*written.rejections, *rejected)


def _masked(task: Task, candidate: InstanceCandidate) -> InstanceCandidate:
    """An instance with placeholders for personal data, numbered on from those of its instruction."""
    _, given, output = mask(task.instruction, candidate.input, candidate.output)
    return replace(candidate, input=given, output=output)


async def check(
    settings: Settings, seeds: Sequence[Task], context_lengths: Mapping[str, int | None] | None = None
) -> None:
    """Make sure that settings can be used, before anything is asked: every prompt is rendered, every rule bound.

    `context_lengths` is by stage what its model takes, as far as that is known.

    Raises:
        ConfigError: a prompt names a placeholder that has no value, a rule's setting is not known, or an answer may be
            so long that no prompt fits before it.
    """
    lengths = context_lengths or {}
    instruction_checks(settings)
    instance_checks(settings)
    planned = plan_round(0, settings, seeds, seeds[:1])
    check_room(min(planned, key=lambda request: most_likely_tokens(request.messages)), lengths.get(PROPOSE))

    async def ask(prompt: Prompt) -> Completion:
        request = plan_request(prompt, settings, None, task.id)
        check_room(request, lengths.get(prompt.stage))
        return Completion(request.id, "answer", '{"labels": ["Yes"], "inputs": ["It does."]}', "stop")

    for is_classification in (False, True):
        task = Task("check", "Say whether it rains.", is_classification)
        await finish(task, ask, settings, seeds)
    if settings.judge.enabled:
        instance = InstanceCandidate("", 0, "", "No.")
        for prompt in (
            judge_prompt(task, instance, 0, settings),
            revise_prompt(task, instance, "", settings, settings.judge.principles),
        ):
            if prompt.stage in settings.stages:
                check_room(plan_request(prompt, settings, None, task.id), lengths.get(prompt.stage))


def faults_of_seed(task: Task, settings: Settings) -> list[str]:
    """The rules that a seed would break if it had to be judged, each in a few words."""
    found = []
    fault = fault_of_instruction(task.instruction, instruction_checks(settings))
    if fault is not None:
        found.append(f"{fault.reason}: {fault.evidence}")
    candidates = [
        InstanceCandidate("", place, instance.input, instance.output) for place, instance in enumerate(task.instances)
    ]
    _, rejected = judge_instances(task, candidates, settings)
    return found + [f"instance {one.position + 1}: {one.reason}: {one.evidence}" for one in rejected]


def expected_yield(settings: Settings, accepted: Sequence[int]) -> float:
    """How many tasks a round is expected to bring: the mean of the last five, or half of what is asked for."""
    recent = accepted[-5:]
    if recent:
        return sum(recent) / len(recent)
    return settings.round_size * settings.recipe.tasks_per_request / 2
