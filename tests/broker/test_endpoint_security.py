"""Who may come from other machines: TLS, a token, both; and who is kept out."""

from __future__ import annotations

import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from confluent_kafka import KafkaException, Producer
from confluent_kafka.admin import AdminClient
from endpoints import PATIENCE_S, Endpoint
from kafka_broker.keys import Keys, make_keys
from kafka_clients import until

TOKEN = "a-token-of-good-length"


@pytest.fixture(scope="module")
def keys(tmp_path_factory: pytest.TempPathFactory) -> Keys:
    """Return certificates."""
    return make_keys(tmp_path_factory.mktemp("keys"))


def started(directory: Path, **settings: Any) -> Iterator[Endpoint]:
    made = Endpoint(directory, **settings)
    made.start()
    try:
        yield made
    finally:
        made.kill()


@pytest.fixture
def guarded(tmp_path: Path, keys: Keys) -> Iterator[Endpoint]:
    """Return an endpoint on all addresses, with TLS and a token."""
    files = {"endpoint_certificate": str(keys.server), "endpoint_key": str(keys.server)}
    yield from started(tmp_path, endpoint_host="0.0.0.0", endpoint_token=TOKEN, **files)


def options(endpoint: Endpoint, **more: Any) -> dict[str, Any]:
    """Return options of a client of this machine."""
    port = endpoint.address.rpartition(":")[2]
    return endpoint.options(bootstrap_servers=f"127.0.0.1:{port}", socket_timeout_ms=5000, **more)


def tls(keys: Keys) -> dict[str, Any]:
    """Return what makes a client encrypt."""
    return {"security_protocol": "SASL_SSL", "ssl_ca_location": str(keys.authority)}


def token(password: str = TOKEN) -> dict[str, Any]:
    """Return what makes a client say a token."""
    return {"sasl_mechanism": "PLAIN", "sasl_username": "anybody", "sasl_password": password}


def works(configured: dict[str, Any]) -> bool:
    """Whether a client gets in, and can send a record then."""
    try:
        AdminClient(configured).list_topics(timeout=4)
    except KafkaException:
        return False
    reports: list[Any] = []
    producer = Producer(configured)
    producer.produce("greet", b"hello", on_delivery=lambda error, _: reports.append(error))
    assert producer.flush(PATIENCE_S) == 0
    return reports == [None]


def test_tls_and_the_token(guarded: Endpoint, keys: Keys) -> None:
    assert works(options(guarded, **tls(keys), **token()))
    cluster = AdminClient(options(guarded, **tls(keys), **token())).list_topics(timeout=PATIENCE_S)
    port = int(guarded.address.rpartition(":")[2])
    # Not 0.0.0.0, which leads nowhere from another machine.
    assert [(node.host, node.port) for node in cluster.brokers.values()] == [("127.0.0.1", port)]


def test_who_is_kept_out(guarded: Endpoint, keys: Keys) -> None:
    said: list[str] = []
    wrong = options(guarded, **tls(keys), **token("a-token-that-is-wrong"))
    assert not works(wrong)
    refused = AdminClient({**wrong, "error_cb": lambda error: said.append(error.name())})
    until(lambda: bool(refused.poll(0.1)) or "_AUTHENTICATION" in said, "the client to be told")
    plain = options(guarded, security_protocol="SASL_PLAINTEXT", **token())
    assert not works(plain)
    stranger = options(guarded, **{**tls(keys), "ssl_ca_location": str(keys.stranger)}, **token())
    assert not works(stranger)
    silent = options(guarded, security_protocol="SSL", ssl_ca_location=str(keys.authority))
    assert not works(silent)
    assert works(options(guarded, **tls(keys), **token())), "the others are served as before"


def test_the_command_line_needs_no_certificate(guarded: Endpoint) -> None:
    command = [sys.executable, "-m", "beltline", "-A", "hold", "send", "--create", "greet", '"Hi"']
    done = subprocess.run(
        command, cwd=guarded.directory, capture_output=True, text=True, timeout=PATIENCE_S, check=False
    )
    assert done.returncode == 0, done.stderr
    assert TOKEN not in done.stdout + done.stderr


def test_a_token_alone(tmp_path: Path) -> None:
    for endpoint in started(tmp_path, endpoint_token=TOKEN):
        assert works(options(endpoint, security_protocol="SASL_PLAINTEXT", **token()))
        assert not works(options(endpoint))


def test_tls_alone_by_the_name_in_the_certificate(tmp_path: Path, keys: Keys) -> None:
    files = {"endpoint_certificate": str(keys.server), "endpoint_key": str(keys.server)}
    for endpoint in started(tmp_path, endpoint_advertised_host="localhost", **files):
        configured = options(endpoint, security_protocol="SSL", ssl_ca_location=str(keys.authority))
        assert works(configured)
        nodes = AdminClient(configured).list_topics(timeout=PATIENCE_S).brokers.values()
        assert [node.host for node in nodes] == ["localhost"]
        with pytest.raises(KafkaException):
            AdminClient(options(endpoint)).list_topics(timeout=3)


@pytest.mark.parametrize(
    ("settings", "sentence"),
    [
        ({"endpoint_host": "0.0.0.0"}, "give it a token (`endpoint_token`) or TLS"),
        ({"endpoint_host": "0.0.0.0", "endpoint_token": "short"}, "16 characters"),
        ({"endpoint_host": "no.such.host.invalid"}, "knows no address"),
        ({"endpoint_certificate": "/none.pem"}, "endpoint_key"),
        ({"endpoint_certificate": "/none.pem", "endpoint_key": "/none.pem"}, "/none.pem cannot be read"),
    ],
)
def test_what_is_refused_with_a_sentence(tmp_path: Path, settings: dict[str, str], sentence: str) -> None:
    done = Endpoint(tmp_path, **settings).refused()
    assert sentence in done
    assert "Traceback" not in done


def test_a_key_of_another_certificate(tmp_path: Path, keys: Keys) -> None:
    files = {"endpoint_certificate": str(keys.server), "endpoint_key": str(keys.client_key)}
    assert "does not fit the certificate" in Endpoint(tmp_path, **files).refused()
    locked = {**files, "endpoint_key": str(keys.client_locked_key)}
    assert "without a password" in Endpoint(tmp_path, **locked).refused()


def test_a_taken_port_is_said(tmp_path: Path) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        said = Endpoint(tmp_path).refused(port=taken.getsockname()[1])
    assert "choose another port with `endpoint_port`" in said
