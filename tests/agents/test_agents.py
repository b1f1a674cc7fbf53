"""Agents on the real core: both kinds, sinks, failures, concurrency, test contexts."""

from __future__ import annotations

import asyncio
import functools
import logging
from typing import Any

import beltline as bl
import pytest
from beltline.exceptions import ImproperlyConfigured


async def failure_of(app: bl.App) -> None:
    """Return never; raise the error that stops the app."""
    while True:
        app.raise_failure()
        await asyncio.sleep(0.001)


def make_app(**settings: Any) -> bl.App:
    return bl.App("agents", broker="memory://", topic_partitions=2, **settings)


async def test_default_name_and_topic() -> None:
    app = make_app()

    @app.agent()
    async def count(stream: Any) -> None:
        async for _ in stream:
            pass

    assert count.name.endswith("test_default_name_and_topic.count")
    assert app.agents[count.name] is count
    named = app.agent(name="counter")(count.fun)
    assert named.channel.get_topic_name() == "agents-counter"
    assert named.channel.internal


async def test_bare_decorator_makes_an_agent() -> None:
    app = make_app()

    @app.agent
    async def count(stream: Any) -> None:
        """Counts."""
        async for _ in stream:
            pass

    assert isinstance(count, bl.Agent)
    assert count.help == "Counts."


async def test_yielded_values_go_to_every_kind_of_sink() -> None:
    app = make_app()
    numbers = app.topic("numbers", value_type=int)
    doubled = app.topic("doubled", value_type=int)
    channel = app.channel()
    seen: list[Any] = []

    async def keep(value: int) -> None:
        await asyncio.sleep(0)
        seen.append(("async function", value))

    @app.agent(channel)
    async def read_channel(stream: Any) -> None:
        async for value in stream:
            seen.append(("channel", value))

    @app.agent(value_type=int, name="other")
    async def other(stream: Any) -> None:
        async for value in stream:
            seen.append(("agent", value))

    @app.agent(numbers, sink=[doubled, channel, other, keep, lambda value: seen.append(("function", value))])
    async def double(stream: Any) -> Any:
        async for value in stream:
            yield value * 2

    @app.agent(doubled)
    async def read_topic(stream: Any) -> None:
        async for value in stream:
            seen.append(("topic", value))

    async with app:
        await double.cast(4)
        await app.wait_idle()
    kinds = ["agent", "async function", "channel", "function", "topic"]
    assert sorted(seen) == [(kind, 8) for kind in kinds]


async def test_sinks_need_an_agent_that_yields() -> None:
    app = make_app()
    with pytest.raises(ImproperlyConfigured, match="yields nothing"):

        @app.agent(sink=[print])
        async def silent(stream: Any) -> None:
            async for _ in stream:
                pass


async def test_plain_function_is_no_agent() -> None:
    app = make_app()
    with pytest.raises(ImproperlyConfigured, match=r"@app\.on"):

        @app.agent()
        def plain(stream: Any) -> None:
            pass


async def test_topic_options_together_with_a_topic() -> None:
    app = make_app()
    with pytest.raises(AssertionError, match="value_type"):

        @app.agent(app.topic("x"), value_type=int)
        async def read(stream: Any) -> None:
            async for _ in stream:
                pass


async def test_failed_event_is_skipped_and_the_agent_goes_on(caplog: pytest.LogCaptureFixture) -> None:
    app = make_app()
    topic = app.topic("numbers", value_type=int, partitions=1)
    seen: list[int] = []

    @app.agent(topic, name="picky")
    async def picky(stream: Any) -> None:
        assert bl.current_agent() is picky
        async for value in stream:
            if value == 2:
                raise ValueError("two")
            seen.append(value)

    async with app:
        for value in range(5):
            await topic.send(value=value)
        with caplog.at_level(logging.ERROR):
            await app.wait_idle()
        assert (picky.desk.failed, picky.desk.skipped) == (1, 1)
    assert seen == [0, 1, 3, 4]
    assert "numbers[0]@2" in caplog.text
    assert bl.current_agent() is None


async def test_failure_after_group_by_goes_on_too() -> None:
    app = make_app()
    topic = app.topic("numbers", value_type=int, partitions=1)
    seen: list[int] = []

    @app.agent(topic)
    async def read(stream: Any) -> None:
        async for value in stream.group_by(str, name="text"):
            if value == 2:
                raise ValueError("two")
            seen.append(value)

    async with app:
        for value in range(6):
            await topic.send(value=value)
        await app.wait_idle()
    assert sorted(seen) == [0, 1, 3, 4, 5]


async def test_fail_stops_the_app_with_the_error_and_the_address() -> None:
    app = make_app()
    topic = app.topic("numbers", value_type=int, partitions=1)

    @app.agent(topic, on_error="fail")
    async def read(stream: Any) -> None:
        async for value in stream:
            raise ValueError(f"no {value}")

    await app.start()
    await topic.send(value=1)
    with pytest.raises(ValueError, match="no 1") as caught:
        await app.wait_idle()
    assert any("numbers[0]@0" in note for note in caught.value.__notes__)
    assert app.fatal_error is caught.value
    await app.stop()
    assert isinstance(app.fatal_error, ValueError)


async def test_retry_runs_again_on_the_same_event_in_order() -> None:
    app = make_app()
    topic = app.topic("numbers", value_type=int, partitions=1)
    runs: list[int] = []

    @app.agent(topic, on_error=bl.retry(3, 0.0, then="skip"))
    async def read(stream: Any) -> None:
        async for value in stream:
            runs.append(value)
            if value == 1 and runs.count(1) < 3:
                raise ValueError("not yet")

    async with app:
        for value in range(4):
            await topic.send(value=value)
        await app.wait_idle()
    assert runs == [0, 1, 1, 1, 2, 3]


async def test_dead_letter_keeps_the_bytes_and_tells_the_cause() -> None:
    app = make_app()
    topic = app.topic("numbers", value_type=int, partitions=1)
    letters: list[Any] = []

    @app.agent(topic, name="reader", on_error=bl.dead_letter("bad"))
    async def read(stream: Any) -> None:
        async for _ in stream:
            raise ValueError("never")

    @app.agent(app.topic("bad", value_serializer="raw"))
    async def read_bad(stream: Any) -> None:
        async for event in stream.events():
            letters.append((event.message.key, event.message.value, event.headers))

    async with app:
        await topic.send(key=b"k", value=7, headers={"mine": b"x"})
        await app.wait_idle()
    ((key, value, headers),) = letters
    assert (key, value, headers["mine"]) == (b"k", b"7", b"x")
    assert headers["beltline-error-type"] == b"ValueError"
    assert headers["beltline-error-handler"] == b"reader"
    assert headers["beltline-error-offset"] == b"0"
    assert b"test_agents.py" in headers["beltline-error-line"]


async def test_list_of_take_is_settled_as_a_whole() -> None:
    app = make_app()
    topic = app.topic("numbers", value_type=int, partitions=1)
    lists: list[list[int]] = []

    @app.agent(topic, on_error=bl.retry(1, 0.0, then="skip"))
    async def read(stream: Any) -> None:
        async for batch in stream.take(3, within=0.05):
            lists.append(batch)
            if len(lists) == 1:
                raise ValueError("once")

    async with app:
        for value in range(3):
            await topic.send(value=value)
        await app.wait_idle()
    assert lists == [[0, 1, 2], [0, 1, 2]]


async def test_concurrency_shares_the_events() -> None:
    app = make_app()
    topic = app.topic("numbers", value_type=int)
    seen: list[int] = []
    running = 0
    most = 0

    @app.agent(topic, concurrency=3)
    async def read(stream: Any) -> None:
        nonlocal running, most
        async for value in stream:
            running += 1
            most = max(most, running)
            await asyncio.sleep(0.001)
            running -= 1
            seen.append(value)

    async with app:
        for value in range(30):
            await topic.send(value=value)
        await app.wait_idle()
    assert sorted(seen) == list(range(30))
    assert most == 3


async def test_two_agents_see_every_event_each() -> None:
    app = make_app()
    topic = app.topic("numbers", value_type=int)
    seen: dict[str, list[int]] = {"a": [], "b": []}

    async def read(name: str, stream: Any) -> None:
        async for value in stream:
            seen[name].append(value)

    app.agent(topic, name="a")(functools.partial(read, "a"))
    app.agent(topic, name="b")(functools.partial(read, "b"))
    async with app:
        for value in range(5):
            await topic.send(key=b"k", value=value)
        await app.wait_idle()
    assert seen == {"a": [0, 1, 2, 3, 4], "b": [0, 1, 2, 3, 4]}


async def test_agent_on_a_channel_is_drained_at_stop() -> None:
    app = make_app()
    channel = app.channel()
    seen: list[int] = []

    @app.agent(channel)
    async def read(stream: Any) -> None:
        async for value in stream:
            await asyncio.sleep(0.001)
            seen.append(value)

    await app.start()
    for value in range(5):
        await channel.send(value=value)
    await app.stop()
    assert seen == [0, 1, 2, 3, 4]


async def test_agent_that_fails_before_its_first_event_stops_the_app() -> None:
    app = make_app()

    @app.agent(app.topic("x"))
    async def broken(stream: Any) -> None:
        raise RuntimeError("no database")

    broken_delay = "beltline.failures.BARREN_DELAY_S"
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(broken_delay, 0.0)
        await app.start()
        with pytest.raises(RuntimeError, match="no database"):
            await failure_of(app)
    await app.stop()


async def test_context_runs_the_agent_without_a_worker() -> None:
    app = make_app()

    @app.agent(app.topic("x", value_type=int))
    async def double(stream: Any) -> Any:
        async for value in stream:
            yield value * 2

    for _ in range(2):
        async with double.test_context() as agent:
            event = await agent.put(3, key="k")
            assert agent.results == {event.message.offset: 6}
            await agent.put(4)
            assert agent.results[1] == 8
            assert (agent.sent_offset, agent.processed_offset) == (1, 1)


async def test_context_keeps_the_values_of_an_agent_that_does_not_yield() -> None:
    app = make_app()
    table = app.Table("counts", default=int)

    @app.agent(app.topic("x"))
    async def count(stream: Any) -> None:
        async for key in stream:
            table[key] += 1

    async with count.test_context() as agent:
        await agent.put("A")
        await agent.put("A")
        assert agent.results == {0: "A", 1: "A"}
        assert table["A"] == 2


async def test_context_raises_what_the_agent_raises() -> None:
    app = make_app()

    @app.agent(app.topic("x"))
    async def broken(stream: Any) -> None:
        async for value in stream:
            raise LookupError(value)

    async with broken.test_context() as agent:
        with pytest.raises(LookupError, match="bad"):
            await agent.put("bad")
    with pytest.raises(KeyError):
        async with broken.test_context() as agent:
            await agent.throw(KeyError())


async def test_agent_can_be_called_with_another_stream() -> None:
    app = make_app()

    @app.agent(app.topic("x"))
    async def double(stream: Any) -> Any:
        async for value in stream:
            yield value * 2

    assert [value async for value in double(app.stream([1, 2]))] == [2, 4]
