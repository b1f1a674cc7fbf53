"""Groups on the endpoint: who reads what, what is committed, and that it is the same as an app's own offsets."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from confluent_kafka import Consumer, ConsumerGroupTopicPartitions, KafkaError, KafkaException, TopicPartition
from confluent_kafka.admin import ConfigResource
from endpoints import PATIENCE_S, Clients, Endpoint

Names = Callable[[str], str]


def turn(consumers: list[Consumer], until: Callable[[], bool]) -> list[Any]:
    """Poll all of them until something holds; return what they read."""
    read: list[Any] = []
    deadline = time.monotonic() + PATIENCE_S
    while not until():
        assert time.monotonic() < deadline, [consumer.assignment() for consumer in consumers]
        for consumer in consumers:
            message = consumer.poll(0.05)
            if message is not None:
                assert message.error() is None, message.error()
                read.append(message)
    return read


@pytest.mark.parametrize("strategy", ["range", "cooperative-sticky"])
def test_two_members_share_and_one_takes_over(
    endpoint: Endpoint, clients: Clients, names: Names, strategy: str
) -> None:
    topic, group = names("t"), names("g")
    clients.create(topic, partitions=4)
    clients.produce(topic, [(None, b"%d" % number, number % 4) for number in range(100)])
    options = {"partition.assignment.strategy": strategy, "session.timeout.ms": 6000, "heartbeat.interval.ms": 500}
    two = [clients.consumer(group, **options) for _ in range(2)]
    for consumer in two:
        consumer.subscribe([topic])
    read = turn(two, lambda: [len(one.assignment()) for one in two] == [2, 2])
    assert {one.partition for consumer in two for one in consumer.assignment()} == {0, 1, 2, 3}
    read += turn(two, lambda: True)
    two[1].close()
    turn(two[:1], lambda: len(two[0].assignment()) == 4)
    two[0].close()


def test_how_short_a_session_may_be_is_a_setting(clients: Clients, names: Names, tmp_path: Path) -> None:
    def refusal(where: Clients) -> int | None:
        """Return why a member with a session of a second does not get in; None when it does."""
        where.create(names("t"))
        member = where.consumer(names("g"), **{"session.timeout.ms": 1000, "heartbeat.interval.ms": 200})
        member.subscribe([names("t")])
        deadline = time.monotonic() + PATIENCE_S
        message = None
        while message is None and not member.assignment():
            assert time.monotonic() < deadline
            message = member.poll(0.1)
        member.close()
        return message and message.error().code()

    assert refusal(clients) == KafkaError.INVALID_SESSION_TIMEOUT
    patient = Endpoint(tmp_path, endpoint_min_session_timeout=0.5)
    patient.start()
    try:
        witness = patient.clients()
        assert refusal(witness) is None
        told = witness.admin.describe_configs([ConfigResource("broker", "1")])
        assert next(iter(told.values())).result(PATIENCE_S)["group.min.session.timeout.ms"].value == "500"
    finally:
        patient.kill()


def test_a_silent_member_is_replaced(clients: Clients, names: Names) -> None:
    topic, group = names("t"), names("g")
    clients.create(topic, partitions=2)
    options = {"session.timeout.ms": 6000, "max.poll.interval.ms": 6000, "heartbeat.interval.ms": 500}
    silent, other = (clients.consumer(group, **options) for _ in range(2))
    silent.subscribe([topic])
    turn([silent], lambda: len(silent.assignment()) == 2)
    other.subscribe([topic])
    # The first one is not polled any more: it leaves when its time is over.
    turn([other], lambda: len(other.assignment()) == 2)
    silent.close()
    other.close()


def test_a_static_member_keeps_its_place(clients: Clients, names: Names) -> None:
    topic, group = names("t"), names("g")
    clients.create(topic, partitions=2)
    options = {"session.timeout.ms": 30_000, "heartbeat.interval.ms": 500}
    names_of = ["one", "two"]
    two = [clients.consumer(group, **options, **{"group.instance.id": name}) for name in names_of]
    for consumer in two:
        consumer.subscribe([topic])
    turn(two, lambda: [len(one.assignment()) for one in two] == [1, 1])
    had = two[0].assignment()
    two[0].close()
    back = clients.consumer(group, **options, **{"group.instance.id": "one"})
    back.subscribe([topic])
    turn([back, two[1]], lambda: len(back.assignment()) == 1)
    assert [one.partition for one in back.assignment()] == [one.partition for one in had]
    assert len(two[1].assignment()) == 1
    back.close()
    two[1].close()


def test_offsets_survive_a_kill_with_what_was_said(own_endpoint: Endpoint, names: Names) -> None:
    topic, group = names("t"), names("g")
    clients = own_endpoint.clients()
    clients.create(topic)
    clients.produce(topic, [(None, b"%d" % number, 0) for number in range(100)])
    consumer = clients.consumer(group)
    consumer.commit(offsets=[TopicPartition(topic, 0, 40, metadata="here")], asynchronous=False)
    consumer.close()
    own_endpoint.restart()
    clients = own_endpoint.clients()
    wanted = [ConsumerGroupTopicPartitions(group)]
    found = clients.admin.list_consumer_group_offsets(wanted)[group].result(PATIENCE_S).topic_partitions
    assert [(one.topic, one.partition, one.offset, one.metadata) for one in found] == [(topic, 0, 40, "here")]
    resumed = clients.consumer(group)
    resumed.subscribe([topic])
    read: list[Any] = []
    deadline = time.monotonic() + PATIENCE_S
    while len(read) < 60:
        assert time.monotonic() < deadline
        message = resumed.poll(0.5)
        if message is not None:
            read.append(int(message.value()))
    assert read == list(range(40, 100))
    resumed.close()


def test_groups_are_described_listed_and_deleted(clients: Clients, names: Names) -> None:
    topic, group = names("t"), names("g")
    clients.create(topic, partitions=2)
    consumer = clients.consumer(group)
    consumer.subscribe([topic])
    turn([consumer], lambda: len(consumer.assignment()) == 2)
    consumer.commit(offsets=[TopicPartition(topic, 0, 0)], asynchronous=False)

    def state() -> tuple[str, int]:
        described = clients.admin.describe_consumer_groups([group])[group].result(PATIENCE_S)
        return described.state.name, len(described.members)

    def listed() -> set[str]:
        return {one.group_id for one in clients.admin.list_consumer_groups().result(PATIENCE_S).valid}

    assert state() == ("STABLE", 1)
    assert group in listed()
    with pytest.raises(KafkaException) as caught:
        clients.admin.delete_consumer_groups([group])[group].result(PATIENCE_S)
    assert caught.value.args[0].code() == KafkaError.NON_EMPTY_GROUP
    consumer.close()
    assert state() == ("EMPTY", 0)
    clients.admin.delete_consumer_groups([group])[group].result(PATIENCE_S)
    assert group not in listed()
    assert state() == ("DEAD", 0)


def test_strangers_may_not_commit_for_a_group_with_members(endpoint: Endpoint, clients: Clients, names: Names) -> None:
    topic, group = names("t"), names("g")
    clients.create(topic)
    member = clients.consumer(group)
    member.subscribe([topic])
    turn([member], lambda: len(member.assignment()) == 1)
    stranger = Consumer(endpoint.options(group_id=group))
    with pytest.raises(KafkaException) as caught:
        stranger.commit(offsets=[TopicPartition(topic, 0, 0)], asynchronous=False)
    assert caught.value.args[0].code() == KafkaError.UNKNOWN_MEMBER_ID
    stranger.close()
    member.close()
