"""Pools made without a model, through the store's own statements: a small one by hand, and one of any size."""

from __future__ import annotations

import contextlib
import random
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from selfinstruct.algorithm import Accepted, Similarity
from selfinstruct.diversity.figures import FULL, is_sampled
from selfinstruct.pool import statements
from selfinstruct.pool.opening import Writer, connect
from selfinstruct.pool.records import StoredGoal
from selfinstruct.pool.statements import Statement
from selfinstruct.seeds import read_seeds
from selfinstruct.similarity.index import Neighbour
from selfinstruct.types import (
    Candidate,
    Completion,
    Finished,
    Instance,
    InstanceCandidate,
    Message,
    Rejection,
    Request,
    Task,
    digest,
    task_id,
)
from tests.builders import SEEDS, settings

NOW = "2026-01-01T00:00:00.000Z"


@dataclass(frozen=True)
class Proposed:
    """A candidate of a propose request: a task with its instances, or the reason why it was rejected."""

    instruction: str
    instances: tuple[Instance, ...] = ()
    is_classification: bool = False
    nearest: tuple[str, float] | None = None
    reason: str | None = None
    evidence: str = ""
    lost: tuple[tuple[str, Instance], ...] = ()
    """Its rejected instances, each with its reason."""


@dataclass(frozen=True)
class Asked:
    """A propose request: the ids of the tasks shown, and what was read out of its answer."""

    shown: tuple[str, ...]
    candidates: tuple[Proposed, ...]
    prompt: str = "Write new tasks."


def id_of(number: int, place: int, seed: int = 42) -> str:
    """The id of the request at a place of a round, in a pool of this seed."""
    return digest("request", number, place, seed)


def task_of(number: int, place: int, position: int, seed: int = 42) -> str:
    """The id of the task that a candidate became."""
    return task_id(0, id_of(number, place, seed), position)


def write_pool(
    folder: Path, seeds: Sequence[Task], rounds: Iterable[Sequence[Asked]], model: str = "a-model", seed: int = 42
) -> Path:
    """A pool with these seeds and rounds, as a run that ended would have left it."""
    pool = Writer.open(folder)
    try:
        pool.create(seeds, seed, offline=False)
        run = pool.start_run(NOW, StoredGoal())
        with contextlib.closing(connect(folder / "pool.db")) as connection:
            connection.execute("PRAGMA synchronous=OFF")
            connection.execute("BEGIN IMMEDIATE")
            for sql, values in _rounds(len(seeds), rounds, run, model, seed):
                connection.execute(sql, values)
            connection.execute("COMMIT")
        pool.end_run(run, NOW, 0, "done")
    finally:
        pool.close()
    return folder


def _rounds(position: int, rounds: Iterable[Sequence[Asked]], run: int, model: str, seed: int) -> Iterator[Statement]:
    told = settings(model=model, seed=seed)
    for number, asked in enumerate(rounds):
        requests = [
            _request("propose", number, id_of(number, place, seed), place, model, one.prompt, one.shown)
            for place, one in enumerate(asked)
        ]
        yield from statements.plan_round(number, told, requests, run)
        for request, one in zip(requests, asked, strict=True):
            yield from _answered(request, run, len(one.candidates))
            for place, proposed in enumerate(one.candidates):
                if proposed.reason is not None:
                    yield statements.add_rejection(_rejected(request, place, proposed), number)
                    continue
                yield from _accepted(request, place, proposed, position, run)
                position += 1
        yield statements.settle_round(number)


def _request(
    stage: str, number: int, identity: str, place: int, model: str, prompt: str, shown: tuple[str, ...] = (),
    task: str = "",
) -> Request:  # fmt: skip
    message = (Message("user", prompt),)
    return Request(identity, stage, number, task or None, place, "chat", model, {}, message, None, shown)


_ATTEMPT = """
INSERT INTO attempts (run, request, stage, model, reserved_tokens, reserved_usd_e12, tokens, usd_e12)
VALUES (?, (SELECT number FROM requests WHERE (source, id) = (0, ?)), ?, ?, ?, ?, ?, ?)
"""


def _answered(request: Request, run: int, candidates: int) -> Iterator[Statement]:
    answer = Completion(
        request.id, "answer", "An answer.", "stop", prompt_tokens=100, completion_tokens=20, body=b"{}" * 100
    )
    if request.stage != "propose":
        yield statements.add_request(request)
    values = (run, request.id, request.stage, request.model, 500, 500_000_000, 120, 120_000_000)
    yield _ATTEMPT, values
    yield from statements.journal(answer, run, NOW)
    yield "UPDATE requests SET candidates = ? WHERE source = 0 AND id = ?", (candidates, request.id)


def _rejected(request: Request, place: int, proposed: Proposed) -> Rejection:
    nearest, score = proposed.nearest or (None, None)
    return Rejection(
        "instruction", str(proposed.reason), request.id, place, proposed.instruction, evidence=proposed.evidence,
        score=score, nearest=nearest,
    )  # fmt: skip


def _accepted(request: Request, place: int, proposed: Proposed, position: int, run: int) -> Iterator[Statement]:
    candidate = Candidate(request.id, place, proposed.instruction, proposed.is_classification)
    task = Task(task_id(0, request.id, place), proposed.instruction, proposed.is_classification)
    near = Neighbour(*proposed.nearest) if proposed.nearest else None
    number = request.round or 0
    yield from statements.accept(position, number, Accepted(candidate, task, Similarity(near)), request.demonstrations)
    inputs = _request("inputs", number, digest("inputs", task.id, 0), 0, request.model, "Write inputs.", (), task.id)
    yield from _answered(inputs, run, len(proposed.instances) + len(proposed.lost))
    read = [InstanceCandidate(inputs.id, at, one.input, one.output) for at, one in enumerate(proposed.instances)]
    lost = [
        Rejection("instance", reason, inputs.id, len(read) + at, one.output, one.input, task_id=task.id)
        for at, (reason, one) in enumerate(proposed.lost)
    ]
    yield from statements.finish_task(Finished(task, tuple(read), tuple(lost)), number, [])


ACTS = ("Write", "Name", "Explain", "Describe", "Sort", "Translate", "Summarise", "Compare", "List", "Rewrite", "Find")
THINGS = (
    "letter", "poem", "table", "recipe", "story", "speech", "formula", "paragraph", "schedule", "list", "question",
    "rule", "plan", "report", "joke", "menu", "route", "budget", "slogan", "contract",
)  # fmt: skip


def large_pool(folder: Path, tasks: int, seed: int = 7) -> Path:
    """A pool of this many generated tasks in invented words, with rejections, instances and lineage like a real one."""
    draw = random.Random(seed)
    seeds = read_seeds(SEEDS)
    words = sorted({word for one in seeds for word in one.instruction.lower().split() if word.isalpha()})
    words += ["".join(draw.choices("abdegiklmnoprstu", k=draw.randint(4, 9))) for _ in range(4000)]

    def text(least: int, most: int) -> str:
        return " ".join(draw.choices(words, k=draw.randint(least, most)))

    def instruction() -> str:
        return f"{draw.choice(ACTS)} a {draw.choice(words)} {draw.choice(THINGS)} about {text(5, 20)}."

    def rounds() -> Iterator[Sequence[Asked]]:
        known = [one.id for one in seeds]
        made = number = 0
        while made < tasks:
            found = []
            before = len(known)
            for place in range(8):
                candidates = []
                for position in range(5):
                    near = (known[draw.randrange(before)], round(draw.betavariate(6, 8) * 0.7, 4))
                    if draw.random() < 0.38 or made >= tasks:
                        close = (near[0], round(0.7 + 0.3 * draw.random(), 4))
                        candidates.append(Proposed(instruction(), nearest=close, reason="near_duplicate",
                                                   evidence=f"ROUGE-L {close[1]:.4f} > 0.7"))  # fmt: skip
                        continue
                    made += 1
                    instances = tuple(
                        Instance(text(3, 30) if draw.random() < 0.5 else "", text(3, 90))
                        for _ in range(draw.choice((1, 1, 2)))
                    )
                    lost = (("refusal", Instance("", "I cannot do that.")),) if draw.random() < 0.05 else ()
                    candidates.append(
                        Proposed(
                            instruction(),
                            instances,
                            draw.random() < 0.2,
                            near if before < FULL or is_sampled(task_of(number, place, position, seed)) else None,
                            lost=lost,
                        )
                    )
                    known.append(task_of(number, place, position, seed))
                shown = tuple(known[draw.randrange(before)] for _ in range(8))
                found.append(Asked(shown, tuple(candidates), text(150, 300)))
            yield found
            number += 1

    return write_pool(folder, seeds, rounds(), seed=seed)


SMALL_SEEDS = (
    Task("s0", "Name a river in Spain.", False, (Instance("", "The Ebro."),), "seed"),
    Task("s1", "Write a short poem about rain.", False, (Instance("", "It rains."),), "seed"),
)


def small_pool(folder: Path) -> Path:
    """Two seeds and three tasks, whose figures can be reckoned by hand."""
    sea = Proposed("Write a story about the sea.", (Instance("", "Once upon a time."),), nearest=("s1", 0.5))
    review = Proposed(
        "Classify the review as good or bad.",
        (Instance("Great food.", "good"), Instance("Cold soup.", "bad")),
        True,
        ("s1", 0.58),
    )
    old = Proposed(
        "Write a story about the old sea and rain.", nearest=(task_of(0, 0, 0), 0.7),
        lost=(("refusal", Instance("", "I cannot do that.")),),
    )  # fmt: skip
    copy = Proposed(
        "Name a river in Spain!", nearest=("s0", 1.0), reason="near_duplicate", evidence="ROUGE-L 1.0 > 0.7"
    )
    short = [Proposed(text, reason="too_short", evidence="1.0 words, at least 4 wanted") for text in ("Go.", "Sing.")]
    return write_pool(folder, SMALL_SEEDS, [
        [Asked(("s0", "s1"), (sea, copy)), Asked(("s1",), (review, short[0]))],
        [Asked((task_of(0, 0, 0), "s0"), (old,)), Asked(("s1", task_of(0, 1, 0)), (short[1],))],
    ])  # fmt: skip
