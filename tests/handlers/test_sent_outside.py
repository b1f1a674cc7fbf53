"""What timers, web views and scripts send outlives a rolled back commit; what events send comes again with them."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from beltline.exceptions import EventTakenBack, ProducerSendError
from taking_back import Bench

#: Nothing else may be what ends a test.
DEADLINE_S = 30.0


def hold_first(bench: Bench) -> None:
    """Keep the first event in hand until everything was taken back, and the commit with it."""

    @bench.app.on(bench.words)
    async def handle(word: str) -> None:
        if word == "first":
            await bench.pause(word)


async def begun(bench: Bench) -> None:
    async with asyncio.timeout(DEADLINE_S):
        while not bench.begun:
            await asyncio.sleep(0.01)


async def test_what_a_script_sends_while_events_are_in_hand_is_not_lost_with_them(bench: Bench) -> None:
    hold_first(bench)
    async with bench.running():
        await bench.words.send(key="first", value="first")
        await begun(bench)
        receipts = [await bench.out.send(key=str(number), value=str(number)) for number in range(20)]
        soon = [bench.out.send_soon(key=str(number), value=str(number)) for number in range(20, 40)]
        await asyncio.to_thread(lambda: bench.out.send_soon(key="40", value="40"))
        await bench.take_back()
        async with asyncio.timeout(DEADLINE_S):
            answers = await asyncio.gather(*receipts, *soon)
        await bench.app.wait_idle()
        assert sorted(bench.sent.values(), key=int) == [str(number) for number in range(41)]
        for number, answer in enumerate(answers):
            assert bench.sent[answer.partition, answer.offset] == str(number), "a receipt names another record"


async def test_the_receipt_of_what_an_event_sends_says_that_it_was_not_written(bench: Bench) -> None:
    told: list[Any] = []

    @bench.app.on(bench.words)
    async def handle(word: str) -> None:
        is_first = not bench.begun
        await bench.out.send(key=word, value=word, callback=told.append if is_first else None)
        if is_first:
            await bench.pause(word)

    async with bench.running():
        await bench.words.send(key="a", value="a")
        await bench.take_back()
        await bench.app.wait_idle()
        assert list(bench.sent.values()) == ["a"]
        assert len(told) == 1
        with pytest.raises(EventTakenBack, match=r"^out\[\d\]: a record was not written.* is delivered again$"):
            told[0].result()


async def test_what_a_task_sends_and_writes_outside_of_events_counts_as_a_whole(bench: Bench) -> None:
    hold_first(bench)
    bench_table = bench.counts

    async def move(word: str) -> Any:
        # As a timer that writes down what it has sent.
        receipt = await bench.out.send(key=word, value=word)
        bench_table.set_in(0, word, 1)
        return receipt

    async with bench.running():
        await bench.words.send(key="first", value="first")
        await begun(bench)
        moved = await asyncio.create_task(move("moved"))
        told = await asyncio.create_task(bench.out.send(key="told", value="told"))
        await bench.take_back()
        async with asyncio.timeout(DEADLINE_S):
            await told
            with pytest.raises(ProducerSendError, match=r"out\[\d\]: a record was not written, because the commit"):
                await moved
        await bench.app.wait_idle()
        assert list(bench.sent.values()) == ["told"]
        assert "moved" not in bench_table
        assert await (await asyncio.create_task(move("moved")))
        await bench.app.wait_idle()
        assert sorted(bench.sent.values()) == ["moved", "told"]


async def test_lists_of_events_send_on_behalf_of_their_events(bench: Bench) -> None:
    @bench.app.agent(bench.words)
    async def follow(stream: Any) -> None:
        async for words in stream.take(10, within=0.01):
            for word in words:
                await bench.out.send(key=word, value=word)
            await bench.pause(words[0])
            for word in words:
                await bench.out.send(key=word, value=word + "!")

    async with bench.running():
        for word in ("a", "b", "c"):
            await bench.words.send(key=word, value=word)
        await bench.take_back()
        await bench.app.wait_idle()
        assert sorted(bench.sent.values()) == ["a", "a!", "b", "b!", "c", "c!"]


async def test_receipts_of_an_app_that_stops_end(bench: Bench) -> None:
    @bench.app.on(bench.words)
    async def handle(word: str) -> None:
        await bench.pause(word)

    async with bench.running():
        await bench.words.send(key="a", value="a")
        await begun(bench)
        receipt = await bench.out.send(key="late", value="late")
    # The event in hand was given up, not what the script has sent.
    assert (await asyncio.wait_for(receipt, DEADLINE_S)).topic == "out"
