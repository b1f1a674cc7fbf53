"""What agents and handlers have in common: tasks that consume a channel, and how they end."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from beltline.exceptions import ImproperlyConfigured
from beltline.failures import ErrorDesk
from beltline.policies import final_policy, policy_of

from .coupling import regroups, tables_of
from .reader import Reader
from .stream import Stream

if TYPE_CHECKING:
    from beltline.app.base import App
    from beltline.policies import PolicyArgument

__all__ = ["Consumer"]


class Consumer:
    """Runs ``concurrency`` tasks side by side on one channel.

    Attributes:
        app: The app it belongs to.
        name: Unique in the app.
        concurrency: How many tasks.
        fun: What it calls.
    """

    fun: Callable[..., Any]

    def __init__(
        self,
        app: App,
        name: str,
        *,
        concurrency: int = 1,
        on_error: PolicyArgument | None = None,
        on_decode_error: PolicyArgument | None = None,
    ) -> None:
        if concurrency < 1:
            raise ImproperlyConfigured(f"{name}: concurrency={concurrency}, but 1 is the least")
        if on_error is not None:
            policy_of(on_error)
        if on_decode_error is not None:
            final_policy(on_decode_error)
        self.app = app
        self.name = name
        self.concurrency = concurrency
        self.on_error = on_error
        self.on_decode_error = on_decode_error
        self.reader: Reader | None = None
        self.streams: dict[int, Stream[Any]] = {}
        self._desk: ErrorDesk | None = None
        self._tasks: set[asyncio.Task[None]] = set()

    @property
    def desk(self) -> ErrorDesk:
        """Decides about failed events."""
        if self._desk is None:
            self._desk = ErrorDesk(self.app, self.name, self.on_error or self.app.conf.on_error)
        return self._desk

    @property
    def running(self) -> bool:
        """Whether a task of it runs."""
        return bool(self._tasks)

    def runs(self, task: asyncio.Task[Any] | None) -> bool:
        """Whether a task is one of this consumer's."""
        return task in self._tasks

    @property
    def regroups(self) -> bool:
        """Whether its events get other keys, and go through a topic in between, before it works on them."""
        return regroups(self.fun)

    def start(self) -> asyncio.Future[None]:
        """Start the tasks in the running event loop; one that runs is left as it is.

        Returns:
            A future that is done, for programs that await the start as Faust has it.
        """
        loop = asyncio.get_running_loop()
        started: asyncio.Future[None] = loop.create_future()
        started.set_result(None)
        if self.running:
            return started
        self.reader = Reader(
            self.app,
            self.name,
            prefix=f"{self.name}-",
            concurrency=self.concurrency,
            policy=self.on_error or self.app.conf.on_error,
            on_decode_error=self.on_decode_error,
            tables=tables_of(self.fun),
            regroups=self.regroups,
        )
        self.prepare()
        for index in range(self.concurrency):
            task = loop.create_task(self.run(index), name=f"{self.name}:{index}")
            self._tasks.add(task)
            task.add_done_callback(self._task_done)
        return started

    def prepare(self) -> None:
        """Whatever has to exist before the tasks run: topics, subscriptions."""

    async def run(self, index: int) -> None:
        """Consume until the stream ends; what it raises stops the worker."""
        raise NotImplementedError

    def _task_done(self, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        if not task.cancelled() and (error := task.exception()) is not None:
            self.app.fatal(error)

    def get_topic_names(self) -> tuple[str, ...]:
        """Return the names of the topics it consumes."""
        return ()

    def is_idle(self) -> bool:
        """Whether no item of a channel in memory waits or is worked on; the belt knows about topics."""
        return all(is_stream_idle(stream.get_active_stream()) for stream in self.streams.values())

    def close_queues(self) -> None:
        """End the streams of channels in memory, after the items that are in."""
        if self.reader is not None:
            self.reader.close_queues()

    async def join(self, timeout: float | None) -> bool:
        """Wait until all tasks have ended by themselves; returns whether they have."""
        if not self._tasks:
            return True
        _, unfinished = await asyncio.wait(list(self._tasks), timeout=timeout)
        return not unfinished

    async def cancel(self) -> None:
        """End the tasks where they are; events in hand are given back."""
        tasks = list(self._tasks)
        for task in tasks:
            task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await asyncio.gather(*tasks, return_exceptions=True)
        self.streams.clear()


def is_stream_idle(stream: Stream[Any]) -> bool:
    """Whether a stream's queue is empty and its consumer waits for the next item; always for topics."""
    return not hasattr(stream.source, "qsize") or (stream.source.qsize() == 0 and not stream.in_hand())
