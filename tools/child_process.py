"""A child process whose output is collected line by line; it ends with whoever started it."""

from __future__ import annotations

import signal
import subprocess
import threading
from collections.abc import Mapping
from pathlib import Path
from typing import Final

from kafka_broker.node import die_with_parent

__all__ = ["PATIENCE_S", "ChildProcess"]

#: A process that has not said something by then, or has not ended, will not.
PATIENCE_S: Final = 90.0

#: So much of the output is shown when something goes wrong.
SHOWN_CHARACTERS: Final = 6000


class ChildProcess:
    """One process; what it prints is kept.

    Args:
        command: What is run.
        directory: Where.
        environment: All of its variables.
        name: What failures call it.
    """

    def __init__(
        self, command: list[str], directory: Path, environment: Mapping[str, str], name: str = "the process"
    ) -> None:
        self.name = name
        self.directory = directory
        self.lines: list[str] = []
        self._changed = threading.Condition()
        self._has_ended = False
        self.process = subprocess.Popen(
            command,
            cwd=directory,
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            errors="replace",
            bufsize=1,
            preexec_fn=die_with_parent,
        )
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    def _read(self) -> None:
        assert self.process.stdout is not None
        for line in self.process.stdout:
            with self._changed:
                self.lines.append(line)
                self._changed.notify_all()
        with self._changed:
            self._has_ended = True
            self._changed.notify_all()

    @property
    def output(self) -> str:
        """Everything printed so far."""
        return "".join(self.lines)

    @property
    def is_running(self) -> bool:
        """Whether the process has not ended."""
        return self.process.poll() is None

    def wait_for(self, text: str, count: int = 1, timeout: float = PATIENCE_S) -> None:
        """Return when `text` has been printed so often."""
        with self._changed:
            self._changed.wait_for(lambda: self.output.count(text) >= count or self._has_ended, timeout)
        how = "and it ended" if self._has_ended else f"for {timeout:g} s"
        assert self.output.count(text) >= count, f"{self.name}: waited for {text!r}, {how}:\n{self._end_of_output()}"

    def give(self, number: signal.Signals) -> None:
        """Send a signal."""
        self.process.send_signal(number)

    def kill(self) -> None:
        """End it as a crash does (SIGKILL)."""
        self.process.kill()
        self.process.wait()

    def pause(self) -> None:
        """Let it hang (SIGSTOP)."""
        self.give(signal.SIGSTOP)

    def resume(self) -> None:
        """Let it go on (SIGCONT)."""
        self.give(signal.SIGCONT)

    def stop(self, number: signal.Signals = signal.SIGTERM) -> int:
        """Send a signal that ends it in order; returns the exit code."""
        self.give(number)
        return self.end()

    def end(self) -> int:
        """Return the exit code of a process that ends by itself."""
        try:
            code = self.process.wait(PATIENCE_S)
        except subprocess.TimeoutExpired:
            raise AssertionError(f"{self.name} does not end:\n{self._end_of_output()}") from None
        self._reader.join(PATIENCE_S)
        return code

    def _end_of_output(self) -> str:
        return self.output[-SHOWN_CHARACTERS:]
