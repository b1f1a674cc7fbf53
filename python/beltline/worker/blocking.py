"""Reports handlers that keep the event loop: nothing else runs meanwhile, so a thread has to look."""

from __future__ import annotations

import asyncio
import logging
import sys
import threading
import time
import traceback
from typing import Final

__all__ = ["BlockingWatch"]

logger = logging.getLogger(__name__)

#: The loop shows that it is alive so many times during the timeout.
BEATS: Final = 4

#: Least seconds between two of these signs.
SHORTEST_BEAT_S: Final = 0.005


class BlockingWatch:
    """Logs where the event loop's thread is when nothing else has run for `timeout_s`; once for each such stall.

    Args:
        timeout_s: Seconds that a handler may keep the loop.
    """

    def __init__(self, timeout_s: float) -> None:
        self.timeout_s = timeout_s
        self._beat_s = max(timeout_s / BEATS, SHORTEST_BEAT_S)
        self._loop = asyncio.get_running_loop()
        self._thread_id = threading.get_ident()
        self._last = time.monotonic()
        self._stop = threading.Event()
        self._timer: asyncio.TimerHandle | None = None
        self._thread = threading.Thread(target=self._watch, name="beltline-blocking", daemon=True)

    def start(self) -> None:
        """Begin to watch the running event loop."""
        self._beat()
        self._thread.start()

    def stop(self) -> None:
        """Watch no more."""
        self._stop.set()
        if self._timer is not None:
            self._timer.cancel()

    def _beat(self) -> None:
        self._last = time.monotonic()
        self._timer = self._loop.call_later(self._beat_s, self._beat)

    def _watch(self) -> None:
        reported = 0.0
        while not self._stop.wait(self._beat_s):
            last = self._last
            if last == reported or time.monotonic() - last < self.timeout_s + self._beat_s:
                continue
            reported = last
            frame = sys._current_frames().get(self._thread_id)
            stack = "".join(traceback.format_stack(frame)) if frame is not None else ""
            logger.error("blocked for more than %g s; nothing else runs meanwhile:\n%s", self.timeout_s, stack)
