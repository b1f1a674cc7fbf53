"""Where the values go that handlers return: ``@app.on(topic, to=...)``."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable, Iterator
from typing import TYPE_CHECKING, Any

from beltline.channels import Channel
from beltline.exceptions import ImproperlyConfigured
from beltline.topics import Topic

if TYPE_CHECKING:
    from beltline.app.base import App

__all__ = ["Delivery"]

#: Takes raw key, decoded key and value; returns None when the value is out, else what is to be awaited.
Target = Callable[[Any, Any, Any], Awaitable[object] | None]


class Delivery:
    """Sends returned values on; a value keeps the key of the event it was made from.

    Args:
        app: The app whose belt is used.
        owner: Name of the handler, for messages.
        to: A topic, channel or agent, the name of a topic, or several of those.
        value_type: What a topic given by its name holds.

    Raises:
        ImproperlyConfigured: `to` is something else.
    """

    def __init__(self, app: App, owner: str, to: Any, value_type: Any = None) -> None:
        self.app = app
        self.owner = owner
        given = to if isinstance(to, list | tuple | set | frozenset) else [to]
        self.channels = [channel_of(app, owner, one, value_type) for one in given]
        self._targets: list[Target] = []

    def open(self) -> None:
        """Declare the topics; to be called when the belt is open."""
        self._targets = [self._target(channel) for channel in self.channels]

    def _target(self, channel: Any) -> Target:
        channel = getattr(channel, "channel", channel)
        if not isinstance(channel, Topic):
            return lambda _, key, value: channel.send(key=key, value=value)
        session = self.app.session
        session.declare(channel)
        send = session.send_function()
        name = channel.get_topic_name()
        dumps = channel.value_serde.dumps
        owner = self.owner

        def put(raw_key: Any, key: Any, value: Any) -> Awaitable[object] | None:
            try:
                payload = dumps(value)
            except Exception as error:
                raise TypeError(
                    f"{owner} returned {type(value).__name__}, which topic {name} cannot hold: {error}"
                ) from error
            key_bytes = raw_key if isinstance(raw_key, bytes) else channel.prepare_key(key)
            try:
                send(name, key_bytes, payload)
            except BufferError:
                return session.send(name, key_bytes, payload)
            return None

        return put

    def __call__(self, stream: Any, value: Any) -> Awaitable[object] | None:
        """Send a value made from the stream's current event; returns None when it is out, else what to await."""
        message = stream.current_message
        if message is None:
            return self.send(None, stream.current_key, value)
        return self.send(message.key, None, value)

    def send(self, raw_key: bytes | None, key: Any, value: Any) -> Awaitable[object] | None:
        """Send a value under a key, raw or decoded."""
        targets = iter(self._targets)
        for target in targets:
            pending = target(raw_key, key, value)
            if pending is not None:
                return self._finish(pending, targets, raw_key, key, value)
        return None

    async def _finish(
        self, pending: Awaitable[object], rest: Iterator[Target], raw_key: bytes | None, key: Any, value: Any
    ) -> None:
        await pending
        for target in rest:
            following = target(raw_key, key, value)
            if following is not None:
                await following


def channel_of(app: App, owner: str, to: Any, value_type: Any) -> Any:
    """Return the topic, channel or agent that `to` means."""
    if isinstance(to, str):
        return app.topic(to, value_type=value_type)
    if isinstance(to, Channel) or isinstance(getattr(type(to), "channel", None), property):
        return to
    raise ImproperlyConfigured(
        f"handler {owner}: to={to!r} is neither a topic, channel or agent, nor the name of a topic, nor a list of those"
    )


def as_list(value: Any) -> Iterable[Any]:
    """Return what a handler of lists returned as the values to send."""
    return value if isinstance(value, list | tuple) else [value]
