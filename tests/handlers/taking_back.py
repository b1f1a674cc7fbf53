"""An app whose events are taken back: a process beside it holds the data directory at first, and ends.

Then everything that the app was given is lost for a moment, and its open unit goes back to the last commit.
"""

from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import beltline as bl
import pytest
from beltline._native import Belt

PARTITIONS = 2


class Bench:
    """An app on a shared data directory, and the belt that holds the directory at first."""

    def __init__(self, directory: Path, caplog: pytest.LogCaptureFixture) -> None:
        self.caplog = caplog
        self.app = bl.App(
            "back",
            broker="embedded://",
            datadir=directory,
            processing_guarantee="exactly_once",
            topic_partitions=PARTITIONS,
            broker_commit_interval=0.02,
        )
        self.words = self.app.topic("words", key_type=str, value_type=str)
        self.out = self.app.topic("out", key_type=str, value_type=str)
        self.counts = self.app.Table("counts", default=int)
        #: Values of the topic `out`, by partition and offset.
        self.sent: dict[tuple[int, int], str] = {}
        self.holder = Belt("holder")
        self.holder.open(directory=str(directory), endpoint={"port": 0})
        #: Events that have begun.
        self.begun: list[str] = []
        self.go_on = asyncio.Event()
        self.go_on_in_thread = threading.Event()
        self._has_ended = False

        @self.app.on(self.out)
        def keep(word: str, partition: int, offset: int) -> None:
            self.sent[partition, offset] = word

    @asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        """Run the app."""
        try:
            async with self.app:
                yield
        finally:
            self.end_holder()

    def end_holder(self) -> None:
        """Let the belt that holds the directory end."""
        if not self._has_ended:
            self._has_ended = True
            self.holder.stop(0.0)
            del self.holder

    async def pause(self, word: str) -> None:
        """What a handler awaits in the middle of its first events."""
        self.begun.append(word)
        await self.go_on.wait()

    async def count(self, word: str) -> None:
        """Await, then write and send."""
        await self.pause(word)
        self.counts[word] += 1
        await self.out.send(key=word, value=word)

    async def take_back(self) -> None:
        """Take the events in hand back."""
        async with asyncio.timeout(20):
            while not self.begun:
                await asyncio.sleep(0.01)
            self.end_holder()
            while "lost to the group" not in self.caplog.text or len(self.counts.shards()) < PARTITIONS:
                await asyncio.sleep(0.01)
        self.go_on.set()
        self.go_on_in_thread.set()
