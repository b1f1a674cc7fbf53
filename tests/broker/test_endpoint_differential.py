"""The endpoint against a real Apache Kafka: the same script, the same answers, but for what is listed."""

from __future__ import annotations

import os
from typing import Any

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


@pytest.mark.kafka
def test_the_endpoint_answers_as_kafka_does(endpoint: Endpoint, pytestconfig: pytest.Config) -> None:
    from kafka_broker import shared

    owner = os.getppid() if hasattr(pytestconfig, "workerinput") else os.getpid()
    theirs = run(shared.description(owner).bootstrap)
    ours = run(endpoint.address)
    assert ours.keys() == theirs.keys()
    assert len(ours) > 40
    different = {what: (ours[what], theirs[what]) for what in ours if ours[what] != theirs[what]}
    assert different == KNOWN
