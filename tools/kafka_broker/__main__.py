"""Runs a broker from the command line.

$ python tools/kafka_broker run -- cargo test -p beltline-kafka     # with BELTLINE_TEST_KAFKA=host:port set
$ python tools/kafka_broker run --nodes 3 -- sh                     # a cluster to play with
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
from pathlib import Path

if __package__ in (None, ""):
    sys.path[0] = str(Path(__file__).resolve().parents[1])

from kafka_broker import Cluster, shared
from kafka_broker.jars import BrokerError


def run(command: list[str], nodes: int, secured: bool) -> int:
    """Run a command beside a broker; returns its exit code. A broker that is there already is used."""
    if os.environ.get(shared.DESCRIPTION_VARIABLE):
        return subprocess.run(command, check=False).returncode
    with Cluster(nodes, secured=secured) as cluster:
        shared.export(cluster.description)
        return subprocess.run(command, check=False).returncode


def main() -> int:
    """Read the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    commands = parser.add_subparsers(dest="command", required=True)
    runner = commands.add_parser("run", help="run a command beside a broker")
    runner.add_argument("--nodes", type=int, default=1, help="brokers; more than one have plain listeners only")
    runner.add_argument("arguments", nargs="+", help="the command, after --")
    keeper = commands.add_parser("keep", help="what a test run starts by itself")
    keeper.add_argument("file", type=Path)
    keeper.add_argument("owner", type=int)
    given = parser.parse_args()
    try:
        if given.command == "keep":
            shared.keep(given.file, given.owner)
            return 0
        return run(given.arguments, given.nodes, secured=given.nodes == 1)
    except BrokerError as error:
        sys.exit(f"kafka_broker: {error}")


if __name__ == "__main__":
    sys.exit(main())
