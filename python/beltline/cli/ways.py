"""The ways to the log for a command: holding the data directory, or through the endpoint of the process that does."""

from __future__ import annotations

import random
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any, Protocol

from beltline.sending import CREATE_TIME
from beltline.types import TP, RecordMetadata

from .errors import CommandError
from .offline import COMMIT_S, close, endpoint_of, opened

if TYPE_CHECKING:
    from beltline._native import Endpoint
    from beltline.app import App
    from beltline.topics import Topic

__all__ = ["copied", "way_in"]

#: Bytes of one table that are copied to be shown.
MAX_TABLE_BYTES = 1 << 30


class Way(Protocol):
    """What ``send`` needs."""

    def topics(self) -> dict[str, int]:
        """Return the topics of the log with their partitions."""

    async def send(
        self,
        topic: Topic,
        key: bytes | None,
        value: bytes | None,
        partition: int | None,
        headers: list[tuple[str, bytes]],
    ) -> RecordMetadata:
        """Send one record and return where it is in the log."""


class Holding:
    """This process holds the data directory.

    Args:
        session: The open belt.
    """

    def __init__(self, session: Any) -> None:
        self.session = session

    def topics(self) -> dict[str, int]:
        """Return the topics of the log with their partitions."""
        return dict(self.session.belt.topics())

    async def send(
        self,
        topic: Topic,
        key: bytes | None,
        value: bytes | None,
        partition: int | None,
        headers: list[tuple[str, bytes]],
    ) -> RecordMetadata:
        """Send one record and return where it is in the log."""
        sent = await topic.send(
            key=key,
            value=value,
            partition=partition,
            headers=headers,
            key_serializer="raw",
            value_serializer="raw",
        )
        self.session.belt.request_commit()
        return await sent


class Visiting:
    """Another process holds it, and listens.

    Args:
        endpoint: Where it is reached.
    """

    def __init__(self, endpoint: Endpoint) -> None:
        self.endpoint = endpoint
        self._topics = dict(endpoint.topics())

    def topics(self) -> dict[str, int]:
        """Return the topics of the log with their partitions."""
        return self._topics

    async def send(
        self,
        topic: Topic,
        key: bytes | None,
        value: bytes | None,
        partition: int | None,
        headers: list[tuple[str, bytes]],
    ) -> RecordMetadata:
        """Send one record and return where it is in the log.

        Raises:
            CommandError: The topic has no such partition.
        """
        name = topic.get_topic_name()
        count = self._topics.get(name)
        if count is None:
            count = self._topics[name] = self.endpoint.make_topic(name)
        if partition is None and key is None:
            partition = random.randrange(count)
        if partition is not None and partition >= count:
            raise CommandError(f"topic {name} has {count} partitions, there is no {partition}")
        partition, offset, timestamp_ms = self.endpoint.append(name, count, partition, key, value, [*headers])
        return RecordMetadata(name, partition, TP(name, partition), offset, timestamp_ms / 1000.0, CREATE_TIME)


@asynccontextmanager
async def way_in(app: App) -> AsyncIterator[Way]:
    """Open the way that there is; what was sent is in the log at the end of the block.

    Raises:
        CommandError: Another process holds the directory and does not listen.
    """
    endpoint = endpoint_of(app)
    if endpoint is not None:
        yield Visiting(endpoint)
        return
    async with opened(app) as session:
        yield Holding(session)


@asynccontextmanager
async def copied(app: App, table: Any, endpoint: Endpoint) -> AsyncIterator[None]:
    """Let a table be read during a block, made in memory from the changelog that another process keeps.

    Raises:
        CommandError: The changelog is too large to be copied.
    """
    name = table.changelog_topic.get_topic_name()
    partitions = dict(endpoint.topics()).get(name)
    session = app.open_belt(memory=True)
    try:
        if partitions is not None:
            session.partitions[name] = session.belt.declare_topic(name, partitions, compacted=True)
            session.start()
            await copy_changelog(session, endpoint, name, partitions)
        session.attach(table)
        session.start()
        await session.wait_recovered()
        yield
    finally:
        close(app)


async def copy_changelog(session: Any, endpoint: Endpoint, name: str, partitions: int) -> None:
    """Copy the last value of every key into the memory of this process.

    Raises:
        CommandError: There is more than a table that can be shown has.
    """
    size = 0
    for partition in range(partitions):
        latest: dict[bytes, bytes | None] = {}
        offset = 0
        while True:
            records, following = endpoint.read(name, partition, offset)
            for key, value in records:
                if key is not None:
                    latest[key] = value
                    size += len(key) + len(value or b"")
            if size > MAX_TABLE_BYTES:
                raise CommandError(f"the changelog {name} is too large to be shown while the worker runs")
            if following <= offset:
                break
            offset = following
        for key, value in latest.items():
            if value is not None:
                await session.send(name, key, value, partition=partition)
    session.belt.commit(COMMIT_S)
