"""A real Apache Kafka for tests, demos and benchmarks: fetched once, started on free ports, gone when its owner is.

Needs Java 17, Maven and openssl, and nothing from PyPI. Three ways to have one:

- `Cluster(nodes=3)` as a context manager: brokers of one's own, to be killed and paused at will.
- `shared.description()`: the one broker of a whole test run, also under pytest-xdist.
- `python tools/kafka_broker run -- COMMAND`: a command with `BELTLINE_TEST_KAFKA=host:port` in its environment.
"""

from __future__ import annotations

from .cluster import Cluster
from .description import Description
from .node import Node

__all__ = ["Cluster", "Description", "Node"]
