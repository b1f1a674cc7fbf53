"""beltline on a broker: consume and map, map and produce, or count per key with a changelog.

python beltline_job.py {map|produce|count} {at_least_once|exactly_once} TOPIC OUT COUNT
"""

from __future__ import annotations

import asyncio
import sys
import time

import beltline as bl
from bench_app import make_app
from meter import Meter

JOB, GUARANTEE, TOPIC, OUT, COUNT = *sys.argv[1:5], int(sys.argv[5])
#: Longer than any run takes.
PATIENCE_S = 200
LOOK_S = 0.005

app = make_app(f"{OUT}-app", processing_guarantee=GUARANTEE, broker_commit_interval=0.1)


class Order(bl.Record):
    """An order."""

    account: str
    amount: float
    country: str
    order_id: str
    ts: int
    qty: int


class Sum(bl.Record):
    """What an order comes to."""

    account: str
    total: float


orders = app.topic(TOPIC, value_type=Order)
sums = app.topic(OUT, value_type=Sum)
counts = app.Table("counts", default=int) if JOB == "count" else None
meter = Meter()
pieces = seen = 0


@app.agent(orders)
async def work(stream):
    """Do the job, and note when the first event came."""
    global pieces, seen
    counts_them, sends = JOB == "count", JOB == "produce"
    async for order in stream:
        if not seen:
            meter.begin()
        if counts_them:
            counts[order.account] += 1
        elif sends:
            sums.send_soon(key=order.account, value=Sum(account=order.account, total=order.amount * order.qty))
        pieces += order.qty
        seen += 1


async def main() -> None:
    """Work until everything is done and committed, and report."""
    await app.start()
    await app.wait_ready()
    # Not `wait_idle` from the start: it commits as often as it can, and commits are to be 100 ms apart.
    deadline = time.monotonic() + PATIENCE_S
    while seen < COUNT and time.monotonic() < deadline:
        await asyncio.sleep(LOOK_S)
    await app.wait_idle(timeout=PATIENCE_S)
    meter.end()
    totals = {"pieces": pieces} if counts is None else dict(counts.items())
    await app.stop()
    meter.report(COUNT, totals)


asyncio.run(main())
