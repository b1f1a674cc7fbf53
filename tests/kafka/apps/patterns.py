"""Reads what a pattern matches and prints it; counts in a table if it is told to; more agents come on demand."""

from __future__ import annotations

import os

import beltline as faust

APP_ID = os.environ["APP_ID"]

app = faust.App(APP_ID, topic_partitions=2, processing_guarantee=os.environ.get("GUARANTEE", "exactly_once"))
RAW = {"key_type": bytes, "value_type": bytes, "key_serializer": "raw", "value_serializer": "raw"}
pattern, names = os.environ.get("PATTERN"), os.environ.get("NAMES")
given = app.topic(pattern=pattern, **RAW) if pattern else app.topic(*names.split(","), **RAW)
counts = app.Table("counts", key_type=bytes, value_type=int, default=int) if "TABLE" in os.environ else None


@app.agent(given)
async def read(stream):
    """Print where each record was, and count it."""
    async for event in stream.events():
        message = event.message
        print("read", message.topic, message.partition, message.value.decode(), flush=True)
        if counts is not None:
            counts[message.key] += 1
        if message.value == b"another":
            late()


def late():
    """Read one more topic, from now on."""

    @app.agent(app.topic(f"{APP_ID}-late", **RAW))
    async def read_late(stream):
        async for event in stream.events():
            print("late", event.value.decode(), flush=True)


@app.task
async def begun():
    """Say so."""
    print("the app runs", flush=True)


if __name__ == "__main__":
    app.main()
