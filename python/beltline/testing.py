"""Tests run the app on the real engine, in memory, by a clock that is moved by hand.

    with beltline.testing.run(app) as belt:
        belt.send(orders, Order(customer="ada", amount=1200.0))
        belt.drain()
        assert spent["ada"] == 1200.0
        belt.advance(60)                        # what timers and crontabs do in a minute happens now

In a coroutine the same with ``async with`` and ``await`` before every call.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Coroutine
from typing import TYPE_CHECKING, Any, Final, NamedTuple, TypeVar

from .exceptions import ImproperlyConfigured

if TYPE_CHECKING:
    from types import TracebackType

    from ._native import Message
    from .app import App
    from .policies import Failure
    from .topics import Topic

__all__ = ["AsyncBelt", "Belt", "Record", "run"]

_T = TypeVar("_T")

#: Seconds of real time that a test waits for its app.
DRAIN_S: Final = 10.0

#: Seconds between two looks for failures meanwhile.
LOOK_S: Final = 0.2


class Record(NamedTuple):
    """One record of a topic, decoded as the topic says."""

    key: Any
    value: Any
    headers: dict[str, bytes | None]
    partition: int
    offset: int
    timestamp: float


class AsyncBelt:
    """The belt of an app under test, for coroutines. `run` makes it."""

    def __init__(self, app: App) -> None:
        self.app = app
        self._records: dict[str, list[Message]] = {}
        self._collectors: list[asyncio.Task[None]] = []
        self._failures_seen = 0
        self._reported: set[str] = set()

    async def _start(self) -> None:
        app = self.app
        if app.has_session:
            raise ImproperlyConfigured(f"app {app.conf.id} runs already; leave that run before the next one begins")
        app.finalize()
        app.recent_failures.clear()
        self._failures_seen = app.failure_counts.total()
        app.open_belt(memory=True, manual_clock=True)
        try:
            await app.start()
            self._collect_new()
            await app.wait_ready()
        except BaseException:
            await self._stop()
            raise

    def _collect_new(self) -> bool:
        """Begin to keep what is sent to topics declared since the last look; returns whether there are any."""
        new = sorted(set(self.app.session.partitions) - set(self._records))
        for name in new:
            self._collect(name)
        return bool(new)

    def _collect(self, topic: str) -> None:
        from ._native import Stream

        session = self.app.session
        kept = self._records.setdefault(topic, [])
        stream: Stream[Message] = Stream(session.belt.subscribe(f"test of {topic}", [topic]), mode="events")

        async def read() -> None:
            async for message in stream:
                kept.append(message)

        self._collectors.append(asyncio.get_running_loop().create_task(read()))

    async def _stop(self) -> None:
        try:
            await self.app.stop()
        finally:
            for task in self._collectors:
                task.cancel()
            await asyncio.gather(*self._collectors, return_exceptions=True)
            self._collectors.clear()
            self.app.close_belt(0.1)

    async def send(
        self,
        channel: Any,
        value: Any = None,
        *,
        key: Any = None,
        partition: int | None = None,
        timestamp: float | None = None,
        headers: Any = None,
    ) -> None:
        """Put an event on a topic or channel, or give it to an agent.

        Args:
            channel: A topic, a channel, an agent, or the name of a topic that the app declares.
            value: As a handler would get it; the topic encodes it.
            key: Likewise.
            partition: Instead of what the key decides.
            timestamp: Seconds since the epoch; None is what the test's clock says.
            headers: By name, or as pairs.

        Raises:
            ImproperlyConfigured: The app declares no topic of that name.
        """
        target = self._topic(channel) if isinstance(channel, str) else channel
        await target.send(key=key, value=value, partition=partition, timestamp=timestamp, headers=headers)

    async def drain(self, timeout: float = DRAIN_S) -> None:
        """Return when every event is worked off, those that handlers sent included, and committed.

        Args:
            timeout: Seconds of real time.

        Raises:
            Exception: What a handler raised, unless `on_error` says what happens then: for the app, or for the agent.
            TimeoutError: A handler is still busy; the message says what the belt waits for.
        """
        try:
            await self._wait_idle(timeout)
            if self._collect_new():
                await self._wait_idle(timeout)
            for task in self._collectors:
                if task.done():
                    task.result()
        except BaseException as error:
            self._reported.add(repr(error))
            raise
        self._raise_unhandled()

    async def _wait_idle(self, timeout: float) -> None:
        """Wait, looking now and then for failures: an agent that fails before its first event never gets idle."""
        loop = asyncio.get_running_loop()
        deadline = loop.time() + timeout
        while True:
            try:
                await self.app.wait_idle(min(LOOK_S, max(deadline - loop.time(), 0.0)))
                return
            except TimeoutError as error:
                if error is self.app.fatal_error:
                    raise
            self._raise_unhandled()
            if loop.time() >= deadline:
                raise TimeoutError(f"not idle after {timeout:g} s: {self.app.session.belt.health()}")

    async def advance(self, seconds: float) -> None:
        """Move the clock forward, have timers and crontabs run at their times, and drain.

        Raises:
            Exception: What a timer or handler raised, see `drain`.
        """
        try:
            await self.app.session.advance(seconds)
        except BaseException as error:
            self._reported.add(repr(error))
            raise
        await self.drain()

    def records(self, topic: Topic | str) -> list[Record]:
        """Return what was put on a topic and is committed, in order of partition and offset; `drain` first.

        Raises:
            ImproperlyConfigured: The app declares no such topic.
        """
        described = self._topic(topic) if isinstance(topic, str) else topic
        name = described.get_topic_name()
        if name not in self._records:
            raise ImproperlyConfigured(f"nothing was declared or sent to topic {name!r} yet; drain() first")
        messages = sorted(self._records[name], key=lambda message: (message.partition, message.offset))
        return [decoded(described, message) for message in messages]

    def values(self, topic: Topic | str) -> list[Any]:
        """Return the values of `records`."""
        return [record.value for record in self.records(topic)]

    def time(self) -> float:
        """Return what the test's clock shows: seconds since the epoch."""
        return self.app.session.clock.time()

    def _topic(self, name: str) -> Topic:
        from .cli.entities import suggestion

        found = self.app.topics.get(name)
        if found is None:
            hint = suggestion(name, sorted(self.app.topics), "declare it with app.topic")
            raise ImproperlyConfigured(f"the app has no topic {name!r}: {hint}")
        return found

    def _raise_unhandled(self, *, repeated: bool = True) -> None:
        """Raise the first failure since the last look that nobody said what to do about.

        Args:
            repeated: Also when an error like it has been raised before.

        Raises:
            Exception: What the handler raised.
        """
        app = self.app
        total = app.failure_counts.total()
        fresh = list(app.recent_failures)[max(len(app.recent_failures) - (total - self._failures_seen), 0) :]
        self._failures_seen = total
        for failure in fresh:
            is_known = not repeated and repr(failure.exception) in self._reported
            if not is_known and not self._has_policy(failure):
                self._reported.add(repr(failure.exception))
                raise failure.exception

    def _has_policy(self, failure: Failure) -> bool:
        app = self.app
        if failure.handler == "decode":
            readers = [one for one in app.consumers() if one.on_decode_error is not None]
            topic = app.topics.get(failure.topic or "")
            named = topic is not None and topic.on_decode_error is not None
            return named or bool(readers) or app.conf.was_given("on_decode_error")
        name = failure.handler.partition(" (by ")[0]
        consumer: Any = app.agents.get(name) or app.handlers.get(name)
        return app.conf.was_given("on_error") or (consumer is not None and consumer.on_error is not None)

    def _raise_at_end(self) -> None:
        """Raise what no call has raised yet; an agent that fails again and again has been reported once.

        Raises:
            Exception: What the handler raised.
        """
        fatal = self.app.fatal_error
        if fatal is None:
            self._raise_unhandled(repeated=False)
        elif repr(fatal) not in self._reported:
            raise fatal


def decoded(topic: Topic, message: Message) -> Record:
    """Return a record with key and value as the topic decodes them; a null stays None."""
    key = None if message.key is None else load(topic.key_serde.loads, message.key)
    value = None if message.value is None else load(topic.value_serde.loads, message.value)
    return Record(key, value, dict(message.headers), message.partition, message.offset, message.timestamp)


def load(loads: Any, raw: bytes) -> Any:
    """Decode with what a stream takes as a decoder: a function, a record decoder, or the name of a simple one."""
    if isinstance(loads, str):
        return raw.decode("utf-8") if loads == "str" else raw
    return loads.decode(raw) if hasattr(loads, "decode") else loads(raw)


class Belt:
    """The belt of an app under test. `run` makes it; every call returns when its effects are there."""

    def __init__(self, app: App) -> None:
        self.app = app
        self._inner = AsyncBelt(app)
        self._runner = asyncio.Runner()

    def _call(self, coroutine: Coroutine[Any, Any, _T]) -> _T:
        return self._runner.get_loop().run_until_complete(coroutine)

    def send(
        self,
        channel: Any,
        value: Any = None,
        *,
        key: Any = None,
        partition: int | None = None,
        timestamp: float | None = None,
        headers: Any = None,
    ) -> None:
        """Put an event on a topic or channel, or give it to an agent; see `AsyncBelt.send`."""
        self._call(self._inner.send(channel, value, key=key, partition=partition, timestamp=timestamp, headers=headers))

    def drain(self, timeout: float = DRAIN_S) -> None:
        """Return when every event is worked off and committed; raise what handlers raised, see `AsyncBelt.drain`."""
        self._call(self._inner.drain(timeout))

    def advance(self, seconds: float) -> None:
        """Move the clock forward, have timers and crontabs run, and drain; see `AsyncBelt.advance`."""
        self._call(self._inner.advance(seconds))

    def records(self, topic: Topic | str) -> list[Record]:
        """Return what was put on a topic; see `AsyncBelt.records`."""
        return self._inner.records(topic)

    def values(self, topic: Topic | str) -> list[Any]:
        """Return the values of `records`."""
        return self._inner.values(topic)

    def time(self) -> float:
        """Return what the test's clock shows: seconds since the epoch."""
        return self._inner.time()


class run:
    """Run an app during a block: ``with run(app) as belt`` or ``async with run(app) as belt``.

    Nothing is written to disk, no other process is involved, and every run begins with an empty log, empty tables and
    the clock at `MANUAL_EPOCH`, so runs of one app do not see one another. At the end of the block an error of a
    handler that no `drain` has raised yet is raised.

    Args:
        app: The app, as the program declares it.
    """

    def __init__(self, app: App) -> None:
        self.app = app
        self._belt: Belt | None = None
        self._async_belt: AsyncBelt | None = None

    def __enter__(self) -> Belt:
        with contextlib.suppress(RuntimeError):
            asyncio.get_running_loop()
            raise ImproperlyConfigured("an event loop runs here already: write 'async with beltline.testing.run(app)'")
        self._belt = belt = Belt(self.app)
        try:
            belt._call(belt._inner._start())
        except BaseException:
            belt._runner.close()
            raise
        return belt

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        belt, self._belt = self._belt, None
        if belt is None:
            return
        try:
            belt._call(belt._inner._stop())
        finally:
            belt._runner.close()
        if kind is None:
            belt._inner._raise_at_end()

    async def __aenter__(self) -> AsyncBelt:
        self._async_belt = belt = AsyncBelt(self.app)
        await belt._start()
        return belt

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        belt, self._async_belt = self._async_belt, None
        if belt is None:
            return
        await belt._stop()
        if kind is None:
            belt._raise_at_end()
