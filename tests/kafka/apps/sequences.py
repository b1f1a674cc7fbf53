"""Passes numbered steps on, key by key, and counts them in a table: what is lost, doubled or out of order shows."""

from __future__ import annotations

import asyncio
import itertools
import os

import beltline as faust

APP_ID = os.environ["APP_ID"]

PARTITIONS = int(os.environ.get("PARTITIONS", "4"))

#: Seconds that one step of so many awaits between what it reads and what it writes.
PAUSE_S = float(os.environ.get("PAUSE_S", "0"))
PAUSE_EVERY = 50

#: Seconds between two notes, which no event sends; none without.
NOTE_EVERY_S = float(os.environ.get("NOTE_EVERY_S", "0"))

#: While a file of this name is there, steps await in the middle.
HOLD = os.environ.get("HOLD")

app = faust.App(APP_ID, topic_partitions=PARTITIONS)


class Step(faust.Record):
    """The n-th of its key, from 1."""

    key: str
    n: int


class Taken(faust.Record):
    """A step that was taken, and how many the table had counted then."""

    key: str
    n: int
    count: int
    worker: str


steps = app.topic(f"{APP_ID}-in", key_type=str, value_type=Step)
taken = app.topic(f"{APP_ID}-out", key_type=str, value_type=Taken)
counts = app.Table("counts", default=int)
notes = app.topic(f"{APP_ID}-notes", key_type=str, value_type=int)


@app.agent(steps)
async def follow(stream):
    """Count and pass on."""
    async for step in stream:
        count = counts[step.key] + 1
        await pause(step)
        counts[step.key] = count
        await taken.send(key=step.key, value=Taken(step.key, step.n, count, os.environ.get("WORKER", "")))


async def pause(step):
    """Await in the middle of a step, whose partition may be lost and come back meanwhile."""
    if PAUSE_S and step.n % PAUSE_EVERY == 0:
        await asyncio.sleep(PAUSE_S)
    if HOLD and os.path.exists(HOLD):
        print("held", flush=True)
        while os.path.exists(HOLD) or len(counts.shards()) < PARTITIONS:
            await asyncio.sleep(0.02)


if NOTE_EVERY_S:
    numbers = itertools.count(1)

    @app.timer(NOTE_EVERY_S)
    async def note():
        """Send the next number of this worker."""
        await notes.send(key=os.environ["WORKER"], value=next(numbers))


@app.task
async def begun():
    """Say so."""
    print("the app runs", flush=True)


if __name__ == "__main__":
    app.main()
