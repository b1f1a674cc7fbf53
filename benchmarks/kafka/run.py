"""Runs the same jobs on one real broker with beltline, a hand-written confluent-kafka loop and faust-streaming.

    $ make bench-kafka

The broker keeps to one core and each contender, with all its threads, to the other. Figures of one run are comparable
with one another and with nothing else; `RESULTS.md` keeps the ratios.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import uuid
from pathlib import Path
from typing import Any

HERE = Path(__file__).resolve().parent
ROOT = HERE.parents[1]
sys.path[:0] = [str(HERE.parent), str(ROOT / "tools")]

import events  # noqa: E402 - its room is beside this one
from confluent_kafka import Producer  # noqa: E402
from confluent_kafka.admin import AdminClient, NewTopic  # noqa: E402
from kafka_broker import Cluster  # noqa: E402
from run import peers  # noqa: E402

PARTITIONS = 4
PATIENCE_S = 900
#: At least so many times as fast as the other one.
PROMISES = (
    ("map", "hand-written loop", 1.5),
    ("map", "faust", 110),
    ("produce", "hand-written loop", 1.2),
    ("produce", "faust", 140),
    ("count", "hand-written loop", 1.5),
    ("count", "faust", 300),
)
#: exactly_once against at_least_once.
EXACTLY_ONCE_SHARE = 0.85


def pin(core: int) -> None:
    """Keep this process, and those it starts from now on, on one core."""
    if hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, {core})


def create(servers: str, *topics: str) -> None:
    """Make topics."""
    admin = AdminClient({"bootstrap.servers": servers})
    for made in admin.create_topics([NewTopic(topic, PARTITIONS, 1) for topic in topics]).values():
        made.result()


def fill(servers: str, topic: str, count: int) -> None:
    """Make a topic of orders, keyed by account as Java's client does it."""
    create(servers, topic)
    producer = Producer(
        {
            "bootstrap.servers": servers,
            "linger.ms": 20,
            "batch.size": 1_000_000,
            "queue.buffering.max.messages": 1_000_000,
            "partitioner": "murmur2_random",
        }
    )
    for number, line in enumerate(events.lines(count)):
        producer.produce(topic, line, line[12 : line.index(b'"', 12)])
        if number % 10_000 == 0:
            producer.poll(0)
            producer.flush()
    producer.flush()


def measure(python: Path | str, job: str, *words: str | int) -> dict[str, Any]:
    """Run a contender in a process of its own, and return what it says in its last line."""
    command = [str(python), str(HERE / job), *map(str, words)]
    done = subprocess.run(command, capture_output=True, text=True, check=False, cwd=ROOT, timeout=PATIENCE_S)
    if done.returncode:
        sys.exit(f"{' '.join(command)} failed:\n{done.stderr[-3000:]}")
    said: dict[str, Any] = json.loads(done.stdout.strip().splitlines()[-1])
    return {**said, "ns": said["seconds"] / said["events"] * 1e9}


def contenders(job: str, topics: dict[str, str], counts: dict[str, int], times: int) -> dict[str, dict[str, Any]]:
    """Run one job with everybody, each several times; the fastest run counts."""

    def best(python: Path | str, name: str, guarantee: str, size: str) -> dict[str, Any]:
        runs = []
        for _ in range(times):
            out = f"out-{uuid.uuid4().hex[:8]}"
            create(os.environ["BELTLINE_TEST_KAFKA"], out, f"{out}-changelog")
            runs.append(measure(python, name, job, guarantee, topics[size], out, counts[size]))
        return min(runs, key=lambda run: float(run["ns"]))

    return {
        "beltline": best(sys.executable, "beltline_job.py", "at_least_once", "large"),
        "beltline exactly_once": best(sys.executable, "beltline_job.py", "exactly_once", "large"),
        "hand-written loop": best(sys.executable, "confluent_job.py", "at_least_once", "large"),
        "faust": best(peers(), "faust_job.py", "at_least_once", "small"),
    }


def judge(found: dict[str, dict[str, dict[str, Any]]]) -> dict[str, bool]:
    """Hold the figures against the promises."""
    kept = {}
    for job, runs in found.items():
        large = {run["digest"] for name, run in runs.items() if name != "faust"}
        kept[f"{job}: the results are equal"] = len(large) == 1
        share = runs["beltline"]["ns"] / runs["beltline exactly_once"]["ns"]
        kept[f"{job}: exactly_once keeps {EXACTLY_ONCE_SHARE} of the speed ({share:.2f})"] = share >= EXACTLY_ONCE_SHARE
    for job, other, least in PROMISES:
        times = found[job][other]["ns"] / found[job]["beltline"]["ns"]
        kept[f"{job}: {least} times the {other} ({times:.1f})"] = times >= least
    return kept


def main() -> int:
    """Run, print, judge."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--events", type=int, default=2_000_000, help="for beltline and the hand-written loop")
    parser.add_argument("--few", type=int, default=40_000, help="for Faust")
    parser.add_argument("--times", type=int, default=2, help="runs of each, of which the fastest counts")
    given = parser.parse_args()
    cores = sorted(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else [0]
    peers()
    pin(cores[0])
    with Cluster() as cluster:
        pin(cores[-1])
        servers = cluster.description.bootstrap
        os.environ["BELTLINE_TEST_KAFKA"] = servers
        topics = {size: f"orders-{size}" for size in ("large", "small")}
        counts = {"large": given.events, "small": given.few}
        for size, topic in topics.items():
            fill(servers, topic, counts[size])
        found = {job: contenders(job, topics, counts, given.times) for job in ("map", "produce", "count")}
    print(f"{'':24}" + "".join(f"{job:>12}" for job in found) + "   ns/event")
    for name in found["map"]:
        print(f"{name:24}" + "".join(f"{runs[name]['ns']:>12.0f}" for runs in found.values()))
    kept = judge(found)
    for promise, is_kept in kept.items():
        print(f"{'ok  ' if is_kept else 'MISS'} {promise}")
    return 0 if all(kept.values()) else 1


if __name__ == "__main__":
    sys.exit(main())
