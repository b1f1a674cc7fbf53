"""Tables through an app: default, types, changelog, recovery, text form."""

from __future__ import annotations

import asyncio
import logging
from pathlib import Path
from typing import Any

import beltline as bl
import pytest
from beltline.exceptions import ImproperlyConfigured


class Point(bl.Record):
    x: int
    tags: list[str]


def make_app(**settings: Any) -> bl.App:
    return bl.App("tables", **{"broker": "memory://", "topic_partitions": 2, **settings})


async def test_writes_outside_of_an_event_are_refused() -> None:
    app = make_app()
    table = app.Table("counts", default=int)
    async with app:
        with pytest.raises(TypeError):
            table["a"] = 1
        assert table["a"] == 0
        assert "a" not in table


def test_default_has_to_be_a_function() -> None:
    with pytest.raises(ImproperlyConfigured, match="default=0"):
        make_app().Table("counts", default=0)  # type: ignore[arg-type]


async def test_changelog_bytes_are_those_of_faust() -> None:
    app = make_app()
    numbers = app.topic("numbers", value_type=str, partitions=2)
    table = app.Table("counts", default=int)
    log: list[Any] = []

    @app.on(numbers)
    def count(word: str) -> None:
        if word.startswith("-"):
            del table[word[1:]]
        else:
            table[word] += 1

    changelog = app.topic("tables-counts-changelog", value_serializer="raw", allow_empty=True, partitions=2)

    @app.on(changelog)
    def read(message: Any) -> None:
        log.append((message.key, message.value))

    async with app:
        for word in ("foo", "é", "-é"):
            await numbers.send(key=b"k", value=word)
            await app.wait_idle()
        async with asyncio.timeout(10):
            # Whether a changelog has been read to its end is nothing that an app waits for.
            while len(log) < 3:
                await asyncio.sleep(0.001)
    assert log == [(b'"foo"', b"1"), (b'"\\u00e9"', b"1"), (b'"\\u00e9"', None)]


async def test_records_and_lists_are_restored_after_a_restart(tmp_path: Path) -> None:
    recovered: list[str] = []

    def build() -> tuple[bl.App, Any, Any, Any]:
        app = make_app(broker="embedded://", datadir=tmp_path / "data")
        topic = app.topic("points", value_type=Point)
        points = app.Table("points", value_type=Point)
        lists = app.Table("lists", default=list)

        @points.on_recover
        async def say() -> None:
            recovered.append("points")

        @app.on(topic, by="x")
        def keep(point: Point) -> None:
            points[str(point.x)] = point
            tags = lists[point.x]
            tags.extend(point.tags)
            lists[point.x] = tags

        return app, topic, points, lists

    app, topic, points, lists = build()
    async with app:
        await app.wait_ready()
        for x in range(3):
            await topic.send(value=Point(x=x, tags=["a", "b"]))
        await app.wait_idle()
    app, topic, points, lists = build()
    async with app:
        await app.wait_ready()
        assert {key: (point.x, point.tags) for key, point in points.items()} == {
            str(x): (x, ["a", "b"]) for x in range(3)
        }
        assert dict(lists.items()) == {x: ["a", "b"] for x in range(3)}
        assert all(isinstance(point, Point) for point in points.values())
    assert recovered == ["points", "points"]


async def test_key_of_another_partition_is_reported_once_with_the_cure(caplog: pytest.LogCaptureFixture) -> None:
    app = make_app(topic_partitions=4)
    words = app.topic("words", value_type=str)
    table = app.Table("counts", default=int)

    @app.on(words)
    def count(word: str) -> None:
        table[word] += 1

    async with app:
        with caplog.at_level(logging.WARNING):
            for number in range(16):
                await words.send(value=f"w{number}")
            await app.wait_idle()
    warnings = [record for record in caplog.records if "belong to partition" in record.getMessage()]
    assert len(warnings) == 1
    assert "group_by" in warnings[0].getMessage()


async def test_text_form() -> None:
    app = make_app()
    words = app.topic("words", value_type=str)
    table = app.Table("counts", default=int)

    @app.on(words)
    def count(word: str) -> None:
        table[word] += 1

    async with app:
        for word in ("b", "a", "b"):
            await words.send(key=word.encode(), value=word)
        await app.wait_idle()
        text = table.as_ansitable(key="Word", value="Count", sort=True)
    lines = text.splitlines()
    assert lines[0].strip() == "counts"
    assert "Word" in text
    assert "Count" in text
    assert text.index("a") < text.rindex("b")
    assert "\x1b" not in text
