"""One life of an app's belt: opened, topics declared, tables attached, turned, stopped."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Final, Literal, cast

from beltline._native import Belt, Sender
from beltline.events import HeadersArgument, header_pairs
from beltline.exceptions import ImproperlyConfigured
from beltline.sending import FutureMessage
from beltline.serializers import Codec
from beltline.serializers.serde import is_raw
from beltline.services import Clock, ManualClock, SystemClock
from beltline.settings.endpoint import sharing
from beltline.settings.librdkafka import kafka_options
from beltline.topic_options import MissingTopic, can_be_created_elsewhere, missing_topics, options_of
from beltline.types import TP

from .driver import Driver
from .fitting import misfits
from .patterns import Patterns
from .tasks import keep_tasks_within_events

if TYPE_CHECKING:
    from beltline._native import Guarantee, StartFrom
    from beltline.tables.table import Table
    from beltline.topics import Topic

    from .base import App

__all__ = ["BeltSession"]

#: Who sends without a pause lets the event loop run this often.
BREATH_S: Final = 0.002

#: How long `send` waits for room in the outbox before it gives up.
SEND_PATIENCE_S: Final = 30.0

#: A waiting `send` looks again after so many seconds.
SEND_RETRY_S: Final = 0.01

#: Turns of the event loop that consumers get to take up what a turn of the belt brought.
SETTLING_TURNS: Final = 3


class BeltSession:
    """The belt of an app from opening to stopping; it belongs to one thread and one event loop.

    Attributes:
        app: Whose belt it is.
        belt: The native belt.
        clock: What timers go by.
        partitions: By name, the topics declared in this session with the partitions they really have.
        shares: Whether other processes may work on the same data directory: what is read here may change then.
        declared: By name, how they are made.
        may_create: Whether topics that are missing may be made.
        patterns: What is read by patterns.
    """

    def __init__(
        self,
        app: App,
        *,
        memory: bool | None = None,
        manual_clock: bool = False,
        observe: bool = False,
        patience: Callable[[str], bool] | None = None,
    ) -> None:
        """Open the belt.

        Args:
            app: Its settings say where and how.
            memory: Keep nothing; None is what the setting ``broker`` says.
            manual_clock: Time stands still until `advance`; only in memory.
            observe: Read without being a member of the group, move no position of it, and do not listen.
            patience: On Kafka, wait for brokers as long as the setting ``broker_start_timeout`` says; called
                now and then with the addresses that do not answer, False ends the wait.

        Raises:
            DataDirectoryError: The data directory is held by another process, foreign, read-only or newer.
            ImproperlyConfigured: The settings of the Kafka client contradict one another.
        """
        conf = app.conf
        in_memory = conf.is_memory if memory is None else memory
        self.app = app
        self.belt = Belt(
            conf.id,
            guarantee=cast("Guarantee", conf.processing_guarantee),
            commit_interval_ms=round(conf.broker_commit_interval * 1000),
            commit_bytes=conf.commit_bytes,
            commit_events=conf.broker_commit_every,
            drain_deadline_ms=round(conf.drain_deadline * 1000),
            stall_timeout_ms=round(conf.stall_timeout * 1000),
            queue_bytes=conf.queue_bytes,
            fetch_max_bytes=conf.consumer_max_fetch_size,
            outbox_bytes=conf.outbox_bytes,
            start_from=cast("StartFrom", conf.consumer_auto_offset_reset),
        )
        self.is_kafka = conf.is_kafka and not in_memory
        brokers = {**kafka_options(conf), "beltline.observe": observe} if self.is_kafka else None
        if brokers is not None and patience is not None:
            wait_ms = round(conf.broker_start_timeout * 1000)
            brokers |= {"beltline.connect_timeout_ms": wait_ms, "beltline.patience": patience}
        self.shares = (conf.endpoint or observe) and not (in_memory or self.is_kafka)
        self.belt.open(
            directory=None if in_memory else str(conf.datadir),
            sync=cast(Literal["always", "interval", "never"], conf.sync),
            sync_interval_ms=round(conf.sync_interval * 1000),
            manual_clock=manual_clock,
            endpoint=sharing(conf, observe) if self.shares else None,
            kafka=brokers,
        )
        self.clock: Clock = ManualClock() if manual_clock else SystemClock()
        self.partitions: dict[str, int] = {}
        self.declared: dict[str, Topic] = {}
        self._partitioner = conf.producer_partitioner
        self.may_create = conf.topic_allow_declare
        self.started = False
        self._missing: list[MissingTopic] | None = None
        self._attached: set[str] = set()
        self._loop: asyncio.AbstractEventLoop | None = None
        self._driver: Driver | None = None
        self._breathed = 0.0
        self._thread = 0
        self._idle_waiters = 0
        self._assigned: set[TP] = set()
        self._assignment_version = 0
        self.patterns = Patterns(self)

    # -- topics and tables -----------------------------------------------------------------------------------------

    def declare(self, topic: Topic) -> None:
        """Create a topic that does not exist; one that exists stays as it is.

        Raises:
            ImproperlyConfigured: It does not exist and ``topic_allow_declare`` is off.
        """
        for name in topic.topics:
            if name in self.partitions:
                continue
            wanted = self.app.topics.get(name, topic)
            partitions = wanted.partitions or self.app.conf.topic_partitions
            options = options_of(wanted)
            self.declared[name] = wanted
            try:
                if not self.may_create and name not in dict(self.belt.topics()):
                    raise ImproperlyConfigured(
                        f"topic {name} does not exist and topic_allow_declare is off; create it, or all that are "
                        "missing with the command `topics apply`"
                    )
                self.partitions[name] = self.belt.declare_topic(name, partitions, **options._asdict())
            except ImproperlyConfigured as error:
                if self._missing is None or not can_be_created_elsewhere(self.app.conf, error):
                    raise
                # It goes on as if the topic were there, to see what else is missing; `require_topics` ends that.
                self._missing.append(MissingTopic(name, partitions, options, error))
                self.expect(name, partitions)

    def expect(self, name: str, partitions: int) -> None:
        """Take a topic for known that somebody else has made, or will make."""
        if self.partitions.get(name) != partitions:
            self.belt.expect_topic(name, partitions)
            self.partitions[name] = partitions

    def gather_missing(self) -> None:
        """From now on, note topics that cannot be created instead of raising at the first one."""
        if self.is_kafka:
            self._missing = []

    def require_topics(self) -> None:
        """End `gather_missing`.

        Raises:
            ImproperlyConfigured: Topics are missing; the message names all of them and the commands that create them.
        """
        missing, self._missing = self._missing, None
        if missing:
            raise ImproperlyConfigured(missing_topics(missing, self.app.conf))

    def attach(self, table: Table[Any, Any]) -> None:
        """Give a table its shards and its changelog; one that has them stays as it is."""
        topic = table.changelog_topic
        self.declare(topic)
        name = topic.get_topic_name()
        if name not in self._attached and not any(name == missing.name for missing in self._missing or ()):
            self.belt.attach_table(table, name, self.partitions[name])
            self._attached.add(name)

    def prepare(self) -> None:
        """Declare the app's topics and attach its tables."""
        for table in self.app.tables.values():
            self.attach(table)
        for topic in list(self.app.topics.values()):
            self.declare(topic)

    @property
    def endpoint(self) -> str | None:
        """Host and port where the log is reached by Kafka's protocol; None when it is not."""
        return self.belt.endpoint()[0]

    @property
    def holder(self) -> str | None:
        """The other process that holds the data directory, in words; None when this one does."""
        return self.belt.endpoint()[1]

    @property
    def has_members(self) -> bool:
        """Whether what is read here is shared with others in a group."""
        return self.is_kafka or self.shares

    def changelogs(self) -> dict[str, str]:
        """Return the changelogs and the tables that they belong to."""
        return {table.changelog_topic.get_topic_name(): name for name, table in self.app.tables.items()}

    def check_partitions(self) -> None:
        """Refuse topics that do not fit the tables.

        Raises:
            ImproperlyConfigured: Both are named, and the cure.
        """
        for sentence in misfits(self.partitions, self.changelogs()):
            raise ImproperlyConfigured(sentence)

    def topic_partitions(self) -> set[TP]:
        """Return every partition that is read here; of a log of our own, all partitions of the topics declared here."""
        if self.has_members:
            return set(self._assigned)
        return {TP(name, partition) for name, count in self.partitions.items() for partition in range(count)}

    # -- turning ---------------------------------------------------------------------------------------------------

    @property
    def loop(self) -> asyncio.AbstractEventLoop:
        """The event loop that turns the belt; the running one before `start`."""
        return self._loop or asyncio.get_running_loop()

    @property
    def driver(self) -> Driver:
        """What turns the belt."""
        if self._driver is None:
            raise ImproperlyConfigured("the belt is open but does not turn yet; await app.start()")
        return self._driver

    def start(self) -> None:
        """Start the belt's threads and turn it from the running event loop."""
        if not self.started:
            self.belt.start()
            self.started = True
            self._thread = threading.get_ident()
        self.bind()

    def bind(self) -> None:
        """Turn the belt from the running event loop, also when that is another one than before."""
        running = asyncio.get_running_loop()
        if self._driver is not None and self._loop is running:
            return
        if self._driver is not None:
            self._driver.stop()
        self._loop = running
        keep_tasks_within_events(running)
        self._driver = Driver(self.belt, self.app.fatal, self.app.turned)
        self._driver.start()

    async def wait_recovered(self) -> None:
        """Return when every table is restored."""
        while self.is_recovering():
            await self.driver.next_turn()
            self.app.raise_failure()

    def is_recovering(self) -> bool:
        """Whether the group has yet to say what is read here, or a table of it is not complete."""
        return self.belt.is_joining() or bool(self.belt.recovery())

    def reassigned(self) -> tuple[set[TP], set[TP]] | None:
        """Return what is read here since the last call and what no longer; None when nothing has changed."""
        version = self.belt.assignment_version()
        if version == self._assignment_version:
            return None
        self._assignment_version = version
        before, self._assigned = self._assigned, {TP(*name) for name in self.belt.assignment()}
        return self._assigned - before, before - self._assigned

    async def wait_idle(self, timeout: float) -> None:
        """Return when all events are worked off and committed, and channels in memory are empty.

        Raises:
            TimeoutError: With the state of the belt, when that takes longer.
            BaseException: The error that stops the worker.
        """
        self._idle_waiters += 1
        try:
            await self._until_idle(timeout)
        finally:
            self._idle_waiters -= 1

    def wants_lists(self) -> bool:
        """Whether events that are being collected into lists hold up a commit, or somebody who waits for the end."""
        return self._idle_waiters > 0 or self.belt.is_draining()

    async def _until_idle(self, timeout: float) -> None:
        deadline = asyncio.get_running_loop().time() + timeout
        calm = 0
        while calm < SETTLING_TURNS:
            self.driver.turn()
            self.app.raise_failure()
            if self.belt.is_idle() and self.app.consumers_idle():
                calm += 1
                await asyncio.sleep(0)
                continue
            calm = 0
            if asyncio.get_running_loop().time() > deadline:
                raise TimeoutError(f"not idle after {timeout:g} s: {self.belt.health()}")
            self.belt.request_commit()
            await asyncio.sleep(0)
            self.driver.turn()
            if not self.belt.is_idle():
                await self.driver.next_turn(0.005)

    async def advance(self, seconds: float) -> None:
        """Move a manual clock forward, stopping wherever somebody has something to do.

        Raises:
            ImproperlyConfigured: The clock is that of the system.
        """
        clock = self.clock
        if not isinstance(clock, ManualClock):
            raise ImproperlyConfigured("the clock of this belt is the system's; open it with manual_clock=True")
        target = clock.time() + seconds
        while True:
            deadline = clock.next_deadline()
            step = target if deadline is None else min(target, max(deadline, clock.time()))
            self.belt.advance(step - clock.time())
            clock.step_to(step)
            for _ in range(SETTLING_TURNS):
                await asyncio.sleep(0)
            self.driver.turn()
            self.app.raise_failure()
            if step >= target:
                return

    def stop(self, deadline_s: float) -> None:
        """Commit what is finished and close the belt. Idempotent.

        Raises:
            StorageError: The last commit failed.
        """
        if self._driver is not None:
            self._driver.stop()
            self._driver = None
        self.belt.stop(max(deadline_s, 0.0))

    # -- sending ---------------------------------------------------------------------------------------------------

    def send_function(self) -> Callable[..., int]:
        """Return the fastest function that sends, with the arguments of `Belt.send`.

        Who begins to listen to `on_produce_message` later is not told of what it sends.
        """
        is_plain = self._partitioner is None and not self.app.watches_sends()
        return self.belt.send if is_plain else self._send_signalled

    def sender(self, topic: Topic, general: Callable[..., FutureMessage]) -> Sender | None:
        """Return the quick way of sends with nothing but key and value; None where each send needs a look.

        Args:
            topic: To send to.
            general: Its way for all other sends.
        """
        if self._partitioner is not None:
            return None
        key, value = topic.key_serde.dumps, topic.value_serde.dumps
        codec = getattr(key, "__self__", None)
        return Sender(
            self.belt,
            topic.get_topic_name(),
            topic,
            key,
            value,
            has_raw_keys=isinstance(codec, Codec) and is_raw(codec),
            receipt=FutureMessage,
            loop=self.loop,
            general=general,
            unless=self.app.on_produce_message.listeners(),
        )

    def _place(self, topic: str, key: bytes | None, partition: int | None) -> int | None:
        """Return the partition that the setting ``producer_partitioner`` chooses; None leaves it to murmur2."""
        if partition is not None or self._partitioner is None or topic not in self.partitions:
            return partition
        everything = list(range(self.partitions[topic]))
        chosen = self._partitioner(key, everything, list(everything))
        if chosen not in everything:
            raise ValueError(
                f"producer_partitioner chose {chosen!r} for topic {topic}, which has partitions 0 to {everything[-1]}"
            )
        return int(chosen)

    def _send_signalled(
        self,
        topic: str,
        key: bytes | None,
        value: bytes | None,
        *,
        partition: int | None = None,
        timestamp: int | None = None,
        headers: HeadersArgument = None,
        on_delivery: Any = None,
        receipt: Any = None,
    ) -> int:
        pairs = header_pairs(headers)
        partition = self._place(topic, key, partition)
        self.app.on_produce_message.send(key=key, value=value, partition=partition, timestamp=timestamp, headers=pairs)
        return self.belt.send(
            topic,
            key,
            value,
            partition=partition,
            timestamp=timestamp,
            headers=pairs,
            on_delivery=on_delivery,
            receipt=receipt,
        )

    def send_now(
        self,
        topic: str,
        key: bytes | None,
        value: bytes | None,
        *,
        partition: int | None = None,
        timestamp: float | None = None,
        headers: HeadersArgument = None,
        on_delivery: Any = None,
        receipt: Any = None,
    ) -> None:
        """Put a record into the outbox, from any thread; `timestamp` is in seconds.

        Raises:
            BufferError: The outbox is full.
        """
        send: Callable[..., Any] = self.send_function() if self.is_owner() else self.belt.send_threadsafe
        partition = self._place(topic, key, partition)
        send(
            topic,
            key,
            value,
            partition=partition,
            timestamp=None if timestamp is None else int(timestamp * 1000),
            headers=header_pairs(headers) or None,
            on_delivery=on_delivery,
            receipt=receipt,
        )

    def is_owner(self) -> bool:
        """Whether the running thread is the one that the belt belongs to."""
        return not self.started or threading.get_ident() == self._thread

    async def send(self, topic: str, key: bytes | None, value: bytes | None, **options: Any) -> None:
        """Put a record into the outbox, waiting for room, and let others run now and then.

        The arguments are those of `send_now`.

        Raises:
            BufferError: There was no room for a long time.
        """
        began = self.loop.time()
        while True:
            try:
                self.send_now(topic, key, value, **options)
            except BufferError:
                # Within an event that counts exactly once the commit that makes room waits for this very event.
                late = self.loop.time() > began + SEND_PATIENCE_S
                if self._driver is None or late or self.app.waits_for_itself():
                    raise
            else:
                # Who sends and sends would keep the loop to himself, and nothing would be committed.
                if began - self._breathed > BREATH_S:
                    self._breathed = began
                    await asyncio.sleep(0)
                return
            self.belt.request_commit()
            await self.driver.next_turn(SEND_RETRY_S)
