"""Native tables: a mapping in every respect, one shard at a time."""

from __future__ import annotations

import asyncio
import json
from typing import Any

import pytest
from bed import Bed
from beltline._native import Stream, Table

pytestmark = pytest.mark.asyncio


def table(bed: Bed, **options: Any) -> Table[Any, Any]:
    """Return a table of the belt, with JSON for what is no scalar."""
    made = Table(
        "t",
        value_loads=json.loads,
        value_dumps=lambda value: json.dumps(value).encode(),
        key_loads=lambda data: tuple(json.loads(data)),
        key_dumps=lambda key: json.dumps(key).encode(),
        **options,
    )
    bed.belt.attach_table(made, "changes", 2)
    return made


async def in_event(bed: Bed, work: Any, partition: int = 0) -> None:
    """Run `work` while an event of a partition is in hand."""
    bed.send("event", partition=partition)
    bed.watch()
    async for _ in Stream(bed.belt.subscribe("worker", ["in"])):
        work()
        break


async def test_it_is_a_dict(bed: Bed) -> None:
    t = table(bed, default=int)

    def work() -> None:
        assert (len(t), list(t), t == {}) == (0, [], True)
        assert t["missing"] == 0
        assert "missing" not in t
        t["a"], t[1], t[("x", 2)] = 1, 2.5, [1, {"y": None}]
        t["a"] += 1
        t["caf\u00e9"] = "\U0001f98a"
        assert dict(t) == {"a": 2, 1: 2.5, ("x", 2): [1, {"y": None}], "caf\u00e9": "\U0001f98a"} == t.copy()
        assert list(t.keys()) == ["a", 1, ("x", 2), "caf\u00e9"]
        assert next(iter(t.items())) == ("a", 2)
        assert 2.5 in t.values()
        assert (t.get("a"), t.get("b"), t.get("b", 7)) == (2, None, 7)
        assert t.setdefault("a", 9) == 2
        assert t.setdefault("new", 9) == 9
        assert t.pop("new") == 9
        assert t.pop("new", None) is None
        with pytest.raises(KeyError, match="new"):
            t.pop("new")
        with pytest.raises(KeyError, match="new"):
            del t["new"]
        t.update({"u": 1}, v=2)
        t.update([("w", True)])
        assert (t["u"], t["v"], t["w"]) == (1, 2, True)
        assert t | {"z": 1} == {**dict(t), "z": 1}
        assert {"z": 1} | t == {"z": 1, **dict(t)}
        key, value = t.popitem()
        assert (key, value) == ("w", True)
        t.clear()
        assert len(t) == 0

    await in_event(bed, work)


@pytest.mark.parametrize("value", [0, -1, 2**63 - 1, 2**70, 1.0, -0.0, 1e300, True, None, "", "\ud83e", [], {"a": [1]}])
async def test_values_keep_their_type(bed: Bed, value: Any) -> None:
    t = table(bed)

    def work() -> None:
        t["k"] = value
        assert repr(t["k"]) == repr(value)

    await in_event(bed, work)


async def test_types_that_nobody_can_write_are_named(bed: Bed) -> None:
    t = Table("plain")
    bed.belt.attach_table(t, "changes", 2)

    def work() -> None:
        with pytest.raises(TypeError, match=r"table plain: a key of type tuple"):
            t[(1, 2)] = 1
        with pytest.raises(TypeError, match=r"table plain: a value of type object"):
            t["k"] = object()

    await in_event(bed, work)


async def test_outside_of_an_event_it_is_read_only(bed: Bed) -> None:
    t = table(bed)
    await in_event(bed, lambda: t.update(a=1))
    await asyncio.sleep(0)
    for write in (lambda: t.update(a=2), lambda: t.pop("a"), t.clear, lambda: t.__delitem__("a")):
        with pytest.raises(TypeError, match="outside of an event"):
            await asyncio.create_task(call_elsewhere(write))
    assert t["a"] == 1
    t.set_in(1, "b", 2)
    assert (t.get_in(1, "b"), t.get_in(0, "b"), t.items_in(1)) == (2, None, [("b", 2)])
    assert t.delete_in(1, "b")
    assert not t.delete_in(1, "b")
    assert t.shards() == [0, 1]


async def call_elsewhere(call: Any) -> None:
    """Call in a task that has no event: its context begins anew."""
    import contextvars

    contextvars.Context().run(call)


async def test_interleaved_tasks_see_their_own_shard(bed: Bed) -> None:
    t = table(bed, default=int)
    for partition in (0, 1):
        bed.send(*"abc", partition=partition)
    bed.watch()
    subscription = bed.belt.subscribe("both", ["in"])

    async def consume() -> None:
        seen = 0
        async for _ in (stream := Stream(subscription)):
            before = t["n"]
            await asyncio.sleep(0)
            t["n"] = before + 1
            assert t["n"] == t.get_in(stream.current_partition, "n")
            seen += 1
            if seen == 3:
                break

    await asyncio.wait_for(asyncio.gather(consume(), consume()), 10)
    assert t.get_in(0, "n") + t.get_in(1, "n") >= 3


async def test_a_key_that_comes_or_goes_ends_an_iteration(bed: Bed) -> None:
    t = table(bed)

    def work() -> None:
        t.update(a=1, b=2)
        for key in t:
            t[key] = 3
        keys = iter(t)
        t[next(keys) + "x"] = 1
        with pytest.raises(RuntimeError, match="got or lost a key"):
            next(keys)

    await in_event(bed, work)


async def test_a_key_in_the_wrong_partition_is_told_about_once(bed: Bed) -> None:
    told: list[tuple[str, Any, int, int]] = []
    t = table(bed, on_foreign_key=lambda owner, key, here, there: told.append((owner.name, key, here, there)))

    def work() -> None:
        for number in range(20):
            t[f"key {number}"] = number

    await in_event(bed, work, partition=1)
    assert len(told) == 1
    assert told[0][0] == "t"
    assert told[0][2:] == (1, 0)


async def test_a_table_without_an_app_says_so() -> None:
    with pytest.raises(RuntimeError, match="the app has not started"):
        Table("lonely")["x"]
