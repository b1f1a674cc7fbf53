"""What tests of several packages share: a project on disk, and the command line as a child process."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import textwrap
from collections.abc import Iterator
from pathlib import Path

import hypothesis
import pytest

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "tools"))

from child_process import PATIENCE_S, ChildProcess

# How long an example takes says something about the machine, not about the code.
hypothesis.settings.register_profile("beltline", deadline=None)
hypothesis.settings.load_profile("beltline")

#: The program of the first page, with what the tests want to see.
SHOP = '''
import beltline as bl

app = bl.App("shop", topic_partitions=4)


class Order(bl.Record):
    """What somebody bought."""

    customer: str
    amount: float


orders = app.topic("orders", value_type=Order)
spent = app.Table("spent", default=float, help="Money by customer.")


@app.on(orders, by=Order.customer)
def tally(order):
    """Add up what customers spend."""
    spent[order.customer] += order.amount


@app.on(orders, to="big-orders")
def big(order):
    return order if order.amount > 1000 else None


@app.agent(app.topic("words", value_type=str))
async def listen(words):
    """Print every word."""
    async for word in words:
        print("heard", word, flush=True)


if __name__ == "__main__":
    app.main()
'''


class Child(ChildProcess):
    """A ``beltline`` process, which a user ends with Ctrl-C."""

    def stop(self, number: signal.Signals = signal.SIGINT) -> int:
        """Send a signal and return the exit code."""
        return super().stop(number)


class Project:
    """A directory with a program in it, and the command line run there."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.children: list[Child] = []
        kept = {name: value for name, value in os.environ.items() if not name.startswith(("BELTLINE_", "FAUST_", "F_"))}
        self.environment = {**kept, "PYTHONUNBUFFERED": "1", "COLUMNS": "200"}
        self.write("shop.py", SHOP)

    def write(self, name: str, text: str) -> Path:
        """Write a file of the project."""
        path = self.directory / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(textwrap.dedent(text), encoding="utf-8")
        return path

    def arguments(self, *arguments: str, app: str | None = "shop") -> list[str]:
        """Return the command line."""
        return [sys.executable, "-m", "beltline", *(("-A", app) if app else ()), *arguments]

    def run(self, *arguments: str, app: str | None = "shop") -> subprocess.CompletedProcess[str]:
        """Run a command to its end."""
        return self.run_python(*self.arguments(*arguments, app=app)[1:])

    def run_python(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        """Run Python to its end."""
        return subprocess.run(
            [sys.executable, *arguments],
            cwd=self.directory,
            env=self.environment,
            capture_output=True,
            text=True,
            timeout=PATIENCE_S,
            check=False,
        )

    def start(self, *arguments: str, app: str | None = "shop") -> Child:
        """Start a command."""
        return self.start_python(*self.arguments(*arguments, app=app)[1:])

    def start_python(self, *arguments: str) -> Child:
        """Start Python."""
        child = Child([sys.executable, *arguments], self.directory, self.environment)
        self.children.append(child)
        return child

    def close(self) -> None:
        """End what still runs."""
        for child in self.children:
            if child.process.poll() is None:
                child.process.kill()
                child.process.wait(PATIENCE_S)


@pytest.fixture
def project(tmp_path: Path) -> Iterator[Project]:
    """Return a project with the program of the first page as ``shop.py``."""
    made = Project(tmp_path)
    yield made
    made.close()
