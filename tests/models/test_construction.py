"""Calls of record classes, which go past the constructor where that only keeps its arguments, behave as with it."""

from __future__ import annotations

import copy
import gc
import inspect
import pickle
import weakref
from typing import Any

import beltline as bl
import pytest


class Place(bl.Record, namespace="test.Place"):
    """Required fields, then defaults."""

    name: str
    height: float
    country: str = "no"
    people: int | None = None


class Tagged(bl.Record, namespace="test.Tagged"):
    """A default that instances do not share."""

    name: str
    tags: list[str] = []  # noqa: RUF012


def fields(place: Place) -> tuple[Any, ...]:
    return (place.name, place.height, place.country, place.people)


@pytest.mark.parametrize(
    ("positional", "named", "expected"),
    [
        (("a", 1.5), {}, ("a", 1.5, "no", None)),
        ((), {"name": "a", "height": 1.5}, ("a", 1.5, "no", None)),
        ((), {"height": 1.5, "name": "a"}, ("a", 1.5, "no", None)),
        (("a",), {"people": 3, "height": 1.5}, ("a", 1.5, "no", 3)),
        (("a", 1.5, "se", 4), {}, ("a", 1.5, "se", 4)),
        (("a", 1.5, "se"), {"people": 4}, ("a", 1.5, "se", 4)),
        # Nothing is looked at: that is for options of the class.
        ((None, "high"), {}, (None, "high", "no", None)),
    ],
)
def test_arguments_become_fields(positional: Any, named: Any, expected: Any) -> None:
    assert fields(Place(*positional, **named)) == expected


@pytest.mark.parametrize(
    ("positional", "named", "says"),
    [
        ((), {}, r"Place.__init__\(\) missing 2 required positional arguments: 'name' and 'height'"),
        (("a",), {}, r"Place.__init__\(\) missing 1 required positional argument: 'height'"),
        (("a",), {"country": "se"}, r"missing 1 required positional argument: 'height'"),
        (("a", 1.5), {"name": "b"}, r"got multiple values for argument 'name'"),
        (("a", 1.5), {"depth": 1}, r"got an unexpected keyword argument 'depth'"),
        (("a", 1.5, "se", 4, 5), {}, r"takes from 3 to 5 positional arguments but 6 were given"),
    ],
)
def test_wrong_arguments_are_named(positional: Any, named: Any, says: str) -> None:
    with pytest.raises(TypeError, match=says):
        Place(*positional, **named)


def test_names_that_are_not_interned() -> None:
    name = "".join(["hei", "ght"])
    assert fields(Place("a", **{name: 1.5})) == ("a", 1.5, "no", None)


def test_defaults_that_can_be_changed_are_not_shared() -> None:
    first, second = Tagged("a"), Tagged("b")
    first.tags.append("x")
    assert (first.tags, second.tags) == (["x"], [])


def test_constructors_of_ones_own_are_called() -> None:
    class Own(bl.Record, namespace="test.Own"):
        name: str

        def __init__(self, name: str) -> None:
            self.name = name.upper()

    class After(bl.Record, namespace="test.After"):
        name: str

        def __post_init__(self) -> None:
            self.name = self.name.upper()

    class Watched(bl.Record, namespace="test.Watched"):
        name: str

        def __setattr__(self, name: str, value: Any) -> None:
            super().__setattr__(name, value.upper())

    class Checked(bl.Record, namespace="test.Checked", coerce=True):
        name: int

    class Below(After, namespace="test.Below"):
        size: int

    assert [made("a").name for made in (Own, After, Watched)] == ["A", "A", "A"]  # type: ignore[operator]
    assert Below("a", 1).name == "A"
    assert Checked("7").name == 7  # type: ignore[arg-type]


def test_a_constructor_that_is_put_in_later_is_called() -> None:
    class Late(bl.Record, namespace="test.Late"):
        name: str

    class Later(Late, namespace="test.Later"):
        size: int

    assert Late(name="a").name == "a"

    def construct(self: Any, name: str) -> None:
        self.name = name.upper()

    Late.__init__ = construct  # type: ignore[method-assign, assignment]
    assert Late(name="a").name == "A"
    assert (Later("a", 1).name, Later("a", 1).size) == ("a", 1)
    Late.__setattr__ = lambda self, name, value: object.__setattr__(self, name, str(value) * 2)  # type: ignore[method-assign, assignment]
    assert Later(name="a", size=1).name == "aa"


def test_a_metaclass_with_a_call_of_its_own_is_asked() -> None:
    class Counting(type(bl.Record)):  # type: ignore[misc]
        calls = 0

        def __call__(cls, *args: Any, **kwargs: Any) -> Any:
            Counting.calls += 1
            return super().__call__(*args, **kwargs)

    class Counted(bl.Record, metaclass=Counting, namespace="test.Counted"):
        name: str

    assert Counted(name="a").name == "a"
    assert Counting.calls == 1


def test_instances_are_as_others() -> None:
    place = Place("a", 1.5)
    assert inspect.signature(Place).parameters.keys() == {"name", "height", "country", "people"}
    assert pickle.loads(pickle.dumps(place)) == copy.deepcopy(place) == place.derive() == place
    assert gc.is_tracked(place)
    with pytest.raises(AttributeError):
        place.other = 1  # type: ignore[attr-defined]


def test_classes_go_when_nobody_has_them_any_more() -> None:
    class Passing(bl.Record, namespace="test.Passing"):
        name: str

    from beltline.models.registry import registry

    del registry["test.Passing"]
    Passing(name="a")
    gone = weakref.ref(Passing)
    del Passing
    gc.collect()
    assert gone() is None
