"""Workers die at any moment and brokers with them: what was committed equals a plain loop over what was sent."""

from __future__ import annotations

import random
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from checker import check_sequences, check_totals, last_values, word_totals
from churn import Churn, Load, counts_of, taken
from kafka_broker import Cluster
from kafka_clients import Clients, until
from test_rebalance import seed
from test_words import changelog, some_lines, wait_until_done, write
from workers import Worker, Workers

Names = Callable[[str], str]

KILLS = 6


def test_words_are_counted_once_while_workers_are_killed(workers: Workers, kafka: Clients, names: Names) -> None:
    app, chosen = names("app"), random.Random(given := seed())
    print(f"seed {given}")
    lines = some_lines(1200, seed=given)
    several = {name: workers.start("words", name, APP_ID=app, BROKER_SESSION_TIMEOUT=2) for name in ("one", "two")}
    for kill in range(KILLS):
        write(kafka, app, lines[kill * 200 : kill * 200 + 200])
        time.sleep(chosen.uniform(0, 1.5))
        name = chosen.choice(list(several))
        several[name].kill()
        several[name] = workers.start("words", name, APP_ID=app, BROKER_SESSION_TIMEOUT=2)
    wait_until_done(kafka, app, word_totals(lines))
    for worker in several.values():
        assert worker.wait_ready().stop() == 0
    check_totals(last_values(kafka.read(changelog(app))), word_totals(lines))
    counted = [(record.key.decode(), int(record.value)) for record in kafka.read(f"{app}-counted")]  # type: ignore[union-attr, arg-type]
    check_sequences(counted, word_totals(lines), exactly_once=True)


def test_a_worker_that_wakes_after_others_took_over_writes_nothing(
    workers: Workers, kafka: Clients, names: Names
) -> None:
    app = names("app")
    kafka.create(f"{app}-in", partitions=2)
    options = {"APP_ID": app, "PARTITIONS": 2, "BROKER_SESSION_TIMEOUT": 2}
    zombie = workers.start("sequences", "zombie", WORKER="zombie", **options).wait_ready()
    with Load(kafka, f"{app}-in", keys=8, rate=1000) as load:
        until(lambda: len(kafka.read(f"{app}-out")) > 100, "the first worker to be in the middle of its work")
        zombie.pause()
        other = workers.start("sequences", "other", WORKER="other", **options).wait_ready()
        until(lambda: any(b'"other"' in (one.value or b"") for one in kafka.read(f"{app}-out")), "the other to work")
        zombie.resume()
        time.sleep(1)
        sent = load.stop()
    until(lambda: kafka.lag(app, f"{app}-in") == 0, "the lag to become 0")
    if zombie.is_running:
        assert zombie.stop() == 0
    else:
        assert zombie.end() != 0
    assert other.stop() == 0
    came = [taken(record) for record in kafka.read(f"{app}-out")]
    check_sequences(((key, n) for key, n, _ in came), sent, exactly_once=True)
    check_totals(counts_of(kafka.read(f"{app}-out")), sent)


def test_a_handler_that_awaits_while_its_partition_is_lost_counts_once(
    workers: Workers, kafka: Clients, names: Names, tmp_path: Path
) -> None:
    app, hold = names("app"), tmp_path / "hold"
    kafka.create(f"{app}-in", partitions=2)
    options = {"APP_ID": app, "PARTITIONS": 2, "BROKER_SESSION_TIMEOUT": 2, "HOLD": hold}
    worker = workers.start("sequences", **options).wait_ready()
    with Load(kafka, f"{app}-in", keys=8, rate=200) as load:
        until(lambda: len(kafka.read(f"{app}-out")) > 100, "the worker to be in the middle of its work")
        hold.touch()
        worker.wait_for("held")
        worker.pause()
        time.sleep(4)
        worker.resume()
        # The step goes on when the worker has its partitions and their tables again.
        worker.wait_for("lost to the group")
        hold.unlink()
        sent = load.stop()
    until(lambda: kafka.lag(app, f"{app}-in") == 0, "the lag to become 0")
    assert worker.stop() == 0
    came = [taken(record) for record in kafka.read(f"{app}-out")]
    check_sequences(((key, n) for key, n, _ in came), sent, exactly_once=True)
    check_totals(counts_of(kafka.read(f"{app}-out")), sent)
    check_totals(last_values(kafka.read(f"{app}-counts-changelog")), sent)


def test_the_open_transaction_of_a_dead_worker_does_not_block_readers_for_ever(
    workers: Workers, kafka: Clients, names: Names, played_on: str
) -> None:
    app = names("app")
    topic = f"{app}-out"
    kafka.create(f"{app}-in", topic, partitions=1)
    options = {"APP_ID": app, "PARTITIONS": 1, "BROKER_COMMIT_INTERVAL": 0.01}
    worker = workers.start("sequences", "one", **options).wait_ready()
    with Load(kafka, f"{app}-in", keys=4, rate=1000) as load:
        until(lambda: bool(kafka.read(topic)), "the worker to be in the middle of its work")
        if played_on == "kafka":
            until(lambda: stops_in_a_transaction(worker, kafka, topic), "an open transaction")
        # The endpoint shows nobody what is open (docs/endpoint.md), so there it may die at any moment.
        worker.kill()
        load.stop()
    # Another name: nobody takes up the dead worker's transaction, so the broker has to end it.
    kafka.produce(topic, [(b"after", b'{"key":"after","n":1,"count":1,"worker":""}')])
    until(lambda: any(one.key == b"after" for one in kafka.read(topic)), "readers to get past the dead transaction")


def stops_in_a_transaction(worker: Worker, kafka: Clients, topic: str) -> bool:
    """Pause a worker; it goes on unless records of its open transaction lie in the topic."""
    worker.pause()
    if kafka.ends(topic) != kafka.ends(topic, isolation="read_uncommitted"):
        return True
    worker.resume()
    return False


@pytest.mark.parametrize("guarantee", ["exactly_once", "at_least_once"])
def test_brokers_die_too(
    cluster_workers: Workers, cluster_kafka: Clients, cluster: Cluster, names: Names, guarantee: str
) -> None:
    play = Churn(cluster_workers, cluster_kafka, names("app"), guarantee=guarantee, seed=seed(), cluster=cluster)
    play.play(8)
