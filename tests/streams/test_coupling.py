"""Which tables a function writes to."""

from __future__ import annotations

import functools
from typing import Any

import beltline as bl
import pytest
from beltline.streams.coupling import regroups, tables_of

app = bl.App("coupling", broker="memory://")
words = app.Table("words", default=int)
lines = app.Table("lines", default=int)


class Counter:
    """Holds a table."""

    def __init__(self, table: Any) -> None:
        self.table = table

    def count(self, word: str) -> None:
        """Count."""
        self.table[word] += 1

    def __call__(self, word: str) -> None:
        """Count."""
        self.table[word] += 1


counter = Counter(lines)


def directly(word: str) -> None:
    words[word] += 1


def through_another(word: str) -> None:
    directly(word)


def through_an_object(word: str) -> None:
    counter.count(word)


def through_an_attribute(word: str) -> None:
    counter.table[word] += 1


def through_a_closure(table: Any) -> Any:
    def inner(word: str) -> None:
        (lambda: table)()[word] += 1

    return inner


def with_more(more: int, word: str) -> None:
    words[word] += more


async def agent(stream: Any) -> None:
    async for word in stream:
        words[word] += 1


async def nothing(stream: Any) -> None:
    async for _ in stream:
        print("nothing")


def around_and_around(word: str) -> None:
    around_and_around(word)


@pytest.mark.parametrize(
    ("fun", "tables"),
    [
        (directly, ["words"]),
        (through_another, ["words"]),
        (through_an_object, ["lines"]),
        (through_an_attribute, ["lines"]),
        (counter, ["lines"]),
        (through_a_closure(lines), ["lines"]),
        (functools.partial(with_more, 2), ["words"]),
        (counter.count, ["lines"]),
        (agent, ["words"]),
        (nothing, []),
        (around_and_around, []),
        (len, []),
    ],
)
def test_tables_are_found(fun: Any, tables: list[str]) -> None:
    assert tables_of(fun) == tables


def test_tables_that_are_found_by_name_are_not_known() -> None:
    assert tables_of(lambda word: app.tables["words"][word]) is None


async def grouped(stream: Any) -> None:
    async for _ in stream.group_by(len, name="length"):
        pass


def test_regrouping_is_seen() -> None:
    assert regroups(grouped)
    assert not regroups(agent)
    assert not regroups(len)
