"""What the Kafka client is told: every setting of Faust, and options that pass through."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
from beltline.exceptions import ImproperlyConfigured
from beltline.settings import Settings
from beltline.settings.librdkafka import RESERVED, SETTINGS_OF, KafkaOptions, kafka_options

#: Must appear nowhere.
SECRET = "hush-9e107d9d"


def settings(**given: Any) -> Settings:
    """Return settings of an app on Kafka."""
    return Settings("shop", environment={}, **{"broker": "kafka://here", **given})


def options(**given: Any) -> KafkaOptions:
    """Return what its client is told."""
    return kafka_options(settings(**given))


@pytest.mark.parametrize(
    ("given", "servers"),
    [
        ("kafka://h1", "h1:9092"),
        ("kafka://h1:9093/", "h1:9093"),
        ("kafka://h1:9092;h2:9093", "h1:9092,h2:9093"),
        ("kafka://h1;kafka://h2", "h1:9092,h2:9092"),
        ("kafka://h1,h2", "h1:9092,h2:9092"),
        (["kafka://h1", "kafka://h2:1"], "h1:9092,h2:1"),
        (("aiokafka://h1", "h2"), "h1:9092,h2:9092"),
        ("confluent://h1", "h1:9092"),
        ("h1:9094", "h1:9094"),
        ("kafka://[::1]:9095;[fe80::2]", "[::1]:9095,[fe80::2]:9092"),
    ],
)
def test_brokers_in_every_form_of_faust(given: Any, servers: str) -> None:
    conf = settings(broker=given)
    assert conf.is_kafka
    assert not conf.is_memory
    assert kafka_options(conf)["bootstrap.servers"] == servers
    assert settings(broker=conf.broker).broker == conf.broker


@pytest.mark.parametrize(
    ("given", "says"),
    [
        ("localhost", "write 'kafka://host:9092'"),
        ("redis://h1", "write 'kafka://host:9092'"),
        ([], "no broker is named"),
        ("kafka://", "host:port"),
        ("kafka://h1:http", "port"),
        ("kafka://h1:70000", "port"),
        ("kafka://h1/topic", "host:port"),
        (["memory://", "kafka://h1"], "write 'kafka://host:9092'"),
    ],
)
def test_brokers_that_cannot_be(given: Any, says: str) -> None:
    with pytest.raises(ImproperlyConfigured, match=says):
        settings(broker=given)


def test_a_password_in_the_url_is_refused_and_not_repeated() -> None:
    for given in (f"kafka://shop:{SECRET}@h1", ["kafka://h0", f"kafka://shop:{SECRET}@h1:9092"]):
        with pytest.raises(ImproperlyConfigured, match="broker_credentials") as caught:
            settings(broker=given)
        assert SECRET not in repr(caught.value)
        assert caught.value.__cause__ is None


def test_other_logs_tell_a_kafka_client_nothing_special() -> None:
    assert not Settings("shop", environment={}).is_kafka
    assert Settings("shop", environment={"BROKER_URL": "kafka://h1"}).is_kafka


def test_defaults() -> None:
    made = options()
    assert made["client.id"] == "beltline"
    assert made["consumer.session.timeout.ms"] == "8000"
    assert made["consumer.heartbeat.interval.ms"] == "500"
    assert made["consumer.max.poll.interval.ms"] == "60000"
    assert made["consumer.auto.offset.reset"] == "earliest"
    assert made["producer.acks"] == "-1"
    assert made["producer.enable.idempotence"] == "true"
    assert made["producer.compression.type"] == "none"
    assert made["producer.linger.ms"] == "5"
    assert made["beltline.standby_replicas"] == 1
    assert made["beltline.replication_factor"] == 1
    assert "security.protocol" not in made
    assert not [name for name in made if name.startswith(("sasl.", "ssl."))]
    assert all(isinstance(value, str) for name, value in made.items() if not name.startswith("beltline."))


@pytest.mark.parametrize(
    ("given", "name", "value"),
    [
        ({"broker_client_id": "me"}, "client.id", "me"),
        ({"broker_consumer": "kafka://r1"}, "consumer.bootstrap.servers", "r1:9092"),
        ({"broker_producer": ["kafka://w1", "w2"]}, "producer.bootstrap.servers", "w1:9092,w2:9092"),
        ({"broker_check_crcs": False}, "consumer.check.crcs", "false"),
        ({"broker_session_timeout": 6}, "consumer.session.timeout.ms", "6000"),
        ({"broker_heartbeat_interval": timedelta(seconds=2)}, "consumer.heartbeat.interval.ms", "2000"),
        ({"broker_rebalance_timeout": 20}, "consumer.max.poll.interval.ms", "20000"),
        ({"broker_request_timeout": 40}, "consumer.socket.timeout.ms", "40000"),
        ({"consumer_max_fetch_size": 4096}, "consumer.max.partition.fetch.bytes", "4096"),
        ({"consumer_auto_offset_reset": "latest"}, "consumer.auto.offset.reset", "latest"),
        ({"consumer_group_instance_id": "a"}, "consumer.group.instance.id", "a"),
        ({"consumer_metadata_max_age_ms": 5000}, "consumer.topic.metadata.refresh.interval.ms", "5000"),
        ({"consumer_metadata_max_age_ms": 10**9}, "consumer.topic.metadata.refresh.interval.ms", "3600000"),
        ({"consumer_connections_max_idle_ms": 7}, "consumer.connections.max.idle.ms", "7"),
        ({"producer_compression_type": "lz4"}, "producer.compression.type", "lz4"),
        ({"producer_linger": 0.25}, "producer.linger.ms", "250"),
        ({"producer_linger": 0}, "producer.linger.ms", "0"),
        ({"producer_linger_ms": 30}, "producer.linger.ms", "30"),
        ({"producer_max_batch_size": 16384}, "producer.batch.size", "16384"),
        ({"producer_max_request_size": 2_000_000}, "producer.message.max.bytes", "2000000"),
        ({"producer_metadata_max_age_ms": 60000}, "producer.topic.metadata.refresh.interval.ms", "60000"),
        ({"producer_connections_max_idle_ms": 9}, "producer.connections.max.idle.ms", "9"),
        ({"table_standby_replicas": 2}, "beltline.standby_replicas", 2),
        ({"topic_replication_factor": 3}, "beltline.replication_factor", 3),
    ],
)
def test_settings_reach_the_client(given: dict[str, Any], name: str, value: Any) -> None:
    assert options(**given)[name] == value


def test_at_least_once_has_what_a_transaction_forbids() -> None:
    assert "producer.message.timeout.ms" not in options()
    made = options(processing_guarantee="at_least_once", producer_acks=1)
    assert made["producer.message.timeout.ms"] == "1200000"
    assert made["producer.acks"] == "1"
    assert made["producer.enable.idempotence"] == "false"


@pytest.mark.parametrize(
    ("given", "says"),
    [
        ({"producer_acks": 1}, "exactly_once needs the answer of all replicas"),
        ({"broker_session_timeout": 100}, "broker_request_timeout=90 has to be at least broker_session_timeout=100"),
        ({"broker_session_timeout": 80}, "broker_rebalance_timeout=60 has to be at least"),
        ({"broker_heartbeat_interval": 10}, "broker_heartbeat_interval=10 has to be below broker_session_timeout=8"),
    ],
)
def test_contradictions_are_refused(given: dict[str, Any], says: str) -> None:
    with pytest.raises(ImproperlyConfigured, match=says):
        options(**given)


def test_the_timeouts_of_a_faust_program_do() -> None:
    options(
        broker_session_timeout=60, broker_heartbeat_interval=3, broker_rebalance_timeout=60, broker_request_timeout=90
    )


# -- options that pass through -----------------------------------------------------------------------------------------


def test_options_pass_through() -> None:
    given = {"socket.keepalive.enable": True, "consumer.fetch.wait.max.ms": 20, "producer.request.timeout.ms": "9000"}
    made = options(broker_options=given)
    assert {name: made[name] for name in given} == {
        "socket.keepalive.enable": "true",
        "consumer.fetch.wait.max.ms": "20",
        "producer.request.timeout.ms": "9000",
    }


def test_options_from_the_environment() -> None:
    variables = {"BROKER_URL": "kafka://h1", "BELTLINE_BROKER_OPTIONS": '{"debug": "broker"}'}
    assert kafka_options(Settings("shop", environment=variables))["debug"] == "broker"


def test_an_option_takes_the_place_of_a_default() -> None:
    made = options(broker_options={"linger.ms": 1, "consumer.session.timeout.ms": 7000, "socket.timeout.ms": 5000})
    assert (made["producer.linger.ms"], made["consumer.session.timeout.ms"]) == ("1", "7000")
    assert (made["socket.timeout.ms"], made["consumer.socket.timeout.ms"]) == ("5000", "5000")
    assert "linger.ms" not in made


@pytest.mark.parametrize("name", sorted(RESERVED))
@pytest.mark.parametrize("role", ["", "consumer.", "producer."])
def test_options_on_which_promises_rest_are_refused(role: str, name: str) -> None:
    with pytest.raises(ImproperlyConfigured, match=f"'{role}{name}': "):
        options(broker_options={role + name: "x"})


@pytest.mark.parametrize(
    ("name", "value", "says"),
    [
        ("isolation.level", "read_uncommitted", "never committed"),
        ("enable.idempotence", False, "out of order"),
        ("acks", 1, "exactly_once needs"),
        ("request.required.acks", "0", "exactly_once needs"),
        ("max.in.flight", 6, "pass one another"),
        ("dr_msg_cb", "f", "function"),
        ("beltline.token", "x", "own"),
    ],
)
def test_values_that_break_a_promise_are_refused(name: str, value: Any, says: str) -> None:
    with pytest.raises(ImproperlyConfigured, match=says):
        options(broker_options={name: value})


def test_values_that_break_none_are_not() -> None:
    made = options(broker_options={"acks": "all", "isolation.level": "read_committed", "max.in.flight": 1})
    assert made["producer.acks"] == "all"
    assert made["max.in.flight.requests.per.connection"] == "1"


#: Values that fit where 30 does not.
FITTING = {
    "broker_client_id": "me",
    "broker_heartbeat_interval": 1,
    "broker_rebalance_timeout": 40,
    "broker_request_timeout": 40,
    "consumer_auto_offset_reset": "latest",
    "consumer_group_instance_id": "me",
    "consumer_max_fetch_size": 5000,
    "producer_acks": -1,
    "producer_compression_type": "gzip",
    "producer_max_request_size": 5000,
}


@pytest.mark.parametrize("option", sorted(SETTINGS_OF))
def test_an_option_and_its_setting_together_are_refused(option: str) -> None:
    for setting in SETTINGS_OF[option]:
        given = {setting: FITTING.get(setting, 30), "broker_options": {option: "all"}}
        with pytest.raises(ImproperlyConfigured, match="say the same; give only one"):
            options(processing_guarantee="at_least_once", **given)


@pytest.mark.parametrize("given", ["no json", 5, "[1]", {"a": object()}])
def test_options_that_are_none(given: Any) -> None:
    with pytest.raises(ImproperlyConfigured, match="broker_options"):
        settings(broker_options=given)
