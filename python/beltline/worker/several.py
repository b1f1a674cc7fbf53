"""Several worker processes of one app on one machine, under one parent that names what each of them says."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Sequence
from types import FrameType
from typing import Final

__all__ = ["Several", "command_of_one", "end_with_parent"]

#: A child that ran so long before it died has worked; its deaths before that are counted.
SETTLED_S: Final = 10.0

#: So many deaths in a row without having worked end the whole.
MAX_EARLY_DEATHS: Final = 3

#: Pause before a child is started again.
PAUSE_S: Final = 1.0

#: A child that has not ended so long after its shutdown deadline is killed.
GRACE_S: Final = 5.0


def command_of_one(arguments: Sequence[str], number: int) -> list[str]:
    """Return the command line of one child, made of that of the parent.

    Args:
        arguments: The parent's, without the interpreter.
        number: Which child it is, from 0 up.

    Example:
        >>> command_of_one(["-m", "beltline", "-A", "shop", "worker", "--workers", "4", "-l", "info"], 2)[1:]
        ['-m', 'beltline', '-A', 'shop', 'worker', '-l', 'info', '--worker-number', '2']
    """
    kept: list[str] = []
    skips_next = False
    for argument in arguments:
        if skips_next:
            skips_next = False
        elif argument == "--workers":
            skips_next = True
        elif not argument.startswith("--workers="):
            kept.append(argument)
    return [sys.executable, *kept, "--worker-number", str(number)]


def end_with_parent() -> None:
    """Have this process stop in order when the parent that holds the other end of its standard input is gone."""

    def watch() -> None:
        # Nothing is ever written there, so this returns when the parent has ended, in whatever way.
        while os.read(0, 1):
            pass
        os.kill(os.getpid(), signal.SIGTERM)

    threading.Thread(target=watch, name="beltline-parent", daemon=True).start()


class Several:
    """Runs children until Ctrl-C, SIGTERM, or until they have all ended.

    A child that dies is named with its exit code and started again; one that dies three times in a row within ten
    seconds of its start ends the whole, because the next start would not go better. One that ends by itself with code
    0 stays ended.

    Args:
        commands: One command line per child.
        deadline_s: Seconds that a child may take to stop, its setting ``shutdown_deadline``.
    """

    def __init__(self, commands: Sequence[Sequence[str]], deadline_s: float) -> None:
        self.commands = commands
        self.deadline_s = deadline_s
        self._stopping = threading.Event()
        self._printing = threading.Lock()
        self._children: dict[int, subprocess.Popen[str]] = {}
        self._changed = threading.Lock()
        self._signals = 0
        self._failed = False

    def run(self) -> int:
        """Run them all; returns 0 after a stop that was asked for, 1 when the children could not be kept running."""
        for number in (signal.SIGINT, signal.SIGTERM):
            signal.signal(number, self._on_signal)
        keepers = [threading.Thread(target=self._keep, args=(number,)) for number in range(len(self.commands))]
        for keeper in keepers:
            keeper.start()
        for keeper in keepers:
            while keeper.is_alive():
                # With a time-out, so that signals are heard meanwhile.
                keeper.join(0.2)
        return 1 if self._failed else 0

    def _on_signal(self, _number: int, _frame: FrameType | None) -> None:
        self._signals += 1
        # Not from within the handler: it may interrupt whoever holds the lock that stopping takes.
        threading.Thread(target=self._stop, args=(self._signals > 1,)).start()

    def _stop(self, at_once: bool) -> None:
        with self._changed:
            self._stopping.set()
            for child in self._children.values():
                child.send_signal(signal.SIGKILL if at_once else signal.SIGTERM)

    def _say(self, number: int, text: str) -> None:
        with self._printing:
            sys.stdout.write(f"worker-{number} | {text.rstrip()}\n")
            sys.stdout.flush()

    def _keep(self, number: int) -> None:
        early_deaths = 0
        while not self._stopping.is_set():
            began = time.monotonic()
            code = self._run_once(number)
            if self._stopping.is_set():
                self._failed |= code not in (0, -signal.SIGTERM)
                self._say(number, f"ended with exit code {code}")
                return
            if code == 0:
                self._say(number, "ended by itself with exit code 0")
                return
            early_deaths = early_deaths + 1 if time.monotonic() - began < SETTLED_S else 0
            reason = f"died: {code_text(code)}"
            if early_deaths >= MAX_EARLY_DEATHS:
                self._say(number, f"{reason}, {early_deaths} times in a row; all workers stop")
                self._failed = True
                self._stop(at_once=False)
                return
            self._say(number, f"{reason}; it is started again")
            self._stopping.wait(PAUSE_S)

    def _run_once(self, number: int) -> int:
        with self._changed:
            if self._stopping.is_set():
                return 0
            child = subprocess.Popen(
                self.commands[number],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                text=True,
                errors="replace",
                env={**os.environ, "PYTHONUNBUFFERED": "1"},
                # Ctrl-C reaches the parent alone, which passes it on once: a second one means "at once" to a worker.
                start_new_session=True,
            )
            self._children[number] = child
        self._say(number, f"started as process {child.pid}")
        assert child.stdout is not None
        reaper = threading.Thread(target=self._reap, args=(child,), daemon=True)
        reaper.start()
        for line in child.stdout:
            self._say(number, line)
        code = child.wait()
        with self._changed:
            del self._children[number]
        return code

    def _reap(self, child: subprocess.Popen[str]) -> None:
        """Kill a child that does not end in its time."""
        self._stopping.wait()
        try:
            child.wait(self.deadline_s + GRACE_S)
        except subprocess.TimeoutExpired:
            child.kill()


def code_text(code: int) -> str:
    """Return an exit code in words.

    Example:
        >>> code_text(1), code_text(-9)
        ('exit code 1', 'killed by SIGKILL')
    """
    if code >= 0:
        return f"exit code {code}"
    try:
        return f"killed by {signal.Signals(-code).name}"
    except ValueError:
        return f"killed by signal {-code}"
