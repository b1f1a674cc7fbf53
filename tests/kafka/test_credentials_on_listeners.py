"""What settings become, tried on real listeners: librdkafka takes every option and the broker lets the app in.

The client is confluent-kafka with the very options that `Belt.open(kafka=)` gets.
"""

from __future__ import annotations

import ssl
from collections.abc import Callable
from typing import Any

import pytest
from beltline.auth import Credentials, OAuthCredentials, SASLCredentials, SSLCredentials
from beltline.exceptions import ImproperlyConfigured
from beltline.settings import Settings
from beltline.settings.librdkafka import kafka_options
from confluent_kafka import Consumer, KafkaException, Producer
from confluent_kafka.admin import AdminClient
from kafka_broker import Description
from kafka_broker.description import PASSWORD, USER
from kafka_broker.keys import KEY_PASSWORD
from kafka_clients import PATIENCE_S, Clients
from test_broker import unsigned_token

Names = Callable[[str], str]


def client_options(conf: Settings, role: str) -> dict[str, Any]:
    """Return the options of one client, as the engine takes them apart."""
    made = kafka_options(conf)
    found = {
        name: value for name, value in made.items() if not name.startswith(("beltline.", "consumer.", "producer."))
    }
    found |= {name.removeprefix(role): value for name, value in made.items() if name.startswith(role)}
    token = made.get("beltline.token")
    if token is not None:

        def refresh(_config: str) -> tuple[str, float, str, dict[str, str]]:
            value, expires_ms, principal, extensions = token()
            return value, expires_ms / 1000, principal, extensions

        found["oauth_cb"] = refresh
    return found


def round_trip(topic: str, broker: Description, listener: str, **given: Any) -> None:
    """Write and read with an app's settings."""
    Clients(broker.bootstrap).create(topic)
    conf = Settings(topic, environment={}, broker=f"kafka://{broker.listeners[listener]}", **given)
    producer = Producer(client_options(conf, "producer."))
    producer.produce(topic, key=b"k", value=b"v")
    assert producer.flush(PATIENCE_S) == 0
    consumer = Consumer({**client_options(conf, "consumer."), "group.id": topic})
    consumer.subscribe([topic])
    try:
        (message,) = consumer.consume(1, timeout=PATIENCE_S)
        assert (message.key(), message.value()) == (b"k", b"v")
    finally:
        consumer.close()


def refusal(broker: Description, listener: str, **given: Any) -> str:
    """Return what librdkafka says when it is not let in."""
    said: list[str] = []
    conf = Settings("refused", environment={}, broker=f"kafka://{broker.listeners[listener]}", **given)
    options = client_options(conf, "consumer.") | {"error_cb": lambda error: said.append(str(error)), "log_level": 0}
    options = {name: value for name, value in options.items() if not name.startswith("group.")}
    admin = AdminClient(options)
    with pytest.raises(KafkaException):
        admin.list_topics(timeout=3)
    admin.poll(0)
    return " ".join(said)


class Provider:
    """An object as Faust's users have it."""

    async def token(self) -> str:
        """Return a token for the user that may do everything."""
        return unsigned_token(USER)[0]


def password(mechanism: str, word: str = PASSWORD, context: Any = None) -> Credentials:
    """Return credentials with a password."""
    return SASLCredentials(username=USER, password=word, mechanism=mechanism, ssl_context=context)


PASSWORDS = ("PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512")


def test_plain(broker: Description, names: Names) -> None:
    round_trip(names("t"), broker, "PLAINTEXT")


def test_every_setting_at_once(broker: Description, names: Names) -> None:
    round_trip(
        names("t"),
        broker,
        "PLAINTEXT",
        processing_guarantee="at_least_once",
        consumer_group_instance_id="one",
        producer_compression_type="zstd",
        producer_linger_ms=3,
        broker_consumer=f"kafka://{broker.bootstrap}",
        broker_producer=f"kafka://{broker.bootstrap}",
        broker_options={"socket.keepalive.enable": True, "consumer.fetch.wait.max.ms": 20, "statistics.interval.ms": 0},
    )


@pytest.mark.parametrize("mechanism", PASSWORDS)
def test_passwords(broker: Description, names: Names, mechanism: str) -> None:
    round_trip(names("t"), broker, "SASL", broker_credentials=password(mechanism))
    context = SSLCredentials(cafile=broker.keys.authority)
    round_trip(names("s"), broker, "SASLTLS", broker_credentials=password(mechanism, context=context))


def test_tokens(broker: Description, names: Names) -> None:
    round_trip(names("t"), broker, "SASL", broker_credentials=OAuthCredentials(oauth_cb=Provider()))
    plain = OAuthCredentials(oauth_cb=lambda: unsigned_token(USER))
    round_trip(names("s"), broker, "SASLTLS", broker_credentials=plain, ssl_context=ssl_context(broker))


def ssl_context(broker: Description) -> ssl.SSLContext:
    """Return a context that trusts the test's authority."""
    return ssl.create_default_context(cafile=str(broker.keys.authority))


def test_tls_by_context_text_and_file(broker: Description, names: Names) -> None:
    round_trip(names("context"), broker, "TLS", ssl_context=ssl_context(broker))
    round_trip(names("bare"), broker, "TLS", broker_credentials=ssl_context(broker))
    text = broker.keys.authority.read_text()
    round_trip(names("text"), broker, "TLS", broker_credentials=SSLCredentials(cadata=text))


def test_mutual_tls(broker: Description, names: Names) -> None:
    keys = broker.keys
    files = {"cafile": keys.authority, "certfile": keys.client, "keyfile": keys.client_locked_key}
    round_trip(names("t"), broker, "MTLS", ssl_context=SSLCredentials(**files, password=KEY_PASSWORD))


@pytest.mark.parametrize("mechanism", PASSWORDS)
def test_a_wrong_password(broker: Description, mechanism: str) -> None:
    said = refusal(broker, "SASL", broker_credentials=password(mechanism, "wrong-" + PASSWORD))
    assert "uthentication failed" in said
    assert PASSWORD not in said


def test_certificates_that_are_not_to_be_trusted(broker: Description) -> None:
    keys = broker.keys
    # librdkafka does not say what is wrong with a certificate; the same one in time is taken, see above.
    assert "verif" in refusal(broker, "EXPIRED", ssl_context=ssl_context(broker))
    assert "verif" in refusal(broker, "TLS", ssl_context=SSLCredentials(cafile=keys.stranger))
    files = {"cafile": keys.authority, "certfile": keys.expired_client, "keyfile": keys.expired_client_key}
    with pytest.raises(ImproperlyConfigured, match=r"certfile .* ran out on"):
        refusal(broker, "MTLS", ssl_context=SSLCredentials(**files))
    assert refusal(broker, "MTLS", ssl_context=ssl_context(broker))
