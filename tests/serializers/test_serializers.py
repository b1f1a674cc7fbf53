"""Codecs, and the types that keys and values can have."""

from __future__ import annotations

import dataclasses
import warnings
from datetime import UTC, date, datetime
from decimal import Decimal
from typing import Any, TypedDict

import beltline as bl
import msgspec
import pydantic
import pytest
from beltline.exceptions import ImproperlyConfigured, KeyDecodeError, SecurityWarning, ValueDecodeError
from beltline.serializers import Codec, dumps, get_codec, get_serde, loads, register


class Wire(bl.Record, namespace="e1.W"):
    """The record whose bytes the findings have."""

    user: str
    amount: float


@dataclasses.dataclass
class Point:
    """A dataclass."""

    x: int
    y: int = 2


class Movie(TypedDict, total=False):
    """A TypedDict."""

    title: str
    year: int


class Model(pydantic.BaseModel):
    """A pydantic model."""

    name: str
    size: int = 1


class Struct(msgspec.Struct):
    """A msgspec struct."""

    name: str
    size: int = 1


def test_the_bytes_on_the_wire_are_fausts() -> None:
    assert Wire("u", 1.5).dumps() == b'{"user":"u","amount":1.5,"__faust":{"ns":"e1.W"}}'
    assert dumps("json", "\u00e9") == b'"\\u00e9"'
    assert dumps("json", {"b": 1, "a": [Decimal("1.50"), datetime(2020, 1, 1, tzinfo=UTC), date(2020, 1, 2)]}) == (
        b'{"b":1,"a":["1.50","2020-01-01T00:00:00Z","2020-01-02T00:00:00"]}'
    )
    assert dumps("raw", "k") == b"k"
    assert dumps("binary", b"ab") == b"YWI="
    assert dumps("json|binary", [1]) == b"WzFd"
    assert get_serde(str, "json").dumps("hej") == b'"hej"'


@pytest.mark.parametrize("codec", ["json", "pickle", "json|binary", "pickle|binary"])
def test_codecs_give_back_what_they_were_given(codec: str) -> None:
    value = {"a": [1, None, 2.5, "\u00e9"]}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", SecurityWarning)
        assert loads(codec, dumps(codec, value)) == value


def test_pickle_warns() -> None:
    with pytest.warns(SecurityWarning, match="'json'"):
        loads("pickle", dumps("pickle", 1))


def test_no_codec_passes_things_through() -> None:
    thing = object()
    assert dumps(None, thing) is thing
    assert loads(None, thing) is thing


def test_a_codec_of_ones_own() -> None:
    class Reversed(Codec):
        def _dumps(self, value: Any) -> bytes:
            return bytes(reversed(value))

        def _loads(self, data: bytes) -> Any:
            return bytes(reversed(data))

    register("reversed", Reversed())
    assert dumps("json|reversed", 12) == b"21"
    assert loads("json|reversed", b"21") == 12


def test_an_unknown_codec_is_named_with_those_there_are() -> None:
    with pytest.raises(ImproperlyConfigured, match=r"no codec 'jsno'; there are binary, gzip, json"):
        get_codec("jsno")
    with pytest.raises(ImproperlyConfigured, match="neither a codec nor the name"):
        get_codec(3)


VALUES = [
    (int, 7),
    (float, 1.5),
    (str, "caf\u00e9"),
    (bytes, b"ab"),
    (Decimal, Decimal("1.50")),
    (bool, True),
    (Point, Point(1, 3)),
    (Movie, {"title": "M", "year": 1931}),
    (Model, Model(name="a", size=2)),
    (Struct, Struct("a", 2)),
    (Wire, Wire("u", 2.0)),
    (dict[str, int], {"a": 1}),
    (list[Point], [Point(1), Point(2)]),
    (int | None, None),
    (None, {"any": ["thing", 1]}),
]


def decode(serde: Any, data: bytes) -> Any:
    """Decode as a stream does."""
    if serde.loads in ("bytes", "str"):
        return data if serde.loads == "bytes" else data.decode()
    return serde.loads.decode(data) if hasattr(serde.loads, "decode") else serde.loads(data)


@pytest.mark.parametrize(("kind", "value"), VALUES)
@pytest.mark.parametrize("codec", ["json", "json|binary"])
def test_values_of_every_type_come_back(kind: Any, value: Any, codec: str) -> None:
    serde = get_serde(kind, codec)
    written = serde.dumps(value.decode() if kind is bytes else value)
    assert decode(serde, written) == value


@pytest.mark.parametrize(
    ("kind", "value"), [(int, 7), (str, "k"), (bytes, b"k"), (float, 1.5), (Decimal, Decimal("2.5"))]
)
def test_raw_keys_are_text(kind: Any, value: Any) -> None:
    serde = get_serde(kind, "raw")
    assert serde.dumps(value) == (value if kind is bytes else str(value).encode())
    assert decode(serde, serde.dumps(value)) == value


WRONG = [
    (int, b'"7"'),
    (int, b"7.5"),
    (int, b"true"),
    (float, b'"x"'),
    (str, b"7"),
    (str, b"hej"),
    (Decimal, b'"x"'),
    (Point, b'{"y": 1}'),
    (Point, b'{"x": "1"}'),
    (Movie, b'{"year": "x"}'),
    (Model, b'{"size": 1}'),
    (Struct, b'{"size": 1}'),
    (list[int], b'[1, "x"]'),
    (dict[str, int], b"[]"),
    (int, b"\xff"),
    (int, b""),
]


@pytest.mark.parametrize(("kind", "data"), WRONG)
def test_wrong_bytes_are_refused(kind: Any, data: bytes) -> None:
    with pytest.raises(ValueDecodeError):
        decode(get_serde(kind, "json"), data)


def test_keys_have_an_error_of_their_own() -> None:
    with pytest.raises(KeyDecodeError, match="no int"):
        get_serde(int, "raw", error=KeyDecodeError).loads(b"x")


def test_numbers_beyond_64_bits_stay_whole() -> None:
    assert get_serde(int, "json").loads(b"99999999999999999999") == 99999999999999999999
