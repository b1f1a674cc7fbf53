"""Takes numbers, many at a time, some of them filtered out, some of them nothing; may hold one for ever."""

from __future__ import annotations

import asyncio
import os

import beltline as faust

APP_ID = os.environ["APP_ID"]

#: The value at which the handler waits and never ends, as one that was killed in the middle.
STUCK = os.environ.get("STUCK", "")

app = faust.App(APP_ID, topic_partitions=1)
numbers = app.topic(f"{APP_ID}-in", key_type=bytes, value_type=bytes, value_serializer="raw", allow_empty=True)


@app.agent(numbers, concurrency=int(os.environ.get("CONCURRENCY", "1")))
async def take(stream):
    """Take all but the odd ones."""
    async for event in stream.filter(is_wanted).events():
        value = (event.value or b"nothing").decode()
        print("begins", value, flush=True)
        if value == STUCK:
            await asyncio.sleep(3600)
        await asyncio.sleep(0)
        print("ends", value, flush=True)


def is_wanted(value):
    """Whether it is nothing, or even."""
    return not value or int(value) % 2 == 0


@app.task
async def begun():
    """Say so."""
    print("the app runs", flush=True)


if __name__ == "__main__":
    app.main()
