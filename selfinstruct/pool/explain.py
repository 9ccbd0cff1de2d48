"""What became of a task or candidate, in words."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from selfinstruct.errors import ConfigError
from selfinstruct.pool.opening import read_meta
from selfinstruct.pool.passage_sets import read_passage
from selfinstruct.pool.reader import Reader, snapshot
from selfinstruct.pool.records import Event, StoredInstance, StoredRejection, StoredTask
from selfinstruct.pool.sites import origin_of
from selfinstruct.pool.yields import SAMPLED
from selfinstruct.similarity.common import mark_common
from selfinstruct.types import APART, BEST, PASSAGE, JudgeVerdict

_DONE = {"remove": "removed", "restore": "restored", "correct": "corrected", "revert": "reverted", "prefer": "compared"}
Line = tuple[str, str]
"""Label and text."""


@dataclass(frozen=True, slots=True)
class Explanation:
    """Everything the pool knows of one task, candidate, rejection or event, as (label, text) in reading order."""

    title: str
    lines: Sequence[Line]


def explain(folder: Path, wanted: str) -> list[Explanation]:
    """What became of `wanted`: a task id, a request id (or the beginning of one), a reason, or a piece of a text.

    A piece of the reason that somebody gave for what was done to tasks finds that event. Of each kind twenty are found
    at most.

    Raises:
        ConfigError: nothing is wanted.
    """
    if not wanted.strip():
        raise ConfigError(f"{wanted!r}: wanted a task id, a request id, a reason, or a piece of a text")
    with snapshot(folder) as pool:
        return [
            *(_of_task(pool, one) for one in _tasks(pool, wanted)),
            *(_of_rejection(pool, one) for one in _rejections(pool, wanted)),
            *_waiting(pool, wanted),
            *map(_of_event, pool.events("instr(lower(reason), lower(?)) > 0", (wanted,))[:20]),
        ]


def _conditions(identity: str, text: str, *more: str) -> tuple[str, ...]:
    """In SQL, with one mark for what is wanted: by id, else by its beginning, else by a piece of the text."""
    begins = f"substr({identity}, 1, length(?1)) = ?1 AND length(?1) >= 6"
    return (f"{identity} = ?1", begins, *more, f"instr(lower({text}), lower(?1)) > 0")


def _tasks(pool: Reader, wanted: str) -> list[StoredTask]:
    for condition in _conditions("id", "instruction"):
        some = f"t.id IN (SELECT id FROM tasks WHERE {condition} ORDER BY position LIMIT 20)"
        if found := list(pool.tasks(some, (wanted,), as_accepted=True)):
            return found
    return [task for identity in pool.merged_as(wanted)[:20] for task in pool.tasks("t.id = ?", (identity,))]


def _rejections(pool: Reader, wanted: str) -> list[StoredRejection]:
    for condition in _conditions("request_id", "text", "(reason = ?1 OR reason LIKE ?1 || ':%')"):
        if found := list(pool.rejections(f"{condition} ORDER BY number LIMIT 20", (wanted,))):
            return found
    return []


def _of_task(pool: Reader, task: StoredTask) -> Explanation:
    lines: list[Line] = [("instruction", task.instruction), ("origin", task.origin), ("state", task.state)]
    lines.append(("classification", {None: "not known yet", 0: "no", 1: "yes"}[task.is_classification]))
    lines += [
        (_DONE[event.kind], f"{event.reason} ({_named(event)}, {event.created_at})".lstrip())
        for event in pool.events_of(task.id)
    ]
    if task.origin == "generated":
        lines += [("round", str(task.round)), ("request", f"{task.request_id} position {task.request_position}")]
        lines += [("source", name) for name in pool.source_names("t.id = ?", (task.id,)).values()]
        lines += _merged(pool, task.source, task.request_id, task.request_position)
        lines += _drawn(pool, json.loads(task.drawn or "{}"))
        lines += [("shown", _instruction(pool, one)) for one in json.loads(task.parents)]
        lines += _likeness(pool, task.instruction, task.nearest_score, task.nearest_task, task.round)
        if task.mean_score is not None:
            lines.append(("mean score", f"{task.mean_score:.4f}"))
    lines += [("system", task.system)] if task.system else []
    now = next(pool.tasks("t.id = ?", (task.id,)))
    if now.instruction != task.instruction:
        lines.append(("instruction now", now.instruction))
    for instance, current in zip(task.instances, now.instances, strict=True):
        lines += [("input", instance.input), ("output", instance.output)]
        for turn in instance.turns:
            scored = "" if turn.score is None else f"{turn.score} of {BEST}: "
            lines += [(f"user {turn.kind}".rstrip(), turn.user), ("assistant", f"{scored}{turn.assistant}")]
        lines += [("ended", instance.ended)] if instance.ended else []
        lines += [*_origin(pool, instance), *_verdict(instance.verdict), *_samples(pool, task.id, instance)]
        for name in ("input", "output"):
            if getattr(current, name) != getattr(instance, name):
                lines.append((f"{name} now", getattr(current, name)))
    for _, _, lost in pool.rejections("task_id = ? ORDER BY number", (task.id,)):
        told = f"{lost.reason}: {lost.evidence} | input: {lost.input} | output: {lost.text}"
        lines.append(("rejected instance", told))
    return Explanation(f"task {task.id}", [*lines, *_answers(pool, task.id)])


def _of_rejection(pool: Reader, stored: StoredRejection) -> Explanation:
    one = stored.of
    lines: list[Line] = [("reason", one.reason), ("evidence", one.evidence), ("text", one.text)]
    lines += [("input", one.input)] if one.input else []
    lines += [("of task", _instruction(pool, one.task_id))] if one.task_id else []
    lines += _likeness(pool, one.text, one.score, one.nearest, stored.round)
    lines += _verdict(pool.verdict_on(one)) if one.kind == "instance" else []
    lines += [("request", f"{one.request_id} position {one.position}"), ("round", str(stored.round))]
    lines += _merged(pool, one.source, one.request_id, one.position) if one.kind == "instruction" else []
    return Explanation(f"rejected {one.kind} {one.request_id[:12]}/{one.position}", lines)


def _merged(pool: Reader, source: int | None, request: str | None, position: int | None) -> list[Line]:
    """The pool that a task was merged from, and its id there."""
    if source is None or request is None or position is None:
        return []
    found = origin_of(read_meta(pool.connection), source, request, position)
    return [("merged from", f"{found[0]}, task {found[1]} there")] if found else []


def _waiting(pool: Reader, wanted: str) -> Iterator[Explanation]:
    """The instructions that were read and not decided yet, of which this is a piece."""
    found = pool.connection.execute(
        "SELECT request_id, request_position, text, round FROM waiting "
        "WHERE request_id = ?1 OR instr(lower(text), lower(?1)) > 0 ORDER BY round, place LIMIT 20",
        (wanted,),
    )
    for request, position, text, number in found:
        lines = [("instruction", text), ("state", "read, not decided yet; the next run begins with it")]
        lines += [("request", f"{request} position {position}"), ("round", str(number))]
        yield Explanation(f"waiting candidate {request[:12]}/{position}", lines)


def _of_event(event: Event) -> Explanation:
    lines = [("kind", str(event.kind)), ("reason", event.reason), ("tasks", f"{event.tasks:,}")]
    lines += [("rows", event.rows)] if event.rows else []
    lines += [] if event.condition is None else [("condition", event.condition)]
    lines += [("descendants", "with them" if event.descendants else "without"), ("time", event.created_at)]
    return Explanation(f"event {event.number}", lines)


def _named(event: Event) -> str:
    return f"event {event.number}" + (f", of {event.rows} alone" if event.rows else "")


def _drawn(pool: Reader, drawn: Mapping[str, str]) -> list[Line]:
    """What the request for a task was made of, a passage with its headings and text."""
    passage = read_passage(pool.connection, drawn[PASSAGE]) if PASSAGE in drawn else None
    more = {PASSAGE: f"{passage.id}, number {passage.number}: {passage.in_words}"} if passage else {}
    return [*{**drawn, **more}.items()]


def _likeness(pool: Reader, text: str, score: float | None, nearest: str | None, number: int | None) -> list[Line]:
    """The nearest task with its score, and both texts with what they have in common marked."""
    if nearest is None or score is None:
        return []
    lines = [("nearest", f"{score:.4f} {_instruction(pool, nearest)}")]
    other, settings = pool.task(nearest), pool.settings(number)
    if other and settings:
        marked = mark_common(text, other.instruction, settings.filters.tokenizer)
        lines += zip(("in common: this", "in common: that"), marked, strict=True)
    return lines


def _instruction(pool: Reader, identity: str) -> str:
    task = pool.task(identity)
    return f"{task.instruction} ({identity})" if task else identity


def _origin(pool: Reader, instance: StoredInstance) -> list[Line]:
    """The stage and the request of which an instance is a candidate."""
    wanted = "SELECT stage FROM requests WHERE source = ? AND id = ?"
    found = pool.connection.execute(wanted, (instance.source, instance.request_id)).fetchone()
    return [("by", f"{found[0]}, request {instance.request_id} position {instance.request_position}")] if found else []


def _verdict(said: JudgeVerdict | None) -> list[Line]:
    """What the judge said of an instance or a rejected one."""
    if said is None:
        return []
    lines = [("judged", f"{said.outcome}, request {said.judge_request}")]
    if said.valid is None:
        return [*lines, ("  unreadable", said.valid_reason)]
    return [
        *lines,
        ("  valid task", f"{said.valid} of 5: {said.valid_reason}"),
        ("  suitable input", f"{said.input} of 5: {said.input_reason}"),
        ("  correct output", f"{said.output} of 5: {said.output_reason}"),
    ]


def _samples(pool: Reader, task_id: str, instance: StoredInstance) -> list[Line]:
    """Other answers to the question of an instance, but those by agreement, which are all shown later."""
    found = pool.connection.execute(
        "SELECT step, is_right, margin, output FROM samples WHERE (task_id, source, of_request, of_position) = "
        "(?, ?, ?, ?) AND step != 'agreement' ORDER BY number",
        (task_id, instance.source, instance.request_id, instance.request_position),
    )
    lines = []
    for step, is_right, margin, output in found:
        said = {None: "" if margin is None else f"{margin:g} below: ", 0: "wrong: ", 1: "right: "}
        lines.append((f"by {step}", f"{said[is_right]}{output}"))
    return lines


def _answers(pool: Reader, task_id: str) -> list[Line]:
    """All answers to the questions of a task that were asked several times."""
    found = pool.connection.execute(
        "SELECT r.position, c.text FROM requests r JOIN completions c "
        "ON c.source = r.source AND c.request_id = r.id WHERE r.task_id = ?1 AND r.stage = 'respond' "
        f"AND r.position % {APART} IN (SELECT position % {APART} FROM requests WHERE task_id = ?1 AND {SAMPLED}) "
        f"ORDER BY r.position % {APART}, r.position",
        (task_id,),
    )
    return [(f"answer {place // APART + 1} of input {place % APART + 1}", text) for place, text in found]
