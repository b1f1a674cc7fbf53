"""Carries records from one stream to another topic or channel: what ``group_by`` and ``through`` stand on."""

from __future__ import annotations

import asyncio
import inspect
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Final

from beltline.channels import Channel
from beltline.failures import SETTLED_ERRORS
from beltline.topics import Topic

from .keys import GroupKey, dump_key

if TYPE_CHECKING:
    from beltline.failures import ErrorDesk

    from .stream import Stream

__all__ = ["forward_values", "repartition"]

#: Types of keys that need not be looked at any closer; everything else may have to be awaited.
PLAIN_KEYS: Final = frozenset({str, bytes, int, float, type(None)})


async def repartition(stream: Stream[Any], key: GroupKey, topic: Topic, desk: ErrorDesk) -> None:
    """Send the raw value of every record of `stream` to `topic` under a new key, with its time and headers.

    The record counts as done once its copy is in the outbox; copy and position are committed together.
    """
    session = stream.app.session
    session.declare(topic)
    send = session.send_function()
    name = topic.get_topic_name()
    dumps = key_dumper(key, topic)
    get = key.get
    while True:
        try:
            async for value in stream.raw_values():
                new_key = get(value)
                if type(new_key) not in PLAIN_KEYS and inspect.isawaitable(new_key):
                    new_key = await new_key
                message = stream.current_message
                assert message is not None, "a stream that is grouped reads a topic"
                record = (name, dumps(new_key), message.value)
                try:
                    send(*record, timestamp=message.timestamp_ms, headers=message.headers or None)
                except BufferError:
                    await session.send(*record, timestamp=message.timestamp, headers=message.headers)
            return
        except asyncio.CancelledError:
            stream.give_back()
            raise
        except SETTLED_ERRORS as error:
            await desk.settle(stream, error)


def key_dumper(key: GroupKey, topic: Topic) -> Callable[[Any], bytes | None]:
    """Return what turns the new key into bytes."""
    if key.type is None and topic.key_type is None:
        return dump_key
    prepare = topic.prepare_key
    if topic.key_type is not str or topic.key_serializer != "raw":
        return prepare

    def dump_text(text: Any) -> bytes | None:
        return text.encode() if type(text) is str else prepare(text)

    return dump_text


async def forward_values(stream: Stream[Any], channel: Channel, desk: ErrorDesk) -> None:
    """Send every record of `stream` to `channel`: raw to a topic, as objects to a channel in memory."""
    while True:
        try:
            async for value in stream.raw_values():
                message = stream.current_message
                if message is None or not isinstance(channel, Topic):
                    await channel.send(key=stream.current_key, value=value)
                    continue
                session = stream.app.session
                session.declare(channel)
                await session.send(
                    channel.get_topic_name(),
                    message.key,
                    message.value,
                    timestamp=message.timestamp,
                    headers=message.headers,
                )
            return
        except asyncio.CancelledError:
            stream.give_back()
            raise
        except SETTLED_ERRORS as error:
            await desk.settle(stream, error)
