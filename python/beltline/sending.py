"""What sending gives back: a future of the record's place in the log."""

from __future__ import annotations

import asyncio
import inspect
from collections.abc import Callable, Generator
from typing import Any, Final, NamedTuple

from .events import HeadersArgument
from .types import TP, RecordMetadata

__all__ = ["FutureMessage", "PendingMessage"]

#: ``RecordMetadata.timestamp_type`` of a record stamped by its sender.
CREATE_TIME: Final = 0


class PendingMessage(NamedTuple):
    """What was asked to be sent."""

    channel: Any
    key: Any
    value: Any
    partition: int | None
    timestamp: float | None
    headers: HeadersArgument
    key_serializer: Any
    value_serializer: Any
    callback: Callable[[Any], Any] | None


class FutureMessage(asyncio.Future[RecordMetadata]):
    """Resolved with the record's metadata once it is in the log, that is, with the next commit."""

    def __init__(self, message: PendingMessage, *, loop: asyncio.AbstractEventLoop | None = None) -> None:
        super().__init__(loop=loop)
        self.message = message
        if message.callback is not None:
            self.add_done_callback(self._call_back)

    def deliver(self, topic: str, partition: int, offset: int, timestamp_ms: int) -> None:
        """Take the answer of the log."""
        if not self.done():
            where = TP(topic, partition)
            self.set_result(RecordMetadata(topic, partition, where, offset, timestamp_ms / 1000.0, CREATE_TIME))

    def __await__(self) -> Generator[Any, None, RecordMetadata]:
        if not self.done():
            self.message.channel.app.check_wait()
        return super().__await__()

    def _call_back(self, future: asyncio.Future[RecordMetadata]) -> None:
        assert self.message.callback is not None
        result = self.message.callback(future)
        if inspect.isawaitable(result):
            # The future keeps it alive until it is done.
            self._calling_back = asyncio.ensure_future(result, loop=self.get_loop())
