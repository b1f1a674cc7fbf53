"""The loop of somebody who knows confluent-kafka: large lists, orjson, a dict, and commits every 100 ms.

python confluent_job.py {map|produce|count} at_least_once TOPIC OUT COUNT
"""

from __future__ import annotations

import os
import sys
import time
from pathlib import Path

import orjson
from confluent_kafka import Consumer, Producer

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
import events

JOB, _, TOPIC, OUT, COUNT = *sys.argv[1:5], int(sys.argv[5])
SERVERS = os.environ["BELTLINE_TEST_KAFKA"]
LIST = 10_000
COMMIT_S = 0.1

consumer = Consumer(
    {
        "bootstrap.servers": SERVERS,
        "group.id": f"{OUT}-loop",
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
counts: dict[str, int] = {}
dirty: set[str] = set()
pieces = seen = 0
began = committed = 0.0


def commit() -> None:
    """Write what has changed, wait for it, and move the positions."""
    for account in dirty:
        producer.produce(f"{OUT}-changelog", orjson.dumps(counts[account]), orjson.dumps(account))
    dirty.clear()
    producer.flush()
    consumer.commit(asynchronous=False)


consumer.subscribe([TOPIC])
while seen < COUNT:
    messages = consumer.consume(LIST, 0.05)
    if messages and not began:
        began = committed = time.perf_counter()
    for message in messages:
        order = orjson.loads(message.value())
        account = order["account"]
        if JOB == "count":
            counts[account] = counts.get(account, 0) + 1
            dirty.add(account)
        elif JOB == "produce":
            total = {"account": account, "total": order["amount"] * order["qty"]}
            producer.produce(OUT, orjson.dumps(total), account.encode())
        pieces += order["qty"]
    seen += len(messages)
    producer.poll(0)
    if began and time.perf_counter() - committed >= COMMIT_S:
        commit()
        committed = time.perf_counter()
commit()
seconds = time.perf_counter() - began
consumer.close()
events.report(COUNT, seconds, counts if JOB == "count" else {"pieces": pieces})
