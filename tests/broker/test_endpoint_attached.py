"""A second terminal beside a worker, and what is left behind by one that was killed."""

from __future__ import annotations

import json
import socket
from typing import Any

import pytest
from confluent_kafka import Producer
from endpoints import PATIENCE_S, Clients


def test_the_first_page(project: Any) -> None:
    worker = project.start("worker")
    worker.wait_for("ready")
    assert "kafka endpoint" in worker.output
    sent = project.run("send", "orders", '{"customer": "ada", "amount": 1200}', "--headers", "a=b")
    assert sent.returncode == 0, sent.stderr
    assert json.loads(sent.stdout)["topic"] == "orders"
    assert project.run("send", "@listen", "hi").returncode == 0
    worker.wait_for("heard hi")
    address = (project.directory / "shop-data" / "endpoint").read_text().splitlines()[0]
    clients = Clients(address)
    assert len(clients.read("big-orders")) == 1
    shown = project.run("table", "spent", "--json")
    assert json.loads(shown.stdout) == {"ada": 1200.0}, shown.stderr
    rows = {row["name"]: row["state"] for row in json.loads(project.run("topics", "--json").stdout)}
    assert rows["orders"] == "in the log"
    # The app's own offsets are the offsets of a group with its name.
    assert sum(clients.committed("shop", "words").values()) == 1
    assert worker.stop() == 0
    assert not (project.directory / "shop-data" / "endpoint").exists()
    assert json.loads(project.run("table", "spent", "--json").stdout) == {"ada": 1200.0}


def test_a_kafka_client_feeds_a_worker(project: Any) -> None:
    worker = project.start("worker")
    worker.wait_for("ready")
    address = (project.directory / "shop-data" / "endpoint").read_text().splitlines()[0]
    producer = Producer({"bootstrap.servers": address, "enable.idempotence": True})
    for number in range(500):
        order = json.dumps({"customer": f"c{number % 5}", "amount": 1})
        producer.produce("orders", order.encode(), key=f"c{number % 5}")
    assert producer.flush(PATIENCE_S) == 0
    seen = project.run("table", "spent", "--json")
    for _ in range(40):
        seen = project.run("table", "spent", "--json")
        if sum(json.loads(seen.stdout).values()) == 500:
            break
    assert json.loads(seen.stdout) == {f"c{number}": 100.0 for number in range(5)}
    assert worker.stop() == 0


def test_what_a_killed_worker_left_is_not_believed(project: Any) -> None:
    worker = project.start("worker")
    worker.wait_for("ready")
    worker.process.kill()
    worker.end()
    assert (project.directory / "shop-data" / "endpoint").exists()
    sent = project.run("send", "words", "alone")
    assert sent.returncode == 0, sent.stderr
    worker = project.start("worker")
    worker.wait_for("heard alone")
    assert worker.stop() == 0


def test_a_worker_that_does_not_listen_is_named(project: Any) -> None:
    project.environment["BELTLINE_ENDPOINT"] = "no"
    worker = project.start("worker")
    worker.wait_for("ready")
    assert "kafka endpoint" not in worker.output
    run = project.run("send", "words", "hi")
    assert run.returncode == 1
    assert f"in use by process {worker.process.pid} (" in run.stderr
    assert "setting `endpoint`" in run.stderr
    assert worker.stop() == 0


def test_topics_are_made_beside_the_endpoint_and_nothing_is_reset(project: Any) -> None:
    project.write("later.py", "import beltline\napp = beltline.App('shop')\napp.topic('later', partitions=3)\n")
    broker = project.start("broker")
    broker.wait_for("kafka endpoint")
    made = project.run("topics", "apply", app="later")
    assert made.returncode == 0, made.stderr
    assert "1 created" in made.stdout
    rows = {row["name"]: row for row in json.loads(project.run("topics", "--json").stdout)}
    assert (rows["later"]["partitions"], rows["later"]["state"]) == (3, "in the log")
    assert not any(name.startswith("__") for name in rows)
    sent = [json.loads(line) for line in project.run("send", "later", "x", "-r", "3", "-k", "k").stdout.splitlines()]
    assert [record["offset"] for record in sent] == [0, 1, 2]
    refused = project.run("reset")
    assert refused.returncode == 1
    assert f"in use by process {broker.process.pid} (" in refused.stderr
    assert broker.stop() == 0


def test_the_endpoint_alone_makes_no_topics_where_the_app_may_not(project: Any) -> None:
    project.environment["TOPIC_ALLOW_DECLARE"] = "no"
    broker = project.start("broker")
    broker.wait_for("kafka endpoint")
    rows = {row["name"]: row["state"] for row in json.loads(project.run("topics", "--json").stdout)}
    assert rows["orders"] == "not yet created"
    assert broker.stop() == 0


def test_a_taken_port_is_named(project: Any) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        run = project.run("broker", "--port", str(port))
        assert run.returncode == 1
        assert f"127.0.0.1:{port}" in run.stderr
        assert "endpoint_port" in run.stderr
        assert "Traceback" not in run.stderr


def test_a_log_in_memory_has_no_endpoint_of_its_own(project: Any) -> None:
    project.write("fleeting.py", "import beltline\napp = beltline.App('fleeting', broker='memory://')\n")
    run = project.run("broker", app="fleeting")
    assert run.returncode == 1
    assert "no log in a data directory" in run.stderr


@pytest.mark.parametrize("arguments", [["send", "no-such-topic", "x"], ["send", "words", "x", "--partition", "99"]])
def test_mistakes_are_named_through_the_endpoint_too(project: Any, arguments: list[str]) -> None:
    broker = project.start("broker")
    broker.wait_for("kafka endpoint")
    run = project.run(*arguments)
    assert run.returncode == 1
    assert "no-such-topic" in run.stderr or "there is no partition 99" in run.stderr
    made = project.run("send", "fresh", "x", "--create")
    assert made.returncode == 0, made.stderr
    assert broker.stop() == 0
