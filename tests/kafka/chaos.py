"""The long play: `make chaos`, or `python tests/kafka/chaos.py --cycles 200 --seed 7`.

A failure names the seed; the same seed plays the same way, as far as processes can.
"""

from __future__ import annotations

import argparse
import random
import sys
import tempfile
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "tools"))

from churn import Churn
from kafka_broker import Cluster
from kafka_clients import Clients
from workers import Workers, missing_engine


def play(guarantee: str, cycles: int, seed: int, *, with_brokers: bool) -> None:
    """Play once, on a cluster of its own."""
    with Cluster(nodes=3) as cluster, tempfile.TemporaryDirectory(prefix="beltline-chaos-") as folder:
        kafka = Clients(cluster.description.bootstrap)
        with Workers(cluster.description.url, Path(folder)) as workers:
            broken = cluster if with_brokers else None
            try:
                Churn(workers, kafka, f"chaos-{seed}", guarantee=guarantee, seed=seed, cluster=broken).play(cycles)
            except BaseException:
                kept = Path(tempfile.mkdtemp(prefix=f"beltline-chaos-{seed}-"))
                for number, worker in enumerate(workers.started):
                    (kept / f"{number:03}-{worker.name.replace('/', '-')}.log").write_text(worker.output)
                print(f"failed with --seed {seed} --guarantee {guarantee}; what the workers said is in {kept}")
                raise


def main() -> int:
    """Read the command line and play."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--cycles", type=int, default=200)
    parser.add_argument("--seed", type=int, default=random.SystemRandom().randrange(1 << 32))
    parser.add_argument("--guarantee", choices=["exactly_once", "at_least_once"], action="append")
    parser.add_argument("--spare-brokers", action="store_true", help="disturb workers only")
    given = parser.parse_args()
    if (reason := missing_engine()) is not None:
        sys.exit(reason)
    began = time.monotonic()
    for guarantee in given.guarantee or ["exactly_once", "at_least_once"]:
        play(guarantee, given.cycles, given.seed, with_brokers=not given.spare_brokers)
    print(f"clean: {given.cycles} cycles with seed {given.seed}, {(time.monotonic() - began) / 60:.0f} minutes")
    return 0


if __name__ == "__main__":
    sys.exit(main())
