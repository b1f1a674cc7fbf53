"""Worker processes as a user starts them: an app of `apps/`, a broker, a data directory of its own."""

from __future__ import annotations

import contextlib
import inspect
import os
import sys
from pathlib import Path
from types import TracebackType
from typing import Any, Final, Self

from child_process import ChildProcess

#: The programs; others can stand in for them, to try the tests themselves.
APPS: Final = Path(os.environ.get("BELTLINE_TEST_APPS") or Path(__file__).resolve().parent / "apps")

#: What every app prints when its tasks begin: it has its partitions and their tables.
READY: Final = "the app runs"


def missing_engine() -> str | None:
    """Return why worker processes cannot run on Kafka with this build; None when they can."""
    if "BELTLINE_TEST_APPS" in os.environ:
        return None
    from beltline._native import Belt

    return None if "kafka" in inspect.signature(Belt.open).parameters else "beltline was built without Kafka"


class Worker(ChildProcess):
    """The process of an app."""

    def wait_ready(self) -> Self:
        """Return when it works."""
        self.wait_for(READY)
        return self


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
