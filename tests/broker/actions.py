"""One script of what clients do, run against the endpoint and against a real Apache Kafka; the answers are compared."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any
from uuid import uuid4

from confluent_kafka import (
    Consumer,
    ConsumerGroupTopicPartitions,
    KafkaException,
    Producer,
    TopicPartition,
)
from confluent_kafka.admin import ConfigResource, NewTopic
from endpoints import PATIENCE_S, Clients

__all__ = ["run"]

#: Within the week that Kafka keeps records by default.
TIME_MS = (int(time.time()) - 3600) * 1000


def outcome(act: Callable[[], Any]) -> Any:
    """Return what an action returns, or the name of Kafka's error."""
    try:
        return act()
    except KafkaException as caught:
        error = caught.args[0]
        flags = [name for name in ("fatal", "retriable", "txn_requires_abort") if getattr(error, name)()]
        return [error.name(), *flags]


def run(bootstrap: str) -> dict[str, Any]:
    """Return the answers by the names of the actions."""
    script = Script(bootstrap)
    script.topics()
    script.records()
    script.groups()
    script.transactions()
    return script.seen


class Script:
    """The actions in order, and what came of them.

    Args:
        bootstrap: Host and port of the broker.
    """

    def __init__(self, bootstrap: str) -> None:
        self.clients = Clients(bootstrap)
        self.options = {"bootstrap.servers": bootstrap, "log_level": 0}
        self.run_id = uuid4().hex[:8]
        self.seen: dict[str, Any] = {}

    def name(self, name: str) -> str:
        """Return a name of this run."""
        return f"diff-{self.run_id}-{name}"

    def note(self, what: str, act: Callable[[], Any]) -> None:
        """Keep what comes of an action, without this run's names in it."""
        self.seen[what] = outcome(act)

    def topics(self) -> None:
        """Create, describe, refuse, delete."""
        admin, topic = self.clients.admin, self.name("topics")

        def create(new: NewTopic) -> Any:
            return admin.create_topics([new])[new.topic].result(PATIENCE_S)

        self.note("create", lambda: create(NewTopic(topic, 3, config={"cleanup.policy": "compact"})))
        self.note("create again", lambda: create(NewTopic(topic, 3)))
        self.note("create without partitions", lambda: create(NewTopic(self.name("none"), 0)))
        self.note("create with three copies", lambda: create(NewTopic(self.name("copies"), 1, 3)))
        self.note(
            "create with an unknown setting", lambda: create(NewTopic(self.name("s"), 1, config={"no.such": "1"}))
        )
        self.note("create with a bad value", lambda: create(NewTopic(self.name("v"), 1, config={"retention.ms": "x"})))
        self.note("create with a bad name", lambda: create(NewTopic("no name", 1)))
        self.note("partitions", lambda: self.clients.partitions(topic))

        def setting(which: str) -> Any:
            found = admin.describe_configs([ConfigResource("topic", which)])
            return next(iter(found.values())).result(PATIENCE_S)["cleanup.policy"].value

        self.note("setting", lambda: setting(topic))
        self.note("setting of nothing", lambda: setting(self.name("nothing")))
        self.note("delete", lambda: admin.delete_topics([topic])[topic].result(PATIENCE_S))
        self.note("delete again", lambda: admin.delete_topics([topic])[topic].result(PATIENCE_S))

    def records(self) -> None:
        """Write and read, by all codecs; look offsets up."""
        for codec in ("none", "gzip", "snappy", "lz4", "zstd"):
            topic = self.name(codec)
            self.clients.create(topic)
            producer = Producer({**self.options, "compression.type": codec, "linger.ms": 20})
            offsets: list[Any] = []
            for number in range(20):
                producer.produce(
                    topic,
                    key=[b"k", None, b""][number % 3],
                    value=[b"v" * 100, b"", None][number % 3] if number % 2 else b"x",
                    headers=[("h", b"1"), ("h", None), ("e", b"")][: number % 4],
                    timestamp=TIME_MS + number * 10,
                    on_delivery=lambda error, message, kept=offsets: kept.append((error, message.offset())),
                )
            producer.flush(PATIENCE_S)
            self.seen[f"{codec}: reports"] = list(offsets)
            self.seen[f"{codec}: records"] = [
                (one.offset, one.key, one.value, one.headers, one.timestamp_ms) for one in self.clients.read(topic)
            ]
        topic = self.name("none")
        consumer = Consumer({**self.options, "group.id": self.name("lookup")})
        for time_ms in (0, TIME_MS + 95, TIME_MS + 190, TIME_MS + 191):
            self.note(
                f"offset for {time_ms}",
                lambda at=time_ms: consumer.offsets_for_times([TopicPartition(topic, 0, at)], PATIENCE_S)[0].offset,
            )
        self.note("watermarks", lambda: consumer.get_watermark_offsets(TopicPartition(topic, 0), PATIENCE_S))
        self.note("watermarks of nothing", lambda: consumer.get_watermark_offsets(TopicPartition(topic, 9), 5))
        consumer.close()

    def groups(self) -> None:
        """Join, commit, leave; commit as somebody who may not."""
        topic, group = self.name("of-group"), self.name("g")
        self.clients.create(topic, partitions=2)
        admin = self.clients.admin
        self.note("offsets of no group", lambda: self.clients.committed(group, topic))
        self.note("delete no group", lambda: admin.delete_consumer_groups([group])[group].result(PATIENCE_S))
        member = self.clients.consumer(group, **{"session.timeout.ms": 6000})
        at = [TopicPartition(topic, 0, 5, metadata="here")]
        self.note("commit without members", lambda: bool(member.commit(offsets=at, asynchronous=False)))
        member.subscribe([topic])
        deadline = time.monotonic() + PATIENCE_S
        while len(member.assignment()) < 2 and time.monotonic() < deadline:
            member.poll(0.1)

        def described() -> Any:
            found = admin.describe_consumer_groups([group])[group].result(PATIENCE_S)
            owned = [
                (one.topic == topic, one.partition) for m in found.members for one in m.assignment.topic_partitions
            ]
            return found.state.name, found.partition_assignor, sorted(owned)

        self.note("described", described)
        stranger = Consumer({**self.options, "group.id": group})
        self.note("commit of a stranger", lambda: stranger.commit(offsets=at, asynchronous=False))
        stranger.close()
        self.note("delete a living group", lambda: admin.delete_consumer_groups([group])[group].result(PATIENCE_S))
        nowhere = [TopicPartition(self.name("nothing"), 0, 5)]
        self.note("commit for no topic", lambda: member.commit(offsets=nowhere, asynchronous=False)[0].error.name())
        self.metadata = member.consumer_group_metadata()
        member.close()
        self.note("described when empty", described)
        wanted = [ConsumerGroupTopicPartitions(group)]
        self.note(
            "offsets",
            lambda: [
                (one.partition, one.offset, one.metadata)
                for one in admin.list_consumer_group_offsets(wanted)[group].result(PATIENCE_S).topic_partitions
            ],
        )
        self.note("delete", lambda: admin.delete_consumer_groups([group])[group].result(PATIENCE_S))

    def transactions(self) -> None:
        """Abort, commit, fence, and commit offsets as somebody who may not."""
        topic = self.name("of-transactions")
        self.clients.create(topic)
        options = {**self.options, "transactional.id": self.name("id"), "transaction.timeout.ms": 10_000}
        first = Producer(options)
        self.note("init", lambda: first.init_transactions(PATIENCE_S))
        for end in ("abort", "commit"):
            first.begin_transaction()
            for number in range(3):
                first.produce(topic, f"{end}-{number}")
            first.flush(PATIENCE_S)
            self.note(f"{end}: open", lambda: [one.value for one in self.clients.read(topic)])
            self.note(end, getattr(first, f"{end}_transaction"))
            self.note(f"{end}: ended", lambda: [one.value for one in self.clients.read(topic)])
        self.seen["end"] = self.clients.ends(topic)
        self.seen["uncommitted"] = [one.value for one in self.clients.read(topic, isolation="read_uncommitted")]
        first.begin_transaction()
        first.produce(topic, "x")
        gone = [TopicPartition(topic, 0, 1)]
        self.note("offsets of who left", lambda: first.send_offsets_to_transaction(gone, self.metadata, PATIENCE_S))
        self.note("abort after it", lambda: first.abort_transaction(PATIENCE_S))
        second = Producer(options)
        self.note("take over", lambda: second.init_transactions(PATIENCE_S))
        first.begin_transaction()
        self.note("send as a zombie", lambda: first.produce(topic, "zombie"))
        self.note("commit as a zombie", lambda: first.commit_transaction(PATIENCE_S))
        self.note("after the zombie", lambda: [one.value for one in self.clients.read(topic)])
        too_long = Producer({**options, "transactional.id": self.name("long"), "transaction.timeout.ms": 1_000_000})
        self.note("a timeout above the broker's", lambda: too_long.init_transactions(PATIENCE_S))
