"""quixstreams on a broker, the same jobs, committing every 100 ms.

python quix_job.py {map|produce|count} {at_least_once|exactly_once} TOPIC OUT COUNT
"""

from __future__ import annotations

import os
import sys
import tempfile
from typing import Any

from meter import Meter
from quixstreams import Application, State

JOB, GUARANTEE, TOPIC, OUT, COUNT = *sys.argv[1:5], int(sys.argv[5])

app = Application(
    os.environ["BELTLINE_TEST_KAFKA"],
    consumer_group=f"{OUT}-quix",
    auto_offset_reset="earliest",
    commit_interval=0.1,
    state_dir=tempfile.mkdtemp(prefix="beltline-bench-"),
    processing_guarantee=GUARANTEE.replace("_", "-"),
    consumer_extra_config={"fetch.queue.backoff.ms": 10},
    loglevel="ERROR",
)
meter = Meter()
pieces = seen = 0
counts: dict[str, int] = {}


def see(order: dict[str, Any]) -> dict[str, Any]:
    """Note what came, and stop behind the last one."""
    global pieces, seen
    meter.begin()
    pieces += order["qty"]
    seen += 1
    if seen == COUNT:
        meter.end()
        app.stop()
    return order


def add(order: dict[str, Any], state: State) -> dict[str, Any]:
    """Count one more."""
    counts[order["account"]] = total = state.get("count", 0) + 1
    state.set("count", total)
    return order


frame = app.dataframe(app.topic(TOPIC, value_deserializer="json", key_deserializer="str"))
if JOB == "count":
    frame = frame.apply(add, stateful=True)
frame = frame.apply(see)
if JOB == "produce":
    frame = frame.apply(lambda order: {"account": order["account"], "total": order["amount"] * order["qty"]})
    frame = frame.to_topic(app.topic(OUT, value_serializer="json", key_serializer="str"))
app.run()
meter.report(COUNT, counts if JOB == "count" else {"pieces": pieces})
