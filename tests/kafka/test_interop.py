"""Other libraries read what beltline writes, and beltline reads what they write: codecs, headers, times, nothing."""

from __future__ import annotations

import importlib
from collections.abc import Callable
from typing import Any

import pytest
from confluent_kafka import Producer
from kafka_broker import Description
from kafka_clients import Clients, Seen, until
from workers import Workers

Names = Callable[[str], str]

#: kafka-python reads its own files in an old way.
pytestmark = pytest.mark.filterwarnings("ignore:.*_text is deprecated:DeprecationWarning")

CODECS = ("none", "gzip", "snappy", "lz4", "zstd")

#: What is hard to keep apart: null and empty, in keys, values and headers; bytes that are no text; repeated headers.
RECORDS: list[tuple[bytes | None, bytes | None, list[tuple[str, bytes | None]]]] = [
    (b"k", b"v", []),
    (None, b"v", []),
    (b"", b"v", []),
    (b"k", b"", []),
    (b"k", None, [("h", b"1")]),
    (b"\xff\x00", b"\x00\xff" * 50, [("h", b"1"), ("h", b"2"), ("other", b"\xff")]),
    (b"k", b"v", [("empty", b""), ("null", None)]),
    ("снег".encode(), "ü".encode(), [("ключ", b"x")]),
    (b"long", b"x" * 100_000, []),
]

#: Milliseconds since the epoch: long ago, and not a whole second.
TIMES = [1_000_000_000_123 + 1000 * number for number in range(len(RECORDS))]


def same(found: list[Seen]) -> list[tuple[Any, ...]]:
    """Return what has to be the same."""
    return [(one.key, one.value, one.headers, one.timestamp_ms) for one in found]


EXPECTED = [(key, value, tuple(headers), when) for (key, value, headers), when in zip(RECORDS, TIMES, strict=True)]

#: kafka-python writes no null in headers; it reads them.
WITHOUT_NULLS = [
    (key, value, tuple(one for one in headers if one[1] is not None), when) for key, value, headers, when in EXPECTED
]


def copied(workers: Workers, kafka: Clients, app: str, codec: str = "none") -> list[Seen]:
    """Return what the copying app made of what is on its topic."""
    worker = workers.start("copies", APP_ID=app, PRODUCER_COMPRESSION_TYPE=codec).wait_ready()
    topic = f"{app}-out"
    until(lambda: topic in kafka.topics() and len(kafka.read(topic)) >= len(RECORDS), "all records to be copied")
    assert worker.stop() == 0
    return kafka.read(topic)


def write_by_librdkafka(kafka: Clients, topic: str, codec: str) -> None:
    """Write the records with confluent-kafka."""
    producer = Producer({**kafka.options, "compression.type": codec})
    for (key, value, headers), when in zip(RECORDS, TIMES, strict=True):
        producer.produce(topic, key=key, value=value, headers=headers, timestamp=when, partition=0)
    assert producer.flush(30) == 0


def other_library() -> Any:
    """Return kafka-python; its name is that of this directory's, so it is looked up where it is used."""
    return importlib.import_module("kafka")


def write_by_kafka_python(broker: Description, topic: str, codec: str) -> None:
    """Write the records with kafka-python."""
    producer = other_library().KafkaProducer(
        bootstrap_servers=broker.bootstrap, compression_type=None if codec == "none" else codec
    )
    for key, value, headers, when in WITHOUT_NULLS:
        producer.send(topic, key=key, value=value, headers=list(headers), timestamp_ms=when, partition=0).get(30)
    producer.close()


def read_by_kafka_python(broker: Description, topic: str) -> list[tuple[Any, ...]]:
    """Return what kafka-python reads."""
    consumer = other_library().KafkaConsumer(
        topic,
        bootstrap_servers=broker.bootstrap,
        auto_offset_reset="earliest",
        consumer_timeout_ms=10_000,
        isolation_level="read_committed",
    )
    found = []
    for message in consumer:
        headers = tuple((name, None if value is None else bytes(value)) for name, value in message.headers)
        found.append((message.key, message.value, headers, message.timestamp))
        if len(found) == len(RECORDS):
            break
    consumer.close()
    return found


@pytest.mark.parametrize("codec", CODECS)
def test_what_librdkafka_writes_is_copied_and_read_back(
    workers: Workers, kafka: Clients, names: Names, codec: str
) -> None:
    app = names("app")
    kafka.create(f"{app}-in")
    write_by_librdkafka(kafka, f"{app}-in", codec)
    assert same(kafka.read(f"{app}-in")) == EXPECTED
    assert same(copied(workers, kafka, app, codec)) == EXPECTED


@pytest.mark.parametrize("codec", ["none", "gzip"])
def test_what_kafka_python_writes_is_copied_and_read_back(
    workers: Workers, kafka: Clients, broker: Description, names: Names, codec: str
) -> None:
    app = names("app")
    kafka.create(f"{app}-in")
    write_by_kafka_python(broker, f"{app}-in", codec)
    assert same(copied(workers, kafka, app, codec)) == WITHOUT_NULLS
    assert read_by_kafka_python(broker, f"{app}-out") == WITHOUT_NULLS


def test_the_witnesses_agree(kafka: Clients, broker: Description, names: Names) -> None:
    topic = names("agreed")
    kafka.create(topic)
    write_by_librdkafka(kafka, topic, "gzip")
    assert read_by_kafka_python(broker, topic) == EXPECTED
    other = names("other")
    kafka.create(other)
    write_by_kafka_python(broker, other, "gzip")
    assert same(kafka.read(other)) == WITHOUT_NULLS
