"""Resident memory while a slow handler works through a log that is much larger than any queue.

python memory.py DIRECTORY COUNT
"""

from __future__ import annotations

import asyncio
import json
import os
import sys
import time
from pathlib import Path

import beltline as bl

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
import events

DIRECTORY, COUNT = sys.argv[1], int(sys.argv[2])
LOOKS = 10
#: The handler sleeps so long after every thousandth event.
NAP_S = 0.001

app = bl.App("bench-memory", datadir=DIRECTORY, topic_partitions=4)
counts = app.Table("counts", default=int)
resident: list[int] = []


def resident_bytes() -> int:
    """Return the bytes of this process that are in memory."""
    return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")


@app.agent(app.topic("orders", value_serializer="raw", value_type=bytes))
async def slow(orders):
    """Count, and be slow."""
    seen = 0
    async for _ in orders:
        seen += 1
        if seen % 1000 == 0:
            counts["all"] += 1000
            time.sleep(NAP_S)
        if seen % (COUNT // LOOKS) == 0:
            resident.append(resident_bytes())


async def main() -> None:
    """Fill the log, work through it, report."""
    await app.start()
    await app.wait_ready()
    some = list(events.lines(10_000))
    for number in range(COUNT):
        await app.session.send("orders", None, some[number % len(some)])
    await app.wait_idle(timeout=3600)
    await app.stop()
    print(json.dumps({"resident_mib": [bytes_ >> 20 for bytes_ in resident]}))


asyncio.run(main())
