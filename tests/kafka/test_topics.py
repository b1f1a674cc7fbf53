"""`topics plan` and `topics apply` on a real broker."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

from confluent_kafka.admin import ConfigResource, ResourceType
from kafka_clients import Clients, until
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


def test_a_worker_waits_while_there_are_fewer_brokers_than_copies(
    workers: Workers, kafka: Clients, names: Names
) -> None:
    app = names("app")
    worker = workers.start("copies", APP_ID=app, TOPIC_REPLICATION_FACTOR=3)
    worker.wait_for("but the cluster has one broker so far")
    assert "are to have 3 copies of each partition (topic_replication_factor)" in worker.output
    assert "broker_start_timeout" in worker.output
    assert worker.output.count("so far") == 1
    # No other broker comes; but when the topics are there, nothing is left to wait for.
    kafka.create(f"{app}-in", f"{app}-out")
    worker.wait_ready()
    kafka.produce(f"{app}-in", [(b"k", b"v")])
    until(lambda: len(kafka.read(f"{app}-out")) == 1, "the record to be copied")
    assert worker.stop() == 0
    assert "Traceback" not in worker.output


def test_a_worker_gives_up_on_brokers_that_do_not_come(workers: Workers, names: Names) -> None:
    app = names("app")
    worker = workers.start("copies", APP_ID=app, TOPIC_REPLICATION_FACTOR=3, BELTLINE_BROKER_START_TIMEOUT=1)
    assert worker.end() > 0
    assert "are to have 3 copies" in worker.output
    assert "the cluster has one broker so far" in worker.output
    assert "Traceback" not in worker.output
