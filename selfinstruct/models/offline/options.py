"""What the options of `offline-server` mean, and chance that is the same in every process."""

from __future__ import annotations

import hashlib
import math
import sys
from collections.abc import Callable, Collection, Mapping
from itertools import accumulate, pairwise
from statistics import NormalDist
from typing import NamedTuple

from selfinstruct.errors import ConfigError, unknown
from selfinstruct.models.offline.flaws import QUIRKS, SPOILS, Quirks

STATUSES = ("408", "429", "500", "502", "503", "504")
"""Faults that are an error with this status."""
FAULTS = (*STATUSES, "hang", "slow", "cut", "html", "empty", "abort", "drop")

MOST_IN_A_ROW = 3
"""After this many attempts at a request the next one is free of faults, so that runs end."""

_SECONDS = {"429": 1.0, "503": None, "slow": 10.0}
"""Faults with a number of seconds, and the usual one: that of `Retry-After`, or the delay of a slow answer."""

_LATENCIES: Mapping[str, tuple[str, Callable[..., float]]] = {
    "fixed": ("SECONDS", lambda _, seconds: seconds),
    "uniform": ("FROM,TO", lambda share, low, high: low + share * (high - low)),
    "lognormal": (
        "MEAN,SIGMA", lambda share, mean, sigma: mean * math.exp(sigma * NormalDist().inv_cdf(share) - sigma**2 / 2),
    ),
}  # fmt: skip
"""Distributions: their numbers, and the seconds that a share from 0 to 1 stands for."""


class Rate(NamedTuple):
    """How often a fault comes, from 0 to 1, and its seconds, if it has any."""

    share: float
    seconds: float | None = None


class Outage(NamedTuple):
    """Seconds after the start in which every request gets a 503 or, if it refuses, no connection."""

    start_s: float
    end_s: float
    refuses: bool = False


class BatchFaults(NamedTuple):
    """How long a batch takes, and the shares of its lines that end otherwise than with one answer."""

    seconds: float = 0.0
    expired: float = 0.0
    failed: float = 0.0
    twice: float = 0.0
    """Lines of which the results have two."""
    slow: float = 0.0
    """Seconds between the beginning of a batch and the answer that says so."""
    most: float = 0.0
    """Lines of a batch from which on it fails, as beyond the limit of what a provider keeps waiting; 0: any."""


def parse_batches(text: str) -> BatchFaults:
    """What is said of batches in a text such as `seconds=60,expired=5%`. Raises: ConfigError."""
    given: dict[str, float] = {}
    for part in filter(None, map(str.strip, text.split(","))):
        name, _, value = map(str.strip, part.partition("="))
        if name not in BatchFaults._fields:
            raise ConfigError(f"--batches: unknown word '{name}'; {unknown(name, BatchFaults._fields)}")
        given[name] = _number("--batches", value, is_share=name not in {"seconds", "slow", "most"})
    return BatchFaults(**given)


def chance(purpose: bytes, *parts: bytes) -> float:
    """A number above 0 and below 1, evenly spread, that follows from the purpose and the parts alone."""
    hashed = hashlib.blake2b(b"/".join(parts), digest_size=8, person=purpose).digest()
    return ((int.from_bytes(hashed, "big") >> 11) + 0.5) / 2**53


def fault_at(faults: Mapping[str, Rate], body: bytes, attempt: int) -> str | None:
    """The fault that meets this attempt, counted from 1, at the request with this digest; None for none."""
    if not faults or attempt % (MOST_IN_A_ROW + 1) == 0:
        return None
    drawn = chance(b"fault", body, attempt.to_bytes(8, "big"))
    sums = accumulate(rate.share for rate in faults.values())
    return next((kind for kind, total in zip(faults, sums, strict=True) if drawn < total), None)


def parse_faults(text: str) -> dict[str, Rate]:
    """The faults in a text such as `429=5%:2,hang=1%`. Raises: ConfigError."""
    return _rates("--fault", text, FAULTS, FAULTS, _SECONDS)


def parse_quirks(text: str) -> Quirks:
    """The quirks in a text such as `badjson=3%,dup=20%`, or none for `none`. Raises: ConfigError."""
    rates = _rates("--quirk", "" if text.strip() == "none" else text, QUIRKS, SPOILS, {})
    return {kind: rate.share for kind, rate in rates.items()}


def parse_latency(text: str) -> Callable[[bytes], float]:
    """The seconds that the request with a digest takes, from a text such as `lognormal:1,0.5`. Raises: ConfigError."""
    kind, _, rest = text.partition(":")
    if kind not in _LATENCIES:
        known = ", ".join(f"{kind}:{form}" for kind, (form, _) in _LATENCIES.items())
        raise ConfigError(f"--latency: unknown distribution '{kind}'; known: {known}")
    form, seconds = _LATENCIES[kind]
    values = [_number("--latency", part.strip()) for part in rest.split(",")]
    if len(values) != len(form.split(",")):
        raise ConfigError(f"--latency: '{text}' does not have the form {kind}:{form}")
    if kind == "uniform" and values[0] > values[1]:
        raise ConfigError(f"--latency: '{text}' ends before it begins")
    return lambda body: seconds(chance(b"latency", body), *values)


def parse_outages(text: str) -> list[Outage]:
    """The outages in a text such as `60:120,600:5:refuse`, in order of time. Raises: ConfigError."""
    outages = []
    for part in filter(None, map(str.strip, text.split(","))):
        start, *rest = part.split(":")
        if len(rest) not in (1, 2) or rest[1:] not in ([], ["refuse"]):
            raise ConfigError(f"--outage: '{part}' does not have the form START:LENGTH or START:LENGTH:refuse")
        start_s = _number("--outage", start)
        outages.append(Outage(start_s, start_s + _number("--outage", rest[0]), len(rest) == 2))
    outages.sort()
    if any(one.end_s > following.start_s for one, following in pairwise(outages)):
        raise ConfigError(f"--outage: '{text}' has outages that overlap")
    return outages


def _rates(
    option: str, text: str, known: Collection[str], alone: Collection[str], seconds: Mapping[str, float | None]
) -> dict[str, Rate]:
    """The rates in a text. Those of which only one comes at a time add up to 100 % at most. Raises: ConfigError."""
    rates: dict[str, Rate] = {}
    for part in filter(None, map(str.strip, text.split(","))):
        kind, equals, rest = map(str.strip, part.partition("="))
        if kind not in known:
            raise ConfigError(f"{option}: unknown kind '{kind}'; {unknown(kind, known)}")
        if not equals:
            raise ConfigError(f"{option}: '{kind}' has no rate; write {kind}=5%")
        if kind in rates:
            raise ConfigError(f"{option}: '{kind}' is given twice")
        share, colon, extra = rest.partition(":")
        if colon and kind not in seconds:
            raise ConfigError(f"{option}: '{part}': {kind} takes nothing after its rate")
        extra_s = _number(option, extra) if colon else seconds.get(kind)
        rates[kind] = Rate(_number(option, share, is_share=True), extra_s)
    total = math.fsum(rate.share for kind, rate in rates.items() if kind in alone)
    if total > 1 + 1e-9:
        raise ConfigError(f"{option}: the rates add up to {total:.0%}; 100% is the most")
    return rates


def _number(option: str, text: str, *, is_share: bool = False) -> float:
    try:
        value = float(text[:-1]) / 100 if is_share and text.endswith("%") else float(text)
    except ValueError:
        value = math.nan
    if 0 <= value <= (1 if is_share else sys.float_info.max):
        return value
    wanted = "a percentage such as 5% or a fraction from 0 to 1" if is_share else "a number of at least 0"
    raise ConfigError(f"{option}: '{text}' is not {wanted}")
