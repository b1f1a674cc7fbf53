"""The table: a native mapping, with a changelog topic from which it is restored."""

from __future__ import annotations

import inspect
import json
import logging
from collections.abc import Awaitable, Callable
from types import GenericAlias
from typing import TYPE_CHECKING, Any, Final, TypeVar, cast

from beltline import _native
from beltline._native import RecordDecoder
from beltline.events import current_event
from beltline.exceptions import ImproperlyConfigured
from beltline.serializers import get_serde
from beltline.topics import Topic

from .ansitable import ansitable

if TYPE_CHECKING:
    from beltline.app.base import App

__all__ = ["Table"]

logger = logging.getLogger(__name__)

KT = TypeVar("KT")
VT = TypeVar("VT")

#: Types whose values are kept unboxed, with what the engine calls them.
UNBOXED: Final[dict[Any, _native.ValueKind]] = {int: "int", float: "float", str: "str"}

if TYPE_CHECKING:
    NativeTable = _native.Table
else:

    class NativeTable(_native.Table):
        """Lets ``NativeTable[K, V]`` be written as a base class."""

        __class_getitem__ = classmethod(lambda cls, _: cls)


class Table(NativeTable[KT, VT]):
    """A dict sharded like the topic its events come from. It is made by ``app.Table``.

    Args:
        app: The app it belongs to.
        name: Unique in the app; its changelog is the topic ``{id}-{name}-changelog``.
        default: Called for a missing key; what it returns is returned, not stored.
        key_type: Of keys that are neither text nor integers; None restores them as JSON has them.
        value_type: Of values; None takes whatever JSON can hold, and any model.
        key_serializer: Codec of keys in the changelog.
        value_serializer: Codec of values in the changelog.
        partitions: As many as the topics whose events write to it; None is the app's ``topic_partitions``.
        changelog_topic: Instead of the changelog by its usual name.
        help: For ``beltline tables``.
        on_recover: Called, plain or async, when the table has been restored.

    Example:
        >>> import beltline
        >>> beltline.App("shop").Table("spent", default=float).default()
        0.0
    """

    app: App
    help: str
    key_type: Any
    value_type: Any

    if not TYPE_CHECKING:
        __class_getitem__ = classmethod(GenericAlias)

    def __new__(
        cls,
        app: App,
        *,
        name: str,
        default: Callable[[], Any] | None = None,
        key_type: Any = None,
        value_type: Any = None,
        key_serializer: Any = None,
        value_serializer: Any = None,
        partitions: int | None = None,
        changelog_topic: Topic | None = None,
        help: str | None = None,  # noqa: A002 - Faust's name
        on_recover: Callable[[], Any] | None = None,
        **_: Any,
    ) -> Table[Any, Any]:
        """Make a table without shards; they come when the app starts."""
        if default is not None and not callable(default):
            raise ImproperlyConfigured(
                f"table {name}: default={default!r} is called for missing keys; write 'int' or a function"
            )
        key_serde = get_serde(key_type, key_serializer or changelog_codec(key_type))
        value_serde = get_serde(value_type, value_serializer or changelog_codec(value_type))
        loads = value_serde.loads
        made: Any = super().__new__(
            cls,
            name,
            key_loads=tuple_keys(load_function(key_serde.loads))
            if key_type is None
            else load_function(key_serde.loads),
            key_dumps=key_serde.dumps,
            value_kind=UNBOXED.get(value_type, "json" if value_type is None else "object"),
            value_loads=load_function(loads),
            value_dumps=value_serde.dumps,
            default=default,
            on_foreign_key=lambda _, key, partition, expected: warn_foreign_key(name, key, partition, expected),
        )
        made.app = app
        made.key_type = key_type
        made.value_type = value_type
        made.help = help or ""
        made.wanted_partitions = partitions
        made._changelog_topic = changelog_topic
        made._recover_callbacks = [] if on_recover is None else [on_recover]
        return cast("Table[Any, Any]", made)

    def __init__(self, *_: Any, **__: Any) -> None:
        # All is done in __new__, because the native part takes its codecs there.
        self.wanted_partitions: int | None
        self._changelog_topic: Topic | None
        self._recover_callbacks: list[Callable[[], Any]]

    @property
    def changelog_topic_name(self) -> str:
        """Name of the topic that holds the last value of every key."""
        if self._changelog_topic is not None:
            return self._changelog_topic.get_topic_name()
        return f"{self.app.conf.id}-{self.name}-changelog"

    @property
    def changelog_topic(self) -> Topic:
        """The topic that holds the last value of every key."""
        if self._changelog_topic is None:
            self._changelog_topic = self.app.topic(
                self.changelog_topic_name,
                key_type=self.key_type,
                value_type=self.value_type,
                key_serializer=changelog_codec(self.key_type),
                value_serializer=changelog_codec(self.value_type),
                partitions=self.wanted_partitions or self.app.conf.topic_partitions,
                compacting=True,
                deleting=False,
                acks=False,
                internal=True,
                allow_empty=True,
            )
        return self._changelog_topic

    def on_recover(self, fun: Callable[[], Any]) -> Callable[[], Any]:
        """Have a function, plain or async, called when the table has been restored; to be used as a decorator."""
        self._recover_callbacks.append(fun)
        return fun

    async def call_recover_callbacks(self) -> None:
        """Tell everybody who asked that the table has been restored."""
        for callback in self._recover_callbacks:
            result = callback()
            if isinstance(result, Awaitable) or inspect.isawaitable(result):
                await result

    def partition_for_key(self, key: Any) -> int | None:
        """Return the shard that `key` is written to now: that of the current event."""
        event = current_event()
        return None if event is None else event.message.partition

    def as_ansitable(
        self,
        title: str = "{table.name}",
        *,
        key: str = "Key",
        value: str = "Value",
        sort: bool = False,
        sortkey: Callable[[Any], Any] = lambda row: row[0],
        target: Any = None,
    ) -> str:
        """Return the table as text for a terminal.

        Args:
            title: Above it; ``{table.name}`` is filled in.
            key: Title of the left column.
            value: Title of the right column.
            sort: Whether rows are ordered by `sortkey`.
            sortkey: Takes a row ``(key, value)``.
            target: A file; colours are used when it is a terminal.
        """
        return ansitable(
            list(self.items()),
            title=title.format(table=self),
            key=key,
            value=value,
            sort=sort,
            sortkey=sortkey,
            target=target,
        )

    @property
    def label(self) -> str:
        """What messages call it."""
        return f"{type(self).__name__}: {self.name}"

    def __repr__(self) -> str:
        return f"<{self.label}>"


def changelog_codec(kind: Any) -> str:
    """Return the codec of a changelog: bytes as they are, everything else as JSON."""
    return "raw" if kind is bytes else "json"


def load_function(loads: Any) -> Callable[[bytes], Any] | None:
    """Return a function for what a stream may also decode natively."""
    if isinstance(loads, RecordDecoder):
        return loads.decode
    if callable(loads):
        return cast(Callable[[bytes], Any], loads)
    by_name: dict[str, Callable[[bytes], Any]] = {"str": bytes.decode, "bytes": bytes}
    return by_name.get(loads)


def tuple_keys(loads: Callable[[bytes], Any] | None) -> Callable[[bytes], Any]:
    """Return `loads` with lists made tuples, two levels deep as in Faust, because a list cannot be a key."""
    load = loads or json.loads

    def load_key(data: bytes) -> Any:
        key = load(data)
        if isinstance(key, list):
            return tuple(tuple(part) if isinstance(part, list) else part for part in key)
        return key

    return load_key


def warn_foreign_key(table: str, key: Any, partition: int, expected: int) -> None:
    """Say once, with the cure, that a table holds partial values of one key in several partitions."""
    logger.warning(
        "table %s: key %r is written from partition %d, but events with that key belong to partition %d. The table "
        "would hold a part of its value in every partition. Cure: group the events by what the table is keyed by: "
        "@app.on(topic, by=Model.field) or stream.group_by(Model.field)",
        table,
        key,
        partition,
        expected,
    )
