"""Settings that a Faust program may carry and that have little or nothing to act on here."""

from __future__ import annotations

from typing import Any

from .convert import anything, boolean, integer, optional, seconds, symbol, text
from .setting import Effect, Setting, SettingsBase


def of_web(convert: Any, default: Any, env: str | None, doc: str, **options: Any) -> Setting[Any]:
    """Return a setting that only the web server could heed."""
    return Setting(convert, default=default, env=env, effect=Effect.WEB, doc=doc, **options)


def unused(convert: Any, default: Any, env: str | None, doc: str, **options: Any) -> Setting[Any]:
    """Return a setting whose subject does not exist here."""
    return Setting(convert, default=default, env=env, effect=Effect.NONE, doc=doc, **options)


def extension(name: str) -> Setting[Any]:
    """Return a setting that replaces one of the app's classes."""
    return Setting(
        optional(symbol), default_text="beltline's own", doc=f"Class used for `{name}`: a class or a dotted path."
    )


def replaced(name: str) -> Setting[Any]:
    """Return a setting for a class that beltline has no use for."""
    return unused(anything, None, None, f"Faust's `{name}` class; the engine does this work.", default_text="none")


class ExtensionSettings(SettingsBase):
    """Classes of one's own in the place of beltline's."""

    section = "Extension"

    Agent = extension("app.agent")
    Event = extension("events")
    Stream = extension("app.stream")
    Table = extension("app.Table")
    Topic = extension("app.topic")
    Worker = extension("app.Worker")
    agent_supervisor = unused(
        anything, None, "AGENT_SUPERVISOR", "Faust's restart strategy; `on_error` says what happens here."
    )
    Schema = replaced("Schema")
    SetTable = replaced("SetTable")
    GlobalTable = replaced("GlobalTable")
    SetGlobalTable = replaced("SetGlobalTable")
    TableManager = replaced("TableManager")
    Serializers = replaced("Serializers")
    PartitionAssignor = replaced("PartitionAssignor")
    LeaderAssignor = replaced("LeaderAssignor")
    Router = replaced("Router")
    HttpClient = replaced("HttpClient")
    Monitor = replaced("Monitor")
    ConsumerScheduler = replaced("ConsumerScheduler")


class StreamSettings(SettingsBase):
    """Streams and tables, as Faust tunes them."""

    section = "Streams and tables"

    stream_processing_timeout = unused(
        seconds, 300.0, "STREAM_PROCESSING_TIMEOUT", "Faust's watch for stuck handlers.", unit="seconds", minimum=0
    )
    stream_publish_on_commit = unused(boolean, False, None, "Outputs are always published with the commit.")
    stream_recovery_delay = unused(
        seconds, 0.0, "STREAM_RECOVERY_DELAY", "Nothing to wait for before recovery.", unit="seconds", minimum=0
    )
    recovery_consistency_check = unused(
        boolean, True, "RECOVERY_CONSISTENCY_CHECK", "The store is always checked against its changelog."
    )
    stream_ack_cancelled_tasks = unused(boolean, True, None, "A cancelled handler's event is given back.")
    stream_ack_exceptions = unused(boolean, True, None, "`on_error` says what happens.")
    store = unused(anything, "memory://", "APP_STORE", "Tables are in memory and durable in the data directory.")
    store_check_exists = unused(boolean, True, "STORE_CHECK_EXISTS", "Of Faust's Aerospike store.")
    crash_app_on_aerospike_exception = unused(
        boolean, True, "CRASH_APP_ON_AEROSPIKE_EXCEPTION", "Of Faust's Aerospike store."
    )
    aerospike_retries_on_exception = unused(
        integer, 60, "AEROSPIKE_RETRIES_ON_EXCEPTION", "Of Faust's Aerospike store.", minimum=0
    )
    aerospike_sleep_seconds_between_retries_on_exception = unused(
        seconds,
        1.0,
        "AEROSPIKE_SLEEP_SECONDS_BETWEEN_RETRIES_ON_EXCEPTION",
        "Of Faust's Aerospike store.",
        unit="seconds",
        minimum=0,
    )
    table_key_index_size = unused(integer, 1000, "TABLE_KEY_INDEX_SIZE", "Of Faust's RocksDB store.", minimum=1)
    cython_optimizations = unused(boolean, False, "CYTHON_OPTIMIZATIONS", "There is one engine, the fast one.")
    cache = unused(anything, "memory://", "CACHE_URL", "Cache of web views.")
    url = unused(anything, None, None, "Old name of Faust's `broker`; give `broker`.")


class WebSettings(SettingsBase):
    """The web server, which is not in this version."""

    section = "Web"

    web = of_web(anything, "aiohttp://", None, "Kind of server.")
    web_enabled = of_web(boolean, False, "APP_WEB_ENABLED", "Whether to start it.", default_text="False (Faust: True)")
    web_bind = of_web(text, "0.0.0.0", "WEB_BIND", "Address to listen on.")
    web_host = of_web(optional(text), None, "WEB_HOST", "Name under which others reach it.")
    web_port = of_web(integer, 6066, "WEB_PORT", "Port to listen on.", minimum=0, maximum=65_535)
    web_transport = of_web(anything, "tcp://", None, "TCP or a socket in the file system.")
    web_in_thread = of_web(boolean, False, None, "Serve from a thread of its own.")
    web_ssl_context = of_web(anything, None, None, "TLS of the server.")
    web_cors_options = of_web(anything, None, None, "CORS.")
    web_application_options = of_web(anything, None, None, "Options of the aiohttp application.")
    web_stats_enabled = of_web(optional(boolean), None, "APP_WEB_STATS_ENABLED", "Page of counters.")
    web_graph_enabled = of_web(optional(boolean), None, "APP_WEB_GRAPH_ENABLED", "Picture of services.")
    web_router_enabled = of_web(boolean, True, "APP_WEB_ROUTER_ENABLED", "Pages about partitions.")
    web_tables_enabled = of_web(boolean, True, "APP_WEB_TABLES_ENABLED", "Pages of tables.")
    web_metrics_enabled = of_web(boolean, False, "APP_WEB_METRICS_ENABLED", "Page of metrics.")
    canonical_url = of_web(anything, None, "NODE_CANONICAL_URL", "URL of this worker for others.")
