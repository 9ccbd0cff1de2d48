"""The seam at which what is sent is counted and may be stopped."""

from __future__ import annotations

from typing import Protocol

from selfinstruct.types import Completion, Request


class Meter(Protocol):
    """Is asked before each attempt and told what became of it."""

    async def reserve(self, request: Request, attempt: int) -> None:
        """Allow the attempt (from 0 within one call of `complete`), or raise to end the request."""

    def spent(self, request: Request, completion: Completion | None) -> None:
        """Take note of how an attempt ended that was reserved: with its answer, or a `failed` one and what that cost.

        What the server refused has cost nothing. None: the answer was lost, and nobody knows what it cost.
        """
