"""Streams over topics, channels and iterables: every public operation, on the real core."""

from __future__ import annotations

import asyncio
from typing import Any

import beltline as bl
import pytest
from beltline.exceptions import ImproperlyConfigured, Skip


def make_app(name: str = "streams", **settings: Any) -> bl.App:
    return bl.App(name, broker="memory://", topic_partitions=4, **settings)


async def run(app: bl.App, *sends: tuple[Any, Any, Any]) -> None:
    """Start the app, send ``(topic, key, value)``, return when everything is worked off; the app runs on."""
    await app.start()
    await app.wait_ready()
    for topic, key, value in sends:
        await topic.send(key=key, value=value)
    await app.wait_idle()


async def test_stream_over_a_list_ends() -> None:
    app = make_app()
    assert [value async for value in app.stream([1, 2, 3])] == [1, 2, 3]


async def test_stream_over_an_async_iterable() -> None:
    app = make_app()

    async def source() -> Any:
        yield "a"
        yield "b"

    assert [value async for value in app.stream(source())] == ["a", "b"]


async def test_error_of_the_iterable_reaches_the_reader() -> None:
    app = make_app()

    def source() -> Any:
        yield 1
        raise ValueError("no more")

    seen = []

    async def read() -> None:
        async for value in app.stream(source()):
            seen.append(value)

    with pytest.raises(ValueError, match="no more"):
        await read()
    assert seen == [1]


async def test_take_gives_full_lists_and_the_rest() -> None:
    app = make_app()
    assert [batch async for batch in app.stream(range(7)).take(3, within=0.05)] == [[0, 1, 2], [3, 4, 5], [6]]


async def test_take_gives_a_part_after_the_time() -> None:
    app = make_app()
    channel = app.channel()
    stream = channel.stream()
    await channel.send(value="only")
    async for batch in stream.take(100, within=0.01):
        assert batch == ["only"]
        break


async def test_take_needs_no_time_limit() -> None:
    app = make_app()
    assert [batch async for batch in app.stream(range(4)).take(2)] == [[0, 1], [2, 3]]


async def test_take_refuses_empty_lists() -> None:
    app = make_app()
    with pytest.raises(ValueError, match="at least one"):
        async for _ in app.stream([1]).take(0, within=1):
            pass


async def test_take_runs_processors_once_each() -> None:
    app = make_app()
    stream = app.stream(range(6))
    seen = []
    stream.add_processor(lambda value: seen.append(value) or value * 10)
    stream.filter(lambda value: value != 20)
    assert [batch async for batch in stream.take(2, within=0.05)] == [[0, 10], [30, 40], [50]]
    assert seen == [0, 1, 2, 3, 4, 5]


async def test_enumerate_counts_from_start() -> None:
    app = make_app()
    assert [pair async for pair in app.stream("ab").enumerate(10)] == [(10, "a"), (11, "b")]


async def test_filter_takes_plain_and_async_functions() -> None:
    app = make_app()

    async def above_two(value: int) -> bool:
        await asyncio.sleep(0)
        return value > 2

    stream = app.stream([1, 2, 3, 4]).filter(lambda value: value % 2 == 0).filter(above_two)
    assert [value async for value in stream] == [4]


async def test_processors_run_in_program_order_and_may_skip() -> None:
    app = make_app()
    stream = app.stream([1, 2, 3])

    def drop_two(value: int) -> int:
        if value == 2:
            raise Skip
        return value

    stream.add_processor(lambda value: value * 2)
    stream.add_processor(drop_two)
    stream.add_processor(str)
    assert [value async for value in stream] == ["4", "6"]


async def test_every_reader_of_a_channel_sees_every_item() -> None:
    app = make_app()
    channel = app.channel()
    first, second = channel.stream(), channel.stream()
    assert channel.subscriber_count == 2
    for value in (1, 2):
        await channel.send(key="k", value=value)
    assert [await anext(first.items()) for _ in range(1)] == [("k", 1)]
    assert await anext(aiter(second)) == 1


async def test_events_know_key_headers_and_record() -> None:
    app = make_app()
    topic = app.topic("orders", value_type=str, key_type=str, partitions=1)
    events = []

    @app.agent(topic)
    async def read(stream: Any) -> None:
        async for event in stream.events():
            assert bl.current_event() is event
            events.append((event.key, event.value, event.headers, event.message.offset, event.message.topic))

    async with app:
        await topic.send(key="k", value="v", headers={"a": b"1"})
        await topic.send(key="k", value="w", headers=[("b", b"2")])
        await app.wait_idle()
    assert events == [("k", "v", {"a": b"1"}, 0, "orders"), ("k", "w", {"b": b"2"}, 1, "orders")]


async def test_current_event_is_none_outside_of_a_stream() -> None:
    assert bl.current_event() is None


async def test_noack_leaves_events_undone_until_they_are_acked() -> None:
    app = make_app()
    topic = app.topic("orders", value_type=int, partitions=1)
    kept: list[Any] = []

    @app.agent(topic)
    async def read(stream: Any) -> None:
        async for event in stream.noack().events():
            kept.append(event)

    async with app:
        for value in range(3):
            await topic.send(value=value)
        with pytest.raises(TimeoutError):
            await app.wait_idle(timeout=0.3)
        assert [event.value for event in kept] == [0, 1, 2]
        assert not any(event.acked for event in kept)
        assert all(event.ack() for event in kept)
        assert not kept[0].ack()
        await app.wait_idle()


async def test_noack_take_hands_out_events_that_are_acked_by_hand() -> None:
    app = make_app()
    topic = app.topic("orders", value_type=int, partitions=1)
    lists: list[Any] = []

    @app.agent(topic)
    async def read(stream: Any) -> None:
        async for events in stream.noack_take(2, within=0.01):
            lists.append([event.value for event in events])
            assert not any(event.acked for event in events)
            for event in events:
                event.ack()

    async with app:
        for value in range(3):
            await topic.send(value=value)
        await app.wait_idle()
    assert [value for values in lists for value in values] == [0, 1, 2]


async def test_through_goes_by_the_topic_in_between() -> None:
    app = make_app()
    topic, between = app.topic("a", value_type=int), app.topic("b", value_type=int)
    seen: list[Any] = []

    @app.agent(topic)
    async def read(stream: Any) -> None:
        stream.add_processor(lambda value: value + 100)
        async for event in stream.through(between).events():
            seen.append((event.message.topic, event.key, event.value, event.message.value))

    async with app:
        await topic.send(key=b"k", value=1)
        await app.wait_idle()
    # The bytes in between are the original ones; processors set before run after.
    assert seen == [("b", b"k", 1, b"1")]


async def test_group_by_brings_equal_keys_to_one_partition() -> None:
    app = make_app()

    class Order(bl.Record):
        customer: str
        amount: float

    orders = app.topic("orders", value_type=Order)
    seen: dict[str, set[int]] = {}
    names: set[str] = set()

    @app.agent(orders, name="tally")
    async def tally(stream: Any) -> None:
        grouped = stream.group_by(Order.customer)
        async for order in grouped:
            message = grouped.current_message
            seen.setdefault(order.customer, set()).add(message.partition)
            names.add(message.topic)
            assert message.key == order.customer.encode()

    async with app:
        for number in range(40):
            await orders.send(value=Order(customer=f"c{number % 5}", amount=number))
        await app.wait_idle()
    assert sorted(seen) == ["c0", "c1", "c2", "c3", "c4"]
    assert all(len(partitions) == 1 for partitions in seen.values())
    assert len(set.union(*seen.values())) > 1
    assert names == {"tally-orders-Order.customer-repartition"}


async def test_repartition_topics_are_called_as_faust_calls_them() -> None:
    app = make_app()

    class Order(bl.Record):
        customer: str

    names: dict[str, str] = {}
    # Seen of faust-streaming 0.15.3: only an agent's own topic goes without the agent's name.
    sources = {
        "one": app.topic(f"{app.conf.id}-words", value_type=Order),
        "two": app.topic("words", value_type=Order),
        "three": None,
        "four": f"{app.conf.id}-four",
    }
    agents = []
    for name, source in sources.items():

        async def take(stream: Any, name: str = name) -> None:
            grouped = stream.group_by(Order.customer)
            async for _ in grouped:
                names[name] = grouped.current_message.topic

        typed = {} if name in ("one", "two") else {"value_type": Order}
        agents.append(app.agent(source, name=name, **typed)(take))
    async with app:
        for agent in agents:
            await agent.channel.send(value=Order(customer="c"))
        await app.wait_idle()
    own = app.conf.id
    assert names == {
        "one": f"one-{own}-words-Order.customer-repartition",
        "two": "two-words-Order.customer-repartition",
        "three": f"{own}-three-Order.customer-repartition",
        "four": f"four-{own}-four-Order.customer-repartition",
    }


async def test_group_by_takes_async_functions_with_a_name() -> None:
    app = make_app()
    numbers = app.topic("numbers", value_type=int)
    keys: list[Any] = []

    @app.agent(numbers, name="parity")
    async def read(stream: Any) -> None:
        async def parity(value: int) -> str:
            await asyncio.sleep(0)
            return "odd" if value % 2 else "even"

        async for key, value in stream.group_by(parity, name="parity").items():
            keys.append((key, value))

    async with app:
        for value in range(4):
            await numbers.send(value=value)
        await app.wait_idle()
    assert sorted(keys) == [(b"even", 0), (b"even", 2), (b"odd", 1), (b"odd", 3)]


async def test_event_whose_key_cannot_be_made_is_skipped() -> None:
    app = make_app()
    topic = app.topic("orders", partitions=1)
    seen: list[Any] = []

    @app.agent(topic)
    async def read(stream: Any) -> None:
        async for value in stream.group_by("customer"):
            seen.append(value["customer"])

    async with app:
        for value in ({"customer": "a"}, {"nobody": 1}, {"customer": "b"}):
            await topic.send(value=value)
        await app.wait_idle()
        assert app.failure_counts.total() == 1
    assert sorted(seen) == ["a", "b"]


async def test_stream_is_grouped_once_and_not_with_concurrency() -> None:
    app = make_app()
    topic = app.topic("orders")
    errors: list[str] = []

    @app.agent(topic, concurrency=2)
    async def read(stream: Any) -> None:
        with pytest.raises(ImproperlyConfigured) as caught:
            stream.group_by("x")
        errors.append(str(caught.value))
        async for _ in stream:
            pass

    @app.agent(topic)
    async def twice(stream: Any) -> None:
        grouped = stream.group_by("x")
        with pytest.raises(ImproperlyConfigured) as caught:
            stream.group_by("y")
        errors.append(str(caught.value))
        async for _ in grouped:
            pass

    await run(app)
    await app.stop()
    assert any("concurrency" in error for error in errors)
    assert any("once" in error for error in errors)


async def test_a_lambda_needs_a_name() -> None:
    app = make_app()
    await app.start()
    stream = app.topic("orders").stream()
    with pytest.raises(ImproperlyConfigured, match="name="):
        stream.group_by(lambda value: value)
    await app.stop()


async def test_echo_copies_key_and_value() -> None:
    app = make_app()
    topic, copy = app.topic("a", value_type=int), app.topic("b", value_type=int)
    seen: list[Any] = []

    @app.agent(topic)
    async def read(stream: Any) -> None:
        async for value in stream.echo(copy, "c"):
            seen.append(("a", value))

    @app.agent(copy)
    async def read_copy(stream: Any) -> None:
        async for key, value in stream.items():
            seen.append(("b", key, value))

    await run(app, (topic, b"k", 7))
    await app.stop()
    assert sorted(seen) == [("a", 7), ("b", b"k", 7)]


async def test_derived_topic_has_the_types_of_the_stream() -> None:
    app = make_app()
    await app.start()
    topic = app.topic("a", value_type=int)
    derived = topic.stream().derive_topic("b", prefix="x-")
    assert (derived.get_topic_name(), derived.value_type) == ("x-b", int)
    with pytest.raises(ValueError, match="not a topic"):
        app.channel().stream().derive_topic("b")
    await app.stop()


async def test_event_forward_keeps_the_bytes_and_send_encodes_anew() -> None:
    app = make_app()
    topic = app.topic("a", value_type=int, key_type=str)
    raw = app.topic("raw", value_type=bytes, value_serializer="raw")
    typed = app.topic("typed", value_type=str, key_type=str)
    seen: dict[str, Any] = {}

    @app.agent(topic)
    async def read(stream: Any) -> None:
        async for event in stream.events():
            await event.forward(raw)
            await event.send(typed, value="new")

    @app.agent(raw)
    async def read_raw(stream: Any) -> None:
        async for event in stream.events():
            seen["raw"] = (event.message.key, event.message.value, event.headers)

    @app.agent(typed)
    async def read_typed(stream: Any) -> None:
        async for event in stream.events():
            seen["typed"] = (event.key, event.message.value, event.headers)

    async with app:
        await topic.send(key="k", value=5, headers={"h": b"1"})
        await app.wait_idle()
    assert seen == {"raw": (b"k", b"5", {"h": b"1"}), "typed": ("k", b'"new"', {"h": b"1"})}


async def test_take_gives_its_list_out_when_somebody_waits_for_the_end() -> None:
    app = make_app()
    topic = app.topic("numbers", value_type=int, partitions=1)
    lists: list[list[int]] = []

    @app.agent(topic)
    async def read(stream: Any) -> None:
        async for batch in stream.take(1000, within=3600):
            lists.append(batch)

    async with app:
        for value in range(5):
            await topic.send(value=value)
        await app.wait_idle(timeout=10)
    assert [value for values in lists for value in values] == [0, 1, 2, 3, 4]


async def test_forward_to_a_typed_topic_leaves_the_bytes_alone() -> None:
    app = make_app()

    class Order(bl.Record):
        customer: str

    source, target = app.topic("a"), app.topic("b", value_type=Order)
    seen: list[Any] = []

    @app.agent(source)
    async def read(stream: Any) -> None:
        async for event in stream.events():
            await event.forward(target)

    @app.on(target)
    def see(order: Any, message: Any) -> None:
        seen.append((order.customer, message.value))

    async with app:
        await source.send(value={"customer": "ada"})
        await app.wait_idle()
    assert seen == [("ada", b'{"customer":"ada"}')]


async def test_a_stream_has_one_consumer() -> None:
    app = make_app()
    topic = app.topic("numbers", value_type=int)
    async with app:
        stream = topic.stream()

        async def read() -> None:
            async for _ in stream:
                pass

        first = asyncio.create_task(read())
        await asyncio.sleep(0)
        with pytest.raises(RuntimeError):
            await asyncio.create_task(read())
        first.cancel()
