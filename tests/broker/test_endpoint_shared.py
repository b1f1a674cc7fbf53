"""Several workers on one data directory: they share the partitions, and take the directory over from one another."""

from __future__ import annotations

import collections
import contextlib
import os
import random
import re
import signal
import socket
import time
from pathlib import Path
from typing import Any

import pytest
from confluent_kafka import Producer
from endpoints import PATIENCE_S, Clients
from kafka_clients import until

KEYS = 40

COUNTS = """
import asyncio, os
import beltline as bl

app = bl.App("counts", topic_partitions=4, processing_guarantee=os.environ.get("GUARANTEE", "exactly_once"),
             broker_commit_interval=0.05)
given = app.topic("given", key_type=str, value_type=bytes, value_serializer="raw")
counted = app.topic("counted", key_type=str, value_type=str)
totals = app.Table("totals", default=int)


@app.agent(given)
async def count(stream):
    async for key, _ in stream.items():
        totals[key] += 1
        await counted.send(key=key, value=f"{totals[key]} {os.getpid()}")
        await asyncio.sleep(0.001)


@app.task
async def begun():
    print("the app runs", flush=True)
"""


PATTERNS = """
import os
import beltline as bl

app = bl.App("patterns", processing_guarantee=os.environ.get("GUARANTEE", "exactly_once"),
             consumer_metadata_max_age_ms=500)
given = app.topic(pattern="orders-.*", key_type=bytes, value_type=bytes, key_serializer="raw", value_serializer="raw")
seen = app.topic("seen", value_type=str, value_serializer="raw", partitions=1)


@app.agent(given)
async def read(stream):
    async for event in stream.events():
        one = f"{event.message.topic} {event.message.partition} {event.value.decode()}"
        print("read", one, flush=True)
        await seen.send(value=one)


@app.task
async def begun():
    print("the app runs", flush=True)
"""


@pytest.fixture
def counts(project: Any) -> Any:
    """Return a project whose app counts, and says who has counted."""
    project.write("counts.py", COUNTS)
    return project


def start(project: Any, app: str = "counts") -> Any:
    return project.start("worker", app=app)


def endpoint(project: Any, app: str = "counts") -> tuple[str, int]:
    """Return the address and the process of whoever holds the directory; waits until there is one that lives."""
    deadline = time.monotonic() + PATIENCE_S
    while True:
        with contextlib.suppress(FileNotFoundError, ProcessLookupError, IndexError):
            address, _, pid = (project.directory / f"{app}-data" / "endpoint").read_text().splitlines()
            os.kill(int(pid), 0)
            return address, int(pid)
        assert time.monotonic() < deadline, "nobody holds the directory"
        time.sleep(0.05)


def clients(project: Any) -> Clients:
    """Return a witness at the endpoint of whoever holds the directory now."""
    return Clients(endpoint(project)[0])


def feed(project: Any, records: int, first: int = 0) -> None:
    address, _ = endpoint(project)
    producer = Producer({"bootstrap.servers": address, "enable.idempotence": True, "partitioner": "murmur2_random"})
    for number in range(first, first + records):
        producer.produce("given", b"x", key=f"k{number % KEYS}")
    assert producer.flush(PATIENCE_S) == 0


def numbers(project: Any) -> dict[str, list[int]]:
    """Return what was counted by key, in the order of the log."""
    found: dict[str, list[int]] = collections.defaultdict(list)
    for one in clients(project).read("counted"):
        found[one.key.decode().strip('"')].append(int(one.value.decode().strip('"').split()[0]))
    return found


def who_counted(project: Any) -> set[int]:
    return {int(one.value.decode().strip('"').split()[1]) for one in clients(project).read("counted")}


def wait_until_counted(project: Any, records: int, workers: list[Any]) -> dict[str, list[int]]:
    """Return what was counted when everything was, which the changelog says."""
    deadline = time.monotonic() + PATIENCE_S
    while True:
        try:
            last: dict[str, int] = {}
            for one in clients(project).read("counts-totals-changelog"):
                last[one.key] = int(one.value)
            if sum(last.values()) >= records:
                return numbers(project)
        except Exception as error:
            # The endpoint moves to another process now and then.
            last = {"error": str(error)}  # type: ignore[dict-item]
        assert time.monotonic() < deadline, (last, *(worker.output[-3000:] for worker in workers))
        time.sleep(0.3)


def exact(records: int) -> dict[str, list[int]]:
    return {f"k{key}": list(range(1, records // KEYS + 1)) for key in range(KEYS)}


def test_a_second_worker_attaches_and_shares_the_partitions(counts: Any) -> None:
    owner = start(counts)
    owner.wait_for("the app runs")
    second = start(counts)
    second.wait_for("the app runs")
    assert f"process {owner.process.pid} (" in second.output
    assert "attached to" in second.output
    feed(counts, 2000)
    assert wait_until_counted(counts, 2000, [owner, second]) == exact(2000)
    assert who_counted(counts) == {owner.process.pid, second.process.pid}
    assert second.stop() == 0
    feed(counts, 400, first=2000)
    assert wait_until_counted(counts, 2400, [owner]) == exact(2400)
    assert owner.stop() == 0


def test_an_attached_worker_asks_for_a_session_that_its_holder_takes(counts: Any) -> None:
    counts.environment["BELTLINE_ENDPOINT_MIN_SESSION_TIMEOUT"] = "20"
    owner = start(counts)
    owner.wait_for("the app runs")
    second = start(counts)
    second.wait_for("the app runs")
    until(lambda: len(clients(counts).members("counts")) == 2, "both to be members")
    assert second.stop() == 0
    assert owner.stop() == 0


@pytest.mark.parametrize("end", [signal.SIGTERM, signal.SIGKILL])
def test_an_attached_worker_takes_the_directory_over(counts: Any, end: int) -> None:
    owner = start(counts)
    owner.wait_for("the app runs")
    others = [start(counts), start(counts)]
    for other in others:
        other.wait_for("the app runs")
    feed(counts, 4000)
    time.sleep(0.5)
    owner.process.send_signal(end)
    owner.end()
    assert wait_until_counted(counts, 4000, others) == exact(4000)
    assert sum("this process holds it now" in other.output for other in others) == 1
    feed(counts, 400, first=4000)
    assert wait_until_counted(counts, 4400, others) == exact(4400)
    for other in others:
        assert other.stop() == 0


def test_totals_are_exact_while_workers_and_owners_are_killed(counts: Any) -> None:
    chosen = random.Random(7)
    workers = [start(counts) for _ in range(3)]
    for worker in workers:
        worker.wait_for("the app runs")
    feed(counts, 8000)
    for _ in range(5):
        time.sleep(chosen.uniform(0.2, 1.5))
        _, held = endpoint(counts)
        owners = [number for number, worker in enumerate(workers) if worker.process.pid == held]
        number = owners[0] if owners and chosen.random() < 0.5 else chosen.randrange(3)
        workers[number].process.kill()
        workers[number].end()
        workers[number] = start(counts)
    assert wait_until_counted(counts, 8000, workers) == exact(8000)
    for worker in workers:
        worker.wait_for("the app runs")
        assert worker.stop() == 0


def test_at_least_once_loses_nothing_when_the_owner_is_killed(counts: Any) -> None:
    counts.environment["GUARANTEE"] = "at_least_once"
    owner, other = start(counts), start(counts)
    for worker in (owner, other):
        worker.wait_for("the app runs")
    feed(counts, 4000)
    time.sleep(0.5)
    _, held = endpoint(counts)
    killed, left = (owner, other) if owner.process.pid == held else (other, owner)
    killed.process.kill()
    killed.end()
    found = wait_until_counted(counts, 4000, [left])
    assert all(set(found[f"k{key}"]) >= set(range(1, 101)) for key in range(KEYS))
    assert left.stop() == 0


def test_a_port_that_is_taken_does_not_hinder_a_take_over(counts: Any) -> None:
    owner = start(counts)
    owner.wait_for("the app runs")
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        counts.environment["BELTLINE_ENDPOINT_PORT"] = str(port)
        other = start(counts)
        other.wait_for("the app runs")
        feed(counts, 400)
        owner.process.kill()
        owner.end()
        other.wait_for(f"the endpoint takes another port than {port}")
        address, holder = endpoint(counts)
        assert holder == other.process.pid
        assert address != f"127.0.0.1:{port}"
        feed(counts, 400, first=400)
        assert wait_until_counted(counts, 800, [other]) == exact(800)
    assert other.stop() == 0


@pytest.mark.parametrize("guarantee", ["exactly_once", "at_least_once"])
def test_a_topic_that_comes_later_is_shared_by_holder_and_attached(project: Any, guarantee: str) -> None:
    project.write("patterns.py", PATTERNS)
    project.environment["GUARANTEE"] = guarantee
    workers = [start(project, "patterns")]
    workers[0].wait_for("the app runs")
    workers.append(start(project, "patterns"))
    workers[1].wait_for("the app runs")
    kafka = Clients(endpoint(project, "patterns")[0])

    def give(topic: str) -> None:
        kafka.produce(topic, [(b"k", b"%d" % number, number % 4) for number in range(200)])
        expected = {f"{topic} {number % 4} {number}" for number in range(200)}
        until(lambda: kafka.lag("patterns", topic) == 0, f"all of {topic} to be read")
        read = [record.value.decode() for record in kafka.read("seen") if record.value.decode().startswith(topic)]
        assert set(read) == expected
        # What is handled twice when the group changes hands meanwhile is passed on twice at least once.
        assert len(read) == len(expected) or guarantee == "at_least_once"

    kafka.create("others")
    kafka.produce("others", [(b"k", b"another")])
    # One of them finds it first, and may have read some of it when the other one joins in.
    kafka.create("orders-eu", partitions=4)
    give("orders-eu")
    kafka.create("orders-us", partitions=4)
    try:
        until(lambda: shares(kafka, "orders-us") == [2, 2], "half of the topic for each of them")
    except AssertionError as error:
        said = "".join(f"---- {worker.process.pid} said:\n{worker.output[-3000:]}" for worker in workers)
        raise AssertionError(f"{error}: {shares(kafka, 'orders-us')}\n{said}") from None
    give("orders-us")
    assert all("read orders-us" in worker.output for worker in workers), "both of them read"
    assert not any("read others" in worker.output for worker in workers)
    assert [worker.stop() for worker in reversed(workers)] == [0, 0]


def shares(kafka: Clients, topic: str) -> list[int]:
    """Return how many partitions of a topic each member has, in order."""
    assigned = [member.assignment.topic_partitions for member in kafka.members("patterns")]
    return sorted(sum(one.topic == topic for one in partitions) for partitions in assigned)


def test_an_owner_that_hangs_is_named(counts: Any) -> None:
    owner = start(counts)
    owner.wait_for("the app runs")
    owner.process.send_signal(signal.SIGSTOP)
    second = start(counts)
    assert second.end() == 1
    assert f"in use by process {owner.process.pid} (" in second.output
    assert "has not answered" in second.output
    owner.process.send_signal(signal.SIGCONT)
    third = start(counts)
    third.wait_for("the app runs")
    assert third.stop() == 0
    assert owner.stop() == 0


def test_an_endpoint_that_nobody_listens_at_is_not_believed(counts: Any) -> None:
    owner = start(counts)
    owner.wait_for("the app runs")
    owner.process.kill()
    owner.end()
    assert (counts.directory / "counts-data" / "endpoint").exists()
    second = start(counts)
    second.wait_for("the app runs")
    assert endpoint(counts)[1] == second.process.pid
    assert second.stop() == 0


def test_several_workers_of_one_command(counts: Any) -> None:
    parent = counts.start("worker", "--workers", "3", app="counts")
    parent.wait_for("the app runs", 3)
    pids = {int(pid) for pid in re.findall(r"worker-\d \| started as process (\d+)", parent.output)}
    feed(counts, 4000)
    assert wait_until_counted(counts, 4000, [parent]) == exact(4000)
    assert who_counted(counts) <= pids
    assert len(who_counted(counts)) > 1
    victim = min(pids)
    os.kill(victim, signal.SIGKILL)
    parent.wait_for("died: killed by SIGKILL; it is started again")
    parent.wait_for("the app runs", 4)
    parent.process.send_signal(signal.SIGINT)
    assert parent.end() == 0
    assert parent.output.count("ended with exit code 0") == 3
    assert not Path(f"/proc/{max(pids)}").exists()


def test_workers_that_cannot_start_end_the_whole(counts: Any) -> None:
    counts.write(
        "broken.py",
        "import beltline\napp = beltline.App('broken')\n\n@app.task\nasync def t():\n    raise SystemError('no')\n",
    )
    parent = counts.start("worker", "--workers", "2", app="broken")
    assert parent.end() == 1
    assert "3 times in a row; all workers stop" in parent.output
