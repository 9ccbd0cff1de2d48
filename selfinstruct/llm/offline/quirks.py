"""The habits of a model, at rates of one's own. Which answers they meet follows from the request alone."""

from __future__ import annotations

import random
from collections.abc import Mapping
from dataclasses import dataclass, field

from selfinstruct.llm.offline import flaws
from selfinstruct.llm.offline.rates import Rate, check_sum, parse_rates
from selfinstruct.llm.offline.words import sentence

_SPOILS = ("badjson", "length", "refusal", "empty")
"""Of these an answer has one at most."""

KINDS = (*_SPOILS, "dup", "rut", "wrong", "judge_wrong", "think", "reasoning", "fence")


@dataclass(frozen=True, slots=True)
class Quirks:
    """How often each habit shows.

    `dup` and `rut` show in proposed tasks, `wrong` in outputs, `judge_wrong` in the scores of verdicts, all others in
    answers. A model with quirks has no other flaws; one without any has none at all.
    """

    rates: Mapping[str, Rate] = field(default_factory=dict)

    def share(self, kind: str) -> float:
        """The rate of a kind, 0 where none is given."""
        rate = self.rates.get(kind)
        return rate.share if rate else 0.0


@dataclass(frozen=True, slots=True)
class Spoken:
    """An answer with its quirks: the text, what was thought before it in a field of its own, whether it breaks off."""

    text: str
    reasoning: str = ""
    is_cut: bool = False


def parse_quirks(text: str) -> Quirks:
    """The quirks in a text such as `badjson=3%,dup=20%`, or none for `none`. Raises: ConfigError."""
    if text.strip() in {"none", ""}:
        return Quirks()
    rates = parse_rates("--quirk", text, KINDS)
    check_sum("--quirk", [rates[kind] for kind in _SPOILS if kind in rates])
    return Quirks(rates)


def spoken(text: str, quirks: Quirks, rng: random.Random, max_tokens: int | None) -> Spoken:
    """The text as a model with these quirks would give it."""
    is_json = text.lstrip().startswith(("{", "["))
    is_cut = False
    match _spoil(quirks, rng):
        case "badjson" if is_json:
            text = _broken(text, rng)
        case "length":
            text, is_cut = _endless(text, rng, max_tokens), True
        case "refusal":
            text = rng.choice(flaws.REFUSALS)
        case "empty":
            text = ""
    if is_json and text and rng.random() < quirks.share("fence"):
        text = f"```json\n{text}" if is_cut else f"```json\n{text}\n```"
    if rng.random() < quirks.share("think"):
        text = f"<think>\n{_thought(rng)}\n</think>\n\n{text}"
    reasoning = _thought(rng) if rng.random() < quirks.share("reasoning") else ""
    return Spoken(text, reasoning, is_cut)


def _spoil(quirks: Quirks, rng: random.Random) -> str:
    drawn = rng.random()
    for kind in _SPOILS:
        drawn -= quirks.share(kind)
        if drawn < 0:
            return kind
    return ""


def _broken(text: str, rng: random.Random) -> str:
    """JSON that no parser takes, in one of the ways that models break it."""
    kind = rng.randrange(4)
    if kind == 0:
        return text[: text.rfind("}")].rstrip("]} ")
    if kind == 1:
        return text.replace('":', "':")
    if kind == 2:
        return "Here is what came to my mind: nothing that fits the form."
    return f"{text[:-1]} ... and so on"


def _endless(text: str, rng: random.Random, max_tokens: int | None) -> str:
    """The beginning of the text, and then the same few words until well over the limit, if there is one."""
    start = text[: int(len(text) * rng.uniform(0.3, 0.9))]
    return start + " and so on" * (max_tokens // 3 + 1 if max_tokens else 0)


def _thought(rng: random.Random) -> str:
    return " ".join(["Let me think.", *(sentence(rng) for _ in range(rng.randint(1, 4))), "That settles it."])
