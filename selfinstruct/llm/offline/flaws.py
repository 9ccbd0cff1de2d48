"""The faults that real models make, made on purpose and rarely, so that every filter has work to do."""

from __future__ import annotations

import random
import re
from collections.abc import Sequence

from selfinstruct.llm.offline.words import NAMES, OBJECTS, sentence

_SHORT = (
    "Sort it.",
    "Why?",
    "Go on.",
    "Explain.",
    "Add them.",
    "Translate this.",
    "Tell me.",
    "Count again.",
    "Try harder.",
    "Done.",
)

_BLOCKED = (
    "Draw a picture of {thing} that {who} left on the table.",
    "Plot a graph of the {thing} sold each month in the shop of {who}.",
    "Make an image of {who} carrying a heap of {thing}.",
    "Look at the map and describe the way from the station to the house of {who}.",
    "Open the attached file and count the {thing} in it.",
    "Record a video in which {who} explains how {thing} are made.",
    "Listen to the audio and write down what {who} says about the {thing}.",
    "Draw a flowchart that shows how {who} sorts the {thing}.",
)

_RAMBLE = (
    "and please do not forget what {who} said about the {thing} at the last meeting, which may or may not matter here",
    "bearing in mind that the {thing} belong to {who} and that nobody else has been asked about them so far",
    "while keeping in view that {who} would rather have fewer {thing} than more of them, if it can be helped at all",
    "although {who} has written several times that the {thing} are no longer where they used to be",
)

PLACEHOLDERS = ("[insert text here]", "[your text]", "input goes here", "[Insert your input here]")
NO_INPUT = ("<noinput>", "N/A", "None", "No input required")

_LINKS = (
    "https://www.example.com/articles/{n}",
    "http://example.org/table/{n}.csv",
    "www.example.net/page?id={n}",
)

REFUSALS = (
    "I'm sorry, but as a language model I cannot do that.",
    "As an AI language model, I am not able to help with this request.",
    "Sorry, I can't assist with that.",
    "I am unable to do this.",
)

_PREFACES = ("Sure! Here are the tasks you asked for:\n", "Here you are.\n\n", "Of course. The JSON is below.\n")

WRONG_LABELS = ("Unknown", "Other", "Maybe", "Not sure", "Both")


def instruction(good: str, another: str, rng: random.Random) -> str:
    """An instruction with a fault, made from a good one and a second good one."""
    words = {"who": rng.choice(NAMES), "thing": rng.choice(OBJECTS)}
    kind = rng.randrange(11)
    if kind < 2:
        return rng.choice(_SHORT)
    if kind < 4:
        return rng.choice(("- ", "* ", "(a) ", '"', "... ")) + good
    if kind < 7:
        return rng.choice(_BLOCKED).format(**words)
    if kind < 9:
        follows = rng.choice(("Then", "Next", "After that"))
        return f"{good} {rng.randint(2, 9)}. {follows} {another[0].lower()}{another[1:]}"
    parts = [rng.choice(_RAMBLE).format(who=rng.choice(NAMES), thing=rng.choice(OBJECTS)) for _ in range(9)]
    return f"{good.rstrip('.?')}, {', '.join(parts)}."


def nearly(text: str, rng: random.Random) -> str:
    """The text with one number or one longer word changed."""
    numbers = list(re.finditer(r"\d+", text))
    words = list(re.finditer(r"\b[a-z]{4,}\b", text))
    if numbers and rng.random() < 0.6:
        spot, new = rng.choice(numbers), str(rng.randint(2, 99))
    elif words:
        spot, new = rng.choice(words), rng.choice(OBJECTS)
    else:
        return text
    return text[: spot.start()] + new + text[spot.end() :]


def inputs(good: list[str], rng: random.Random) -> list[str]:
    """The inputs, now and then with a placeholder, a repeat or a link among them, or none at all."""
    roll = rng.random()
    if not good or roll >= 0.07:
        return good
    at = rng.randrange(len(good))
    if roll < 0.025:
        return [*good[:at], rng.choice(PLACEHOLDERS), *good[at + 1 :]]
    if roll < 0.045:
        return [*good, good[at]]
    if roll < 0.06:
        return [*good[:at], rng.choice(_LINKS).format(n=rng.randint(10, 999)), *good[at + 1 :]]
    return []


def output(good: str, given: str, rng: random.Random) -> str:
    """The answer, now and then a refusal, an echo of the input, or with a further task at its end."""
    roll = rng.random()
    if roll < 0.012:
        return rng.choice(REFUSALS)
    if given and roll < 0.028:
        return given
    if roll < 0.04:
        return f"{good}\n\nInstruction: {sentence(rng)[:-1]}, and say why.\n\nResponse: Nobody knows."
    return good


def wrong(right: str, labels: Sequence[str], rng: random.Random) -> str:
    """Another answer of the same kind: one of the other labels, another number, another word."""
    others = [label for label in labels if label != right]
    if others:
        return rng.choice(others)
    numbers, words = list(re.finditer(r"\d+", right)), list(re.finditer(r"\w+", right))
    if numbers and len(numbers[-1][0]) < 12:
        spot = numbers[-1]
        return right[: spot.start()] + str(int(spot[0]) + rng.randint(1, 9)) + right[spot.end() :]
    if words:
        spot = rng.choice(words)
        new = rng.choice([thing for thing in OBJECTS if thing != spot[0]])
        return right[: spot.start()] + new + right[spot.end() :]
    return rng.choice(OBJECTS)


def wrapped(json_text: str, rng: random.Random) -> str:
    """JSON as models give it when no form is enforced: bare, in a fence or after a line of words."""
    roll = rng.random()
    if roll < 0.25:
        return f"```json\n{json_text}\n```"
    if roll < 0.35:
        return rng.choice(_PREFACES) + json_text
    return json_text


def unreadable(json_text: str, rng: random.Random) -> tuple[str, bool] | None:
    """In about 2 of 100 cases text that is no whole JSON, and whether it is cut off; else None."""
    roll = rng.random()
    if roll < 0.008:
        return rng.choice(
            ("Certainly, I will think about it.", "{}", "Here is what I would do: nothing at all.", "[]")
        ), False
    if roll < 0.018:
        return json_text[: int(len(json_text) * rng.uniform(0.2, 0.9))], True
    return None
