"""Steps that users write: a coroutine that sees the rows of a task, may ask a model, and changes or refuses some.

What it gives for each row, in order, is the row, another one in its place, or a text: the reason for refusing it. A row
that is changed is a new candidate, which the checks see, and its first form is rejected as `changed`. It is one of the
answer that it comes from, as far as can be told: one that holds its text, else one to a question about the first form.
"""

from __future__ import annotations

import inspect
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from selfinstruct.ask import Ask, Asked, messages_of
from selfinstruct.checks.faults import Fault, reject, rejection
from selfinstruct.checks.own_checks import LONGEST_EVIDENCE, fault_in
from selfinstruct.checks.wording import excerpt
from selfinstruct.errors import ConfigError, OwnCodeError
from selfinstruct.own import in_words, raised, short
from selfinstruct.recipes.json_answers import read_object
from selfinstruct.settings import Settings
from selfinstruct.steps.judging import Validate, numbers
from selfinstruct.types import (
    APART,
    BY_STEPS,
    Completion,
    Finished,
    Instance,
    InstanceCandidate,
    Prompt,
    Rejection,
    Schema,
    Task,
    Turn,
    digest,
    storable,
)

Function = Callable[..., Awaitable[Any]]
"""(task, rows, ask) -> for each row in order the row, another one, or the reason for refusing it."""
Given = Instance | Fault
"""What a step makes of a row."""
Exchange = tuple[Prompt, Completion]
CHANGED, FAILED = BY_STEPS[:2]
"""The reasons of the first form of a changed row, and where a step fails: its evidence begins with the step's name."""


@dataclass(frozen=True, slots=True)
class Answer:
    """What a model said to a step."""

    text: str
    """Empty where the request failed for good."""
    finish_reason: str
    """As the server said: `stop`, `length`, ...; for a failure its kind."""
    failure: str = ""
    """The server's words where the request failed."""

    @property
    def data(self) -> dict[str, Any] | None:
        """The first JSON object in the text; None where there is none."""
        return read_object(self.text)


def check_step(name: str, function: object) -> None:
    """Make sure that a step can be called. Raises: ConfigError."""
    wanted = "wanted is an async function of (task, rows, ask)"
    if not inspect.iscoroutinefunction(function):
        raise ConfigError(f"{name} is {'not async' if callable(function) else 'no function'}; {wanted}")
    try:
        inspect.signature(function).bind(None, None, None)
    except TypeError:
        raise ConfigError(f"{name} has other parameters; {wanted}") from None


def own_step(name: str, function: Function) -> Callable[[Finished, Ask, Settings, Validate], Awaitable[Finished]]:
    """The step that asks a function of the user's. Where that fails, all rows of the task are `step_error`."""

    async def step(done: Finished, ask: Ask, settings: Settings, validate: Validate) -> Finished:
        del settings
        if not done.instances:
            return done
        rows = [Instance(one.input, one.output, one.turns) for one in done.instances]
        try:
            given, exchanges = await called(name, function, done.task, rows, ask)
        except OwnCodeError as error:
            failed = reject(FAILED, str(error))
            given, exchanges = [failed for _ in rows], []
        return _after(done, given, exchanges, name, validate)

    return step


async def called(
    name: str, function: Function, task: Task, rows: Sequence[Instance], ask: Ask
) -> tuple[list[Given], list[Exchange]]:
    """What a step makes of each row, and what it asked.

    Raises:
        OwnCodeError: it failed; the text begins with its name.
    """
    asked, stage = Asked(ask), short(name)
    given, error = None, None

    async def door(words: Any, *, index: int = 0, schema: Mapping[str, Any] | None = None) -> Answer:
        said = await asked(_prompt(stage, words, index, schema))
        if said.kind == "failed":
            return Answer("", said.finish_reason, said.text or said.finish_reason)
        return Answer(said.text, said.finish_reason)

    try:
        given = await function(task, tuple(rows), door)
    except (Exception, SystemExit) as caught:  # noqa: BLE001 - whatever a user's function does must not end a run
        error = caught
    except KeyboardInterrupt:  # it held up a run that was to end
        raise KeyboardInterrupt(f"the step {stage}") from None
    exchanges = await asked.answers()  # without an answer nothing is decided, whatever the step makes of that
    if error is not None:
        raise OwnCodeError(_failure(stage, raised(error))) from error
    return [_of_row(stage, one) for one in _of_rows(stage, given, len(rows))], exchanges


def _prompt(stage: str, words: object, index: object, schema: object) -> Prompt:
    """The question, known by its words: another one has another index. Raises: ValueError."""
    try:
        messages = messages_of(words)
    except ValueError as error:
        raise ValueError(f"ask was given {error}") from None
    if isinstance(index, bool) or not isinstance(index, int) or not 0 <= index < APART:
        raise ValueError(f"ask was given the index {_shown(index)}; wanted is a whole number from 0 to {APART - 1:,}")
    if schema is not None and not isinstance(schema, Mapping):
        raise ValueError(f"ask was given the schema {_shown(schema)}; wanted is a JSON schema as a dict")
    form = None if schema is None else Schema(stage, schema)
    number = int(digest([[one.role, one.content] for one in messages], schema)[:8], 16)
    return Prompt(stage, index + APART * number, messages, form, is_exact=True)


def _of_rows(stage: str, given: object, count: int) -> Sequence[object]:
    if not isinstance(given, list | tuple):
        raise OwnCodeError(_failure(stage, f"gave {_shown(given)}; wanted is a list with something for each row"))
    if len(given) != count:
        raise OwnCodeError(_failure(stage, f"gave {len(given)} for {count} rows; wanted is something for each"))
    return given


def _of_row(stage: str, given: object) -> Given:
    if isinstance(given, str):
        return fault_in(stage, given)
    turns = given.turns if isinstance(given, Instance) and isinstance(given.turns, tuple) else (None,)
    if isinstance(given, Instance) and all(isinstance(one, Turn) for one in turns):
        texts = [*given.texts, *(text for one in given.turns for text in (one.user, one.assistant))]
        if all(isinstance(text, str) for text in texts):
            said = (replace(one, user=storable(one.user), assistant=storable(one.assistant)) for one in given.turns)
            return Instance(storable(given.input), storable(given.output), tuple(said))
    what = f"gave {_shown(given)} for a row; wanted is a row with texts, or a text: the reason for refusing it"
    raise OwnCodeError(_failure(stage, what))


def _after(
    done: Finished, given: Sequence[Given], exchanges: Sequence[Exchange], name: str, validate: Validate
) -> Finished:
    """The task after a step that made this of its rows."""
    standing: dict[int, InstanceCandidate] = {}
    changed: dict[int, InstanceCandidate] = {}
    gone: list[Rejection] = []
    for place, (number, one, made) in enumerate(zip(numbers(done.instances), done.instances, given, strict=True)):
        if isinstance(made, Fault):
            gone.append(rejection(one, made, done.task))
        elif made == Instance(one.input, one.output, one.turns):
            standing[place] = one
        else:
            changed[place] = _candidate(one, made, number, exchanges)
            gone.append(rejection(one, reject(CHANGED, f"by the step {short(name)}"), done.task))
    for place, one in changed.items():
        passed = validate(tuple(standing.values()), one)
        if isinstance(passed, Rejection):
            gone.append(passed)
        else:
            standing[place] = passed
    kept = tuple(one for _, one in sorted(standing.items()))
    return replace(done, instances=kept, rejections=(*done.rejections, *gone))


def _candidate(
    first: InstanceCandidate, made: Instance, number: int, exchanges: Sequence[Exchange]
) -> InstanceCandidate:
    """A changed row as a candidate of the answer that it comes from; without any, of that of its first form."""

    def nearness(exchange: Exchange) -> tuple[bool, bool, bool]:
        prompt, answer = exchange
        asked = "\n".join(message.content for message in prompt.messages)
        return made.output.strip() in answer.text, first.output in asked, first.input in asked

    if not exchanges:
        return replace(first, position=first.position + APART, input=made.input, output=made.output, turns=made.turns)
    _, answer = max(exchanges, key=nearness)
    ends = answer.text.rstrip().endswith(made.output.rstrip())
    return InstanceCandidate(
        answer.request_id,
        number,
        made.input,
        made.output,
        answer.finish_reason if ends else "stop",
        answer.source,
        turns=made.turns,
        ended=first.ended,
    )


def _failure(stage: str, what: str) -> str:
    return excerpt(f"{stage}: {what}", LONGEST_EVIDENCE)


def _shown(found: object) -> str:
    return excerpt(in_words(found))
