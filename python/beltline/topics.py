"""Topics: named, partitioned, durable belts of records."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from datetime import timedelta
from typing import TYPE_CHECKING, Any, Final

from ._native import Queue
from .channels import Channel, Source
from .events import HeadersArgument, header_pairs
from .exceptions import ImproperlyConfigured, KeyDecodeError
from .policies import final_policy
from .sending import FutureMessage, PendingMessage
from .serializers import Serde, get_serde

if TYPE_CHECKING:
    from .app.base import App
    from .app.session import BeltSession
    from .policies import PolicyArgument
    from .streams.reader import Reader

__all__ = ["FutureMessage", "PendingMessage", "Topic"]

#: Longest topic name that Kafka takes.
MAX_NAME_LENGTH: Final = 249


class Topic(Channel):
    """A topic, or several read as one.

    Args:
        app: The app it belongs to.
        topics: Its names; to send it must have just one.
        pattern: A regular expression in the place of names, as text or compiled: every topic whose whole name it
            matches is read, those too that come up later, within ``consumer_metadata_max_age_ms``;
            ``event.message.topic`` says which. Kafka's own topics (``__consumer_offsets``) and those that the app keeps
            for itself (changelogs, topics of ``group_by``) are left out.
        key_type: `Record`, ``str``, ``bytes``, ``int``, ``float``, ``Decimal``, a dataclass or any other model; None
            leaves keys as bytes.
        value_type: The same for values; None decodes JSON as it comes.
        key_serializer: Name of a codec, or a codec; None is the app's ``key_serializer`` ("raw").
        value_serializer: The same for values; None is the app's ``value_serializer`` ("json").
        partitions: How many it gets when it is created; None is the app's ``topic_partitions``.
        retention: Seconds, or a timedelta, after which records may be dropped; None keeps them.
        compacting: Keep the last value of every key.
        deleting: Drop records by `retention` even when compacting.
        internal: The app owns it.
        acks: Whether reading it moves the app's position.
        config: Further options by Kafka's names. The embedded log knows ``retention.ms``, ``retention.bytes``,
            ``cleanup.policy`` and ``message.timestamp.type`` (``LogAppendTime``: records carry the time of the append).
        allow_empty: Whether null values are meant.
        on_decode_error: What happens to records that cannot be read; None is what the agent or the app says.

    Raises:
        ValueError: A name that a log would refuse.
        TypeError: Both names and a pattern.
        ImproperlyConfigured: Less than one partition, or a pattern that is no regular expression.

    Example:
        >>> import beltline
        >>> beltline.App("shop").topic("orders", value_type=str).get_topic_name()
        'orders'
    """

    def __init__(
        self,
        app: App,
        *,
        topics: tuple[str, ...] | list[str] = (),
        pattern: str | re.Pattern[str] | None = None,
        key_type: Any = None,
        value_type: Any = None,
        key_serializer: Any = None,
        value_serializer: Any = None,
        partitions: int | None = None,
        retention: float | timedelta | None = None,
        compacting: bool | None = None,
        deleting: bool | None = None,
        replicas: int | None = None,
        acks: bool = True,
        internal: bool = False,
        config: Mapping[str, Any] | None = None,
        maxsize: int | None = None,
        allow_empty: bool = False,
        has_prefix: bool = False,
        on_decode_error: PolicyArgument | None = None,
        root: Channel | None = None,
        queue: Queue | None = None,
        is_iterator: bool = False,
    ) -> None:
        super().__init__(
            app,
            key_type=key_type,
            value_type=value_type,
            maxsize=maxsize,
            root=root,
            queue=queue,
            is_iterator=is_iterator,
        )
        if partitions is not None and partitions < 1:
            raise ImproperlyConfigured(f"topic {'/'.join(topics)}: partitions={partitions}, but a topic has 1 or more")
        if pattern and topics:
            raise TypeError(f"topic {'/'.join(topics)}: give either names or pattern={pattern!r}, not both")
        for name in topics:
            check_name(name)
        if on_decode_error is not None:
            final_policy(on_decode_error)
        self.topics = tuple(topics)
        self.pattern = compiled(pattern) if pattern else None
        self.key_serializer = key_serializer
        self.value_serializer = value_serializer
        self.partitions = partitions
        self.retention = retention
        self.compacting = compacting
        self.deleting = deleting
        self.replicas = replicas
        self.acks = acks
        self.internal = internal
        self.config = dict(config or {})
        self.allow_empty = allow_empty
        self.has_prefix = has_prefix
        self.on_decode_error = on_decode_error
        self._key_serde: Serde | None = None
        self._value_serde: Serde | None = None
        self._sends_by: BeltSession | None = None

    def _options(self) -> dict[str, Any]:
        names = (
            "topics pattern key_serializer value_serializer partitions retention compacting deleting replicas acks "
            "internal config allow_empty has_prefix on_decode_error"
        )
        return {**super()._options(), **{name: getattr(self, name) for name in names.split()}}

    @property
    def key_serde(self) -> Serde:
        """How keys become bytes and back."""
        if self._key_serde is None:
            self._key_serde = get_serde(
                self.key_type, self.key_serializer or self.app.conf.key_serializer, error=KeyDecodeError
            )
        return self._key_serde

    @property
    def value_serde(self) -> Serde:
        """How values become bytes and back."""
        if self._value_serde is None:
            self._value_serde = get_serde(self.value_type, self.value_serializer or self.app.conf.value_serializer)
        return self._value_serde

    @property
    def retention_ms(self) -> int | None:
        """The retention as the log wants it."""
        if self.retention is None:
            return None
        seconds = self.retention.total_seconds() if isinstance(self.retention, timedelta) else float(self.retention)
        return int(seconds * 1000)

    def get_topic_name(self) -> str:
        """Return its only name.

        Raises:
            TypeError: When it is a pattern.
            ValueError: When it has several names, or none.
        """
        if self.pattern is not None:
            raise TypeError(f"{self} has no single name to send to")
        if len(self.topics) != 1:
            raise ValueError(f"a topic with the names {list(self.topics)} has no single name to send to")
        return self.topics[0]

    def derive_topic(
        self,
        *,
        topics: tuple[str, ...] | list[str] | None = None,
        prefix: str = "",
        suffix: str = "",
        **options: Any,
    ) -> Topic:
        """Return another topic with this one's types and options.

        Args:
            topics: Its names; None is this topic's names between `prefix` and `suffix`.
            options: What is to be different, as in ``app.topic``.

        Raises:
            ValueError: A prefix or suffix for a pattern.
        """
        if self.pattern is not None and topics is None and (prefix or suffix):
            raise ValueError(f"{self} takes no prefix or suffix; write them into the pattern")
        names = self.topics if topics is None else topics
        given = {name: value for name, value in options.items() if value is not None}
        if names:
            given["pattern"] = None
        merged = {**self._options(), **given, "topics": tuple(f"{prefix}{name}{suffix}" for name in names)}
        return type(self)(**merged)

    def derive(self, **options: Any) -> Topic:
        """Return another topic with this one's types and options."""
        return self.derive_topic(**options)

    def open_source(self, reader: Reader, on_decode_error: PolicyArgument | None = None) -> Source:
        """Return what a stream of `reader` reads; streams of one reader share the records."""

        def subscribe() -> Any:
            session = self.app.session
            if self.pattern is not None:
                return session.patterns.subscribe(reader, self.pattern)
            session.declare(self)
            return session.belt.subscribe(reader.name, self.topics, reader.tables_behind(self.topics))

        policy = on_decode_error or self.on_decode_error or self.app.conf.on_decode_error
        source = reader.keep(self.pattern or self.topics, subscribe)
        return Source(source, self.key_serde.loads, self.value_serde.loads, reader.decode_error_handler(policy))

    def offsets(self) -> list[tuple[int, int]]:
        """Return the first and the end offset of every partition: what the log holds at this moment.

        Raises:
            NotReady: The app has not started.
            ImproperlyConfigured: The log has no such topic.
        """
        return self.app.session.belt.topic_offsets(self.get_topic_name())

    def prepare_key(self, key: Any, serializer: Any = None) -> bytes | None:
        """Return the key's bytes; a null key is None."""
        if key is None or (serializer == "raw" and isinstance(key, bytes)):
            return key
        serde = self.key_serde if serializer is None else get_serde(self.key_type, serializer)
        return serde.dumps(key)

    def prepare_value(self, value: Any, serializer: Any = None) -> bytes | None:
        """Return the value's bytes. None is a null value with the codec ``raw``, and what the codec says otherwise."""
        chosen = serializer or self.value_serializer or self.app.conf.value_serializer
        if value is None and chosen == "raw":
            return None
        if serializer == "raw" and isinstance(value, bytes):
            # Forwarded as it came, whatever type the topic has.
            return value
        serde = self.value_serde if serializer is None else get_serde(self.value_type, serializer)
        return serde.dumps(value)

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
        **_: Any,
    ) -> FutureMessage:
        """Put a record on the topic; it is in the log, and visible to others, with the next commit.

        Args:
            key: Decides about the partition.
            value: Encoded by the topic's type and codec.
            partition: Instead of what the key decides.
            timestamp: Seconds since the epoch; None is the moment it is appended.
            headers: By name, or as pairs.
            key_serializer: Instead of the topic's.
            value_serializer: Instead of the topic's.
            callback: Called with the returned future once it is done.

        Returns:
            A future of the record's metadata: ``await (await topic.send(value=1))``. It raises `EventTakenBack` when
            the commit was rolled back and the event comes again that the record was sent for. A record that is sent
            outside of events goes with the next commit then; `ProducerSendError` says that there was none any more.

        Raises:
            BufferError: The outbox stayed full.
        """
        await self.app.maybe_start_client()
        session = self.app.session
        topic, raw = self._prepare(key, value, key_serializer, value_serializer)
        sent = self._future(key, value, partition, timestamp, headers, key_serializer, value_serializer, callback)
        await session.send(topic, *raw, partition=partition, timestamp=timestamp, headers=headers, receipt=sent)
        return sent

    def send_soon(
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
        force: bool = False,
        eager_partitioning: bool = False,
    ) -> FutureMessage:
        """Put a record on the topic from code that cannot await; the arguments are those of `send`.

        Raises:
            NotReady: The app has not started.
            BufferError: The outbox is full; let the event loop run, then repeat.
        """
        session = self.app.session
        topic, raw = self._prepare(key, value, key_serializer, value_serializer)
        sent = self._future(key, value, partition, timestamp, headers, key_serializer, value_serializer, callback)
        session.send_now(topic, *raw, partition=partition, timestamp=timestamp, headers=headers, receipt=sent)
        if session is not self._sends_by and session.is_owner():
            self._sends_by = session
            self._send_quickly(session)
        return sent

    def _send_quickly(self, session: BeltSession) -> None:
        """Put what is needed for most records, and found out once, in the place of `send_soon`."""
        if type(self).send_soon is Topic.send_soon:
            # Looked up before the class's own, and called without a frame of its own.
            sender = session.sender(self, Topic.send_soon.__get__(self))
            if sender is None:
                self.__dict__.pop("send_soon", None)
            else:
                self.__dict__["send_soon"] = sender.send_soon

    def _prepare(
        self, key: Any, value: Any, key_serializer: Any, value_serializer: Any
    ) -> tuple[str, tuple[bytes | None, bytes | None]]:
        topic = self.get_topic_name()
        self.app.session.declare(self)
        return topic, (self.prepare_key(key, key_serializer), self.prepare_value(value, value_serializer))

    def _future(
        self, key: Any, value: Any, partition: int | None, timestamp: float | None, headers: HeadersArgument, *rest: Any
    ) -> FutureMessage:
        message = (self, key, value, partition, timestamp, header_pairs(headers), *rest)
        return FutureMessage(message, loop=self.app.session.loop)

    async def put(self, event: Any, *, partition: int | None = None) -> None:
        """Nothing but a record of the log gets into a topic's stream.

        Raises:
            NotImplementedError: Always; use `send`.
        """
        raise NotImplementedError(f"put() is for channels in memory; use await {self}.send(value=...)")

    async def declare(self) -> None:
        """Create the topic if it does not exist."""
        self.app.session.declare(self)

    async def maybe_declare(self) -> None:
        """Create the topic if it does not exist."""
        self.app.session.declare(self)

    def close_queues(self) -> None:
        """Streams of a topic end with the belt."""

    def __str__(self) -> str:
        if self.pattern is not None:
            return f"the pattern {self.pattern.pattern!r}"
        return ",".join(self.topics) or "(topic without a name)"


def compiled(pattern: str | re.Pattern[str]) -> re.Pattern[str]:
    """Return a pattern, compiled.

    Raises:
        ImproperlyConfigured: It is no regular expression for text.
    """
    try:
        made = re.compile(pattern)
    except re.error as error:
        raise ImproperlyConfigured(f"topic pattern {pattern!r} is no regular expression: {error}") from None
    if not isinstance(made.pattern, str):
        raise ImproperlyConfigured(f"topic pattern {pattern!r} is for bytes, but names of topics are text")
    return made


def check_name(name: str) -> None:
    """Check that a log takes the name.

    Raises:
        ValueError: With the name and the reason.
    """
    if len(name) > MAX_NAME_LENGTH:
        raise ValueError(f"topic name of {len(name)} characters, at most {MAX_NAME_LENGTH}: {name[:60]!r}…")
    if name in ("", ".", "..") or not all(char.isascii() and (char.isalnum() or char in "._-") for char in name):
        raise ValueError(f"topic name {name!r}: use ASCII letters, digits, '.', '_' and '-'")
