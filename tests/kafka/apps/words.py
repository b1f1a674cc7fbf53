"""Word count over a repartition topic, the same program for beltline and for Faust, whichever is installed."""

from __future__ import annotations

import os

try:
    import beltline as faust
except ImportError:
    import faust

APP_ID = os.environ["APP_ID"]
PARTITIONS = int(os.environ.get("PARTITIONS", "4"))

app = faust.App(
    APP_ID,
    broker=os.environ["BROKER_URL"],
    topic_partitions=PARTITIONS,
    origin=None,
    autodiscover=False,
)


class Word(faust.Record):
    """One word of a line."""

    word: str


lines = app.topic(f"{APP_ID}-lines", value_type=str)
words = app.topic(f"{APP_ID}-words", value_type=Word, partitions=PARTITIONS)
counted = app.topic(f"{APP_ID}-counted", key_type=str, value_type=int, partitions=PARTITIONS)
counts = app.Table("counts", default=int, partitions=PARTITIONS, help="Occurrences by word.")


@app.agent(lines, name="split")
async def split(stream):
    """Make words of lines."""
    async for line in stream:
        for word in line.split():
            await words.send(value=Word(word=word))


@app.agent(words, name="count")
async def count(stream):
    """Count the words, each where its key belongs."""
    async for one in stream.group_by(Word.word):
        counts[one.word] += 1
        await counted.send(key=one.word, value=counts[one.word])


@app.task
async def begun():
    """Say so."""
    print("the app runs", flush=True)


if __name__ == "__main__":
    app.main()
