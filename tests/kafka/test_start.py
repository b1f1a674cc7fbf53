"""A worker that starts before its brokers do, or knows addresses where nobody is."""

from __future__ import annotations

import json
import signal
import socket
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from endpoints import Endpoint
from kafka_broker import Cluster, Description
from kafka_broker.cluster import free_ports
from kafka_broker.description import USER
from kafka_clients import Clients, until
from workers import Worker, Workers

Names = Callable[[str], str]


def ask(port: int, page: str) -> tuple[int, str]:
    """Return status and text of a health page; 0 while nobody listens."""
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/{page}", timeout=5) as answer:
            return answer.status, answer.read().decode()
    except urllib.error.HTTPError as error:
        return error.code, error.read().decode()
    except OSError:
        return 0, ""


def start_waiting(workers: Workers, app: str, urls: str, health_port: int, **variables: str) -> Worker:
    """Start the copying app where nobody answers, and return when it has said so."""
    worker = workers.start("copies", APP_ID=app, BROKER_URL=urls, BELTLINE_HEALTH_PORT=health_port, **variables)
    worker.wait_for("no Kafka broker answers")
    return worker


@pytest.fixture
def stopped(played_on: str, tmp_path: Path) -> Iterator[tuple[str, Callable[[], None]]]:
    """Return the address of a broker that was started and stopped, and what starts it again."""
    if played_on == "endpoint":
        endpoint = Endpoint(tmp_path)
        endpoint.start()
        endpoint.kill()
        yield endpoint.address, endpoint.restart
        endpoint.kill()
        return
    with Cluster() as made:
        made.nodes[0].stop()

        def start() -> None:
            made.nodes[0].start()
            made.wait_ready()

        yield made.description.bootstrap, start


def test_a_worker_waits_for_its_brokers_and_starts_by_itself(
    workers: Workers, stopped: tuple[str, Callable[[], None]], names: Names
) -> None:
    app, (absent, health) = names("app"), free_ports(2)
    here, start = stopped
    worker = start_waiting(workers, app, f"kafka://{here};127.0.0.1:{absent}", health)
    for address in (here, f"127.0.0.1:{absent}"):
        assert f"{address} (" in worker.output
    assert "broker_start_timeout" in worker.output
    status, text = ask(health, "ready")
    assert status == 503
    problems = {one["what"]: one["why"] for one in json.loads(text)["problems"]}
    assert here in problems["the brokers"]
    assert ask(health, "live")[0] == 200
    start()
    kafka = Clients(here)
    worker.wait_ready()
    until(lambda: ask(health, "ready")[0] == 200, "the worker to be ready")
    kafka.produce(f"{app}-in", [(b"k", b"v")])
    until(lambda: f"{app}-out" in kafka.topics() and len(kafka.read(f"{app}-out")) == 1, "the record to be copied")
    assert worker.stop() == 0
    assert "Traceback" not in worker.output


@pytest.mark.once
def test_a_worker_that_waits_for_its_brokers_can_be_stopped(workers: Workers, names: Names) -> None:
    absent, health = free_ports(2)
    worker = start_waiting(workers, names("app"), f"kafka://127.0.0.1:{absent}", health)
    began = time.monotonic()
    assert worker.stop() == 0
    assert time.monotonic() - began < 15, "it waited for the deadline of the shutdown"
    assert "Traceback" not in worker.output


@pytest.mark.once
def test_a_worker_does_not_wait_for_ever(workers: Workers, names: Names) -> None:
    (absent,) = free_ports(1)
    urls = f"kafka://127.0.0.1:{absent}"
    worker = workers.start("copies", APP_ID=names("app"), BROKER_URL=urls, BELTLINE_BROKER_START_TIMEOUT=3)
    code = worker.end()
    assert code not in (0, -signal.SIGTERM)
    assert f"127.0.0.1:{absent}" in worker.output
    assert "Traceback" not in worker.output


@pytest.fixture
def silent() -> Iterator[str]:
    """Return an address where connections are taken and nothing is answered, as behind some firewalls."""
    with socket.create_server(("127.0.0.1", 0), backlog=128) as server:
        yield f"127.0.0.1:{server.getsockname()[1]}"


def test_addresses_that_refuse_or_say_nothing_do_not_delay_the_start(
    workers: Workers, kafka: Clients, broker: Description, names: Names, silent: str
) -> None:
    app, (absent,) = names("app"), free_ports(1)
    kafka.create(f"{app}-in")
    kafka.produce(f"{app}-in", [(b"k", b"v")])
    urls = f"kafka://127.0.0.1:{absent};{silent};nowhere.invalid;{broker.bootstrap}"
    worker = workers.start("copies", APP_ID=app, BROKER_URL=urls).wait_ready()
    until(lambda: f"{app}-out" in kafka.topics() and len(kafka.read(f"{app}-out")) == 1, "the record to be copied")
    assert "no Kafka broker answers" not in worker.output
    assert worker.stop() == 0


@pytest.mark.once
def test_wrong_credentials_end_the_start_at_once(workers: Workers, broker: Description, names: Names) -> None:
    worker = workers.start(
        "copies",
        APP_ID=names("app"),
        BROKER_URL=f"kafka://{broker.listeners['SASL']}",
        MECHANISM="SCRAM-SHA-256",
        USERNAME=USER,
        PASSWORD="not-this-one",
    )
    assert worker.end() != 0
    assert "refuse the credentials" in worker.output
    assert "starts by itself" not in worker.output
