"""Where the values go that an agent yields."""

from __future__ import annotations

import inspect
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, Any

from beltline.exceptions import ImproperlyConfigured

if TYPE_CHECKING:
    from beltline.app.base import App

__all__ = ["sink_sender"]


def sink_sender(app: App, sink: Any) -> Callable[[Any], Awaitable[object]]:
    """Return a coroutine function that gives a value to `sink`.

    Args:
        app: For sinks that are names of topics.
        sink: A topic, channel or agent, the name of a topic, or a function, plain or async.

    Raises:
        ImproperlyConfigured: Something else.
    """
    target = app.topic(sink) if isinstance(sink, str) else sink
    send = getattr(target, "send", None)
    if callable(send):

        async def send_value(value: Any) -> object:
            # Looked up anew each time: tests replace `send` on topics and agents.
            return await target.send(value=value)

        return send_value
    if not callable(target):
        raise ImproperlyConfigured(f"sink {sink!r} is neither a topic, channel or agent nor a function")

    async def call(value: Any) -> object:
        result = target(value)
        return await result if inspect.isawaitable(result) else result

    return call
