"""The endpoint of the embedded log beside the real broker: the same client, the same core, one after the other."""

from __future__ import annotations

import contextlib
import os
import re
import subprocess
import sys
import tempfile
import threading
import time
import uuid
from collections.abc import Iterator
from pathlib import Path

from confluent_kafka.admin import AdminClient, NewTopic
from contenders import raw_job
from findings import Findings, Promise
from ground import PARTITIONS, Ground, cores, pinned, say
from kafka_broker import Cluster, wire
from speed import RunError, run

EVENTS = 1_000_000

#: What Kafka's own start script gives it; the cluster for tests is content with less.
HEAP = ("-Xms1g", "-Xmx1g")

#: Times as soon ready, and times less memory.
SMALLER = 10

PATIENCE_S = 60.0

PROGRAM = 'import beltline\n\napp = beltline.App("hold")\n'

OURS, KAFKA = "beltline broker", "Apache Kafka"


@contextlib.contextmanager
def beltline_broker() -> Iterator[tuple[str, int, float]]:
    """Run the endpoint alone; gives its address, its process and the seconds until it answered."""
    with tempfile.TemporaryDirectory(prefix="beltline-bench-") as folder:
        Path(folder, "hold.py").write_text(PROGRAM, encoding="utf-8")
        kept = {name: value for name, value in os.environ.items() if not name.startswith(("BELTLINE_", "FAUST_"))}
        began = time.monotonic()
        process = subprocess.Popen(
            [sys.executable, "-m", "beltline", "-A", "hold", "broker"],
            cwd=folder,
            env=kept,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
        )
        watch = threading.Timer(PATIENCE_S, process.kill)
        watch.start()
        try:
            assert process.stdout is not None
            found = re.search(r"kafka endpoint\s+(\S+)", process.stdout.readline())
            if found is None:
                raise RunError("the endpoint did not start")
            wire.brokers(int(found[1].rpartition(":")[2]))
            yield found[1], process.pid, time.monotonic() - began
        finally:
            watch.cancel()
            process.kill()
            process.wait()


@contextlib.contextmanager
def apache_kafka() -> Iterator[tuple[str, int, float]]:
    """Run a node with Kafka's own heap; the same as above. Formatting its directory does not count."""
    with Cluster(java_options=HEAP) as cluster:
        node = cluster.nodes[0]
        node.stop()
        began = time.monotonic()
        node.start()
        node.wait_ready()
        seconds = time.monotonic() - began
        assert node.process is not None
        yield cluster.description.bootstrap, node.process.pid, seconds


def measure(_: Ground, findings: Findings, rounds: int) -> None:
    """Fill and read a topic in both, in turns, each time in a fresh process, and tell."""
    raw = raw_job()
    found: dict[str, dict[str, float]] = {OURS: {}, KAFKA: {}}
    core, _ = cores()
    for turn in range(rounds):
        for name, broker in ((OURS, beltline_broker), (KAFKA, apache_kafka)):
            with pinned(core), broker() as (address, process, seconds):
                figures = {"start": seconds, "idle MiB": memory(process), **use(raw, address, process)}
                figures["MiB"] = memory(process)
            say(f"round {turn + 1}: {name}: " + ", ".join(f"{what} {value:.3g}" for what, value in figures.items()))
            before = found[name]
            found[name] = {what: min(value, before.get(what, value)) for what, value in figures.items()}
    tell(findings, found)


def use(raw: str, address: str, process: int) -> dict[str, float]:
    """Fill a topic and read it twice; returns ns per event and the broker's CPU seconds per million."""
    topic = f"endpoint-{uuid.uuid4().hex[:8]}"
    admin = AdminClient({"bootstrap.servers": address, "log_level": 3})
    for made in admin.create_topics([NewTopic(topic, PARTITIONS, 1)]).values():
        made.result()
    figures: dict[str, float] = {}
    kept = os.environ.get("BELTLINE_TEST_KAFKA", "")
    os.environ["BELTLINE_TEST_KAFKA"] = address
    try:
        for what, job in (("produce", "fill"), ("fetch", "read")):
            before = cpu_seconds(process)
            said = run([raw, job, topic, topic, str(EVENTS)])
            if said["totals"]["pieces"] != EVENTS:
                raise RunError(f"{said['totals']['pieces']} of {EVENTS} events came through")
            figures[f"{what} ns"] = said["seconds"] / EVENTS * 1e9
            figures[f"{what} broker CPU"] = (cpu_seconds(process) - before) / EVENTS * 1e6
    finally:
        os.environ["BELTLINE_TEST_KAFKA"] = kept
    return figures


def cpu_seconds(process: int) -> float:
    """Return what another process has used (Linux)."""
    words = Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()
    return (int(words[11]) + int(words[12])) / os.sysconf("SC_CLK_TCK")


def memory(process: int) -> float:
    """Return what another process has in memory, in MiB (Linux)."""
    found = re.search(r"VmRSS:\s+(\d+) kB", Path(f"/proc/{process}/status").read_text())
    return int(found[1]) / 1024 if found else float("nan")


def tell(findings: Findings, found: dict[str, dict[str, float]]) -> None:
    """Make a table and promises of the figures."""
    ours, kafka = found[OURS], found[KAFKA]
    rows = [[what, f"{ours[what]:.4g}", f"{kafka[what]:.4g}", f"{kafka[what] / ours[what]:.2f}"] for what in ours]
    title = (
        f"The endpoint beside the real broker, {EVENTS:,} records of 100 bytes, ns per record, CPU seconds of "
        "the broker per million, seconds to the first answer, memory at rest after the start and after the load:"
    )
    findings.table(title, ("", OURS, KAFKA, "times better"), rows)
    for what, bar in (("produce ns", 1), ("fetch ns", 1), ("start", SMALLER), ("MiB", SMALLER)):
        findings.promise(
            Promise.at_least(f"endpoint, {what}: times better than Apache Kafka", kafka[what] / ours[what], bar)
        )
