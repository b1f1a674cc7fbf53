"""The handler: a function that is called with every event. It is made by ``@app.on``."""

from __future__ import annotations

import asyncio
import functools
import inspect
from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, Any

from beltline.agents.agent import function_name, is_async_generator, is_coroutine_function
from beltline.channels import Channel
from beltline.exceptions import ImproperlyConfigured
from beltline.failures import SETTLED_ERRORS, ErrorDesk
from beltline.streams.consumer import Consumer
from beltline.streams.forwarding import repartition
from beltline.streams.keys import group_key
from beltline.streams.stream import Stream
from beltline.topics import Topic

from .batches import pump_batches
from .delivery import Delivery
from .parameters import parameters_of
from .threads import MAX_THREADS, Lanes, pump_threads

if TYPE_CHECKING:
    from beltline.app.base import App
    from beltline.policies import PolicyArgument

__all__ = ["Handler"]


class Handler(Consumer):
    """Calls a function with every event of a topic or channel.

    Args:
        app: The app it belongs to.
        fun: Plain or async. Its first parameter gets the value, whatever its name; ``key``, ``headers``,
            ``timestamp``, ``topic``, ``partition``, ``offset`` and ``message`` get what they say.
        channel: A topic or channel, the name of a topic, or several names.
        by: Re-key the events first, so that equal keys come to one partition: ``Order.customer``, the name of a
            field, or a named function of the value.
        to: Where what it returns goes: a topic, channel or agent, the name of a topic, or a list of those. None
            is not sent.
        batch: Call it with lists of so many events at most.
        within: Seconds after which a list that is not full is given out.
        threads: Call it in so many threads; events with equal keys keep their order. Tables belong to the event
            loop's thread: use what the function returns to change them.
        on_error: What happens to an event on which it raised; None is what the app says.
        on_decode_error: What happens to records that cannot be read; None is what topic and app say.
        name: None is ``module.qualname`` of the function.
        concurrency: So many calls of an async function at once, in no particular order.

    Raises:
        ImproperlyConfigured: The options or the function's parameters contradict each other.
    """

    def __init__(
        self,
        app: App,
        fun: Callable[..., Any],
        channel: Channel | str | Iterable[str],
        *,
        by: Any = None,
        to: Any = None,
        batch: int | None = None,
        within: float | None = None,
        threads: int | None = None,
        on_error: PolicyArgument | None = None,
        on_decode_error: PolicyArgument | None = None,
        name: str | None = None,
        concurrency: int = 1,
    ) -> None:
        super().__init__(
            app,
            name or function_name(fun),
            concurrency=concurrency,
            on_error=on_error,
            on_decode_error=on_decode_error,
        )
        self.fun = fun
        self.is_async = is_coroutine_function(fun)
        self.batch = batch
        self.within = within
        self.threads = threads
        self._check()
        self.parameters = parameters_of(fun, self.name, batch=batch is not None)
        self.channel = input_channel(app, channel, self.parameters.value_type, self.name)
        self.key = None if by is None else group_key(by)
        self.delivery = None if to is None else Delivery(app, self.name, to)
        self.help = inspect.getdoc(fun) or ""
        self._source: Channel = self.channel
        self._lanes: dict[int, Lanes] = {}
        if self.key is not None and not self.reads_topic:
            raise ImproperlyConfigured(f"handler {self.name}: by= needs a topic to read from, not {self.channel}")

    @property
    def reads_topic(self) -> bool:
        """Whether its events are records of a topic, not items of a channel in memory."""
        return isinstance(self.channel, Topic)

    @property
    def regroups(self) -> bool:
        """Whether its events get other keys, and go through a topic in between, before it works on them."""
        return self.key is not None

    def _check(self) -> None:
        name, batch, threads = self.name, self.batch, self.threads
        if not callable(self.fun):
            raise ImproperlyConfigured(f"@app.on(...) belongs above a function, not {self.fun!r}")
        if is_async_generator(self.fun) or inspect.isgeneratorfunction(self.fun):
            raise ImproperlyConfigured(
                f"handler {name} yields; a handler returns what goes to=..., or use @app.agent with 'yield' and sink="
            )
        if batch is not None and batch < 1:
            raise ImproperlyConfigured(f"handler {name}: batch={batch}, but a list has at least one event")
        if self.within is not None and batch is None:
            raise ImproperlyConfigured(
                f"handler {name}: within={self.within} says when a list is given out; add batch="
            )
        if threads is None:
            return
        if not 1 <= threads <= MAX_THREADS:
            raise ImproperlyConfigured(f"handler {name}: threads={threads}, but 1 to {MAX_THREADS} are possible")
        if self.is_async or batch is not None:
            raise ImproperlyConfigured(f"handler {name}: threads= is for plain functions that take one event at a time")

    def get_topic_names(self) -> tuple[str, ...]:
        """Return the names of the topics it consumes."""
        return tuple(getattr(self.channel, "topics", ()))

    def prepare(self) -> None:
        """Subscribe, and start to re-key if `by` was given."""
        assert self.reader is not None
        if self.delivery is not None:
            self.delivery.open()
        self._source = self.channel
        if self.key is not None:
            original: Stream[Any] = Stream(self.channel, app=self.app, reader=self.reader)
            between = original.repartition_topic(self.key.label, self.key.type)
            between.open_source(self.reader, self.on_decode_error)
            self._source = between
            desk = ErrorDesk(self.app, f"{self.name} (by {self.key.label})", self.on_error or self.app.conf.on_error)
            task = asyncio.get_running_loop().create_task(repartition(original, self.key, between, desk))
            self._tasks.add(task)
            task.add_done_callback(self._task_done)
        self._source.open_source(self.reader, self.on_decode_error)

    async def run(self, index: int) -> None:
        """Call the function until the stream ends."""
        stream = self.streams[index] = Stream(self._source, app=self.app, reader=self.reader, concurrency_index=index)
        pump = self._choose_pump(index)
        try:
            while True:
                try:
                    await pump(stream)
                    return
                except asyncio.CancelledError:
                    stream.give_back()
                    raise
                except SETTLED_ERRORS as error:
                    await self.desk.settle(stream, error)
        finally:
            if index in self._lanes:
                await self._lanes.pop(index).cancel()
            await stream.stop()

    def _choose_pump(self, index: int) -> Callable[[Stream[Any]], Any]:
        if self.batch is not None:
            return functools.partial(pump_batches, self)
        if self.threads is not None:
            lanes = self._lanes[index] = Lanes(self, self.threads)
            return functools.partial(pump_threads, self, lanes=lanes)
        if not self.parameters.only_value or self.is_async:
            return self._pump_any
        return self._pump_plain if self.delivery is None else self._pump_plain_to

    async def _pump_plain(self, stream: Stream[Any]) -> None:
        # The common case, in the tightest loop: the stream itself yields to the event loop once per batch.
        call = self.fun
        async for value in stream.raw_values():
            call(value)

    async def _pump_plain_to(self, stream: Stream[Any]) -> None:
        call, deliver = self.fun, self.delivery
        assert deliver is not None
        async for value in stream.raw_values():
            result = call(value)
            if result is not None and (pending := deliver(stream, result)) is not None:
                await pending

    async def _pump_any(self, stream: Stream[Any]) -> None:
        call, deliver, parameters = self.fun, self.delivery, self.parameters
        async for value in stream.raw_values():
            if parameters.only_value:
                result = call(value)
            else:
                positional, keywords = parameters.arguments(stream, value)
                result = call(*positional, **keywords)
            if self.is_async:
                result = await result
            if result is not None and deliver is not None and (pending := deliver(stream, result)) is not None:
                await pending

    def call_with_list(self, events: list[Any], known: dict[str, Any]) -> Any:
        """Call the function with a list; `known` is what its events have in common."""
        positional, keywords = self.parameters.arguments(Common(known), events)
        return self.fun(*positional, **keywords)

    def is_idle(self) -> bool:
        """Whether no item of a channel in memory waits or is worked on."""
        return super().is_idle() and not any(lanes.busy for lanes in self._lanes.values())

    @property
    def label(self) -> str:
        """What messages call it."""
        return f"{type(self).__name__}: {self.name}"

    def __repr__(self) -> str:
        return f"<{self.label}>"


class Common:
    """Stands for the stream where the parameters of a list are read."""

    def __init__(self, known: dict[str, Any]) -> None:
        self.current_message = self
        self.topic: str = known["topic"]
        self.partition: int = known["partition"]


def input_channel(app: App, channel: Any, value_type: Any, name: str) -> Channel:
    """Return the topic or channel that is meant; one given by its name holds what the function is annotated with."""
    if isinstance(channel, Channel):
        return channel
    if isinstance(channel, str):
        return app.topic(channel, value_type=value_type)
    own = getattr(channel, "channel", None)
    if isinstance(own, Channel):
        return own
    if isinstance(channel, list | tuple) and channel and all(isinstance(one, str) for one in channel):
        return app.topic(*channel, value_type=value_type)
    raise ImproperlyConfigured(
        f"handler {name}: {channel!r} is neither a topic or channel, nor the name of a topic: @app.on(orders)"
    )
