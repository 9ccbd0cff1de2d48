"""What a client is doing, in figures and in words."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta


@dataclass(frozen=True, slots=True)
class Progress:
    """What is under way and what is waited for."""

    in_flight: int
    waiting: int
    """Requests that were handed over and are not in flight."""
    oldest_s: float
    """How long the oldest request in flight has been under way."""
    paused_until: Mapping[str, datetime]
    """When an endpoint that gets nothing now is tried next, local time, by URL."""
    reason: str
    """What is waited for; empty: nothing."""
    again: int = 0
    """How often a request was sent again so far."""
    throttled: int = 0
    """How many of these had been refused as too many (429)."""
    servers: int = 0
    """How many endpoints answer, as far as is known."""


def clock_time(seconds: float) -> datetime:
    """The local time after this many seconds."""
    return (datetime.now(UTC) + timedelta(seconds=seconds)).astimezone()


def at(moment: datetime) -> str:
    """The time of day, with the date where it is not within half a day."""
    is_near = abs(moment - datetime.now(UTC)) < timedelta(hours=12)
    return f"{moment:%H:%M:%S}" if is_near else f"{moment:%Y-%m-%d %H:%M}"
