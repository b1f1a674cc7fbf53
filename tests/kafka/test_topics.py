"""`topics plan` and `topics apply` on a real broker."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

from confluent_kafka.admin import ConfigResource, ResourceType
from kafka_clients import Clients
from test_words import changelog
from workers import Workers

Names = Callable[[str], str]


def topics(workers: Workers, app: str, command: str) -> dict[str, Any]:
    """Return what a command says, by topic."""
    worker = workers.run("words", "topics", command, "--json", APP_ID=app)
    assert worker.end() == 0, worker.output
    said = json.loads(worker.output)
    assert said["problems"] == []
    return {line["topic"]: line for line in said["topics"]}


def test_a_plan_is_applied_and_a_worker_needs_no_more(workers: Workers, kafka: Clients, names: Names) -> None:
    app = names("app")
    planned = topics(workers, app, "plan")
    assert {line["state"] for line in planned.values()} == {"to be created"}
    assert changelog(app) in planned
    assert any(name.endswith("-repartition") for name in planned)
    assert not set(planned) & set(kafka.topics())
    applied = topics(workers, app, "apply")
    assert {line["state"] for line in applied.values()} == {"created"}
    assert set(planned) <= set(kafka.topics())
    for name, line in planned.items():
        assert kafka.partitions(name) == line["partitions"]
    (config,) = kafka.admin.describe_configs([ConfigResource(ResourceType.TOPIC, changelog(app))]).values()
    assert config.result(30)["cleanup.policy"].value == "compact"
    assert {line["state"] for line in topics(workers, app, "plan").values()} == {"exists"}
    worker = workers.start("words", APP_ID=app, TOPIC_ALLOW_DECLARE="no").wait_ready()
    assert worker.stop() == 0, worker.output
