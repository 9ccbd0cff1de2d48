"""Conversations of the built-in model: what it says as the user, as the assistant, and as the judge of both."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from random import Random
from typing import Any

from selfinstruct.models.offline.book import Book
from selfinstruct.models.offline.voices import Tasks

Said = Sequence[tuple[str, str]]
"""The messages of a conversation, each with its role; the user begins."""
GOODBYE, GOODBYES = "Thanks, that is all.", 0.05
"""The last words of a user, and how often they come."""
_ANOTHER = {
    "follow_up": "Now do the same with this:", "correction": "Sorry, I gave you the wrong one. I meant this:"
}  # fmt: skip
"""What a user says before another input of the same task."""
_Form = Callable[[str], str]
_FORMS: Mapping[str, Mapping[str, _Form]] = {
    "follow_up": {
        "How many words did you write there?": lambda last: f"{len(last.split())} words",
        "And how many letters and other characters?": lambda last: f"{len(last)} characters",
        "Which word does it begin with?": lambda last: f"With this one: {last.split()[0] if last.split() else last}",
    },
    "correction": {
        "I forgot to say: write END on a line of its own after it.": lambda last: f"{last}\nEND",
        "Sorry, it also needs the line START before it.": lambda last: f"START\n{last}",
        "My mistake, it has to be quoted. Please add the marks.": lambda last: f"“{last}”",
    },
    "changed_constraint": {
        "Write that in capital letters.": str.upper,
        "I would rather have it without any capital letter.": str.lower,
        "Can you put an exclamation mark after it?": lambda last: f"{last}!",
    },
}
"""What a user wants to be made of the last answer, and what becomes of it."""
_ASKED = {
    "What exactly did I ask you for?": "You asked me this: {}",
    "Why did you answer that?": "Because you asked me for it: {}",
    "What was it about again?": "It was about this: {}",
}
"""What a user wants to be told again."""


def next_turn(said: Said, kind: str, book: Book, rng: Random) -> str:
    """What the user says next: something of this kind that `reply` can answer, or goodbye."""
    if rng.random() < GOODBYES:
        return GOODBYE
    entry = book.find(_instruction(said, book))
    heard = "\n".join(text for _, text in said)
    others = [one.input for one in entry.answers if one.input not in heard] if entry else []
    if kind in _ANOTHER and others:
        return f"{_ANOTHER[kind]}\n\n{rng.choice(others)}"
    known: list[str] = [*_FORMS.get(kind, _ASKED)]
    return rng.choice([words for words in known if words not in heard] or known)


def reply(said: Said, voice: Tasks, book: Book, rng: Random) -> str | None:
    """The answer to the last message, if it is one that `next_turn` says; None where it is not."""
    (_, wanted), last = said[-1], next((text for role, text in reversed(said) if role == "assistant"), "")
    instruction = _instruction(said[:-1], book)
    head, _, given = wanted.partition("\n\n")
    if head in _ANOTHER.values():
        return voice.respond(instruction, given, rng)
    if wanted in _ASKED:
        return _ASKED[wanted].format(instruction)
    made = next((forms[wanted] for forms in _FORMS.values() if wanted in forms), None)
    return made(last) if made else None


def scores(said: Said, voice: Tasks, book: Book, rng: Random) -> dict[str, Any]:
    """A score for each later question with its answer, and for the whole: bad where another answer was due."""
    found = []
    for place in range(2, len(said) - 1, 2):
        question, answer = said[place][1], said[place + 1][1]
        entry = book.find(_instruction(said, book))
        known = entry.answer(question.partition("\n\n")[2]) if entry else None
        due = known.output if known and "\n\n" in question else reply(said[: place + 1], voice, book, rng)
        is_right = voice.agrees(due == answer, rng)
        why = "It answers what was asked last." if is_right else "That is not what was asked last."
        found.append({"reason": why, "score": 5 if is_right else 1})
    worst = min((one["score"] for one in found), default=5)
    return {"turns": found, "whole": {"reason": "It is as good as its worst answer.", "score": worst}}


def _instruction(said: Said, book: Book) -> str:
    """The instruction that the user gave, the latest that the book has."""
    heads = (text.partition("\n\n")[0] for role, text in reversed(said) if role == "user")
    return next((head for head in heads if book.find(head)), "")
