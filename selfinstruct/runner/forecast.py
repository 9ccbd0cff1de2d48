"""What a run will send, said before anything is sent: prompts, requests, tokens, cost and time, each with its basis."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from decimal import Decimal

from selfinstruct import algorithm
from selfinstruct.ask import at_once
from selfinstruct.config.roles import DEFAULT_CONCURRENCY, limits_of
from selfinstruct.config.sections import Config
from selfinstruct.config.shaping import pool_settings
from selfinstruct.errors import AccessError
from selfinstruct.models.prices import Price, in_dollars
from selfinstruct.pool.opening import is_pool
from selfinstruct.pool.passage_sets import set_id
from selfinstruct.pool.reader import history, watched
from selfinstruct.pool.records import PoolHistory, Usage
from selfinstruct.runner.clients import check_access
from selfinstruct.runner.goals import Goal, goal_of
from selfinstruct.runner.rehearsal import rehearse, rehearse_steps, without_steps
from selfinstruct.runner.run import check_same_pool, documents_of, known_prices, tell_of_languages
from selfinstruct.runner.watch import Tell, Watch
from selfinstruct.seeds import default_seeds, read_seeds
from selfinstruct.seeds.benchmarks import read_exclusions
from selfinstruct.settings import AgreementSettings, Settings
from selfinstruct.sources.drawing import cells
from selfinstruct.steps import judging, stages_of
from selfinstruct.types import PROPOSE, Completion, Instance, Prompt, Request, Task

BYTES_PER_TOKEN = 4
"""Of English text, roughly; used where the pool has no history yet."""
ASSUMED_YIELD = 0.5
"""Share of proposed tasks that are accepted."""
ASSUMED_ROWS = 1.5
"""Rows of a finished task."""
ASSUMED_DEFINITE = 0.3
"""Share of outputs that are short and definite, so that several answers are asked for."""
ASSUMED_REVISED = 0.2
"""Share of judged instances that are revised and judged again."""
ASSUMED_ANSWER = 250
"""Tokens of an answer."""
ASSUMED_LATENCY_S = 5.0


@dataclass(frozen=True, slots=True)
class Stage:
    """What one stage is expected to send."""

    name: str
    model: str
    requests: float
    prompt_tokens: float
    completion_tokens: float
    latency_s: float
    picodollars: float | None
    """None where the model has no known price."""


@dataclass(frozen=True, slots=True)
class Forecast:
    """What a run will send to go from `done` to `goal`."""

    done: int
    goal: Goal
    first_round: Sequence[Request]
    stages: Sequence[Stage]
    seconds: float
    basis: str
    batches: int | None = None
    """How many batches follow each other; None: there are none."""

    @property
    def usd(self) -> Decimal | None:
        """The expected cost; None where a model has no known price."""
        costs = [stage.picodollars for stage in self.stages]
        return None if None in costs else in_dollars(int(sum(cost for cost in costs if cost is not None)))


def forecast(config: Config, tell: Tell = lambda _: None) -> Forecast:
    """The forecast of a run; asks nobody, so that it needs no key, and writes nothing.

    Raises:
        ConfigError, SeedError, PoolError: what the run itself would refuse before it asks anything.
    """
    past = history(config.pool) if is_pool(config.pool) else PoolHistory()
    if past.seeds:
        check_same_pool(config.pool, past.meta, config)
    seeds: Sequence[Task] = past.seeds or read_seeds(
        config.seeds or default_seeds(), tell, skip_faulty=config.skip_faulty_seeds
    )
    goal = goal_of(config, past.done, past.last_goal)
    missing = max(0, goal.number - goal.reached(past.done))
    if goal.unit == "rows":
        missing = math.ceil(missing / (past.done.rows / past.done.tasks if past.done.tasks else ASSUMED_ROWS))
    if config.quotas.over:
        missing = min(missing, max(0, config.quotas.each * len(cells(config)) - past.done.tasks))
    exclusions = read_exclusions(config.filters.exclude)
    try:
        check_access(config)
    except AccessError as error:
        tell(f"warning: for the run, {error}")
    passages = documents_of(config)
    named = config.model_name or "the server's model"
    settings = pool_settings(config, named, exclusions=exclusions, passages=set_id(passages))
    at_once(rehearse(settings, seeds, passages=passages))
    prices = known_prices(limits_of(config), config, settings)
    tell_of_languages(seeds, settings, tell)
    known_to = algorithm.known_to(past.next_round, settings)
    until = [task for task, number in past.generated if number <= known_to and task.id not in past.removed]
    shown = [seed for seed in seeds if seed.id not in past.removed]
    steering = None
    if settings.diversify != "off" and past.next_round:
        steering = Watch(seeds, watched(config.pool, known_to)).steering(past.next_round, settings, shown)
    first = algorithm.plan_round(past.next_round, settings, shown, until, steering, passages=passages)
    examples = {PROPOSE: first, **_follow_ups(settings, seeds)}
    expected = _requests(missing, past, settings, examples)
    stages = [
        _stage(settings.stages[stage].model, stage, requests, past.stages.get(stage), examples.get(stage, ()), prices)
        for stage, requests in expected.items()
    ]
    work = sum(stage.requests * stage.latency_s for stage in stages)
    basis = "figures of this pool"
    if not past.stages:
        basis = f"assumed, as the pool has no history: {ASSUMED_YIELD:.0%} of proposed tasks accepted, "
        basis += f"{BYTES_PER_TOKEN} bytes a token, {ASSUMED_ANSWER} tokens and {ASSUMED_LATENCY_S:.0f} s an answer"
        if goal.unit == "rows":
            basis += f", {ASSUMED_ROWS} rows a task"
    waves = None
    if config.batch.enabled:  # the follow-ups of a round go with the next one
        planned = expected.get(PROPOSE, 0.0) / settings.round_size / settings.lookahead
        waves = math.ceil(planned) + sum(one > 0 for stage, one in expected.items() if stage != PROPOSE)
    return Forecast(
        goal.reached(past.done), goal, first, stages, work / (config.concurrency or DEFAULT_CONCURRENCY), basis, waves
    )


def _requests(
    missing: int, past: PoolHistory, settings: Settings, examples: Mapping[str, Sequence[Request]]
) -> dict[str, float]:
    """Expected requests by stage: as many a task as the pool needed so far, or as the recipe asks at most.

    Nothing is proposed for tasks that are accepted and not finished; their follow-ups are counted as if none had been
    asked. A step that the pool has not used yet, such as a judge just switched on, is counted as in a new pool.
    `examples` are the most that one task is asked.
    """
    unaccepted = max(0, missing - past.pending)
    rounds = -(-unaccepted // (settings.recipe.tasks_per_request * ASSUMED_YIELD * settings.round_size))
    asked = {stage: missing * float(len(requests)) for stage, requests in examples.items()}
    asked[PROPOSE] = rounds * settings.round_size
    if settings.agreement.answers > 1:
        asked["respond"] *= 1 + ASSUMED_DEFINITE * (settings.agreement.answers - 1)
    if settings.judge.enabled and settings.judge.revise:
        asked[judging.REVISE] = asked[judging.JUDGE] * ASSUMED_REVISED
        asked[judging.JUDGE] *= 1 + ASSUMED_REVISED
    if not (past.done.tasks and past.stages):
        return asked
    needed = {stage: missing * one.requests / past.done.tasks for stage, one in past.stages.items()}
    if PROPOSE in needed:
        needed[PROPOSE] = unaccepted * past.stages[PROPOSE].requests / (past.done.tasks + past.pending)
    new = stages_of(settings)
    unused = {stage: asked.get(stage, 0.0) if stage in new else 0.0 for stage in settings.stages}
    return {stage: needed.get(stage, unused[stage]) for stage in settings.stages}


def _follow_ups(settings: Settings, seeds: Sequence[Task]) -> dict[str, list[Request]]:
    """The follow-up requests of one task that needs as many inputs as are asked for."""
    answer = "5" if settings.recipe.with_answer else ""
    task = Task("forecast", seeds[0].instruction, is_classification=None, answer=answer)
    inputs = json.dumps({"inputs": [f"Input {number}." for number in range(settings.recipe.inputs_per_task)]})
    found: dict[str, list[Request]] = {}

    async def ask(prompt: Prompt) -> Completion:
        request = algorithm.plan_request(prompt, settings, None, task.id)
        found.setdefault(request.stage, []).append(request)
        return Completion(request.id, "answer", inputs, "stop")

    plain = without_steps(settings).model_copy(update={"agreement": AgreementSettings()})
    at_once(algorithm.finish(task, ask, plain, seeds))
    rows = [Instance(f"Input {number}.", f"Answer {number}.") for number in range(settings.recipe.inputs_per_task)]
    at_once(rehearse_steps(replace(task, is_classification=False), rows, ask, settings))
    return found


def _stage(
    model: str,
    name: str,
    requests: float,
    past: Usage | None,
    examples: Sequence[Request],
    prices: Mapping[str, Price],
) -> Stage:
    if past is not None and past.requests:
        prompt, completion = past.prompt_tokens / past.requests, past.completion_tokens / past.requests
        latency = past.latency_s / past.requests
    else:
        size = sum(len(message.content.encode()) for request in examples for message in request.messages)
        prompt = size / len(examples) / BYTES_PER_TOKEN if examples else 0.0
        room = [most for request in examples if (most := request.sampling.get("max_tokens")) is not None]
        completion, latency = float(min([ASSUMED_ANSWER, *room])), ASSUMED_LATENCY_S
    price = prices.get(model)
    cost = price.cost(int(requests * prompt), int(requests * completion)) if price else None
    return Stage(name, model, requests, requests * prompt, requests * completion, latency, cost)
