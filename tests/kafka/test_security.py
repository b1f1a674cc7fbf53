"""Each security mechanism with a worker, on a real listener; who is not let in ends with a sentence, not a hang."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from confluent_kafka.admin import AclBinding, AclOperation, AclPermissionType, ResourcePatternType, ResourceType
from kafka_broker import Description
from kafka_broker.description import GUEST, MECHANISMS, PASSWORD, USER
from kafka_broker.keys import KEY_PASSWORD
from kafka_clients import Clients, until
from test_broker import unsigned_token
from workers import Worker, Workers

Names = Callable[[str], str]

WRONG = "wrong-" + PASSWORD


def start(workers: Workers, broker: Description, listener: str, app: str, **variables: Any) -> Worker:
    """Start the copying app on a listener."""
    return workers.start("copies", APP_ID=app, BROKER_URL=f"kafka://{broker.listeners[listener]}", **variables)


def identity(mechanism: str, user: str = USER, password: str = PASSWORD) -> dict[str, str]:
    """Return the variables that say who one is."""
    if mechanism == "OAUTHBEARER":
        return {"MECHANISM": mechanism, "TOKEN": unsigned_token(user)[0]}
    return {"MECHANISM": mechanism, "USERNAME": user, "PASSWORD": password}


def copies(workers: Workers, kafka: Clients, broker: Description, listener: str, app: str, **variables: Any) -> None:
    """Have a record copied, and find no secret in what the worker said."""
    kafka.create(f"{app}-in")
    kafka.produce(f"{app}-in", [(b"k", b"v")])
    worker = start(workers, broker, listener, app, **variables).wait_ready()
    until(lambda: f"{app}-out" in kafka.topics() and len(kafka.read(f"{app}-out")) == 1, "the record to be copied")
    assert worker.stop() == 0
    assert_no_secret(worker)


def assert_no_secret(worker: Worker) -> None:
    """Find no password, key or token in what a worker said."""
    for secret in (PASSWORD, KEY_PASSWORD, unsigned_token(USER)[0].split(".")[0]):
        assert secret not in worker.output


@pytest.mark.parametrize("mechanism", MECHANISMS)
@pytest.mark.parametrize("listener", ["SASL", "SASLTLS"])
def test_who_one_is(
    workers: Workers, kafka: Clients, broker: Description, names: Names, listener: str, mechanism: str
) -> None:
    tls = {"CAFILE": broker.keys.authority} if listener == "SASLTLS" else {}
    copies(workers, kafka, broker, listener, names("app"), **identity(mechanism), **tls)


def test_tls(workers: Workers, kafka: Clients, broker: Description, names: Names) -> None:
    copies(workers, kafka, broker, "TLS", names("app"), CAFILE=broker.keys.authority)


def test_mutual_tls(workers: Workers, kafka: Clients, broker: Description, names: Names) -> None:
    keys = broker.keys
    files = {"CAFILE": keys.authority, "CERTFILE": keys.client, "KEYFILE": keys.client_locked_key}
    copies(workers, kafka, broker, "MTLS", names("app"), **files, KEY_PASSWORD=KEY_PASSWORD)


@pytest.mark.parametrize("mechanism", ["PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512"])
def test_a_wrong_password_ends_the_worker(workers: Workers, broker: Description, names: Names, mechanism: str) -> None:
    worker = start(workers, broker, "SASL", names("app"), **identity(mechanism, password=WRONG))
    assert worker.end() != 0
    assert "broker_credentials" in worker.output
    assert "Traceback" not in worker.output
    assert_no_secret(worker)


@pytest.mark.parametrize("case", ["expired server", "unknown authority", "expired client", "no client certificate"])
def test_certificates_that_do_not_do_end_the_worker(
    workers: Workers, broker: Description, names: Names, case: str
) -> None:
    keys = broker.keys
    listener, files = {
        "expired server": ("EXPIRED", {"CAFILE": keys.authority}),
        "unknown authority": ("TLS", {"CAFILE": keys.stranger}),
        "expired client": (
            "MTLS",
            {"CAFILE": keys.authority, "CERTFILE": keys.expired_client, "KEYFILE": keys.expired_client_key},
        ),
        "no client certificate": ("MTLS", {"CAFILE": keys.authority}),
    }[case]
    worker = start(workers, broker, listener, names("app"), **files)
    assert worker.end() != 0
    assert "ertificate" in worker.output
    assert "Traceback" not in worker.output


def allow(kafka: Clients, kind: ResourceType, name: str, *operations: AclOperation) -> None:
    """Give the guest rights on one thing."""
    bindings = [
        AclBinding(kind, name, ResourcePatternType.LITERAL, f"User:{GUEST}", "*", operation, AclPermissionType.ALLOW)
        for operation in operations
    ]
    for future in kafka.admin.create_acls(bindings).values():
        future.result(30)


@pytest.mark.parametrize("missing", ["group", "input", "output"])
def test_a_right_that_is_missing_is_named(
    workers: Workers, kafka: Clients, broker: Description, names: Names, missing: str
) -> None:
    app = names("app")
    kafka.create(f"{app}-in", f"{app}-out")
    kafka.produce(f"{app}-in", [(b"k", b"v")])
    rights = {
        "group": (ResourceType.GROUP, app, AclOperation.READ),
        "input": (ResourceType.TOPIC, f"{app}-in", AclOperation.READ),
        "output": (ResourceType.TOPIC, f"{app}-out", AclOperation.WRITE),
    }
    for name in (f"{app}-in", f"{app}-out"):
        allow(kafka, ResourceType.TOPIC, name, AclOperation.DESCRIBE)
    allow(kafka, ResourceType.BROKER, "kafka-cluster", AclOperation.IDEMPOTENT_WRITE)
    for what, (kind, name, operation) in rights.items():
        if what != missing:
            allow(kafka, kind, name, operation)
    variables = {**identity("PLAIN", GUEST), "PROCESSING_GUARANTEE": "at_least_once", "TOPIC_ALLOW_DECLARE": "no"}
    worker = start(workers, broker, "SASL", app, **variables)
    assert worker.end() != 0
    assert rights[missing][1] in worker.output
    assert "Traceback" not in worker.output
    assert_no_secret(worker)
