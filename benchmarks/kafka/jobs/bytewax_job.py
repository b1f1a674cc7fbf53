"""bytewax on a broker, the same jobs. It joins no group: positions and counts go into files of its own every 100 ms.

python bytewax_job.py {map|produce|count} at_least_once TOPIC OUT COUNT
"""

from __future__ import annotations

import os
import sys
import tempfile
from datetime import timedelta
from pathlib import Path
from typing import Any

import bytewax.operators as op
import orjson
from bytewax.connectors.kafka import KafkaSink, KafkaSinkMessage, KafkaSource, KafkaSourceMessage
from bytewax.dataflow import Dataflow
from bytewax.recovery import RecoveryConfig, init_db_dir
from bytewax.testing import run_main
from meter import Meter

JOB, _, TOPIC, OUT, COUNT = *sys.argv[1:5], int(sys.argv[5])
SERVERS = [os.environ["BELTLINE_TEST_KAFKA"]]

meter = Meter()
pieces = seen = 0
counts: dict[str, int] = {}


def see(message: KafkaSourceMessage) -> dict[str, Any]:
    """Decode, and note what came."""
    global pieces, seen
    meter.begin()
    order: dict[str, Any] = orjson.loads(message.value)
    pieces += order["qty"]
    seen += 1
    return order


def total(order: dict[str, Any]) -> KafkaSinkMessage[bytes, bytes]:
    """Make the smaller record."""
    value = {"account": order["account"], "total": order["amount"] * order["qty"]}
    return KafkaSinkMessage(order["account"].encode(), orjson.dumps(value))


def add(state: int | None, order: dict[str, Any]) -> tuple[int, int]:
    """Count one more."""
    counts[order["account"]] = state = (state or 0) + 1
    return state, state


flow = Dataflow("bench")
source = KafkaSource(SERVERS, [TOPIC], tail=False, batch_size=10_000, add_config={"fetch.queue.backoff.ms": "10"})
orders = op.map("decode", op.input("in", flow, source), see)
if JOB == "produce":
    sink = KafkaSink(SERVERS, OUT, add_config={"partitioner": "murmur2_random", "linger.ms": "5"})
    op.output("out", op.map("total", orders, total), sink)
elif JOB == "count":
    counted = op.stateful_map("count", op.key_on("key", orders, lambda order: order["account"]), add)
    nothing = op.filter("nothing", counted, lambda _: False)
    op.output("out", nothing, KafkaSink(SERVERS, OUT))
else:
    nothing = op.filter("nothing", orders, lambda _: False)
    op.output("out", nothing, KafkaSink(SERVERS, OUT))

folder = Path(tempfile.mkdtemp(prefix="beltline-bench-"))
init_db_dir(folder, 1)
run_main(flow, epoch_interval=timedelta(seconds=0.1), recovery_config=RecoveryConfig(folder))
meter.end()
assert seen == COUNT, f"{seen} of {COUNT} events"
meter.report(COUNT, counts if JOB == "count" else {"pieces": pieces})
