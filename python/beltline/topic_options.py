"""How a topic is created: what its declaration says, and the options by Kafka's names that the log understands."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final, NamedTuple

from .exceptions import ImproperlyConfigured

if TYPE_CHECKING:
    from .settings import Settings
    from .topics import Topic

__all__ = ["MissingTopic", "TopicOptions", "can_be_created_elsewhere", "missing_topics", "options_of"]

#: Options that both logs know, by Kafka's names.
CLEANUP: Final = "cleanup.policy"
RETENTION_MS: Final = "retention.ms"
RETENTION_BYTES: Final = "retention.bytes"
TIMESTAMP_TYPE: Final = "message.timestamp.type"


#: With these words the log tells the command that creates a topic which this user may not create.
ELSEWHERE: Final = "; let somebody with the right run:"


class TopicOptions(NamedTuple):
    """What `Belt.declare_topic` takes beside name and partitions."""

    compacted: bool = False
    retention_ms: int | None = None
    retention_bytes: int | None = None
    append_time: bool = False
    config: list[tuple[str, str]] = []  # noqa: RUF012 - never changed


class MissingTopic(NamedTuple):
    """A topic that does not exist and cannot be created here."""

    name: str
    partitions: int
    options: TopicOptions
    reason: Exception


def can_be_created_elsewhere(conf: Settings, error: Exception) -> bool:
    """Whether a topic was refused for want of a right, and not because of what it is to be."""
    return not conf.topic_allow_declare or ELSEWHERE in str(error)


def missing_topics(missing: list[MissingTopic], conf: Settings) -> str:
    """Return what is missing, why it was not created, and the commands that create it."""
    reason = "topic_allow_declare is off"
    if conf.topic_allow_declare:
        # What the brokers say of one topic comes with the command for that one, which stands below.
        reason = str(missing[0].reason).partition(ELSEWHERE)[0]
    commands = "".join(f"\n  {command_for(topic, conf)}" for topic in missing)
    what = "a topic does" if len(missing) == 1 else f"{len(missing)} topics do"
    return f"{what} not exist and cannot be created here ({reason}){ELSEWHERE}{commands}"


def command_for(topic: MissingTopic, conf: Settings) -> str:
    """Return the command of Kafka's tools that creates a topic."""
    servers = conf.broker.removeprefix("kafka://").replace(";", ",")
    options = topic.options
    config = {
        CLEANUP: "compact" if options.compacted else None,
        RETENTION_MS: options.retention_ms,
        RETENTION_BYTES: options.retention_bytes,
        TIMESTAMP_TYPE: "LogAppendTime" if options.append_time else None,
        **dict(options.config),
    }
    copies = conf.topic_replication_factor
    factor = f" --replication-factor {copies}" if copies > 0 else ""
    given = "".join(f" --config {name}={value}" for name, value in config.items() if value is not None)
    return (
        f"kafka-topics.sh --bootstrap-server {servers} --create --topic {topic.name} --partitions {topic.partitions}"
        f"{factor}{given}"
    )


def options_of(topic: Topic) -> TopicOptions:
    """Return how a topic is created; its `config` wins over its other arguments.

    Raises:
        ImproperlyConfigured: An option with a value that means nothing; topic, option and value are named.
    """
    given = {name: as_text(value) for name, value in topic.config.items()}
    cleanup = choice(topic, given, CLEANUP, ("delete", "compact", "compact,delete", "delete,compact"))
    times = choice(topic, given, TIMESTAMP_TYPE, ("CreateTime", "LogAppendTime"))
    retention_ms = number(topic, given, RETENTION_MS)
    if topic.compacting and topic.deleting and cleanup is None:
        given[CLEANUP] = "compact,delete"
    return TopicOptions(
        compacted=bool(topic.compacting) if cleanup is None else "compact" in cleanup,
        retention_ms=topic.retention_ms if retention_ms is None else none_below_zero(retention_ms),
        retention_bytes=none_below_zero(number(topic, given, RETENTION_BYTES)),
        append_time=times == "LogAppendTime",
        config=sorted(given.items()),
    )


def as_text(value: Any) -> str:
    """Return a value as Kafka writes it."""
    return str(value).lower() if isinstance(value, bool) else str(value)


def choice(topic: Topic, given: dict[str, str], name: str, allowed: tuple[str, ...]) -> str | None:
    """Return an option that is one of a few words; None when it is not given."""
    value = given.get(name)
    if value is not None and value not in allowed:
        raise ImproperlyConfigured(f"topic {topic}: {name}={value!r}, but it is {' or '.join(map(repr, allowed))}")
    return value


def number(topic: Topic, given: dict[str, str], name: str) -> int | None:
    """Return an option that is a whole number; None when it is not given."""
    value = given.get(name)
    try:
        return None if value is None else int(value)
    except ValueError:
        raise ImproperlyConfigured(f"topic {topic}: {name}={value!r}, but it is a whole number") from None


def none_below_zero(value: int | None) -> int | None:
    """Return the limit; Kafka's -1 is none."""
    return None if value is None or value < 0 else value
