"""Conversations: a model in the part of the user goes on after the output of each row, and is answered.

What the user does next is drawn for each turn. The conversation ends with the turn before one that says goodbye,
repeats an earlier one, or gets an answer that the checks refuse; at the end the judge looks at all of it. Turns are
part of their row and no candidates: a row keeps those before the end, and says why it ended.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import replace
from fractions import Fraction
from random import Random
from typing import Any

from rapidfuzz.distance import LCSseq

from selfinstruct.ask import Ask, gather
from selfinstruct.checks.word_lists import words
from selfinstruct.checks.wording import comparable
from selfinstruct.recipes.json_answers import read_object, schema_of
from selfinstruct.recipes.responding import asked_of, parted, question
from selfinstruct.recipes.templates import conversation
from selfinstruct.settings import Settings
from selfinstruct.similarity.tokens import tokenize
from selfinstruct.steps.judging import SCORE, TRIES, UNREADABLE, Validate, numbers, score_in
from selfinstruct.types import (
    APART,
    BEST,
    Completion,
    Finished,
    InstanceCandidate,
    Message,
    Prompt,
    Rejection,
    Schema,
    Task,
    Turn,
    storable,
)

TURNS = "turns"
USER, REPLY = STAGES = ("user", "reply")
JUDGE_TURNS = "judge_turns"
DEFAULT_SAMPLING: Mapping[str, Mapping[str, Any]] = {
    USER: {"temperature": 0.8, "max_tokens": 512},
    REPLY: {"temperature": 0.3, "max_tokens": 1536},
    JUDGE_TURNS: {"temperature": 0.2, "max_tokens": 2048},
}
KINDS: Mapping[str, str] = {
    "follow_up": "asks for something further that builds on the last answer",
    "correction": "corrects a mistake in the last answer, or a detail that they got wrong themselves when they asked",
    "changed_constraint": "wants the last answer changed in one respect: length, tone, form, language or a figure",
    "clarification": "asks what a word, a step or a statement in the last answer means, or why it is so",
}
"""What the user does, by its name in `turns.kinds`."""
MOST, CLOSING, REPEATED, UNUSABLE, NO_REPLY, JUDGED = (
    "most", "closing", "repeated", "unusable", "no_reply", "judged"
)  # fmt: skip
"""Why a conversation ends, besides the reasons of checks."""
_AGAIN, _SHORT = Fraction("0.8"), 4
"""The share of a user's words, in their order, from which on they repeat a text; of fewer words all must be the same.

A model that answers where it should ask says again what stands in the last answer.
"""
_FEW = 2
"""Words beside a goodbye, at most."""
NEXT = schema_of("next_turn", {"message": {"type": "string", "maxLength": 600}})


async def turns(done: Finished, ask: Ask, settings: Settings, validate: Validate) -> Finished:
    """The task with the conversations of its rows."""
    places = numbers(done.instances)
    kept = await gather(
        _conversation(done, one, place, ask, settings, validate)
        for one, place in zip(done.instances, places, strict=True)
    )
    return replace(done, instances=tuple(kept))


def asked_about(task: Task, one: InstanceCandidate, settings: Settings) -> list[Prompt]:
    """All that is asked about a row whose conversation ends with its last turn."""
    found, kinds = list[Prompt](), settings.turns.kinds
    for number in range(settings.turns.most):
        found.append(_user_prompt(task, one, kinds[0], one.position + APART * number, settings))
        one = replace(one, turns=(*one.turns, Turn("And what comes after that?", one.output)))
        found.append(_reply_prompt(task, one, one.position + APART * number, settings))
    return [*found, *([_judge_prompt(task, one, one.position, settings)] if settings.judge.enabled else [])]


async def _conversation(
    done: Finished, one: InstanceCandidate, place: int, ask: Ask, settings: Settings, validate: Validate
) -> InstanceCandidate:
    """The row with its conversation, and why that ended."""
    task, beside, ended = done.task, [other for other in done.instances if other is not one], MOST
    for number in range(settings.turns.most):
        index = place + APART * number
        kind = Random(f"{settings.seed}/{task.id}/{place}/turns/{number}").choice(settings.turns.kinds)
        said = await ask(_user_prompt(task, one, kind, index, settings))
        turn = _read_turn(said, kind)
        if why := _end(turn, task, one):
            ended = why
            break
        answer = await ask(_reply_prompt(task, replace(one, turns=(*one.turns, turn)), index, settings))
        _, reply = parted(answer, settings)
        if answer.kind == "failed" or not reply:
            ended = f"{NO_REPLY}: {answer.text if answer.kind == 'failed' else 'the answer is empty'}"
            break
        if comparable(reply) in {comparable(text) for text in (one.output, *(turn.assistant for turn in one.turns))}:
            ended = f"{REPEATED}: the answer is an earlier one"
            break
        answered = (*one.turns, replace(turn, assistant=reply))
        passed = validate(beside, replace(one, turns=answered, finish_reason=answer.finish_reason))
        if isinstance(passed, Rejection):
            ended = f"{passed.reason}: {passed.evidence}"
            break
        one = passed
    one = replace(one, ended=storable(ended))
    return await _judged(task, one, place, ask, settings) if one.turns and settings.judge.enabled else one


def _read_turn(answer: Completion, kind: str) -> Turn:
    """What the user says; where it cannot be read, a turn of no kind."""
    said = (read_object(answer.text) if answer.kind == "answer" else None) or {}
    message = said.get("message")
    return Turn(storable(message.strip()), "", kind) if isinstance(message, str) else Turn("", "")


def _end(turn: Turn, task: Task, one: InstanceCandidate) -> str:
    """Why the conversation ends before a turn of the user; empty where it goes on."""
    text = turn.user
    if not text:
        return CLOSING if turn.kind else UNUSABLE
    rest, goodbyes = words("goodbyes").subn(" ", text)
    if goodbyes and "?" not in text and len(tokenize(rest)) <= _FEW:
        return f"{CLOSING}: {text}"
    last = one.turns[-1].assistant if one.turns else one.output
    earlier = (asked_of(task, one.input), *(each.user for each in one.turns), last)
    return f"{REPEATED}: {text}" if any(_is_again(text, each) for each in earlier) else ""


def _is_again(text: str, earlier: str) -> bool:
    said, known = tokenize(text), tokenize(earlier)
    return said == known if len(said) < _SHORT else LCSseq.similarity(said, known) >= _AGAIN * len(said)


async def _judged(task: Task, one: InstanceCandidate, place: int, ask: Ask, settings: Settings) -> InstanceCandidate:
    """The row with its turns scored, as far as the judge lets them stand.

    One whose answer is bad ends the conversation before it; one that is bad as a whole keeps no turn.
    """
    rules, read = settings.judge, None
    for attempt in range(TRIES):
        answer = await ask(_judge_prompt(task, one, place + APART * attempt, settings))
        read = _read_scores(answer, len(one.turns))
        if read is not None or answer.kind == "failed":
            break
    if read is None:
        return one if rules.unreadable == "keep" else replace(one, turns=(), ended=UNREADABLE)
    *each, (whole, why) = read
    scored = tuple(replace(turn, score=score) for turn, (score, _) in zip(one.turns, each, strict=True))
    bad = next((number for number, (score, _) in enumerate(each) if score < rules.min_output), None)
    if bad is not None:
        score, why = each[bad]
        return replace(one, turns=scored[:bad], ended=f"{JUDGED}: turn {bad + 1}: {score} of {BEST}: {why}")
    if whole < rules.min_output:
        return replace(one, turns=(), ended=f"{JUDGED}: as a whole: {whole} of {BEST}: {why}")
    return replace(one, turns=scored)


def _read_scores(answer: Completion, count: int) -> Sequence[tuple[int, str]] | None:
    """Score and reason of each turn, and at the end of the whole; None where one of them cannot be read."""
    said = (read_object(answer.text) if answer.kind == "answer" else None) or {}
    each = said.get("turns")
    if not isinstance(each, list) or len(each) != count:
        return None
    found = [score_in(one) for one in (*each, said.get("whole"))]
    return [one for one in found if one is not None] if None not in found else None


def _talk(task: Task, one: InstanceCandidate) -> list[Message]:
    """The conversation so far, without a system text; a turn that waits for its answer comes last."""
    found = [Message("user", asked_of(task, one.input)), Message("assistant", one.output)]
    for turn in one.turns:
        found += [Message("user", turn.user), Message("assistant", turn.assistant)]
    return found if found[-1].content else found[:-1]


def _shown(task: Task, one: InstanceCandidate) -> str:
    return "\n".join(json.dumps({each.role: each.content}, ensure_ascii=False) for each in _talk(task, one))


def _user_prompt(task: Task, one: InstanceCandidate, kind: str, index: int, settings: Settings) -> Prompt:
    values = {"conversation": _shown(task, one), "kind": KINDS[kind]}
    return Prompt(USER, index, conversation(settings.prompts[USER], values), NEXT, is_exact=True)


def _reply_prompt(task: Task, one: InstanceCandidate, index: int, settings: Settings) -> Prompt:
    """What the model is asked: the question of the row as it was asked, and all that came after it."""
    return Prompt(REPLY, index, (*question(task, one.input, settings), *_talk(task, one)[1:]), is_exact=True)


def _judge_prompt(task: Task, one: InstanceCandidate, index: int, settings: Settings) -> Prompt:
    values = {"conversation": _shown(task, one), "number": str(len(one.turns))}
    return Prompt(
        JUDGE_TURNS, index, conversation(settings.prompts[JUDGE_TURNS], values), _scores(len(one.turns)), is_exact=True
    )


def _scores(count: int) -> Schema:
    each = {"type": "array", "items": SCORE, "minItems": count, "maxItems": count}
    return schema_of("conversation_scores", {"turns": each, "whole": SCORE})
