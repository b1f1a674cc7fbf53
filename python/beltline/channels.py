"""Channels: queues in memory that look like topics. A topic is the durable kind, see `beltline.topics`."""

from __future__ import annotations

import asyncio
import weakref
from collections.abc import AsyncIterator, Callable
from typing import TYPE_CHECKING, Any, Final, Literal, NamedTuple

from ._native import Message, Queue, RecordDecoder, Subscription
from .events import Event, HeadersArgument, MemoryMessage
from .sending import FutureMessage, PendingMessage
from .types import TP, RecordMetadata

if TYPE_CHECKING:
    from .app.base import App
    from .policies import PolicyArgument
    from .streams.reader import Reader
    from .streams.stream import Stream

__all__ = ["Channel", "Source"]

Decode = Callable[[bytes], Any] | RecordDecoder | Literal["bytes", "str", "none"]

#: What `Channel.get` waits for is looked at again after so many seconds; a put wakes it at once.
NO_TIMEOUT: Final = None


class Source(NamedTuple):
    """All that a stream needs to read a channel."""

    source: Subscription | Queue
    key_decode: Any = "bytes"
    value_decode: Any = "bytes"
    on_decode_error: Callable[[Message, Exception], object] | None = None


class Channel:
    """A queue in memory. Every stream on it sees every item that is sent while the stream exists.

    Args:
        app: The app it belongs to.
        key_type: For the reader of the program; keys are passed as they are.
        value_type: For the reader of the program; values are passed as they are.
        maxsize: `put` waits while a reader is so many items behind; None is the app's ``stream_buffer_maxsize``.

    Example:
        >>> import beltline
        >>> beltline.App("shop").channel().empty()
        True
    """

    def __init__(
        self,
        app: App,
        *,
        key_type: Any = None,
        value_type: Any = None,
        maxsize: int | None = None,
        root: Channel | None = None,
        queue: Queue | None = None,
        is_iterator: bool = False,
        **_: Any,
    ) -> None:
        self.app = app
        self.key_type = key_type
        self.value_type = value_type
        self.maxsize = maxsize
        self.is_iterator = is_iterator
        self._root = root
        self._queue = queue
        self._subscribers: weakref.WeakSet[Channel] = weakref.WeakSet()
        self._offset = 0
        self._iterator: AsyncIterator[Any] | None = None

    @property
    def root(self) -> Channel:
        """The channel that clones were made from."""
        return self if self._root is None else self._root

    @property
    def queue(self) -> Queue:
        """The items that wait for this clone."""
        if self._queue is None:
            maxsize = self.app.conf.stream_buffer_maxsize if self.maxsize is None else self.maxsize
            self._queue = Queue(maxsize)
        return self._queue

    @property
    def subscriber_count(self) -> int:
        """How many readers a sent item reaches."""
        return len(self.root._subscribers)

    @property
    def label(self) -> str:
        """What messages call it."""
        return f"{type(self).__name__}: {self}"

    def clone(self, *, is_iterator: bool | None = None, **options: Any) -> Channel:
        """Return a channel with the same options; with ``is_iterator=True`` one that receives what is sent here."""
        iterates = self.is_iterator if is_iterator is None else is_iterator
        made = type(self)(**{**self._options(), "root": self.root, "is_iterator": iterates, **options})
        if iterates:
            self.root._subscribers.add(made)
        return made

    def clone_using_queue(self, queue: Queue) -> Channel:
        """Return a receiving clone whose items go to `queue`."""
        return self.clone(queue=queue, is_iterator=True)

    def derive(self, **options: Any) -> Channel:
        """Return a channel of its own with the same options."""
        return self.clone(**{"root": None, **options})

    def _options(self) -> dict[str, Any]:
        return {
            "app": self.app,
            "key_type": self.key_type,
            "value_type": self.value_type,
            "maxsize": self.maxsize,
        }

    def stream(self, **options: Any) -> Stream[Any]:
        """Return a stream over what is sent from now on."""
        return self.app.stream(self, **options)

    def open_source(self, reader: Reader, on_decode_error: PolicyArgument | None = None) -> Source:
        """Return what a stream of `reader` reads; streams of one reader share the items."""
        subscriber = reader.keep(self, lambda: self if self.is_iterator else self.clone(is_iterator=True))
        return Source(subscriber.queue)

    def get_topic_name(self) -> str:
        """A channel in memory has none.

        Raises:
            NotImplementedError: Always.
        """
        raise NotImplementedError("a channel in memory has no topic name; use app.topic(name) for a durable one")

    async def send(
        self,
        *,
        key: Any = None,
        value: Any = None,
        partition: int | None = None,
        timestamp: float | None = None,
        headers: HeadersArgument = None,
        callback: Callable[[Any], Any] | None = None,
        **_: Any,
    ) -> FutureMessage:
        """Give a value to every reader; waits while one of them is full. Without a reader it is dropped.

        Returns:
            A future that is done already, with the item's metadata.
        """
        offset, self.root._offset = self.root._offset, self.root._offset + 1
        message = MemoryMessage(
            key, value, partition=partition or 0, offset=offset, timestamp=timestamp, headers=headers
        )
        await self.put(Event(self.app, key, value, headers, message), partition=partition)
        sent = FutureMessage(PendingMessage(self, key, value, partition, timestamp, headers, None, None, callback))
        sent.set_result(RecordMetadata("", message.partition, TP("", message.partition), offset, message.timestamp, 0))
        return sent

    async def put(self, event: Any, *, partition: int | None = None) -> None:
        """Give an event, or a bare value, to every reader; waits while one of them is full."""
        for subscriber in list(self.root._subscribers):
            queue = subscriber.queue
            while (writable := queue.when_writable()) is not None:
                await writable
            if queue.closed:
                self.root._subscribers.discard(subscriber)
            elif isinstance(event, Event):
                queue.put_nowait(event.value, event.key, event=event, partition=partition)
            else:
                queue.put_nowait(event, partition=partition)

    async def get(self, *, timeout: float | None = NO_TIMEOUT) -> Any:
        """Return the next event that was sent to this clone.

        Raises:
            TimeoutError: When nothing came within `timeout` seconds.
        """
        async with asyncio.timeout(timeout):
            return await anext(self)

    def empty(self) -> bool:
        """Whether nothing waits for this clone."""
        return self._queue is None or self._queue.qsize() == 0

    async def declare(self) -> None:
        """Nothing to declare in memory."""

    async def maybe_declare(self) -> None:
        """Nothing to declare in memory."""

    def close_queues(self) -> None:
        """End the streams of all readers after the items that are in."""
        for subscriber in list(self.root._subscribers):
            subscriber.queue.close()

    def __aiter__(self) -> AsyncIterator[Any]:
        return self if self.is_iterator else self.clone(is_iterator=True).__aiter__()

    async def __anext__(self) -> Any:
        if self._iterator is None:
            self._iterator = aiter(self.stream().events())
        return await anext(self._iterator)

    def __str__(self) -> str:
        return f"<channel {self.value_type.__name__ if isinstance(self.value_type, type) else 'of any'}>"

    def __repr__(self) -> str:
        return f"<{self.label}>"
