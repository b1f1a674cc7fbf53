"""The endpoint against a real Apache Kafka: the same scripts, the same answers, but for what is listed."""

from __future__ import annotations

import os
import shutil
from typing import Any

import client_actions
import pytest
from actions import run
from endpoints import Endpoint

#: What differs on purpose: the endpoint's answer, then Kafka's. docs/endpoint.md says why.
KNOWN: dict[str, tuple[Any, Any]] = {
    # Kafka's markers take an offset each, and records of aborted transactions stay: 3 + 1 + 3 + 1.
    "end": ({0: 3}, {0: 8}),
    "uncommitted": (
        [b"commit-0", b"commit-1", b"commit-2"],
        [b"abort-0", b"abort-1", b"abort-2", b"commit-0", b"commit-1", b"commit-2"],
    ),
}

#: The same of Kafka's own client.
KNOWN_TO_JAVA: dict[str, tuple[Any, Any]] = {
    "end": ([3, -1, 0], [8, -1, 0]),
    "uncommitted": (
        ["commit-0", "commit-1", "commit-2"],
        ["abort-0", "abort-1", "abort-2", "commit-0", "commit-1", "commit-2"],
    ),
    # Records of an open transaction have no offset yet.
    "abort: reports": ([-1, -1, -1], [0, 1, 2]),
    "commit: reports": ([-1, -1, -1], [4, 5, 6]),
    # The leader's epoch is not kept with a committed offset: there is only one.
    "commit offsets": ([5, "here", None], [5, "here", 0]),
    # What Kafka answers with transaction.version=1, and to clients before 4.0.
    "send when fenced": ({"error": "ProducerFencedException"}, {"error": "InvalidProducerEpochException"}),
    "a timeout that ends a transaction": ({"error": "ProducerFencedException"}, {"error": "InvalidTxnStateException"}),
    # Not spoken.
    "transactions by admin": ({"error": "UnsupportedVersionException"}, True),
    "log directories": ({"error": "UnsupportedVersionException"}, 1),
    "quotas": ({"error": "UnsupportedVersionException"}, 0),
    "a group of the newer protocol": ({"error": "UnsupportedVersionException"}, None),
}


@pytest.fixture
def apache_kafka(pytestconfig: pytest.Config) -> str:
    """Return host and port of the Kafka of this test run."""
    from kafka_broker import shared

    owner = os.getppid() if hasattr(pytestconfig, "workerinput") else os.getpid()
    return shared.description(owner).bootstrap


def differences(ours: dict[str, Any], theirs: dict[str, Any]) -> dict[str, tuple[Any, Any]]:
    """Return the answers that are not the same, by the names of the actions."""
    assert ours.keys() == theirs.keys()
    return {what: (ours[what], theirs[what]) for what in ours if ours[what] != theirs[what]}


@pytest.mark.kafka
def test_the_endpoint_answers_as_kafka_does(endpoint: Endpoint, apache_kafka: str) -> None:
    theirs = run(apache_kafka)
    ours = run(endpoint.address)
    assert len(ours) > 40
    assert differences(ours, theirs) == KNOWN


@pytest.mark.kafka
def test_the_endpoint_answers_kafkas_own_client_as_kafka_does(endpoint: Endpoint, apache_kafka: str) -> None:
    from java_actions import JavaRun

    runs = [JavaRun(address) for address in (endpoint.address, apache_kafka)]
    ours, theirs = (one.answers() for one in runs)
    assert len(ours) > 100
    assert differences(ours, theirs) == KNOWN_TO_JAVA


#: The same of the other clients.
KNOWN_TO_OTHERS: dict[str, dict[str, tuple[Any, Any]]] = {
    "kafka_python": {"abort: report": (-1, 0), "commit: report": (-1, 2)},
    "aiokafka": {"abort: report": (-1, 0), "commit: report": (-1, 2)},
    "kcat": {},
}


@pytest.mark.kafka
@pytest.mark.parametrize("client", ["kafka_python", "aiokafka", "kcat"])
def test_the_endpoint_answers_other_clients_as_kafka_does(endpoint: Endpoint, apache_kafka: str, client: str) -> None:
    if client == "kcat" and shutil.which("kcat") is None:
        pytest.skip("kcat is not installed")
    run_script = getattr(client_actions, f"{client}_answers")
    ours, theirs = run_script(endpoint.address), run_script(apache_kafka)
    assert len(ours) > 10
    assert differences(ours, theirs) == KNOWN_TO_OTHERS[client]
