"""Transactions on the endpoint: all or nothing, one holder of an id, and nothing half over a kill."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import pytest
from confluent_kafka import Consumer, KafkaError, KafkaException, Producer, TopicPartition
from endpoints import PATIENCE_S, Clients, Endpoint

Names = Callable[[str], str]


def transactional(endpoint: Endpoint, name: str, **options: Any) -> Producer:
    """Return a producer that has taken its id."""
    made = Producer(endpoint.options(transactional_id=name, transaction_timeout_ms=10_000, **options))
    made.init_transactions(PATIENCE_S)
    return made


def error_of(caught: pytest.ExceptionInfo[KafkaException]) -> KafkaError:
    """Return what Kafka says."""
    return caught.value.args[0]


def test_readers_see_what_was_committed_and_only_that(endpoint: Endpoint, clients: Clients, names: Names) -> None:
    topic = names("t")
    clients.create(topic, partitions=2)
    producer = transactional(endpoint, names("id"))
    offsets: list[Any] = []
    for outcome in ("aborted", "committed"):
        producer.begin_transaction()
        for number in range(10):
            producer.produce(
                topic,
                f"{outcome}-{number}",
                partition=number % 2,
                on_delivery=lambda error, message: offsets.append((error, message.offset())),
            )
        producer.flush(PATIENCE_S)
        for isolation in ("read_committed", "read_uncommitted"):
            assert clients.read(topic, isolation=isolation) == [], "not even open ones, as the page says"
        producer.abort_transaction(PATIENCE_S) if outcome == "aborted" else producer.commit_transaction(PATIENCE_S)
    assert offsets == [(None, None)] * 20, "no offset is known before the end"
    read = clients.read(topic)
    assert sorted(one.value or b"" for one in read) == [b"committed-%d" % number for number in range(10)]
    assert clients.ends(topic) == {0: 5, 1: 5}, "no markers take offsets"


def member_of(clients: Clients, group: str, topic: str) -> Consumer:
    """Return a consumer that has its partitions."""
    member = clients.consumer(group, **{"session.timeout.ms": 6000})
    member.subscribe([topic])
    deadline = time.monotonic() + PATIENCE_S
    while not member.assignment():
        assert time.monotonic() < deadline
        member.poll(0.1)
    return member


def test_offsets_move_with_the_records(endpoint: Endpoint, clients: Clients, names: Names) -> None:
    topic, group = names("t"), names("g")
    clients.create(topic, partitions=1)
    member = member_of(clients, group, topic)
    producer = transactional(endpoint, names("id"))
    for end, committed in (("abort", {}), ("commit", {0: 7})):
        producer.begin_transaction()
        producer.produce(topic, end, partition=0)
        offsets = [TopicPartition(topic, 0, 7)]
        producer.send_offsets_to_transaction(offsets, member.consumer_group_metadata(), PATIENCE_S)
        with pytest.raises(KafkaException):
            # Whoever would take the partition over waits until the transaction has ended.
            Consumer(endpoint.options(group_id=group)).committed([TopicPartition(topic, 0)], timeout=1)
        getattr(producer, f"{end}_transaction")(PATIENCE_S)
        assert clients.committed(group, topic) == committed
    metadata = member.consumer_group_metadata()
    member.close()
    producer.begin_transaction()
    producer.produce(topic, "late", partition=0)
    with pytest.raises(KafkaException) as caught:
        producer.send_offsets_to_transaction([TopicPartition(topic, 0, 9)], metadata, PATIENCE_S)
    assert error_of(caught).txn_requires_abort(), "a member that has left commits nothing"
    producer.abort_transaction(PATIENCE_S)
    assert clients.committed(group, topic) == {0: 7}


def test_a_second_producer_fences_the_first(endpoint: Endpoint, clients: Clients, names: Names) -> None:
    topic, name = names("t"), names("id")
    clients.create(topic)
    first = transactional(endpoint, name)
    first.begin_transaction()
    first.produce(topic, "of the first")
    first.flush(PATIENCE_S)
    second = transactional(endpoint, name)
    with pytest.raises(KafkaException) as caught:
        first.commit_transaction(PATIENCE_S)
    assert error_of(caught).fatal()
    second.begin_transaction()
    second.produce(topic, "of the second")
    second.commit_transaction(PATIENCE_S)
    assert [one.value for one in clients.read(topic)] == [b"of the second"]


def test_an_abandoned_transaction_times_out(endpoint: Endpoint, clients: Clients, names: Names) -> None:
    topic = names("t")
    clients.create(topic)
    options = endpoint.options(transactional_id=names("id"), transaction_timeout_ms=1000, socket_timeout_ms=1000)
    producer = Producer(options)
    producer.init_transactions(PATIENCE_S)
    producer.begin_transaction()
    producer.produce(topic, "late")
    producer.flush(PATIENCE_S)
    time.sleep(2.5)
    with pytest.raises(KafkaException) as caught:
        producer.commit_transaction(PATIENCE_S)
    assert error_of(caught).fatal()
    assert clients.read(topic) == []


def test_a_kill_loses_an_open_transaction_whole_and_keeps_a_committed_one(own_endpoint: Endpoint, names: Names) -> None:
    topic = names("t")
    own_endpoint.clients().create(topic)
    producer = transactional(own_endpoint, names("id"))
    for number in range(3):
        producer.begin_transaction()
        producer.produce(topic, f"{number}-before")
        producer.flush(PATIENCE_S)
        own_endpoint.restart()
        # What is sent now must not be committed without what was lost.
        producer.produce(topic, f"{number}-after")
        with pytest.raises(KafkaException) as caught:
            producer.commit_transaction(PATIENCE_S)
        assert error_of(caught).txn_requires_abort(), caught.value
        producer.abort_transaction(PATIENCE_S)
        producer.begin_transaction()
        producer.produce(topic, f"{number}-again")
        producer.commit_transaction(PATIENCE_S)
        # Between two transactions nothing is lost, and nobody notices.
        own_endpoint.restart()
    read = [one.value for one in own_endpoint.clients().read(topic)]
    assert read == [b"%d-again" % number for number in range(3)]


def test_a_transaction_that_is_too_large_says_so(endpoint: Endpoint, clients: Clients, names: Names) -> None:
    topic = names("t")
    clients.create(topic)
    producer = transactional(endpoint, names("id"), linger_ms=5)
    producer.begin_transaction()
    reports: list[Any] = []

    def send_too_much() -> None:
        for _ in range(80_000):
            try:
                producer.produce(topic, b"x" * 1000, on_delivery=lambda error, _message: reports.append(error))
            except BufferError:
                producer.poll(0.1)
            producer.poll(0)
        producer.commit_transaction(PATIENCE_S)

    with pytest.raises(KafkaException) as caught:
        send_too_much()
    assert error_of(caught).code() in (KafkaError.POLICY_VIOLATION, KafkaError._STATE)
    producer.abort_transaction(PATIENCE_S)
    assert clients.read(topic) == []
