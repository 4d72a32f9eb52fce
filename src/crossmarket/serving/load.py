"""How much is being worked on at once, by both listeners together."""

from __future__ import annotations

import asyncio
import random
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from starlette.types import Send

from crossmarket.serving.metrics import Metrics
from crossmarket.serving.problems import Problem
from crossmarket.serving.responses import HEADERS, ProblemResponse
from crossmarket.serving.settings import Limits

_RETRY_SECONDS = 1
#: Short lists that are made in one turn of the event loop.
_STARTS = 4
#: Turns in which one long list is made: as many as a request needs from its bytes to its answer, so
#: that it waits for one long list at most.
_LONG_TURNS = 4


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
        self._turns, self._long_turns = asyncio.Semaphore(_STARTS), asyncio.Semaphore(1)

    @property
    def is_full(self) -> bool:
        """Whether one more request would be too many."""
        return self._in_flight >= self._limits.in_flight

    @asynccontextmanager
    async def admitted(self, length: int = 0) -> AsyncIterator[None]:
        """Count a request in while it is worked on; `length` is that of the list it asks for.

        Raises
        ------
        Problem
            If there are too many already; at once, so that who asks can ask elsewhere.
        """
        if self.is_full:  # the gate saw room, but a body took long to come
            raise overloaded()
        self._in_flight += 1
        self._metrics.in_flight.inc()
        try:
            # All that came in at the same moment is counted before any of it is worked on.
            await asyncio.sleep(0)
            await self.turn(length)
            yield
        finally:
            self._in_flight -= 1
            self._metrics.in_flight.dec()

    async def turn(self, length: int) -> None:
        """Wait for the turn of the event loop in which a list of some length may be made.

        Few are made in one, so that others are read, or refused, meanwhile; of long ones, which
        wait in a line of their own, one in several.
        """
        long = length > self._limits.short_list
        turns = self._long_turns if long else self._turns
        await turns.acquire()
        _release(turns, _LONG_TURNS if long else 1)

    async def turn_away(self, send: Send) -> None:
        """Refuse a request at once and, for a while, read no other from its connection.

        A client that asks again at once, whatever it was told, would take its time from those who
        are answered.
        """
        headers = [*_REFUSAL.raw_headers, *HEADERS]
        await send({"type": "http.response.start", "status": 503, "headers": headers})
        # Its length was told, so the client has all of it; to the server it ends later.
        await send({"type": "http.response.body", "body": _REFUSAL.body, "more_body": True})
        # Not all of them for equally long: they would come back in one crowd.
        await asyncio.sleep(_RETRY_SECONDS * random.uniform(1, 2))
        await send({"type": "http.response.body", "body": b""})

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


def _release(turns: asyncio.Semaphore, after: int) -> None:
    """Let the next one in after some turns of the event loop."""
    if after:
        asyncio.get_running_loop().call_soon(_release, turns, after - 1)
    else:
        turns.release()


def overloaded() -> Problem:
    """The problem of a request that comes at a bad moment."""
    headers = {"Retry-After": str(_RETRY_SECONDS)}
    return Problem("overloaded", "Too much to do; try again.", headers=headers)


_REFUSAL = ProblemResponse(overloaded())
