"""How soon something happens: the first event after idling, and the first one after a start."""

from __future__ import annotations

import json
import os
import random
import subprocess
import sys
import threading
import time
import uuid

from confluent_kafka import Consumer, Producer
from contenders import AT_LEAST_ONCE, EXACTLY_ONCE
from findings import Findings, Promise
from ground import HERE, PARTITIONS, ROOT, Ground, cores, pinned, say
from speed import RunError

#: Milliseconds of the 99th of a hundred events that find an idle worker.
IDLE_BARS_MS = {AT_LEAST_ONCE: 10, EXACTLY_ONCE: 150}

#: Pauses between events: longer than a commit takes, so that the worker is idle again.
PAUSES_S = (0.05, 0.25)

#: How much later than a loop by hand the first event after a start may come.
START_BAR_S = 0.5

START_EVENTS = 1000
PATIENCE_S = 60.0


def measure(ground: Ground, findings: Findings, samples: int, starts: int) -> None:
    """Measure both and tell."""
    rows = []
    for guarantee, bar in IDLE_BARS_MS.items():
        say(f"{samples} events to an idle worker, {guarantee}")
        handled, seen = idle(ground, guarantee, samples)
        rows.append([guarantee, *(f"{part(times, share):.1f}" for times in (handled, seen) for share in (0.5, 0.99))])
        # What happens to an event is there for others when its output is; exactly once that takes a commit.
        what, times = ("handler", handled) if guarantee == AT_LEAST_ONCE else ("committed output", seen)
        findings.promise(Promise.at_most(f"idle to the {what}, {guarantee}, p99 in ms", part(times, 0.99), bar))
    heads = ("Milliseconds from a send to an idle worker", "handled p50", "p99", "output read p50", "p99")
    findings.table("Idle to first event, commits each 100 ms:", heads, rows)
    start(ground, findings, starts)


def part(times: list[float], share: float) -> float:
    """Return the value below which a share of the values lies."""
    return sorted(times)[min(len(times) - 1, int(len(times) * share))]


def idle(ground: Ground, guarantee: str, samples: int) -> tuple[list[float], list[float]]:
    """Return how long events took to the handler, and until a reader of committed records saw their output, in ms."""
    topic, out = ground.out(), ground.out()
    _, core = cores()
    command = [sys.executable, str(HERE / "jobs" / "reaction_job.py"), guarantee, topic, out, str(samples)]
    with pinned(core):
        worker = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True, cwd=ROOT)
    seen: list[float] = []
    reader = threading.Thread(target=read, args=(ground.servers, out, samples, seen), daemon=True)
    watch = threading.Timer(PATIENCE_S + samples * PAUSES_S[1], worker.kill)
    watch.start()
    try:
        assert worker.stdout is not None
        if worker.stdout.readline() != "ready\n":
            raise RunError("the worker that waits for events did not start")
        reader.start()
        time.sleep(1)
        send(ground.servers, topic, samples)
        handled = [one / 1e6 for one in json.loads(worker.stdout.readline())]
        reader.join(PATIENCE_S)
    finally:
        watch.cancel()
        worker.kill()
        worker.wait()
    if len(seen) != samples:
        raise RunError(f"{len(seen)} of {samples} outputs were seen")
    ground.remove(topic, f"{topic}-changelog", out, f"{out}-changelog")
    return handled, seen


def send(servers: str, topic: str, samples: int) -> None:
    """Send one event at a time, each with its time, into a worker that idles."""
    producer = Producer({"bootstrap.servers": servers, "linger.ms": 0})
    dice = random.Random(samples)
    for number in range(-PARTITIONS, samples):
        time.sleep(dice.uniform(*PAUSES_S))
        # The first ones open the producer's connections and are not counted: they carry no key the worker knows.
        if number >= 0:
            producer.produce(topic, str(time.monotonic_ns()), partition=number % PARTITIONS)
        else:
            producer.list_topics(topic)
        producer.flush()


def read(servers: str, out: str, samples: int, seen: list[float]) -> None:
    """Note when each output arrives, in ms after its event was sent."""
    settings = {
        "bootstrap.servers": servers,
        "group.id": f"reader-{uuid.uuid4().hex}",
        "auto.offset.reset": "earliest",
        "isolation.level": "read_committed",
    }
    consumer = Consumer(settings)
    consumer.subscribe([out])
    deadline = time.monotonic() + PATIENCE_S + samples * PAUSES_S[1]
    while len(seen) < samples and time.monotonic() < deadline:
        for message in consumer.consume(100, 0.05):
            if message.error() is None:
                seen.append((time.monotonic_ns() - int(message.value())) / 1e6)
    consumer.close()


def start(ground: Ground, findings: Findings, rounds: int) -> None:
    """Compare the time from the start of a process to its first event with that of a loop by hand."""
    topic = ground.out()
    producer = Producer({"bootstrap.servers": ground.servers})
    for number in range(START_EVENTS):
        producer.produce(topic, b'{"number": 1}', partition=number % PARTITIONS)
    producer.flush()
    ways = {
        "hand-written loop": [sys.executable, "start_loop.py"],
        "beltline": [sys.executable, "-m", "beltline", "-A", "start_app", "worker"],
    }
    found: dict[str, list[float]] = {name: [] for name in ways}
    for turn in range(rounds):
        for name, command in ways.items():
            found[name].append(first_event(command, topic))
            say(f"start {turn + 1}: {name} {found[name][-1]:.2f} s")
    rows = [
        [name, f"{min(times):.2f}", f"{part(times, 0.5):.2f}", f"{max(times):.2f}"] for name, times in found.items()
    ]
    findings.table("Seconds from the start of the process to the first event:", ("", "least", "median", "most"), rows)
    later = part(found["beltline"], 0.5) - part(found["hand-written loop"], 0.5)
    findings.promise(Promise.at_most("start to first event, seconds behind a hand-written loop", later, START_BAR_S))
    ground.remove(topic, f"{topic}-changelog")


def first_event(command: list[str], topic: str) -> float:
    """Start a process in a group of its own; return how long it took to its first event, in seconds."""
    environment = {**os.environ, "START_TOPIC": topic, "START_GROUP": f"start-{uuid.uuid4().hex[:8]}"}
    _, core = cores()
    began = time.monotonic()
    with pinned(core):
        process = subprocess.Popen(
            command,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
            cwd=HERE / "jobs",
            env=environment,
        )
    watch = threading.Timer(PATIENCE_S, process.kill)
    watch.start()
    try:
        assert process.stdout is not None
        for line in process.stdout:
            if line.startswith("first "):
                return float(line.split()[1]) - began
        raise RunError(f"{' '.join(command)} had no event")
    finally:
        watch.cancel()
        process.kill()
        process.wait()
