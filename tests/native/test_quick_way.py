"""The quick way of a step and of a table entry: whatever leaves it goes on as if there were none."""

from __future__ import annotations

import asyncio
import gc
import json
import sys
import tracemalloc
import weakref
from collections.abc import Iterator
from typing import Any

import pytest
from bed import Bed
from beltline._native import Queue, RecordDecoder, Stream, Table

pytestmark = pytest.mark.asyncio

NUMBERS = [str(number) for number in range(200)]


class Order:
    """A class of slots."""

    __slots__ = ("account", "amount")


def orders(general: Any = json.loads) -> RecordDecoder:
    """Return a decoder of orders."""
    return RecordDecoder(Order, [("account", "str", True, None), ("amount", "int", True, None)], general=general)


def order(account: str, amount: int) -> str:
    """Return an order as it is sent."""
    return json.dumps({"account": account, "amount": amount})


def stream_of(bed: Bed, name: str = "reader", **options: Any) -> Stream[Any]:
    """Return a stream over the topic from its beginning."""
    return Stream(bed.belt.subscribe(name, ["in"]), **{"value_decode": "str", **options})


async def collect(stream: Stream[Any], count: int) -> list[Any]:
    """Take so many events."""
    found = []
    async for value in stream:
        found.append(value)
        if len(found) == count:
            break
    return found


@pytest.fixture
def traced() -> Iterator[list[str]]:
    """Trace what runs, as a debugger does; Python 3.11 asks an awaiter for values in another way then."""
    seen: list[str] = []

    def trace(frame: Any, event: str, _: Any) -> Any:
        seen.append(event)
        return trace

    before = sys.gettrace()
    sys.settrace(trace)
    yield seen
    sys.settrace(before)


async def test_all_events_come_once_and_in_order(bed: Bed) -> None:
    bed.send(*NUMBERS)
    bed.watch()
    stream = stream_of(bed)
    assert await collect(stream, 200) == NUMBERS
    stream.finish_current()
    assert bed.belt.health()["partitions"][0]["position"] == 200
    assert bed.belt.health()["partitions"][0]["in_flight"] == 0


async def test_a_plain_for_is_as_quick(bed: Bed) -> None:
    bed.send(*NUMBERS)
    assert [value for _, value in zip(NUMBERS, stream_of(bed), strict=False)] == NUMBERS


async def test_tracing_in_the_middle_changes_nothing(bed: Bed) -> None:
    bed.send(*NUMBERS)
    bed.watch()
    before, seen, found = sys.gettrace(), [], []

    def trace(_: Any, event: str, __: Any) -> Any:
        seen.append(event)
        return trace

    async for value in stream_of(bed):
        found.append(value)
        if len(found) in (50, 100):
            frame = sys._getframe()
            frame.f_trace = trace if len(found) == 50 else None
            sys.settrace(trace if len(found) == 50 else before)
        if len(found) == 200:
            break
    assert found == NUMBERS
    assert "line" in seen


async def test_tuples_and_exceptions_are_values_like_any_other(bed: Bed, traced: list[str]) -> None:
    bed.send("a", "b", "c", "d")
    bed.watch()
    values = iter([("x", "y"), ValueError("no error"), StopIteration(1), ()])
    found = await collect(stream_of(bed, value_decode=lambda _: next(values)), 4)
    assert found[0] == ("x", "y")
    assert [type(value) for value in found] == [tuple, ValueError, StopIteration, tuple]
    assert traced


async def test_cancelling_in_the_middle_loses_nothing(bed: Bed) -> None:
    bed.send(*NUMBERS)
    bed.watch()
    stream = stream_of(bed)
    found: list[str] = []

    async def consume() -> None:
        async for value in stream:
            found.append(value)
            if len(found) % 7 == 0:
                await asyncio.sleep(0)

    while len(found) < 200:
        task = asyncio.create_task(consume())
        for _ in range(3):
            await asyncio.sleep(0)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        stream.finish_current()
    assert found == NUMBERS


async def test_awaiters_can_be_sent_thrown_and_closed_by_hand(bed: Bed) -> None:
    bed.send("a", "b", "c", "d")
    bed.watch()
    stream = stream_of(bed)
    assert await collect(stream, 1) == ["a"]
    awaiter = stream.__anext__()
    with pytest.raises(StopIteration) as stop:
        awaiter.send(None)
    assert stop.value.value == "b"
    awaiter = stream.__anext__()
    with pytest.raises(StopIteration) as stop:
        next(awaiter.__await__())
    assert stop.value.value == "c"
    with pytest.raises(RuntimeError, match="awaited before"):
        next(awaiter)
    awaiter = stream.__anext__()
    with pytest.raises(KeyError):
        awaiter.throw(KeyError("k"))
    stream.__anext__().close()
    assert await stream.__anext__() == "d"


async def test_the_value_of_a_kept_stop_iteration_stays(bed: Bed) -> None:
    bed.send("first", "a", "b", "c")
    bed.watch()
    stream = stream_of(bed)
    assert await collect(stream, 1) == ["first"]
    kept = []
    for _ in range(3):
        try:
            next(stream.__anext__())
        except StopIteration as stop:
            kept.append(stop)
    assert [stop.value for stop in kept] == ["a", "b", "c"]


async def test_an_undecodable_record_amid_quick_ones_is_skipped(bed: Bed) -> None:
    bed.send(*(order("a", number) if number % 5 else "broken" for number in range(50)))
    bed.watch()
    skipped: list[int] = []
    stream = stream_of(bed, value_decode=orders(), on_decode_error=lambda message, _: skipped.append(message.offset))
    assert [value.amount for value in await collect(stream, 40)] == [number for number in range(50) if number % 5]
    assert skipped == list(range(0, 50, 5))


async def test_a_decoder_may_look_at_its_stream(bed: Bed) -> None:
    bed.send(*(order("a", number) if number % 3 else "general" for number in range(30)))
    bed.watch()
    seen = []

    def general(data: bytes) -> Any:
        seen.append((stream.mode, stream.current_value, stream.current_partition))
        return data

    stream = stream_of(bed, value_decode=orders(general))
    found = await collect(stream, 30)
    assert [value for value in found if isinstance(value, bytes)] == [b"general"] * 10
    assert seen == [("values", None, 0)] * 10


async def test_a_handler_may_drive_its_own_stream(bed: Bed) -> None:
    bed.send(*NUMBERS)
    bed.watch()
    stream, found = stream_of(bed), []
    async for value in stream:
        found.append(value)
        if len(found) < 200:
            found.append(await stream.__anext__())
        if len(found) == 200:
            break
    assert found == NUMBERS


async def test_a_subclass_may_have_a_word_of_its_own(bed: Bed) -> None:
    class Shouting(Stream):  # type: ignore[type-arg]
        """Overrides what it can."""

        def __aiter__(self) -> Any:
            return self

        async def __anext__(self) -> Any:
            return (await super().__anext__()).upper()

    bed.send("a", "b", "c")
    bed.watch()
    stream: Any = Shouting(bed.belt.subscribe("shouting", ["in"]), value_decode="str")
    assert await collect(stream, 3) == ["A", "B", "C"]


async def test_two_tasks_with_streams_of_one_subscription_share_its_events(bed: Bed) -> None:
    bed.send(*NUMBERS)
    bed.watch()
    subscription = bed.belt.subscribe("both", ["in"])
    found: list[str] = []

    async def consume() -> None:
        async for value in Stream(subscription, value_decode="str"):
            found.append(value)
            if len(found) % 3 == 0:
                await asyncio.sleep(0)

    tasks = [asyncio.create_task(consume()) for _ in range(2)]
    while len(found) < 200:
        await asyncio.sleep(0.001)
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
    assert sorted(found, key=int) == NUMBERS


async def test_settings_count_from_the_next_event_on(bed: Bed) -> None:
    bed.send(*"abcdef")
    bed.watch()
    stream = stream_of(bed)
    assert await collect(stream, 2) == ["a", "b"]
    stream.mode = "items"
    assert await collect(stream, 1) == [(b"c", "c")]
    stream.mode = "values"
    assert await collect(stream, 1) == ["d"]
    stream.auto_ack = False
    assert await collect(stream, 1) == ["e"]
    assert await collect(stream, 1) == ["f"]
    health = bed.belt.health()["partitions"][0]
    assert (health["position"], health["in_flight"]) == (3, 3)


async def test_a_busy_stream_lets_the_loop_run(bed: Bed) -> None:
    bed.send(*(str(number) for number in range(20_000)))
    bed.watch()
    turns = 0

    async def count() -> None:
        nonlocal turns
        while True:
            turns += 1
            await asyncio.sleep(0)

    counting = asyncio.create_task(count())
    seen = 0
    async for _ in stream_of(bed):
        seen += 1
        sum(range(200))
        if seen == 20_000:
            break
    counting.cancel()
    assert turns > 3


async def test_cycles_through_stream_and_awaiter_are_collected(bed: Bed) -> None:
    bed.send("a")
    bed.watch()
    stream: Any = type("Mine", (Stream,), {})(bed.belt.subscribe("cycle", ["in"]), value_decode=lambda data: [data])
    stream.awaiter = stream.__anext__()
    stream.itself = stream
    gone = weakref.ref(stream)
    del stream
    gc.collect()
    assert gone() is None


async def test_streams_that_come_and_go_leave_nothing() -> None:
    async def use() -> None:
        queue = Queue()
        queue.put_nowait("x")
        queue.close()
        assert [value async for value in Stream(queue)] == ["x"]

    for _ in range(100):
        await use()
    gc.collect()
    tracemalloc.start()
    try:
        before = tracemalloc.get_traced_memory()[0]
        for _ in range(3000):
            await use()
        gc.collect()
        assert tracemalloc.get_traced_memory()[0] - before < 50_000
    finally:
        tracemalloc.stop()


async def test_references_are_given_back(bed: Bed) -> None:
    bed.send(*(order("account", 1000) for _ in range(500)))
    bed.watch()
    table: Table[Any, Any] = Table("t", default=int)
    bed.belt.attach_table(table, "changes", 2)
    key = "a key of its own"
    stream = stream_of(bed, value_decode=orders())
    seen, counts = 0, []
    async for _ in stream:
        table[key] += 1
        seen += 1
        if seen in (100, 500):
            counts.append((sys.getrefcount(key), sys.getrefcount(Order), sys.getrefcount(stream)))
        if seen == 500:
            break
    assert table[key] == 500
    assert counts[0] == counts[1]


# -- tables --------------------------------------------------------------------------------------------------------


async def in_event(bed: Bed, work: Any) -> Table[Any, Any]:
    """Run `work` on a table while an event is in hand."""
    table: Table[Any, Any] = Table("t", default=int, value_loads=json.loads)
    bed.belt.attach_table(table, "changes", 2)
    bed.send("event")
    bed.watch()
    async for _ in Stream(bed.belt.subscribe("worker", ["in"])):
        work(table)
        break
    return table


def another(text: str) -> str:
    """Return an equal text that is another object."""
    return "".join(list(text))


async def test_equal_keys_are_one_key_whatever_object_they_are(bed: Bed) -> None:
    def work(table: Table[Any, Any]) -> None:
        for key in ("account-1", another("account-1"), another("account-1"), "account-1"):
            table[key] += 1
        for number in (10**6, int("1000000"), 1, 1):
            table[number] += 1
        with pytest.raises(TypeError, match="bool"):
            table[True] += 1
        assert (table["account-1"], table[10**6], table[1], len(table)) == (4, 2, 2, 3)

    await in_event(bed, work)


async def test_what_is_known_of_a_key_ends_with_the_key(bed: Bed) -> None:
    def work(table: Table[Any, Any]) -> None:
        key = another("some key")
        table[key] += 7
        assert table[key] == 7
        del table[key]
        assert key not in table
        assert table[key] == 0
        table[key] += 1
        assert table[key] == 1
        table.clear()
        assert table[key] == 0
        table[key] += 2
        assert (table[key], len(table), table.pop(key), len(table)) == (2, 1, 2, 0)
        assert table[key] == 0

    await in_event(bed, work)


async def test_keys_that_move_are_found_again(bed: Bed) -> None:
    keys = [another(f"key {number}") for number in range(400)]
    table: Table[Any, Any] = Table("t", default=int)
    bed.belt.attach_table(table, "changes", 2)
    bed.send(*NUMBERS[:2])
    bed.watch()
    rounds = 0
    stream = stream_of(bed)
    async for _ in stream:
        rounds += 1
        if rounds == 1:
            for number, key in enumerate(keys):
                table[key] = number
        if rounds == 2:
            assert [table[key] for key in keys] == list(range(400))
            for key in keys[:350]:
                del table[key]
        if rounds == 3:
            break
        # Places of keys that are gone are closed with a commit, which happens while the stream waits for more.
        if rounds == 2:
            asyncio.get_running_loop().call_later(0.05, bed.send, "more")
    assert [table[key] for key in keys] == [0] * 350 + list(range(350, 400))
    for key in keys:
        table[key] += 1
    assert [table[key] for key in keys] == [1] * 350 + list(range(351, 401))


async def test_one_object_is_a_key_in_every_shard(bed: Bed) -> None:
    table: Table[Any, Any] = Table("t", default=int)
    bed.belt.attach_table(table, "changes", 2)
    key = another("shared")
    for partition in (0, 1):
        bed.send(*NUMBERS[:100], partition=partition)
    bed.watch()
    seen = 0
    async for _ in stream_of(bed):
        table[key] += 1
        seen += 1
        if seen == 200:
            break
    assert (table.get_in(0, key), table.get_in(1, key)) == (100, 100)


@pytest.mark.parametrize("value", [2**63 - 1, -(2**63), 2**63, 2**200, 0.1, float("inf"), True, "text", None, [1]])
async def test_values_beyond_numbers_take_the_general_way(bed: Bed, value: Any) -> None:
    table: Table[Any, Any] = Table("t", value_loads=json.loads, value_dumps=lambda value: json.dumps(value).encode())
    bed.belt.attach_table(table, "changes", 2)
    bed.send("event")
    bed.watch()
    async for _ in stream_of(bed):
        for _ in range(2):
            table["key"] = value
            assert repr(table["key"]) == repr(value)
            table["key"] = 1
            assert table["key"] == 1
        break


async def test_a_key_like_a_text_is_not_taken_for_one(bed: Bed) -> None:
    class Name(str):
        """A text with a form of its own."""

    table: Table[Any, Any] = Table("t", default=int, key_dumps=lambda key: json.dumps([key]).encode())
    bed.belt.attach_table(table, "changes", 2)
    bed.send("event")
    bed.watch()
    async for _ in stream_of(bed):
        table["x"] = 1
        table[Name("x")] = 2
        assert (table["x"], table[Name("x")], len(table)) == (1, 2, 2)
        break
