"""Scripts of what kafka-python, aiokafka and kcat do, each run against the endpoint and against a real Apache Kafka.

Each of them returns the answers by the names of the actions, without the names of this run.
"""

from __future__ import annotations

import asyncio
import json
import subprocess
import time
from collections.abc import Awaitable, Callable
from typing import Any
from uuid import uuid4

from endpoints import PATIENCE_S, Clients

__all__ = ["aiokafka_answers", "kafka_python_answers", "kcat_answers"]

#: Within the week that Kafka keeps records by default.
TIME_MS = (int(time.time()) - 3600) * 1000

#: Key, value, headers: null and empty are not the same, names may come twice.
RECORDS: list[tuple[bytes | None, bytes | None, list[tuple[str, bytes]]]] = [
    (b"k", b"v" * 100, [("h", b"1"), ("h", b""), ("\u00e9", b"x")]),
    (b"k", None, []),
    (None, b"", [("h", b"1")]),
    (b"", b"x", []),
]


def outcome(act: Callable[[], Any]) -> Any:
    """Return what an action returns, or the name of its error."""
    try:
        return act()
    except Exception as error:
        return {"error": type(error).__name__}


async def outcome_of(doing: Awaitable[Any]) -> Any:
    """Return what an action returns, or the name of its error."""
    try:
        return await asyncio.wait_for(doing, PATIENCE_S)
    except Exception as error:
        return {"error": type(error).__name__}


def namer() -> Callable[[str], str]:
    """Return what makes names of this run."""
    run = uuid4().hex[:8]
    return lambda name: f"clients-{run}-{name}"


def told(record: Any) -> tuple[Any, ...]:
    """Return what is compared of a record that kafka-python or aiokafka read."""
    headers = [tuple(header) for header in record.headers]
    return record.offset, record.key, record.value, headers, record.timestamp - TIME_MS, record.timestamp_type


def kafka_python_answers(bootstrap: str) -> dict[str, Any]:
    """Write, read, look offsets up, share a group, commit and abort with kafka-python."""
    import kafka
    from kafka.structs import OffsetAndMetadata, TopicPartition

    name, clients, seen = namer(), Clients(bootstrap), dict[str, Any]()
    address: dict[str, Any] = {"bootstrap_servers": bootstrap}
    for codec in (None, "gzip", "snappy", "lz4", "zstd"):
        topic = name(f"{codec}")
        clients.create(topic)
        producer = kafka.KafkaProducer(**address, compression_type=codec, linger_ms=20)
        sent = [
            producer.send(topic, key=key, value=value, headers=headers, timestamp_ms=TIME_MS + number)
            for number, (key, value, headers) in enumerate(RECORDS)
        ]
        reports = [one.get(PATIENCE_S) for one in sent]
        producer.close()
        seen[f"{codec}: reports"] = [(one.partition, one.offset, one.timestamp - TIME_MS) for one in reports]
        reader = kafka.KafkaConsumer(**address, auto_offset_reset="earliest", consumer_timeout_ms=PATIENCE_S * 1000)
        reader.assign([TopicPartition(topic, 0)])
        seen[f"{codec}: records"] = [told(next(reader)) for _ in RECORDS]
        reader.close()
    place = TopicPartition(name("None"), 0)
    reader = kafka.KafkaConsumer(**address, group_id=name("g"), enable_auto_commit=False, auto_offset_reset="none")
    seen["begin"] = outcome(lambda: reader.beginning_offsets([place])[place])
    seen["end"] = outcome(lambda: reader.end_offsets([place])[place])
    for after in (-1000, 2, 4):
        found = outcome(lambda at=TIME_MS + after: reader.offsets_for_times({place: at})[place])  # type: ignore[misc]
        seen[f"the time {after}"] = found and (found.offset, found.timestamp - TIME_MS)
    reader.subscribe([place.topic])
    deadline = time.monotonic() + PATIENCE_S
    while not reader.assignment() and time.monotonic() < deadline:
        outcome(lambda: reader.poll(100))
    seen["assigned"] = len(reader.assignment())
    seen["nothing is committed"] = reader.committed(place)
    seen["commit offsets"] = outcome(lambda: reader.commit({place: OffsetAndMetadata(3, "here", -1)}))
    seen["committed"] = outcome(lambda: tuple(reader.committed(place, metadata=True)))
    reader.seek(place, 100)
    seen["read behind the end"] = outcome(lambda: reader.poll(PATIENCE_S * 1000))
    reader.close()
    topic = name("of-transactions")
    clients.create(topic)
    producer = kafka.KafkaProducer(**address, transactional_id=name("id"))
    seen["init"] = outcome(producer.init_transactions)
    for end in ("abort", "commit"):
        producer.begin_transaction()
        seen[f"{end}: report"] = producer.send(topic, end.encode()).get(PATIENCE_S).offset
        seen[f"{end}: open"] = [one.value for one in clients.read(topic)]
        moved = {TopicPartition(topic, 0): OffsetAndMetadata(1, end, -1)}
        seen[f"{end}: offsets"] = outcome(lambda at=moved: producer.send_offsets_to_transaction(at, name("moved")))  # type: ignore[misc]
        seen[end] = outcome(getattr(producer, f"{end}_transaction"))
        seen[f"{end}: ended"] = [one.value for one in clients.read(topic)]
        seen[f"{end}: committed"] = clients.committed(name("moved"), topic)
    successor = kafka.KafkaProducer(**address, transactional_id=name("id"))
    successor.init_transactions()
    producer.begin_transaction()
    seen["send as a zombie"] = outcome(lambda: producer.send(topic, b"zombie").get(PATIENCE_S))
    for one in (producer, successor):
        one.close(timeout=1)
    return seen


def aiokafka_answers(bootstrap: str) -> dict[str, Any]:
    """Write, read, look offsets up, share a group, commit and abort with aiokafka."""
    return asyncio.run(aiokafka_script(bootstrap))


async def aiokafka_script(bootstrap: str) -> dict[str, Any]:
    """Do it on a loop."""
    import aiokafka

    # A fenced producer leaves its error unread in futures of its own, which are told of here when they are collected.
    asyncio.get_running_loop().set_exception_handler(lambda _loop, _context: None)
    name, clients, seen = namer(), Clients(bootstrap), dict[str, Any]()
    topic = name("records")
    clients.create(topic, partitions=2)
    place = aiokafka.TopicPartition(topic, 0)
    for idempotent in (False, True):
        producer = aiokafka.AIOKafkaProducer(
            bootstrap_servers=bootstrap, enable_idempotence=idempotent, compression_type="gzip"
        )
        await producer.start()
        reports = [
            await producer.send_and_wait(topic, value, key, 0, TIME_MS + number, headers)
            for number, (key, value, headers) in enumerate(RECORDS)
        ]
        await producer.stop()
        seen[f"reports, {idempotent}"] = [(one.offset, one.timestamp - TIME_MS) for one in reports]
    reader = aiokafka.AIOKafkaConsumer(
        topic,
        bootstrap_servers=bootstrap,
        group_id=name("g"),
        enable_auto_commit=False,
        auto_offset_reset="earliest",
        isolation_level="read_committed",
    )
    await reader.start()
    seen["assigned"] = len(reader.assignment())
    seen["records"] = [told(await asyncio.wait_for(reader.getone(place), PATIENCE_S)) for _ in range(8)]
    seen["begin"] = (await reader.beginning_offsets([place]))[place]
    seen["end"] = (await reader.end_offsets([place]))[place]
    for after in (-1000, 2, 4):
        found = (await reader.offsets_for_times({place: TIME_MS + after}))[place]
        seen[f"the time {after}"] = found and (found.offset, found.timestamp - TIME_MS)
    seen["nothing is committed"] = await reader.committed(place)
    seen["commit offsets"] = await outcome_of(reader.commit({place: (3, "here")}))
    seen["committed"] = await reader.committed(place)
    await reader.stop()
    producer = aiokafka.AIOKafkaProducer(bootstrap_servers=bootstrap, transactional_id=name("id"))
    await producer.start()
    for end in ("abort", "commit"):
        await producer.begin_transaction()
        seen[f"{end}: report"] = (await producer.send_and_wait(topic, end.encode(), partition=1)).offset
        seen[f"{end}: open"] = [one.value for one in clients.read(topic) if one.partition == 1]
        moved = producer.send_offsets_to_transaction({place: 7}, name("moved"))
        seen[f"{end}: offsets"] = await outcome_of(moved)
        seen[end] = await outcome_of(getattr(producer, f"{end}_transaction")())
        seen[f"{end}: ended"] = [one.value for one in clients.read(topic) if one.partition == 1]
        seen[f"{end}: committed"] = clients.committed(name("moved"), topic)
    successor = aiokafka.AIOKafkaProducer(bootstrap_servers=bootstrap, transactional_id=name("id"))
    await successor.start()
    await producer.begin_transaction()
    seen["send as a zombie"] = await outcome_of(producer.send_and_wait(topic, b"zombie", partition=1))
    await outcome_of(producer.stop())
    await successor.stop()
    return seen


def kcat_answers(bootstrap: str) -> dict[str, Any]:
    """Write, read, look offsets up and list with kcat."""
    name, clients, seen = namer(), Clients(bootstrap), dict[str, Any]()
    topic = name("t")
    clients.create(topic, partitions=2)

    def kcat(*arguments: str, given: str = "") -> str:
        command = ["kcat", "-b", bootstrap, *arguments]
        done = subprocess.run(command, input=given, capture_output=True, text=True, timeout=PATIENCE_S, check=False)
        return done.stdout if done.returncode == 0 else f"error {done.stderr}"

    written = ["-P", "-t", topic, "-p", "0", "-K:", "-H", "a=b", "-H", "a=", "-Z"]
    for codec in ("none", "gzip", "snappy", "lz4", "zstd"):
        seen[f"write, {codec}"] = kcat(*written, "-z", codec, given="k:v\nk:\n:v\n")
    form = ["-e", "-q", "-u", "-f", "%p %o %K %k %S %s %h\\n"]
    seen["read"] = kcat("-C", "-t", topic, *form)
    seen["read from an offset"] = kcat("-C", "-t", topic, "-p", "0", "-o", "12", *form)
    seen["read the last two"] = kcat("-C", "-t", topic, "-p", "0", "-o", "-2", *form)
    seen["read in a group"] = kcat("-G", name("g"), "-X", "auto.offset.reset=earliest", "-c", "15", *form[1:], topic)
    for when in ("-2", "-1", "0"):
        seen[f"offset for {when}"] = kcat("-Q", "-t", f"{topic}:0:{when}").replace(topic, "topic")
    listed = json.loads(kcat("-L", "-J", "-t", topic))
    seen["listed"] = [len(listed["topics"]), len(listed["brokers"])]
    partitions = listed["topics"][0]["partitions"]
    seen["partitions"] = [(one["partition"], one["leader"], len(one["replicas"])) for one in partitions]
    return seen
