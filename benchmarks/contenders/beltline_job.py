"""beltline from its log on disk: decode, count in a table, changelog, commit.

python beltline_job.py load DIRECTORY COUNT
python beltline_job.py {agent|on|dict} DIRECTORY COUNT
"""

from __future__ import annotations

import asyncio
import sys
import time
from pathlib import Path

import beltline as bl

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
import events

MODE, DIRECTORY, COUNT = sys.argv[1], sys.argv[2], int(sys.argv[3])

# Each way to write the handler is an app of its own, so each reads the log from its beginning.
app = bl.App(f"bench-{MODE}", datadir=DIRECTORY, topic_partitions=4)


class Order(bl.Record):
    """An order."""

    account: str
    amount: float
    country: str
    order_id: str
    ts: int
    qty: int


orders = app.topic("orders", value_type=None if MODE == "dict" else Order)
counts = app.Table("counts", default=int)
moments: dict[str, float] = {}


async def count_in_stream(stream):
    """Count with `async for`."""
    async for order in stream:
        counts[order.account] += 1


def count_one(order):
    """Count one order."""
    counts[order.account] += 1


async def count_dicts(stream):
    """Count orders that are dicts."""
    async for order in stream:
        counts[order["account"]] += 1


if MODE == "agent":
    app.agent(orders)(count_in_stream)
elif MODE == "on":
    app.on(orders)(count_one)
elif MODE == "dict":
    app.agent(orders)(count_dicts)


async def load() -> None:
    """Send the orders, keyed by their account, so that one account is in one partition."""
    await app.start()
    await app.wait_ready()
    lines = list(events.lines(COUNT))
    send = app.session.send
    began = time.perf_counter()
    for line in lines:
        await send("orders", line[12 : line.index(b'"', 12)], line)
    await app.wait_idle()
    events.report(COUNT, time.perf_counter() - began, {})
    await app.stop()


async def work() -> None:
    """Process everything and report."""
    began = time.perf_counter()
    await app.start()
    await app.wait_ready()
    await app.wait_idle(timeout=600)
    seconds = time.perf_counter() - began
    totals = dict(counts.items())
    await app.stop()
    events.report(COUNT, seconds, totals)


asyncio.run(load() if MODE == "load" else work())
