"""Runs one agent in a test: on a channel of its own, without a worker."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import TYPE_CHECKING, Any, Final, cast

from beltline.channels import Channel
from beltline.events import Event, HeadersArgument, MemoryMessage
from beltline.streams.feeding import Thrown, raise_thrown
from beltline.streams.stream import Stream

from .agent import Agent

if TYPE_CHECKING:
    from types import TracebackType

__all__ = ["AgentTestContext"]

#: Turns of the event loop before waiting for the agent begins to sleep in between.
EAGER_TURNS: Final = 100

#: Seconds of that sleep.
PATIENT_SLEEP_S: Final = 0.001


class AgentTestContext(Agent[Any]):
    """A copy of an agent that consumes what `put` gives it.

    Attributes:
        results: By offset, counted from 0: what the agent yielded, or, if it does not yield, the value it got.
        sent_offset: Offset of the last event put.
        processed_offset: Offset of the last event processed.
    """

    def __init__(self, original: Agent[Any], channel: Channel | None = None, **options: Any) -> None:
        super().__init__(
            original.fun,
            **{**original.info(), "channel": channel or original.app.channel(), **options},
        )
        self.original = original
        self.results: dict[int, Any] = {}
        self.sent_offset = -1
        self.processed_offset = -1
        self._error: BaseException | None = None
        if self.yields:
            self.add_sink(self._keep_result)

    async def __aenter__(self) -> AgentTestContext:
        await self.app.prepare_test()
        self.start()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.cancel()
        if self.reader is not None:
            self.reader.close()
        if kind is None and self._error is not None:
            failure, self._error = self._error, None
            raise failure

    def stream(self, index: int | None = None) -> Stream[Any]:
        """Return a stream that notices what was thrown and keeps what comes through."""
        made = super().stream(index)
        made.add_processor(raise_thrown)
        if not self.yields:
            made.add_processor(self._keep_value)
        return made

    async def on_crash(self, stream: Stream[Any], error: BaseException) -> None:
        """Let the error reach the test, whatever the agent's policy."""
        stream.get_active_stream().finish()
        self._error = error
        raise error

    def _task_done(self, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        if not task.cancelled():
            # The test gets it from `put` or at the end of the context, not the app.
            task.exception()

    def _keep_value(self, value: Any) -> Any:
        self.results[self._current_offset()] = value
        return value

    def _keep_result(self, value: Any) -> None:
        self.results[self._current_offset()] = value

    def _current_offset(self) -> int:
        for stream in self.streams.values():
            event = stream.get_active_stream().current_event
            if event is not None:
                return int(event.message.offset)
        return self.sent_offset

    async def put(
        self,
        value: Any = None,
        key: Any = None,
        partition: int | None = None,
        timestamp: float | None = None,
        headers: HeadersArgument = None,
        *,
        wait: bool = True,
        **_: Any,
    ) -> Event:
        """Give the agent an event.

        Args:
            value: Passed as it is.
            key: Passed as it is.
            partition: Whose shard the agent's tables show; None lets each table key decide.
            timestamp: Seconds since the epoch; None is now.
            headers: By name, or as pairs.
            wait: Return only when the event has been processed.

        Raises:
            Exception: What the agent raised.
        """
        self._raise_error()
        message = self.to_message(key, value, partition=partition, timestamp=timestamp, headers=headers)
        event = Event(self.app, key, value, headers, message)
        self.sent_offset = message.offset
        await self.channel.put(event, partition=partition)
        if wait:
            await self._until_processed()
        return event

    def to_message(
        self,
        key: Any,
        value: Any,
        *,
        partition: int | None = None,
        offset: int | None = None,
        timestamp: float | None = None,
        headers: HeadersArgument = None,
    ) -> MemoryMessage:
        """Return the message of the next event."""
        return MemoryMessage(
            key,
            value,
            partition=partition or 0,
            offset=self.sent_offset + 1 if offset is None else offset,
            timestamp=timestamp,
            headers=headers,
        )

    async def throw(self, error: BaseException) -> None:
        """Have the agent's stream raise `error`; returns, or raises it, when the agent has met it."""
        await self.channel.put(cast(Any, Thrown(error)))
        await self._until_processed()

    async def _until_processed(self) -> None:
        turns = 0
        # Before its tasks have run for the first time there is no stream that could be busy.
        while self._tasks and not (len(self.streams) == self.concurrency and self.is_idle()):
            turns += 1
            await asyncio.sleep(0 if turns < EAGER_TURNS else PATIENT_SLEEP_S)
        # The task has ended, but its last callbacks have not run yet.
        await asyncio.sleep(0)
        self._raise_error()
        self.processed_offset = self.sent_offset

    def _raise_error(self) -> None:
        if self._error is not None:
            error, self._error = self._error, None
            raise error

    def __aiter__(self) -> AsyncIterator[Any]:
        raise TypeError("give events with put(), see results; the context itself is no stream")
