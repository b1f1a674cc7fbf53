"""The agent: a coroutine function or async generator that gets a stream, runs for ever, and is started again when it
fails.
"""

from __future__ import annotations

import asyncio
import functools
import inspect
import logging
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Mapping
from typing import TYPE_CHECKING, Any, Generic, TypeVar

from beltline.channels import Channel
from beltline.events import HeadersArgument
from beltline.exceptions import ImproperlyConfigured
from beltline.failures import SETTLED_ERRORS
from beltline.streams.consumer import Consumer
from beltline.streams.stream import Stream

from .current import set_current_agent
from .sinks import sink_sender

if TYPE_CHECKING:
    from beltline.app.base import App
    from beltline.policies import PolicyArgument
    from beltline.sending import FutureMessage

    from .context import AgentTestContext

__all__ = ["Agent", "AgentFunction"]

logger = logging.getLogger(__name__)

T = TypeVar("T")

AgentFunction = Callable[[Stream[Any]], Awaitable[Any] | AsyncIterator[Any]]


class Agent(Consumer, Generic[T]):
    """A function over a stream. It is made by ``@app.agent``.

    When the function raises, its event is settled as `on_error` says and the function is called again with a new
    stream that goes on after (or, for a retry, with) that event.

    Args:
        fun: Takes the stream; a coroutine function or an async generator function, whose values go to the sinks.
        app: The app it belongs to.
        name: None is ``module.qualname`` of the function.
        channel: A topic or channel, or the name of a topic; None is the topic ``{id}-{name}``.
        concurrency: So many copies of the function share the events.
        sink: Where yielded values go: topics, channels, agents, functions.
        on_error: What happens to an event on which the function raised; None is what the app says.
        on_decode_error: What happens to records that cannot be read; None is what topic and app say.
        topic_options: For ``app.topic``, when `channel` is a name or None.

    Raises:
        ImproperlyConfigured: `fun` is not asynchronous, or there are sinks but nothing is yielded.
        AssertionError: Options of a topic together with a topic.
    """

    def __init__(
        self,
        fun: AgentFunction,
        *,
        app: App,
        name: str | None = None,
        channel: Channel | str | None = None,
        concurrency: int = 1,
        sink: Iterable[Any] | None = None,
        on_error: PolicyArgument | None = None,
        on_decode_error: PolicyArgument | None = None,
        help: str | None = None,  # noqa: A002 - Faust's name
        topic_options: Mapping[str, Any] | None = None,
    ) -> None:
        super().__init__(
            app,
            name or function_name(fun),
            concurrency=concurrency,
            on_error=on_error,
            on_decode_error=on_decode_error,
        )
        if topic_options and isinstance(channel, Channel):
            raise AssertionError(f"agent {self.name}: {', '.join(topic_options)} belong to the topic it was given")
        self.fun = fun
        self.help = help or inspect.getdoc(fun) or ""
        self.yields = is_async_generator(fun)
        if not self.yields and not is_coroutine_function(fun):
            raise ImproperlyConfigured(
                f"agent {self.name} is a plain function: write 'async def' with 'async for' over the stream, or use "
                f"@app.on(topic), which calls a plain function with every event"
            )
        self._topic_options = dict(topic_options or {})
        self._channel_argument = channel
        self._channel: Channel | None = None
        self._sinks: list[Any] = []
        self._sink_senders: list[Callable[[Any], Awaitable[object]]] = []
        for one in sink or ():
            self.add_sink(one)

    @property
    def channel(self) -> Channel:
        """What it consumes."""
        if self._channel is None:
            given = self._channel_argument
            if isinstance(given, Channel):
                self._channel = given
            else:
                topic_name = given or f"{self.app.conf.id}-{self.name}"
                options = {"internal": True, "has_prefix": not given, **self._topic_options}
                self._channel = self.app.topic(topic_name, **options)
        return self._channel

    @channel.setter
    def channel(self, channel: Channel) -> None:
        self._channel = channel

    def get_topic_names(self) -> tuple[str, ...]:
        """Return the names of the topics it consumes."""
        return tuple(getattr(self.channel, "topics", ()))

    def add_sink(self, sink: Any) -> None:
        """Have yielded values go to one more topic, channel, agent or function.

        Raises:
            ImproperlyConfigured: The agent does not yield.
        """
        if not self.yields:
            raise ImproperlyConfigured(f"agent {self.name} has sinks but yields nothing; add 'yield', or drop sink=")
        if sink not in self._sinks:
            self._sinks.append(sink)
            self._sink_senders.append(sink_sender(self.app, sink))

    # -- sending ---------------------------------------------------------------------------------------------------

    async def send(
        self,
        *,
        key: Any = None,
        value: Any = None,
        partition: int | None = None,
        timestamp: float | None = None,
        headers: HeadersArgument = None,
        key_serializer: Any = None,
        value_serializer: Any = None,
        callback: Callable[[Any], Any] | None = None,
    ) -> FutureMessage:
        """Send a value to the agent's topic or channel; the arguments are those of `Topic.send`."""
        return await self.channel.send(
            key=key,
            value=value,
            partition=partition,
            timestamp=timestamp,
            headers=headers,
            key_serializer=key_serializer,
            value_serializer=value_serializer,
            callback=callback,
        )

    async def cast(
        self,
        value: Any = None,
        *,
        key: Any = None,
        partition: int | None = None,
        timestamp: float | None = None,
        headers: HeadersArgument = None,
    ) -> None:
        """Send a value to the agent and expect no answer."""
        await self.send(key=key, value=value, partition=partition, timestamp=timestamp, headers=headers)

    # -- running ---------------------------------------------------------------------------------------------------

    def __call__(self, stream: Stream[Any] | None = None) -> Any:
        """Call the function with another stream, or with a new one of the agent's channel."""
        return self.fun(self.stream() if stream is None else stream)

    def stream(self, index: int | None = None) -> Stream[Any]:
        """Return a new stream over the agent's channel; while it runs, one that shares the agent's events."""
        return Stream(self.channel, app=self.app, reader=self.reader, prefix=f"{self.name}-", concurrency_index=index)

    def prepare(self) -> None:
        """Open the channel, so that nothing sent from now on is missed."""
        assert self.reader is not None
        self.channel.open_source(self.reader, self.on_decode_error)

    async def run(self, index: int) -> None:
        """Call the function until it returns by itself, settling what it failed on."""
        set_current_agent(self)
        while True:
            stream = self.streams[index] = self.stream(index)
            try:
                await self._consume(stream)
            except asyncio.CancelledError:
                stream.get_active_stream().give_back()
                raise
            except SETTLED_ERRORS as error:
                await self.on_crash(stream, error)
            else:
                active = stream.get_active_stream()
                if not (active.closed or self.app.is_stopping):
                    logger.warning("agent %s returned while its stream goes on; it will see no more events", self.name)
                return
            finally:
                await close_chain(stream)

    async def on_crash(self, stream: Stream[Any], error: BaseException) -> None:
        """Settle the event on which the function failed; it is started again when this returns."""
        await self.desk.settle(stream.get_active_stream(), error)

    async def _consume(self, stream: Stream[Any]) -> None:
        running = self.fun(stream)
        if isinstance(running, AsyncIterator):
            async for value in running:
                for send in self._sink_senders:
                    await send(value)
        else:
            await running

    # -- testing and looking inside --------------------------------------------------------------------------------

    def test_context(self, channel: Channel | None = None, **options: Any) -> AgentTestContext:
        """Return a context in which the agent runs on a channel of its own, without a broker or a worker.

        Example:
            >>> import asyncio, beltline
            >>> app = beltline.App("shop", broker="memory://")
            >>> @app.agent()
            ... async def double(stream):
            ...     async for value in stream:
            ...         yield value * 2
            >>> async def main():
            ...     async with double.test_context() as agent:
            ...         event = await agent.put(21)
            ...         return agent.results[event.message.offset]
            >>> asyncio.run(main())
            42
        """
        from .context import AgentTestContext

        return AgentTestContext(self, channel, **options)

    def clone(self, *, cls: type[Any] | None = None, **options: Any) -> Any:
        """Return an agent like this one, that is not registered with the app."""
        return (cls or type(self))(self.fun, **{**self.info(), **options})

    def info(self) -> dict[str, Any]:
        """What a clone is made with."""
        return {
            "app": self.app,
            "name": self.name,
            "channel": self.channel,
            "concurrency": self.concurrency,
            "sink": list(self._sinks),
            "on_error": self.on_error,
            "on_decode_error": self.on_decode_error,
            "help": self.help,
        }

    @property
    def label(self) -> str:
        """What messages call it."""
        return f"{type(self).__name__}: {self.name}"

    def __repr__(self) -> str:
        return f"<{self.label}>"


async def close_chain(stream: Stream[Any]) -> None:
    """End a stream and those that ``through`` and ``group_by`` made of it."""
    link: Stream[Any] | None = stream
    while link is not None:
        await link.stop()
        link = link._next


def function_name(fun: Any) -> str:
    """Return ``module.qualname`` of a function, of what a partial is made of, or of the class of a callable object.

    Topics are named after it, so ``<locals>`` is left out: no log takes angle brackets.
    """
    while isinstance(fun, functools.partial):
        fun = fun.func
    named = fun if hasattr(fun, "__qualname__") else type(fun)
    qualname = named.__qualname__.replace(".<locals>", "").replace("<", "").replace(">", "")
    return f"{named.__module__}.{qualname}"


def is_async_generator(fun: Any) -> bool:
    """Whether calling `fun` makes an async generator; sees through partials and callable objects."""
    return inspect.isasyncgenfunction(fun) or inspect.isasyncgenfunction(getattr(fun, "__call__", None))  # noqa: B004


def is_coroutine_function(fun: Any) -> bool:
    """Whether calling `fun` makes a coroutine; sees through partials and callable objects."""
    return inspect.iscoroutinefunction(fun) or inspect.iscoroutinefunction(getattr(fun, "__call__", None))  # noqa: B004
