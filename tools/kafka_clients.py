"""A witness for tests, demos and benchmarks: confluent-kafka, which knows nothing of beltline, writes and reads."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Final
from uuid import uuid4

from confluent_kafka import Consumer, ConsumerGroupTopicPartitions, KafkaException, Producer, TopicPartition
from confluent_kafka.admin import AdminClient, AlterConfigOpType, ConfigEntry, ConfigResource, NewPartitions, NewTopic

#: What is not there by then does not come.
PATIENCE_S: Final = 60.0


@dataclass(frozen=True)
class Seen:
    """A record as it lies in a topic."""

    topic: str
    partition: int
    offset: int
    key: bytes | None
    value: bytes | None
    timestamp_ms: int
    headers: tuple[tuple[str, bytes | None], ...]


class Clients:
    """What a test does on a broker beside beltline.

    Args:
        bootstrap: ``host:port``, with commas.
        options: librdkafka options of all clients made here, such as credentials.
    """

    def __init__(self, bootstrap: str, options: Mapping[str, Any] | None = None) -> None:
        self.options = {"bootstrap.servers": bootstrap, "log_level": 2, **(options or {})}
        self._admin: AdminClient | None = None

    @property
    def admin(self) -> AdminClient:
        """An admin client, kept."""
        if self._admin is None:
            self._admin = AdminClient(self.options)
        return self._admin

    def create(
        self, *topics: str, partitions: int = 1, copies: int = -1, config: Mapping[str, str] | None = None
    ) -> None:
        """Create topics and wait until they can be written."""
        new = [NewTopic(name, partitions, copies, config=dict(config or {})) for name in topics]
        for future in self.admin.create_topics(new).values():
            future.result(PATIENCE_S)
        until(lambda: all(self.partitions(name) == partitions for name in topics), f"topics {topics} to appear")

    def delete(self, *topics: str) -> None:
        """Delete topics and wait until they are gone."""
        for future in self.admin.delete_topics(list(topics)).values():
            future.result(PATIENCE_S)
        until(lambda: not set(topics) & self.topics(), f"topics {topics} to go")

    def add_partitions(self, topic: str, count: int) -> None:
        """Raise the number of partitions to `count`."""
        for future in self.admin.create_partitions([NewPartitions(topic, count)]).values():
            future.result(PATIENCE_S)
        until(lambda: self.partitions(topic) == count, f"{topic} to have {count} partitions")

    def truncate(self, topic: str, partition: int, before: int) -> None:
        """Delete the records of a partition below an offset, as retention does."""
        for future in self.admin.delete_records([TopicPartition(topic, partition, before)]).values():
            future.result(PATIENCE_S)

    def configure(self, topic: str, **config: str) -> None:
        """Change the configuration of a topic; underscores stand for dots."""
        entries = [
            ConfigEntry(name.replace("_", "."), value, incremental_operation=AlterConfigOpType.SET)
            for name, value in config.items()
        ]
        resource = ConfigResource("topic", topic, incremental_configs=entries)
        for future in self.admin.incremental_alter_configs([resource]).values():
            future.result(PATIENCE_S)

    def topics(self) -> set[str]:
        """Return the names of all topics."""
        return set(self.admin.list_topics(timeout=PATIENCE_S).topics)

    def partitions(self, topic: str) -> int:
        """Return how many partitions a topic has; 0 when it does not exist."""
        found = self.admin.list_topics(topic, timeout=PATIENCE_S).topics[topic]
        return 0 if found.error else len(found.partitions)

    def config(self, topic: str) -> dict[str, str]:
        """Return the configuration of a topic."""
        (future,) = self.admin.describe_configs([ConfigResource("topic", topic)]).values()
        return {name: entry.value for name, entry in future.result(PATIENCE_S).items()}

    def produce(self, topic: str, records: Iterable[tuple[Any, ...]], **options: Any) -> None:
        """Write records ``(key, value)`` or ``(key, value, partition)`` and wait until the broker has them all."""
        failures: list[Any] = []
        producer = Producer({**self.options, "linger.ms": 5, "enable.idempotence": True, **options})

        def delivered(error: Any, _message: Any) -> None:
            if error is not None:
                failures.append(error)

        for key, value, *rest in records:
            where = {"partition": rest[0]} if rest else {}
            while True:
                try:
                    producer.produce(topic, key=key, value=value, on_delivery=delivered, **where)
                    break
                except BufferError:
                    producer.poll(0.1)
            producer.poll(0)
        left = producer.flush(PATIENCE_S)
        assert not left, f"{left} records were not delivered to {topic}"
        assert not failures, f"not delivered to {topic}: {failures[:3]}"

    def produce_at(self, topic: str, timestamps_ms: Iterable[int]) -> None:
        """Write one record for each timestamp, in this order, and wait until the broker has them all."""
        producer = Producer({**self.options, "linger.ms": 5, "enable.idempotence": True})
        for timestamp in timestamps_ms:
            producer.produce(topic, key=b"k", value=b"%d" % timestamp, timestamp=timestamp)
        assert producer.flush(PATIENCE_S) == 0, f"records were not delivered to {topic}"

    def read(self, topic: str, *, isolation: str = "read_committed", timeout: float = PATIENCE_S) -> list[Seen]:
        """Return everything that lies in a topic now, partition by partition.

        The ends are sampled first and read up to, whatever markers and gaps are there.
        """
        consumer = self.consumer(f"witness-{uuid4().hex}", isolation=isolation)
        try:
            count = self.partitions(topic)
            ends = {}
            for partition in range(count):
                low, high = watermarks(consumer, topic, partition, timeout)
                if high > low:
                    ends[partition] = high
            consumer.assign([TopicPartition(topic, partition, 0) for partition in ends])
            # A client may read a stretch again when a partition gets another leader; what lies there lies there once.
            found = {(one.partition, one.offset): one for one in self._until_ends(consumer, topic, ends, timeout)}
        finally:
            consumer.close()
        return [found[place] for place in sorted(found)]

    def _until_ends(self, consumer: Consumer, topic: str, ends: dict[int, int], timeout: float) -> Iterator[Seen]:
        deadline = time.monotonic() + timeout
        waiting = dict(ends)
        while waiting:
            for message in consumer.consume(1000, timeout=0.2):
                if message.error() is None and message.offset() < ends[message.partition()]:
                    yield seen(message)
            positions = consumer.position([TopicPartition(topic, partition) for partition in waiting])
            for one in positions:
                if one.offset >= waiting.get(one.partition, 1 << 62):
                    del waiting[one.partition]
            if waiting and time.monotonic() > deadline:
                raise TimeoutError(f"{topic} could not be read to its ends within {timeout:g} s: still {waiting}")

    def consumer(self, group: str, *, isolation: str = "read_committed", **options: Any) -> Consumer:
        """Return a consumer that commits only when told."""
        return Consumer(
            {
                **self.options,
                "group.id": group,
                "enable.auto.commit": False,
                "auto.offset.reset": "earliest",
                "isolation.level": isolation,
                "fetch.queue.backoff.ms": 20,
                **options,
            }
        )

    def committed(self, group: str, topic: str) -> dict[int, int]:
        """Return the committed offsets of a group by partition; partitions without one are left out."""
        consumer = self.consumer(group)
        try:
            wanted = [TopicPartition(topic, partition) for partition in range(self.partitions(topic))]
            found = consumer.committed(wanted, timeout=PATIENCE_S)
            return {one.partition: one.offset for one in found if one.offset >= 0}
        finally:
            consumer.close()

    def ends(self, topic: str, *, isolation: str = "read_committed") -> dict[int, int]:
        """Return the end of each partition: the next record's offset, or the first one of an open transaction."""
        consumer = self.consumer(f"witness-{uuid4().hex}", isolation=isolation)
        try:
            return {one: watermarks(consumer, topic, one)[1] for one in range(self.partitions(topic))}
        finally:
            consumer.close()

    def lag(self, group: str, topic: str) -> int:
        """Return how many offsets a group is behind the ends; what was never committed counts from 0."""
        committed = self.committed(group, topic)
        return sum(end - committed.get(partition, 0) for partition, end in self.ends(topic).items())

    def group_lag(self, group: str) -> dict[str, int]:
        """Return how many offsets a group is behind, by topic, over all partitions that it has ever committed."""
        (future,) = self.admin.list_consumer_group_offsets([ConsumerGroupTopicPartitions(group)]).values()
        positions = [one for one in future.result(PATIENCE_S).topic_partitions if one.offset >= 0]
        consumer = self.consumer(f"witness-{uuid4().hex}")
        found: dict[str, int] = {}
        try:
            for one in positions:
                _, end = watermarks(consumer, one.topic, one.partition)
                found[one.topic] = found.get(one.topic, 0) + end - one.offset
        finally:
            consumer.close()
        return found

    def members(self, group: str) -> list[Any]:
        """Return the members that a group has."""
        future = self.admin.describe_consumer_groups([group])[group]
        return list(future.result(PATIENCE_S).members)


def watermarks(consumer: Consumer, topic: str, partition: int, timeout: float = PATIENCE_S) -> tuple[int, int]:
    """Return where a partition begins and ends; a leader that has just become one needs a moment to know.

    Raises:
        KafkaException: It does not answer for so long.
    """
    deadline = time.monotonic() + timeout
    while True:
        try:
            low, high = consumer.get_watermark_offsets(TopicPartition(topic, partition), timeout=timeout)
        except KafkaException:
            if time.monotonic() > deadline:
                raise
            time.sleep(0.1)
        else:
            return int(low), int(high)


def seen(message: Any) -> Seen:
    """Return what is compared of a message."""
    _, timestamp = message.timestamp()
    return Seen(
        message.topic(),
        message.partition(),
        message.offset(),
        message.key(),
        message.value(),
        timestamp,
        tuple(message.headers() or ()),
    )


def until(holds: Callable[[], bool], what: str, timeout: float = PATIENCE_S) -> None:
    """Return when something holds; brokers that cannot answer just now are asked again.

    Raises:
        AssertionError: It does not, for too long.
    """
    deadline, error = time.monotonic() + timeout, None
    while True:
        try:
            if holds():
                return
        except KafkaException as raised:
            error = raised
        assert time.monotonic() < deadline, f"waited {timeout:g} s for {what}" + (f"; {error}" if error else "")
        time.sleep(0.1)
