"""One step of `async for` across the boundary, beside one of an async generator over an `asyncio.Queue`, which is how
streams are made in plain Python: nothing is decoded, nothing is done, and everything has been fetched before. What the
loop around both costs by itself, a counter and its comparison, is taken off.
"""

from __future__ import annotations

import asyncio
import itertools
import json
import sys
import time
from collections.abc import AsyncIterator

from beltline._native import Belt, Stream

COUNT = int(sys.argv[1])
QUEUE_COUNT = COUNT // 10
QUEUE_SIZE = 1000
#: Everything is fetched before the clock starts.
ENOUGH_BYTES = 1 << 30
FETCH_BYTES = 64 << 20
FETCHING_S = 2.0


async def belt_step() -> float:
    """Return the seconds of one event with `async for` over a belt in memory."""
    belt = Belt("boundary", queue_bytes=ENOUGH_BYTES, fetch_max_bytes=FETCH_BYTES, commit_interval_ms=60_000)
    belt.open(directory=None)
    belt.declare_topic("in", 1)
    belt.start()
    for _ in range(COUNT):
        belt.send("in", None, b"")
    belt.commit()
    stream = Stream(belt.subscribe("reader", ["in"]), value_decode="none")
    until = time.perf_counter() + FETCHING_S
    while time.perf_counter() < until:
        belt.turn()
        belt.wait(0.01)
    asyncio.get_running_loop().add_reader(belt.fileno(), belt.turn)
    seen = 0
    began = time.perf_counter()
    async for _ in stream:
        seen += 1
        if seen == COUNT:
            break
    seconds = time.perf_counter() - began
    asyncio.get_running_loop().remove_reader(belt.fileno())
    belt.stop()
    return seconds / COUNT


async def queue_step() -> float:
    """Return the seconds of one item of an async generator over an `asyncio.Queue` that another task fills."""
    queue: asyncio.Queue[int] = asyncio.Queue(QUEUE_SIZE)

    async def put() -> None:
        for number in range(QUEUE_COUNT):
            await queue.put(number)

    async def items() -> AsyncIterator[int]:
        while True:
            yield await queue.get()

    putting = asyncio.create_task(put())
    seen = 0
    began = time.perf_counter()
    async for _ in items():
        seen += 1
        if seen == QUEUE_COUNT:
            break
    seconds = time.perf_counter() - began
    await putting
    return seconds / QUEUE_COUNT


def loop_step() -> float:
    """Return the seconds of one round of the loop that both go through."""
    seen = 0
    began = time.perf_counter()
    for _ in itertools.repeat(None):
        seen += 1  # noqa: SIM113 - as the loops that are measured
        if seen == COUNT:
            break
    return (time.perf_counter() - began) / COUNT


belt_s, queue_s = asyncio.run(belt_step()), asyncio.run(queue_step())
loop_s = min(loop_step() for _ in range(5))
print(json.dumps({"belt_ns": (belt_s - loop_s) * 1e9, "queue_ns": (queue_s - loop_s) * 1e9}))
