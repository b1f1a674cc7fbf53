"""faust-streaming on a broker, the same jobs; it ends itself when it has seen everything.

python faust_job.py {map|produce|count} at_least_once TOPIC OUT COUNT
"""

from __future__ import annotations

import asyncio
import os
import sys
import tempfile

import faust
from meter import Meter

JOB, _, TOPIC, OUT, COUNT = *sys.argv[1:5], int(sys.argv[5])

app = faust.App(
    f"{OUT}-faust",
    broker=f"kafka://{os.environ['BELTLINE_TEST_KAFKA']}",
    store="memory://",
    datadir=tempfile.mkdtemp(prefix="beltline-bench-"),
    topic_partitions=4,
    topic_replication_factor=1,
    consumer_auto_offset_reset="earliest",
    web_enabled=False,
    autodiscover=False,
)


class Order(faust.Record, serializer="json"):
    """An order."""

    account: str
    amount: float
    country: str
    order_id: str
    ts: int
    qty: int


class Sum(faust.Record, serializer="json"):
    """What an order comes to."""

    account: str
    total: float


orders = app.topic(TOPIC, value_type=Order, key_type=bytes, key_serializer="raw")
sums = app.topic(OUT, value_type=Sum)
counts = app.Table("counts", default=int, partitions=4) if JOB == "count" else None
meter = Meter()
pieces = seen = 0
done = asyncio.Event()


@app.agent(orders)
async def work(stream):
    """Do the job, and note when the first event came and when the last one was done."""
    global pieces, seen
    async for order in stream:
        if not seen:
            meter.begin()
        if JOB == "count":
            counts[order.account] += 1
        elif JOB == "produce":
            await sums.send(key=order.account, value=Sum(account=order.account, total=order.amount * order.qty))
        pieces += order.qty
        seen += 1
        if seen == COUNT:
            meter.end()
            done.set()


async def main() -> None:
    """Work until everything was seen, and report."""
    await app.start()
    await done.wait()
    totals = dict(counts.data) if JOB == "count" else {"pieces": pieces}
    await app.producer.flush()
    meter.report(COUNT, totals)
    os._exit(0)


asyncio.new_event_loop().run_until_complete(main())
