"""The stream: iteration is native, the operations on it are here."""

from __future__ import annotations

import asyncio
import inspect
import logging
import weakref
from collections.abc import AsyncIterable, AsyncIterator, Callable, Coroutine, Iterable
from types import GenericAlias
from typing import TYPE_CHECKING, Any, Final, TypeVar, cast

from beltline import _native
from beltline.channels import Channel
from beltline.events import Event
from beltline.exceptions import ImproperlyConfigured, Skip
from beltline.failures import ErrorDesk, was_taken_back
from beltline.topics import Topic

from .feeding import feed_queue
from .forwarding import forward_values, repartition
from .keys import group_key, repartition_topic_name
from .reader import Reader
from .views import NativeView, View

if TYPE_CHECKING:
    from beltline.app.base import App

__all__ = ["Stream"]

logger = logging.getLogger(__name__)

T = TypeVar("T")

Processor = Callable[[Any], Any]

#: While events are collected into a list, this often it is looked whether a commit waits for them.
DRAIN_CHECK_S: Final = 0.02

if TYPE_CHECKING:
    NativeStream = _native.Stream
else:

    class NativeStream(_native.Stream):
        """Lets ``NativeStream[T]`` be written as a base class."""

        __class_getitem__ = classmethod(lambda cls, _: cls)


class Stream(NativeStream[T]):
    """Values of a topic or channel, one after the other; the one before counts as done when the next is asked for.

    Streams are made by agents, by `Topic.stream`, `Channel.stream` and ``app.stream``; a stream has one consumer.

    Example:
        >>> import asyncio, beltline
        >>> app = beltline.App("shop", broker="memory://")
        >>> async def total():
        ...     return sum([value async for value in app.stream([1, 2, 3])])
        >>> asyncio.run(total())
        6
    """

    app: App
    channel: Channel

    if not TYPE_CHECKING:
        __class_getitem__ = classmethod(GenericAlias)

    def __new__(
        cls,
        channel: Channel,
        *,
        app: App,
        reader: Reader | None = None,
        mode: _native.StreamMode = "values",
        auto_ack: bool = True,
        processors: Iterable[Processor] = (),
        prefix: str = "",
        feed: Iterable[Any] | AsyncIterable[Any] | None = None,
        concurrency_index: int | None = None,
        **_: Any,
    ) -> Stream[Any]:
        """Make a stream; `feed` is what fills the queue of its channel."""
        own = reader is None
        reader = reader or Reader(app, f"stream of {channel}", prefix=prefix)
        source = channel.open_source(reader, reader.on_decode_error)
        event_class: Any = app.conf.Event or Event

        def make_event(key: Any, value: Any, message: _native.Message) -> Any:
            return event_class(app, key, value, None, message)

        made: Any = super().__new__(
            cls,
            source.source,
            key_decode=source.key_decode,
            value_decode=source.value_decode,
            mode=mode,
            auto_ack=auto_ack,
            on_decode_error=source.on_decode_error,
            make_event=make_event,
        )
        made.app = app
        made.channel = channel
        made.reader = reader
        made.prefix = prefix or reader.prefix
        made.concurrency_index = concurrency_index
        made._processors = list(processors)
        made._feed = feed
        made._held = []
        made._next = made._prev = None
        made._tasks = set()
        # Nobody else can read on for a stream that belongs to no agent; its events must not hold the app back.
        made._release = weakref.finalize(made, reader.close) if own else None
        return cast("Stream[Any]", made)

    def __init__(self, *_: Any, **__: Any) -> None:
        # All is done in __new__, because the native part takes its source there.
        self.reader: Reader
        self.prefix: str
        self.concurrency_index: int | None
        self._processors: list[Processor]
        self._feed: Iterable[Any] | AsyncIterable[Any] | None
        self._held: list[Any]
        self._next: Stream[Any] | None
        self._prev: Stream[Any] | None
        self._tasks: set[asyncio.Task[None]]
        self._release: Callable[[], object] | None

    # -- iteration ---------------------------------------------------------------------------------------------

    def __aiter__(self) -> Any:
        return self._iterate("values")

    def _iterate(self, mode: _native.StreamMode) -> AsyncIterator[Any]:
        if self._feed is not None:
            self._start(feed_queue(self._feed, self.source))
            self._feed = None
        if self._processors:
            return self._processed(mode)
        self.mode = mode
        return self

    def raw_values(self) -> AsyncIterable[T]:
        """The decoded values without processors, natively."""
        self.mode = "values"
        return NativeView(self)

    async def _processed(self, mode: _native.StreamMode) -> AsyncIterator[Any]:
        async for raw in self.raw_values():
            try:
                value = await self._process(raw)
            except Skip:
                continue
            if mode == "values":
                yield value
            else:
                yield (self.current_key, value) if mode == "items" else self.current_event
            if self.auto_ack:
                self.finish_current()

    async def _process(self, value: Any) -> Any:
        for processor in self._processors:
            value = processor(value)
            if inspect.isawaitable(value):
                value = await value
        return value

    def items(self) -> View[tuple[Any, T]]:
        """Iterate over ``(key, value)``."""
        return View(self, "items")

    def events(self) -> View[Event]:
        """Iterate over events, which know key, value, headers and the record."""
        return View(self, "events")

    async def enumerate(self, start: int = 0) -> AsyncIterator[tuple[int, T]]:
        """Iterate over ``(number, value)``, counting from `start`."""
        number = start
        async for value in self:
            yield number, value
            number += 1

    # -- lists -------------------------------------------------------------------------------------------------

    async def take(self, max_: int, within: float | None = None) -> AsyncIterator[list[T]]:
        """Iterate over lists of values; a list counts as done when the next one is asked for.

        Args:
            max_: Longest list.
            within: Seconds after which a list that has something is given out; None waits until it is full, or
                until a commit needs its events.
        """
        async for batch in self._lists(max_, within, lambda value: value):
            yield batch

    async def take_events(self, max_: int, within: float | None = None) -> AsyncIterator[list[Event]]:
        """Iterate over lists of events; the arguments are those of `take`."""
        async for batch in self._lists(max_, within, lambda _: self.current_event):
            yield batch

    async def noack_take(self, max_: int, within: float | None = None) -> AsyncIterator[list[Event]]:
        """Iterate over lists of events that count as done only when ``event.ack()`` is called."""
        async for batch in self._lists(max_, within, lambda _: self.current_event, ack=False):
            yield batch

    async def _lists(
        self, max_: int, within: float | None, pick: Callable[[Any], Any], ack: bool = True
    ) -> AsyncIterator[list[Any]]:
        if max_ < 1:
            raise ValueError(f"take({max_}): a list has at least one value")
        self._iterate("values")
        ended = False
        while not ended:
            batch: list[Any] = []
            held = self._held = []
            ended = await self.collect(batch, held, max_, within, pick)
            if held:
                # Who has waited in vain for one more event has let go of the last one.
                self.current_partition = held[-1].partition
            try:
                if batch:
                    yield batch
            finally:
                # Whoever settled the failed list has replaced it.
                if self._held is held:
                    self._held = []
                    if ack:
                        for message in held:
                            message.ack()

    async def collect(
        self,
        batch: list[Any],
        held: list[Any],
        max_: int,
        within: float | None,
        pick: Callable[[Any], Any],
    ) -> bool:
        """Append values to `batch`, and the right to finish them to `held`; returns whether the stream has ended.

        What is taken back meanwhile is not in them any more: it comes again.
        """
        ended = await self._collect(batch, held, max_, within, pick)
        if was_taken_back(held):
            # They come from a topic, so every value has its message.
            kept = [index for index, message in enumerate(held) if not message.taken_back]
            batch[:], held[:] = [batch[index] for index in kept], [held[index] for index in kept]
        return ended

    async def _collect(
        self,
        batch: list[Any],
        held: list[Any],
        max_: int,
        within: float | None,
        pick: Callable[[Any], Any],
    ) -> bool:
        loop = asyncio.get_running_loop()
        deadline: float | None = None
        while len(batch) < max_:
            try:
                async with asyncio.timeout_at(loop.time() + DRAIN_CHECK_S if batch else None) as timer:
                    while len(batch) < max_:
                        value = await self.__anext__()
                        when = timer.when()
                        timer.reschedule(None)
                        try:
                            value = await self._process(value)
                        except Skip:
                            timer.reschedule(when)
                            continue
                        batch.append(pick(value))
                        if (message := self.hold()) is not None:
                            held.append(message)
                        if when is None:
                            when = loop.time() + DRAIN_CHECK_S
                            deadline = None if within is None else loop.time() + within
                        timer.reschedule(when)
            except StopAsyncIteration:
                return True
            except TimeoutError:
                if (deadline is not None and loop.time() >= deadline) or self._commit_waits():
                    break
        return False

    def _commit_waits(self) -> bool:
        return self.app.has_session and self.app.session.wants_lists()

    # -- changing what comes through ----------------------------------------------------------------------------

    def add_processor(self, processor: Processor) -> None:
        """Have every value go through a function, plain or async; it may raise `Skip` to drop the value."""
        self._processors.append(processor)

    def filter(self, fun: Callable[[T], Any]) -> Stream[T]:
        """Drop values for which `fun`, plain or async, is false; they count as done."""

        async def keep_if(value: T) -> T:
            verdict = fun(value)
            if inspect.isawaitable(verdict):
                verdict = await verdict
            if not verdict:
                raise Skip
            return value

        self.add_processor(keep_if)
        return self

    def echo(self, *channels: Any) -> Stream[T]:
        """Send every value, with its key, to other channels (or names of topics) and pass it on."""

        async def send_copies(value: T) -> T:
            for channel in channels:
                await self.app.send(channel, key=self.current_key, value=value)
            return value

        self.add_processor(send_copies)
        return self

    def noack(self) -> Stream[T]:
        """Return this stream with events that count as done only when ``event.ack()`` is called."""
        return self._link(self._successor(self.channel, auto_ack=False, processors=self._processors))

    def through(self, channel: Any) -> Stream[Any]:
        """Send every record to another topic or channel and go on with what comes out of it.

        Args:
            channel: A topic, a channel, or the name of a topic.

        Raises:
            ImproperlyConfigured: A second time on one stream, or with concurrency.
        """
        self._check_forwarding("through")
        target = self.derive_topic(channel) if isinstance(channel, str) else channel
        following = self._link(self._successor(target, auto_ack=self.auto_ack, processors=self._processors))
        self._start_forwarder(lambda stream, desk: forward_values(stream, target, desk), following)
        return following

    def group_by(
        self,
        key: Any,
        *,
        name: str | None = None,
        topic: Topic | None = None,
        partitions: int | None = None,
    ) -> Stream[T]:
        """Send every record to a topic in between under a new key, so that equal keys come out of one partition.

        Args:
            key: A field (``Order.customer``), the name of a field, or a function of the value, plain or async.
            name: What a function is called in the name of the topic.
            topic: Instead of the topic in between.
            partitions: Of the topic in between; None is the app's ``topic_partitions``.

        Raises:
            ImproperlyConfigured: A second time on one stream, with concurrency, on a channel in memory, or by a
                lambda without a name.
        """
        self._check_forwarding("group_by")
        if not isinstance(self.channel, Topic):
            raise ImproperlyConfigured(f"group_by() needs a topic to read from, not {self.channel}")
        chosen = group_key(key, name)
        between = topic or self.repartition_topic(chosen.label, chosen.type, partitions)
        following = self._link(self._successor(between, auto_ack=self.auto_ack, processors=self._processors))
        self._start_forwarder(lambda stream, desk: repartition(stream, chosen, between, desk), following)
        return following

    def repartition_topic(self, label: str, key_type: Any = None, partitions: int | None = None) -> Topic:
        """Return the topic in between for `group_by`, named as Faust names it."""
        assert isinstance(self.channel, Topic)
        conf = self.app.conf
        source = "-".join(self.channel.topics)
        return self.channel.derive_topic(
            topics=(repartition_topic_name(self.prefix, source, label, has_prefix=self.channel.has_prefix),),
            key_type=key_type,
            key_serializer="raw" if key_type is not None else None,
            partitions=partitions or conf.topic_partitions,
            internal=True,
        )

    def derive_topic(
        self, name: str, *, key_type: Any = None, value_type: Any = None, prefix: str = "", suffix: str = ""
    ) -> Topic:
        """Return a topic with the types of this stream's topic.

        Raises:
            ValueError: When the stream reads a channel in memory.
        """
        if not isinstance(self.channel, Topic):
            raise ValueError(f"{self.channel} is not a topic, nothing can be derived from it")
        return self.channel.derive_topic(
            topics=(name,), prefix=prefix, suffix=suffix, key_type=key_type, value_type=value_type
        )

    def _check_forwarding(self, what: str) -> None:
        if self._next is not None:
            raise ImproperlyConfigured(f"{what}(): a stream can be forwarded once, go on with the stream it returned")
        if self.reader.concurrency > 1:
            raise ImproperlyConfigured(f"{what}() in {self.reader.name}: not possible with concurrency > 1")

    def _successor(self, channel: Channel, *, auto_ack: bool, processors: Iterable[Processor]) -> Stream[Any]:
        return type(self)(
            channel,
            app=self.app,
            reader=self.reader,
            auto_ack=auto_ack,
            processors=processors,
            prefix=self.prefix,
        )

    def _link(self, following: Stream[Any]) -> Stream[Any]:
        self._next, following._prev = following, self
        self._processors = []
        return following

    def _start_forwarder(
        self, forward: Callable[[Stream[Any], Any], Coroutine[Any, Any, None]], owner: Stream[Any]
    ) -> None:
        source = self._successor(self.channel, auto_ack=True, processors=())
        desk = ErrorDesk(self.app, f"{self.reader.name} (forwarding {self.channel})", self.reader.policy)
        owner._start(forward(source, desk))

    def _start(self, coroutine: Coroutine[Any, Any, None]) -> None:
        task = asyncio.get_running_loop().create_task(coroutine)
        self._tasks.add(task)
        task.add_done_callback(self._task_done)

    def _task_done(self, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        if not task.cancelled() and (error := task.exception()) is not None:
            self.app.fatal(error)

    # -- finishing -----------------------------------------------------------------------------------------------

    def get_active_stream(self) -> Stream[Any]:
        """Return the stream at the end of the chain, the one that is iterated."""
        stream: Stream[Any] = self
        while stream._next is not None:
            stream = stream._next
        return stream

    def get_root_stream(self) -> Stream[Any]:
        """Return the stream at the start of the chain."""
        stream: Stream[Any] = self
        while stream._prev is not None:
            stream = stream._prev
        return stream

    def ack(self, event: Any) -> bool:
        """Count an event as done."""
        return bool(event.ack())

    def in_hand(self) -> list[Any]:
        """Return the messages that the consumer has and that are not done; None stands for a bare item."""
        if self._held:
            return list(self._held)
        if self.current_message is not None:
            return [self.current_message]
        event = self.current_event
        if event is not None:
            return [event.message]
        return [None] if self.current_value is not None else []

    def finish(self) -> None:
        """Everything in hand is done."""
        held, self._held = self._held, []
        for message in held:
            message.ack()
        self.finish_current()

    def give_back(self) -> None:
        """Nothing in hand was processed; it is delivered again."""
        held, self._held = self._held, []
        for message in held:
            message.release()
        self.release_current()

    async def stop(self) -> None:
        """End the stream and what feeds it."""
        tasks = list(self._tasks)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        self.close()
        if self._release is not None:
            self._release()

    def info(self) -> dict[str, Any]:
        """What a clone is made with."""
        return {"app": self.app, "channel": self.channel, "prefix": self.prefix, "auto_ack": self.auto_ack}

    def __repr__(self) -> str:
        return f"<{type(self).__name__} of {self.channel}>"
