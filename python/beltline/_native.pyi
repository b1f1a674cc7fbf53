"""The engine below the Python face: belts, streams, tables and record decoders.

Nothing here is public; user code imports from ``beltline``. A belt belongs to the thread that started it: every call
from another thread raises ``RuntimeError``, except `Belt.send_threadsafe`. After ``fork()`` a belt of the parent is
unusable in the child and says so.
"""

from collections.abc import Awaitable, Callable, ItemsView, Iterable, Iterator, KeysView, Mapping, Sequence, ValuesView
from typing import Any, Final, Generic, Literal, TypeVar, final, overload

_T = TypeVar("_T")
_KT = TypeVar("_KT")
_VT = TypeVar("_VT")

__version__: Final[str]

StreamMode = Literal["values", "items", "events"]
DecodeKind = Literal["bytes", "str", "none"]
ValueKind = Literal["json", "int", "float", "str", "object"]
Guarantee = Literal["at_least_once", "exactly_once"]
StartFrom = Literal["earliest", "latest"]
Headers = Sequence[tuple[str, bytes | None]] | Mapping[str, bytes | None]
DeliveryCallback = Callable[[str, int, int, int], object]
"""Called as ``(topic, partition, offset, timestamp_ms)`` once the record is in the log."""

@final
class Belt:
    """One worker: log, engine core, tables and commit units, turned by the thread that called `start`.

    Order of life: ``Belt()``, `open`, `declare_topic`, `subscribe` and `attach_table`, `start`, then `turn` whenever
    `fileno` is readable, at last `stop`. Topics, subscriptions and tables may be added after `start` too.

    Making one does no I/O.

    Args:
        app_id: The group whose offsets this belt moves.
        guarantee: Whether outputs, tables and offsets may be seen only together.
        commit_interval_ms: Longest time between two commits; the engine's default depends on the guarantee.
        commit_bytes: A commit starts when the outbox holds this much.
        commit_events: A commit starts after this many finished events.
        drain_deadline_ms: How long an exactly-once commit waits for events in flight before it rewinds them.
        hand_over_deadline_ms: How long events of a partition that others are to get may take to finish; then they are
            given away with it.
        stall_timeout_ms: A partition with records to read that has not advanced for so long is called stalled.
        queue_bytes: Fetched and not yet handed out, per partition.
        fetch_max_bytes: One fetch of one partition.
        outbox_bytes: Unsent output; above it no event is handed out and `send` raises ``BufferError``.
        start_from: Where a partition without a committed offset begins.
    """

    def __new__(
        cls,
        app_id: str,
        *,
        guarantee: Guarantee = "at_least_once",
        commit_interval_ms: int | None = None,
        commit_bytes: int | None = None,
        commit_events: int | None = None,
        drain_deadline_ms: int | None = None,
        hand_over_deadline_ms: int | None = None,
        stall_timeout_ms: int | None = None,
        queue_bytes: int | None = None,
        fetch_max_bytes: int | None = None,
        outbox_bytes: int | None = None,
        start_from: StartFrom = "earliest",
    ) -> Belt: ...
    @property
    def app_id(self) -> str:
        """The group whose offsets this belt moves."""

    @property
    def is_started(self) -> bool:
        """Whether `start` succeeded and `stop` was not called."""

    def open(
        self,
        *,
        directory: str | None,
        sync: Literal["always", "interval", "never"] = "interval",
        sync_interval_ms: int = 1000,
        manual_clock: bool = False,
        endpoint: dict[str, Any] | None = None,
        kafka: dict[str, Any] | None = None,
    ) -> None:
        """Takes the data directory and opens its log and store; ``None`` keeps everything in memory.

        Args:
            directory: The data directory, made when missing; a second process on it gets ``DataDirectoryError``.
            sync: When the log reaches the disk itself: with every commit, every `sync_interval_ms`, or when the
                operating system likes. A killed process loses nothing with any of them, a power failure may.
            manual_clock: Time stands still until `advance`; only with ``directory=None``.
            endpoint: Share the directory: serve its log, or attach to the process that does and take its place when it
                ends. ``None`` wants the directory alone. All of these may be left out: ``port`` (0 takes a free one),
                ``host`` to listen on, ``advertised_host`` that clients are told, ``token`` that they must say as the
                password of SASL PLAIN, ``tls`` with the files of a certificate and its key in PEM; ``must_listen``,
                False where a machine that gives no port is no error; ``observe``, True for one who only looks or
                sends: it neither listens nor becomes a member of the group.
            kafka: Options by librdkafka's names, with the prefix ``consumer.`` or ``producer.`` for one of the two, and
                with the prefix ``beltline.`` for ours: the belt is there, and the directory has copies of tables only.

        Raises:
            DataDirectoryError: The directory is held by a process that does not answer or is not to be shared with,
                foreign, read-only, or of a newer format.
            ImproperlyConfigured: The port is taken, the address is open to other machines without token and TLS, or the
                files for TLS are none.
            CorruptLogError: The log's own index makes no sense.
        """

    def endpoint(self) -> tuple[str | None, str | None]:
        """Returns where the endpoint of a shared directory listens, and the process that holds the directory; None for
        an endpoint that is not there, and for a holder that is this process.
        """

    def declare_topic(
        self,
        name: str,
        partitions: int,
        *,
        compacted: bool = False,
        retention_ms: int | None = None,
        retention_bytes: int | None = None,
        append_time: bool = False,
        config: list[tuple[str, str]] | None = None,
    ) -> int:
        """Creates the topic if it does not exist; returns the partitions it really has.

        Args:
            append_time: Records carry the time of the append, whatever their sender says.
            config: Further options by Kafka's names; the embedded log has no use for them.

        Raises:
            ImproperlyConfigured: A name Kafka would refuse, or no partitions.
        """

    def expect_topic(self, name: str, partitions: int) -> None:
        """Makes a topic known without creating it: one that a pattern has found, or one that is missing."""

    def topics(self) -> list[tuple[str, int]]:
        """Every topic of the log with its number of partitions, by name."""

    def survey_topics(self, interval_s: float) -> None:
        """Has the log looked through every so often for topics and partitions that come up; see `topics_seen`."""

    def topics_version(self) -> int:
        """A number that is another one whenever `topics_seen` is."""

    def topics_seen(self) -> list[tuple[str, int]]:
        """Every topic with its partitions when the log was last looked through; empty before the first time."""

    def topic_offsets(self, name: str) -> list[tuple[int, int]]:
        """First and end offset of every partition of a topic.

        Raises:
            ImproperlyConfigured: There is no such topic.
        """

    def subscribe(self, name: str, topics: Sequence[str], tables: Sequence[str] | None = None) -> Subscription:
        """Opens a reader of declared topics; each subscription sees every record.

        Args:
            name: Shown in `health`, e.g. the agent's name.
            topics: Declared before; see `Subscription.extend` for more of them later.
            tables: Attached before, those that the events are written to, to find out whether the partitions fit; None
                when that is not known.

        Raises:
            ImproperlyConfigured: A topic that was not declared, named in the message.
        """

    def attach_table(self, table: Table[Any, Any], changelog: str, partitions: int) -> None:
        """Gives a table its shards; `changelog` was declared with as many partitions. A table has one belt at a time.

        Raises:
            ImproperlyConfigured: The table already belongs to another belt, or the changelog was not declared.
        """

    def start(self) -> None:
        """Starts the log and store threads; from now on the belt belongs to the calling thread."""

    def fileno(self) -> int:
        """Readable when `turn` has something to do: ``loop.add_reader(belt.fileno(), belt.turn)``."""

    def turn(self) -> bool:
        """Takes in what the log threads brought, sends what is due, wakes streams; never blocks.

        Call it too when `next_deadline` has passed. Streams call it themselves between batches. Returns whether
        something happened.

        Raises:
            StorageError, CorruptLogError: Fatal; the process must stop. Every later call raises it again.
        """

    def next_deadline(self) -> float | None:
        """Seconds until `turn` has something to do by itself (a commit is due), or None."""

    def wait(self, timeout_s: float) -> bool:
        """Blocks without the interpreter lock until `turn` has something to do; for plain threads without a loop."""

    def send(
        self,
        topic: str,
        key: bytes | None,
        value: bytes | None,
        *,
        partition: int | None = None,
        timestamp: int | None = None,
        headers: Headers | None = None,
        on_delivery: DeliveryCallback | None = None,
        receipt: Any = None,
    ) -> int:
        """Puts a record into the outbox; it is appended with the next commit. Returns its partition.

        Args:
            partition: ``None`` lets the key decide (Kafka's murmur2), or takes turns for a null key.
            timestamp: Milliseconds since the epoch; ``None`` is the moment of the append.
            on_delivery: Called from `turn` as ``(topic, partition, offset, timestamp)``; dropped uncalled when the
                belt fails first.
            receipt: In its place an object whose method ``deliver`` is called so, if anybody else holds it by then, or
                ``refuse`` with ``(topic, partition, reason, comes_again)`` when the record was not written; the last
                says whether an event comes again that sends it again.

        Raises:
            ImproperlyConfigured: A topic that was not declared, or a partition it has not.
            BufferError: The outbox is full; let the loop run, then repeat.
            EventTakenBack: In the middle of an event that was taken back.
        """

    def send_threadsafe(
        self,
        topic: str,
        key: bytes | None,
        value: bytes | None,
        *,
        partition: int | None = None,
        timestamp: int | None = None,
        headers: Headers | None = None,
        on_delivery: DeliveryCallback | None = None,
        receipt: Any = None,
    ) -> None:
        """Like `send`, from any thread: the record is queued and sent by the owner's next `turn`, unless the event that
        the thread works on was taken back by then.

        Raises:
            BufferError: Too many records are queued.
        """

    def request_commit(self) -> None:
        """Starts a commit as soon as events in flight allow; returns at once."""

    def commit(self, timeout_s: float = 30.0) -> None:
        """Blocks until everything finished and sent so far is committed; for command lines and tests.

        Raises:
            TimeoutError: With what it still waits for.
        """

    def assignment_version(self) -> int:
        """A number that is another one whenever something else is ours."""

    def assignment(self) -> list[tuple[str, int]]:
        """Topic and partition of everything that is ours."""

    def is_joining(self) -> bool:
        """Whether the group has yet to say what is ours."""

    def is_idle(self) -> bool:
        """Nothing queued, in flight, dirty or unsent, and every partition read to its end."""

    def is_draining(self) -> bool:
        """Whether a commit waits for events in flight: whoever collects events into a list should work it off now."""

    def health(self) -> dict[str, Any]:
        """What each subscription and table does right now; shape:

        ``{"partitions": [{"subscription", "topic", "partition", "position", "end", "in_flight", "oldest_in_flight_s",
        "paused", "stalled_s"}], "tables": [{"table", "ready", "partitions", "done", "total"}], "joining", "trouble"}``;
        ``paused`` is None or the reason in words.
        """

    def recovery(self) -> list[tuple[str, int, int, int]]:
        """Shards being restored: ``(table, partition, records done, records total)``; empty when all are ready."""

    def advance(self, seconds: float) -> None:
        """Moves the clock of a belt opened with ``manual_clock=True``."""

    def begin_stop(self, deadline_s: float = 30.0) -> None:
        """Begins to stop and returns at once: streams end when they ask for the next event, what is in flight may
        finish until the deadline. Turn on until the consumers have ended, then call `stop`. Idempotent.
        """

    def stop(self, deadline_s: float = 30.0) -> None:
        """Lets nothing new out, commits what is finished, joins the threads; streams end. Idempotent.

        Raises:
            StorageError: The last commit failed.
        """

@final
class Subscription:
    """One reader of topics; many `Stream` objects may share it, each event goes to one of them."""

    @property
    def name(self) -> str:
        """What `Belt.health` shows it as."""

    @property
    def topics(self) -> list[str]:
        """What it reads."""

    def loosen(self) -> None:
        """Lets it go on when a topic of it does not exist any more, as one of a pattern does."""

    def extend(self, topics: Sequence[str]) -> None:
        """Reads more topics from now on, without a position of the group from their first record.

        Args:
            topics: Declared before; those that it reads already stay as they are.

        Raises:
            ImproperlyConfigured: A topic that was not declared, or one that does not fit a table.
        """

    def close(self) -> None:
        """Ends its streams; its partitions are fetched no longer. Idempotent."""

@final
class Queue:
    """In-memory source of a `Stream`: what a channel without a topic is. Belongs to one event loop's thread.

    Args:
        maxsize: The most items that may wait; 0 is as many as memory holds.
    """

    def __new__(cls, maxsize: int = 0) -> Queue: ...
    @property
    def closed(self) -> bool:
        """Whether `close` was called."""

    @property
    def maxsize(self) -> int:
        """How many items may wait; 0 is as many as memory holds."""

    def put_nowait(self, value: Any, key: Any = None, *, event: Any = None, partition: int | None = None) -> None:
        """Adds an item.

        Args:
            event: What mode ``"events"`` yields and `Stream.current_event` returns.
            partition: The shard that table writes of this item go to; None lets each table key decide.

        Raises:
            BufferError: The queue is full.
            RuntimeError: The queue was closed.
        """

    def when_writable(self) -> Any | None:
        """None when there is room; otherwise a future of the running loop that is resolved when there may be."""

    def qsize(self) -> int:
        """How many items wait."""

    def close(self) -> None:
        """Streams end after the items that are already in."""

@final
class Sender:
    """Sends of one topic with nothing but key and value.

    A receipt that nobody holds any more when the next record is sent is used for that one: a loop that does not look at
    what sending gives back has only one of them.

    Args:
        belt: Where records go.
        topic: A declared topic.
        channel: What receipts name as the place they were sent to.
        key: Makes the bytes of a key.
        value: Makes the bytes of a value; the method of a `RecordEncoder` is not called but used.
        has_raw_keys: Whether `key` leaves bytes and text as they are.
        receipt: The class of receipts, futures with the method ``deliver``, made of ``(channel, key, value)``, which
            they keep in the slot ``_message``. One must hold itself once somebody has ended it or waits for it.
        loop: Whose futures they are.
        general: Sends in every other case, and raises what is to be raised.
        unless: Collections; while one of them is not empty, everything goes the general way.

    Raises:
        ImproperlyConfigured: A topic that was not declared.
    """

    def __new__(
        cls,
        belt: Belt,
        topic: str,
        channel: Any,
        key: Callable[[Any], bytes],
        value: Callable[[Any], bytes],
        *,
        has_raw_keys: bool,
        receipt: type[Any],
        loop: Any,
        general: Callable[..., Any],
        unless: Sequence[Any],
    ) -> Sender: ...
    def send_soon(
        self,
        *,
        key: Any = None,
        value: Any = None,
        partition: Any = None,
        timestamp: Any = None,
        headers: Any = None,
        key_serializer: Any = None,
        value_serializer: Any = None,
        callback: Any = None,
        force: Any = None,
        eager_partitioning: Any = None,
    ) -> Any:
        """Puts a record into the outbox and returns its receipt: `Topic.send_soon`, prepared once."""

class Stream(Generic[_T]):
    """Async iterator and plain iterator over a `Subscription` or a `Queue`, for one consumer at a time.

    An event is done when the next one is asked for or `close` is called, unless `hold` took it, or `auto_ack` is off.
    When a handler fails, call `finish_current` (count it as done) or `release_current` (deliver it again).
    A dropped stream releases its event. Subclasses may add anything but must not override the iteration.

    Args:
        key_decode: Of the key's bytes, which stay bytes without it; a null key is None without a call. Items of a
            `Queue` are not decoded.
        value_decode: Of the value's bytes, likewise.
        mode: ``"values"``, ``"items"`` = ``(key, value)``, ``"events"`` = ``make_event(key, value, message)``.
        on_decode_error: Returns to skip the record, raises to fail; without it the error is raised.
        make_event: Makes events; without it mode ``"events"`` yields the `Message`.
    """

    def __new__(
        cls,
        source: Subscription | Queue,
        *,
        key_decode: Callable[[bytes], Any] | DecodeKind | None = None,
        value_decode: RecordDecoder | JsonDecoder | Callable[[bytes], Any] | DecodeKind | None = None,
        mode: StreamMode = "values",
        auto_ack: bool = True,
        on_decode_error: Callable[[Message, Exception], object] | None = None,
        make_event: Callable[[Any, Any, Message], Any] | None = None,
    ) -> Stream[Any]: ...
    @property
    def auto_ack(self) -> bool:
        """Whether asking for the next event finishes the one in hand."""

    @auto_ack.setter
    def auto_ack(self, auto_ack: bool) -> None: ...
    @property
    def closed(self) -> bool:
        """Whether the iteration has ended."""

    @property
    def current_event(self) -> Any | None:
        """``make_event(key, value, message)`` of the record being worked on, made on first use."""

    @property
    def current_key(self) -> Any | None:
        """The decoded key of the record being worked on."""

    @property
    def current_message(self) -> Message | None:
        """The record being worked on; None before the first, after `close`, and for a `Queue`."""

    @property
    def current_partition(self) -> int | None:
        """The shard that tables show and write to. Settable while events are held: a list of events is worked on one
        partition after the other.
        """

    @current_partition.setter
    def current_partition(self, partition: int) -> None: ...
    @property
    def current_value(self) -> Any | None:
        """The decoded value of the record being worked on."""

    @property
    def mode(self) -> StreamMode:
        """What an event is to the consumer. Settable between two events."""

    @mode.setter
    def mode(self, mode: StreamMode) -> None: ...
    @property
    def source(self) -> Subscription | Queue:
        """Where its events come from."""

    def __aiter__(self) -> Stream[_T]: ...
    def __anext__(self) -> Awaitable[_T]: ...
    def __iter__(self) -> Stream[_T]: ...
    def __next__(self) -> _T: ...
    def hold(self) -> Message | None:
        """Takes the current event away from the stream: it is done when `Message.ack` is called."""

    def finish_current(self) -> None:
        """The current event is done, whatever `auto_ack` says."""

    def release_current(self) -> None:
        """The current event was not processed; it is delivered again, to whoever asks next."""

    def wake(self) -> None:
        """Resolves the future a consumer waits on; it looks again and waits on."""

    def close(self) -> None:
        """The current event is done (if `auto_ack`) and the iteration ends. Idempotent."""

@final
class Message:
    """One record as it lies in its topic, with the right to say that it is done.

    It keeps its whole batch in memory for as long as it lives.
    """

    @property
    def acked(self) -> bool:
        """Whether it was done or given back."""

    @property
    def headers(self) -> list[tuple[str, bytes | None]]:
        """Names and values in the order they were sent in; a name may come twice."""

    @property
    def key(self) -> bytes | None:
        """The bytes of the key."""

    @property
    def offset(self) -> int:
        """Its place in the partition."""

    @property
    def partition(self) -> int:
        """The partition of the topic."""

    @property
    def taken_back(self) -> bool:
        """Whether it was taken back under exactly-once: it is delivered again, and nothing more may be done with it."""

    @property
    def timestamp(self) -> float:
        """Seconds since the epoch, as Faust has it."""

    @property
    def timestamp_ms(self) -> int:
        """Milliseconds since the epoch."""

    @property
    def topic(self) -> str:
        """The topic it lies in."""

    @property
    def value(self) -> bytes | None:
        """The bytes of the value; None is a tombstone."""

    def take_up(self) -> None:
        """The running task works on this record from now on: what it writes and sends belongs to it."""

    def ack(self) -> bool:
        """The record is done. Returns False when it was done or given back before."""

    def release(self) -> bool:
        """The record was not processed and is delivered again. Returns False when it was done or given back before."""

class Table(Generic[_KT, _VT]):
    """A mapping sharded like the topic its events come from; writes go to the changelog with the next commit.

    While an event is worked on (in the task or thread that iterates the stream), the table *is* the shard of that
    event's partition. Outside an event it shows all shards and refuses writes with ``TypeError``. Values are copies:
    change one, then assign it again. Changing the key set while iterating raises ``RuntimeError``.

    Without shards at first; `Belt.attach_table` gives it some. Unknown keywords are for subclasses.

    Args:
        name: Shown in errors and `Belt.health`.
        key_loads: Changelog key bytes to key, for keys that are neither JSON strings nor JSON integers.
        key_dumps: The way back; also for ``str`` subclasses. Without it such keys raise ``TypeError``.
        value_kind: ``"object"`` passes every value through `value_dumps`; with any other, ``int`` (64 bits),
            ``float`` and ``str`` are JSON without a call and only other values go through it.
        value_loads: Changelog value bytes to value.
        default: Called for a missing key; the result is returned, not stored, as in Faust.
        on_foreign_key: Called once per table as ``(table, key, partition, expected)`` when a key is first written
            from a partition that its hash does not map to.
    """

    def __new__(
        cls,
        name: str,
        *,
        key_loads: Callable[[bytes], Any] | None = None,
        key_dumps: Callable[[Any], bytes] | None = None,
        value_kind: ValueKind = "json",
        value_loads: Callable[[bytes], Any] | None = None,
        value_dumps: Callable[[Any], bytes] | None = None,
        default: Callable[[], Any] | None = None,
        on_foreign_key: Callable[[Table[Any, Any], Any, int, int], object] | None = None,
        **kwargs: Any,
    ) -> Table[Any, Any]: ...
    @property
    def changelog(self) -> str | None:
        """The topic its writes go to; None while not attached."""

    @property
    def default(self) -> Callable[[], Any] | None:
        """Called for a missing key; None raises ``KeyError``. Settable."""

    @default.setter
    def default(self, default: Callable[[], Any] | None) -> None: ...
    @property
    def name(self) -> str:
        """Shown in errors and `Belt.health`."""

    @property
    def partitions(self) -> int:
        """Number of shards, 0 while not attached."""

    def __getitem__(self, key: _KT, /) -> _VT: ...
    def __setitem__(self, key: _KT, value: _VT, /) -> None: ...
    def __delitem__(self, key: _KT, /) -> None: ...
    def __contains__(self, key: object, /) -> bool: ...
    def __len__(self) -> int: ...
    def __iter__(self) -> Iterator[_KT]: ...
    def __eq__(self, other: object, /) -> bool: ...
    def __or__(self, other: Mapping[Any, Any], /) -> dict[Any, Any]: ...
    def __ror__(self, other: Mapping[Any, Any], /) -> dict[Any, Any]: ...
    def __ior__(self, other: Mapping[_KT, _VT] | Iterable[tuple[_KT, _VT]], /) -> Table[_KT, _VT]: ...  # type: ignore[misc]
    @overload
    def get(self, key: _KT, default: None = None) -> _VT | None:
        """The value of a key, or `default`: the table's own default is for ``table[key]`` only."""

    @overload
    def get(self, key: _KT, default: _T) -> _VT | _T: ...
    def keys(self) -> KeysView[_KT]:
        """A view of the keys in sight, as of a dict."""

    def values(self) -> ValuesView[_VT]:
        """A view of the values in sight, as of a dict."""

    def items(self) -> ItemsView[_KT, _VT]:
        """A view of the keys with their values in sight, as of a dict."""

    @overload
    def pop(self, key: _KT) -> _VT:
        """Takes a key out and returns its value.

        Raises:
            KeyError: The key is not there, and no default was given.
        """

    @overload
    def pop(self, key: _KT, default: _T) -> _VT | _T: ...
    def popitem(self) -> tuple[_KT, _VT]:
        """Takes some key out and returns it with its value.

        Raises:
            KeyError: The table is empty.
        """

    def setdefault(self, key: _KT, default: Any = None) -> _VT:
        """The value of a key, which is `default` from now on if there was none."""

    def update(self, *args: Any, **kwargs: _VT) -> None:
        """Sets what a mapping, an iterable of pairs or keywords give, as of a dict."""

    def clear(self) -> None:
        """Takes every key out of the shard of the event in hand."""

    def copy(self) -> dict[_KT, _VT]:
        """Everything in sight, as a dict."""

    def get_in(self, partition: int, key: _KT, default: Any = None) -> Any:
        """Reads from one shard, in or out of an event."""

    def set_in(self, partition: int, key: _KT, value: _VT) -> None:
        """Writes to one shard, in or out of an event: for timers that know which partition a key belongs to."""

    def delete_in(self, partition: int, key: _KT) -> bool:
        """Removes from one shard, in or out of an event; returns whether the key was there."""

    def items_in(self, partition: int | None = None) -> list[tuple[_KT, _VT]]:
        """What one shard (or all) holds right now, in or out of an event."""

    def shards(self) -> list[int]:
        """Partitions whose shard is restored and readable here."""

@final
class LoneEndpoint:
    """The endpoint of a data directory in a process where nothing else runs: it listens from its making to `close`.

    Args:
        directory: The data directory; it is made when it is missing.
        holder: What other processes are told about this one.
        sync: When the log reaches the disk itself, see `Belt.open`.
        sync_interval_ms: Beside ``interval``.
        topics: Name, partitions and the options of `Belt.declare_topic` in their order; one that exists stays as it is.
        endpoint: How to listen, see `Belt.open`.

    Raises:
        DataDirectoryError: Another process holds it, or it is foreign, read-only or of a newer format.
        ImproperlyConfigured: The port is taken, the address is open to other machines without token and TLS, or a topic
            cannot be.
    """

    def __new__(
        cls,
        directory: str,
        holder: str,
        *,
        sync: Literal["always", "interval", "never"],
        sync_interval_ms: int,
        topics: Sequence[tuple[str, int, tuple[Any, ...]]],
        endpoint: dict[str, Any],
    ) -> LoneEndpoint: ...
    @property
    def address(self) -> str:
        """Host and port."""

    @property
    def notice(self) -> str | None:
        """What opening the log had to repair."""

    def tidy(self) -> None:
        """Does what is to be done every few seconds: retention, compaction, giving memory back that nobody uses.

        Raises:
            StorageError: What the disk says; the next call tries again.
        """

    def close(self) -> None:
        """Closes the port and the log. Idempotent.

        Raises:
            StorageError: What the disk says.
        """

@final
class LastResort:
    """A thread that ends the process at its deadline, for when no Python code can run any more.

    It watches from the moment it is made.

    Args:
        deadline_s: Seconds from the first signal to the end of the process.

    Raises:
        ValueError: A deadline below zero or above a year.
        OSError: The system gives no thread or no descriptors.
    """

    def __new__(cls, deadline_s: float) -> LastResort: ...
    def signal_fd(self) -> int:
        """The descriptor for ``signal.set_wakeup_fd``."""

    def fileno(self) -> int:
        """The descriptor where signals come out again, one byte each."""

    def send(self, number: int) -> None:
        """Passes a byte on as if it were a signal; 255 begins the deadline without one."""

    def set_exit_code(self, code: int) -> None:
        """What the process ends with at the deadline."""

    def grant(self, seconds: float) -> None:
        """Waits so much longer once: Python code is about to end the process."""

    def disarm(self) -> None:
        """Ends the watch."""

@final
class RecordDecoder:
    """JSON bytes to instances of one class with slots, written by offset.

    Args:
        record_class: The class whose annotated fields are slots; its constructor is not called.
        fields: ``(name, kind, required, default)`` in order; kinds are ``str int float bool``, with ``?`` where
            null is allowed.
        general: Decodes whatever the fast way does not take, or raises.
    """

    def __new__(
        cls, record_class: type[Any], fields: Sequence[tuple[str, str, bool, Any]], *, general: Callable[[bytes], Any]
    ) -> RecordDecoder: ...
    @property
    def is_fast(self) -> bool:
        """Whether instances are filled by offset; otherwise everything goes the general way."""

    def decode(self, value: bytes) -> Any:
        """Makes an instance; raises what `general` raises."""

@final
class RecordEncoder:
    """Instances of one class with slots to JSON bytes, read by offset.

    Args:
        record_class: The class whose annotated fields are slots.
        fields: Attributes in order, each with the bytes that stand before its value.
        end: The bytes after the last value.
        general: Encodes instances of other classes, and those with anything but text, 64 bit integers, finite
            floats, truth values and None.
    """

    def __new__(
        cls,
        record_class: type[Any],
        fields: Sequence[tuple[str, bytes]],
        end: bytes,
        *,
        general: Callable[[Any], bytes],
    ) -> RecordEncoder: ...
    def encode(self, record: Any) -> bytes:
        """Makes the bytes; raises what `general` raises."""

@final
class JsonDecoder:
    """JSON of any shape to dicts, lists and scalars: what ``json.loads`` makes of the same bytes, only sooner.

    Args:
        general: Decodes whatever the fast way does not take, or raises.
        special: Objects with this name in them go the general way.
    """

    def __new__(cls, general: Callable[[bytes], Any], *, special: str | None = None) -> JsonDecoder: ...
    def __call__(self, value: bytes) -> Any: ...

@final
class RecordMaker:
    """Calls of one class with slots, without its constructor: arguments are written by offset.

    Calls of the class come here while the maker stands in its namespace as ``_maker``. Whatever is not plain goes to
    the constructor all the same, and so does every error.

    Args:
        record_class: The class whose fields are slots.
        fields: ``(name, required, default)`` in the order of the constructor's parameters.
    """

    def __new__(cls, record_class: type[Any], fields: Sequence[tuple[str, bool, Any]]) -> RecordMaker: ...

def current_stream() -> Stream[Any] | None:
    """The stream whose event the running task (or thread) works on."""

def stay_within_event() -> None:
    """The running context becomes that of a task which is made now, in the middle of an event: it belongs to that event
    until the event is over, and to none afterwards.
    """
