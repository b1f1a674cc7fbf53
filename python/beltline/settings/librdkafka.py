"""From settings to what the Kafka client is told: pure functions, to be tested without a broker."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Final

from beltline.exceptions import ImproperlyConfigured

from .hiding import without_secrets
from .security import security_options

if TYPE_CHECKING:
    from . import Settings

__all__ = ["KafkaOptions", "kafka_options"]

#: librdkafka asks for metadata at least once an hour.
MAX_REFRESH_MS: Final = 3_600_000

#: Replicas that must have a record, as Kafka writes "all of them".
ACKS_ALL: Final = frozenset({"all", "-1"})

#: An idempotent producer keeps the order of so many requests under way, and not of more.
MAX_IN_FLIGHT: Final = 5

ASSIGNMENT: Final = "partitions have to stay together with their tables, which beltline's assignor sees to"
COMMITS: Final = "positions are committed together with what their events did; see broker_commit_interval="

#: Options that no value of could keep what beltline promises, and why.
RESERVED: Final[Mapping[str, str]] = {
    "bootstrap.servers": "give the brokers as broker='kafka://host:9092'",
    "metadata.broker.list": "give the brokers as broker='kafka://host:9092'",
    "group.id": "the group is named after the app, so that its positions are found again",
    "group.protocol": ASSIGNMENT,
    "group.remote.assignor": ASSIGNMENT,
    "partition.assignment.strategy": ASSIGNMENT,
    "enable.auto.commit": COMMITS,
    "auto.commit.enable": COMMITS,
    "auto.commit.interval.ms": COMMITS,
    "enable.auto.offset.store": COMMITS,
    "enable.partition.eof": "beltline reads to ends that it has asked for",
    "transactional.id": "it is made of group and worker, so that a worker that comes back ends its old transaction",
    "partitioner": "keys have to go where their tables are; producer_partitioner= takes a function",
    "allow.auto.create.topics": "topics have to get the app's partitions and policies; see topic_allow_declare=",
}

#: The same option under another name.
ALIASES: Final[Mapping[str, str]] = {
    "request.required.acks": "acks",
    "sasl.mechanisms": "sasl.mechanism",
    "compression.codec": "compression.type",
    "queue.buffering.max.ms": "linger.ms",
    "delivery.timeout.ms": "message.timeout.ms",
    "max.in.flight": "max.in.flight.requests.per.connection",
    "fetch.message.max.bytes": "max.partition.fetch.bytes",
}


class KafkaOptions(dict[str, Any]):
    """What `Belt.open(kafka=)` takes: a dict that does not show secrets.

    Keys are librdkafka's with text as values, for consumer, producer and admin client alike; with the prefix
    ``consumer.`` or ``producer.`` for that one alone. Keys with the prefix ``beltline.`` are ours:

    - ``beltline.standby_replicas``, ``beltline.replication_factor``: whole numbers.
    - ``beltline.connect_timeout_ms``: how long to wait for the first answer of a broker.
    - ``beltline.patience``: a function that is told every two seconds or more often, from another thread, which
      addresses do not answer, and says whether to wait on.
    - ``beltline.token``: a function without arguments, to be called from any thread, that returns a token, when it runs
      out in milliseconds since the epoch, whose it is, and a dict of extensions; only with OAUTHBEARER.
    """

    def __repr__(self) -> str:
        return without_secrets(self)

    __str__ = __repr__


def kafka_options(conf: Settings) -> KafkaOptions:
    """Return what the Kafka client of an app is told.

    Raises:
        ImproperlyConfigured: Two settings contradict each other, a promise cannot be kept with what they say, or
            something in an `ssl.SSLContext` cannot be told to librdkafka.

    Example:
        >>> from beltline.settings import Settings
        >>> options = kafka_options(Settings("shop", broker="kafka://a;b:9093", environment={}))
        >>> options["bootstrap.servers"], options["consumer.session.timeout.ms"]
        ('a:9092,b:9093', '10000')
    """
    check_timeouts(conf)
    options = KafkaOptions(
        {
            "bootstrap.servers": servers(conf.broker),
            "client.id": conf.broker_client_id,
            **consumer_options(conf),
            **producer_options(conf),
            **security_options(conf),
            "beltline.standby_replicas": conf.table_standby_replicas,
            "beltline.replication_factor": conf.topic_replication_factor,
        }
    )
    merge(options, conf)
    return options


def servers(url: str) -> str:
    """Return the brokers of a URL as librdkafka writes them."""
    return url.removeprefix("kafka://").replace(";", ",")


def milliseconds(seconds: float) -> str:
    """Return a duration as librdkafka writes it; what is not nothing stays so."""
    return str(max(round(seconds * 1000), 1 if seconds > 0 else 0))


def check_timeouts(conf: Settings) -> None:
    """Refuse timeouts that contradict one another."""
    session = conf.broker_session_timeout
    pairs = (
        ("broker_heartbeat_interval", conf.broker_heartbeat_interval, "has to be below", session),
        ("broker_request_timeout", -conf.broker_request_timeout, "has to be at least", -session),
        ("broker_rebalance_timeout", -conf.broker_rebalance_timeout, "has to be at least", -session),
    )
    for name, value, words, limit in pairs:
        if value > limit or (value == limit and value > 0):
            raise ImproperlyConfigured(
                f"setting {name}={abs(value):g} {words} broker_session_timeout={session:g}, both in seconds"
            )


def consumer_options(conf: Settings) -> dict[str, str]:
    """Return what settings say about reading and the group."""
    refresh = min(max(conf.consumer_metadata_max_age_ms, 10), MAX_REFRESH_MS)
    options = {
        "auto.offset.reset": conf.consumer_auto_offset_reset,
        "check.crcs": "true" if conf.broker_check_crcs else "false",
        "connections.max.idle.ms": str(conf.consumer_connections_max_idle_ms),
        "heartbeat.interval.ms": milliseconds(conf.broker_heartbeat_interval),
        "max.partition.fetch.bytes": str(conf.consumer_max_fetch_size),
        # librdkafka tells the group this as the time a member may take to hand over.
        "max.poll.interval.ms": milliseconds(conf.broker_rebalance_timeout),
        "session.timeout.ms": milliseconds(conf.broker_session_timeout),
        "socket.timeout.ms": milliseconds(conf.broker_request_timeout),
        "topic.metadata.refresh.interval.ms": str(refresh),
    }
    if conf.broker_consumer is not None:
        options["bootstrap.servers"] = servers(conf.broker_consumer)
    if conf.consumer_group_instance_id is not None:
        options["group.instance.id"] = conf.consumer_group_instance_id
    return {f"consumer.{name}": value for name, value in options.items()}


def producer_options(conf: Settings) -> dict[str, str]:
    """Return what settings say about writing."""
    exactly_once = conf.processing_guarantee == "exactly_once"
    if exactly_once and conf.producer_acks != -1:
        raise ImproperlyConfigured(
            f"setting producer_acks={conf.producer_acks}: exactly_once needs the answer of all replicas (-1); "
            "leave producer_acks out, or use processing_guarantee='at_least_once'"
        )
    linger_ms = conf.producer_linger_ms
    refresh = min(max(conf.producer_metadata_max_age_ms, 10), MAX_REFRESH_MS)
    options = {
        "acks": str(conf.producer_acks),
        "batch.size": str(max(conf.producer_max_batch_size, 1)),
        "compression.type": conf.producer_compression_type or "none",
        "connections.max.idle.ms": str(conf.producer_connections_max_idle_ms),
        # Without it a repeated request could pass another one, and keys would get out of order.
        "enable.idempotence": "true" if conf.producer_acks == -1 else "false",
        "linger.ms": milliseconds(conf.producer_linger) if linger_ms is None else str(linger_ms),
        "message.max.bytes": str(conf.producer_max_request_size),
        "topic.metadata.refresh.interval.ms": str(refresh),
    }
    if not exactly_once:
        # In a transaction librdkafka derives it from the transaction's own timeout.
        options["message.timeout.ms"] = milliseconds(conf.producer_request_timeout)
    if conf.broker_producer is not None:
        options["bootstrap.servers"] = servers(conf.broker_producer)
    return {f"producer.{name}": value for name, value in options.items()}


def merge(options: KafkaOptions, conf: Settings) -> None:
    """Add the options that pass through.

    Raises:
        ImproperlyConfigured: A promise rests on one of them, or a setting that was given says otherwise.
    """
    for full_name, value in conf.broker_options:
        role, name = split_role(full_name)
        check_option(full_name, name, value, conf)
        keys = [f"{role}{name}"] if role else [f"{one}{name}" for one in ("", "consumer.", "producer.")]
        taken = [key for key in keys if key in options]
        given = [one for key in taken for one in SETTINGS_OF.get(key, ()) if conf.was_given(one)]
        if given or any(key.removeprefix(role).startswith(("sasl.", "security.", "ssl.")) for key in taken):
            other = given[0] if given else "broker_credentials or ssl_context"
            raise ImproperlyConfigured(
                f"broker_options {full_name!r} and the setting {other} say the same; give only one"
            )
        for key in {*taken, f"{role}{name}"} if name in OF_ALL or not taken else taken:
            options[key] = value


def split_role(option: str) -> tuple[str, str]:
    """Return ``consumer.``, ``producer.`` or nothing, and the name of the option as librdkafka prefers it."""
    for role in ("consumer.", "producer."):
        if option.startswith(role):
            name = option.removeprefix(role)
            return role, ALIASES.get(name, name)
    return "", ALIASES.get(option, option)


def check_option(full_name: str, name: str, value: str, conf: Settings) -> None:
    """Refuse an option on which a promise rests.

    Raises:
        ImproperlyConfigured: With the reason.
    """
    exactly_once = conf.processing_guarantee == "exactly_once"
    word = value.lower()
    reason = RESERVED.get(name)
    if name.startswith("beltline."):
        reason = "such names are beltline's own; what they say has settings"
    elif name.endswith("_cb") or name == "opaque":
        reason = "a function cannot pass through"
    elif name == "isolation.level" and exactly_once and word != "read_committed":
        reason = "exactly_once must not see what was never committed"
    elif name == "enable.idempotence" and word != "true":
        reason = "without it a repeated request could pass another one, and keys would get out of order"
    elif name == "acks" and word not in ACKS_ALL:
        reason = (
            "exactly_once needs the answer of all replicas"
            if exactly_once
            else "give producer_acks=, which also turns off what rests on it"
        )
    elif name == "max.in.flight.requests.per.connection" and not (word.isdecimal() and int(word) <= MAX_IN_FLIGHT):
        reason = f"more than {MAX_IN_FLIGHT} requests under way could pass one another"
    if reason is not None:
        raise ImproperlyConfigured(f"broker_options {full_name!r}: {reason}")


#: Which setting says what.
SETTINGS_OF: Final[Mapping[str, tuple[str, ...]]] = {
    "client.id": ("broker_client_id",),
    "consumer.auto.offset.reset": ("consumer_auto_offset_reset",),
    "consumer.check.crcs": ("broker_check_crcs",),
    "consumer.connections.max.idle.ms": ("consumer_connections_max_idle_ms",),
    "consumer.group.instance.id": ("consumer_group_instance_id",),
    "consumer.heartbeat.interval.ms": ("broker_heartbeat_interval",),
    "consumer.max.partition.fetch.bytes": ("consumer_max_fetch_size",),
    "consumer.max.poll.interval.ms": ("broker_rebalance_timeout",),
    "consumer.session.timeout.ms": ("broker_session_timeout",),
    "consumer.socket.timeout.ms": ("broker_request_timeout",),
    "consumer.topic.metadata.refresh.interval.ms": ("consumer_metadata_max_age_ms",),
    "producer.acks": ("producer_acks",),
    "producer.batch.size": ("producer_max_batch_size",),
    "producer.compression.type": ("producer_compression_type",),
    "producer.connections.max.idle.ms": ("producer_connections_max_idle_ms",),
    "producer.linger.ms": ("producer_linger", "producer_linger_ms"),
    "producer.message.max.bytes": ("producer_max_request_size",),
    "producer.message.timeout.ms": ("producer_request_timeout",),
    "producer.topic.metadata.refresh.interval.ms": ("producer_metadata_max_age_ms",),
}

#: Options that settings give to one of the clients and that all have.
OF_ALL: Final = frozenset({"socket.timeout.ms"})
