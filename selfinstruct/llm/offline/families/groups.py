"""Classification by what a word or a text is about: kinds of things, teams, moods, types of sentences."""

from __future__ import annotations

import random

from selfinstruct.llm.offline.families.text import words_of
from selfinstruct.llm.offline.family import Family
from selfinstruct.llm.offline.wording import Params, wordings
from selfinstruct.llm.offline.words import NAMES, PLACES, THINGS, sentence

_ENDS = {"?": "Question", "!": "Exclamation", ".": "Statement"}


def _sentence_type(_: Params, text: str) -> str:
    return _ENDS[text.strip()[-1]]


def _sentence_type_input(_: Params, rng: random.Random) -> str:
    subject = rng.choice(NAMES)
    return rng.choice(
        (
            sentence(rng),
            f"What a lovely {rng.choice(THINGS[rng.choice(('birds', 'flowers', 'trees'))])} that is!",
            f"Has {subject} seen the {rng.choice(THINGS['animals'])}?",
            f"Where did {subject} put the {rng.choice(THINGS['kitchen things'])}?",
            f"How fast {subject} can run!",
        )
    )


def _draw_kind(rng: random.Random) -> Params:
    kinds = rng.sample(sorted(set(THINGS) - {"colours", "spices"}), 3)
    return {"one": kinds[0], "two": kinds[1], "three": kinds[2]}


def _kind(p: Params, text: str) -> str:
    found = [p[name] for name in ("one", "two", "three") if name in p and text.lower() in THINGS[p[name]]]
    if len(found) != 1:
        raise ValueError(text)
    return found[0].capitalize()


def _kind_input(p: Params, rng: random.Random) -> str:
    for _ in range(99):
        word = rng.choice(THINGS[p[rng.choice([name for name in ("one", "two", "three") if name in p])]])
        if sum(word in THINGS[p[name]] for name in ("one", "two", "three") if name in p) == 1:
            return word
    raise AssertionError(p)


def _kinds(p: Params) -> tuple[str, ...]:
    return tuple(p[name].capitalize() for name in ("one", "two", "three") if name in p)


_TEAMS = {
    "Billing": (
        "The invoice shows the wrong amount",
        "I was charged twice",
        "My refund has not arrived",
        "Please explain this fee",
        "My card payment was declined",
    ),
    "Delivery": (
        "My parcel is late",
        "The box arrived damaged",
        "The courier left it at the wrong door",
        "Can you deliver on Saturday",
        "The tracking number does not work",
    ),
    "Account": (
        "I forgot my password",
        "Please change my user name",
        "I cannot log in",
        "Delete my profile",
        "The confirmation code never arrives",
    ),
}


def _team(_: Params, text: str) -> str:
    found = [team for team, lines in _TEAMS.items() if any(line in text for line in lines)]
    if len(found) != 1:
        raise ValueError(text)
    return found[0]


def _team_input(_: Params, rng: random.Random) -> str:
    line = rng.choice(_TEAMS[rng.choice(sorted(_TEAMS))])
    return rng.choice(
        (f"{line}.", f"Hello, {rng.choice(NAMES)} here. {line}.", f"{line}. Thank you, {rng.choice(NAMES)}")
    )


_GOOD = ("delicious", "friendly", "spotless", "charming", "excellent", "comfortable", "helpful", "delightful")
_BAD = ("cold", "rude", "dirty", "noisy", "terrible", "overpriced", "broken", "disappointing")
_REVIEWED = (
    "the room",
    "the soup",
    "the waiter",
    "the breakfast",
    "the guide",
    "the view",
    "the bathroom",
    "the service",
)


def _mood(_: Params, text: str) -> str:
    words = [word.lower() for word in words_of(text)]
    score = sum(word in _GOOD for word in words) - sum(word in _BAD for word in words)
    if not score:
        raise ValueError(text)
    return "Positive" if score > 0 else "Negative"


def _mood_input(_: Params, rng: random.Random) -> str:
    first, second = rng.sample(_REVIEWED, 2)
    words = rng.sample(rng.choice((_GOOD, _BAD)), 2)
    start = f"{first.capitalize()} was {words[0]} and {second} was {words[1]}"
    return rng.choice(
        (f"{start}.", f"We stayed in {rng.choice(PLACES)}. {start}.", f"{start}, {rng.choice(NAMES)} said.")
    )


FAMILIES = (
    Family(
        "sentence_type",
        wordings(
            "Classify the sentence as Statement, Question or Exclamation.",
            "What type of sentence is this? Choose Question, Exclamation or Statement.",
        ),
        lambda _: {},
        _sentence_type,
        _sentence_type_input,
        lambda _: ("Statement", "Question", "Exclamation"),
    ),
    Family(
        "kind_of_thing",
        wordings(
            "Does the word belong to {one}, to {two} or to {three}? Name the group.",
            "[Assign|Allot] the word to one of three groups: {one}, {two}, {three}.",
            "An encyclopedia has volumes on {one}, on {two} and on {three}. In which volume does the word belong?",
        ),
        _draw_kind,
        _kind,
        _kind_input,
        _kinds,
        weight=2.5,
    ),
    Family(
        "kind_of_two",
        wordings(
            "Is the given word one of the {one} or one of the {two}? Answer with the name of the group.",
            "We sell {one} downstairs and {two} upstairs. [Decide|Say] which of these two groups the word is part of.",
        ),
        lambda rng: {name: kind for name, kind in _draw_kind(rng).items() if name != "three"},
        _kind,
        _kind_input,
        _kinds,
        weight=2,
    ),
    Family(
        "support_team",
        wordings(
            "Which team should answer the customer's message: Billing, Delivery or Account?",
            "Route the message to Billing (money), Delivery (parcels) or Account (login and profile).",
        ),
        lambda _: {},
        _team,
        _team_input,
        lambda _: tuple(_TEAMS),
    ),
    Family(
        "review_mood",
        wordings(
            "Is the guest's review Positive or Negative?",
            "[Judge|Rate] the tone of the comment on a hotel or a restaurant: Positive or Negative.",
        ),
        lambda _: {},
        _mood,
        _mood_input,
        lambda _: ("Positive", "Negative"),
    ),
)
