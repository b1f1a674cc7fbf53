"""An app that says when its first event came; started as users do, with `beltline -A start_app worker`."""

from __future__ import annotations

import os
import tempfile
import time

import beltline as bl

app = bl.App(
    os.environ["START_GROUP"],
    broker=f"kafka://{os.environ['BELTLINE_TEST_KAFKA']}",
    datadir=tempfile.mkdtemp(prefix="beltline-bench-"),
    topic_partitions=4,
    topic_replication_factor=1,
)


@app.agent(app.topic(os.environ["START_TOPIC"], value_type=dict))
async def work(stream):
    """Print the time of the first event."""
    async for _ in stream:
        print(f"first {time.monotonic()}", flush=True)
        break
