"""Futures of records: answered for those who ask, and only for them."""

from __future__ import annotations

import gc
import weakref
from typing import Any

import beltline as bl
import pytest
from beltline.sending import FutureMessage


def make_app() -> tuple[bl.App, Any]:
    app = bl.App("sender", broker="memory://", topic_partitions=1)
    return app, app.topic("numbers", value_type=int)


async def test_a_future_that_is_held_gets_the_address() -> None:
    app, numbers = make_app()
    async with app:
        first, second = (numbers.send_soon(key="k", value=number) for number in range(2))
        metadata = await second
        assert (metadata.topic, metadata.partition, metadata.offset) == ("numbers", 0, 1)
        assert (await first).offset == 0
        assert (first.message.channel, first.message.key, first.message.value) == (numbers, "k", 0)


async def test_callbacks_are_called_although_nobody_holds_the_future() -> None:
    app, numbers = make_app()
    offsets: list[int] = []

    def note(future: Any) -> None:
        offsets.append(future.result().offset)

    async with app:
        numbers.send_soon(value=1).add_done_callback(note)
        numbers.send_soon(value=2).add_done_callback(note)
        await numbers.send(value=3, callback=note)
        gc.collect()
        await app.wait_idle()
    assert offsets == [0, 1, 2]


async def test_a_future_that_nobody_holds_is_let_go() -> None:
    app, numbers = make_app()
    async with app:
        numbers.send_soon(value=0)
        dropped = weakref.ref(numbers.send_soon(value=1))
        await app.wait_idle()
        assert dropped() is None


async def test_a_future_is_used_again_only_when_nobody_can_tell() -> None:
    app, numbers = make_app()
    async with app:
        numbers.send_soon(value=0)
        held = [numbers.send_soon(value=number) for number in (1, 2)]
        watched = weakref.ref(numbers.send_soon(value=3))
        assert watched() is not None
        given_up = numbers.send_soon(value=4)
        given_up.cancel()
        del given_up
        after = numbers.send_soon(value=5)
        assert [one.message.value for one in held] == [1, 2]
        pending = watched()
        assert pending is None or pending.message.value == 3
        del pending
        assert (await after).offset == 5
        assert [(await one).offset for one in held] == [1, 2]


def futures_made(numbers: bl.Topic) -> int:
    """Send a thousand times, look at nothing, and return how many futures that has left."""
    for number in range(3):
        numbers.send_soon(key="k", value=number)
    before = sum(isinstance(one, FutureMessage) for one in gc.get_objects())
    for number in range(1000):
        numbers.send_soon(key="k", value=number)
    return sum(isinstance(one, FutureMessage) for one in gc.get_objects()) - before


async def test_a_thousand_futures_that_nobody_holds_are_one() -> None:
    app, numbers = make_app()
    async with app:
        assert futures_made(numbers) <= 1
        assert (await numbers.send_soon(key="k", value=7)).offset == 1003


class Listener:
    """Remembers what was sent."""

    def __init__(self) -> None:
        self.heard: list[Any] = []

    def hear(self, *_: Any, value: Any, **__: Any) -> None:
        self.heard.append(value)


@pytest.mark.parametrize("scope", ["this app", "every app", "this app, named"])
@pytest.mark.parametrize("leave", ["disconnected", "collected"])
async def test_sends_are_quick_again_when_the_last_listener_has_gone(scope: str, leave: str) -> None:
    app, numbers = make_app()
    signal = app.on_produce_message if scope == "this app" else bl.App.on_produce_message
    options: dict[str, Any] = {"sender": app} if scope == "this app, named" else {}
    options["weak"] = leave == "collected"
    listener = Listener()
    heard = listener.heard
    async with app:
        numbers.send_soon(value=1)
        signal.connect(listener.hear, **options)
        assert app.watches_sends()
        numbers.send_soon(value=2)
        assert futures_made(numbers) >= 1000
        assert heard[:2] == [b"2", b"0"]
        if leave == "disconnected":
            signal.disconnect(listener.hear, **options)
        del listener
        gc.collect()
        assert not app.watches_sends()
        heard.clear()
        assert futures_made(numbers) <= 1
        assert heard == []


async def test_listeners_to_one_app_leave_the_sends_of_others_alone() -> None:
    app, numbers = make_app()
    other, others_numbers = make_app()
    listener = Listener()
    other.on_produce_message.connect(listener.hear)
    async with app, other:
        assert futures_made(numbers) <= 1
        others_numbers.send_soon(value=7)
        await app.wait_idle()
    assert listener.heard == [b"7"]


async def test_the_quick_way_and_the_general_one_write_the_same() -> None:
    app, numbers = make_app()
    with_headers = {"h": b"1"}
    async with app:
        for _ in range(2):
            numbers.send_soon(key="k", value=7)
        numbers.send_soon(key="k", value=7, headers=with_headers)
        numbers.send_soon(key="k", value=None)
        produced: list[Any] = []
        app.on_produce_message.connect(lambda *_, value=None, **__: produced.append(value), weak=False)
        numbers.send_soon(key="k", value=8)
        await app.wait_idle()
    assert produced == [b"8"]
