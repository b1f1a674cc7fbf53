"""Passes numbered steps on, key by key, and counts them in a table: what is lost, doubled or out of order shows."""

from __future__ import annotations

import os

import beltline as faust

APP_ID = os.environ["APP_ID"]

app = faust.App(APP_ID, topic_partitions=int(os.environ.get("PARTITIONS", "4")))


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


@app.agent(steps)
async def follow(stream):
    """Count and pass on."""
    async for step in stream:
        counts[step.key] += 1
        count = counts[step.key]
        await taken.send(key=step.key, value=Taken(step.key, step.n, count, os.environ.get("WORKER", "")))


@app.task
async def begun():
    """Say so."""
    print("the app runs", flush=True)


if __name__ == "__main__":
    app.main()
