"""Shares written as `KIND=RATE,...` on the command line, and chance that is the same in every process."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Collection
from typing import NamedTuple

from selfinstruct.errors import ConfigError, unknown


class Rate(NamedTuple):
    """How often something happens, from 0 to 1, and the number behind a colon (`429=5%:2`), if there is one."""

    share: float
    extra: float | None = None


def chance(purpose: bytes, *parts: bytes) -> float:
    """A number above 0 and below 1, evenly spread, that follows from the purpose and the parts alone."""
    hashed = hashlib.blake2b(b"/".join(parts), digest_size=8, person=purpose).digest()
    return ((int.from_bytes(hashed, "big") >> 11) + 0.5) / 2**53


def parse_rates(option: str, text: str, known: Collection[str], with_extra: Collection[str] = ()) -> dict[str, Rate]:
    """The rates in a text such as `429=5%:2,hang=0.01`.

    Raises:
        ConfigError: one line that names the option, what was found and what is wanted.
    """
    rates: dict[str, Rate] = {}
    for part in filter(None, (piece.strip() for piece in text.split(","))):
        kind, equals, rest = (piece.strip() for piece in part.partition("="))
        if kind not in known:
            raise ConfigError(f"{option}: unknown kind '{kind}'; {unknown(kind, known)}")
        if not equals:
            raise ConfigError(f"{option}: '{kind}' has no rate; write {kind}=5%")
        if kind in rates:
            raise ConfigError(f"{option}: '{kind}' is given twice")
        share, colon, extra = rest.partition(":")
        if colon and kind not in with_extra:
            raise ConfigError(f"{option}: '{part}': {kind} takes nothing after its rate")
        rates[kind] = Rate(_share(option, share), number(option, extra) if colon else None)
    return rates


def check_sum(option: str, rates: Collection[Rate]) -> None:
    """Make sure that things of which only one happens are at most 100 % together. Raises: ConfigError."""
    total = math.fsum(rate.share for rate in rates)
    if total > 1 + 1e-9:
        raise ConfigError(f"{option}: the rates add up to {total:.0%}; 100% is the most")


def number(option: str, text: str) -> float:
    """A number of at least 0. Raises: ConfigError."""
    try:
        value = float(text)
    except ValueError:
        value = math.nan
    if not 0 <= value < math.inf:
        raise ConfigError(f"{option}: '{text}' is not a number of at least 0")
    return value


def _share(option: str, text: str) -> float:
    try:
        share = float(text[:-1]) / 100 if text.endswith("%") else float(text)
    except ValueError:
        share = math.nan
    if not 0 <= share <= 1:
        raise ConfigError(f"{option}: '{text}' is neither a percentage such as 5% nor a fraction from 0 to 1")
    return share
