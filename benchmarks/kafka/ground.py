"""What all parts of the benchmark stand on: cores, a broker on one of them, topics of orders on it."""

from __future__ import annotations

import contextlib
import os
import sys
import time
import uuid
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import events
import orjson
from confluent_kafka import Producer
from confluent_kafka.admin import AdminClient, NewTopic
from kafka_broker import Cluster
from meter import digest

HERE = Path(__file__).resolve().parent
ROOT = HERE.parents[1]

PARTITIONS = 4


def say(words: str) -> None:
    """Show how far it is, on standard error."""
    print(f"{time.strftime('%H:%M:%S')} {words}", file=sys.stderr, flush=True)


def cores() -> tuple[set[int], set[int]]:
    """Return the broker's core and the workers' core; they are the same where there is only one."""
    if not hasattr(os, "sched_getaffinity"):
        return set(), set()
    usable = sorted(ALL_CORES)
    return {usable[0]}, {usable[-1]}


#: The cores this process was given at its start.
ALL_CORES: set[int] = os.sched_getaffinity(0) if hasattr(os, "sched_getaffinity") else set()


@contextlib.contextmanager
def pinned(to: set[int]) -> Iterator[None]:
    """Keep this process, and those it starts meanwhile with all their threads, on these cores."""
    if not hasattr(os, "sched_setaffinity") or not to:
        yield
        return
    os.sched_setaffinity(0, to)
    try:
        yield
    finally:
        os.sched_setaffinity(0, ALL_CORES)


@dataclass
class Orders:
    """A topic of orders and what must come of them.

    Attributes:
        topic: Its name.
        count: How many.
        pieces: Sum of their quantities.
        cents: Sum of what they come to, each rounded to a cent.
        accounts: How many of each account.
    """

    topic: str
    count: int
    pieces: int = 0
    cents: int = 0
    accounts: Counter[str] = field(default_factory=Counter)

    def expected(self, job: str) -> str:
        """Return the digest of what a job must find."""
        return digest(dict(self.accounts) if job == "count" else {"pieces": self.pieces})


@dataclass
class Ground:
    """A broker and its orders, by size."""

    cluster: Cluster
    orders: dict[str, Orders]

    @property
    def servers(self) -> str:
        """Where the broker listens."""
        return self.cluster.description.bootstrap

    def create(self, *topics: str, partitions: int = PARTITIONS) -> None:
        """Make topics."""
        admin = AdminClient({"bootstrap.servers": self.servers, "log_level": 3})
        for made in admin.create_topics([NewTopic(topic, partitions, 1) for topic in topics]).values():
            made.result()

    def remove(self, *topics: str) -> None:
        """Delete topics, so that the disk does not fill up."""
        admin = AdminClient({"bootstrap.servers": self.servers, "log_level": 3})
        for gone in admin.delete_topics(list(topics)).values():
            with contextlib.suppress(Exception):
                gone.result()

    def out(self) -> str:
        """Make a topic for what a run writes, and one for a changelog by hand; returns the name of the first."""
        name = f"out-{uuid.uuid4().hex[:8]}"
        self.create(name, f"{name}-changelog")
        return name

    def fill(self, counts: dict[str, int]) -> None:
        """Make the topics of orders: each begins as the longest one, keyed by account as Java's client does it."""
        self.orders = {size: Orders(f"orders-{size}", count) for size, count in counts.items()}
        self.create(*(one.topic for one in self.orders.values()))
        settings = {
            "bootstrap.servers": self.servers,
            "linger.ms": 20,
            "batch.size": 1_000_000,
            "queue.buffering.max.messages": 1_000_000,
            "partitioner": "murmur2_random",
        }
        producer = Producer(settings)
        for number, line in enumerate(events.lines(max(counts.values()))):
            order = orjson.loads(line)
            for one in self.orders.values():
                if number < one.count:
                    producer.produce(one.topic, line, order["account"])
                    one.pieces += order["qty"]
                    one.cents += round(order["amount"] * order["qty"] * 100)
                    one.accounts[order["account"]] += 1
            if number % 10_000 == 0:
                producer.poll(0)
            if number % 200_000 == 0:
                producer.flush()
        producer.flush()


@contextlib.contextmanager
def ground() -> Iterator[Ground]:
    """Start a broker on its core; it ends with the block."""
    broker, _ = cores()
    with contextlib.ExitStack() as stack:
        say("starting Kafka")
        with pinned(broker):
            cluster = stack.enter_context(Cluster())
        os.environ["BELTLINE_TEST_KAFKA"] = cluster.description.bootstrap
        yield Ground(cluster, {})
