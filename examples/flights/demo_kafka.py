"""The flights on Apache Kafka: the same app, a broker that is started here, three workers, one of them killed midway.

    $ make demo-kafka

The app is not changed for it: the workers find the broker in `BROKER_URL`, which is the setting `broker`. In the end
another client reads the tables' changelogs and compares them with a plain loop over the data.
"""

from __future__ import annotations

import asyncio
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "tools"))

import data
import reference
from app import LONG_DELAY_MINUTES, Aircraft, CarrierDelays, app, flights
from demo import CACHE, departure, flight_of
from kafka_broker import Cluster
from kafka_clients import Clients
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn

HERE = Path(__file__).resolve().parent

WORKERS = 3
LOOK_S = 0.2

#: One worker is killed when so much is worked off.
KILL_AT = 0.4

#: The whole takes a minute or two; what takes so long hangs.
PATIENCE_S = 900

#: So often in a row nothing may be left to do: what is worked off may have put work on another topic.
CALM_LOOKS = 3

READY = "ready; Ctrl-C stops it"
console = Console()


class Worker:
    """One worker process with a data directory of its own."""

    def __init__(self, number: int, folder: Path) -> None:
        self.number = number
        self.log = folder / f"worker-{number}.log"
        environment = {**os.environ, "FLIGHTS_DATADIR": str(folder / f"data-{number}")}
        with self.log.open("wb") as log:
            self.process = subprocess.Popen(
                [sys.executable, "-u", "-m", "beltline", "-A", "app", "worker"],
                cwd=HERE,
                env=environment,
                stdout=log,
                stderr=subprocess.STDOUT,
            )

    def wait_ready(self) -> None:
        """Return when it works."""
        deadline = time.monotonic() + PATIENCE_S
        while READY not in self.log.read_text(errors="replace"):
            self.check()
            if time.monotonic() > deadline:
                raise SystemExit(f"worker {self.number} does not get ready:\n{self.log.read_text(errors='replace')}")
            time.sleep(LOOK_S)

    def check(self) -> None:
        """Stop the demo when the worker has ended by itself."""
        if self.process.poll() is not None:
            raise SystemExit(f"worker {self.number} ended by itself:\n{self.log.read_text(errors='replace')[-3000:]}")

    def stop(self) -> None:
        """End it in order."""
        self.process.terminate()
        if self.process.wait(PATIENCE_S):
            raise SystemExit(f"worker {self.number} failed:\n{self.log.read_text(errors='replace')[-3000:]}")


@contextmanager
def workers(folder: Path) -> Iterator[list[Worker]]:
    """Start the workers, and leave none behind."""
    started = [Worker(number, folder) for number in range(1, WORKERS + 1)]
    try:
        yield started
    finally:
        for worker in started:
            if worker.process.poll() is None:
                worker.process.kill()
            worker.process.wait()


async def load(rows: list[dict[str, str]]) -> None:
    """Send every flight, as a program that only sends."""
    await app.start_client()
    try:
        for row in rows:
            await flights.send(key=None, value=flight_of(row), timestamp=departure(row))
    finally:
        await app.stop()


def watch(kafka: Clients, running: list[Worker], total: int) -> None:
    """Draw a bar until all is worked off; kill one of the workers on the way."""
    deadline, calm, victim = time.monotonic() + PATIENCE_S, 0, running[0]
    columns = [TextColumn("flights"), BarColumn(None), MofNCompleteColumn()]
    with Progress(*columns, console=console, transient=True) as progress:
        task = progress.add_task("flights", total=total)
        while calm < CALM_LOOKS:
            for worker in running:
                worker.check()
            lag = kafka.group_lag(app.conf.id)
            done = sum(kafka.committed(app.conf.id, "flights").values())
            progress.update(task, completed=min(done, total))
            if victim in running and done >= total * KILL_AT:
                victim.process.kill()
                running.remove(victim)
                console.print(f"worker {victim.number} was killed after {done:,} flights; the others take over")
            calm = calm + 1 if victim not in running and lag and not any(lag.values()) else 0
            if time.monotonic() > deadline:
                raise SystemExit(f"not through after {PATIENCE_S} s; still to do, by topic: {lag}")
            time.sleep(LOOK_S)


def table(kafka: Clients, name: str, fields: list[str] | None = None) -> dict[str, Any]:
    """Return a table as its changelog says it."""
    found: dict[str, Any] = {}
    for record in kafka.read(f"{app.conf.id}-{name}-changelog"):
        key = json.loads(record.key or b"null")
        if record.value is None:
            found.pop(key, None)
            continue
        value = json.loads(record.value)
        found[key] = value if fields is None else [value[field] for field in fields]
    return found


def differences(kafka: Clients, rows: list[dict[str, str]]) -> list[str]:
    """Compare what is on the broker with a plain loop over the same flights."""
    expected = reference.totals(map(flight_of, rows), LONG_DELAY_MINUTES)
    found = {
        "carriers": table(kafka, "carriers", list(CarrierDelays.__annotations__)),
        "routes": table(kafka, "routes"),
        "aircraft": table(kafka, "aircraft", list(Aircraft.__annotations__)),
        "long-delays": {"": [json.loads(record.value or b"{}")["number"] for record in kafka.read("long-delays")]},
    }
    console.print(", ".join(f"{len(found[name]):,} {name}" for name in ("carriers", "routes", "aircraft")), end=", ")
    console.print(f"{len(found['long-delays']['']):,} long delays")
    return [name for name in expected if found[name] != expected[name]]


def main() -> int:
    """Run the demo; returns the exit code."""
    rows = list(data.flights(CACHE))
    with Cluster() as cluster, tempfile.TemporaryDirectory(prefix="beltline-flights-") as folder:
        os.environ["BROKER_URL"] = cluster.description.url
        # The app of this process, which only sends, was made before there was a broker.
        app.conf.broker = cluster.description.url
        app.conf.datadir = Path(folder) / "data-loader"
        kafka = Clients(cluster.description.bootstrap)
        console.print(f"Apache Kafka answers at {cluster.description.bootstrap}")
        with workers(Path(folder)) as running:
            for worker in running:
                worker.wait_ready()
            console.print(f"{WORKERS} workers are ready")
            began = time.perf_counter()
            # Sent while the workers work: one of them is killed in the middle of it.
            with ThreadPoolExecutor(1) as pool:
                loading = pool.submit(asyncio.run, load(rows))
                watch(kafka, running, len(rows))
                loading.result()
            seconds = time.perf_counter() - began
            for worker in running:
                worker.stop()
        console.print(f"{len(rows):,} flights in {seconds:.1f} s, through seven steps each")
        wrong = differences(kafka, rows)
    if wrong:
        console.print(f"[red]{', '.join(wrong)}: not what a plain loop over the data says[/red]")
        return 1
    console.print("the totals equal those of a plain loop over the data")
    return 0


if __name__ == "__main__":
    sys.exit(main())
