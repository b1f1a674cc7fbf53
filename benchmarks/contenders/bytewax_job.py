"""bytewax from memory: decode, key, count; no recovery."""

from __future__ import annotations

import json
import sys
import time
from pathlib import Path

import bytewax.operators as op
from bytewax.dataflow import Dataflow
from bytewax.testing import TestingSink, TestingSource, run_main

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
import events

COUNT = int(sys.argv[1])


def add(state: int | None, _: dict) -> tuple[int, int]:
    """Count one more."""
    state = (state or 0) + 1
    return state, state


found: list[tuple[str, int]] = []
lines = list(events.lines(COUNT))
flow = Dataflow("bench")
stream = op.input("in", flow, TestingSource(lines, batch_size=1000))
decoded = op.map("decode", stream, json.loads)
keyed = op.key_on("key", decoded, lambda order: order["account"])
counted = op.stateful_map("count", keyed, add)
op.output("out", counted, TestingSink(found))
began = time.perf_counter()
run_main(flow)
seconds = time.perf_counter() - began
events.report(COUNT, seconds, dict(found))
