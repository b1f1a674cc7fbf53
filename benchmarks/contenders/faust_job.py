"""faust-streaming's own pipeline from its conductor to its table; only the Kafka client is replaced by one that answers
at once, so what is measured is Faust and nothing else.
"""

from __future__ import annotations

import asyncio
import sys
import time
from pathlib import Path

import faust
from faust.transport.conductor import ConductorCompiler
from faust.types import TP, Message
from faust.types.tuples import RecordMetadata

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
import events

COUNT = int(sys.argv[1])


class Order(faust.Record, serializer="json"):
    """An order."""

    account: str
    amount: float
    country: str
    order_id: str
    ts: int
    qty: int


class AnsweringProducer:
    """Takes changelog records and says that they are written."""

    class buffer:
        """Is never full."""

        pending = None

        @staticmethod
        async def wait_until_ebb() -> None:
            """Return at once."""

    def __init__(self) -> None:
        self.queue: asyncio.Queue = asyncio.Queue()
        self.written = 0

    async def maybe_start(self) -> None:
        """Nothing to start."""

    def send_soon(self, future) -> None:
        """Queue a record."""
        self.queue.put_nowait(future)

    def key_partition(self, topic, key, partition=None):
        """All keys in one partition."""
        return TP(topic, 0)

    async def send(self, topic, key, value, partition=None, timestamp=None, headers=None, **_):
        """Say that a record is written."""
        self.written += 1
        future = asyncio.get_running_loop().create_future()
        future.set_result(RecordMetadata(topic, 0, TP(topic, 0), self.written))
        return future

    async def publish(self) -> None:
        """Hand queued records to `send`, as Faust's buffer does."""
        while True:
            future = await self.queue.get()
            await future.message.channel.publish_message(future, wait=False)


class AcceptingConsumer:
    """Accepts acknowledgements."""

    transactions = None
    enable_auto_commit = False

    def on_buffer_full(self, tp) -> None:
        """Nothing to pause."""

    def on_buffer_drop(self, tp) -> None:
        """Nothing to resume."""

    def ack(self, message) -> bool:
        """Accept."""
        message.acked = True
        return True

    def track_message(self, message) -> None:
        """Nothing to track."""


async def main() -> None:
    """Count, and report."""
    app = faust.App("bench", broker="kafka://localhost:1", store="memory://", autodiscover=False, topic_partitions=8)
    producer = AnsweringProducer()
    app._producer = producer
    app.__dict__["producer"], app.__dict__["consumer"] = producer, AcceptingConsumer()
    app.flow_control.resume()
    topic = app.topic("orders", value_type=Order, value_serializer="json")
    stream = app.stream(topic)
    counts = app.Table("counts", default=int, partitions=8)
    tp = TP("orders", 0)
    deliver = ConductorCompiler().build(app.topics, tp, {stream.channel})
    lines = list(events.lines(COUNT))

    async def feed() -> None:
        for offset, line in enumerate(lines):
            generation = app.consumer_generation_id
            await deliver(Message("orders", 0, offset, 1.7e9, 0, None, None, line, None, tp, generation_id=generation))

    publishing, feeding = asyncio.create_task(producer.publish()), asyncio.create_task(feed())
    seen = 0
    began = time.perf_counter()
    async for order in stream:
        counts[order.account] += 1
        seen += 1
        if seen == COUNT:
            break
    await feeding
    while producer.written < COUNT:
        await asyncio.sleep(0)
    seconds = time.perf_counter() - began
    publishing.cancel()
    events.report(COUNT, seconds, dict(counts.data))


asyncio.run(main())
