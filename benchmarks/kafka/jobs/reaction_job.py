"""beltline waiting for events that carry the time at which they were sent, and passing them on.

python reaction_job.py {at_least_once|exactly_once} TOPIC OUT COUNT
"""

from __future__ import annotations

import asyncio
import json
import sys
import time

from bench_app import make_app

GUARANTEE, TOPIC, OUT, COUNT = *sys.argv[1:4], int(sys.argv[4])

app = make_app(f"{OUT}-app", processing_guarantee=GUARANTEE, broker_commit_interval=0.1)
sent = app.topic(TOPIC, value_type=int)
passed_on = app.topic(OUT, value_type=int)
waited_ns: list[int] = []
done = asyncio.Event()


@app.agent(sent)
async def work(stream):
    """Note how long each event was on its way."""
    async for sent_ns in stream:
        waited_ns.append(time.monotonic_ns() - sent_ns)
        passed_on.send_soon(value=sent_ns)
        if len(waited_ns) == COUNT:
            done.set()


async def main() -> None:
    """Say when it is ready, wait for all events, and report."""
    await app.start()
    await app.wait_ready()
    print("ready", flush=True)
    await done.wait()
    await app.wait_idle(timeout=30)
    await app.stop()
    print(json.dumps(waited_ns), flush=True)


asyncio.run(main())
