"""Ends the process in time, whatever keeps it: signals are noticed and the deadline is watched by a thread of its own.

A handler that blocks (``time.sleep``, a database driver) keeps the event loop, so nothing that runs in the loop could
notice Ctrl-C, let alone a deadline. The interpreter's own signal handler writes every signal's number to a socket at
once, whatever Python code is doing; the thread reads it there. A handler in C code that keeps the interpreter lock
stops this thread too: behind it stands a native one, which needs no interpreter and ends the process a little later.
"""

from __future__ import annotations

import contextlib
import os
import select
import signal
import sys
import threading
import time
import traceback
from collections.abc import Callable
from types import FrameType, TracebackType
from typing import Final, Self

from beltline._native import LastResort

__all__ = ["ShutdownGuard"]

#: Signals that ask for an end.
STOP_SIGNALS: Final = (signal.SIGINT, signal.SIGTERM)

#: Exit code after the second Ctrl-C: what shells report for a process that SIGINT ended.
QUIT_CODE: Final = 128 + signal.SIGINT

#: Share of the deadline after which the process is ended, so that the end itself still fits.
PATIENCE: Final = 0.93

#: Share of the deadline after which it is ended without any Python code.
LAST_PATIENCE: Final = 0.98

#: What is buffered for the terminal may take so long to get out.
FLUSH_S: Final = 0.2

#: Tells the thread that a stop began without a signal.
BEGUN: Final = 255


class ShutdownGuard:
    """Watches for signals and for the deadline that the first of them sets.

    Args:
        deadline_s: Seconds from the first signal to the end of the process.
        on_stop: Called once, in the guard's thread, when the process shall stop.

    Attributes:
        exit_code: What the process ends with when the deadline passes.
        reason: What asked for the stop, in words; empty before that.
    """

    def __init__(self, deadline_s: float, on_stop: Callable[[], None]) -> None:
        self.deadline_s = deadline_s
        self.on_stop = on_stop
        self.exit_code = 0
        self.reason = ""
        self._last_resort = LastResort(deadline_s * LAST_PATIENCE)
        self._previous: dict[signal.Signals, object] = {}
        self._previous_fd = -1
        self._main = threading.main_thread()
        self._thread = threading.Thread(target=self._watch, name="beltline-shutdown", daemon=True)
        self._is_closed = False

    @property
    def is_stopping(self) -> bool:
        """Whether somebody asked for the end."""
        return bool(self.reason)

    def __enter__(self) -> Self:
        self._previous_fd = signal.set_wakeup_fd(self._last_resort.signal_fd(), warn_on_full_buffer=False)
        for number in STOP_SIGNALS:
            self._previous[number] = signal.signal(number, self._in_main_thread)
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Give the signals back, unless a deadline still has to be kept, see `disarm`."""
        if not self.is_stopping:
            self.disarm()

    def disarm(self) -> None:
        """End the watch: nothing is left that could keep the process."""
        if self._is_closed:
            return
        self._is_closed = True
        signal.set_wakeup_fd(self._previous_fd)
        for number, handler in self._previous.items():
            signal.signal(number, handler)  # type: ignore[arg-type]
        self._last_resort.send(BEGUN)
        self._thread.join()
        self._last_resort.disarm()

    def begin(self, reason: str, exit_code: int = 0) -> None:
        """Let the deadline begin without a signal, because of an error."""
        self.exit_code = exit_code
        self._last_resort.set_exit_code(exit_code)
        if not self.is_stopping:
            self.reason = reason
            self._last_resort.send(BEGUN)

    def _in_main_thread(self, number: int, _frame: FrameType | None) -> None:
        """Pass the signal on when other code took the wake-up descriptor away."""
        current = signal.set_wakeup_fd(-1)
        signal.set_wakeup_fd(current, warn_on_full_buffer=False)
        if current != self._last_resort.signal_fd():
            self._last_resort.send(number)

    def _watch(self) -> None:
        deadline: float | None = None
        while True:
            left = None if deadline is None else deadline - time.monotonic()
            if left is not None and left <= 0:
                self._give_up()
            ready, _, _ = select.select([self._last_resort], [], [], left)
            for number in os.read(self._last_resort.fileno(), 64) if ready else b"":
                if self._is_closed:
                    return
                if number not in (*STOP_SIGNALS, BEGUN):
                    continue
                if deadline is None:
                    deadline = time.monotonic() + self.deadline_s * PATIENCE
                    self.reason = self.reason or signal.Signals(number).name
                    self.on_stop()
                elif number == signal.SIGINT:
                    leave(QUIT_CODE, "Stopped at once. Events in flight come again at the next start.")

    def _give_up(self) -> None:
        self._last_resort.grant(2 * FLUSH_S)
        frame = sys._current_frames().get(self._main.ident or 0)
        stack = "".join(traceback.format_stack(frame)) if frame is not None else "  (no stack)\n"
        leave(
            self.exit_code,
            f"Still busy {self.deadline_s:g} s after {self.reason}, so the process ends now. What was not committed is "
            f"given back and comes again at the next start. The main thread is here:\n{stack}",
        )


def leave(code: int, message: str) -> None:
    """End the process without waiting for anything.

    The log and the tables are made for this: to them it is the same as a crash.
    """
    with contextlib.suppress(OSError):
        os.write(2, f"\n{message}\n".encode("utf-8", "replace"))
    try:
        flusher = threading.Thread(target=flush, daemon=True)
        flusher.start()
        flusher.join(FLUSH_S)
    except RuntimeError:
        # The interpreter is on its way out and starts no threads any more; it has flushed already.
        pass
    finally:
        os._exit(code)


def flush() -> None:
    """Write out what is buffered; may block for ever on a reader that does not read."""
    for stream in (sys.stdout, sys.stderr):
        with contextlib.suppress(Exception):
            stream.flush()
