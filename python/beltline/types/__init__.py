"""Small types that appear in signatures."""

from __future__ import annotations

from typing import NamedTuple

__all__ = ["TP", "RecordMetadata"]


class TP(NamedTuple):
    """A partition of a topic."""

    topic: str
    partition: int


class RecordMetadata(NamedTuple):
    """Where a record that was sent is in the log.

    Attributes:
        topic: Name of the topic.
        partition: Number of the partition.
        topic_partition: Both.
        offset: Place in the partition.
        timestamp: Seconds since the epoch.
        timestamp_type: 0 when the sender stamped it, 1 when the log did.
    """

    topic: str
    partition: int
    topic_partition: TP
    offset: int
    timestamp: float | None = None
    timestamp_type: int | None = None
