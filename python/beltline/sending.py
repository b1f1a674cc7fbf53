"""What sending gives back: a future of the record's place in the log."""

from __future__ import annotations

import asyncio
import inspect
from collections.abc import Callable, Generator
from typing import Any, Final, NamedTuple

from .events import HeadersArgument
from .exceptions import EventTakenBack, ProducerSendError
from .types import TP, RecordMetadata

__all__ = ["FutureMessage", "PendingMessage"]

#: ``RecordMetadata.timestamp_type`` of a record stamped by its sender.
CREATE_TIME: Final = 0


class PendingMessage(NamedTuple):
    """What was asked to be sent."""

    channel: Any
    key: Any
    value: Any
    partition: int | None = None
    timestamp: float | None = None
    headers: HeadersArgument = None
    key_serializer: Any = None
    value_serializer: Any = None
    callback: Callable[[Any], Any] | None = None


#: Where the callback stands in a `PendingMessage`.
CALLBACK: Final = PendingMessage._fields.index("callback")


class FutureMessage(asyncio.Future[RecordMetadata]):
    """Resolved with the record's metadata once it is in the log, that is, with the next commit.

    Args:
        message: What was asked to be sent, or the parts of a `PendingMessage`, or the first three of them; it is made
            when somebody looks at it. The engine puts another one in its place when nobody holds the future any more,
            which then stands for the next record.
        loop: Whose future it is; None is the running one.
    """

    __slots__ = ("_calling_back", "_kept", "_message")

    def __init__(
        self, message: PendingMessage | tuple[Any, ...], *, loop: asyncio.AbstractEventLoop | None = None
    ) -> None:
        super().__init__(loop=loop)
        self._message = message
        if len(message) > CALLBACK and message[CALLBACK] is not None:
            self.add_done_callback(self._call_back)

    @property
    def message(self) -> PendingMessage:
        """What was asked to be sent."""
        if type(self._message) is tuple:
            self._message = PendingMessage(*self._message)
        assert isinstance(self._message, PendingMessage)
        return self._message

    def deliver(self, topic: str, partition: int, offset: int, timestamp_ms: int) -> None:
        """Take the answer of the log."""
        if not self.done():
            where = TP(topic, partition)
            super().set_result(RecordMetadata(topic, partition, where, offset, timestamp_ms / 1000.0, CREATE_TIME))
        self._kept: Any = None

    def refuse(self, topic: str, partition: int, reason: str, comes_again: bool) -> None:
        """Hear that the record was not written; `comes_again` when it was sent on behalf of an event that does."""
        if not self.done():
            message = f"{topic}[{partition}]: a record was not written, because {reason}"
            if comes_again:
                error: BaseException = EventTakenBack(f"{message}; the event that it was sent for is delivered again")
            else:
                error = ProducerSendError(message)
            super().set_exception(error)
            # Not everybody who keeps a receipt wants to know.
            self.exception()
        self._kept = None

    def add_done_callback(self, fn: Callable[[Any], object], /, *, context: Any = None) -> None:
        """Call `fn` with this future when it is done, also when nobody holds the future any more."""
        # The log answers only those futures that somebody holds.
        if not self.done():
            self._kept = self
        super().add_done_callback(fn, context=context)

    # The engine uses a pending future again when nobody holds it. Whoever ended one himself holds it, so to say.

    def cancel(self, msg: Any = None) -> bool:
        """Give up waiting; the record is sent all the same."""
        self._kept = self
        return super().cancel(msg)

    def set_result(self, result: RecordMetadata, /) -> None:
        """End it with a result of one's own."""
        self._kept = self
        super().set_result(result)

    def set_exception(self, exception: type | BaseException, /) -> None:
        """End it with an exception."""
        self._kept = self
        super().set_exception(exception)

    def __await__(self) -> Generator[Any, None, RecordMetadata]:
        if not self.done():
            self.message.channel.app.check_wait()
        return super().__await__()

    def _call_back(self, future: asyncio.Future[RecordMetadata]) -> None:
        callback = self.message.callback
        assert callback is not None
        result = callback(future)
        if inspect.isawaitable(result):
            # The future keeps it alive until it is done.
            self._calling_back = asyncio.ensure_future(result, loop=self.get_loop())
