"""Worker processes as a user starts them: an app of `apps/`, a broker, a data directory of its own."""

from __future__ import annotations

import contextlib
import inspect
import os
import signal
import subprocess
import sys
import threading
from pathlib import Path
from types import TracebackType
from typing import Any, Final, Self

from kafka_broker.node import die_with_parent

#: The programs; others can stand in for them, to try the tests themselves.
APPS: Final = Path(os.environ.get("BELTLINE_TEST_APPS") or Path(__file__).resolve().parent / "apps")

#: A worker that has not said something by then will not.
PATIENCE_S: Final = 90.0

#: What every app prints when its tasks begin: it has its partitions and their tables.
READY: Final = "the app runs"


def missing_engine() -> str | None:
    """Return why worker processes cannot run on Kafka with this build; None when they can."""
    if "BELTLINE_TEST_APPS" in os.environ:
        return None
    from beltline._native import Belt

    return None if "kafka" in inspect.signature(Belt.open).parameters else "beltline was built without Kafka"


class Worker:
    """One process; what it prints is kept."""

    def __init__(self, command: list[str], directory: Path, environment: dict[str, str], name: str) -> None:
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
        assert self.output.count(text) >= count, f"{self.name}: waited for {text!r}, but got:\n{self.output[-6000:]}"

    def wait_ready(self) -> Self:
        """Return when it works."""
        self.wait_for(READY)
        return self

    def kill(self) -> None:
        """End it as a crash does (SIGKILL)."""
        self.process.kill()
        self.process.wait()

    def pause(self) -> None:
        """Let it hang (SIGSTOP)."""
        self.process.send_signal(signal.SIGSTOP)

    def resume(self) -> None:
        """Let it go on (SIGCONT)."""
        self.process.send_signal(signal.SIGCONT)

    def stop(self) -> int:
        """End it in order (SIGTERM); returns the exit code."""
        self.process.send_signal(signal.SIGTERM)
        return self.end()

    def end(self) -> int:
        """Return the exit code of a process that ends by itself."""
        try:
            code = self.process.wait(PATIENCE_S)
        except subprocess.TimeoutExpired:
            raise AssertionError(f"{self.name} does not end:\n{self.output[-6000:]}") from None
        self._reader.join(PATIENCE_S)
        return code


class Workers:
    """Starts worker processes, and ends what still runs.

    Args:
        broker: The URL that the apps take from ``BROKER_URL``.
        directory: Data directories go there.
    """

    def __init__(self, broker: str, directory: Path) -> None:
        self.broker = broker
        self.directory = directory
        self.started: list[Worker] = []

    def start(self, app: str, name: str = "worker", *, python: str = sys.executable, **variables: Any) -> Worker:
        """Start the worker of an app, without waiting for it.

        Args:
            app: Name of a program in `apps/`.
            name: Of the worker: two with one name share a data directory, one after the other.
            python: Interpreter, of a virtual environment with Faust for instance.
            variables: Of the environment, such as ``APP_ID="counts-1"``; what apps and settings look at.
        """
        return self.run(app, "worker", *self._options(python), name=name, python=python, **variables)

    def run(
        self, app: str, *arguments: str, name: str = "worker", python: str = sys.executable, **variables: Any
    ) -> Worker:
        """Start a command of an app, as ``python apps/counts.py table counts --json``."""
        folder = self.directory / name
        folder.mkdir(parents=True, exist_ok=True)
        kept = {key: text for key, text in os.environ.items() if not key.startswith(("BELTLINE_", "FAUST_", "F_"))}
        environment = {
            **kept,
            "PYTHONUNBUFFERED": "1",
            "COLUMNS": "200",
            "BROKER_URL": self.broker,
            "APP_DATADIR": str(folder / "data"),
            "BELTLINE_SHUTDOWN_DEADLINE": "20",
            **{key: str(value) for key, value in variables.items()},
        }
        program = str(APPS / f"{app}.py")
        worker = Worker([python, program, *arguments], folder, environment, f"{app}/{name}")
        self.started.append(worker)
        return worker

    def _options(self, python: str) -> list[str]:
        # Faust's worker opens a web port unless it is told not to; beltline takes the option and has none.
        return ["-l", "info", "--without-web"] if python != sys.executable else ["-l", "info"]

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for worker in self.started:
            with contextlib.suppress(ProcessLookupError):
                worker.process.kill()
            worker.process.wait()
