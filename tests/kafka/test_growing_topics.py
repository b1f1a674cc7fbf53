"""Topics and partitions that come up while workers read: by pattern, by hand, and where a table forbids it."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from kafka_clients import Clients, until
from workers import Worker, Workers

Names = Callable[[str], str]

#: Workers ask for topics and partitions again so often.
SOON = {"CONSUMER_METADATA_MAX_AGE_MS": "500"}


def said(workers: list[Worker], line: str) -> int:
    """Return how often workers printed a line."""
    return sum(worker.output.count(line + "\n") for worker in workers)


@pytest.mark.parametrize("guarantee", ["at_least_once", "exactly_once"])
def test_a_pattern_finds_topics_that_come_up(workers: Workers, kafka: Clients, names: Names, guarantee: str) -> None:
    app = names("app")
    kafka.create(f"{app}-orders-eu", f"{app}-others")
    kafka.produce(f"{app}-orders-eu", [(b"k", b"1")])
    settings = {"APP_ID": app, "PATTERN": f"{app}-orders-.*", "GUARANTEE": guarantee, **SOON}
    running = [workers.start("patterns", name, **settings).wait_ready() for name in ("one", "two")]
    until(lambda: said(running, f"read {app}-orders-eu 0 1") == 1, "the topic that was there")
    kafka.create(f"{app}-orders-us", partitions=2)
    kafka.produce(f"{app}-orders-us", [(b"k", b"2", 0), (b"k", b"3", 1)])
    kafka.produce(f"{app}-others", [(b"k", b"4")])
    for partition, value in ((0, 2), (1, 3)):
        line = f"read {app}-orders-us {partition} {value}"
        until(lambda line=line: said(running, line) == 1, line)
    until(lambda: kafka.lag(app, f"{app}-orders-us") == 0, "positions of the new topic")
    kafka.produce(f"{app}-orders-eu", [(b"k", b"5")])
    until(lambda: said(running, f"read {app}-orders-eu 0 5") == 1, "the old topic to go on")
    assert [worker.stop() for worker in running] == [0, 0]
    assert not any(f"{app}-others" in worker.output for worker in running)


def test_a_pattern_may_match_nothing_yet(workers: Workers, kafka: Clients, names: Names) -> None:
    app = names("app")
    worker = workers.start("patterns", APP_ID=app, PATTERN=f"{app}-orders-.*", **SOON).wait_ready()
    kafka.create(f"{app}-orders-eu")
    kafka.produce(f"{app}-orders-eu", [(b"k", b"1")])
    worker.wait_for(f"read {app}-orders-eu 0 1")
    assert worker.stop() == 0


@pytest.mark.parametrize("guarantee", ["at_least_once", "exactly_once"])
def test_a_topic_of_a_pattern_may_be_deleted(workers: Workers, kafka: Clients, names: Names, guarantee: str) -> None:
    app = names("app")
    first, second = f"{app}-orders-eu", f"{app}-orders-us"
    kafka.create(first, second)
    for topic in (first, second):
        kafka.produce(topic, [(b"k", b"1")])
    settings = {"APP_ID": app, "PATTERN": f"{app}-orders-.*", "GUARANTEE": guarantee, **SOON}
    worker = workers.start("patterns", **settings).wait_ready()
    until(lambda: kafka.lag(app, first) == kafka.lag(app, second) == 0, "both to be read")
    kafka.delete(second)
    worker.wait_for(f"the topic {second} does not exist any more")
    kafka.produce(first, [(b"k", b"2")])
    worker.wait_for(f"read {first} 0 2")
    kafka.create(second)
    kafka.produce(second, [(b"k", b"3")])
    worker.wait_for(f"read {second} 0 3")
    assert worker.stop() == 0


def test_new_partitions_are_read_and_sent_to(workers: Workers, kafka: Clients, names: Names) -> None:
    app = names("app")
    topic = f"{app}-in"
    kafka.create(topic, partitions=1)
    kafka.produce(topic, [(b"k", b"1", 0)])
    settings = {"APP_ID": app, "NAMES": topic, "CONSUMER_AUTO_OFFSET_RESET": "earliest", **SOON}
    running = [workers.start("patterns", name, **settings).wait_ready() for name in ("one", "two")]
    until(lambda: said(running, f"read {topic} 0 1") == 1, "the partition that was there")
    kafka.add_partitions(topic, 4)
    kafka.produce(topic, [(b"k", b"%d" % (10 + number), number) for number in range(4)])
    for number in range(4):
        line = f"read {topic} {number} {10 + number}"
        until(lambda line=line: said(running, line) == 1, line)
    assert all(worker.is_running for worker in running)
    assert [worker.stop() for worker in running] == [0, 0]


def test_a_table_forbids_new_partitions(workers: Workers, kafka: Clients, names: Names) -> None:
    app = names("app")
    topic = f"{app}-in"
    kafka.create(topic, partitions=2)
    worker = workers.start("patterns", APP_ID=app, NAMES=topic, TABLE="yes", **SOON).wait_ready()
    kafka.add_partitions(topic, 4)
    assert worker.end() != 0
    for part in (
        f"topic {topic} has got more partitions, 4 in the place of 2",
        f"{app}-counts-changelog has 2",
        "version=",
    ):
        assert part in worker.output
    assert "Traceback" not in worker.output
    again = workers.start("patterns", "again", APP_ID=app, NAMES=topic, TABLE="yes", **SOON)
    assert again.end() != 0
    assert f"topic {topic} has 4 partitions, but table counts" in again.output


def test_an_agent_that_comes_while_the_worker_runs(workers: Workers, kafka: Clients, names: Names) -> None:
    app = names("app")
    kafka.create(f"{app}-in", f"{app}-late")
    kafka.produce(f"{app}-late", [(b"k", b"1")])
    worker = workers.start("patterns", APP_ID=app, NAMES=f"{app}-in").wait_ready()
    assert "late 1" not in worker.output
    kafka.produce(f"{app}-in", [(b"k", b"another")])
    worker.wait_for("late 1")
    assert worker.stop() == 0


def test_a_named_topic_that_is_deleted_ends_the_worker(workers: Workers, kafka: Clients, names: Names) -> None:
    app = names("app")
    kafka.create(f"{app}-in", f"{app}-more")
    worker = workers.start("patterns", APP_ID=app, NAMES=f"{app}-in,{app}-more", **SOON).wait_ready()
    kafka.delete(f"{app}-more")
    assert worker.end() != 0
    assert f"there is no topic {app}-more any more, which this worker reads" in worker.output
    assert "Traceback" not in worker.output
