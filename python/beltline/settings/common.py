"""Settings of the app as a whole and of the belt it runs on."""

from __future__ import annotations

from datetime import UTC
from pathlib import Path
from typing import Any

from .convert import (
    anything,
    boolean,
    broker_url,
    decode_error_policy,
    error_policy,
    integer,
    one_of,
    optional,
    path,
    seconds,
    text,
    zone,
)
from .hiding import hidden, without_password
from .setting import Effect, Setting, SettingsBase


def default_datadir(conf: Any) -> Path:
    """Return the directory beside the program."""
    return Path(f"{conf.name}-data")


def default_guarantee(conf: Any) -> str:
    """Exactly once costs nothing where the log is in the process."""
    return "exactly_once"


def default_commit_interval(conf: Any) -> float:
    """Return the interval that suits the guarantee."""
    return 0.1 if conf.processing_guarantee == "exactly_once" else 1.0


class CommonSettings(SettingsBase):
    """What every app may want to say."""

    section = "App"

    datadir = Setting(
        path,
        default_from=default_datadir,
        default_text="`{id}-data` in the working directory",
        env="APP_DATADIR",
        doc="Directory of the log and the tables. One process at a time holds it.",
    )
    broker = Setting(
        broker_url,
        default="embedded://",
        env="BROKER_URL",
        shown=without_password,
        doc="Where events live: `embedded://` is the durable log in the data directory, `memory://` forgets at the "
        "end, `kafka://host:9092;host2:9092` (or a list of such) is Apache Kafka.",
    )
    endpoint = Setting(
        boolean,
        default=True,
        env="BELTLINE_ENDPOINT",
        effect=Effect.EMBEDDED,
        doc="Whether the process that holds the data directory listens for Kafka's protocol on a port of this machine, "
        "for a second worker, `beltline send` and Kafka's tools; other processes attach to it by themselves and take "
        "over when it ends. Off, a process wants the directory alone. See docs/endpoint.md.",
    )
    endpoint_port = Setting(
        integer,
        default=0,
        default_text="0, any free port",
        env="BELTLINE_ENDPOINT_PORT",
        effect=Effect.EMBEDDED,
        minimum=0,
        maximum=65_535,
        doc="Port of the endpoint; the banner says which one it is.",
    )
    endpoint_host = Setting(
        text,
        default="127.0.0.1",
        env="BELTLINE_ENDPOINT_HOST",
        effect=Effect.EMBEDDED,
        doc="Address of this machine on which the endpoint listens. One that other machines reach, as `0.0.0.0`, is "
        "refused without `endpoint_token` or `endpoint_certificate`.",
    )
    endpoint_advertised_host = Setting(
        optional(text),
        default_text="the address to which each client came",
        env="BELTLINE_ENDPOINT_ADVERTISED_HOST",
        effect=Effect.EMBEDDED,
        doc="Name by which clients reach this machine, such as the one in the certificate.",
    )
    endpoint_token = Setting(
        optional(text),
        env="BELTLINE_ENDPOINT_TOKEN",
        effect=Effect.EMBEDDED,
        shown=hidden,
        doc="What clients of the endpoint must say as the password of SASL PLAIN, with any user name; at least 16 "
        "characters. Without TLS everybody on the way can read it.",
    )
    endpoint_certificate = Setting(
        optional(path),
        env="BELTLINE_ENDPOINT_CERTIFICATE",
        effect=Effect.EMBEDDED,
        doc="File in PEM with the certificate of the endpoint and those that lead to its authority: connections are "
        "encrypted then. `endpoint_key` must be there too.",
    )
    endpoint_key = Setting(
        optional(path),
        env="BELTLINE_ENDPOINT_KEY",
        effect=Effect.EMBEDDED,
        doc="File in PEM with the private key of `endpoint_certificate`, without a password.",
    )
    endpoint_min_session_timeout = Setting(
        seconds,
        default=6.0,
        env="BELTLINE_ENDPOINT_MIN_SESSION_TIMEOUT",
        unit="seconds",
        effect=Effect.EMBEDDED,
        minimum=0.001,
        maximum=1800,
        doc="The shortest session timeout that members of groups may ask for, as Kafka's "
        "`group.min.session.timeout.ms`; whoever asks for less is refused.",
    )
    processing_guarantee = Setting(
        one_of("exactly_once", "at_least_once"),
        default_from=default_guarantee,
        default_text="'exactly_once' (Faust: 'at_least_once')",
        env="PROCESSING_GUARANTEE",
        doc="With `exactly_once` outputs, tables and positions move together; with `at_least_once` a crash may repeat "
        "events and outputs.",
    )
    on_error = Setting(
        error_policy,
        default="skip",
        doc="What happens to an event whose handler raised: 'skip', 'fail', `beltline.retry(...)` or "
        "`beltline.dead_letter(topic)`. Topics, agents and handlers may say otherwise.",
    )
    on_decode_error = Setting(
        decode_error_policy,
        default="skip",
        doc="The same for records that cannot be decoded; retrying is not offered, the same bytes fail the same way.",
    )
    shutdown_deadline = Setting(
        seconds,
        default=10.0,
        env="BELTLINE_SHUTDOWN_DEADLINE",
        unit="seconds",
        minimum=0.1,
        maximum=86_400,
        doc="From Ctrl-C or SIGTERM to the end of the process. Handlers may finish during the first seven tenths; then "
        "their events are given back, what is finished is committed, and the process ends in any case.",
    )
    version = Setting(
        integer,
        default=1,
        env="APP_VERSION",
        minimum=1,
        doc="Raise it to start over with other tables and positions: the app then goes by the name `{id}-v{version}`.",
    )
    id_format = Setting(
        text,
        default="{id}-v{self.version}",
        env="APP_ID_FORMAT",
        doc="How the id is made when `version` is above 1.",
    )
    autodiscover = Setting(
        anything,
        default=False,
        doc="Modules to import for their agents: True with `origin`, a list of module names, or a function that "
        "returns one.",
    )
    origin = Setting(
        optional(text),
        doc="Package of the app; it is cut off the names of agents on the command line. `-A` fills it in.",
    )
    timezone = Setting(zone, default=UTC, default_text="UTC", env="TIMEZONE", doc="Time zone of crontabs.")
    debug = Setting(
        boolean, default=False, env="APP_DEBUG", doc="Run asyncio in its debug mode, and watch for blocking handlers."
    )
    env_prefix = Setting(
        optional(text), env="APP_ENV_PREFIX", doc="Put before the names of all environment variables below."
    )
    tabledir = Setting(
        path,
        default="tables",
        env="APP_TABLEDIR",
        effect=Effect.NONE,
        doc="Tables live in the data directory, beside the log.",
    )
    key_serializer = Setting(
        anything, default="raw", env="APP_KEY_SERIALIZER", doc="Codec of keys where a topic names none."
    )
    value_serializer = Setting(
        anything, default="json", env="APP_VALUE_SERIALIZER", doc="Codec of values where a topic names none."
    )
    logging_config = Setting(
        anything, doc="A dictionary for `logging.config.dictConfig`, instead of the worker's own set-up."
    )
    loghandlers = Setting(anything, default=(), default_text="none", doc="Further handlers of the root logger.")
    worker_redirect_stdouts = Setting(
        boolean,
        default=False,
        default_text="False (Faust: True)",
        env="WORKER_REDIRECT_STDOUTS",
        doc="Turn `print` into log lines.",
    )
    worker_redirect_stdouts_level = Setting(
        anything, default="WARN", env="WORKER_REDIRECT_STDOUTS_LEVEL", doc="Level of those log lines."
    )
    blocking_timeout = Setting(
        optional(seconds),
        env="BLOCKING_TIMEOUT",
        unit="seconds",
        minimum=0,
        doc="Log the stack of a handler that keeps the event loop for longer than this; 10 s with `debug`.",
    )


class BeltSettings(SettingsBase):
    """The log, and how often progress is made durable."""

    section = "Belt: log, commits and memory"

    sync = Setting(
        one_of("always", "interval", "never"),
        default="interval",
        env="BELTLINE_SYNC",
        effect=Effect.EMBEDDED,
        doc="When the log reaches the disk itself: with every commit, every `sync_interval`, or when the operating "
        "system likes. A killed process loses nothing with any of them; a power failure may lose what was not synced.",
    )
    sync_interval = Setting(
        seconds,
        default=1.0,
        env="BELTLINE_SYNC_INTERVAL",
        effect=Effect.EMBEDDED,
        unit="seconds",
        minimum=0.001,
        maximum=3600,
        doc="Time between two syncs with `sync='interval'`.",
    )
    broker_commit_interval = Setting(
        seconds,
        default_from=default_commit_interval,
        default_text="0.1 with exactly_once, 1.0 with at_least_once (Faust: 2.8)",
        env="BROKER_COMMIT_INTERVAL",
        unit="seconds",
        minimum=0.001,
        maximum=3600,
        doc="Longest time between a change and its commit, and the shortest between two commits; a change after a rest "
        "is committed at once. With exactly_once it grows while handlers are slow.",
    )
    broker_commit_every = Setting(
        integer,
        default=1_000_000,
        default_text="1000000 (Faust: 10000)",
        env="BROKER_COMMIT_EVERY",
        unit="events",
        minimum=1,
        doc="A commit begins after so many finished events, whatever the interval.",
    )
    commit_bytes = Setting(
        integer,
        default=16 << 20,
        default_text="16 MiB",
        env="BELTLINE_COMMIT_BYTES",
        unit="bytes",
        minimum=1024,
        doc="A commit begins when outputs and table changes hold so much.",
    )
    drain_deadline = Setting(
        seconds,
        default=30.0,
        env="BELTLINE_DRAIN_DEADLINE",
        unit="seconds",
        minimum=0.01,
        doc="How long an exactly-once commit waits for handlers before health names them; it goes on waiting.",
    )
    stall_timeout = Setting(
        seconds,
        default=60.0,
        env="BELTLINE_STALL_TIMEOUT",
        unit="seconds",
        minimum=0.01,
        doc="A partition with records to read that has not advanced for so long is called stalled, with the reason.",
    )
    health_port = Setting(
        optional(integer),
        default=None,
        env="BELTLINE_HEALTH_PORT",
        minimum=0,
        maximum=65_535,
        default_text="none: off",
        doc="Port of `/live` and `/ready`: 200 when all is well, 503 with JSON that names what does not advance "
        "and why. 0 is any free one, which the log names.",
    )
    health_bind = Setting(
        text,
        default="127.0.0.1",
        env="BELTLINE_HEALTH_BIND",
        doc="Address that `health_port` is on. Whoever asks from another machine, as Kubernetes does, needs '0.0.0.0'.",
    )
    queue_bytes = Setting(
        integer,
        default=64 << 20,
        default_text="64 MiB",
        env="BELTLINE_QUEUE_BYTES",
        unit="bytes",
        minimum=4096,
        doc="Records read ahead of the handlers, over all partitions.",
    )
    outbox_bytes = Setting(
        integer,
        default=64 << 20,
        default_text="64 MiB",
        env="BELTLINE_OUTBOX_BYTES",
        unit="bytes",
        minimum=4096,
        doc="While outputs that wait for a commit hold more, no event is handed out.",
    )
    consumer_max_fetch_size = Setting(
        integer,
        default=1 << 20,
        default_text="1 MiB",
        env="CONSUMER_MAX_FETCH_SIZE",
        unit="bytes",
        minimum=1024,
        doc="The most that one fetch of one partition takes.",
    )
    consumer_auto_offset_reset = Setting(
        one_of("earliest", "latest"),
        default="earliest",
        env="CONSUMER_AUTO_OFFSET_RESET",
        doc="Where a partition begins that has no committed position, or one whose records are gone.",
    )
    stream_buffer_maxsize = Setting(
        integer,
        default=4096,
        env="STREAM_BUFFER_MAXSIZE",
        unit="items",
        minimum=1,
        doc="How many items a channel in memory holds before `send` waits. Topics count bytes: `queue_bytes`.",
    )
    stream_wait_empty = Setting(
        boolean,
        default=True,
        env="STREAM_WAIT_EMPTY",
        doc="Whether a stopping worker waits for handlers. With False their events are given back at once.",
    )
    topic_partitions = Setting(
        integer,
        default=8,
        env="TOPIC_PARTITIONS",
        minimum=1,
        maximum=1_000_000,
        doc="Partitions of a topic that the app creates. Changing it later does not change topics that exist.",
    )
    topic_allow_declare = Setting(
        boolean, default=True, env="TOPIC_ALLOW_DECLARE", doc="Whether the app may create topics that are missing."
    )
    table_cleanup_interval = Setting(
        seconds,
        default=30.0,
        env="TABLE_CLEANUP_INTERVAL",
        unit="seconds",
        minimum=0.1,
        effect=Effect.NONE,
        doc="Time between two sweeps for expired windows.",
    )
    reply_to = Setting(optional(text), effect=Effect.NONE, doc="Topic of replies to `agent.ask`.")
    reply_to_prefix = Setting(
        text, default="f-reply-", env="APP_REPLY_TO_PREFIX", effect=Effect.NONE, doc="Start of the reply topic's name."
    )
    reply_create_topic = Setting(
        boolean, default=False, env="APP_REPLY_CREATE_TOPIC", effect=Effect.NONE, doc="Create the reply topic at start."
    )
    reply_expires = Setting(
        seconds,
        default=86_400.0,
        env="APP_REPLY_EXPIRES",
        unit="seconds",
        minimum=0,
        effect=Effect.NONE,
        doc="How long replies are kept.",
    )
