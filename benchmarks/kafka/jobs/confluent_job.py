"""The loop of somebody who knows confluent-kafka: large lists, orjson, a dict, and commits every 100 ms.

python confluent_job.py {map|produce|count} at_least_once TOPIC OUT COUNT
"""

from __future__ import annotations

import os
import sys
import time

import orjson
from confluent_kafka import Consumer, Producer
from meter import Meter

SERVERS = os.environ["BELTLINE_TEST_KAFKA"]
LIST = 10_000
COMMIT_S = 0.1


def clients(out: str) -> tuple[Consumer, Producer]:
    """Return what reads and what writes."""
    consumer = Consumer(
        {
            "bootstrap.servers": SERVERS,
            "group.id": f"{out}-loop",
            "auto.offset.reset": "earliest",
            "enable.auto.commit": False,
            "fetch.queue.backoff.ms": 10,
        }
    )
    producer = Producer(
        {
            "bootstrap.servers": SERVERS,
            "enable.idempotence": True,
            "linger.ms": 5,
            "queue.buffering.max.messages": 1_000_000,
            "partitioner": "murmur2_random",
        }
    )
    return consumer, producer


def main(job: str, topic: str, out: str, count: int) -> None:
    """Read until everything is done and committed, and report."""
    consumer, producer = clients(out)
    counts: dict[str, int] = {}
    dirty: set[str] = set()
    meter = Meter()
    pieces = seen = moved = 0
    committed = 0.0

    def commit() -> None:
        """Write what has changed, wait for it, and move the positions."""
        for account in dirty:
            producer.produce(f"{out}-changelog", orjson.dumps(counts[account]), orjson.dumps(account))
        dirty.clear()
        producer.flush()
        if moved:
            consumer.commit(asynchronous=False)

    counts_them, sends = job == "count", job == "produce"
    consumer.subscribe([topic])
    while seen < count:
        messages = consumer.consume(LIST, 0.05)
        if messages and not seen:
            meter.begin()
            committed = time.perf_counter()
        for message in messages:
            order = orjson.loads(message.value())
            account = order["account"]
            if counts_them:
                counts[account] = counts.get(account, 0) + 1
                dirty.add(account)
            elif sends:
                total = {"account": account, "total": order["amount"] * order["qty"]}
                producer.produce(out, orjson.dumps(total), account.encode())
            pieces += order["qty"]
        seen += len(messages)
        moved += len(messages)
        producer.poll(0)
        if seen and time.perf_counter() - committed >= COMMIT_S:
            commit()
            committed, moved = time.perf_counter(), 0
    commit()
    meter.end()
    consumer.close()
    meter.report(count, counts if job == "count" else {"pieces": pieces})


main(sys.argv[1], sys.argv[3], sys.argv[4], int(sys.argv[5]))
