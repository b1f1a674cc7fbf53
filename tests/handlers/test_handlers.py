"""``@app.on``: plain and async functions, parameters, by, to, batch, threads, errors."""

from __future__ import annotations

import asyncio
import threading
import time
from typing import Any

import beltline as bl
import pytest
from beltline.exceptions import ImproperlyConfigured


def make_app(**settings: Any) -> bl.App:
    return bl.App("handlers", broker="memory://", topic_partitions=4, **settings)


class Order(bl.Record):
    customer: str
    amount: float


async def feed(app: bl.App, topic: Any, values: Any, **options: Any) -> None:
    """Run the app on some values and stop it."""
    async with app:
        for value in values:
            await topic.send(value=value, **options)
        await app.wait_idle()


async def test_first_page() -> None:
    app = make_app()
    orders = app.topic("orders", value_type=Order)
    spent = app.Table("spent", default=float)
    seen: list[Any] = []
    totals: dict[str, float] = {}

    @app.on(orders, by=Order.customer)
    def tally(order: Any) -> None:
        spent[order.customer] += order.amount

    @app.on(orders, to="big-orders")
    def big(order: Any) -> Any:
        return order if order.amount > 1000 else None

    @app.on("big-orders")
    def see(order: Order) -> None:
        seen.append((order.customer, order.amount))

    async with app:
        for number in range(20):
            await orders.send(value=Order(customer=f"c{number % 3}", amount=number * 100))
        await app.wait_idle()
        totals = dict(spent.items())
    assert totals == {f"c{rest}": float(sum(n * 100 for n in range(20) if n % 3 == rest)) for rest in range(3)}
    assert sorted(amount for _, amount in seen) == [n * 100 for n in range(11, 20)]
    # The decorated function stays callable as it is.
    assert big(Order(customer="x", amount=1)) is None


async def test_parameters_by_name() -> None:
    app = make_app()
    topic = app.topic("orders", value_type=str, key_type=str, partitions=1)
    calls: list[Any] = []

    @app.on(topic)
    def everything(key: str, order: str, headers: dict[str, bytes], *, topic: str, partition: int, offset: int) -> None:
        calls.append((key, order, headers, topic, partition, offset))

    @app.on(topic)
    def when(value: str, timestamp: float) -> None:
        calls.append(timestamp)

    @app.on(topic)
    async def event_object(event: bl.Event) -> None:
        calls.append((event.key, event.value))

    await feed(app, topic, ["v"], key="k", headers={"h": b"1"}, timestamp=12.5)
    assert ("k", "v", {"h": b"1"}, "orders", 0, 0) in calls
    assert 12.5 in calls
    assert ("k", "v") in calls


@pytest.mark.parametrize(
    ("function", "words"),
    [
        (lambda: None, "no parameter"),
        (lambda a, b: None, "what is 'b'"),
        (lambda *events: None, "not filled"),
    ],
)
async def test_functions_that_cannot_be_called(function: Any, words: str) -> None:
    with pytest.raises(ImproperlyConfigured, match=words):
        make_app().on("orders")(function)


async def test_options_that_contradict_each_other() -> None:
    app = make_app()

    async def waits(event: Any) -> None: ...

    def yields(event: Any) -> Any:
        yield event

    def plain(event: Any) -> None: ...

    for options, function, words in [
        ({"threads": 2}, waits, "plain functions"),
        ({"threads": 0}, plain, "1 to"),
        ({"batch": 0}, plain, "at least one"),
        ({"within": 1}, plain, "add batch="),
        ({"by": 5}, plain, "cannot group by"),
        ({"to": 5}, plain, "neither a topic"),
        ({"concurrency": 0}, plain, "concurrency=0"),
        ({}, yields, "yields"),
    ]:
        with pytest.raises(ImproperlyConfigured, match=words):
            app.on("orders", **options)(function)
    with pytest.raises(ImproperlyConfigured, match="neither a topic or channel"):
        app.on(5)(plain)  # type: ignore[arg-type]
    with pytest.raises(ImproperlyConfigured, match="by= needs a topic"):
        app.on(app.channel(), by="x")(plain)


async def test_to_several_targets_keeps_the_key() -> None:
    app = make_app()
    topic = app.topic("a", value_type=int, key_type=str)
    first = app.topic("b", value_type=int, key_type=str)
    channel = app.channel()
    seen: list[Any] = []

    @app.on(topic, to=[first, channel])
    async def double(value: int) -> int:
        await asyncio.sleep(0)
        return value * 2

    @app.on(first)
    def from_topic(key: str, value: int) -> None:
        seen.append(("topic", key, value))

    @app.on(channel)
    def from_channel(value: int) -> None:
        seen.append(("channel", value))

    await feed(app, topic, [1, 2], key="k")
    assert sorted(seen) == [("channel", 2), ("channel", 4), ("topic", "k", 2), ("topic", "k", 4)]


async def test_to_an_agent() -> None:
    app = make_app()
    seen: list[int] = []

    @app.agent(value_type=int, name="collector")
    async def collect(stream: Any) -> None:
        async for value in stream:
            seen.append(value)

    @app.on("numbers", to=collect)
    def pass_on(value: int) -> int:
        return value + 1

    await feed(app, app.topics["numbers"], [1, 2])
    assert sorted(seen) == [2, 3]


async def test_result_that_the_topic_cannot_hold_is_an_error_of_the_handler() -> None:
    app = make_app()
    topic = app.topic("a", value_type=int, partitions=1)

    @app.on(topic, to="b", name="wrong", on_error="fail")
    def wrong(value: int) -> Any:
        return object()

    await app.start()
    await topic.send(value=1)
    with pytest.raises(TypeError, match="wrong returned object, which topic b cannot hold"):
        await app.wait_idle()
    await app.stop()


async def test_batches_come_from_one_partition_each() -> None:
    app = make_app()
    topic = app.topic("numbers", value_type=int)
    batches: list[tuple[int, list[int]]] = []
    sums = app.Table("sums", default=int)

    @app.on(topic, batch=10, within=0.01)
    def add(events: list[int], partition: int) -> None:
        batches.append((partition, list(events)))
        sums[str(partition)] += sum(events)

    async with app:
        for value in range(100):
            await topic.send(value=value, partition=value % 4)
        await app.wait_idle()
        totals = dict(sums.items())
    assert sorted(value for _, values in batches for value in values) == list(range(100))
    assert all(value % 4 == partition for partition, values in batches for value in values)
    assert max(len(values) for _, values in batches) <= 10
    assert totals == {str(p): sum(v for v in range(100) if v % 4 == p) for p in range(4)}


async def test_batch_results_are_sent_one_by_one() -> None:
    app = make_app()
    topic = app.topic("numbers", value_type=int, partitions=1)
    seen: list[int] = []

    @app.on(topic, batch=3, within=0.01, to="out")
    async def double(events: list[int]) -> list[int]:
        return [value * 2 for value in events]

    @app.on("out")
    def read(value: int) -> None:
        seen.append(value)

    await feed(app, topic, range(5))
    assert sorted(seen) == [0, 2, 4, 6, 8]


async def test_failed_batch_is_retried_then_skipped() -> None:
    app = make_app()
    topic = app.topic("numbers", value_type=int, partitions=1)
    runs: list[list[int]] = []

    @app.on(topic, batch=2, within=0.01, on_error=bl.retry(1, 0.0, then="skip"))
    def fail_on_two(events: list[int]) -> None:
        runs.append(list(events))
        if 2 in events:
            raise ValueError("two")

    await feed(app, topic, range(6))
    assert runs == [[0, 1], [2, 3], [2, 3], [4, 5]]


async def test_threads_run_beside_the_loop_and_keep_the_order_of_a_key() -> None:
    app = make_app()
    topic = app.topic("numbers", value_type=int, key_type=str)
    seen: dict[str, list[int]] = {}
    names: set[str] = set()
    results: list[int] = []
    lock = threading.Lock()

    @app.on(topic, threads=4, to="out")
    def slow(key: str, value: int) -> int:
        time.sleep(0.001)
        with lock:
            seen.setdefault(key, []).append(value)
            names.add(threading.current_thread().name)
        return value

    @app.on("out")
    def read(value: int) -> None:
        results.append(value)

    async with app:
        for value in range(60):
            await topic.send(key=f"k{value % 6}", value=value)
        await app.wait_idle()
    assert seen == {f"k{rest}": [value for value in range(60) if value % 6 == rest] for rest in range(6)}
    assert sorted(results) == list(range(60))
    assert threading.main_thread().name not in names
    assert len(names) > 1


async def test_failure_in_a_thread_follows_the_policy() -> None:
    app = make_app()
    topic = app.topic("numbers", value_type=int, partitions=1)
    runs: list[int] = []

    @app.on(topic, threads=2, on_error=bl.retry(2, 0.0, then="skip"))
    def flaky(value: int) -> None:
        runs.append(value)
        if value == 1:
            raise ValueError("one")

    await feed(app, topic, range(3), key=b"k")
    assert runs == [0, 1, 1, 1, 2]


async def test_skip_goes_on_after_the_event() -> None:
    app = make_app()
    topic = app.topic("numbers", value_type=int, partitions=1)
    seen: list[int] = []

    @app.on(topic)
    def picky(value: int) -> None:
        if value == 1:
            raise ValueError("one")
        seen.append(value)

    await feed(app, topic, range(4))
    assert seen == [0, 2, 3]
    assert app.failure_counts.total() == 1
    assert app.recent_failures[0].address == "numbers[0]@1"


async def test_undecodable_records_by_policy() -> None:
    app = make_app()
    raw = app.topic("numbers", value_serializer="raw", partitions=1)
    typed = app.topic("numbers", value_type=int, partitions=1, on_decode_error=bl.dead_letter("bad"))
    seen: list[Any] = []
    bad: list[Any] = []

    @app.on(typed)
    def read(value: int) -> None:
        seen.append(value)

    @app.on(app.topic("bad", value_serializer="raw"))
    def read_bad(value: bytes, headers: dict[str, bytes]) -> None:
        bad.append((value, headers["beltline-error-handler"], headers["beltline-error-offset"]))

    await feed(app, raw, [b"1", b"{", b"3"])
    assert seen == [1, 3]
    assert bad == [(b"{", b"decode", b"1")]


async def test_undecodable_record_can_stop_the_worker() -> None:
    app = make_app(on_decode_error="fail")
    raw = app.topic("numbers", value_serializer="raw", partitions=1)

    @app.on(app.topic("numbers", value_type=int, partitions=1))
    def read(value: int) -> None: ...

    await app.start()
    await raw.send(value=b"{")
    with pytest.raises(bl.exceptions.ValueDecodeError) as caught:
        await app.wait_idle()
    assert any("numbers[0]@0" in note for note in caught.value.__notes__)
    await app.stop()


async def test_one_function_on_two_topics() -> None:
    app = make_app()
    seen: list[Any] = []

    @app.on("a", name="both")
    @app.on("b", name="both")
    def both(value: Any, topic: str) -> None:
        seen.append((topic, value))

    assert sorted(app.handlers) == ["both", "both-2"]
    async with app:
        await app.send("a", value=1)
        await app.send("b", value=2)
        await app.wait_idle()
    assert sorted(seen) == [("a", 1), ("b", 2)]


async def test_concurrency_of_an_async_handler() -> None:
    app = make_app()
    topic = app.topic("numbers", value_type=int)
    running = most = 0
    seen: list[int] = []

    @app.on(topic, concurrency=5)
    async def slow(value: int) -> None:
        nonlocal running, most
        running += 1
        most = max(most, running)
        await asyncio.sleep(0.001)
        running -= 1
        seen.append(value)

    await feed(app, topic, range(25))
    assert sorted(seen) == list(range(25))
    assert most == 5


async def test_stop_iteration_in_a_thread_is_an_error_like_others() -> None:
    app = make_app()
    topic = app.topic("numbers", value_type=int, partitions=1)
    seen: list[int] = []

    @app.on(topic, threads=1)
    def empty(value: int) -> None:
        if value == 0:
            next(iter([]))
        seen.append(value)

    await feed(app, topic, range(2), key=b"k")
    assert seen == [1]
    assert app.failure_counts.total() == 1
