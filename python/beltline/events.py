"""Events: what a stream yields when the key, the headers and the record's address matter besides the value."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, Final, TypeAlias

from ._native import Message, current_stream
from .types import TP

if TYPE_CHECKING:
    from types import TracebackType

    from .app.base import App
    from .sending import FutureMessage

__all__ = ["Event", "MemoryMessage", "current_event"]

#: Says that an argument was not given where None has a meaning of its own.
USE_EXISTING: Final[Any] = object()

HeadersArgument: TypeAlias = Mapping[str, bytes | None] | Sequence[tuple[str, bytes | None]] | None


class MemoryMessage:
    """What a `Message` is to a record of a topic, for an item of a channel in memory."""

    __slots__ = ("_headers", "acked", "key", "offset", "partition", "timestamp", "topic", "value")

    def __init__(
        self,
        key: Any,
        value: Any,
        *,
        topic: str = "",
        partition: int = 0,
        offset: int = 0,
        timestamp: float | None = None,
        headers: HeadersArgument = None,
    ) -> None:
        self.key = key
        self.value = value
        self.topic = topic
        self.partition = partition
        self.offset = offset
        self.timestamp = time.time() if timestamp is None else timestamp
        self._headers = headers
        self.acked = False

    @property
    def headers(self) -> list[tuple[str, bytes | None]]:
        """The headers as pairs, in the order given."""
        return header_pairs(self._headers)

    @property
    def timestamp_ms(self) -> int:
        """Milliseconds since the epoch."""
        return int(self.timestamp * 1000)

    @property
    def tp(self) -> TP:
        """Topic and partition."""
        return TP(self.topic, self.partition)

    def ack(self) -> bool:
        """Count the item as done; returns False when it was done before."""
        first, self.acked = not self.acked, True
        return first

    def release(self) -> bool:
        """Nothing keeps an item of a channel; returns False when it was done before."""
        return not self.acked


def header_pairs(headers: HeadersArgument) -> list[tuple[str, bytes | None]]:
    """Return headers in the one form in which they are stored."""
    if not headers:
        return []
    return list(headers.items()) if isinstance(headers, Mapping) else list(headers)


class Event:
    """A key and a value from a stream, with the record they came in.

    Attributes:
        app: The app whose stream it is.
        key: The decoded key.
        value: The decoded value.
        message: The record: topic, partition, offset, timestamp, headers, raw key and value.
    """

    __slots__ = ("__weakref__", "_headers", "app", "key", "message", "value")

    def __init__(
        self,
        app: App,
        key: Any,
        value: Any,
        headers: HeadersArgument,
        message: Message | MemoryMessage,
    ) -> None:
        self.app = app
        self.key = key
        self.value = value
        self.message = message
        self._headers: dict[str, Any] | None = None if headers is None else dict(header_pairs(headers))

    @property
    def headers(self) -> dict[str, Any]:
        """The headers by name; of several with one name the last."""
        if self._headers is None:
            self._headers = dict(self.message.headers)
        return self._headers

    @property
    def acked(self) -> bool:
        """Whether the event counts as done."""
        return self.message.acked

    def ack(self) -> bool:
        """Count the event as done; returns False when it was done or given back before."""
        return self.message.ack()

    async def send(
        self,
        channel: Any,
        key: Any = USE_EXISTING,
        value: Any = USE_EXISTING,
        partition: int | None = None,
        timestamp: float | None = None,
        headers: HeadersArgument = USE_EXISTING,
        **options: Any,
    ) -> FutureMessage:
        """Send this event's decoded key, value and headers to another channel, encoded as that channel says.

        Args:
            channel: A topic, a channel, or the name of a topic.
            key: Instead of this event's key.
            value: Instead of this event's value.
            partition: None lets the key decide.
            timestamp: Seconds since the epoch; None is the moment it is appended.
            headers: Instead of this event's headers.
            options: What `Topic.send` takes besides.
        """
        return await self.app.send(
            channel,
            key=self.key if key is USE_EXISTING else key,
            value=self.value if value is USE_EXISTING else value,
            partition=partition,
            timestamp=timestamp,
            headers=self.headers if headers is USE_EXISTING else headers,
            **options,
        )

    async def forward(
        self,
        channel: Any,
        key: Any = USE_EXISTING,
        value: Any = USE_EXISTING,
        partition: int | None = None,
        timestamp: float | None = None,
        headers: HeadersArgument = USE_EXISTING,
        **options: Any,
    ) -> FutureMessage:
        """Send this event's raw bytes to another channel, untouched; the arguments are those of `send`."""
        return await self.app.send(
            channel,
            key=self.message.key if key is USE_EXISTING else key,
            value=self.message.value if value is USE_EXISTING else value,
            partition=partition,
            timestamp=timestamp,
            headers=self.headers if headers is USE_EXISTING else headers,
            **{"key_serializer": "raw", "value_serializer": "raw", **options},
        )

    async def __aenter__(self) -> Event:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.ack()

    def __repr__(self) -> str:
        return f"<{type(self).__name__}: key={self.key!r} value={self.value!r}>"


def current_event() -> Any | None:
    """Return the event that the running task (or thread) works on, or None outside of a stream.

    Example:
        >>> current_event() is None
        True
    """
    stream = current_stream()
    return None if stream is None else stream.current_event
