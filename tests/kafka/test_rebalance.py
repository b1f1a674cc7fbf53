"""Workers join, leave, are killed and sleep beyond their session: nothing skipped, nothing out of order, no hang."""

from __future__ import annotations

import os
import random
from collections.abc import Callable

import pytest
from checker import check_sequences
from churn import Churn, Load, taken
from kafka_clients import Clients, until
from workers import Workers

Names = Callable[[str], str]

CYCLES = 10


def seed() -> int:
    """Return what plays the same way again: ``BELTLINE_SEED``, or any number, which the test prints."""
    return int(os.environ.get("BELTLINE_SEED") or random.SystemRandom().randrange(1 << 32))


@pytest.mark.parametrize("guarantee", ["exactly_once", "at_least_once"])
def test_workers_come_and_go(workers: Workers, kafka: Clients, names: Names, guarantee: str) -> None:
    Churn(workers, kafka, names("app"), guarantee=guarantee, seed=seed()).play(CYCLES)


def test_partitions_are_spread_evenly_and_idle_workers_take_over(
    workers: Workers, kafka: Clients, names: Names
) -> None:
    app = names("app")
    kafka.create(f"{app}-in", partitions=2)
    several = [
        workers.start(
            "sequences", f"w{number}", APP_ID=app, PARTITIONS=2, BROKER_SESSION_TIMEOUT=2, BROKER_CLIENT_ID=f"w{number}"
        )
        for number in range(3)
    ]
    for worker in several:
        worker.wait_ready()
    until(lambda: len(kafka.members(app)) == 3, "three members")
    until(lambda: owned(kafka, app) == [0, 1, 1], "one partition for each of two workers, none for the third")
    with Load(kafka, f"{app}-in", keys=8) as load:
        busy = {member.client_id for member in kafka.members(app) if partitions_of(member, app)}
        next(one for one in several if one.name.partition("/")[2] in busy).kill()
        until(lambda: owned(kafka, app) == [1, 1], "the idle worker to take over")
        sent = load.stop()
    until(lambda: kafka.lag(app, f"{app}-in") == 0, "the lag to become 0")
    came = [taken(record) for record in kafka.read(f"{app}-out")]
    check_sequences(((key, n) for key, n, _ in came), sent, exactly_once=True)


def owned(kafka: Clients, app: str) -> list[int]:
    """Return how many partitions of the input each member has, in order."""
    return sorted(len(partitions_of(member, app)) for member in kafka.members(app))


def partitions_of(member: object, app: str) -> list[int]:
    """Return the partitions of the input that a member has."""
    assignment = member.assignment  # type: ignore[attr-defined]
    return [one.partition for one in assignment.topic_partitions if one.topic == f"{app}-in"] if assignment else []


def test_a_restart_of_a_static_member_moves_nothing(workers: Workers, kafka: Clients, names: Names) -> None:
    app = names("app")
    kafka.create(f"{app}-in", partitions=4)
    options = {"APP_ID": app, "BROKER_SESSION_TIMEOUT": 20}
    first = workers.start("sequences", "first", CONSUMER_GROUP_INSTANCE_ID="first", **options).wait_ready()
    second = workers.start("sequences", "second", CONSUMER_GROUP_INSTANCE_ID="second", **options).wait_ready()
    until(lambda: owned(kafka, app) == [2, 2], "two partitions each")
    before = {member.group_instance_id: partitions_of(member, app) for member in kafka.members(app)}
    second.kill()
    workers.start("sequences", "second", CONSUMER_GROUP_INSTANCE_ID="second", **options).wait_ready()
    until(lambda: owned(kafka, app) == [2, 2], "two partitions each")
    assert {member.group_instance_id: partitions_of(member, app) for member in kafka.members(app)} == before
    assert first.stop() == 0
