"""Partitions, records and settings are changed by AdminClient, on the endpoint as on a real Apache Kafka."""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import Any

import pytest
from actions import outcome
from confluent_kafka import Producer, TopicPartition
from confluent_kafka.admin import (
    AlterConfigOpType,
    ConfigEntry,
    ConfigResource,
    NewPartitions,
    NewTopic,
)
from endpoints import PATIENCE_S, Clients, Endpoint
from kafka_clients import until

Names = Callable[[str], str]


@pytest.fixture(params=["ours", pytest.param("kafka", marks=pytest.mark.kafka)])
def either(request: pytest.FixtureRequest, pytestconfig: pytest.Config) -> Clients:
    """Return a witness on the endpoint, then on the real broker."""
    if request.param == "ours":
        endpoint: Endpoint = request.getfixturevalue("endpoint")
        return endpoint.clients()
    from kafka_broker import shared

    owner = os.getppid() if hasattr(pytestconfig, "workerinput") else os.getpid()
    return Clients(shared.description(owner).bootstrap)


def grow(clients: Clients, topic: str, count: int, **options: Any) -> Any:
    """Ask for more partitions."""
    asked = clients.admin.create_partitions([NewPartitions(topic, count)], **options)
    return outcome(lambda: asked[topic].result(PATIENCE_S))


def alter(clients: Clients, topic: str, name: str, value: str | None, how: str = "SET", **options: Any) -> Any:
    """Change a setting of a topic."""
    entry = ConfigEntry(name, value, incremental_operation=AlterConfigOpType[how])
    resource = ConfigResource("topic", topic, incremental_configs=[entry])
    asked = clients.admin.incremental_alter_configs([resource], **options)
    return outcome(lambda: asked[resource].result(PATIENCE_S))


def setting(clients: Clients, topic: str, name: str) -> str | None:
    """Return a setting of a topic."""
    found = clients.admin.describe_configs([ConfigResource("topic", topic)])
    value: str | None = next(iter(found.values())).result(PATIENCE_S)[name].value
    return value


def shows(clients: Clients, topic: str, name: str, value: str | None) -> None:
    """Wait until a setting reads so: Kafka answers once its controller has a change, and brokers hear of it later."""
    until(lambda: setting(clients, topic, name) == value, f"{name} of {topic} to be {value}")


def delete(clients: Clients, topic: str, offset: int, partition: int = 0) -> Any:
    """Delete records, and return where the partition begins then."""
    at = TopicPartition(topic, partition, offset)
    asked = clients.admin.delete_records([at])
    return outcome(lambda: next(iter(asked.values())).result(PATIENCE_S).low_watermark)


def test_partitions_are_added(either: Clients, names: Names) -> None:
    topic = names("t")
    either.create(topic, partitions=2)
    assert grow(either, topic, 4, validate_only=True) is None
    assert either.partitions(topic) == 2
    assert grow(either, topic, 4) is None
    until(lambda: either.partitions(topic) == 4, f"{topic} to have 4 partitions")
    assert grow(either, topic, 4)[0] == "INVALID_PARTITIONS"
    assert grow(either, topic, 3)[0] == "INVALID_PARTITIONS"
    assert grow(either, names("nothing"), 3)[0] == "UNKNOWN_TOPIC_OR_PART"
    producer = Producer(either.options)
    producer.produce(topic, b"new", partition=3)
    assert producer.flush(PATIENCE_S) == 0
    assert [one.value for one in either.read(topic)] == [b"new"]


def test_records_are_deleted(either: Clients, names: Names) -> None:
    topic = names("t")
    either.create(topic)
    either.produce(topic, [(b"k", str(number).encode()) for number in range(10)])
    assert delete(either, topic, 4) == 4
    assert [one.offset for one in either.read(topic)] == [4, 5, 6, 7, 8, 9]
    assert delete(either, topic, 2) == 4
    assert delete(either, topic, 11)[0] == "OFFSET_OUT_OF_RANGE"
    assert delete(either, topic, -1) == 10
    assert either.read(topic) == []
    either.produce(topic, [(b"k", b"after")])
    assert [(one.offset, one.value) for one in either.read(topic)] == [(10, b"after")]


def test_records_of_a_changelog_are_not_deleted(either: Clients, names: Names) -> None:
    topic = names("t")
    asked = either.admin.create_topics([NewTopic(topic, 1, config={"cleanup.policy": "compact"})])
    asked[topic].result(PATIENCE_S)
    either.produce(topic, [(b"k", b"v")])
    assert delete(either, topic, 1)[0] == "POLICY_VIOLATION"
    assert alter(either, topic, "cleanup.policy", "delete", "APPEND") is None
    shows(either, topic, "cleanup.policy", "compact,delete")
    assert delete(either, topic, 1) == 1


def test_settings_are_changed(either: Clients, names: Names) -> None:
    topic = names("t")
    either.create(topic)
    assert alter(either, topic, "retention.ms", "86400000", validate_only=True) is None
    before = setting(either, topic, "retention.ms")
    assert before != "86400000"
    assert alter(either, topic, "retention.ms", "86400000") is None
    shows(either, topic, "retention.ms", "86400000")
    assert alter(either, topic, "retention.ms", None, "DELETE") is None
    shows(either, topic, "retention.ms", before)
    assert alter(either, topic, "segment.bytes", "2097152") is None
    shows(either, topic, "segment.bytes", "2097152")
    assert alter(either, topic, "cleanup.policy", "compact") is None
    shows(either, topic, "cleanup.policy", "compact")


@pytest.mark.parametrize(
    ("name", "value", "how", "error"),
    [
        ("no.such.setting", "1", "SET", "INVALID_CONFIG"),
        ("retention.ms", "soon", "SET", "INVALID_CONFIG"),
        ("retention.ms", "-2", "SET", "INVALID_CONFIG"),
        ("segment.bytes", "10", "SET", "INVALID_CONFIG"),
        ("cleanup.policy", "burn", "SET", "INVALID_CONFIG"),
        ("message.timestamp.type", "Never", "SET", "INVALID_CONFIG"),
        ("retention.ms", "5", "APPEND", "INVALID_CONFIG"),
        ("no.such.setting", None, "DELETE", None),
    ],
)
def test_what_no_topic_can_be_set_to(
    either: Clients, names: Names, name: str, value: str | None, how: str, error: str | None
) -> None:
    topic = names("t")
    either.create(topic)
    altered = alter(either, topic, name, value, how)
    assert (altered if altered is None else altered[0]) == error


def test_settings_of_nothing(either: Clients, names: Names) -> None:
    assert alter(either, names("nothing"), "retention.ms", "5")[0] == "UNKNOWN_TOPIC_OR_PART"


def test_the_size_of_messages_is_bounded_by_the_topic(either: Clients, names: Names) -> None:
    topic = names("t")
    either.create(topic)
    assert alter(either, topic, "max.message.bytes", "1000") is None
    errors: list[str | None] = []
    producer = Producer(either.options)
    for size in (10, 2000):
        producer.produce(topic, b"x" * size, on_delivery=lambda error, _: errors.append(error and error.name()))
        assert producer.flush(PATIENCE_S) == 0
    assert errors == [None, "MSG_SIZE_TOO_LARGE"]


def test_retention_that_is_set_later_lets_records_go(own_endpoint: Endpoint, names: Names) -> None:
    topic = names("t")
    clients = own_endpoint.clients()
    clients.create(topic)
    producer = Producer(own_endpoint.options())
    for number in range(3):
        producer.produce(topic, str(number).encode(), timestamp=1_000)
        producer.flush(PATIENCE_S)
    assert alter(clients, topic, "retention.ms", "60000") is None
    # The newest block stays until another one follows.
    until(lambda: [one.offset for one in clients.read(topic)] == [2], "old records to go")
    own_endpoint.restart()
    assert [one.offset for one in own_endpoint.clients().read(topic)] == [2]
    assert setting(own_endpoint.clients(), topic, "retention.ms") == "60000"
