"""A worker attached through the endpoint by the Kafka client, with `kill -9` of both: every order counts once."""

from __future__ import annotations

import json
import time
from typing import Any

from confluent_kafka import Producer
from endpoints import PATIENCE_S, Endpoint

ORDERS = 3000
CUSTOMERS = 5


def totals(endpoint: Endpoint) -> dict[str, float]:
    """Return the table as its changelog has it."""
    last: dict[str, float] = {}
    clients = endpoint.clients()
    if "shop-spent-changelog" in clients.topics():
        for one in clients.read("shop-spent-changelog"):
            last[json.loads(one.key or b'""')] = float(one.value or 0)
    return last


def test_totals_are_exact_after_kills_of_owner_and_worker(own_endpoint: Endpoint, project: Any) -> None:
    project.environment["BROKER_URL"] = f"kafka://{own_endpoint.address}"
    worker = project.start("worker")
    worker.wait_for("ready")
    producer = Producer(own_endpoint.options(enable_idempotence=True, linger_ms=5))
    for number in range(ORDERS):
        customer = f"c{number % CUSTOMERS}"
        producer.produce("orders", json.dumps({"customer": customer, "amount": 1}).encode(), key=customer)
        producer.poll(0.001)
        if number in (700, 2100):
            own_endpoint.restart()
        elif number == 1400:
            worker.process.kill()
            worker.end()
            worker = project.start("worker")
    assert producer.flush(PATIENCE_S) == 0
    expected = {f"c{number}": ORDERS / CUSTOMERS for number in range(CUSTOMERS)}
    deadline = time.monotonic() + PATIENCE_S
    while (found := totals(own_endpoint)) != expected:
        assert worker.process.poll() is None, worker.output
        assert sum(found.values()) <= ORDERS, "nothing counts twice"
        assert time.monotonic() < deadline, (found, worker.output)
        time.sleep(0.5)
    time.sleep(1)
    assert totals(own_endpoint) == expected
    assert worker.stop() == 0
