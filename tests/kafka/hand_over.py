"""Measures hand-overs: how long partitions stand still when a worker is killed, leaves or joins.

``python tests/kafka/hand_over.py`` starts a broker and prints, for each deed, the longest time between two outputs of
one key as a reader of committed records sees them: of keys whose partition went to another worker, and of those that
stayed. No test asserts these figures.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
import threading
import time
from collections import defaultdict
from itertools import pairwise
from pathlib import Path
from uuid import uuid4

sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "tools"))

from churn import Load
from kafka_broker import Cluster
from kafka_clients import Clients, until
from workers import Worker, Workers, missing_engine

PARTITIONS = 4

KEYS = 8

#: How long the load runs before and after a deed, beside the session.
AROUND_S = 5.0

#: The longest silence of each key in seconds: of those that moved to another worker, and of those that stayed.
Silences = tuple[list[float], list[float]]


class Arrivals:
    """When an output of which worker arrived, by key."""

    def __init__(self, kafka: Clients, topic: str) -> None:
        self.came: dict[str, list[tuple[float, str]]] = defaultdict(list)
        self._stop = threading.Event()
        self._consumer = kafka.consumer(f"witness-{uuid4().hex}")
        self._consumer.subscribe([topic])
        self._thread = threading.Thread(target=self._read, daemon=True)
        self._thread.start()

    def _read(self) -> None:
        while not self._stop.is_set():
            for message in self._consumer.consume(500, 0.02):
                if message.error() is None:
                    value = json.loads(message.value())
                    self.came[value["key"]].append((time.monotonic(), value["worker"]))
        self._consumer.close()

    def stop(self) -> None:
        """Read no more."""
        self._stop.set()
        self._thread.join(10)

    def still(self, since: float) -> Silences:
        """Return the longest silence of each key since then: of those that moved, and of those that stayed."""
        moved: list[float] = []
        stayed: list[float] = []
        for came in list(self.came.values()):
            before = [one for one in came if one[0] <= since]
            after = [one for one in came if one[0] > since]
            times = [before[-1][0], *(when for when, _ in after)]
            gap = max((later - earlier for earlier, later in pairwise(times)), default=float("nan"))
            (moved if {worker for _, worker in after} != {before[-1][1]} else stayed).append(gap)
        return sorted(moved), sorted(stayed)


def main() -> int:
    """Read the command line and measure."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--session", type=float, default=10.0, help="broker_session_timeout, in seconds")
    parser.add_argument("--guarantee", choices=["exactly_once", "at_least_once"], default="exactly_once")
    given = parser.parse_args()
    if (reason := missing_engine()) is not None:
        sys.exit(reason)
    with Cluster(nodes=1) as cluster, tempfile.TemporaryDirectory(prefix="beltline-hand-over-") as folder:
        kafka = Clients(cluster.description.bootstrap)
        with Workers(cluster.description.url, Path(folder)) as workers:
            measure(workers, kafka, given.session, given.guarantee)
    return 0


def measure(workers: Workers, kafka: Clients, session: float, guarantee: str) -> dict[str, Silences]:
    """Do one deed after the other, print what it cost, and return it by deed."""
    found: dict[str, Silences] = {}
    app = f"app-{uuid4().hex[:6]}"
    kafka.create(f"{app}-in", f"{app}-out", partitions=PARTITIONS)

    def start(name: str) -> Worker:
        options = {"APP_ID": app, "BROKER_SESSION_TIMEOUT": session, "PROCESSING_GUARANTEE": guarantee}
        # Outputs are written with the commit, so that a longer interval would hide what is to be seen.
        options["BROKER_COMMIT_INTERVAL"] = 0.1
        return workers.start("sequences", name, WORKER=name, **options)

    one, two = start("one").wait_ready(), start("two").wait_ready()
    arrivals = Arrivals(kafka, f"{app}-out")
    print(f"{guarantee}, session {session:g} s; seconds without an output, by key", file=sys.stderr)
    with Load(kafka, f"{app}-in", keys=KEYS, rate=800) as load:
        until(lambda: len(arrivals.came) == KEYS, "outputs of all keys")
        time.sleep(AROUND_S)
        begun = time.monotonic()
        time.sleep(AROUND_S)
        found["nothing happens"] = tell("nothing happens", arrivals, begun)
        begun = time.monotonic()
        third = start("three").wait_ready()
        time.sleep(AROUND_S)
        found["a worker joins"] = tell("a worker joins", arrivals, begun)
        begun = time.monotonic()
        third.stop()
        time.sleep(AROUND_S)
        found["a worker leaves in order"] = tell("a worker leaves in order", arrivals, begun)
        begun = time.monotonic()
        two.kill()
        time.sleep(AROUND_S + session)
        found["a worker is killed"] = tell("a worker is killed", arrivals, begun)
        load.stop()
    arrivals.stop()
    one.stop()
    return found


def tell(deed: str, arrivals: Arrivals, since: float) -> Silences:
    """Print what a deed cost, and return it."""
    moved, stayed = arrivals.still(since)
    words = [
        f"{what} {', '.join(f'{gap:.2f}' for gap in gaps)}"
        for what, gaps in (("moved:", moved), ("stayed:", stayed))
        if gaps
    ]
    print(f"  {deed:26} {'   '.join(words)}", file=sys.stderr, flush=True)
    return moved, stayed


if __name__ == "__main__":
    sys.exit(main())
