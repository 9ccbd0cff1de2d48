"""What happens to a pool, as SQL: each function returns the statements of one transaction."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, fields
from functools import cache
from typing import TYPE_CHECKING, Any

from selfinstruct.diversity.monitor import Window
from selfinstruct.diversity.verbs import Reading
from selfinstruct.pool.packed import BODY
from selfinstruct.settings import Settings
from selfinstruct.types import (
    APART,
    Candidate,
    Completion,
    Finished,
    Instance,
    InstanceCandidate,
    Message,
    Rejection,
    Request,
    Sample,
    Schema,
    Task,
    Turn,
    canonical_json,
    digest,
    storable,
)

if TYPE_CHECKING:  # status has no use for the algorithm, whose rules take long to load
    from selfinstruct.algorithm import Accepted
    from selfinstruct.models.budget import Attempt


Statement = tuple[str, Sequence[Any]]
"""SQL and the values for its marks."""
REPLAYED, MERGED = "replayed", "merged"
"""The outcomes of runs that decided on recorded completions, or took in finished tasks, and asked no model."""
_PACKED = {("requests", "messages"), ("requests", "schema"), ("completions", "body"), ("completions", "sent")}
"""Columns that hold what is much alike; `packed.py` says how."""
_ALIKE = 4
"""Requests of the first round whose prompts are put into the dictionary; they show what the others will have."""
CANDIDATE_COLUMNS = {"position": "request_position"}
"""The columns whose names are not those of the fields; so are the next ones."""
_REQUEST = {"index": "position"}
REJECTION_COLUMNS = {**CANDIDATE_COLUMNS, "nearest": "nearest_task"}
VERDICT_COLUMNS = {**CANDIDATE_COLUMNS, "valid": "valid_score", "input": "input_score", "output": "output_score"}


_MODEL_OF_TASK = """
UPDATE tasks SET model = (SELECT q.model FROM requests q WHERE (q.source, q.id) = (tasks.source, tasks.request_id))
WHERE id = ?
"""
_MODELS_OF_INSTANCES = f"""
UPDATE instances AS i SET model = (
  SELECT CASE o.stage WHEN 'inputs' THEN COALESCE(
    (SELECT q.model FROM requests q WHERE q.task_id = i.task_id AND q.stage = 'respond'
       AND q.position = i.request_position % {APART} AND q.state = 'answered'), o.model) ELSE o.model END
  FROM requests o WHERE (o.source, o.id) = (i.source, i.request_id))
WHERE task_id = ?
"""
"""`respond` requests carry the position of the input that they answer; other candidates bring their own output."""


def insert(table: str, row: Mapping[str, Any], *, once: bool = False) -> Statement:
    """One INSERT; with `once` a row that is there already is left as it is."""
    values = [storable(value) if isinstance(value, str) else value for value in row.values()]
    return _insertion(table, tuple(row), "INSERT OR IGNORE" if once else "INSERT"), values


@cache
def _insertion(table: str, columns: tuple[str, ...], verb: str) -> str:
    answer = f"?{columns.index('text') + 1}" if "text" in columns else "''"
    marks = (
        f"packed(?{place}, {answer})" if (table, column) in _PACKED else f"?{place}"
        for place, column in enumerate(columns, 1)
    )  # fmt: skip
    return f"{verb} INTO {table} ({', '.join(columns)}) VALUES ({', '.join(marks)})"


def _row(item: Any, columns: Mapping[str, str]) -> dict[str, Any]:
    """The fields of a dataclass by column: of the same name, or the one given for it."""
    of: Any = type(item)
    return {columns.get(name, name): getattr(item, name) for name in _names(of)}


@cache
def _names(of: Any) -> tuple[str, ...]:
    return tuple(one.name for one in fields(of))


def configuration_id(settings: Settings) -> str:
    """The id under which settings are stored: equal settings, equal id."""
    return digest(settings.to_json())[:16]


def add_configuration(settings: Settings) -> Statement:
    """Store settings, once however often they are used."""
    row = {"id": configuration_id(settings), "settings": settings.to_json()}
    return insert("configurations", row, once=True)


def add_seed(position: int, task: Task) -> list[Statement]:
    """A seed and its instances."""
    row = {
        "id": task.id, "position": position, "origin": "seed", "state": "done", "name": task.name,
        "instruction": task.instruction, "is_classification": task.is_classification, "parents": "[]",
        "system": task.system,
    }  # fmt: skip
    instances = [
        insert("instances", {"task_id": task.id, "position": place, **_texts(instance)})
        for place, instance in enumerate(task.instances)
    ]
    return [insert("tasks", row), *instances]


def _texts(item: Instance | InstanceCandidate) -> dict[str, str]:
    turns = canonical_json([asdict(turn) for turn in item.turns]) if item.turns else ""
    return {"input": item.input, "output": item.output, "turns": turns}


def turns_from(text: str) -> tuple[Turn, ...]:
    """The turns of an instance as they were stored."""
    return tuple(Turn(**one) for one in json.loads(text)) if text else ()


def plan_round(
    number: int,
    settings: Settings,
    requests: Sequence[Request],
    run: int,
    source: int = 0,
    last_event: int = 0,
    steering: Mapping[str, Any] | None = None,
) -> list[Statement]:
    """A round and its requests, before any of them is sent; `steering` is what makes them unlike the usual."""
    row = {
        "number": number, "source": source, "configuration": configuration_id(settings), "run": run,
        "state": "planned", "last_event": last_event,
        "steering": None if steering is None else canonical_json(steering),
    }  # fmt: skip
    first = [] if number else [_add_dictionary(settings, requests)]
    return [*first, add_configuration(settings), insert("rounds", row), *map(add_request, requests)]


def _add_dictionary(settings: Settings, requests: Sequence[Request]) -> Statement:
    """What the pool's prompts and responses are likely to have in common; what is likeliest stands at the end."""
    alike = [_conversation(one) + (_schema(one) or "") for one in requests[:_ALIKE]]
    content = "".join([canonical_json([*settings.prompts.values()]), BODY, *alike])
    return insert("dictionaries", {"content": content.encode(errors="replace")})


def add_request(request: Request) -> Statement:
    """A planned request, open until its completion is journaled; one that was superseded is open again."""
    row = {
        **_row(request, _REQUEST), "state": "open", "sampling": canonical_json(request.sampling),
        "messages": _conversation(request),
        "schema": _schema(request),
        "demonstrations": canonical_json(request.demonstrations),
        "verbs": canonical_json(request.verbs) if request.verbs else None,
        "drawn": canonical_json(request.drawn) if request.drawn else None,
    }  # fmt: skip
    sql, values = insert("requests", row)
    return f"{sql} ON CONFLICT (source, id) DO UPDATE SET state = 'open' WHERE state = 'superseded'", values


def reserve(attempt: Attempt, run: int) -> list[Statement]:
    """An attempt before it is sent."""
    request = "(SELECT number FROM requests WHERE (source, id) = (?, ?))"
    earlier = f"UPDATE attempts SET tokens = 0, usd_e12 = 0 WHERE request = {request} AND usd_e12 IS NULL"
    sent = (
        "INSERT INTO attempts (id, run, request, stage, model, reserved_tokens, reserved_usd_e12) "
        f"VALUES (?, ?, {request}, ?, ?, ?, ?)"
    )
    named = (attempt.source, attempt.request_id)
    values = (attempt.id, run, *named, attempt.stage, attempt.model, attempt.tokens, attempt.picodollars)
    return [*([(earlier, named)] if attempt.replaces else []), (sent, values)]


def _conversation(request: Request) -> str:
    return canonical_json([[message.role, message.content] for message in request.messages])


def _schema(request: Request) -> str | None:
    return canonical_json([request.schema.name, request.schema.body]) if request.schema else None


def end_run(run: int, ended_at: str, exit_code: int, outcome: str) -> Statement:
    """How a run ended."""
    sql = "UPDATE runs SET ended_at = ?, exit_code = ?, outcome = ? WHERE id = ?"
    return sql, (ended_at, exit_code, storable(outcome), run)


def stands_for_one(request: Request) -> Statement:
    """Let a request without a recorded completion count as the source of one candidate."""
    sql = "UPDATE requests SET state = 'answered', candidates = 1 WHERE source = ? AND id = ?"
    return sql, (request.source, request.id)


def supersede(request: Request) -> Statement:
    """An open request that will not be asked, since models or sampling have changed."""
    sql = "UPDATE requests SET state = 'superseded' WHERE source = ? AND id = ? AND state = 'open'"
    return sql, (request.source, request.id)


def journal(completion: Completion, run: int, received_at: str) -> list[Statement]:
    """A completion, raw, and its request's new state."""
    row = {**_row(completion, {}), "run": run, "received_at": received_at}
    state = "answered" if completion.kind == "answer" else "failed"
    mark = "UPDATE requests SET state = ? WHERE source = ? AND id = ?"
    return [insert("completions", row), (mark, (state, completion.source, completion.request_id))]


def read_round(
    number: int, candidates: Sequence[Candidate], rejections: Sequence[Rejection], requests: Sequence[Request]
) -> list[Statement]:
    """What was read out of a round's completions: candidates wait to be screened, what cannot be read is rejected."""
    statements = _count_candidates(requests, [*candidates, *rejections])
    for place, candidate in enumerate(candidates):
        row = {**_row(candidate, {**CANDIDATE_COLUMNS, "instruction": "text"}), "round": number, "place": place}
        statements.append(insert("waiting", row))
    statements += [add_rejection(rejection, number) for rejection in rejections]
    statements.append(("UPDATE rounds SET state = 'screening' WHERE number = ?", (number,)))
    return statements


def settle_round(number: int) -> Statement:
    """A round none of whose candidates is waiting any more."""
    return "UPDATE rounds SET state = 'settled' WHERE number = ?", (number,)


def add_rejection(rejection: Rejection, round_number: int) -> Statement:
    """A rejection with its evidence."""
    return insert("rejections", {**_row(rejection, REJECTION_COLUMNS), "round": round_number}, once=True)


def no_longer_waiting(item: Candidate | Rejection) -> Statement:
    """A candidate that has been decided on."""
    sql = "DELETE FROM waiting WHERE source = ? AND request_id = ? AND request_position = ?"
    return sql, (item.source, item.request_id, item.position)


def accept(position: int, round_number: int, accepted: Accepted, parents: Sequence[str]) -> list[Statement]:
    """A candidate that became a task, whose follow-ups are still to be asked."""
    task, candidate, similarity = accepted.task, accepted.candidate, accepted.similarity
    top = [[near.id, near.score] for near in similarity.top]
    row = {
        "id": task.id, "position": position, "origin": "generated", "state": "pending", "name": task.name,
        "instruction": task.instruction, "is_classification": task.is_classification,
        "as_proposed": task.is_classification, "answer": task.answer,
        "round": round_number,
        "source": candidate.source, "request_id": candidate.request_id, "request_position": candidate.position,
        "parents": canonical_json(list(parents)),
        "nearest_score": similarity.nearest.score if similarity.nearest else None,
        "nearest_task": similarity.nearest.id if similarity.nearest else None,
        "constraints": canonical_json([asdict(one) for one in task.constraints]) if task.constraints else "",
        "demands": task.asked.removeprefix(task.instruction),
        "drawn": canonical_json(task.drawn) if task.drawn else "",
        "mean_score": similarity.mean, "most_similar": canonical_json(top) if top else None,
    }  # fmt: skip
    return [insert("tasks", row), (_MODEL_OF_TASK, (task.id,)), no_longer_waiting(candidate)]


def finish_task(end: Finished, round_number: int, requests: Sequence[Request]) -> list[Statement]:
    """A task whose follow-ups are over: its instances, other answers to their questions, and what was rejected."""
    task = end.task
    statements = _count_candidates(requests, [*end.instances, *end.samples, *end.rejections])
    for place, item in enumerate(end.instances):
        row = {
            "task_id": task.id, "position": place, **_texts(item), "ended": item.ended,
            "source": item.source, "request_id": item.request_id, "request_position": item.position,
            "reasoning": item.reasoning,
        }  # fmt: skip
        statements.append(insert("instances", row))
    for number, sample in enumerate(end.samples):
        statements.append(insert("samples", {"task_id": task.id, "number": number, **_row(sample, CANDIDATE_COLUMNS)}))
    statements += [insert("verdicts", _row(verdict, VERDICT_COLUMNS), once=True) for verdict in end.verdicts]
    statements += [add_rejection(rejection, round_number) for rejection in end.rejections]
    state = "done" if end.instances else "without_instances"
    sql = "UPDATE tasks SET state = ?, is_classification = ? WHERE id = ?"
    return [*statements, (_MODELS_OF_INSTANCES, (task.id,)), (sql, (state, task.is_classification, task.id))]


def _count_candidates(
    requests: Iterable[Request], items: Iterable[Candidate | InstanceCandidate | Sample | Rejection]
) -> list[Statement]:
    """Write down with each answered request that these candidates were read out of it."""
    counts = Counter((item.source, item.request_id) for item in items)
    sql = "UPDATE requests SET candidates = COALESCE(candidates, 0) + ? WHERE source = ? AND id = ?"
    return [(sql, (counts[request.source, request.id], request.source, request.id)) for request in requests]


def add_window(window: Window, pairs: Mapping[Reading, int]) -> list[Statement]:
    """A window of the monitor, and the verbs and nouns of the tasks accepted in it."""
    row = {**asdict(window), "warnings": canonical_json(window.warnings)}
    sql = (
        "INSERT INTO verb_nouns (verb, noun, tasks) VALUES (?, ?, ?) "
        "ON CONFLICT (verb, noun) DO UPDATE SET tasks = tasks + excluded.tasks"
    )
    return [insert("windows", row), *((sql, (pair.verb, pair.noun, count)) for pair, count in pairs.items())]


def request_from_row(row: Mapping[str, Any]) -> Request:
    """The request that `add_request` stored."""
    schema = json.loads(row["schema"]) if row["schema"] else None
    found = {one.name: row[_REQUEST.get(one.name, one.name)] for one in fields(Request)}
    found |= {
        "sampling": json.loads(row["sampling"]),
        "messages": tuple(Message(role, content) for role, content in json.loads(row["messages"])),
        "schema": Schema(schema[0], schema[1]) if schema else None,
        "demonstrations": tuple(json.loads(row["demonstrations"])),
        "verbs": tuple(json.loads(row["verbs"] or "[]")),
        "drawn": json.loads(row["drawn"] or "{}"),
    }
    return Request(**found)


def completion_from_row(row: Mapping[str, Any]) -> Completion:
    """The completion that `journal` stored."""
    return Completion(**{one.name: row[one.name] for one in fields(Completion)})
