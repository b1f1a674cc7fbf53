"""Turns the belt from an asyncio event loop."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable
from typing import Final

from beltline._native import Belt

__all__ = ["Driver"]

#: The belt is turned at least so often, for what nobody announces: work that streams did since the last turn.
IDLE_TURN_S: Final = 0.05

#: The belt is turned at most so often by its deadlines.
SHORTEST_DELAY_S: Final = 0.0005


class Driver:
    """Calls `Belt.turn` when the belt's descriptor is readable and when a deadline has passed.

    Args:
        belt: A started belt.
        on_fatal: Called once with the error after which the belt cannot be turned any more.
        on_turn: Called after every turn.
    """

    def __init__(
        self, belt: Belt, on_fatal: Callable[[BaseException], None], on_turn: Callable[[], None] = lambda: None
    ) -> None:
        self._belt = belt
        self._on_fatal = on_fatal
        self._on_turn = on_turn
        self._loop = asyncio.get_running_loop()
        self._timer: asyncio.TimerHandle | None = None
        self._waiters: list[asyncio.Future[None]] = []
        self._fileno: int | None = None

    def start(self) -> None:
        """Begin to turn."""
        self._fileno = self._belt.fileno()
        self._loop.add_reader(self._fileno, self.turn)
        self._arm()

    def stop(self) -> None:
        """Turn no more; whoever waits for a turn goes on."""
        if self._fileno is not None and not self._loop.is_closed():
            self._loop.remove_reader(self._fileno)
        self._fileno = None
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        self._wake()

    def turn(self) -> None:
        """Turn the belt once; its errors go to `on_fatal`."""
        try:
            self._belt.turn()
        except Exception as error:
            self.stop()
            self._on_fatal(error)
            return
        self._on_turn()
        self._wake()
        self._arm()

    async def next_turn(self, timeout: float = IDLE_TURN_S) -> None:
        """Return after the next turn, or after `timeout` seconds."""
        if self._fileno is None:
            await asyncio.sleep(timeout)
            return
        waiter = self._loop.create_future()
        self._waiters.append(waiter)
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(timeout):
                await waiter

    def _arm(self) -> None:
        deadline = self._belt.next_deadline()
        delay = IDLE_TURN_S if deadline is None else max(SHORTEST_DELAY_S, min(deadline, IDLE_TURN_S))
        when = self._loop.time() + delay
        if self._timer is not None:
            if self._loop.time() < self._timer.when() <= when:
                return
            self._timer.cancel()
        self._timer = self._loop.call_at(when, self.turn)

    def _wake(self) -> None:
        waiters, self._waiters = self._waiters, []
        for waiter in waiters:
            if not waiter.done():
                waiter.set_result(None)
