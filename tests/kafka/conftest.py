"""Brokers, topics and worker processes for tests on a real Apache Kafka.

The broker is shared by the whole test run, so every test takes names of its own: `names` gives them.
"""

from __future__ import annotations

import os
import re
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "tools"))
sys.path.insert(0, str(ROOT / "tests" / "broker"))

from endpoints import Endpoint  # noqa: E402
from kafka_broker import Cluster, Description, shared  # noqa: E402 - its room is not a package of the tests
from kafka_clients import Clients  # noqa: E402
from workers import Workers, missing_engine  # noqa: E402

#: Files whose tests take minutes each: another stream processor before and after ours.
LONG_FILES = ("test_faust.py", "test_demo.py")

#: Modules that are played on the endpoint too, but for tests marked `once`. The others need Kafka's listeners, several
#: nodes, or another program on Kafka.
ON_BOTH = (
    "test_bad_input",
    "test_exactly_once",
    "test_growing_topics",
    "test_interop",
    "test_positions",
    "test_rebalance",
    "test_start",
    "test_topics",
    "test_words",
)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark everything here, so that `-m "not kafka"` leaves it out, and what `make test-long` runs."""
    here = Path(__file__).parent
    for item in items:
        if here in item.path.parents:
            item.add_marker(pytest.mark.kafka)
            if "cluster" in getattr(item, "fixturenames", ()) or item.path.name in LONG_FILES:
                item.add_marker(pytest.mark.long)


def run_owner(config: pytest.Config) -> int:
    """Return the process that the whole test run belongs to: the one that started the workers of pytest-xdist."""
    return os.getppid() if hasattr(config, "workerinput") else os.getpid()


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """Play what needs one broker, and nothing that only Kafka has, on Kafka and on the endpoint of the local log."""
    is_on_both = metafunc.module.__name__ in ON_BOTH and metafunc.definition.get_closest_marker("once") is None
    if is_on_both and "played_on" in metafunc.fixturenames:
        metafunc.parametrize("played_on", ["kafka", "endpoint"], indirect=True, scope="session")


@pytest.fixture(scope="session")
def played_on(request: pytest.FixtureRequest) -> str:
    """Return where the test is played: ``kafka``, or ``endpoint`` for the endpoint of the local log."""
    return getattr(request, "param", "kafka")


@pytest.fixture(scope="session")
def broker(played_on: str, request: pytest.FixtureRequest, pytestconfig: pytest.Config) -> Description:
    """Return the broker of this test run, with all its listeners, or the endpoint; nobody may stop it."""
    if played_on == "endpoint":
        return Description(request.getfixturevalue("local_endpoint").address)
    return shared.description(run_owner(pytestconfig))


@pytest.fixture(scope="session")
def local_endpoint(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Endpoint]:
    """Return the endpoint of a local log in a process of its own, with sessions as short as the tests' Kafka takes."""
    made = Endpoint(tmp_path_factory.mktemp("endpoint"), endpoint_min_session_timeout=1)
    made.start()
    yield made
    made.kill()


@pytest.fixture(scope="module")
def cluster() -> Iterator[Cluster]:
    """Return three nodes of this module's own, to be killed and paused."""
    with Cluster(nodes=3) as made:
        yield made


@pytest.fixture
def names(request: pytest.FixtureRequest) -> Callable[[str], str]:
    """Return what makes names that no other test and no other run uses: ``names("orders")``."""
    test = re.sub(r"[^a-z0-9]+", "-", request.node.name.lower())[:40].strip("-")
    run = uuid4().hex[:6]
    return lambda name: f"{test}-{run}-{name}"


@pytest.fixture
def kafka(broker: Description) -> Clients:
    """Return librdkafka's own clients, as the witness of what is on the shared broker."""
    return Clients(broker.bootstrap)


@pytest.fixture
def workers(broker: Description, tmp_path: Path) -> Iterator[Workers]:
    """Return what starts worker processes of the apps in `apps/` on the shared broker; none is left behind."""
    if (reason := missing_engine()) is not None:
        pytest.skip(reason)
    with Workers(broker.url, tmp_path) as made:
        yield made


@pytest.fixture
def cluster_workers(cluster: Cluster, tmp_path: Path) -> Iterator[Workers]:
    """Return the same on the module's own cluster."""
    if (reason := missing_engine()) is not None:
        pytest.skip(reason)
    with Workers(cluster.description.url, tmp_path) as made:
        yield made


@pytest.fixture
def cluster_kafka(cluster: Cluster) -> Iterator[Clients]:
    """Return clients of the module's own cluster, whose nodes all run when the test begins and when it ends."""
    start_all(cluster)
    yield Clients(cluster.description.bootstrap)
    start_all(cluster)


def start_all(cluster: Cluster) -> None:
    """Bring every node back."""
    for node in cluster.nodes:
        node.resume()
        node.start()
    cluster.wait_ready()


def pytest_report_header() -> str | None:
    """Say which broker is used when it was given from outside."""
    given: Any = os.environ.get(shared.ADDRESS_VARIABLE)
    return f"Kafka: {given}" if given else None
