"""How much a server can do at once and how fast, as it would be on a GPU: slots, latency, limits a minute, outages."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from itertools import pairwise
from statistics import NormalDist
from typing import Literal

from selfinstruct.errors import ConfigError
from selfinstruct.llm.offline.rates import chance, number

_NORMAL = NormalDist()
_FORMS: dict[str, tuple[int, str]] = {
    "fixed": (1, "fixed:SECONDS"),
    "uniform": (2, "uniform:FROM,TO"),
    "lognormal": (2, "lognormal:MEAN,SIGMA"),
}


@dataclass(frozen=True, slots=True)
class Latency:
    """A distribution of seconds.

    `fixed` has its seconds in `low`, `uniform` lies between `low` and `high`, `lognormal` has the mean `low` and the
    sigma `high` of the underlying normal distribution.
    """

    kind: Literal["fixed", "uniform", "lognormal"] = "fixed"
    low: float = 0.0
    high: float = 0.0

    def of(self, body: bytes) -> float:
        """The seconds that the request with this digest of its body takes, whenever and wherever it is asked."""
        if self.kind == "fixed" or self.low == 0 == self.high:
            return self.low
        share = chance(b"latency", body)
        if self.kind == "uniform":
            return self.low + share * (self.high - self.low)
        return self.low * math.exp(self.high * _NORMAL.inv_cdf(share) - self.high**2 / 2)


@dataclass(frozen=True, slots=True)
class Outage:
    """A time, in seconds after the start, in which nothing is answered."""

    start_s: float
    length_s: float
    refuses: bool = False
    """Whether connections are refused and open ones reset; otherwise every request gets a 503 at once."""


@dataclass(frozen=True, slots=True)
class Load:
    """What a server bears. The default bears everything at once and answers at once."""

    slots: int | None = None
    """Requests worked on at once; the others wait in the order they came. None: any number."""
    latency: Latency = field(default_factory=Latency)
    outages: tuple[Outage, ...] = ()
    rate_limit: int | None = None
    """Requests let in within any minute."""
    token_limit: int | None = None
    """Tokens, of prompts and answers together, let in within any minute."""


def parse_load(
    *,
    slots: int | None = None,
    latency: str | None = None,
    outage: str | None = None,
    rate_limit: int | None = None,
    token_limit: int | None = None,
) -> Load:
    """The load that these options of the command line mean. Raises: ConfigError."""
    for option, value in (("--slots", slots), ("--rate-limit", rate_limit), ("--token-limit", token_limit)):
        if value is not None and value < 1:
            raise ConfigError(f"{option}: {value} is too small; give at least 1")
    return Load(slots, parse_latency(latency or "fixed:0"), parse_outages(outage or ""), rate_limit, token_limit)


def parse_latency(text: str) -> Latency:
    """The distribution in a text such as `lognormal:1,0.5`. Raises: ConfigError."""
    kind, _, rest = text.partition(":")
    if kind not in _FORMS:
        known = ", ".join(form for _, form in _FORMS.values())
        raise ConfigError(f"--latency: unknown distribution '{kind}'; known: {known}")
    count, form = _FORMS[kind]
    parts = rest.split(",")
    if len(parts) != count:
        raise ConfigError(f"--latency: '{text}' has not the form {form}")
    values = [number("--latency", part.strip()) for part in parts]
    if kind == "uniform" and values[0] > values[1]:
        raise ConfigError(f"--latency: '{text}' ends before it begins")
    if kind == "fixed":
        return Latency("fixed", values[0])
    return Latency("uniform" if kind == "uniform" else "lognormal", *values)


def parse_outages(text: str) -> tuple[Outage, ...]:
    """The outages in a text such as `60:120,600:5:refuse`, in order of time. Raises: ConfigError."""
    outages = []
    for part in filter(None, (piece.strip() for piece in text.split(","))):
        start, *rest = part.split(":")
        if len(rest) not in (1, 2) or rest[1:] not in ([], ["refuse"]):
            raise ConfigError(f"--outage: '{part}' has not the form START:LENGTH or START:LENGTH:refuse")
        outages.append(Outage(number("--outage", start), number("--outage", rest[0]), len(rest) == 2))
    outages.sort(key=lambda outage: outage.start_s)
    for one, following in pairwise(outages):
        if one.start_s + one.length_s > following.start_s:
            raise ConfigError(f"--outage: '{text}' has outages that overlap")
    return tuple(outages)
