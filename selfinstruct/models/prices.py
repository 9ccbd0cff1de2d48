"""What a token costs: from the configuration, else from the public price list of the provider behind a URL."""

from __future__ import annotations

from dataclasses import dataclass
from decimal import Decimal

MILLION = 1_000_000


@dataclass(frozen=True, slots=True)
class Price:
    """US dollars for a million tokens."""

    input: Decimal
    output: Decimal
    cached: Decimal | None = None
    """For prompt tokens that the server had cached; None: as any other."""

    def halved(self) -> Price:
        """What providers take for a batch."""
        return Price(self.input / 2, self.output / 2, None if self.cached is None else self.cached / 2)

    def cost(self, prompt_tokens: int, completion_tokens: int, cached_tokens: int = 0) -> int:
        """What these tokens cost, in picodollars (1e-12 USD), so that sums are exact."""
        cached = self.input if self.cached is None else self.cached
        dollars_e6 = (
            (prompt_tokens - cached_tokens) * self.input + cached_tokens * cached + completion_tokens * self.output
        )
        return int((dollars_e6 * MILLION).to_integral_value())


def listed_price(model: str, base_url: str) -> Price | None:
    """The price of a model at the provider that this URL belongs to; None where the list knows no such thing.

    Where a price depends on a request's length, the dearest counts: what is reserved must never be too little.
    """
    from genai_prices import Usage, calc_price  # noqa: PLC0415 - only runs that ask for a cost pay for it

    def dearest(*kinds: str) -> Decimal:
        """Of the tiers that a short and a long request fall into, for a million tokens."""
        tiers = (
            calc_price(Usage(**dict.fromkeys(kinds, count)), model, provider_api_url=base_url).total_price
            * (MILLION // count)
            for count in (1000, MILLION)
        )
        return max(tiers)

    try:
        return Price(dearest("input_tokens"), dearest("output_tokens"), dearest("input_tokens", "cache_read_tokens"))
    except LookupError:
        return None


def in_dollars(picodollars: int) -> Decimal:
    """An exact sum in US dollars."""
    return Decimal(picodollars) / Decimal(10**12)


def in_picodollars(dollars: Decimal) -> int:
    """Picodollars of a sum in US dollars, rounded down."""
    return int(dollars * 10**12)
