"""How much is being worked on at once, by both listeners together."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from crossmarket.serving.metrics import Metrics
from crossmarket.serving.problems import Problem
from crossmarket.serving.settings import Limits


class Load:
    """Requests being worked on and bytes of bodies being read, each with a bound.

    Parameters
    ----------
    limits : Limits
        The bounds.
    metrics : Metrics
        Where it is shown.
    """

    def __init__(self, limits: Limits, metrics: Metrics) -> None:
        self._limits, self._metrics = limits, metrics
        self._in_flight = 0
        self._bytes = 0

    @asynccontextmanager
    async def admitted(self) -> AsyncIterator[None]:
        """Count a request in while it is worked on.

        Raises
        ------
        Problem
            If there are too many already; at once, so that who asks can ask elsewhere.
        """
        if self._in_flight >= self._limits.in_flight:
            raise overloaded()
        self._in_flight += 1
        self._metrics.in_flight.inc()
        try:
            # All that came in at the same moment is counted before any of it is worked on.
            await asyncio.sleep(0)
            yield
        finally:
            self._in_flight -= 1
            self._metrics.in_flight.dec()

    def take(self, count: int) -> None:
        """Count bytes of a body in; slow clients hold few of them.

        Raises
        ------
        Problem
            If there are too many of all requests together; they count until `free`.
        """
        self._bytes += count
        if self._bytes > self._limits.all_bodies_bytes:
            raise overloaded()

    def free(self, count: int) -> None:
        """Count bytes out."""
        self._bytes -= count


def overloaded() -> Problem:
    """The problem of a request that comes at a bad moment."""
    return Problem("overloaded", "Too much to do; try again.", headers={"Retry-After": "1"})
