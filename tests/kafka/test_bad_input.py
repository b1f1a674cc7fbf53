"""What people get wrong, and what brokers refuse: each ends well, or with a sentence that names cause and cure."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from kafka_broker import Description
from kafka_broker.cluster import free_ports
from kafka_clients import Clients, until
from workers import Workers

Names = Callable[[str], str]


def test_brokers_that_cannot_be_reached_are_named(workers: Workers, names: Names) -> None:
    (port,) = free_ports(1)
    worker = workers.start("copies", APP_ID=names("app"), BROKER_URL=f"kafka://127.0.0.1:{port}")
    worker.wait_for(f"127.0.0.1:{port}")
    assert "Traceback" not in worker.output
    worker.stop()


def test_one_of_several_brokers_is_enough(workers: Workers, kafka: Clients, broker: Description, names: Names) -> None:
    app = names("app")
    (port,) = free_ports(1)
    kafka.create(f"{app}-in")
    kafka.produce(f"{app}-in", [(b"k", b"v")])
    urls = f"kafka://127.0.0.1:{port};nowhere.invalid:9092;{broker.bootstrap}"
    worker = workers.start("copies", APP_ID=app, BROKER_URL=urls).wait_ready()
    until(lambda: f"{app}-out" in kafka.topics() and len(kafka.read(f"{app}-out")) == 1, "the record to be copied")
    assert worker.stop() == 0


def test_a_record_beyond_the_limit_is_named(workers: Workers, kafka: Clients, names: Names) -> None:
    app = names("app")
    kafka.create(f"{app}-in", f"{app}-out")
    kafka.configure(f"{app}-out", max_message_bytes="2000")
    kafka.produce(f"{app}-in", [(b"k", b"x" * 5000), (b"k", b"small")])
    worker = workers.start("copies", APP_ID=app)
    worker.wait_for(f"{app}-out")
    if not worker.is_running:
        assert worker.end() != 0
    assert "Traceback" not in worker.output


@pytest.mark.parametrize("reset", ["earliest", "latest"])
def test_a_position_that_is_gone_is_reset_as_the_setting_says(
    workers: Workers, kafka: Clients, names: Names, reset: str
) -> None:
    app = names("app")
    kafka.create(f"{app}-in")
    kafka.produce(f"{app}-in", [(b"k", b"%d" % n) for n in range(5)])
    first = workers.start("copies", "one", APP_ID=app).wait_ready()
    until(lambda: kafka.lag(app, f"{app}-in") == 0, "the records to be copied")
    assert first.stop() == 0
    kafka.produce(f"{app}-in", [(b"k", b"%d" % n) for n in range(5, 10)])
    kafka.truncate(f"{app}-in", 0, 8)
    second = workers.start("copies", "one", APP_ID=app, CONSUMER_AUTO_OFFSET_RESET=reset).wait_ready()
    second.wait_for("goes on at")
    kafka.produce(f"{app}-in", [(b"k", b"last")])
    until(lambda: any(one.value == b"last" for one in kafka.read(f"{app}-out")), "the last record to be copied")
    assert second.stop() == 0
    values = [one.value for one in kafka.read(f"{app}-out")]
    expected = [b"8", b"9", b"last"] if reset == "earliest" else [b"last"]
    assert values[5:] == expected


def test_two_programs_under_one_group_are_told_apart(workers: Workers, kafka: Clients, names: Names) -> None:
    app = names("app")
    kafka.create(f"{app}-in", f"{app}-other", partitions=1)
    first = workers.start("copies", "one", APP_ID=app).wait_ready()
    second = workers.start("copies", "two", APP_ID=app, IN=f"{app}-other")
    second.wait_for(app)
    kafka.produce(f"{app}-in", [(b"k", b"v")])
    until(lambda: len(kafka.read(f"{app}-out")) == 1, "the first program to go on")
    assert first.is_running
