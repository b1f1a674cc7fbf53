"""Threads for handlers that block, ``threads=8``: the event loop and the belt go on meanwhile."""

from __future__ import annotations

import asyncio
import functools
import queue
import threading
from collections.abc import Callable
from contextvars import copy_context
from typing import TYPE_CHECKING, Any, Final
from zlib import crc32

from .held import Held, run_until_settled
from .parameters import message_of

if TYPE_CHECKING:
    from beltline.streams.stream import Stream

    from .handler import Handler

__all__ = ["Lanes", "pump_threads"]

#: Events that wait for one thread; the stream is read no further while one has so many.
LANE_LENGTH: Final = 64

#: Most threads of one handler.
MAX_THREADS: Final = 1024


class Worker:
    """A thread that calls one function after the other; it never keeps the process alive."""

    def __init__(self, name: str) -> None:
        self._jobs: queue.SimpleQueue[tuple[Callable[[], Any], asyncio.Future[Any]] | None] = queue.SimpleQueue()
        self._thread = threading.Thread(target=self._work, name=name, daemon=True)
        self._thread.start()

    async def call(self, function: Callable[[], Any]) -> Any:
        """Return what `function` returns in the thread, where it works on the event of the task that calls."""
        future: asyncio.Future[Any] = asyncio.get_running_loop().create_future()
        self._jobs.put((functools.partial(copy_context().run, function), future))
        return await future

    def stop(self) -> None:
        """Let the thread end after the call it is in."""
        self._jobs.put(None)

    def _work(self) -> None:
        while (job := self._jobs.get()) is not None:
            function, future = job
            result: Any = None
            error: BaseException | None = None
            try:
                result = function()
            except StopIteration as raised:
                # A future cannot carry it.
                error = RuntimeError("the handler raised StopIteration")
                error.__cause__ = raised
            except BaseException as raised:
                error = raised
            loop = future.get_loop()
            if loop.is_closed():
                return
            loop.call_soon_threadsafe(resolve, future, result, error)


def resolve(future: asyncio.Future[Any], result: Any, error: BaseException | None) -> None:
    """Give a waiting coroutine what its thread has brought, unless it waits no longer."""
    if future.done():
        return
    if error is None:
        future.set_result(result)
    else:
        future.set_exception(error)


class Lanes:
    """Spreads events over threads by their keys, so that equal keys keep their order."""

    def __init__(self, handler: Handler, threads: int) -> None:
        self._handler = handler
        self._queues: list[asyncio.Queue[tuple[Any, list[Any], dict[str, Any]] | None]] = [
            asyncio.Queue(LANE_LENGTH) for _ in range(threads)
        ]
        self._turn = 0
        self.busy = 0
        self._tasks = [
            asyncio.get_running_loop().create_task(self._run(lane, f"{handler.name}:{number}"))
            for number, lane in enumerate(self._queues)
        ]

    async def put(self, key: Any, message: Any, arguments: tuple[list[Any], dict[str, Any]]) -> None:
        """Hand an event to the thread of its key; waits while that thread is far behind."""
        self._raise_failure()
        if key is None:
            self._turn = (self._turn + 1) % len(self._queues)
            number = self._turn
        else:
            data = key if isinstance(key, bytes) else repr(key).encode()
            number = crc32(data) % len(self._queues)
        self.busy += 1
        await self._queues[number].put((message, *arguments))

    async def finish(self) -> None:
        """Wait until everything put is done."""
        for lane in self._queues:
            await lane.put(None)
        await asyncio.gather(*self._tasks)

    async def cancel(self) -> None:
        """Give back everything that has not begun."""
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        for lane in self._queues:
            while not lane.empty():
                job = lane.get_nowait()
                if job is not None:
                    Held([job[0]]).release()

    def _raise_failure(self) -> None:
        for task in self._tasks:
            if task.done() and not task.cancelled() and (error := task.exception()) is not None:
                raise error

    async def _run(self, lane: asyncio.Queue[Any], name: str) -> None:
        worker = Worker(name)
        try:
            while (job := await lane.get()) is not None:
                try:
                    await self._run_one(worker, *job)
                finally:
                    self.busy -= 1
        finally:
            worker.stop()

    async def _run_one(self, worker: Worker, message: Any, positional: list[Any], keywords: dict[str, Any]) -> None:
        handler = self._handler

        async def call() -> None:
            if handler.reads_topic:
                message.take_up()
            result = await worker.call(lambda: handler.fun(*positional, **keywords))
            if result is not None and handler.delivery is not None:
                raw = message.key if handler.reads_topic else None
                decoded = None if message is None else message.key
                pending = handler.delivery.send(raw, decoded, result)
                if pending is not None:
                    await pending

        await run_until_settled(handler.desk, Held([message]), call)


async def pump_threads(handler: Handler, stream: Stream[Any], lanes: Lanes) -> None:
    """Hand every event of the stream to a thread; it counts as done when the function has returned."""
    async for value in stream.raw_values():
        message = message_of(stream)
        arguments = handler.parameters.arguments(stream, value)
        key = stream.current_key if message is None else message.key
        stream.hold()
        try:
            await lanes.put(key, message, arguments)
        except BaseException:
            Held([message]).release()
            raise
    await lanes.finish()
