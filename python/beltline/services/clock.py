"""The time that timers, crontabs and batches go by: the system's, or one that a test moves by hand."""

from __future__ import annotations

import asyncio
import heapq
import itertools
import time
from typing import Final, Protocol

__all__ = ["Clock", "ManualClock", "SystemClock"]

#: Longest nap on the way to a point of wall-clock time: it may jump, or the machine may be suspended meanwhile.
LONGEST_NAP_S: Final = 30.0

#: Where a manual clock begins: 2001-09-09T01:46:40Z, a round number that is easy to recognise in a failing test.
MANUAL_EPOCH: Final = 1_000_000_000.0


class Clock(Protocol):
    """What runs by time asks this and nothing else for it."""

    def time(self) -> float:
        """Return seconds since the epoch."""

    def monotonic(self) -> float:
        """Return seconds that never jump."""

    async def sleep(self, seconds: float) -> None:
        """Wait so long."""

    async def sleep_until(self, timestamp: float) -> None:
        """Wait until the wall clock shows `timestamp`."""


class SystemClock:
    """The time of this machine."""

    def time(self) -> float:
        """Return seconds since the epoch."""
        return time.time()

    def monotonic(self) -> float:
        """Return seconds that never jump."""
        return time.perf_counter()

    async def sleep(self, seconds: float) -> None:
        """Wait so long."""
        await asyncio.sleep(seconds)

    async def sleep_until(self, timestamp: float) -> None:
        """Wait until the wall clock shows `timestamp`, also when it is set meanwhile."""
        while (left := timestamp - time.time()) > 0:
            await asyncio.sleep(min(left, LONGEST_NAP_S))


class ManualClock:
    """Time that stands still until `step_to` moves it; belongs to one event loop.

    Args:
        start: Seconds since the epoch at the beginning.

    Example:
        >>> clock = ManualClock(start=100.0)
        >>> clock.step_to(107.5)
        >>> clock.time()
        107.5
    """

    def __init__(self, start: float = MANUAL_EPOCH) -> None:
        self._now = start
        self._sleepers: list[tuple[float, int, asyncio.Future[None]]] = []
        self._order = itertools.count()

    def time(self) -> float:
        """Return seconds since the epoch."""
        return self._now

    def monotonic(self) -> float:
        """Return the same seconds; they never jump back."""
        return self._now

    async def sleep(self, seconds: float) -> None:
        """Wait until the clock was moved so far."""
        await self.sleep_until(self._now + seconds)

    async def sleep_until(self, timestamp: float) -> None:
        """Wait until the clock was moved there."""
        if timestamp <= self._now:
            await asyncio.sleep(0)
            return
        future = asyncio.get_running_loop().create_future()
        heapq.heappush(self._sleepers, (timestamp, next(self._order), future))
        await future

    def next_deadline(self) -> float | None:
        """Return the earliest time that somebody waits for."""
        while self._sleepers and self._sleepers[0][2].done():
            heapq.heappop(self._sleepers)
        return self._sleepers[0][0] if self._sleepers else None

    def step_to(self, timestamp: float) -> None:
        """Move the clock forward and wake who waits for a time up to then; they run when the event loop does."""
        self._now = max(self._now, timestamp)
        while (deadline := self.next_deadline()) is not None and deadline <= self._now:
            heapq.heappop(self._sleepers)[2].set_result(None)
