"""What other clients write, others read: librdkafka, kafka-python, aiokafka, kcat."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Callable
from typing import Any

import pytest
from confluent_kafka import TIMESTAMP_LOG_APPEND_TIME, KafkaError, KafkaException, Producer, TopicPartition
from confluent_kafka.admin import ConfigResource, NewTopic
from endpoints import PATIENCE_S, Clients, Endpoint

Names = Callable[[str], str]

#: Key, value, headers: null and empty are not the same, names may come twice.
RECORDS: list[tuple[bytes | None, bytes | None, list[tuple[str, bytes | None]]]] = [
    (b"key", b"value" * 50, [("h", b"1"), ("h", None), ("empty", b"")]),
    (b"key", None, []),
    (None, b"", []),
    (b"", b"x", [("é", "ü".encode())]),
]

TIME_MS = 1_700_000_000_000


@pytest.mark.parametrize("idempotent", [False, True])
@pytest.mark.parametrize("codec", ["none", "gzip", "snappy", "lz4", "zstd"])
def test_librdkafka_there_and_back(
    endpoint: Endpoint, clients: Clients, names: Names, codec: str, idempotent: bool
) -> None:
    topic = names("t")
    clients.create(topic)
    producer = Producer(endpoint.options(compression_type=codec, enable_idempotence=idempotent, linger_ms=20))
    reports: list[Any] = []
    for round_number in range(50):
        for key, value, headers in RECORDS:
            producer.produce(
                topic,
                key=key,
                value=value,
                headers=headers,
                timestamp=TIME_MS + round_number,
                on_delivery=lambda error, message: reports.append((error, message.offset())),
            )
    assert producer.flush(PATIENCE_S) == 0
    assert reports == [(None, offset) for offset in range(200)]
    read = clients.read(topic)
    assert [one.offset for one in read] == list(range(200))
    for index, one in enumerate(read):
        key, value, headers = RECORDS[index % 4]
        assert (one.key, one.value, list(one.headers)) == (key, value, headers)
        assert one.timestamp_ms == TIME_MS + index // 4


@pytest.mark.parametrize("codec", [None, "gzip", "snappy", "lz4"])
def test_kafka_python_there_and_back(endpoint: Endpoint, clients: Clients, names: Names, codec: str | None) -> None:
    kafka = pytest.importorskip("kafka")
    topic = names("t")
    clients.create(topic)
    try:
        producer = kafka.KafkaProducer(bootstrap_servers=endpoint.address, compression_type=codec)
    except AssertionError as error:
        pytest.skip(str(error))
    sent = [producer.send(topic, key=b"k", value=b"v%d" % number * 20, headers=[("h", b"x")]) for number in range(50)]
    assert [one.get(PATIENCE_S).offset for one in sent] == list(range(50))
    producer.close()
    consumer = kafka.KafkaConsumer(
        topic,
        bootstrap_servers=endpoint.address,
        group_id=names("g"),
        auto_offset_reset="earliest",
        consumer_timeout_ms=30_000,
    )
    read = [next(consumer) for _ in range(50)]
    assert [(one.offset, one.value, list(one.headers)) for one in read] == [
        (number, b"v%d" % number * 20, [("h", b"x")]) for number in range(50)
    ]
    consumer.close()
    assert [one.value for one in clients.read(topic)] == [one.value for one in read]


async def test_aiokafka_there_and_back(endpoint: Endpoint, clients: Clients, names: Names) -> None:
    aiokafka = pytest.importorskip("aiokafka")
    topic = names("t")
    clients.create(topic)
    producer = aiokafka.AIOKafkaProducer(bootstrap_servers=endpoint.address, transactional_id=names("id"))
    await producer.start()
    async with producer.transaction():
        await producer.send_and_wait(topic, b"one")
    await producer.stop()
    consumer = aiokafka.AIOKafkaConsumer(
        topic, bootstrap_servers=endpoint.address, group_id=names("g"), auto_offset_reset="earliest"
    )
    await consumer.start()
    assert (await consumer.getone()).value == b"one"
    await consumer.stop()


def test_kcat_there_and_back(endpoint: Endpoint, names: Names) -> None:
    kcat = shutil.which("kcat")
    if kcat is None:
        pytest.skip("kcat is not installed")
    topic = names("t")

    def run(*arguments: str, given: str = "") -> str:
        made = subprocess.run(
            [kcat, "-b", endpoint.address, "-t", topic, *arguments],
            input=given,
            capture_output=True,
            text=True,
            timeout=PATIENCE_S,
            check=True,
        )
        return made.stdout

    run("-P", "-K:", "-H", "a=b", given="k:v\n")
    assert run("-C", "-e", "-q", "-f", "%k %s %h %o\n") == "k v a=b 0\n"


def test_admin(clients: Clients, endpoint: Endpoint, names: Names) -> None:
    topic = names("t")
    settings = {"cleanup.policy": "compact", "retention.ms": "86400000"}
    clients.create(topic, partitions=3, config=settings)
    assert clients.partitions(topic) == 3
    described = clients.config(topic)
    assert {name: described[name] for name in settings} == settings

    def refused(new: NewTopic) -> Any:
        with pytest.raises(KafkaException) as caught:
            clients.admin.create_topics([new])[new.topic].result(PATIENCE_S)
        return caught.value.args[0].code()

    assert refused(NewTopic(topic, 3)) == KafkaError.TOPIC_ALREADY_EXISTS
    assert refused(NewTopic(names("other"), 1, 3)) == KafkaError.INVALID_REPLICATION_FACTOR
    assert refused(NewTopic(names("other"), 1, config={"no.such": "1"})) == KafkaError.INVALID_CONFIG
    assert refused(NewTopic("not a name", 1)) == KafkaError.TOPIC_EXCEPTION
    nodes = clients.admin.describe_cluster().result(PATIENCE_S).nodes
    assert [f"{node.host}:{node.port}" for node in nodes] == [endpoint.address]
    node = clients.admin.describe_configs([ConfigResource("broker", str(nodes[0].id))])
    assert "num.partitions" in next(iter(node.values())).result(PATIENCE_S)
    clients.delete(topic)
    assert topic not in clients.topics()


def test_a_compacted_topic_takes_no_record_without_a_key(endpoint: Endpoint, clients: Clients, names: Names) -> None:
    topic = names("t")
    clients.create(topic, config={"cleanup.policy": "compact"})
    reports: list[Any] = []
    producer = Producer(endpoint.options())
    producer.produce(topic, value=b"x", on_delivery=lambda error, _message: reports.append(error.code()))
    producer.flush(PATIENCE_S)
    assert reports == [KafkaError.INVALID_RECORD]


def test_offsets_by_time(endpoint: Endpoint, clients: Clients, names: Names) -> None:
    topic = names("t")
    clients.create(topic)
    producer = Producer(endpoint.options())
    for number in range(100):
        producer.produce(topic, b"x", timestamp=TIME_MS + 10 * number)
    assert producer.flush(PATIENCE_S) == 0
    consumer = clients.consumer(names("g"))
    for time_ms, offset in [(0, 0), (TIME_MS + 495, 50), (TIME_MS + 990, 99)]:
        assert consumer.offsets_for_times([TopicPartition(topic, 0, time_ms)])[0].offset == offset
    assert consumer.offsets_for_times([TopicPartition(topic, 0, TIME_MS + 991)])[0].offset < 0
    assert consumer.get_watermark_offsets(TopicPartition(topic, 0)) == (0, 100)
    consumer.close()


def test_a_topic_may_carry_the_time_of_the_append(endpoint: Endpoint, clients: Clients, names: Names) -> None:
    topic = names("t")
    clients.create(topic, config={"message.timestamp.type": "LogAppendTime"})
    producer = Producer(endpoint.options())
    producer.produce(topic, b"x", timestamp=TIME_MS)
    assert producer.flush(PATIENCE_S) == 0
    consumer = clients.consumer(names("g"))
    consumer.assign([TopicPartition(topic, 0, 0)])
    message = consumer.poll(PATIENCE_S)
    consumer.close()
    kind, time_ms = message.timestamp()
    assert kind == TIMESTAMP_LOG_APPEND_TIME
    assert time_ms > TIME_MS + 1_000_000


def test_what_a_client_wrote_survives_a_kill(own_endpoint: Endpoint, names: Names) -> None:
    topic = names("t")
    clients = own_endpoint.clients()
    clients.create(topic)
    clients.produce(topic, [(None, b"%d" % number, 0) for number in range(1000)])
    own_endpoint.restart()
    assert [one.value for one in own_endpoint.clients().read(topic)] == [b"%d" % number for number in range(1000)]


def test_an_idempotent_producer_outlives_the_endpoint(own_endpoint: Endpoint, names: Names) -> None:
    topic = names("t")
    own_endpoint.clients().create(topic)
    producer = Producer(own_endpoint.options(enable_idempotence=True, linger_ms=1))
    errors: list[Any] = []
    for number in range(3000):
        producer.produce(topic, b"%d" % number, on_delivery=lambda error, _message: errors.append(error))
        producer.poll(0)
        if number in (500, 1500, 2500):
            own_endpoint.restart()
    assert producer.flush(PATIENCE_S) == 0
    assert errors == [None] * 3000
    read = [one.value for one in own_endpoint.clients().read(topic)]
    assert read == [b"%d" % number for number in range(3000)], "each once, in order"
