"""The broker of the tests itself: every listener lets in whom it should and nobody else, and nothing is left behind."""

from __future__ import annotations

import base64
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from confluent_kafka import KafkaException
from kafka_broker import Cluster, Description
from kafka_broker.description import GUEST, MECHANISMS, PASSWORD, USER
from kafka_broker.keys import KEY_PASSWORD
from kafka_clients import Clients, until

ROOT = Path(__file__).resolve().parents[2]
TOOL = ROOT / "tools" / "kafka_broker"

Names = Callable[[str], str]


def unsigned_token(principal: str) -> tuple[str, float]:
    """Return a token that nobody signed, as the test broker takes them, and when it runs out."""
    end = time.time() + 3600
    parts = [{"alg": "none"}, {"sub": principal, "iat": int(end - 3700), "exp": int(end)}]
    encoded = [base64.urlsafe_b64encode(json.dumps(part).encode()).rstrip(b"=").decode() for part in parts]
    return ".".join(encoded) + ".", end


def sasl(mechanism: str, user: str = USER, password: str = PASSWORD) -> dict[str, Any]:
    """Return librdkafka's options for one of the mechanisms."""
    if mechanism == "OAUTHBEARER":
        return {"sasl.mechanism": mechanism, "oauth_cb": lambda _config: unsigned_token(user)}
    return {"sasl.mechanism": mechanism, "sasl.username": user, "sasl.password": password}


def round_trip(broker: Description, listener: str, names: Names, **options: Any) -> None:
    """Create, write and read through a listener."""
    clients = Clients(broker.listeners[listener], options)
    topic = names("round")
    clients.create(topic, partitions=2)
    clients.produce(topic, [(b"a", b"1"), (b"b", b"2"), (b"a", None)])
    assert sorted((one.key, one.value or b"") for one in clients.read(topic)) == [
        (b"a", b""),
        (b"a", b"1"),
        (b"b", b"2"),
    ]


def refused(broker: Description, listener: str, **options: Any) -> None:
    """Find no way in through a listener."""
    clients = Clients(broker.listeners[listener], options)
    with pytest.raises(KafkaException):
        clients.admin.list_topics(timeout=3)


def test_plain(broker: Description, names: Names) -> None:
    round_trip(broker, "PLAINTEXT", names)


@pytest.mark.parametrize("mechanism", MECHANISMS)
def test_sasl(broker: Description, names: Names, mechanism: str) -> None:
    round_trip(broker, "SASL", names, **{"security.protocol": "SASL_PLAINTEXT", **sasl(mechanism)})


@pytest.mark.parametrize("mechanism", MECHANISMS)
def test_sasl_over_tls(broker: Description, names: Names, mechanism: str) -> None:
    tls = {"security.protocol": "SASL_SSL", "ssl.ca.location": str(broker.keys.authority)}
    round_trip(broker, "SASLTLS", names, **tls, **sasl(mechanism))


@pytest.mark.parametrize("mechanism", ["PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512"])
def test_a_wrong_password_is_refused(broker: Description, mechanism: str) -> None:
    options = sasl(mechanism, password="wrong")
    refused(broker, "SASL", **{"security.protocol": "SASL_PLAINTEXT", **options})


def tls(broker: Description, **files: Path) -> dict[str, Any]:
    """Return librdkafka's options for TLS."""
    options = {"security.protocol": "SSL", "ssl.ca.location": str(broker.keys.authority)}
    return options | {f"ssl.{name}.location": str(path) for name, path in files.items()}


def test_tls(broker: Description, names: Names) -> None:
    round_trip(broker, "TLS", names, **tls(broker))


def test_mutual_tls_with_a_locked_key(broker: Description, names: Names) -> None:
    keys = broker.keys
    options = tls(broker, certificate=keys.client, key=keys.client_locked_key)
    round_trip(broker, "MTLS", names, **options, **{"ssl.key.password": KEY_PASSWORD})


def test_mutual_tls_refuses_no_certificate_and_one_that_has_run_out(broker: Description) -> None:
    keys = broker.keys
    refused(broker, "MTLS", **tls(broker))
    refused(broker, "MTLS", **tls(broker, certificate=keys.expired_client, key=keys.expired_client_key))


def test_certificates_that_clients_must_not_trust(broker: Description) -> None:
    refused(broker, "EXPIRED", **tls(broker))
    refused(broker, "TLS", **tls(broker, ca=broker.keys.stranger))


def test_the_guest_is_let_in_and_may_do_nothing(broker: Description, names: Names) -> None:
    guest = Clients(broker.listeners["SASL"], {"security.protocol": "SASL_PLAINTEXT", **sasl("PLAIN", GUEST)})
    with pytest.raises(KafkaException, match="AUTHORIZATION_FAILED"):
        guest.create(names("mine"))
    Clients(broker.bootstrap).create(names("other"))
    assert names("other") not in guest.topics()


def test_a_cluster_goes_on_without_one_of_its_nodes(cluster: Cluster, cluster_kafka: Clients, names: Names) -> None:
    topic = names("survives")
    cluster_kafka.create(topic, partitions=3, copies=3)
    cluster_kafka.produce(topic, [(b"before", b"1")], acks="all")
    cluster.nodes[0].kill()
    cluster_kafka.produce(topic, [(b"without", b"2")], acks="all")
    cluster.nodes[0].start()
    cluster.wait_ready()
    cluster.nodes[1].pause()
    cluster_kafka.produce(topic, [(b"paused", b"3")], acks="all")
    cluster.nodes[1].resume()
    cluster.nodes[2].stop()
    cluster_kafka.produce(topic, [(b"stopped", b"4")], acks="all")
    assert sorted(one.value for one in cluster_kafka.read(topic)) == [b"1", b"2", b"3", b"4"]  # type: ignore[type-var]


def test_nothing_is_left_when_the_owner_is_killed(tmp_path: Path) -> None:
    code = (
        "import os, sys, time; sys.path.insert(0, sys.argv[1])\n"
        "from kafka_broker import shared\n"
        "print(shared.description().bootstrap, flush=True); time.sleep(600)"
    )
    kept = {name: value for name, value in os.environ.items() if not name.startswith("BELTLINE_TEST_KAFKA")}
    owner = subprocess.Popen(
        [sys.executable, "-c", code, str(TOOL.parent)], stdout=subprocess.PIPE, text=True, env=kept
    )
    assert owner.stdout is not None
    address = owner.stdout.readline().strip()
    assert brokers_at(address) == 1
    owner.send_signal(signal.SIGKILL)
    owner.wait()
    until(lambda: brokers_at(address) == 0, "the broker to end after its owner")


def brokers_at(address: str) -> int:
    """Return how many broker processes were configured with this address."""
    found = 0
    for entry in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            arguments = entry.read_bytes().decode().split("\0")
            if "kafka.Kafka" in arguments:
                file = Path(arguments[arguments.index("kafka.Kafka") + 1])
                found += address in file.read_text()
        except (OSError, ValueError):
            continue
    return found


def test_the_tool_runs_a_command_beside_a_broker() -> None:
    code = "import os, sys; sys.exit(0 if ':' in os.environ['BELTLINE_TEST_KAFKA'] else 1)"
    run = subprocess.run([sys.executable, TOOL, "run", "--", sys.executable, "-c", code], check=False)
    assert run.returncode == 0
