"""Native streams: iteration, waiting, ending, and everything that can go wrong in between."""

from __future__ import annotations

import asyncio
import gc
import os
import sys
import threading
import weakref
from typing import Any

import pytest
from bed import Bed
from beltline._native import Queue, RecordDecoder, Stream, current_stream

pytestmark = pytest.mark.asyncio


async def collect(stream: Stream[Any], count: int) -> list[Any]:
    """Take so many events."""
    found = []
    async for value in stream:
        found.append(value)
        if len(found) == count:
            break
    return found


async def test_values_items_and_events(bed: Bed) -> None:
    bed.send("a", "b")
    bed.watch()
    # A subscription begins where the slowest one is, so all of them are made before the first one reads.
    readers = {mode: bed.belt.subscribe(mode, ["in"]) for mode in ("values", "items", "events")}
    for mode, expected in (("values", ["a", "b"]), ("items", [(b"a", "a"), (b"b", "b")])):
        stream = Stream(readers[mode], value_decode="str", mode=mode)
        assert await collect(stream, 2) == expected
        stream.close()
    made = Stream(
        readers["events"],
        key_decode="str",
        value_decode="str",
        mode="events",
        make_event=lambda key, value, message: (key, value, message.topic, message.partition, message.offset),
    )
    assert await collect(made, 2) == [("a", "a", "in", 0, 0), ("b", "b", "in", 0, 1)]


async def test_a_plain_for_reads_too(bed: Bed) -> None:
    bed.send("a", "b", "c")
    stream = Stream(bed.belt.subscribe("for", ["in"]), value_decode="str")
    assert [value for _, value in zip(range(3), stream, strict=False)] == ["a", "b", "c"]


async def test_a_sleeping_stream_is_woken(bed: Bed) -> None:
    bed.watch()
    task = asyncio.create_task(collect(Stream(bed.belt.subscribe("sleeper", ["in"]), value_decode="str"), 2))
    for value in "ab":
        await asyncio.sleep(0.01)
        assert not task.done()
        bed.belt.send("in", None, value.encode(), partition=0)
        bed.belt.request_commit()
    assert await asyncio.wait_for(task, 10) == ["a", "b"]


async def test_cancelling_a_sleeping_consumer_loses_nothing(bed: Bed) -> None:
    bed.watch()
    stream = Stream(bed.belt.subscribe("cancelled", ["in"]), value_decode="str")
    task = asyncio.create_task(collect(stream, 1))
    await asyncio.sleep(0.01)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    bed.send("a")
    assert await asyncio.wait_for(collect(stream, 1), 10) == ["a"]


async def test_two_consumers_of_one_stream_are_told(bed: Bed) -> None:
    bed.watch()
    stream = Stream(bed.belt.subscribe("shared", ["in"]), value_decode="str")
    first = asyncio.create_task(collect(stream, 1))
    await asyncio.sleep(0.01)
    with pytest.raises(RuntimeError, match="two consumers"):
        await collect(stream, 1)
    bed.send("a")
    assert await asyncio.wait_for(first, 10) == ["a"]


async def test_a_second_task_cannot_take_over_while_the_first_has_an_event(bed: Bed) -> None:
    bed.send("a", "b")
    bed.watch()
    stream = Stream(bed.belt.subscribe("taken", ["in"]), value_decode="str")
    hold = asyncio.Event()

    async def slow() -> None:
        async for _ in stream:
            await hold.wait()

    task = asyncio.create_task(slow())
    await asyncio.sleep(0.01)
    with pytest.raises(RuntimeError, match="two tasks iterate one stream"):
        await asyncio.create_task(collect(stream, 1))
    task.cancel()


async def test_closing_ends_a_waiting_consumer(bed: Bed) -> None:
    bed.watch()
    stream = Stream(bed.belt.subscribe("closed", ["in"]))
    task = asyncio.create_task(collect(stream, 1))
    await asyncio.sleep(0.01)
    stream.close()
    assert await asyncio.wait_for(task, 10) == []
    assert stream.closed


async def test_stopping_the_belt_ends_streams(bed: Bed) -> None:
    bed.watch()
    task = asyncio.create_task(collect(Stream(bed.belt.subscribe("ended", ["in"])), 1))
    await asyncio.sleep(0.01)
    bed.belt.begin_stop(1.0)
    assert await asyncio.wait_for(task, 10) == []


async def test_what_cannot_be_decoded_is_raised_or_skipped(bed: Bed) -> None:
    bed.send("1", "x", "2")
    bed.watch()
    second = bed.belt.subscribe("lax", ["in"])
    strict = Stream(bed.belt.subscribe("strict", ["in"]), value_decode=int)
    with pytest.raises(ValueError, match="invalid literal"):
        await collect(strict, 3)
    skipped: list[tuple[int, str]] = []
    lax = Stream(
        second,
        value_decode=int,
        on_decode_error=lambda message, error: skipped.append((message.offset, type(error).__name__)),
    )
    assert await collect(lax, 2) == [1, 2]
    assert skipped == [(1, "ValueError")]


async def test_held_released_and_finished_events(bed: Bed) -> None:
    bed.send("a", "b", "c")
    bed.watch()
    stream = Stream(bed.belt.subscribe("hands", ["in"]), value_decode="str")
    assert await collect(stream, 1) == ["a"]
    message = stream.hold()
    assert message is not None
    assert (message.offset, message.value, message.key, message.acked) == (0, b"a", b"a", False)
    assert await collect(stream, 1) == ["b"]
    stream.release_current()
    assert await collect(stream, 2) == ["b", "c"]
    stream.finish_current()
    health = bed.belt.health()["partitions"][0]
    assert (health["position"], health["in_flight"]) == (0, 1)
    assert message.ack()
    assert not message.ack()
    assert bed.belt.health()["partitions"][0]["position"] == 3


async def test_a_dropped_stream_gives_its_event_back(bed: Bed) -> None:
    bed.send("a", "b")
    bed.watch()
    subscription = bed.belt.subscribe("dropped", ["in"])
    stream = Stream(subscription, value_decode="str")
    assert await collect(stream, 1) == ["a"]
    gone = weakref.ref(stream)
    del stream
    gc.collect()
    assert gone() is None
    await asyncio.sleep(0.02)
    assert await collect(Stream(subscription, value_decode="str"), 2) == ["a", "b"]


async def test_cycles_are_collected() -> None:
    queue = Queue()
    stream = Stream(queue, value_decode=lambda data: data)
    queue.put_nowait(stream)
    gone = weakref.ref(stream)
    del stream, queue
    gc.collect()
    assert gone() is None


async def test_tracing_changes_nothing(bed: Bed) -> None:
    bed.send("a", "b", "c")
    bed.watch()
    before = sys.gettrace()
    sys.settrace(lambda *_: None)
    try:
        assert await collect(Stream(bed.belt.subscribe("traced", ["in"]), value_decode="str"), 3) == ["a", "b", "c"]
    finally:
        sys.settrace(before)


async def test_a_decoder_that_comes_back_is_refused_in_words(bed: Bed) -> None:
    bed.send("a")
    bed.watch()
    caught: list[BaseException] = []

    def again(data: bytes) -> str:
        try:
            stream.current_message  # noqa: B018 - what matters is that it does no harm
            decoder.decode(data)
        except RuntimeError as error:
            caught.append(error)
        return "done"

    decoder = RecordDecoder(type("Empty", (), {"__slots__": ()}), [], general=lambda data: decoder.decode(data))
    stream = Stream(bed.belt.subscribe("again", ["in"]), value_decode=again)
    assert await collect(stream, 1) == ["done"]
    assert isinstance(caught[0], RecursionError)


async def test_the_current_stream_is_that_of_the_task(bed: Bed) -> None:
    bed.watch()
    queues = [Queue(), Queue()]
    streams = [Stream(queue) for queue in queues]
    seen = []

    async def consume(index: int) -> None:
        async for value in streams[index]:
            await asyncio.sleep(0)
            assert current_stream() is streams[index]
            seen.append(value)

    tasks = [asyncio.create_task(consume(index)) for index in (0, 1)]
    for number in range(10):
        queues[number % 2].put_nowait(number)
        await asyncio.sleep(0)
    for queue in queues:
        queue.close()
    await asyncio.gather(*tasks)
    assert sorted(seen) == list(range(10))
    assert current_stream() is None


async def test_a_full_queue_refuses_and_tells_when_there_is_room() -> None:
    queue = Queue(maxsize=1)
    queue.put_nowait("a")
    with pytest.raises(BufferError, match="maxsize"):
        queue.put_nowait("b")
    waiting = queue.when_writable()
    stream = Stream(queue)
    assert await collect(stream, 1) == ["a"]
    await asyncio.wait_for(waiting, 10)
    queue.put_nowait("b")
    queue.close()
    with pytest.raises(RuntimeError, match="closed"):
        queue.put_nowait("c")
    assert [value async for value in stream] == ["b"]


async def test_other_threads_are_refused_and_may_send(bed: Bed) -> None:
    bed.watch()
    caught: list[BaseException] = []

    def elsewhere() -> None:
        try:
            bed.belt.send("in", None, b"x")
        except RuntimeError as error:
            caught.append(error)
        bed.belt.send_threadsafe("in", None, b"threadsafe", partition=0)

    thread = threading.Thread(target=elsewhere)
    thread.start()
    thread.join()
    assert "send_threadsafe" in str(caught[0])
    stream = Stream(bed.belt.subscribe("threads", ["in"]), value_decode="str")
    for _ in range(200):
        bed.belt.request_commit()
        await asyncio.sleep(0.005)
        if sum(end for _, end in bed.belt.topic_offsets("in")):
            break
    assert await asyncio.wait_for(collect(stream, 1), 10) == ["threadsafe"]


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
async def test_a_forked_child_is_refused_and_the_parent_goes_on(bed: Bed) -> None:
    bed.send("a")
    child = os.fork()
    if child == 0:
        try:
            bed.belt.send("in", None, b"x")
        except RuntimeError as error:
            os._exit(0 if "fork" in str(error) else 1)
        os._exit(2)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
    bed.watch()
    assert await collect(Stream(bed.belt.subscribe("parent", ["in"]), value_decode="str"), 1) == ["a"]


async def test_a_collection_in_the_middle_of_making_a_stream_does_no_harm() -> None:
    class Mine(Stream):  # type: ignore[type-arg]
        """Python makes a dictionary for instances of this class, between allocation and construction."""

    before = gc.get_threshold()
    gc.set_threshold(1)
    try:
        for _ in range(200):
            kept = [Mine(Queue()) for _ in range(5)]
            assert all(stream.mode == "values" for stream in kept)
    finally:
        gc.set_threshold(*before)
