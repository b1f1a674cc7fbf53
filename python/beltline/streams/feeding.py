"""Fills the queue of a stream from anything that can be iterated."""

from __future__ import annotations

from collections.abc import AsyncIterable, Iterable
from typing import Any

__all__ = ["Thrown", "feed_queue", "raise_thrown"]


class Thrown:
    """An item of a queue that makes its reader raise an error."""

    __slots__ = ("error",)

    def __init__(self, error: BaseException) -> None:
        self.error = error


def raise_thrown(value: Any) -> Any:
    """Processor that raises what was thrown into the queue."""
    if isinstance(value, Thrown):
        raise value.error
    return value


async def feed_queue(iterable: Iterable[Any] | AsyncIterable[Any], queue: Any) -> None:
    """Put everything from an iterable into a queue, then close it; an error of the iterable reaches the reader."""
    try:
        if isinstance(iterable, AsyncIterable):
            async for value in iterable:
                await put_waiting(queue, value)
        else:
            for value in iterable:
                await put_waiting(queue, value)
    except Exception as error:
        await put_waiting(queue, Thrown(error))
    finally:
        queue.close()


async def put_waiting(queue: Any, value: Any) -> None:
    """Put a value into a queue, waiting for room."""
    while (writable := queue.when_writable()) is not None:
        await writable
    if not queue.closed:
        queue.put_nowait(value)
