"""What an app may say to its Kafka client. What becomes of it is in `librdkafka`."""

from __future__ import annotations

from typing import Any

from .convert import (
    anything,
    boolean,
    client_options,
    credentials,
    integer,
    kafka_url,
    one_of,
    optional,
    seconds,
    symbol,
    text,
)
from .hiding import without_password, without_secrets
from .setting import Effect, Setting, SettingsBase


def of_kafka(convert: Any, default: Any, env: str | None, doc: str, **options: Any) -> Setting[Any]:
    """Return a setting that only a Kafka client can heed."""
    return Setting(convert, default=default, env=env, effect=Effect.KAFKA, doc=doc, **options)


def needless(convert: Any, default: Any, env: str | None, doc: str, **options: Any) -> Setting[Any]:
    """Return a setting of Faust's client that this one has nothing to do with."""
    return Setting(convert, default=default, env=env, effect=Effect.NONE, doc=doc, **options)


class KafkaSettings(SettingsBase):
    """What tunes the Kafka client; the embedded log has nothing of the kind to tune."""

    section = "Kafka"

    broker_credentials = of_kafka(
        credentials,
        None,
        None,
        "Who one is: `beltline.SASLCredentials`, `SSLCredentials`, `OAuthCredentials`, `GSSAPICredentials`, or an "
        "`ssl.SSLContext`. Never shown.",
        shown=lambda value: f"<{type(value).__name__}>",
    )
    ssl_context = of_kafka(
        anything,
        None,
        None,
        "TLS without credentials: an `ssl.SSLContext` that says whom to trust, or `beltline.SSLCredentials`. A context "
        "does not give back the client's certificate; `SSLCredentials(certfile=, keyfile=)` does.",
        shown=lambda value: f"<{type(value).__name__}>",
    )
    broker_options = of_kafka(
        client_options,
        (),
        "BELTLINE_BROKER_OPTIONS",
        "Any option of librdkafka, `{'socket.keepalive.enable': True}`; with the prefix `consumer.` or `producer.` for "
        "one of the two. The variable holds JSON. Options on which a promise rests are refused, with the reason.",
        default_text="none",
        shown=without_secrets,
    )
    broker_consumer = of_kafka(
        optional(kafka_url),
        None,
        "BROKER_CONSUMER_URL",
        "Brokers to read from, where they are others (of the same cluster).",
        default_text="`broker`",
        shown=without_password,
    )
    broker_producer = of_kafka(
        optional(kafka_url),
        None,
        "BROKER_PRODUCER_URL",
        "Brokers to write to, where they are others (of the same cluster).",
        default_text="`broker`",
        shown=without_password,
    )
    broker_client_id = of_kafka(text, "beltline", "BROKER_CLIENT_ID", "Name of the client in the broker's logs.")
    broker_check_crcs = of_kafka(boolean, True, "BROKER_CHECK_CRCS", "Check the sums of fetched batches.")
    broker_request_timeout = of_kafka(
        seconds,
        90.0,
        "BROKER_REQUEST_TIMEOUT",
        "Longest wait for an answer of the broker, when reading.",
        unit="seconds",
        minimum=0.01,
        maximum=300,
    )
    broker_start_timeout = of_kafka(
        seconds,
        600.0,
        "BELTLINE_BROKER_START_TIMEOUT",
        "How long a worker that starts waits when no broker answers, or when there are fewer brokers than topics are "
        "to have copies. It names what it waits for in the log, is alive and not ready meanwhile, and starts when they "
        "come; after that time it ends with an error. Refused credentials end it at once.",
        unit="seconds",
        minimum=0,
        maximum=2_147_483,
    )
    broker_session_timeout = of_kafka(
        seconds,
        8.0,
        "BROKER_SESSION_TIMEOUT",
        "Silence after which a member is out and others take over; also how long a worker waits for itself when all "
        "brokers were gone for longer. Not above `broker_request_timeout`.",
        default_text="8.0 (Faust: 60)",
        unit="seconds",
        minimum=0.001,
        maximum=3600,
    )
    broker_heartbeat_interval = of_kafka(
        seconds,
        0.5,
        "BROKER_HEARTBEAT_INTERVAL",
        "Time between signs of life; a rebalance is noticed with one of them. They come from a thread of their own, "
        "whatever handlers do.",
        default_text="0.5 (Faust: 3)",
        unit="seconds",
        minimum=0.001,
        maximum=3600,
    )
    broker_rebalance_timeout = of_kafka(
        seconds,
        60.0,
        "BROKER_REBALANCE_TIMEOUT",
        "How long the group waits in a rebalance for a member to hand over. Not below `broker_session_timeout`.",
        unit="seconds",
        minimum=0.001,
        maximum=86_400,
    )
    consumer_group_instance_id = of_kafka(
        optional(text),
        None,
        "CONSUMER_GROUP_INSTANCE_ID",
        "Name of a static member: back within the session timeout it finds its partitions again, without a rebalance.",
    )
    consumer_metadata_max_age_ms = of_kafka(
        integer,
        300_000,
        "CONSUMER_METADATA_MAX_AGE_MS",
        "Time after which the consumer asks for topics and partitions again; new topics of a pattern and new "
        "partitions are found by then.",
        unit="milliseconds",
        minimum=0,
    )
    consumer_connections_max_idle_ms = of_kafka(
        integer,
        540_000,
        "CONSUMER_CONNECTIONS_MAX_IDLE_MS",
        "Idle connections are closed after so long; 0 is never.",
        unit="milliseconds",
        minimum=0,
    )
    producer_acks = of_kafka(
        integer,
        -1,
        "PRODUCER_ACKS",
        "Replicas that must have a record: -1 all in sync, 1 the leader, 0 none. `exactly_once` needs -1.",
        minimum=-1,
        maximum=1000,
    )
    producer_compression_type = of_kafka(
        optional(one_of("none", "gzip", "snappy", "lz4", "zstd")),
        None,
        "PRODUCER_COMPRESSION_TYPE",
        "'gzip', 'snappy', 'lz4' or 'zstd'.",
    )
    producer_linger = of_kafka(
        seconds,
        0.005,
        "PRODUCER_LINGER",
        "Wait for fuller batches.",
        default_text="0.005 (Faust: 0)",
        unit="seconds",
        minimum=0,
        maximum=900,
    )
    producer_linger_ms = of_kafka(
        optional(integer),
        None,
        "PRODUCER_LINGER_MS",
        "Old form of `producer_linger`.",
        unit="milliseconds",
        minimum=0,
        maximum=900_000,
    )
    producer_max_batch_size = of_kafka(
        integer,
        1_000_000,
        "PRODUCER_MAX_BATCH_SIZE",
        "Largest batch of one partition.",
        default_text="1000000 (Faust: 16384)",
        unit="bytes",
        minimum=0,
    )
    producer_max_request_size = of_kafka(
        integer,
        1_000_000,
        "PRODUCER_MAX_REQUEST_SIZE",
        "Largest record or batch; the broker's and the topic's `max.message.bytes` has to allow it.",
        unit="bytes",
        minimum=1000,
        maximum=1_000_000_000,
    )
    producer_partitioner = Setting(
        optional(symbol),
        default=None,
        doc="Chooses partitions in the place of murmur2, with either log: a function, or the dotted path of one, of "
        "a key's bytes (or None) and two lists of all partitions. Changelogs do not ask it.",
    )
    producer_request_timeout = of_kafka(
        seconds,
        1200.0,
        "PRODUCER_REQUEST_TIMEOUT",
        "How long the client tries to deliver a record. With `exactly_once` the transaction's timeout says so.",
        unit="seconds",
        minimum=0.001,
        maximum=2_147_483,
    )
    producer_metadata_max_age_ms = of_kafka(
        integer,
        300_000,
        "PRODUCER_METADATA_MAX_AGE_MS",
        "Time after which the producer asks for topics and partitions again.",
        unit="milliseconds",
        minimum=0,
    )
    producer_connections_max_idle_ms = of_kafka(
        integer,
        540_000,
        "PRODUCER_CONNECTIONS_MAX_IDLE_MS",
        "Idle connections are closed after so long; 0 is never.",
        unit="milliseconds",
        minimum=0,
    )
    table_standby_replicas = of_kafka(
        integer,
        1,
        "TABLE_STANDBY_REPLICAS",
        "Whether another worker keeps a copy of a table's shard warm: 0 is no, and above 1 is the same as 1.",
        minimum=0,
        maximum=1000,
    )
    topic_replication_factor = of_kafka(
        integer,
        1,
        "TOPIC_REPLICATION_FACTOR",
        "Copies among brokers of a topic that the app creates; -1 is what the broker thinks right.",
        minimum=-1,
        maximum=32_767,
    )
    broker_api_version = needless(
        anything, "auto", "BROKER_API_VERSION", "The client asks the broker what it understands."
    )
    consumer_api_version = needless(anything, None, "CONSUMER_API_VERSION", "The same.")
    producer_api_version = needless(anything, None, "PRODUCER_API_VERSION", "The same.")
    broker_commit_livelock_soft_timeout = needless(
        seconds,
        300.0,
        "BROKER_COMMIT_LIVELOCK_SOFT_TIMEOUT",
        "Health watches whether each partition advances.",
        unit="seconds",
        minimum=0,
    )
    broker_max_poll_interval = needless(
        seconds,
        1000.0,
        "BROKER_MAX_POLL_INTERVAL",
        "The client is polled by a thread of its own, whatever handlers do; see `broker_rebalance_timeout`.",
        unit="seconds",
        minimum=0,
    )
    broker_max_poll_records = needless(
        optional(integer),
        None,
        "BROKER_MAX_POLL_RECORDS",
        "What is read ahead is counted in bytes: `queue_bytes`.",
        minimum=1,
    )
    producer_threaded = needless(boolean, False, "PRODUCER_THREADED", "Sending has threads of its own already.")
    topic_disable_leader = needless(
        boolean, False, "TOPIC_DISABLE_LEADER", "The group's protocol says who leads; there is no leader topic."
    )
