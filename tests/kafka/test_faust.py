"""A group that ran on Faust goes on with beltline, and back: same group, topics, bytes and positions."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from checker import check_sequences, check_totals, last_values, word_totals
from kafka_broker.jars import locked
from kafka_clients import Clients, until
from test_words import changelog, create, some_lines, wait_until_done, write
from workers import Worker, Workers, missing_engine

Names = Callable[[str], str]

ROOT = Path(__file__).resolve().parents[2]
PEERS = ROOT / ".venv-peers"


@pytest.fixture(scope="session")
def faust_python() -> str:
    """Return the interpreter of an environment with faust-streaming, made the first time, as `make bench` does."""
    python = PEERS / "bin" / "python"
    with locked(ROOT / ".cache" / "peers.lock"):
        probe = (
            subprocess.run([python, "-c", "import faust"], check=False, capture_output=True)
            if python.exists()
            else None
        )
        if probe is None or probe.returncode:
            subprocess.run([sys.executable, "-m", "venv", PEERS], check=True)
            subprocess.run([python, "-m", "pip", "install", "--quiet", "faust-streaming", "bytewax"], check=True)
    return str(python)


class Phases:
    """One group whose program runs now on the one library and now on the other."""

    def __init__(self, workers: Workers, kafka: Clients, app: str, faust_python: str) -> None:
        self.workers = workers
        self.kafka = kafka
        self.app = app
        self.faust_python = faust_python
        self.guarantee = "at_least_once"
        self.lines: list[str] = []

    def start(self, library: str) -> Worker:
        """Start a worker."""
        python = self.faust_python if library == "faust" else sys.executable
        # Faust's own session: it cannot leave quicker than its broker lets it.
        options: dict[str, object] = {"APP_ID": self.app, "BROKER_SESSION_TIMEOUT": 6, "BROKER_HEARTBEAT_INTERVAL": 1}
        options["PROCESSING_GUARANTEE"] = self.guarantee
        return self.workers.start("words", library, python=python, **options).wait_ready()

    def work(self, library: str, lines: list[str]) -> None:
        """Have some lines counted."""
        create(self.kafka, self.app)
        worker = self.start(library)
        write(self.kafka, self.app, lines)
        self.lines += lines
        wait_until_done(self.kafka, self.app, word_totals(self.lines))
        for topic in ("lines", "words"):
            until(lambda topic=topic: self.kafka.lag(self.app, f"{self.app}-{topic}") == 0, f"{topic} to be committed")
        code = worker.stop()
        assert code == 0, worker.output[-6000:]

    def check(self) -> None:
        """Find no gap and no double."""
        expected = word_totals(self.lines)
        check_totals(last_values(self.kafka.read(changelog(self.app))), expected)
        records = self.kafka.read(f"{self.app}-counted")
        counted = [(record.key.decode(), int(record.value)) for record in records if record.key and record.value]
        check_sequences(counted, expected, exactly_once=True)


def test_faust_alone(broker: object, tmp_path: Path, kafka: Clients, names: Names, faust_python: str) -> None:
    """The reference itself: what the other test compares with is what Faust does."""
    with Workers(f"kafka://{kafka.options['bootstrap.servers']}", tmp_path) as workers:
        phases = Phases(workers, kafka, names("app"), faust_python)
        phases.work("faust", some_lines(60, seed=1))
        phases.work("faust", some_lines(60, seed=2))
        phases.check()


def test_faust_before_beltline_after_and_back(
    workers: Workers, kafka: Clients, names: Names, faust_python: str
) -> None:
    phases = Phases(workers, kafka, names("app"), faust_python)
    for turn, library in enumerate(["faust", "beltline", "faust", "beltline"]):
        phases.work(library, some_lines(60, seed=turn))
    phases.check()


def test_the_way_back_from_exactly_once_leads_over_at_least_once(
    workers: Workers, kafka: Clients, names: Names, faust_python: str
) -> None:
    """Faust waits for ever where a changelog ends with the marker of a transaction, so it must end with a record."""
    phases = Phases(workers, kafka, names("app"), faust_python)
    phases.work("faust", some_lines(60, seed=0))
    for turn, guarantee in enumerate(["exactly_once", "at_least_once"], start=1):
        phases.guarantee = guarantee
        phases.work("beltline", some_lines(60, seed=turn))
    phases.work("faust", some_lines(60, seed=3))
    phases.check()


@pytest.mark.parametrize("first", ["faust", "beltline"])
def test_a_mixed_start_is_refused_in_words(
    workers: Workers, kafka: Clients, names: Names, faust_python: str, first: str
) -> None:
    phases = Phases(workers, kafka, names("app"), faust_python)
    write(kafka, phases.app, ["the belt"])
    running = phases.start(first)
    if first == "faust":
        second = workers.start("words", "second", APP_ID=phases.app)
        assert second.end() != 0
        assert "all beltline or all Faust" in second.output
        assert "Traceback" not in second.output
    else:
        # What Faust says is Faust's business; the running group must not suffer.
        second = workers.start("words", "second", python=faust_python, APP_ID=phases.app)
        wait_until_done(kafka, phases.app, {"the": 1, "belt": 1})
        second.kill()
    assert running.is_running


def test_the_reason_for_leaving_tests_out_is_said() -> None:
    reason = missing_engine()
    assert reason is None or "Kafka" in reason
