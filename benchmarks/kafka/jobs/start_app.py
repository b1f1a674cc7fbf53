"""An app that says when its first event came; started as users do, with `beltline -A start_app worker`."""

from __future__ import annotations

import os
import time

from bench_app import make_app

app = make_app(os.environ["START_GROUP"])


@app.agent(app.topic(os.environ["START_TOPIC"], value_type=dict))
async def work(stream):
    """Print the time of the first event."""
    async for _ in stream:
        print(f"first {time.monotonic()}", flush=True)
        break
