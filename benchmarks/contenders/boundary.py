"""One step across the boundary, beside one step of an `asyncio.Queue`: nothing is decoded, nothing is done."""

from __future__ import annotations

import asyncio
import json
import sys
import time

from beltline._native import Belt, Stream

COUNT = int(sys.argv[1])
QUEUE_COUNT = COUNT // 10


async def belt_step() -> float:
    """Return the seconds of one event with `async for` over a belt in memory."""
    belt = Belt("boundary")
    belt.open(directory=None)
    belt.declare_topic("in", 1)
    belt.start()
    for _ in range(COUNT):
        belt.send("in", None, b"")
    belt.commit()
    stream = Stream(belt.subscribe("reader", ["in"]), value_decode="none")
    belt.wait(1.0)
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
    """Return the seconds of one item through an `asyncio.Queue` between two tasks."""
    queue: asyncio.Queue[int] = asyncio.Queue(1000)

    async def put() -> None:
        for number in range(QUEUE_COUNT):
            await queue.put(number)

    putting = asyncio.create_task(put())
    began = time.perf_counter()
    for _ in range(QUEUE_COUNT):
        await queue.get()
    seconds = time.perf_counter() - began
    await putting
    return seconds / QUEUE_COUNT


belt_s, queue_s = asyncio.run(belt_step()), asyncio.run(queue_step())
print(json.dumps({"belt_ns": belt_s * 1e9, "queue_ns": queue_s * 1e9}))
