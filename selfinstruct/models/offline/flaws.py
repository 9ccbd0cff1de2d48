"""The mistakes of the built-in model: its own rare ones, as real models make them, and the quirks that a user asks for.

The order in which random numbers are drawn is part of the answer to a request: a change of it changes the answers.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from itertools import accumulate
from pathlib import Path
from random import Random
from typing import NamedTuple

SPOILS = ("badjson", "length", "refusal", "empty")
"""Quirks of which an answer has one at most."""
QUIRKS = (*SPOILS, "dup", "rut", "wrong", "hard", "judge_wrong", "think", "reasoning", "fence")

Quirks = Mapping[str, float]
"""How often each quirk shows, from 0 to 1. A model with quirks has no flaws of its own."""

PHRASES: Mapping[str, Sequence[str]] = json.loads(Path(__file__).with_name("phrases.json").read_text(encoding="utf-8"))


class ModelAnswer(NamedTuple):
    """An answer: its text, what was thought before it in a field of its own, and whether the text breaks off."""

    text: str
    reasoning: str = ""
    is_cut: bool = False


def draw(kind: str, rng: Random) -> str:
    """One of the phrases of this kind."""
    return rng.choice(PHRASES[kind])


def instruction(good: str, another: str, rng: Random) -> str:
    """An instruction with a fault, made from a good one and a second good one."""
    who, thing, kind = draw("names", rng), draw("objects", rng), rng.randrange(11)
    if kind < 2:
        return draw("short", rng)
    if kind < 4:
        return rng.choice(("- ", "* ", "(a) ", '"', "... ")) + good
    if kind < 7:
        return draw("blocked", rng).format(who=who, thing=thing)
    if kind < 9:
        follows = rng.choice(("Then", "Next", "After that"))
        return f"{good} {rng.randint(2, 9)}. {follows} {another[0].lower()}{another[1:]}"
    parts = [draw("ramble", rng).format(who=draw("names", rng), thing=draw("objects", rng)) for _ in range(9)]
    return f"{good.rstrip('.?')}, {', '.join(parts)}."


def nearly(text: str, rng: Random) -> str:
    """The text with one number or one longer word changed."""
    numbers, words = list(re.finditer(r"\d+", text)), list(re.finditer(r"\b[a-z]{4,}\b", text))
    if numbers and rng.random() < 0.6:
        return _with(rng.choice(numbers), str(rng.randint(2, 99)))
    return _with(rng.choice(words), draw("objects", rng)) if words else text


def inputs(good: list[str], rng: Random) -> list[str]:
    """The inputs, now and then with a placeholder, a repeat or a link among them, or none at all."""
    roll = rng.random()
    if not good or roll >= 0.07:
        return good
    at = rng.randrange(len(good))
    if roll < 0.025:
        return [*good[:at], draw("placeholders", rng), *good[at + 1 :]]
    if roll < 0.045:
        return [*good, good[at]]
    if roll < 0.06:
        return [*good[:at], draw("links", rng).format(n=rng.randint(10, 999)), *good[at + 1 :]]
    return []


def output(good: str, given: str, rng: Random) -> str:
    """The answer, now and then a refusal, an echo of the input, or with a further task at its end."""
    roll = rng.random()
    if roll < 0.012:
        return draw("refusals", rng)
    if given and roll < 0.028:
        return given
    if roll < 0.04:
        return f"{good}\n\nInstruction: {draw('sentences', rng)[:-1]}, and say why.\n\nResponse: Nobody knows."
    return good


def wrong(right: str, labels: Sequence[str], rng: Random) -> str:
    """Another answer of the same kind: one of the other labels, another number, another word."""
    if others := [label for label in labels if label != right]:
        return rng.choice(others)
    numbers, words = list(re.finditer(r"\d+", right)), list(re.finditer(r"\w+", right))
    if numbers and len(numbers[-1][0]) < 12:
        return _with(numbers[-1], str(int(numbers[-1][0]) + rng.randint(1, 9)))
    if words:
        spot = rng.choice(words)
        return _with(spot, rng.choice([thing for thing in PHRASES["objects"] if thing != spot[0]]))
    return draw("objects", rng)


def _with(spot: re.Match[str], new: str) -> str:
    return spot.string[: spot.start()] + new + spot.string[spot.end() :]


def json_answer(text: str, rng: Random, *, free: bool) -> ModelAnswer:
    """JSON as models give it: in about 2 of 100 cases none or cut off; in a fence or after words if no form is set."""
    if rng.random() < 0.005 and text.startswith('{"tasks"'):
        return ModelAnswer('{"tasks": []}')
    roll = rng.random()
    if roll < 0.008:
        return ModelAnswer(draw("no_json", rng))
    if roll < 0.018:
        return ModelAnswer(text[: int(len(text) * rng.uniform(0.2, 0.9))], is_cut=True)
    roll = rng.random() if free else 1.0
    if roll < 0.25:
        return ModelAnswer(f"```json\n{text}\n```")
    return ModelAnswer(draw("prefaces", rng) + text if roll < 0.35 else text)


def with_quirks(text: str, quirks: Quirks, rng: Random, max_tokens: int | None) -> ModelAnswer:
    """The text as a model with these quirks gives it."""
    is_json, drawn = text.lstrip().startswith(("{", "[")), rng.random()
    totals = accumulate(quirks.get(kind, 0.0) for kind in SPOILS)
    spoil = next((kind for kind, total in zip(SPOILS, totals, strict=True) if drawn < total), "")
    match spoil:
        case "badjson" if is_json:
            ways = (
                text[: text.rfind("}")].rstrip("]} "),
                text.replace('":', "':"),
                "Here is what came to my mind: nothing that fits the form.",
                f"{text[:-1]} ... and so on",
            )
            text = ways[rng.randrange(len(ways))]
        case "length":
            start = text[: int(len(text) * rng.uniform(0.3, 0.9))]
            text = start + " and so on" * (max_tokens // 3 + 1 if max_tokens else 0)
        case "refusal":
            text = draw("refusals", rng)
        case "empty":
            text = ""
    if is_json and text and rng.random() < quirks.get("fence", 0.0):
        text = f"```json\n{text}" if spoil == "length" else f"```json\n{text}\n```"
    if rng.random() < quirks.get("think", 0.0):
        text = f"<think>\n{_thought(rng)}\n</think>\n\n{text}"
    reasoning = _thought(rng) if rng.random() < quirks.get("reasoning", 0.0) else ""
    return ModelAnswer(text, reasoning, spoil == "length")


def _thought(rng: Random) -> str:
    return " ".join(["Let me think.", *(draw("sentences", rng) for _ in range(rng.randint(1, 4))), "That settles it."])
