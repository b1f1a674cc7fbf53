"""The committed position: never beyond an event that is not done, never stuck below what is."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

import pytest
from confluent_kafka import Producer
from kafka_clients import PATIENCE_S, Clients, until
from workers import Workers

Names = Callable[[str], str]

CONCURRENCY = (1, 8, 64)


def transaction(kafka: Clients, topic: str, records: Iterable[tuple[bytes, bytes | None]], *, commits: bool) -> None:
    """Write records in a transaction, which leaves a marker behind them that is no record."""
    producer = Producer({**kafka.options, "transactional.id": f"{topic}-writer", "linger.ms": 5})
    producer.init_transactions(PATIENCE_S)
    producer.begin_transaction()
    for key, value in records:
        producer.produce(topic, key=key, value=value)
    producer.flush(PATIENCE_S)
    if commits:
        producer.commit_transaction(PATIENCE_S)
    else:
        producer.abort_transaction(PATIENCE_S)


def numbers(first: int, last: int) -> list[tuple[bytes, bytes | None]]:
    """Return numbered records; every seventh is a tombstone."""
    return [(b"k%d" % (n % 13), None if n % 7 == 0 else b"%d" % n) for n in range(first, last)]


def wait_for_no_lag(kafka: Clients, app: str) -> None:
    """Return when everything is committed, markers included."""
    until(lambda: kafka.lag(app, f"{app}-in") == 0, f"the lag of {app} to become 0")


@pytest.mark.parametrize("concurrency", CONCURRENCY)
def test_lag_returns_to_zero_behind_markers_tombstones_and_filtered_events(
    workers: Workers, kafka: Clients, names: Names, concurrency: int
) -> None:
    app = names("app")
    topic = f"{app}-in"
    kafka.create(topic)
    transaction(kafka, topic, numbers(0, 200), commits=True)
    transaction(kafka, topic, numbers(200, 300), commits=False)
    kafka.produce(topic, numbers(300, 400))
    transaction(kafka, topic, numbers(400, 500), commits=True)
    worker = workers.start("positions", APP_ID=app, CONCURRENCY=concurrency).wait_ready()
    wait_for_no_lag(kafka, app)
    transaction(kafka, topic, numbers(500, 600), commits=False)
    wait_for_no_lag(kafka, app)
    kafka.produce(topic, [(b"odd", b"7")])
    wait_for_no_lag(kafka, app)
    assert worker.stop() == 0
    ended = [line.split()[1] for line in worker.lines if line.startswith("ends ")]
    expected = [(value or b"nothing").decode() for _, value in [*numbers(0, 200), *numbers(300, 500)] if is_even(value)]
    assert sorted(ended) == sorted(expected)


def is_even(value: bytes | None) -> bool:
    """Whether the app takes it."""
    return value is None or int(value) % 2 == 0


def test_lag_returns_to_zero_on_a_compacted_topic(workers: Workers, kafka: Clients, names: Names) -> None:
    app = names("app")
    topic = f"{app}-in"
    # Kafka compacts what is in a closed segment, the endpoint what has grown by as much as a segment holds.
    compacting = {"cleanup.policy": "compact", "segment.ms": "100", "segment.bytes": str(1 << 20)}
    soon = {"min.cleanable.dirty.ratio": "0.01", "delete.retention.ms": "0", "max.compaction.lag.ms": "200"}
    kafka.create(topic, config=compacting | soon)
    for _ in range(4):
        kafka.produce(topic, [(b"k%d" % (n % 5) + b"." * 1000, b"%d" % (2 * n)) for n in range(300)])
    # The tail is never compacted, so a last write rolls the segment.
    until(lambda: rolls(kafka, topic) < 600, "the broker to compact")
    worker = workers.start("positions", APP_ID=app).wait_ready()
    wait_for_no_lag(kafka, app)
    assert worker.stop() == 0


def rolls(kafka: Clients, topic: str) -> int:
    """Write one more record, and return how many there are."""
    kafka.produce(topic, [(b"last", b"0")])
    return len(kafka.read(topic))


@pytest.mark.parametrize("concurrency", CONCURRENCY)
@pytest.mark.parametrize("guarantee", ["exactly_once", "at_least_once"])
def test_an_event_that_was_not_done_comes_again_after_a_kill(
    workers: Workers, kafka: Clients, names: Names, concurrency: int, guarantee: str
) -> None:
    app = names("app")
    kafka.create(f"{app}-in")
    kafka.produce(f"{app}-in", [(b"k", b"%d" % n) for n in range(0, 200, 2)])
    options: dict[str, Any] = {"APP_ID": app, "CONCURRENCY": concurrency, "PROCESSING_GUARANTEE": guarantee}
    options |= {"BROKER_COMMIT_INTERVAL": 0.2, "BROKER_SESSION_TIMEOUT": 2}
    first = workers.start("positions", "one", STUCK="100", **options)
    first.wait_for("begins 100")
    if concurrency > 1:
        first.wait_for("ends 198")
    first.kill()
    assert kafka.committed(app, f"{app}-in").get(0, 0) <= 50, "the position is beyond an event that was not done"
    second = workers.start("positions", "one", **options)
    second.wait_for("ends 100")
    wait_for_no_lag(kafka, app)
    assert second.stop() == 0
