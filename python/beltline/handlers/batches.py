"""Lists of events for handlers with ``batch=``."""

from __future__ import annotations

import inspect
from typing import TYPE_CHECKING, Any, Final

from .delivery import as_list
from .held import Held, run_until_settled
from .parameters import message_of

if TYPE_CHECKING:
    from beltline.streams.stream import Stream

    from .handler import Handler

__all__ = ["DEFAULT_WITHIN_S", "pump_batches"]

#: A list that is not full is given out after so many seconds.
DEFAULT_WITHIN_S: Final = 1.0


async def pump_batches(handler: Handler, stream: Stream[Any]) -> None:
    """Call the handler's function with lists; all events of a list come from one partition.

    A list over several partitions would see the table shard of one of them only.
    """
    within = DEFAULT_WITHIN_S if handler.within is None else handler.within
    assert handler.batch is not None
    ended = False
    while not ended:
        taken: list[tuple[Any, Any]] = []
        held: list[Any] = []
        ended = await stream.collect(taken, held, handler.batch, within, lambda value: (value, message_of(stream)))
        groups = by_partition(taken)
        for position, (values, messages) in enumerate(groups):
            try:
                await run_group(handler, stream, values, messages)
            except BaseException:
                for _, untouched in groups[position + 1 :]:
                    Held(untouched).release()
                raise


def by_partition(taken: list[tuple[Any, Any]]) -> list[tuple[list[Any], list[Any]]]:
    """Return ``(values, messages)`` of each partition, in the order in which they came."""
    groups: dict[tuple[str, int] | None, tuple[list[Any], list[Any]]] = {}
    for value, message in taken:
        place = None if message is None else (message.topic, message.partition)
        values, messages = groups.setdefault(place, ([], []))
        values.append(value)
        messages.append(message)
    return list(groups.values())


async def run_group(handler: Handler, stream: Stream[Any], values: list[Any], messages: list[Any]) -> None:
    """Call the function with the events of one partition and settle them."""
    first = messages[0]

    async def call() -> None:
        if first is not None and handler.reads_topic:
            stream.current_partition = first.partition
        known = {"topic": getattr(first, "topic", ""), "partition": getattr(first, "partition", 0)}
        result = handler.call_with_list(values, known)
        if inspect.isawaitable(result):
            result = await result
        if result is None or handler.delivery is None:
            return
        for one in as_list(result):
            if one is not None and (pending := handler.delivery.send(None, None, one)) is not None:
                await pending

    await run_until_settled(handler.desk, Held(messages), call)
