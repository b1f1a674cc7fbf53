"""A loop by hand with confluent-kafka that says when its first event came."""

from __future__ import annotations

import os
import time

from confluent_kafka import Consumer

consumer = Consumer(
    {
        "bootstrap.servers": os.environ["BELTLINE_TEST_KAFKA"],
        "group.id": os.environ["START_GROUP"],
        "auto.offset.reset": "earliest",
        "enable.auto.commit": False,
    }
)
consumer.subscribe([os.environ["START_TOPIC"]])
while not consumer.consume(1, 1.0):
    pass
print(f"first {time.monotonic()}", flush=True)
consumer.close()
