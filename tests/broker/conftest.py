"""Endpoints for tests, and names that no two tests share."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from pathlib import Path
from uuid import uuid4

import pytest

pytest.importorskip("confluent_kafka")

from endpoints import Clients, Endpoint


def running(directory: Path) -> Iterator[Endpoint]:
    made = Endpoint(directory)
    made.start()
    try:
        yield made
    finally:
        made.kill()


@pytest.fixture(scope="module")
def endpoint(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Endpoint]:
    """Return an endpoint that the tests of a module share."""
    yield from running(tmp_path_factory.mktemp("endpoint"))


@pytest.fixture
def own_endpoint(tmp_path: Path) -> Iterator[Endpoint]:
    """Return an endpoint to be killed."""
    yield from running(tmp_path)


@pytest.fixture
def clients(endpoint: Endpoint) -> Clients:
    """Return a witness on the shared endpoint."""
    return endpoint.clients()


@pytest.fixture
def names(request: pytest.FixtureRequest) -> Callable[[str], str]:
    """Return what makes names that no other test uses."""
    test = re.sub(r"[^a-z0-9]+", "-", request.node.name.lower())[:40].strip("-")
    run = uuid4().hex[:6]
    return lambda name: f"{test}-{run}-{name}"
