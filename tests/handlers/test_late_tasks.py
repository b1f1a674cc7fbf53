"""Tasks that handlers make: part of their event until it is over, and of no event afterwards."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

import beltline as bl
import pytest

Late = Callable[[], Awaitable[None]]


class Bench:
    """An app whose handler makes a task in its first event, and is then in the middle of one of another partition."""

    def __init__(self) -> None:
        self.app = bl.App("late", broker="memory://", topic_partitions=2)
        self.words = self.app.topic("words", key_type=str, value_type=str)
        self.out = self.app.topic("out", key_type=str, value_type=str)
        self.counts = self.app.Table("counts", default=int)
        self.task: asyncio.Task[None] | None = None
        self.is_in_second = asyncio.Event()
        self.go_on = asyncio.Event()

    async def handle(self, word: str, late: Late) -> None:
        """Work on an event: the first one leaves a task behind, the second one waits."""
        if word == "first":
            self.task = asyncio.create_task(self.after_the_event(late))
        else:
            self.is_in_second.set()
            await self.go_on.wait()

    async def after_the_event(self, late: Late) -> None:
        """Do something when the event is over, and its handler in the middle of the next one."""
        await self.is_in_second.wait()
        await late()

    async def run(self) -> None:
        """Run the two events, and the task in between."""
        async with self.app:
            await self.words.send(key="k", value="first", partition=0)
            await self.app.wait_idle()
            assert self.task is not None
            await self.words.send(key="k", value="second", partition=1)
            try:
                async with asyncio.timeout(20):
                    await self.task
            finally:
                self.go_on.set()
            await self.app.wait_idle()


def as_handler(bench: Bench, late: Late) -> None:
    @bench.app.on(bench.words)
    async def handle(word: str) -> None:
        await bench.handle(word, late)


def as_agent(bench: Bench, late: Late) -> None:
    @bench.app.agent(bench.words)
    async def follow(stream: Any) -> None:
        async for word in stream:
            await bench.handle(word, late)


@pytest.fixture
async def bench() -> AsyncIterator[Bench]:
    made = Bench()
    yield made
    made.go_on.set()


WAYS = pytest.mark.parametrize("consume", [as_handler, as_agent])


@WAYS
async def test_a_late_task_writes_to_no_partition_of_another_event(
    bench: Bench, consume: Callable[[Bench, Late], None]
) -> None:
    async def late() -> None:
        assert bl.current_event() is None
        with pytest.raises(TypeError, match="outside of an event"):
            bench.counts["k"] += 1

    consume(bench, late)
    await bench.run()
    assert dict(bench.counts.items()) == {}


@WAYS
async def test_what_a_late_task_sends_counts_like_what_a_timer_sends(
    bench: Bench, consume: Callable[[Bench, Late], None]
) -> None:
    seen: list[str] = []
    bench.app.on(bench.out)(seen.append)

    async def late() -> None:
        # Awaited: nothing holds it up but the commit, which waits for no event of this task's.
        bench.go_on.set()
        await (await bench.out.send(key="k", value="late"))

    consume(bench, late)
    await bench.run()
    assert seen == ["late"]


async def test_tasks_of_tasks_are_part_of_the_event_while_it_lasts(bench: Bench) -> None:
    async def write(word: str) -> None:
        bench.counts[word] += 1

    async def write_in_a_task(word: str) -> None:
        await asyncio.create_task(write(word))

    @bench.app.on(bench.words)
    async def handle(word: str) -> None:
        async with asyncio.TaskGroup() as group:
            group.create_task(write_in_a_task(word))
            group.create_task(write_in_a_task(word))
        await asyncio.gather(write(word), write(word))

    async with bench.app:
        for partition in range(2):
            await bench.words.send(key="k", value="word", partition=partition)
        await bench.app.wait_idle()
        assert [bench.counts.get_in(partition, "word") for partition in range(2)] == [4, 4]


async def test_the_loop_keeps_the_task_factory_it_had() -> None:
    made: list[str] = []

    def factory(loop: asyncio.AbstractEventLoop, coroutine: Any) -> asyncio.Task[Any]:
        made.append(coroutine.__name__)
        return asyncio.Task(coroutine, loop=loop)

    asyncio.get_running_loop().set_task_factory(factory)  # type: ignore[arg-type]
    bench = Bench()

    async def late() -> None:
        made.append("late")

    as_handler(bench, late)
    await bench.run()
    assert "after_the_event" in made
    assert made[-1] != "after_the_event"
