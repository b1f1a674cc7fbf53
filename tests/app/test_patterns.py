"""Topics by pattern, and topics, agents and handlers that come while the app runs: on the embedded log."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Callable
from typing import Any

import beltline as bl
import pytest
from beltline.exceptions import ImproperlyConfigured

LIMIT_S = 30.0


async def until(condition: Callable[[], Any]) -> None:
    """Return when it holds."""
    async with asyncio.timeout(LIMIT_S):
        while not condition():
            await asyncio.sleep(0.005)


def make_app(**settings: Any) -> bl.App:
    return bl.App("patterns", **{"broker": "memory://", "topic_partitions": 2, **settings})


def reader(app: bl.App, pattern: Any, **options: Any) -> list[tuple[str, Any]]:
    """Have an agent read a pattern; returns what it sees: topic and value."""
    seen: list[tuple[str, Any]] = []

    @app.agent(app.topic(pattern=pattern, **options))
    async def read(stream: Any) -> None:
        async for event in stream.events():
            seen.append((event.message.topic, event.value))

    return seen


async def test_every_topic_that_matches_is_read() -> None:
    app = make_app()
    for name in ("orders-eu", "orders-us", "my-orders-eu", "orders"):
        app.topic(name, value_type=int)
    seen = reader(app, "orders-.*")
    async with app:
        for name in ("orders-eu", "orders-us", "my-orders-eu", "orders"):
            await app.send(name, value=len(name))
        await app.wait_idle()
    assert sorted(seen) == [("orders-eu", 9), ("orders-us", 9)]


async def test_topics_that_come_up_are_read_from_their_first_record() -> None:
    app = make_app(consumer_auto_offset_reset="latest", consumer_metadata_max_age_ms=50)
    seen = reader(app, re.compile("ORDERS-(eu|us)", re.IGNORECASE))
    async with app:
        await app.send("orders-eu", value=1)
        await app.send("orders-cn", value=2)
        await until(lambda: seen)
        await app.send("orders-us", value=3)
        await app.send("orders-eu", value=4)
        await until(lambda: len(seen) == 3)
        await app.wait_idle()
    assert sorted(seen) == [("orders-eu", 1), ("orders-eu", 4), ("orders-us", 3)]


async def test_positions_are_kept_for_each_topic(tmp_path: Any) -> None:
    for value in (1, 2):
        app = bl.App("patterns", datadir=tmp_path, topic_partitions=1, consumer_metadata_max_age_ms=50, endpoint=False)
        seen = reader(app, "orders-.*")
        async with app:
            await app.send("orders-eu", value=value)
            await until(lambda seen=seen: seen)
            await app.wait_idle()
        assert seen == [("orders-eu", value)]


async def test_handlers_take_patterns_too() -> None:
    app = make_app(consumer_metadata_max_age_ms=50)
    handled: list[Any] = []

    @app.on(app.topic(pattern="orders-.*", value_type=int))
    def handle(order: int) -> None:
        handled.append(order)

    async with app:
        await app.send("orders-eu", value=5)
        await until(lambda: handled)
    assert handled == [5]


async def test_what_the_app_keeps_for_itself_is_left_out() -> None:
    app = make_app(consumer_metadata_max_age_ms=50)
    counts = app.Table("counts", default=int)
    seen = reader(app, ".*")

    @app.on(app.topic("words", value_type=str), by=lambda_key)
    def count(word: str) -> None:
        counts[word] += 1

    async with app:
        await app.send("__mine", value=0)
        await app.send("words", value="a")
        await until(lambda: seen)
        await app.wait_idle()
        topics = {name for name, _ in app.session.belt.topics()}
    assert topics > {"words", "__mine", "patterns-counts-changelog"}
    assert {topic for topic, _ in seen} == {"words"}


def lambda_key(word: str) -> str:
    """Return the word itself."""
    return word


def test_a_pattern_has_no_name_to_send_to() -> None:
    app = make_app()
    topic = app.topic(pattern="orders-.*")
    with pytest.raises(TypeError, match=r"pattern 'orders-\.\*' has no single name"):
        topic.get_topic_name()
    with pytest.raises(TypeError, match="either names or pattern"):
        app.topic("orders", pattern="orders-.*")
    with pytest.raises(ImproperlyConfigured, match="no regular expression"):
        app.topic(pattern="orders-[")
    with pytest.raises(ImproperlyConfigured, match="for bytes"):
        app.topic(pattern=re.compile(b"orders"))
    with pytest.raises(ValueError, match="prefix or suffix"):
        topic.derive_topic(suffix="-old")
    assert topic.derive_topic(topics=["one"]).get_topic_name() == "one"
    assert topic.derive().pattern == topic.pattern


async def test_topics_agents_and_handlers_come_while_the_app_runs() -> None:
    app = make_app()
    taken: list[Any] = []
    async with app:
        topic = app.topic("late", value_type=int)

        @app.agent(topic)
        async def take(stream: Any) -> None:
            async for value in stream:
                taken.append(value)

        @app.on(topic)
        def also(value: int) -> None:
            taken.append(-value)

        await take.start()
        await topic.send(value=7)
        await app.wait_idle()
        assert sorted(taken) == [-7, 7]
        assert take.running
    assert not take.running


async def test_an_agent_that_is_declared_before_the_start_starts_once() -> None:
    app = make_app()
    seen = reader(app, "orders")
    topic = app.topic("orders", value_type=int)
    async with app:
        (agent,) = app.agents.values()
        await agent.start()
        await topic.send(value=1)
        await app.wait_idle()
    assert seen == [("orders", 1)]


async def test_a_topic_with_more_partitions_than_its_table_is_refused_at_the_start() -> None:
    app = make_app()
    counts = app.Table("counts", default=int, partitions=2)

    def add(word: str) -> None:
        counts[word] += 1

    @app.on(app.topic("words", value_type=str, partitions=3))
    def count(word: str) -> None:
        add(word)

    with pytest.raises(ImproperlyConfigured) as refused:
        await app.start()
    for part in ("topic words has 3 partitions", "table counts", "has 2", "patterns-counts-changelog", "partitions=3"):
        assert part in str(refused.value)


async def test_a_topic_with_more_partitions_may_be_grouped_for_its_table() -> None:
    app = make_app()
    counts = app.Table("counts", default=int, partitions=2)

    @app.agent(app.topic("words", value_type=str, partitions=3))
    async def count(words: Any) -> None:
        async for word in words.group_by(lambda_key, partitions=2):
            counts[word] += 1

    async with app:
        for word in "aabc":
            await app.send("words", value=word)
        await app.wait_idle()
        assert dict(counts) == {"a": 2, "b": 1, "c": 1}
