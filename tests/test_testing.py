"""`beltline.testing`: the real engine in memory, by a clock that is moved by hand."""

from __future__ import annotations

import asyncio
import time
from typing import Any

import beltline as bl
import pytest
from beltline.exceptions import ImproperlyConfigured


class Order(bl.Record):
    customer: str
    amount: float


class Shop:
    """An app with two agents, a table and a timer."""

    def __init__(self, **settings: Any) -> None:
        self.app = app = bl.App("shop", **settings)
        self.orders = app.topic("orders", value_type=Order, partitions=4)
        self.big = app.topic("big-orders", value_type=Order, partitions=4)
        self.spent = app.Table("spent", default=float, partitions=4)
        self.ticks: list[float] = []
        self.seen: list[Any] = []

        @app.agent(self.orders, name="tally")
        async def tally(orders: Any) -> None:
            async for order in orders.group_by(Order.customer, partitions=4):
                if order.amount < 0:
                    raise ValueError("money back")
                self.spent[order.customer] += order.amount
                if order.amount > 1000:
                    await self.big.send(key=order.customer, value=order)

        @app.agent(self.big, name="watch")
        async def watch(orders: Any) -> None:
            async for order in orders:
                self.seen.append((order.customer, order.amount))

        @app.timer(10.0)
        async def tick() -> None:
            self.ticks.append(app.session.clock.time())

        self.tally = tally


def test_the_first_page(monkeypatch: pytest.MonkeyPatch) -> None:
    shop = Shop()
    with bl.testing.run(shop.app) as belt:
        belt.send(shop.orders, Order(customer="ada", amount=1200.0))
        belt.send("orders", Order(customer="ada", amount=30.0))
        belt.drain()
        assert shop.spent["ada"] == 1230.0
        assert shop.seen == [("ada", 1200.0)]
        assert belt.values(shop.big) == [Order(customer="ada", amount=1200.0)]


async def test_in_a_coroutine() -> None:
    shop = Shop()
    async with bl.testing.run(shop.app) as belt:
        await belt.send(shop.orders, Order(customer="ada", amount=5.0))
        await belt.drain()
        assert shop.spent["ada"] == 5.0
        await belt.advance(25)
        assert len(shop.ticks) == 2


def test_timers_go_by_the_clock_that_is_moved() -> None:
    shop = Shop()
    with bl.testing.run(shop.app) as belt:
        start = belt.time()
        belt.advance(9.9)
        assert shop.ticks == []
        belt.advance(30.2)
        assert [moment - start for moment in shop.ticks] == [10.0, 20.0, 30.0, 40.0]
        assert belt.time() == pytest.approx(start + 40.1)


def test_crontabs_too() -> None:
    app, runs = bl.App("cron"), []

    @app.crontab("0 * * * *")
    async def hourly() -> None:
        runs.append(app.session.clock.time() % 3600)

    with bl.testing.run(app) as belt:
        belt.advance(3 * 3600)
    assert runs == [0.0, 0.0, 0.0]


def test_records_carry_the_time_of_the_clock() -> None:
    shop = Shop()
    with bl.testing.run(shop.app) as belt:
        belt.advance(100)
        belt.send(shop.big, Order(customer="bo", amount=2.0), key="bo", headers={"a": b"1"})
        belt.drain()
        (record,) = belt.records("big-orders")
        assert record.timestamp == pytest.approx(belt.time(), abs=0.002)
        assert (record.key, record.headers, record.offset) == (b"bo", {"a": b"1"}, 0)


def test_runs_of_one_app_do_not_see_one_another() -> None:
    shop = Shop()
    for _ in range(3):
        shop.ticks.clear()
        with bl.testing.run(shop.app) as belt:
            assert len(shop.spent) == 0
            belt.send(shop.orders, Order(customer="ada", amount=7.0))
            belt.drain()
            assert dict(shop.spent.items()) == {"ada": 7.0}
            belt.advance(10)
            assert len(shop.ticks) == 1
            assert len(belt.records("orders")) == 1


def test_drain_raises_what_a_handler_raised() -> None:
    shop = Shop()
    with bl.testing.run(shop.app) as belt:
        belt.send(shop.orders, Order(customer="ada", amount=-1.0))
        with pytest.raises(ValueError, match="money back"):
            belt.drain()
        belt.send(shop.orders, Order(customer="ada", amount=3.0))
        belt.drain()
        assert shop.spent["ada"] == 3.0


def test_an_agent_that_fails_before_its_first_event_is_raised() -> None:
    app = bl.App("early")
    words = app.topic("words", value_type=str, partitions=1)

    @app.agent(words, name="early")
    async def early(stream: Any) -> None:
        raise OSError("no connection")

    with bl.testing.run(app) as belt:
        belt.send(words, "x")
        with pytest.raises(OSError, match="no connection"):
            belt.drain()


def test_an_error_that_nobody_drained_is_raised_at_the_end() -> None:
    shop = Shop()

    def test() -> None:
        with bl.testing.run(shop.app) as belt:
            belt.send(shop.orders, Order(customer="ada", amount=-1.0))
            belt._call(shop.app.wait_idle())

    with pytest.raises(ValueError, match="money back"):
        test()


def test_a_policy_that_was_chosen_is_carried_out_and_nothing_raised() -> None:
    shop = Shop(on_error="skip")
    with bl.testing.run(shop.app) as belt:
        belt.send(shop.orders, Order(customer="ada", amount=-1.0))
        belt.drain()
        assert len(shop.spent) == 0


def test_dead_letters_can_be_read() -> None:
    app = bl.App("letters")
    numbers = app.topic("numbers", value_type=int, partitions=1)

    @app.on(numbers, on_error=bl.dead_letter("bad"))
    def handle(number: int) -> None:
        raise KeyError(number)

    with bl.testing.run(app) as belt:
        belt.send(numbers, 5)
        belt.drain()
        (letter,) = belt.records("bad")
        assert letter.headers["beltline-error-type"] == b"KeyError"


def test_failing_is_final() -> None:
    shop = Shop(on_error="fail")
    with bl.testing.run(shop.app) as belt:
        belt.send(shop.orders, Order(customer="ada", amount=-1.0))
        with pytest.raises(ValueError, match="money back"):
            belt.drain()
    with bl.testing.run(shop.app) as belt:
        belt.send(shop.orders, Order(customer="ada", amount=1.0))
        belt.drain()
        assert shop.spent["ada"] == 1.0


def test_bytes_that_cannot_be_decoded_are_an_error() -> None:
    app = bl.App("raw")
    numbers = app.topic("numbers", value_type=int, partitions=1)
    raw = app.topic("numbers", value_serializer="raw", partitions=1)

    @app.on(numbers)
    def handle(number: int) -> None:
        raise AssertionError(number)

    with bl.testing.run(app) as belt:
        belt.send(raw, b"{broken")
        with pytest.raises(bl.exceptions.ValueDecodeError):
            belt.drain()


def test_a_timer_that_fails_is_raised() -> None:
    app = bl.App("tick")

    @app.timer(1.0)
    async def tick() -> None:
        raise ArithmeticError("tock")

    with bl.testing.run(app) as belt, pytest.raises(ArithmeticError, match="tock"):
        belt.advance(1)


def test_a_handler_that_does_not_end_is_named() -> None:
    app = bl.App("stuck")
    words = app.topic("words", value_type=str, partitions=1)

    @app.agent(words, name="wait")
    async def wait(stream: Any) -> None:
        async for _ in stream:
            await asyncio.sleep(600)

    app.conf.shutdown_deadline = 0.2
    with bl.testing.run(app) as belt:
        belt.send(words, "x")
        with pytest.raises(TimeoutError, match="words"):
            belt.drain(timeout=0.2)


def test_events_can_be_given_to_agents_and_channels() -> None:
    app, got = bl.App("channels"), []
    channel = app.channel()

    @app.agent(channel, name="listen")
    async def listen(stream: Any) -> None:
        async for item in stream:
            got.append(item)

    @app.agent(value_type=int, name="numbers")
    async def numbers(stream: Any) -> None:
        async for number in stream:
            got.append(number)

    with bl.testing.run(app) as belt:
        belt.send(channel, {"any": "thing"})
        belt.send(numbers, 5)
        belt.drain()
    assert got == [{"any": "thing"}, 5]


def test_mistakes() -> None:
    shop = Shop()
    with bl.testing.run(shop.app) as belt:
        with pytest.raises(ImproperlyConfigured, match="did you mean orders"):
            belt.send("order", 1)
        with pytest.raises(ImproperlyConfigured, match="runs already"), bl.testing.run(shop.app):
            pass
        belt.send(shop.orders, Order(customer="ada", amount=1.0))
        belt.drain()
        assert shop.spent["ada"] == 1.0


async def test_the_plain_form_is_refused_inside_an_event_loop() -> None:
    with pytest.raises(ImproperlyConfigured, match="async with"), bl.testing.run(Shop().app):
        pass


def test_nothing_is_written(tmp_path: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    shop = Shop()
    with bl.testing.run(shop.app) as belt:
        belt.send(shop.orders, Order(customer="ada", amount=1.0))
        belt.drain()
    assert list(tmp_path.iterdir()) == []


def test_is_quick() -> None:
    """The best of several runs, so that a busy machine does not matter."""

    def once() -> float:
        began = time.perf_counter()
        shop = Shop()
        with bl.testing.run(shop.app) as belt:
            belt.send(shop.orders, Order(customer="ada", amount=1200.0))
            belt.drain()
            belt.advance(10)
        assert shop.spent.get("ada") is not None or shop.ticks
        return time.perf_counter() - began

    assert min(once() for _ in range(5)) < 0.05
