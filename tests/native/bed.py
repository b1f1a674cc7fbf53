"""A belt in memory for tests of the native face."""

from __future__ import annotations

import asyncio

from beltline._native import Belt


class Bed:
    """A started belt in memory with one topic of two partitions."""

    def __init__(self) -> None:
        self.belt = Belt("bed", guarantee="exactly_once", commit_interval_ms=10)
        self.belt.open(directory=None)
        self.belt.declare_topic("in", 2)
        self.belt.declare_topic("changes", 2, compacted=True)
        self.started = False

    def start(self) -> None:
        """Start, once tables and subscriptions are there."""
        if not self.started:
            self.belt.start()
            self.started = True

    def send(self, *values: str, partition: int = 0) -> None:
        """Put values on the topic and wait until they are there."""
        self.start()
        for value in values:
            self.belt.send("in", value.encode(), value.encode(), partition=partition)
        self.belt.commit()

    def watch(self) -> None:
        """Have the running loop turn the belt."""
        self.start()
        loop = asyncio.get_running_loop()
        loop.add_reader(self.belt.fileno(), self.belt.turn)
