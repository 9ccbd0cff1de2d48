"""Which requests meet a fault of the transport. Asked again, each gets its usual answer sooner or later."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from itertools import accumulate

from selfinstruct.llm.offline.rates import Rate, chance, check_sum, parse_rates

STATUSES = {
    "408": "The request took too long to arrive.",
    "429": "Rate limit reached; this is a fault given on request.",
    "500": "The server had an error while processing your request.",
    "502": "Bad gateway.",
    "503": "The engine is overloaded, please try again later.",
    "504": "The gateway timed out.",
}
"""Kinds that are an error with this status and message."""

KINDS = (*STATUSES, "hang", "slow", "cut", "html", "empty", "abort", "drop")

DEFAULT_EXTRA = {"429": 1.0, "slow": 10.0}
"""Seconds meant where none are given: those of `Retry-After`, and those by which `slow` is slower."""

MOST_IN_A_ROW = 3
"""Of the attempts at one body every one after so many is free of faults, so that runs end."""

_WITH_EXTRA = ("429", "503", "slow")


@dataclass(frozen=True, slots=True)
class Faults:
    """How often each kind of fault is given, of all requests."""

    rates: Mapping[str, Rate] = field(default_factory=dict)
    _steps: tuple[tuple[float, str], ...] = field(init=False, repr=False, default=())

    def __post_init__(self) -> None:
        sums = accumulate(rate.share for rate in self.rates.values())
        object.__setattr__(self, "_steps", tuple(zip(sums, self.rates, strict=True)))

    def at(self, body: bytes, attempt: int) -> str | None:
        """The kind of fault that meets this attempt, counted from 1, at the body with this digest; None for none."""
        if not self._steps or attempt % (MOST_IN_A_ROW + 1) == 0:
            return None
        drawn = chance(b"fault", body, attempt.to_bytes(8, "big"))
        return next((kind for step, kind in self._steps if drawn < step), None)

    def seconds(self, kind: str) -> float | None:
        """The number that goes with a kind: seconds until one may ask again, or of being slower."""
        rate = self.rates.get(kind)
        return rate.extra if rate and rate.extra is not None else DEFAULT_EXTRA.get(kind)


def parse_faults(text: str) -> Faults:
    """The faults in a text such as `429=5%:2,hang=1%`. Raises: ConfigError."""
    rates = parse_rates("--fault", text, KINDS, _WITH_EXTRA)
    check_sum("--fault", rates.values())
    return Faults(rates)
