"""Brokers go and come back, topics change under a worker: it goes on by itself, or ends with an error that says why."""

from __future__ import annotations

import json
import re
import shutil
import time
import urllib.error
import urllib.request
from collections.abc import Callable

import pytest
from checker import check_totals, last_values, word_totals
from churn import Load, check_counted_once
from kafka_broker import Cluster
from kafka_broker.cluster import free_ports
from kafka_clients import Clients, until
from test_words import PARTITIONS, changelog, some_lines, wait_until_done, write
from workers import Workers

Names = Callable[[str], str]

#: Long enough for every connection, session and transaction to be over.
OUTAGE_S = 15.0


@pytest.mark.parametrize("kind", ["kill", "pause"])
def test_all_brokers_are_gone_for_a_while(
    cluster_workers: Workers, cluster_kafka: Clients, cluster: Cluster, names: Names, kind: str
) -> None:
    app = names("app")
    cluster_kafka.create(f"{app}-in", partitions=4)
    worker = cluster_workers.start("sequences", APP_ID=app, TOPIC_REPLICATION_FACTOR=3).wait_ready()
    with Load(cluster_kafka, f"{app}-in", rate=200) as load:
        until(lambda: len(cluster_kafka.read(f"{app}-out")) > 50, "the worker to work")
        for node in cluster.nodes:
            node.kill() if kind == "kill" else node.pause()
        time.sleep(OUTAGE_S)
        assert worker.is_running, worker.output[-6000:]
        for node in cluster.nodes:
            node.resume()
            node.start()
        cluster.wait_ready()
        before = sum(load.sent.values())
        until(lambda: sum(load.sent.values()) > before + 200, "the load to go on")
        sent = load.stop()

    def has_gone_on() -> bool:
        assert worker.is_running, worker.output[-6000:]
        return cluster_kafka.lag(app, f"{app}-in") == 0

    until(has_gone_on, "the worker to go on by itself")
    assert worker.stop() == 0
    check_counted_once(cluster_kafka, app, sent)


def test_brokers_are_restarted_one_by_one(
    cluster_workers: Workers, cluster_kafka: Clients, cluster: Cluster, names: Names
) -> None:
    app = names("app")
    cluster_kafka.create(f"{app}-in", partitions=4)
    options = {"APP_ID": app, "TOPIC_REPLICATION_FACTOR": 3}
    several = [cluster_workers.start("sequences", name, **options).wait_ready() for name in ("one", "two")]
    with Load(cluster_kafka, f"{app}-in", rate=200) as load:
        for node in cluster.nodes:
            node.stop()
            time.sleep(1)
            node.start()
            cluster.wait_ready()
        sent = load.stop()
    until(lambda: cluster_kafka.lag(app, f"{app}-in") == 0, "the lag to become 0")
    for worker in several:
        assert worker.stop() == 0, worker.output[-6000:]
    check_counted_once(cluster_kafka, app, sent)


def counted(workers: Workers, kafka: Clients, app: str, lines: list[str]) -> None:
    """Have lines counted by a worker called ``one``, which ends in order."""
    write(kafka, app, lines)
    worker = workers.start("words", "one", APP_ID=app).wait_ready()
    wait_until_done(kafka, app, word_totals(lines))
    assert worker.stop() == 0


def test_a_changelog_that_was_deleted_is_named(workers: Workers, kafka: Clients, names: Names) -> None:
    app = names("app")
    counted(workers, kafka, app, some_lines(50))
    kafka.delete(changelog(app))
    worker = workers.start("words", "one", APP_ID=app)
    assert worker.end() != 0
    assert changelog(app) in worker.output
    assert "Traceback" not in worker.output


def test_a_changelog_that_was_made_anew_is_named(workers: Workers, kafka: Clients, names: Names) -> None:
    app = names("app")
    counted(workers, kafka, app, some_lines(50))
    kafka.delete(changelog(app))
    kafka.create(changelog(app), partitions=PARTITIONS, config={"cleanup.policy": "compact"})
    worker = workers.start("words", "one", APP_ID=app)
    assert worker.end() != 0
    assert changelog(app) in worker.output


def test_a_changelog_that_lost_its_beginning_is_read_from_where_it_begins(
    workers: Workers, kafka: Clients, names: Names
) -> None:
    app, lines = names("app"), some_lines(200)
    counted(workers, kafka, app, lines)
    before = last_values(kafka.read(changelog(app)))
    # Brokers let nobody delete records of a topic that is only compacted.
    kafka.configure(changelog(app), cleanup_policy="compact,delete")
    for partition, end in kafka.ends(changelog(app)).items():
        kafka.truncate(changelog(app), partition, end // 2)
    rest = last_values(kafka.read(changelog(app)))
    assert rest != before or rest
    shutil.rmtree(workers.directory / "one")
    more = ["another line of words"]
    write(kafka, app, more)
    worker = workers.start("words", "one", APP_ID=app).wait_ready()
    expected = {word: rest.get(word, 0) + n for word, n in word_totals(more).items()}
    until(lambda: expected.items() <= last_values(kafka.read(changelog(app))).items(), "the words to be counted on")
    assert worker.stop() == 0
    check_totals(last_values(kafka.read(changelog(app))), {**rest, **expected})


def test_a_changelog_that_is_cut_while_it_is_restored_is_read_from_where_it_begins_then(
    workers: Workers, kafka: Clients, names: Names
) -> None:
    app = names("app")
    counted(workers, kafka, app, ["first"])
    kafka.configure(changelog(app), cleanup_policy="compact,delete")
    # Much to read, and slowly, so that the cut finds the restore in the middle.
    filling = b"1" + b" " * 2000
    partition = next(record.partition for record in kafka.read(changelog(app)))
    kafka.produce(changelog(app), [(b'"w%d"' % n, filling, partition) for n in range(10_000)])
    kafka.produce(changelog(app), [(b'"first"', b"7", partition)])
    end = kafka.ends(changelog(app))[partition]
    shutil.rmtree(workers.directory / "one")
    slowly = {"fetch.queue.backoff.ms": 500, "queued.min.messages": 10, "max.partition.fetch.bytes": 50_000}
    slowly_read = json.dumps({f"consumer.{name}": value for name, value in slowly.items()})
    (port,) = free_ports(1)
    worker = workers.start("words", "one", APP_ID=app, BELTLINE_BROKER_OPTIONS=slowly_read, BELTLINE_HEALTH_PORT=port)
    until(lambda: 0 < restored(port) < end // 2 or not worker.is_running, "the restore to be under way")
    assert worker.is_running, worker.output[-6000:]
    kafka.truncate(changelog(app), partition, end - 10)
    write(kafka, app, ["first"])
    worker.wait_ready()
    until(lambda: last_values(kafka.read(changelog(app))).get("first") == 8, "the word to be counted on")
    assert worker.stop() == 0
    assert "Traceback" not in worker.output


def restored(health_port: int) -> int:
    """Return how many offsets `/ready` calls restored."""
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{health_port}/ready", timeout=5):
            return 0
    except urllib.error.HTTPError as error:
        found = re.search(r"(\d+) of \d+ offsets are restored", error.read().decode())
        return int(found[1]) if found else 0
    except OSError:
        return 0


def test_a_changelog_that_is_made_anew_under_a_worker_ends_it_with_its_name(
    workers: Workers, kafka: Clients, names: Names
) -> None:
    app = names("app")
    write(kafka, app, some_lines(50))
    worker = workers.start("words", "one", APP_ID=app).wait_ready()
    wait_until_done(kafka, app, word_totals(some_lines(50)))
    kafka.delete(changelog(app))
    kafka.create(changelog(app), partitions=PARTITIONS, config={"cleanup.policy": "compact"})
    write(kafka, app, some_lines(50, seed=2))
    assert worker.end() != 0
    assert f"{changelog(app)} was deleted and made anew" in worker.output
    again = workers.start("words", "one", APP_ID=app)
    assert again.end() != 0
    assert changelog(app) in again.output
    assert "Traceback" not in worker.output + again.output


def test_partition_counts_that_do_not_fit_are_named_with_the_cure(
    workers: Workers, kafka: Clients, names: Names
) -> None:
    app = names("app")
    counted(workers, kafka, app, some_lines(20))
    repartition = next(name for name in kafka.topics() if app in name and name.endswith("-repartition"))
    kafka.add_partitions(repartition, PARTITIONS + 2)
    worker = workers.start("words", "one", APP_ID=app)
    assert worker.end() != 0
    for part in (repartition, changelog(app), str(PARTITIONS), str(PARTITIONS + 2)):
        assert part in worker.output


def test_a_topic_that_disappears_is_named(workers: Workers, kafka: Clients, names: Names) -> None:
    app = names("app")
    kafka.create(f"{app}-in")
    kafka.produce(f"{app}-in", [(b"k", b"v")])
    worker = workers.start("copies", APP_ID=app, CONSUMER_METADATA_MAX_AGE_MS=1000).wait_ready()
    until(lambda: len(kafka.read(f"{app}-out")) == 1, "the record to be copied")
    kafka.delete(f"{app}-in")
    worker.wait_for(f"{app}-in")
    if not worker.is_running:
        assert worker.end() != 0
    assert "Traceback" not in worker.output
