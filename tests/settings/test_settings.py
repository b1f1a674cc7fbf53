"""Settings: where a value comes from, what is refused, and that the documentation says the same."""

from __future__ import annotations

import subprocess
import sys
import warnings
from datetime import UTC, timedelta
from pathlib import Path
from typing import Any

import pytest
from beltline.exceptions import AlreadyConfiguredWarning, ImproperlyConfigured
from beltline.settings import Effect, Settings
from beltline.settings.document import page

ROOT = Path(__file__).parents[2]

#: Every setting of Faust, from its documentation, except the deprecated `url` of the broker and the app's own `id`.
# fmt: off
FAUST_SETTINGS = [
    "autodiscover", "datadir", "tabledir", "debug", "env_prefix", "id_format", "origin", "timezone", "version",
    "blocking_timeout", "cython_optimizations", "agent_supervisor", "broker", "broker_consumer", "broker_producer",
    "broker_api_version", "broker_check_crcs", "broker_client_id", "broker_commit_every", "broker_commit_interval",
    "broker_commit_livelock_soft_timeout", "broker_credentials", "broker_heartbeat_interval",
    "broker_max_poll_interval", "broker_max_poll_records", "broker_rebalance_timeout", "broker_request_timeout",
    "broker_session_timeout", "ssl_context", "consumer_api_version", "consumer_max_fetch_size",
    "consumer_auto_offset_reset", "consumer_group_instance_id", "consumer_metadata_max_age_ms",
    "consumer_connections_max_idle_ms", "ConsumerScheduler", "key_serializer", "value_serializer", "logging_config",
    "loghandlers", "producer_acks", "producer_api_version", "producer_compression_type", "producer_linger",
    "producer_linger_ms", "producer_max_batch_size", "producer_max_request_size", "producer_partitioner",
    "producer_request_timeout", "producer_threaded", "producer_metadata_max_age_ms",
    "producer_connections_max_idle_ms", "reply_create_topic", "reply_expires", "reply_to", "reply_to_prefix",
    "processing_guarantee", "stream_buffer_maxsize", "stream_processing_timeout", "stream_publish_on_commit",
    "stream_recovery_delay", "stream_wait_empty", "recovery_consistency_check", "stream_ack_cancelled_tasks",
    "stream_ack_exceptions", "url", "store", "store_check_exists", "crash_app_on_aerospike_exception",
    "aerospike_retries_on_exception", "aerospike_sleep_seconds_between_retries_on_exception",
    "table_cleanup_interval", "table_key_index_size", "table_standby_replicas", "topic_allow_declare",
    "topic_disable_leader", "topic_partitions", "topic_replication_factor", "cache", "canonical_url", "web",
    "web_enabled", "web_bind", "web_host", "web_port", "web_transport", "web_in_thread", "web_ssl_context",
    "web_cors_options", "web_application_options", "web_stats_enabled", "web_graph_enabled", "web_router_enabled",
    "web_tables_enabled", "web_metrics_enabled", "worker_redirect_stdouts", "worker_redirect_stdouts_level",
    "Agent", "Event", "Schema", "Stream", "Table", "SetTable", "GlobalTable", "SetGlobalTable", "TableManager",
    "Serializers", "Worker", "PartitionAssignor", "LeaderAssignor", "Router", "Topic", "HttpClient", "Monitor",
]
# fmt: on


def settings(**given: Any) -> Settings:
    """Return settings that the environment of the test run cannot change."""
    return Settings("shop", environment={}, **given)


@pytest.mark.parametrize("name", FAUST_SETTINGS)
def test_knows_every_setting_of_faust(name: str) -> None:
    assert Settings.setting(name).name == name
    getattr(settings(), name)


def test_names_are_not_repeated() -> None:
    names = [setting.name for setting in Settings.settings()]
    assert len(names) > 100
    assert len(names) == len(set(names))


def test_defaults() -> None:
    conf = settings()
    assert conf.id == conf.name == "shop"
    assert conf.datadir == Path("shop-data")
    assert conf.broker == "embedded://"
    assert not conf.is_memory
    assert conf.processing_guarantee == "exactly_once"
    assert conf.broker_commit_interval == 0.1
    assert settings(processing_guarantee="at_least_once").broker_commit_interval == 1.0
    assert conf.timezone is UTC


def test_a_later_version_has_another_id_and_the_same_data_directory() -> None:
    conf = settings(version=3)
    assert (conf.id, conf.datadir) == ("shop-v3", Path("shop-data"))
    assert settings(version=2, id_format="{self.version}.{id}").id == "2.shop"


def test_the_environment_wins() -> None:
    conf = Settings("shop", topic_partitions=3, environment={"TOPIC_PARTITIONS": "5", "APP_DEBUG": "yes"})
    assert (conf.topic_partitions, conf.debug) == (5, True)
    conf.load({"topic_partitions": 4})
    assert conf.topic_partitions == 5


@pytest.mark.parametrize("by", ["argument", "environment"])
def test_the_prefix_is_put_before_variables(by: str) -> None:
    environment = {"SHOP_TOPIC_PARTITIONS": "5", "TOPIC_PARTITIONS": "6"}
    if by == "environment":
        assert Settings("shop", environment={**environment, "APP_ENV_PREFIX": "SHOP_"}).topic_partitions == 5
    else:
        assert Settings("shop", env_prefix="SHOP_", environment=environment).topic_partitions == 5


@pytest.mark.parametrize(
    ("given", "name", "value"),
    [
        ({"sync_interval": timedelta(minutes=1)}, "sync_interval", 60.0),
        ({"queue_bytes": "2 MiB"}, "queue_bytes", 2 << 20),
        ({"debug": "off"}, "debug", False),
        ({"sync": "ALWAYS"}, "sync", "always"),
        ({"broker": "memory://"}, "broker", "memory://"),
        ({"broker": None}, "broker", "embedded://"),
        ({"Table": "collections:OrderedDict"}, "Table", __import__("collections").OrderedDict),
        ({"Table": "collections.OrderedDict"}, "Table", __import__("collections").OrderedDict),
    ],
)
def test_converts(given: dict[str, Any], name: str, value: Any) -> None:
    assert getattr(settings(**given), name) == value


@pytest.mark.parametrize(
    ("given", "says"),
    [
        ({"topic_partition": 3}, "did you mean 'topic_partitions'"),
        ({"xyzzy": 3}, "docs/settings.md"),
        ({"topic_partitions": 0}, "topic_partitions=0.*at least 1"),
        ({"topic_partitions": "many"}, "topic_partitions='many'"),
        ({"topic_partitions": 1.5}, "whole number"),
        ({"topic_partitions": True}, "truth value"),
        ({"sync": "sometimes"}, "'always', 'interval', 'never'"),
        ({"shutdown_deadline": float("nan")}, "number of seconds"),
        ({"web_port": 70_000}, "at most 65535"),
        ({"debug": "perhaps"}, "yes or no"),
        ({"timezone": "Mars/Olympus"}, "no such time zone"),
        ({"Table": "nowhere.Table"}, "cannot be imported"),
        ({"on_error": "explode"}, "beltline.retry"),
        ({"broker": "pulsar://localhost"}, "kafka://host:9092', 'embedded://' or 'memory://'"),
        ({"topic_partitions": 2, "default_partitions": 3}, "old name of 'topic_partitions'"),
    ],
)
def test_refuses_with_the_name_and_the_reason(given: dict[str, Any], says: str) -> None:
    with pytest.raises(ImproperlyConfigured, match=says):
        settings(**given)


def test_names_the_variable_that_is_wrong() -> None:
    with pytest.raises(ImproperlyConfigured, match="environment variable BROKER_URL"):
        Settings("shop", environment={"BROKER_URL": "kafka://"})


@pytest.mark.parametrize("app_id", ["", None, "a b", "schön", "..", "x" * 151])
def test_refuses_an_id_that_makes_no_topic_names(app_id: Any) -> None:
    with pytest.raises(ImproperlyConfigured, match="id"):
        Settings(app_id, environment={})


def test_old_names_still_work_with_a_warning() -> None:
    with pytest.warns(FutureWarning, match="now called 'topic_partitions'"):
        assert settings(default_partitions=3).topic_partitions == 3


def test_warns_when_a_setting_is_changed_after_it_was_read() -> None:
    conf = settings()
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        conf.topic_partitions = 3
    assert conf.topic_partitions == 3
    with pytest.warns(AlreadyConfiguredWarning, match="topic_partitions"):
        conf.topic_partitions = 4
    assert conf.topic_partitions == 4


def test_lists_given_settings_that_do_nothing() -> None:
    conf = settings(topic_partitions=2, web_port=80, broker_session_timeout=10)
    assert conf.without_effect() == [("broker_session_timeout", Effect.KAFKA), ("web_port", Effect.WEB)]
    conf = settings(broker="kafka://here", broker_session_timeout=10, sync="always", producer_threaded=True)
    assert conf.without_effect() == [("producer_threaded", Effect.NONE), ("sync", Effect.EMBEDDED)]


def test_the_page_of_settings_is_up_to_date() -> None:
    made = page()
    assert (ROOT / "docs" / "settings.md").read_text(encoding="utf-8") == made, (
        "run: python -m beltline.settings.document > docs/settings.md"
    )
    missing = [setting.name for setting in Settings.settings() if f"`{setting.name}`" not in made]
    assert missing == []


def test_settings_load_neither_asyncio_nor_mode() -> None:
    code = "import beltline.settings, sys; print([m for m in ('click', 'rich', 'aiohttp', 'mode') if m in sys.modules])"
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert run.stdout.strip() == "[]"
