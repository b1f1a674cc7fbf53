"""A handler awaits while its event is taken back: what it does then is refused, and totals stay exact.

The app shares its data directory with a belt that holds it. When that one ends, everything that the app was given is
lost for a moment, and its open unit goes back to the last commit.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Callable
from typing import Any

import beltline as bl
import pytest
from beltline.exceptions import EventTakenBack
from taking_back import PARTITIONS, Bench

WORDS = ["a", "b", "c", "d", "e"]


def plain(bench: Bench) -> None:
    @bench.app.on(bench.words)
    async def handle(word: str) -> None:
        await bench.count(word)


def several_at_once(bench: Bench) -> None:
    @bench.app.on(bench.words, concurrency=2)
    async def handle(word: str) -> None:
        await bench.count(word)


def returned(bench: Bench) -> None:
    @bench.app.on(bench.words, to=bench.out)
    async def handle(word: str) -> str:
        await bench.pause(word)
        return word

    count_by_plain_loop(bench)


def count_by_plain_loop(bench: Bench) -> None:
    """Another reader counts, so that there is something to compare with."""

    @bench.app.on(bench.words)
    def count(word: str) -> None:
        bench.counts[word] += 1


def written_only(bench: Bench) -> None:
    @bench.app.on(bench.words, to=bench.out)
    async def handle(word: str) -> str:
        before = bench.counts[word]
        await bench.pause(word)
        bench.counts.update({word: before + 1})
        return word


def sent_soon(bench: Bench) -> None:
    @bench.app.on(bench.words)
    async def handle(word: str) -> None:
        await bench.pause(word)
        bench.out.send_soon(key=word, value=word)
        bench.counts[word] += 1


def caught(bench: Bench) -> None:
    @bench.app.on(bench.words)
    async def handle(word: str) -> None:
        try:
            await bench.count(word)
        except Exception:
            pytest.fail("what the handler does is refused, and that is no error of its own")


def in_tasks_of_its_own(bench: Bench) -> None:
    @bench.app.on(bench.words)
    async def handle(word: str) -> None:
        async with asyncio.TaskGroup() as group:
            group.create_task(bench.count(word))


def failed(bench: Bench) -> None:
    @bench.app.on(bench.words, on_error=bl.dead_letter("out"))
    async def handle(word: str) -> None:
        was_first = not bench.go_on.is_set()
        await bench.pause(word)
        if was_first:
            raise ValueError("this run counts for nothing, nor does its error")
        await bench.count(word)


def retried(bench: Bench) -> None:
    @bench.app.on(bench.words, batch=10, within=0.01, on_error=bl.retry(3, 0.2, then="fail"))
    async def handle(words: list[str]) -> None:
        if not bench.go_on.is_set():
            bench.begun.extend(words)
            raise ValueError("events are taken back before the next run")
        for word in words:
            await bench.count(word)


def in_lists(bench: Bench) -> None:
    @bench.app.on(bench.words, batch=10, within=0.01)
    async def handle(words: list[str]) -> None:
        for word in words:
            await bench.count(word)


def in_threads(bench: Bench) -> None:
    @bench.app.on(bench.words, threads=2, to=bench.out)
    def handle(word: str) -> str:
        bench.begun.append(word)
        bench.go_on_in_thread.wait(20)
        return word

    count_by_plain_loop(bench)


def sent_from_threads(bench: Bench) -> None:
    @bench.app.on(bench.words, threads=2)
    def handle(word: str) -> None:
        bench.begun.append(word)
        bench.go_on_in_thread.wait(20)
        bench.out.send_soon(key=word, value=word)

    count_by_plain_loop(bench)


def agent(bench: Bench) -> None:
    @bench.app.agent(bench.words)
    async def follow(stream: Any) -> None:
        async for word in stream:
            await bench.count(word)


def agents(bench: Bench) -> None:
    @bench.app.agent(bench.words, concurrency=2, sink=[bench.out])
    async def follow(stream: Any) -> AsyncIterator[str]:
        async for word in stream:
            await bench.pause(word)
            bench.counts[word] += 1
            yield word


def agent_of_lists(bench: Bench) -> None:
    @bench.app.agent(bench.words)
    async def follow(stream: Any) -> None:
        async for events in stream.take_events(10, within=0.01):
            for event in events:
                stream.current_partition = event.message.partition
                await bench.count(event.value)


def grouped(bench: Bench) -> None:
    async def key(word: str) -> str:
        await bench.pause(word)
        return word

    @bench.app.agent(bench.words)
    async def follow(stream: Any) -> None:
        async for word in stream.group_by(key, name="word", partitions=PARTITIONS):
            await bench.count(word)


WAYS = [
    plain,
    several_at_once,
    returned,
    written_only,
    sent_soon,
    caught,
    in_tasks_of_its_own,
    failed,
    retried,
    in_lists,
    in_threads,
    sent_from_threads,
    agent,
    agents,
    agent_of_lists,
    grouped,
]


@pytest.mark.parametrize("consume", WAYS, ids=lambda way: way.__name__)
async def test_totals_are_exact(bench: Bench, consume: Callable[[Bench], None]) -> None:
    consume(bench)
    async with bench.running():
        for word in WORDS:
            await bench.words.send(key=word, value=word)
        await bench.take_back()
        await bench.app.wait_idle()
        assert dict(bench.counts.items()) == dict.fromkeys(WORDS, 1)
        assert sorted(bench.sent.values()) == WORDS
    assert len(set(bench.begun)) < len(bench.begun), "no event was taken back"
    told = [one for one in bench.caplog.records if one.levelno >= logging.WARNING and one.name != "beltline.engine"]
    assert [one.getMessage() for one in told if "run again" not in one.getMessage()] == []


async def test_lists_drop_what_was_taken_back_while_they_were_collected(bench: Bench) -> None:
    lists: list[list[str]] = []

    def note(word: str) -> str:
        bench.begun.append(word)
        return word

    @bench.app.agent(bench.words)
    async def follow(stream: Any) -> None:
        stream.add_processor(note)
        async for words in stream.take(100, within=3600):
            lists.append(sorted(words))

    async with bench.running():
        for word in WORDS:
            await bench.words.send(key=word, value=word)
        await bench.take_back()
        await bench.app.wait_idle()
    assert sorted(word for words in lists for word in words) == WORDS
    assert len(set(bench.begun)) < len(bench.begun), "no event was taken back"


async def test_the_refusal_names_the_event_and_the_message_knows(bench: Bench) -> None:
    told: list[str] = []

    @bench.app.on(bench.words)
    async def handle(word: str, message: Any) -> None:
        assert not message.taken_back
        await bench.pause(word)
        try:
            bench.counts[word] = 1
        except EventTakenBack as error:
            told.append(str(error))
            assert message.taken_back
            with pytest.raises(EventTakenBack):
                bench.counts.pop(word, None)
            with pytest.raises(EventTakenBack):
                bench.counts.clear()

    async with bench.running():
        await bench.words.send(key="a", value="a", partition=1)
        await bench.take_back()
        await bench.app.wait_idle()
        assert dict(bench.counts.items()) == {"a": 1}
    assert len(told) == 1
    assert told[0].startswith("words[1]@0 was taken back")
    assert "delivered again" in told[0]


async def test_a_task_that_outlives_its_event_is_refused_once_events_were_taken_back(bench: Bench) -> None:
    tasks: list[asyncio.Task[None]] = []
    handled = asyncio.Event()

    async def late(word: str) -> None:
        await handled.wait()
        await bench.out.send(key=word, value=word)

    @bench.app.on(bench.words)
    async def handle(word: str) -> None:
        tasks.append(asyncio.create_task(late(word)))
        # In hand when everything is lost, and so not committed: it comes again for certain.
        await bench.pause(word)

    async with bench.running():
        await bench.words.send(key="a", value="a")
        await bench.take_back()
        await bench.app.wait_idle()
        handled.set()
        first, again = tasks
        with pytest.raises(EventTakenBack, match="within which this task was made"):
            await first
        await again
        await bench.app.wait_idle()
        assert len(bench.sent) == 1
